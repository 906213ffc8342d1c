"""The dashboard's views: what is shown of a source, and how filters, boxes and picks change it."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders import COUNTS, NUM_PROMPTS, make_explanations, make_source, model_data
from conftest import PAGE, SAE_FOLDER
from dashboard import (
    chart_link,
    chips,
    click_header,
    click_row,
    count,
    draw_box,
    figure,
    held,
    help_of_count,
    html_tags,
    legend,
    markdown_texts,
    open_app,
    open_share,
    remove_chip,
    rows,
    said,
    shown_of,
    significant,
    table_of,
    title,
    traces,
    warnings_of,
)

from featurediff import load
from featurediff.app.dashboard.figure import plot_of
from featurediff.app.dashboard.room import Room
from featurediff.app.theme import BACK, TEXT
from featurediff.charts.scatter_places import lay_out
from featurediff.charts.view import View
from featurediff.features.filters import Filters, filter_table
from featurediff.features.listing import list_features
from featurediff.features.questions import Asked
from featurediff.features.thresholds import Threshold, Thresholds

MEAN = "target_all_mean"
KEPT = 12
ALL = {"token_types": "model", "exclusivity": "base", "consistency": "inconsistent", "search": "and", "ids": "2"} | {
    "min_value": "0.5"
}
HOSTILE = "![x](http://127.0.0.1:9/x.png) <b>*b*</b> :red[r] $a$ `c`"


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    """A results tree of one source with explanations, unless a test makes another."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv")
    return make_source(tmp_path / "results" / SAE_FOLDER / "personal_40")


def expected(folder, filters=None, thresholds=None, metric=MEAN):
    """The table that the library gives for the same choices, as (token_type, feature_id) in the table's order."""
    kept = load(folder).table(thresholds)
    frame = list_features(filter_table(kept, filters or Filters(), metric), Asked("exclusive", metric))
    return list(zip(frame["token_type"].astype("str"), frame["feature_id"].tolist(), strict=True))


def test_without_results_it_opens_on_the_demo(monkeypatch):
    monkeypatch.delenv("FEATUREDIFF_RESULTS")
    at = open_app()
    assert not at.exception
    assert not at.warning
    assert title(at) == "Active on Target only · Mean activation, Base → Instruct"
    assert "synthetic demo data" in said(at)
    assert at.selectbox(key="source").value == "demo"
    assert (count(at), significant(at)) == ("740 features", 162)
    assert "Of 16,384 in the SAE." in help_of_count(at)
    assert legend(at, "token_types") == {"model": 370, "newline": 370}
    total = len(rows(at))
    assert total == 740
    assert total == sum(len(trace["x"]) if isinstance(trace["x"], list) else 0 for trace in unpacked(figure(at)))


@pytest.mark.parametrize(("token_type", "found"), [("model", 105), ("newline", 57)])
def test_evidence_is_counted_at_each_position_of_the_demo(monkeypatch, token_type, found):
    monkeypatch.delenv("FEATUREDIFF_RESULTS")
    at = open_app(evidence="true", token_types=token_type)
    assert count(at) == f"{found} of 740 features"
    assert len(rows(at)) == found


def unpacked(fig):
    """Traces of points with x as a list, whichever way Plotly packed it."""
    import base64

    found = [trace for trace in fig["data"] if "customdata" in trace]
    for trace in found:
        if isinstance(trace["x"], dict):
            trace["x"] = np.frombuffer(base64.b64decode(trace["x"]["bdata"]), trace["x"]["dtype"]).tolist()
    return found


def test_a_real_source_carries_no_badge_and_every_kept_feature(results):
    at = open_app()
    assert not at.exception
    assert "synthetic" not in said(at)
    assert "gemma · SAE 131k-l0-114 · residual stream after layer 20 · personal_40" in said(at)
    assert (count(at), significant(at)) == ("12 features", 4)
    assert legend(at, "token_types") == {"model": 6, "newline": 6}
    assert sorted(rows(at)) == sorted(
        itertools.chain.from_iterable([("model", i), ("newline", (i + 1) % 8)] for i in (0, 1, 2, 3, 4, 7))
    )
    assert rows(at) == expected(results)


def test_the_chart_has_a_trace_for_each_position_and_category():
    names = [
        "Both Target",
        "Base Target",
        "Base Target + Instruct Control",
        "Instruct Target",
        "Instruct Target + Base Control",
    ]
    assert traces(open_app()) == [(token_type, name) for token_type in ("model", "newline") for name in names]


def test_the_table_shows_counts_out_of_each_models_own_prompts():
    first = table_of(open_app()).value.set_index(["token_type", "feature_id"]).loc[("model", 2)]
    for prompts, column in (("target", "share"), ("control", "control_share")):
        base, chat = (f"{COUNTS[model][prompts][2]}/{NUM_PROMPTS[model][prompts]}" for model in ("base", "chat"))
        assert first[column] == f"{base} → {chat}"
    assert first["explanation"] == "commas, and more"


@pytest.mark.parametrize(
    ("link", "filters"),
    [
        ({"token_types": "newline"}, Filters(token_types=("newline",))),
        ({"token_types": ["model", "newline"]}, Filters()),
        ({"exclusivity": "base"}, Filters(exclusivity=("base",))),
        ({"exclusivity": ["both", "chat"]}, Filters(exclusivity=("both", "chat"))),
        ({"consistency": "consistent"}, Filters(consistency="consistent")),
        ({"consistency": "inconsistent"}, Filters(consistency="inconsistent")),
        ({"search": "COMMAS"}, Filters(search="commas")),
        ({"ids": "0 2,7; 2"}, Filters(ids=(0, 2, 7))),
        ({"min_value": "401"}, Filters(min_value=401.0)),
        (ALL, Filters(("model",), ("base",), "inconsistent", 0.5, "and", (2,))),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_each_filter_shows_what_the_library_gives(results, link, filters):
    at = open_app(**link)
    assert not at.exception
    assert not at.warning
    assert rows(at) == expected(results, filters)
    assert count(at) == shown_of(len(rows(at)), KEPT)
    assert sum(len(trace["x"]) for trace in unpacked(figure(at))) == len(rows(at))


def test_filters_chosen_in_the_sidebar_do_the_same_as_in_a_link(results):
    at = open_app()
    at.pills(key="consistency").set_value(["inconsistent"])
    at.text_area(key="ids").set_value("2,3,4")
    at.text_input(key="search").set_value(" COMMAS ").run()
    assert rows(at) == expected(results, Filters(consistency="inconsistent", ids=(2, 3, 4), search="commas"))


def test_a_metric_changes_title_axes_table_and_order(results):
    at = open_app(metric="control_max")
    assert not at.warning
    assert title(at) == "Active on Target only · Maximum activation on Control prompts, Base → Instruct"
    name = figure(at)["layout"]["xaxis"]["title"]["text"].replace("<br>", " ")
    assert name == "Base: Maximum activation on Control prompts"
    assert {"base_control_max", "chat_control_max"} < set(table_of(at).value)
    assert rows(at) == expected(results, metric="control_max")


@pytest.mark.parametrize("chart", ["scatter", "volcano", "ranking"])
def test_hover_text_has_the_colours_of_the_theme(chart):
    """It was white in the dark theme too."""
    labels = [trace["hoverlabel"] for trace in figure(open_app(chart=chart))["data"] if "hoverlabel" in trace]
    assert labels
    assert {(label["bgcolor"], label["font"]["color"]) for label in labels} == {(BACK, TEXT)}
    assert TEXT not in {label["bordercolor"] for label in labels}


def test_name_below_the_chart_takes_the_room_beside_the_plot():
    """Of a laptop's chart it was wrapped at the width of the plot, and its second line lay over the numbers."""
    axis = figure(open_app(question="specific", metric="target_sparsity"))["layout"]["xaxis"]
    assert axis["title"]["text"] == "Activation frequency: change on Control"


@pytest.mark.parametrize(
    ("link", "thresholds"),
    [
        ({"min_target": "5"}, Thresholds(Threshold(5))),
        ({"max_control": "2"}, Thresholds(max_control=Threshold(2))),
        ({"unit": "percent"}, Thresholds(Threshold(0.01, True), Threshold(0, True))),
        ({"unit": "percent", "min_target": "62.5"}, Thresholds(Threshold(0.625, True), Threshold(0, True))),
        ({"unit": "percent", "min_target": "55.5555556"}, Thresholds(Threshold(0.555555556, True), Threshold(0, True))),
        ({"unit": "percent", "max_control": "28.5"}, Thresholds(Threshold(0.01, True), Threshold(0.285, True))),
    ],
)
def test_thresholds_are_read_as_prompts_or_percent(results, link, thresholds):
    """`55.5555556` was cut to six digits, so that 5 of 9 prompts counted as enough."""
    at = open_app(**link)
    assert not at.error
    assert rows(at) == expected(results, thresholds=thresholds)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ({"min_target": "0"}, "The least number of target prompts must be above 0, but is 0"),
        ({"min_target": "0.5"}, "A number of prompts is whole, but 0.5 was given. Count in percent for a share"),
        ({"max_control": "2.5"}, "A number of prompts is whole, but 2.5 was given."),
        ({"unit": "percent", "min_target": "101"}, "but '101%' was given"),
        ({"min_target": "1e12"}, "but '1000000000000' was given"),
    ],
)
def test_thresholds_that_mean_nothing_are_said_and_not_used(results, link, message):
    """Half a prompt was taken for half of the prompts, and the message hid in a closed expander."""
    at = open_app(**link)
    assert not at.exception
    assert "These thresholds are not used." in said(at)
    assert message in said(at)
    assert rows(at) == expected(results)


def test_a_search_without_a_hit_names_the_filter():
    at = open_app(search="nothing like it", token_types="model")
    assert not at.exception
    assert [info.value for info in at.info] == ["The filter “search” leaves nothing of 12 kept features."]
    assert not at.get("plotly_chart")


@pytest.mark.parametrize("ids", ["abc", "1,-2", "1.5", "9999999999", "²"])
def test_ids_that_are_none_are_said_and_not_used(results, ids):
    at = open_app(ids=ids)
    assert not at.exception
    assert warnings_of(at) == [f"Line 1: '{ids.split(',')[-1]}' is not a feature id."]
    assert rows(at) == expected(results, Filters(ids=(1,)) if "," in ids else None)


def test_ids_that_are_not_kept_leave_nothing():
    at = open_app(ids="6, 70000")
    assert not at.exception
    assert [info.value for info in at.info] == ["The filter “feature ids” leaves nothing of 12 kept features."]


def test_reset_brings_every_feature_back(results):
    at = open_app(metric="target_max", feature="2@model", unit="percent", min_target="20", max_control="30", **ALL)
    assert rows(at) == [("model", 2)]
    draw_box(at, [{"legendgroup": "model", "customdata": 2}])
    at.button(key="reset").click().run()
    assert not at.exception
    assert rows(at) == expected(results, metric="target_max")
    assert held(at).picked == ("model", 2)


def test_labels_name_everything_and_blank_ones_fall_back():
    at = open_app(target_label="Introspective", base_label="  ", chat_label="Chat")
    assert title(at) == "Active on Introspective only · Mean activation, Base → Chat"
    assert ("model", "Base Introspective + Chat Control") in traces(at)
    assert "Exclusive means active on at least 1 of a model’s Introspective prompts" in said(at)


@pytest.mark.parametrize(
    "link", [{"base_label": "Both"}, {"base_label": "Instruct"}, {"target_label": "x", "control_label": " x "}]
)
def test_labels_that_are_the_same_are_said_and_not_used(link):
    """Equal labels ended the app with "Categorical categories must be unique"."""
    at = open_app(**link)
    assert not at.exception
    assert warnings_of(at) == ["Two labels are the same, so the default ones are used."]
    assert title(at) == "Active on Target only · Mean activation, Base → Instruct"


def test_labels_of_strangers_stay_text():
    link = {f"{name}_label": f"{name} {HOSTILE}"[:40] for name in ("base", "chat", "target", "control")}
    at = open_share(open_app(feature="2@model", exclusivity="base", **link))
    assert not at.exception
    assert_nothing_is_markup(at)
    heads = table_of(at).proto.columns
    assert "base ![x](http://127.0.0.1:9/x.png) <b>*" in heads, "a column's name is not Markdown, so not escaped"


def assert_nothing_is_markup(at):
    texts = markdown_texts(at)
    assert any(r"\!\[" in text for text in texts)
    assert [tag[:3] for tag in html_tags(at)] == ["<h1", "</h"]
    for text in texts:
        assert "![" not in text
        assert "](" not in text
        assert "<b>" not in text
        assert ":red[" not in text


def test_names_in_files_stay_text(monkeypatch, tmp_path):
    """A token type named like an image made the browser fetch it."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "hostile"))
    token_types = (HOSTILE, "</script><img src=x onerror=alert(1)>")
    models = {
        model: model_data(model, token_types, source=HOSTILE, model_type=HOSTILE, sae_trainer=HOSTILE)
        for model in ("base", "chat")
    }
    for data in models.values():
        for name in token_types:
            data[name]["target_" + HOSTILE] = data[name]["target_max"]
            data[name]["target_sparsity"] = data[name]["target_sparsity"] * 0.5
    folder = tmp_path / "hostile" / "![x](y)_trainer:red[z]_layer3" / "<b>p_40</b>"
    folder = make_source(folder, **models)
    make_explanations(tmp_path / "hostile" / "explanations" / "![x](y)_trainer:red[z]_layer3.csv", [("0", HOSTILE)])
    link = {"feature": f"0@{HOSTILE}", "token_types": HOSTILE, "metric": "target_" + HOSTILE, "search": "red[r]"}
    for more in ({}, {"search": HOSTILE + "none"}, {"exclusivity": "base"}, {"feature": f"9@{HOSTILE}"}):
        at = open_app(**(link | more))
        assert not at.exception
        assert_nothing_is_markup(at)
    at = open_app(**link)
    assert held(at).picked == (HOSTILE, 0)
    assert HOSTILE in [text.value for text in at.text]


def test_prompt_counts_that_differ_and_other_oddities_are_noted():
    at = open_app()
    assert "`base.pt` has 8 target prompts, `chat.pt` has 9: each rate is a share of its own model's prompts." in said(
        at
    )
    assert "2 of 7 different features that are kept have an explanation." in said(at)
    (about,) = [box for box in at.expander if box.label.startswith("About")]
    assert about.label == "About this source (2 notes)"


def test_explanations_may_be_missing(tmp_path):
    (tmp_path / "explanations" / f"{SAE_FOLDER}.csv").unlink()
    at = open_app(feature="2@model")
    assert not at.exception
    assert "0 of 7 different features that are kept have an explanation." in said(at)
    assert "No explanation available." in said(at)


@pytest.fixture
def linked(monkeypatch, linked_dir):
    """The results tree is one whose features have pages."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(linked_dir.parents[1]))


@pytest.mark.usefixtures("linked")
def test_a_known_page_is_linked_from_table_and_detail():
    at = open_app(feature="2@model")
    url = f"{PAGE}2"
    assert [link.proto.url for link in at.get("link_button") if "quick-list" not in link.proto.url] == [url]
    assert url in set(table_of(at).value["neuronpedia_url"])


def test_without_a_page_there_is_no_link_and_the_reason_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(make_source(tmp_path / "x" / "llama_trainer9x_layer3" / "a")))
    at = open_share(open_app(feature="2@model"))
    assert not at.get("link_button")
    assert "neuronpedia_url" not in table_of(at).value
    assert said(at).count("Trainer '9x' of 'llama' is not understood. Expected one such as 32x (Llama Scope 8B)") == 3


@pytest.mark.usefixtures("linked")
def test_a_template_replaces_the_page_everywhere_and_in_this_session_only():
    """The table was cached without the template, so that one session's links were shown to all."""
    at = open_app(feature="2@model")
    at.text_input(key="neuronpedia_template").set_value("https://example.org/f/{feature_id}").run()
    assert at.get("link_button")[0].proto.url == "https://example.org/f/2"
    assert "https://example.org/f/2" in set(table_of(at).value["neuronpedia_url"])
    other = open_app()
    assert not table_of(other).value["neuronpedia_url"].str.contains("example.org").any()


@pytest.mark.usefixtures("linked")
def test_a_template_that_is_none_is_said_and_not_used():
    """A bad template took the whole source away, and its own text field with it."""
    at = open_app()
    at.text_input(key="neuronpedia_template").set_value("javascript:alert({feature_id})").run()
    assert not at.exception
    assert "The page of a feature is not used." in said(at)
    assert len(rows(at)) == KEPT
    assert at.text_input(key="neuronpedia_template").value == "javascript:alert({feature_id})"
    assert table_of(at).value["neuronpedia_url"].str.startswith("https://www.neuronpedia.org/").all()


@pytest.mark.parametrize("customdata", [2, [2, 0.5], {"0": 2, "1": 0.5}], ids=["scalar", "list", "dict"])
def test_a_box_narrows_the_table_whichever_way_the_id_is_sent(customdata):
    at = open_app()
    draw_box(at, [{"legendgroup": "newline", "customdata": customdata}, {"x": 1, "y": 1, "legendgroup": ""}])
    assert not at.exception
    assert held(at).subset == (("newline", 2),)
    assert rows(at) == [("newline", 2)]
    assert count(at) == "1 of 12 features"
    assert sum(len(trace["x"]) for trace in unpacked(figure(at))) == KEPT, "a box does not redraw the chart"
    at.text_input(key="search").set_value("commas").run()
    assert rows(at) == [("newline", 2)]
    at.text_input(key="search").set_value("first").run()
    assert not at.exception
    assert count(at) == "0 of 12 features"
    assert [info.value for info in at.info] == ["The box holds none of these."]
    at.pills(key="chips").set_value(["box"])
    at.text_input(key="search").set_value("").run()
    assert len(rows(at)) == KEPT


def test_a_pick_or_a_box_does_not_redraw_the_chart():
    """Another figure would throw away zoom and box."""
    at = open_app(token_types="model")
    (before,) = at.get("plotly_chart")
    click_row(at, 1)
    draw_box(at, [{"legendgroup": "model", "customdata": 2}])
    at.toggle(key="open").set_value(True).run()
    (after,) = at.get("plotly_chart")
    assert (after.proto.id, after.proto.spec) == (before.proto.id, before.proto.spec)


def test_a_redrawn_chart_still_marks_what_its_box_caught(results):
    """The box went with the old chart, but kept narrowing the table: all points looked chosen, and few were listed."""
    at = open_app()
    draw_box(at, [{"legendgroup": "newline", "customdata": 2}])
    at.pills(key="token_types").set_value(["newline"]).run()
    shown = filter_table(load(results).table(), Filters(token_types=("newline",)), MEAN)
    sizes = {trace["name"]: len(trace["selectedpoints"]) for trace in unpacked(figure(at))}
    assert sum(sizes.values()) == 1 < len(shown)
    assert "inside the box" in chips(at)


@pytest.mark.parametrize(
    "clear", [lambda at: remove_chip(at, "box"), lambda at: at.button(key="reset").click().run()], ids=["chip", "reset"]
)
def test_a_cleared_box_leaves_the_chart_too(clear):
    """Only the list of features was emptied: the drawn rectangle and the dimmed points stayed on the screen."""
    at = open_app()
    draw_box(at, [{"legendgroup": "newline", "customdata": 2}])
    (before,) = at.get("plotly_chart")
    clear(at)
    (after,) = at.get("plotly_chart")
    assert after.proto.id != before.proto.id, "only another chart has no box"
    assert len(rows(at)) == KEPT
    assert all("selectedpoints" not in trace for trace in figure(at)["data"])


def test_the_ring_stands_on_the_picked_point_and_nowhere_else(results):
    study = load(results)
    kept = study.table()
    layout, _ = lay_out(kept, View(MEAN), min(plot_of(Room().chart, square=True)))
    (row,) = kept.index[(kept["token_type"] == "newline") & (kept["feature_id"] == 2)]
    place = [float(layout.x[row]), float(layout.y[row])]
    assert chart_link(open_app(feature="2@newline"))["ring"] == place
    assert chart_link(open_app(feature="2@newline", exclusivity="base"))["ring"] == place, "filters move no point"
    assert chart_link(open_app(feature="2@newline", exclusivity="chat"))["ring"] is None
    assert chart_link(open_app(feature="6@newline"))["ring"] is None


@pytest.mark.usefixtures("linked")
def test_a_click_opens_a_page_only_when_asked_to():
    assert chart_link(open_app())["page"] is None
    assert chart_link(open_app(open="true"))["page"] == PAGE + "{feature_id}"


def test_an_emptied_box_shows_all_again():
    at = open_app()
    draw_box(at, [{"legendgroup": "model", "customdata": 2}])
    draw_box(at, [])
    assert len(rows(at)) == KEPT


def test_a_row_picks_the_feature_that_stood_in_it():
    """A marked row is a number: it must not stand for another feature after the rows have changed."""
    at = open_app()
    third = rows(at)[2]
    click_row(at, 2)
    assert held(at).picked == third
    assert f"Feature {third[1]} at {third[0]}" in said(at)
    at.selectbox(key="metric").set_value("target_max").run()
    assert held(at).picked == third
    click_row(at, None)
    assert held(at).picked == third, "a cell that loses its mark closes nothing"


def test_a_picked_feature_shows_all_its_statistics():
    at = open_app(feature="2@newline")
    assert not at.exception
    assert not at.warning
    assert "## Feature 2 at newline" in [text.value for text in at.markdown]
    assert "commas, and more" in [text.value for text in at.text]
    evidence, effects, values = [frame.value for frame in at.dataframe if "difference" not in frame.value]
    assert evidence.loc["Base"].tolist() == ["2/8 (7–59 %)", "0/7 (0–35 %)", "0.27", "0.27", "6"]
    assert list(effects.index) == [
        "Mean on Target",
        "Mean vs Control",
        "Frequency on Target",
        "Frequency vs Control",
    ]
    assert effects["test"].tolist() == ["welch", "welch", "fisher", "counts"]
    assert list(values.columns) == ["model · Base", "model · Instruct", "newline · Base", "newline · Instruct"]
    assert values.loc["Target: active prompts"].tolist() == ["4/8", "6/9", "2/8", "0/9"]


def test_a_feature_that_is_not_kept_can_be_picked_too():
    at = open_app(feature="6@newline")
    assert not at.exception
    assert "## Feature 6 at newline" in [text.value for text in at.markdown]
    assert "not in the table" in said(at)
    assert at.button(key="step-1").disabled
    assert at.button(key="step1").disabled


@pytest.mark.parametrize("link", [{"search": "no such text"}, {"min_target": "9", "max_control": "0"}])
def test_a_picked_feature_stays_when_nothing_else_is_left(link):
    """With nothing left to draw, the detail of the feature in the link was left out."""
    at = open_app(feature="2@model", **link)
    assert not at.exception
    assert "## Feature 2 at model" in [text.value for text in at.markdown]


def test_previous_and_next_go_through_the_table():
    at = open_app()
    order = rows(at)
    click_row(at, 0)
    assert at.button(key="step-1").disabled
    at.button(key="step1").click().run()
    assert held(at).picked == order[1]
    at.button(key="step1").click().run()
    at.button(key="step-1").click().run()
    assert held(at).picked == order[1]
    at.button(key="close").click().run()
    assert held(at).picked is None
    click_row(at, len(order) - 1)
    assert at.button(key="step1").disabled


def test_spread_off_gives_exact_coordinates_and_leaves_the_table(results):
    at = open_app(spread="false", scale="linear")
    assert not at.warning
    first = unpacked(figure(at))[0]
    both = load(results).table().query("token_type == 'model' and exclusivity == 'both'")
    assert first["x"] == both[f"base_{MEAN}"].tolist()
    assert rows(at) == expected(results)


def test_a_source_without_any_exclusive_feature_says_so(monkeypatch, tmp_path):
    folder = tmp_path / "none" / "a"
    everywhere = {"target": [1, 2, 3], "control": [1, 2, 3]}
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(make_source(folder, **with_counts(everywhere, 3))))
    at = open_app(feature="1@newline")
    assert not at.exception
    assert (
        "Nothing to show: no feature is exclusive, that is active on at least 1 of a model’s Target prompts and on at "
        "most 0 of its Control prompts." in said(at)
    )
    assert (count(at), significant(at)) == ("0 features", 0)
    assert legend(at, "token_types") == {"model": 0, "newline": 0}
    assert "No feature is kept at newline." in said(at)
    assert "each rate is a share of its own model's prompts" in said(at)
    at.number_input(key="max_control").set_value(3.0).run()
    assert len(rows(at)) == 6


def with_counts(counts, num_features, token_types=("model", "newline")):
    """Both models with these counts at the token types, whatever else the builder gave."""
    models = {model: model_data(model, ("model", "newline"), num_features) for model in ("base", "chat")}
    for model, data in models.items():
        for token_type in token_types:
            for prompts, cells in counts.items():
                data[token_type][f"{prompts}_num_active"] = torch.tensor(cells)
                data[token_type][f"{prompts}_sparsity"] = torch.tensor(cells) / NUM_PROMPTS[model][prompts]
    return models


def test_one_token_type_without_exclusive_features_is_named(monkeypatch, tmp_path):
    counts = {"target": [0] * 8, "control": [1] * 8}
    monkeypatch.setenv(
        "FEATUREDIFF_RESULTS", str(make_source(tmp_path / "x" / "a", **with_counts(counts, 8, ["newline"])))
    )
    at = open_app()
    assert not at.exception
    assert legend(at, "token_types") == {"model": 6, "newline": 0}
    assert {token_type for token_type, _ in traces(at)} == {"model"}
    assert "No feature is kept at newline." in said(at)
    at = open_app(token_types="newline")
    assert [info.value for info in at.info] == ["The filter “position” leaves nothing of 6 kept features."]


def test_more_rows_than_a_browser_takes_are_cut_to_the_largest_differences(monkeypatch, tmp_path):
    folder = make_source(tmp_path / "x" / "wide", **wide(21_000))
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(folder))
    at = open_app()
    assert not at.exception
    assert count(at) == "21,000 features"
    assert "The table lists 1,000 at a time; downloads have all." in help_of_count(at)
    assert rows(at) == [("model", i) for i in range(20_999, 19_999, -1)]
    click_header(at, "feature_id")
    assert rows(at) == [("model", i) for i in range(1_000)], "any feature can be sorted to the top"
    at = open_app(ids="0")
    assert rows(at) == [("model", 0)]
    assert "The table lists" not in help_of_count(at)


def wide(n):
    """Two models of n features, all exclusive to chat, whose differences grow with the feature's id."""
    models = {}
    for model, on in (("base", 0), ("chat", 1)):
        vectors = {
            "target_all_mean": on * torch.arange(1, n + 1) / n,
            "target_num_active": on * torch.ones(n, dtype=torch.int64),
            "control_num_active": torch.zeros(n, dtype=torch.int64),
        }
        models[model] = {"model": vectors, "metadata": model_data(model, ("model",), n)["metadata"]}
    return models


def test_each_format_can_be_downloaded():
    at = open_app(token_types="newline")
    buttons = {button.proto.label: button.proto for button in at.get("download_button")}
    assert [label.partition(":")[0] for label in buttons] == ["CSV", "HTML", "Parquet", "Download stars and notes"]


def test_every_widget_says_what_it_does():
    at = open_app(feature="2@model")
    widgets = [*at.selectbox, *at.text_input, *at.text_area, *at.number_input, *at.toggle, *at.button]
    widgets += [*at.get("button_group"), *at.get("download_button")]
    silent = [widget.proto.label or widget.key for widget in widgets if not widget.proto.help]
    assert [label for label in silent if ": " not in label] == [], "a download says it in its label"


def test_dashboard_does_without_the_command_line():
    """It took `parse_ids` from there, and a tenth of a second longer until the first chart."""
    modules = "{'featurediff.cli', 'typer', 'urllib3'} & set(sys.modules)"
    code = f"import sys, featurediff.app.dashboard.sidebar; print({modules})"
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | path
    )
    assert done.stdout.split() == ["set()"]


def test_shares_of_the_difference_stand_in_table_details_and_ranking(results):
    """A source without difference.parquet has no such column, and the switch of the ranking is off."""
    at = open_app(feature="2@model", chart="ranking", by_share="true")
    assert "carries" not in table_of(at).value
    assert at.toggle(key="by_share").disabled
    ids = [1, 2, 3, 4]
    shares = pd.DataFrame({"feature_id": ids, "share": [0.1, 0.25, -0.5, 0.01], "cosine": [0.1, 0.2, -0.3, 0.4]})
    shares.assign(token_type="model", prompt_set="target").to_parquet(results / "difference.parquet", index=False)
    at = open_app(feature="2@model", chart="ranking", by_share="true")
    table = table_of(at).value
    carried = table[table["token_type"] == "model"].set_index("feature_id")["carries"]
    assert carried[[2, 3]].tolist() == ["25 %", "−50 %"]
    assert "Share of what differs between Base and Instruct: 25 % (cosine 0.20) on Target." in said(at)
    assert not at.toggle(key="by_share").disabled
