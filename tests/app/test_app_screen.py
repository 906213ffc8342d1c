"""The one screen: sorting, marks, chips, the legend's counts, the evidence switch, and how its room is shared out."""

import json
import math

import pandas as pd
import pytest
import streamlit as st
from builders import make_explanations, make_source, model_data
from conftest import SAE_FOLDER
from dashboard import (
    chips,
    click_header,
    click_row,
    column,
    count,
    draw_box,
    held,
    help_of_count,
    legend,
    link,
    open_app,
    open_share,
    remove_chip,
    rows,
    said,
    shown_of,
    significant,
    table_of,
    warnings_of,
)
from hypothesis import given, strategies

from featurediff import load
from featurediff.app.dashboard.room import GAP, HEAD, NARROW, Room
from featurediff.charts.view import View
from featurediff.features.evidence_columns import question_q
from featurediff.features.questions import QUESTIONS
from featurediff.labels import EXCLUSIVITIES

MEAN, KEPT = "target_all_mean", 12
SOURCE = f"{SAE_FOLDER}/personal_40"


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    """A results tree of one source with explanations of two types."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    file = make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv")
    file.write_text("feature_id,explanation,type\n0,the first,acts\n2,commas,logits\n7,a last one,acts\n", "utf-8")
    return make_source(tmp_path / "results" / SOURCE)


# Sorting


def values_of(study, name):
    """What a column is sorted by, row by row, in the order of the kept features."""
    kept, n = study.table(), study.origin.num_prompts
    found = {
        "effect": kept[f"chat_{MEAN}"] - kept[f"base_{MEAN}"],
        "difference": kept[f"chat_{MEAN}"] - kept[f"base_{MEAN}"],
        "q": question_q(kept, "exclusive", MEAN),
        "token_type": kept["token_type"].astype("str"),
        "exclusivity": [EXCLUSIVITIES.index(name) for name in kept["exclusivity"]],
        "share": kept["chat_target_num_active"] / n["chat", "target"]
        - kept["base_target_num_active"] / n["base", "target"],
        "control_share": kept["chat_control_num_active"] / n["chat", "control"]
        - kept["base_control_num_active"] / n["base", "control"],
    }
    return list(found[name] if name in found else kept[name])


def in_order(study, name, *, falling):
    """The kept features by a column: what is missing comes last, and ties stay as they are."""
    kept, values = study.table(), values_of(study, name)
    keys = list(zip(kept["token_type"], kept["feature_id"], strict=True))
    known = [i for i, value in enumerate(values) if not pd.isna(value)]
    known.sort(key=values.__getitem__, reverse=falling)
    return [keys[i] for i in known + [i for i, value in enumerate(values) if pd.isna(value)]]


@pytest.mark.parametrize(
    ("name", "falls_first"),
    [
        ("feature_id", False),
        ("token_type", False),
        ("effect", True),
        ("q", False),
        ("explanation", False),
        ("share", True),
        ("control_share", True),
        ("exclusivity", False),
        (f"base_{MEAN}", True),
        (f"chat_{MEAN}", True),
        ("difference", True),
        ("base_q", False),
        ("chat_q", False),
        ("exclusive_positions", True),
        ("explanation_type", False),
    ],
)
def test_a_click_on_a_header_sorts_and_the_next_one_the_other_way(results, name, falls_first):
    study = load(results)
    at = open_app()
    called = column(at, name)[0]
    for falling in (falls_first, not falls_first, falls_first):
        click_header(at, name)
        assert not at.exception
        assert rows(at) == in_order(study, name, falling=falling)
        assert column(at, name)[0] == f"{called} {'↓' if falling else '↑'}"


@pytest.mark.parametrize(("word", "falling"), [("feature_id", False), ("-feature_id", True), ("-effect", True)])
def test_a_link_carries_the_sort(results, word, falling):
    """After a reload the table stood in its first order."""
    at = open_app(sort=word)
    assert not at.warning
    assert rows(at) == in_order(load(results), word.removeprefix("-"), falling=falling)
    assert link(at)["sort"] == [word]
    click_header(at, word.removeprefix("-"))
    opposite = word.removeprefix("-") if falling else f"-{word}"
    assert link(at)["sort"] == [opposite]
    assert rows(open_app(sort=opposite)) == rows(at)


@pytest.mark.parametrize("word", ["banana", "--q", "base_target_max", "neuronpedia_url", "carries"])
def test_a_sort_that_the_table_does_not_have_is_said(word):
    at = open_app(sort=word)
    (said_of_it,) = warnings_of(at)
    assert said_of_it.replace("\u2060", "") == f"Not used: sort={word} is not a column of this table."
    assert rows(at) == rows(open_app())
    assert "sort" not in link(at)


def test_a_sort_goes_with_the_metric_that_it_was_of():
    at = open_app(sort="-base_target_max", metric="target_max")
    assert link(at)["sort"] == ["-base_target_max"]
    at.selectbox(key="metric").set_value(MEAN).run()
    assert not at.warning
    assert "sort" not in link(at)


def test_rows_that_miss_a_value_come_last_both_ways():
    at = open_app()
    for _ in range(2):
        click_header(at, "explanation")
        texts = table_of(at).value["explanation"].tolist()
        assert texts.index("") == sum(text != "" for text in texts)


def test_stars_can_be_sorted_to_the_top():
    at = open_app(feature="2@model")
    at.button(key="star").click().run()
    click_header(at, "mark")
    assert {feature_id for _, feature_id in rows(at)[:2]} == {2}
    assert table_of(at).value["mark"].tolist()[:3] == ["▸★", "★", ""]


def test_previous_next_and_mark_follow_the_order():
    at = open_app()
    click_header(at, "feature_id")
    click_header(at, "feature_id")
    order = rows(at)
    click_row(at, 1)
    assert held(at).picked == order[1]
    at.button(key="step1").click().run()
    assert held(at).picked == order[2]
    at.button(key="step-1").click().run()
    at.button(key="step-1").click().run()
    assert held(at).picked == order[0]
    assert at.button(key="step-1").disabled
    assert rows(at) == order, "a step does not sort again"


def test_the_order_outlives_filters_and_picks():
    at = open_app()
    click_header(at, "feature_id")
    at.pills(key="token_types").set_value(["newline"]).run()
    ids = [feature_id for _, feature_id in rows(at)]
    assert ids == sorted(ids)
    click_row(at, 3)
    assert [feature_id for _, feature_id in rows(at)] == ids
    assert column(at, "feature_id")[0] == "Feature ↑"


@pytest.mark.parametrize("name", ["explanation_type", "base_target_all_std", "neuronpedia_url"])
def test_an_order_by_what_another_source_lacks_is_dropped(tmp_path, name):
    models = {model: model_data(model) for model in ("base", "chat")}
    for data in models.values():
        for token_type in ("model", "newline"):
            del data[token_type]["target_all_std"]
    make_source(tmp_path / "results" / "odd" / "set", **models)
    at = open_app(metric="target_all_std")
    click_header(at, name)
    at.selectbox(key="source").set_value("odd/set").run()
    assert not at.exception
    assert len(rows(at)) == KEPT
    assert not [label for label, _ in (column(at, one) for one in table_of(at).value) if label.endswith(("↓", "↑"))]


def test_an_order_by_a_metric_that_is_no_longer_shown_is_dropped():
    """Nothing on the screen would say what the rows are sorted by."""
    at = open_app()
    click_header(at, f"base_{MEAN}")
    at.selectbox(key="metric").set_value("target_max").run()
    assert not at.exception
    fresh = open_app(metric="target_max")
    assert rows(at) == rows(fresh)


# Marks


def test_the_picked_row_is_marked_and_no_other():
    at = open_app()
    assert set(table_of(at).value["mark"]) == {""}
    for row in (3, 0):
        click_row(at, row)
        marks = table_of(at).value["mark"].tolist()
        assert marks == ["▸" if i == row else "" for i in range(KEPT)]
    at.button(key="close").click().run()
    assert set(table_of(at).value["mark"]) == {""}


def test_a_feature_that_the_link_picks_is_marked_in_its_row():
    at = open_app(feature="2@newline")
    assert table_of(at).value["mark"].tolist().index("▸") == rows(at).index(("newline", 2))


# Chips

CHIPPED = {
    "token_types": ({"token_types": "model"}, "position model"),
    "exclusivity": ({"exclusivity": "base"}, "exclusive in Base"),
    "consistency": ({"consistency": "consistent"}, "consistent only"),
    "search": ({"search": "commas"}, "explanation contains “commas”"),
    "ids": ({"ids": "2, 3"}, "2 feature ids"),
    "min_value": ({"min_value": "401"}, "Mean activation at least 401"),
    "max_q": ({"evidence": "true"}, "q at most 0.05"),
}


@pytest.mark.parametrize(("name", "asked", "says"), [(name, *chip) for name, chip in CHIPPED.items()])
def test_a_click_on_a_chip_removes_its_filter(name, asked, says):
    at = open_app(**asked)
    assert chips(at) == [says]
    assert len(rows(at)) < KEPT
    remove_chip(at, name)
    assert not at.exception
    assert chips(at) == []
    assert count(at) == f"{KEPT} features"
    assert len(rows(at)) == KEPT


def test_a_click_on_one_chip_leaves_the_others():
    at = open_app(token_types="model", exclusivity="base", search="commas")
    assert len(chips(at)) == 3
    remove_chip(at, "search")
    assert chips(at) == ["position model", "exclusive in Base"]
    assert sorted(rows(at)) == [("model", 1), ("model", 2)]


def test_rule_box_and_stars_have_chips():
    at = open_app(min_target="5", feature="2@model")
    (rule,) = chips(at)
    assert rule.startswith("exclusive: active on at least 5")
    remove_chip(at, "rule")
    assert (chips(at), count(at)) == ([], f"{KEPT} features")
    draw_box(at, [{"legendgroup": "model", "customdata": 2}, {"legendgroup": "model", "customdata": 3}])
    at.button(key="star").click().run()
    at.toggle(key="starred").set_value(True).run()
    assert chips(at) == ["inside the box", "starred"]
    assert rows(at) == [("model", 2)]
    remove_chip(at, "starred")
    assert sorted(rows(at)) == [("model", 2), ("model", 3)]
    remove_chip(at, "box")
    assert (chips(at), held(at).subset, len(rows(at))) == ([], (), KEPT)


def test_a_box_of_other_axes_says_so_and_goes_with_its_question():
    """It went on narrowing the table under another question, with nothing to see on the chart."""
    at = open_app()
    draw_box(at, [{"legendgroup": "model", "customdata": 2}, {"legendgroup": "newline", "customdata": 2}])
    assert chips(at) == ["inside the box"]
    at.segmented_control(key="chart").set_value("volcano").run()
    assert chips(at) == ["inside a box drawn before"]
    assert sorted(rows(at)) == [("model", 2), ("newline", 2)]
    at.radio(key="question").set_value("any").run()
    assert chips(at) == []
    assert len(rows(at)) == KEPT
    assert [toast.value for toast in at.toast] == ["Another question: the box no longer counts."]
    at.radio(key="question").set_value("exclusive").run()
    assert not at.toast


def test_a_number_finds_a_feature():
    at = open_app()
    at.text_input(key="search").set_value("7").run()
    assert {feature_id for _, feature_id in rows(at)} == {7}
    assert chips(at) == ["id or explanation has “7”"]
    at.text_input(key="search").set_value("first").run()
    assert {feature_id for _, feature_id in rows(at)} == {0}


def test_search_says_what_it_finds_where_nothing_is_explained(tmp_path):
    """It invited to search explanations of a source that has none."""
    assert open_app().text_input(key="search").placeholder == "Search explanations, or a feature’s id"
    (tmp_path / "explanations" / f"{SAE_FOLDER}.csv").unlink()
    at = open_app()
    assert at.text_input(key="search").placeholder == "Find a feature by its id"
    at.text_input(key="search").set_value("7").run()
    assert {feature_id for _, feature_id in rows(at)} == {7}


def test_features_are_counted_by_position_and_without_it():
    """“12 features” stood above 7 ids."""
    at = open_app()
    different = len({feature_id for _, feature_id in rows(at)})
    assert (count(at), different) == (f"{KEPT} features", 7)
    assert "7 different, each counted once per position" in [caption.value for caption in at.caption]
    at.pills(key="token_types").set_value(["model"]).run()
    assert not any("different" in caption.value for caption in at.caption), "six rows of six features"


def test_where_nothing_is_shown_the_places_say_what_they_are_for():
    """Table, downloads and details vanished, and an empty frame stood below the chart."""
    at = open_app(search="no such text")
    captions = [caption.value for caption in at.caption]
    assert "Here stand the features that the chart shows, with their change, q and explanation." in captions
    assert any(caption.startswith("Here stands what a feature means") for caption in captions)
    disabled = {block.proto.popover.label: block.proto.popover.disabled for block in at.get("popover")}
    assert disabled == {"Download": True, "Share": False}
    open_share(at)
    assert not at.exception
    assert "The table lists none." in [caption.value for caption in at.caption]


# The picked feature's row


def marked(at):
    """The cell that the browser is told to mark, and to scroll to: its row; None where it is told to mark none."""
    told = table_of(at).proto.selection_state
    cells = json.loads(told)["selection"]["cells"] if told else "not told"
    return cells if cells == "not told" else cells[0][0] if cells else None


def test_the_table_marks_and_seeks_what_is_picked_elsewhere():
    """A feature picked on the chart, or by “next”, could be far out of the table's view."""
    at = open_app()
    assert marked(at) == "not told"
    last = rows(at)[-1]
    at = open_app(feature="{1}@{0}".format(*last))
    assert marked(at) == KEPT - 1
    at.button(key="step-1").click().run()
    assert marked(at) == KEPT - 2
    assert held(at).picked == rows(at)[KEPT - 2]
    at.button(key="star").click().run()
    assert marked(at) == "not told", "the mark is there already"
    at.button(key="close").click().run()
    assert marked(at) is None


def test_a_click_in_the_table_and_a_sort_leave_it_where_it_is():
    at = open_app()
    click_row(at, 4)
    assert marked(at) == "not told"
    click_header(at, "explanation")
    assert marked(at) == "not told"
    assert held(at).picked in rows(at)


def test_a_mark_goes_when_another_feature_comes_into_its_row():
    """The browser keeps the number of the row that it marks, whichever feature stands there."""
    at = open_app()
    row = next(i for i, (token_type, _) in enumerate(rows(at)) if token_type == "newline")
    click_row(at, row + 1)
    at.pills(key="token_types").set_value(["newline"]).run()
    assert (marked(at) is None) == (held(at).picked not in rows(at) or rows(at).index(held(at).picked) != row + 1)


def test_rows_beyond_those_that_are_sent_are_reached(monkeypatch, results):
    """A feature beyond the first thousand was “not in the table”, and had no next one."""
    monkeypatch.setattr("featurediff.app.dashboard.rows.MOST_ROWS", 5)
    monkeypatch.setattr("featurediff.app.dashboard.pick.MOST_ROWS", 5)
    st.cache_resource.clear()
    whole = in_order(load(results), "feature_id", falling=False)
    at = open_app(feature="{1}@{0}".format(*whole[7]))
    click_header(at, "feature_id")
    assert rows(at) == whole[:5], "a sort shows its first rows"
    assert "not in the table" not in said(at)
    at.button(key="step1").click().run()
    assert (held(at).picked, rows(at)) == (whole[8], whole[5:10])
    click_header(at, "feature_id")
    click_header(at, "feature_id")
    click_row(at, 4)
    for i in range(5, KEPT):
        at.button(key="step1").click().run()
        assert held(at).picked == whole[i]
        assert rows(at) == whole[i // 5 * 5 :][:5]
        assert marked(at) == i % 5
    assert at.button(key="step1").disabled
    for i in range(KEPT - 2, 3, -1):
        at.button(key="step-1").click().run()
        assert held(at).picked == whole[i]
    assert rows(at) == whole[:5]
    st.cache_resource.clear()


# The legend, and evidence


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("key", ["token_types", "exclusivity", "consistency"])
def test_the_legend_counts_what_the_table_then_shows(question, key):
    at = open_app(question=question)
    kept = len(rows(at))
    named = legend(at, key)
    assert sum(named.values()) == kept
    for value, number in zip(options_of(key), named.values(), strict=True):
        at.pills(key=key).set_value([value]).run()
        assert count(at) == shown_of(number, kept)
        assert legend(at, key) == named, "it counts what the question keeps, whatever is chosen"
        assert len(rows(at)) == number if number else at.info
    at.pills(key=key).set_value(options_of(key)).run()
    assert len(rows(at)) == kept


def options_of(key):
    return {
        "token_types": ["model", "newline"],
        "exclusivity": list(EXCLUSIVITIES),
        "consistency": ["consistent", "inconsistent"],
    }[key]


@pytest.mark.parametrize("question", QUESTIONS)
def test_evidence_shows_as_many_as_its_switch_says(results, question):
    at = open_app(question=question)
    kept = load(results).table_of(View(question=question))
    found = question_q(kept, question, MEAN) <= 0.05
    assert significant(at) == found.sum()
    at.toggle(key="evidence").set_value(True).run()
    assert count(at) == shown_of(significant(at), len(kept))
    expected = kept[found]
    assert sorted(rows(at)) == sorted(zip(expected["token_type"], expected["feature_id"], strict=True))
    at.toggle(key="evidence").set_value(False).run()
    assert len(rows(at)) == len(kept)


def test_the_count_says_of_how_many():
    assert help_of_count(open_app()) == "Of 8 in the SAE. A feature counts once per position."


# Ids


def test_each_fault_of_the_ids_is_said_with_its_line():
    """The whole list was refused for one word, with no place."""
    at = open_app()
    at.text_area(key="ids").set_value("0, 2\nseven\n\n3; 1.5 x-1\n").run()
    assert warnings_of(at) == [
        "Line 2: 'seven' is not a feature id.",
        "Line 4: '1.5' is not a feature id.",
        "Line 4: 'x-1' is not a feature id.",
    ]
    assert {feature_id for _, feature_id in rows(at)} == {0, 2, 3}


def test_many_faults_of_the_ids_are_counted():
    at = open_app()
    at.text_area(key="ids").set_value("2\n" + "\n".join("abcdefgh")).run()
    assert warnings_of(at) == [
        *(f"Line {line}: '{word}' is not a feature id." for line, word in enumerate("abcde", 2)),
        "3 more words are not feature ids.",
    ]
    assert {feature_id for _, feature_id in rows(at)} == {2}


# Room


def test_a_narrow_and_short_window_has_a_lower_chart():
    """At a zoom of 150 % of a laptop's screen, more than half of the chart was below the window's end."""
    short, tall = Room(590, 530), Room(590, 1_180)
    assert (short.is_narrow, short.is_tall, short.chart) == (True, False, (590, 260))
    assert (tall.is_narrow, tall.is_tall, tall.chart) == (True, True, (590, 480))
    assert Room(360, 840).chart == (360, 360)
    assert Room(900, 800).is_tall is False


@given(strategies.integers(0, 5_000), strategies.integers(0, 5_000))
def test_chart_table_and_details_fill_the_room(width, height):
    room = Room.within(width, height)
    if room.is_narrow:
        assert room.chart.width == room.table.width == room.details.width == room.width < NARROW
        return
    assert room.chart.width + GAP + room.table.width == room.details.width == room.width
    assert room.chart.height == room.table.height
    assert room.chart.width >= 400
    assert room.chart.height >= 320
    assert room.table.width >= 300


@pytest.mark.parametrize(("width", "height"), [(900, 800), (1060, 900), (1540, 1080)])
def test_all_of_it_is_in_view_in_usual_windows(width, height):
    room = Room(width, height)
    assert HEAD + room.chart.height + room.details.height <= height
    assert math.isclose(room.chart.width / width, 0.45, abs_tol=0.01)
