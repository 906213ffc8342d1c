"""The comparison page: what it shows of several sources, and the ways to it and back."""

import io
import json
import shutil
from threading import Event

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from builders import make_explanations, make_source, model_data
from conftest import SAE_FOLDER
from dashboard import (
    APP,
    count,
    held,
    link,
    markdown_texts,
    open_app,
    open_compare,
    said,
    send,
    settled,
    title,
    warnings_of,
)
from paired import make_paired
from streamlit.testing.v1 import AppTest

from featurediff.app.comparison import compared
from featurediff.compare.counts import counts, side_by_side
from featurediff.compare.overlap import shared_features
from featurediff.compare.reading import read
from featurediff.errors import DataError
from featurediff.features.questions import Asked
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.sources.tree import find_sources
from featurediff.wording import p_text

HOSTILE = "![x](http://127.0.0.1:9/x.png) <b>*b*</b> :red[r] $a$ `c`"
ONE, TWO = f"{SAE_FOLDER}/personal_40", f"{SAE_FOLDER}/second_40"
OTHER = "llama_trainer8x_layer3/other_set"
DEMO_NAMES = [
    "demo_trainer16k_layer4/synthetic_40",
    "demo_trainer16k_layer8/synthetic_40",
    "demo_trainer16k_layer12/distant_40",
    "demo_trainer16k_layer12/related_40",
    "demo",
    "demo_trainer16k_layer16/synthetic_40",
    "demo_trainer16k_layer20/synthetic_40",
]


@pytest.fixture(autouse=True)
def tree(monkeypatch, tmp_path):
    """A results tree of three sources, two of which read the same SAE."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv")
    make_source(tmp_path / "results" / ONE)
    make_source(tmp_path / "results" / TWO, token_types=("newline", "asst"))
    make_source(tmp_path / "results" / OTHER, model_type="llama", sae_trainer="8x", sae_layer=3)
    return tmp_path


def heading(at):
    return at.title[0].value


def chart(at, key):
    """One of the charts, by its widget's key, as Plotly gets it."""
    return json.loads(element(at, key).proto.spec)


def element(at, key):
    found = [chart for chart in at.get("plotly_chart") if f"-{key}" in chart.proto.id]
    return found[0] if found else None


def all_counts(at):
    (frame,) = [frame.value for frame in at.dataframe if "exclusive_kept" in frame.value]
    return frame


def listed(at):
    """The shared features: (feature id, position)."""
    (frame,) = [frame.value for frame in at.dataframe if "first_q" in frame.value]
    return list(zip(map(int, frame["feature_id"]), frame["token_type"].tolist(), strict=True))


def summaries(tree, *names, thresholds=None, family="position"):
    found = [source for source in find_sources(tree) if not names or source.name in names]
    return [read(source, thresholds, family) for source in found]


FAMILIES = ("position", "source")
COUNTS = ["exclusive_kept", "exclusive_significant"]
COUNTS += [f"{q}_{part}" for q in ("changed", "specific") for part in ("kept", "increase", "decrease")]


def as_list(frame):
    return frame[COUNTS].astype("object").where(frame[COUNTS].notna(), None).to_numpy().tolist()


def expected(sources, max_q=0.05, **asked):
    return as_list(side_by_side(counts(sources, max_q, **asked)))


def numbers(at):
    return as_list(all_counts(at))


def test_without_results_five_demo_layers_are_compared(monkeypatch):
    monkeypatch.delenv("FEATUREDIFF_RESULTS")
    at = open_compare()
    assert not at.exception
    assert not at.warning
    assert heading(at) == "Comparison of 7 sources"
    assert "synthetic demo data" in said(at)
    assert at.multiselect(key="sources").options == DEMO_NAMES
    named = [
        (4, "synthetic"),
        (8, "synthetic"),
        (12, "distant"),
        (12, "related"),
        *((i, "synthetic") for i in (12, 16, 20)),
    ]
    assert all_counts(at)["source"].tolist() == [
        f":material/arrow_forward: layer {layer} · {prompts}_40" for layer, prompts in named for _ in range(2)
    ]
    assert chart(at, "lines")["layout"]["xaxis"]["tickvals"] == [4, 8, 12, 16, 20]
    assert "demo · SAE 16k · synthetic_40" in said(at)
    assert at.selectbox(key="sae").options == ["demo · SAE 16k · layer 12 (3 sources)"]
    assert len(listed(at)) == 190
    assert "No other source here is certain to read the SAE of 'demo_trainer16k_layer4/synthetic_40'" in said(at)


def test_every_source_of_the_demo_can_be_opened_in_the_dashboard(monkeypatch):
    monkeypatch.delenv("FEATUREDIFF_RESULTS")
    at = open_app()
    assert at.session_state["source"] == "demo"
    assert set(at.selectbox(key="source").options) == {
        "Demo (synthetic)",
        "Upload files…",
        *(f"layer {layer} · synthetic_40 · demo · 16k" for layer in (4, 8, 16, 20)),
        *(f"layer 12 · {prompts}_40 · demo · 16k" for prompts in ("distant", "related")),
    }
    at = open_app(source=DEMO_NAMES[0])
    assert not at.exception
    assert "demo · SAE 16k · residual stream after layer 4 · synthetic_40" in said(at)
    assert "synthetic demo data" in said(at)


def test_counts_are_those_of_the_library(tree):
    at = open_compare()
    assert not at.exception
    assert heading(at) == "Comparison of 3 sources"
    assert numbers(at) == expected(summaries(tree))
    assert chart(at, "bars")["layout"]["yaxis"]["ticktext"] == [
        "gemma · SAE 131k-l0-11…layer 20 · personal_40",
        "gemma · SAE 131k-l0-114 · layer 20 · second_40",
        "llama · SAE 8x · layer 3 · other_set",
    ]
    assert "synthetic" not in said(at)
    assert "No two of these sources are of the same model, family of SAEs and prompt set at different layers." in said(
        at
    )


def test_another_q_and_other_thresholds_change_the_counts(tree):
    at = open_compare(max_q="0.9", unit="percent", min_target="50", max_control="28.5")
    assert not at.exception
    assert not at.warning
    thresholds = Thresholds(Threshold(0.5, True), Threshold(0.285, True))
    assert numbers(at) == expected(summaries(tree, thresholds=thresholds), 0.9)
    at.number_input(key="max_q").set_value(0.0)
    at.segmented_control(key="unit").set_value("prompts")
    at.number_input(key="min_target").set_value(1.0)
    at.number_input(key="max_control").set_value(0.0).run()
    assert numbers(at) == expected(summaries(tree), 0)
    assert "q at most 0 for target over control in a model" in said(at)


def test_thresholds_that_mean_nothing_are_said_and_not_used(tree):
    at = open_compare(min_target="2.5")
    assert not at.exception
    assert "These thresholds are not used." in said(at)
    assert "A number of prompts is whole, but 2.5 was given. Count in percent for a share of them." in said(at)
    assert numbers(at) == expected(summaries(tree))


def test_chosen_sources_are_compared_alone(tree):
    at = open_compare(sources=[TWO, OTHER])
    assert heading(at) == "Comparison of 2 sources"
    assert numbers(at) == expected(summaries(tree, TWO, OTHER))
    assert element(at, "overlap") is None
    at.multiselect(key="sources").set_value([TWO]).run()
    assert heading(at) == "Comparison of 1 source"
    assert link(at) == {"sources": [TWO]}
    at.multiselect(key="sources").set_value([]).run()
    assert heading(at) == "Comparison of 3 sources"
    assert link(at) == {}


def test_of_many_sources_the_first_twelve_are_compared(tree):
    for i in range(12):
        make_source(tree / "results" / f"more_{i}" / "set")
    at = open_compare()
    assert heading(at) == "Comparison of 12 sources"
    assert at.multiselect(key="sources").proto.placeholder == "The first 12"
    assert len(at.multiselect(key="sources").options) == 15


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("sources", "nonsense", f"sources=nonsense is not one of {ONE}, {TWO}, {OTHER}"),
        ("sources", "/etc", f"sources=/etc is not one of {ONE}, {TWO}, {OTHER}"),
        ("max_q", "2", "max_q=2 is not a number of at least 0 and at most 1"),
        ("max_q", "much", "max_q=much is not a number of at least 0 and at most 1"),
        ("min_target", "many", "min_target=many is not a number of at least 0"),
        ("max_control", "-1", "max_control=-1 is not a number of at least 0"),
        ("unit", "shares", "unit=shares is not one of prompts, percent"),
        ("token_types", "end", "token_types=end is not one of model, newline, asst"),
        ("token_types", ["model", "newline"], "all but the last of the 2 values of token_types"),
        ("among", "all", "among=all is not one of auto, kept, significant, changed, specific"),
        ("question", "all", "question=all is not one of exclusive, changed, specific, any"),
        ("metric", "target_max", "metric=target_max is not one of target_all_mean, target_sparsity"),
        ("family", "all", "family=all is not one of position, source"),
        ("first", OTHER, f"first={OTHER} is not one of {ONE}, {TWO}"),
        ("second", "x" * 90, f"second={'x' * 60} is not one of {TWO}, {ONE}"),
        ("sae", OTHER, f"sae={OTHER} is not one of {ONE}"),
    ],
)
def test_a_value_of_the_link_that_is_not_there_is_said(tree, name, value, fault):
    at = open_compare(**{name: value})
    assert not at.exception
    assert f"Not used: {fault}." in warnings_of(at)
    assert len(warnings_of(at)) == 1
    assert numbers(at) == expected(summaries(tree))


@pytest.mark.parametrize(
    ("name", "value", "now"),
    [
        ("base", "Pre", "base_label"),
        ("chat", "Post", "chat_label"),
        ("target", "Self", "target_label"),
        ("control", "Other", "control_label"),
        ("q", "0.5", "max_q"),
        ("position", "newline", "token_types"),
        ("at_least", "2", "min_target"),
        ("at_most", "5%", "max_control"),
    ],
)
def test_an_old_word_of_the_link_is_said_with_the_one_that_took_its_place(tree, name, value, now):
    at = open_compare(**{name: value})
    assert warnings_of(at) == [f"Not used: {name}={value}, which is called {now} now."]
    assert numbers(at) == expected(summaries(tree))


def test_a_word_that_only_the_other_page_knows_is_said():
    at = open_compare(chart="volcano", max_q="0.1")
    assert warnings_of(at) == ["Not used: chart=volcano, which only the dashboard knows."]
    assert [block.proto.popover.label for block in at.get("popover")] == [":orange[1 fault in the link]"]
    assert at.session_state["max_q"] == 0.1
    assert warnings_of(open_app(among="significant")) == [
        "Not used: among=significant, which only the comparison knows."
    ]


def test_a_broken_source_is_said_beside_its_name_and_the_others_are_shown(tree):
    make_source(tree / "results" / SAE_FOLDER / "broken", base=model_data("chat"), chat=model_data("base"))
    at = open_compare()
    assert not at.exception
    assert heading(at) == "Comparison of 3 sources"
    assert f"{SAE_FOLDER}/broken cannot be shown." in said(at)
    assert "Were the two files swapped?" in said(at)
    assert numbers(at) == expected(summaries(tree, ONE, TWO, OTHER))


def test_where_no_source_can_be_read_that_is_all_there_is_to_say(tree):
    for name in (ONE, TWO, OTHER):
        (tree / "results" / name / "chat.pt").unlink()
    at = open_compare()
    assert not at.exception
    assert heading(at) == "Comparison of 0 sources"
    assert said(at).count("has no `chat.pt`") == 3
    assert not at.get("plotly_chart")


def test_a_results_folder_that_is_none_is_said(monkeypatch, tree):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tree / "nowhere"))
    at = open_compare()
    assert not at.exception
    assert "The results folder cannot be shown." in said(at)
    assert [button.key for button in at.button] == ["back"]


def test_a_file_that_was_replaced_is_read_again(tree):
    at = open_compare()
    before = numbers(at)
    shutil.rmtree(tree / "results" / ONE)
    make_source(tree / "results" / ONE, num_features=16)
    settled(at.run())
    assert numbers(at) == expected(summaries(tree)) != before


# ----------------------------------------------------------------------------
# Overlap.


def test_sources_of_one_sae_are_compared_and_the_other_is_not(tree):
    at = open_compare()
    assert at.selectbox(key="sae").options == ["gemma · SAE 131k-l0-114 · layer 20 (2 sources)"]
    first, second = summaries(tree, ONE, TWO)
    found = shared_features(first, second)
    assert listed(at) == list(zip(found["feature_id"].tolist(), found["token_type"].tolist(), strict=True))
    assert f"## {found['feature_id'].nunique()} shared features" in [text.value for text in at.markdown]
    assert f"No other source here is certain to read the SAE of '{OTHER}'." in said(at)
    assert chart(at, "overlap")["layout"]["xaxis"]["ticktext"] == ["personal_40", "second_40"]


@pytest.mark.parametrize(("position", "number"), [("newline", 5), ("asst", 0)], ids=["shared", "not shared"])
def test_a_position_narrows_what_is_shared(tree, position, number):
    at = open_compare(token_types=position)
    assert not at.warning
    found = shared_features(*summaries(tree, ONE, TWO), token_type=position)
    assert len(found) == number
    assert ("These two sources share none." in said(at)) == (not number)
    if number:
        assert listed(at) == list(zip(found["feature_id"].tolist(), found["token_type"].tolist(), strict=True))


def test_significant_features_alone_can_be_compared(tree):
    at = open_compare(among="significant", max_q="0.01")
    assert not at.warning
    found = shared_features(*summaries(tree, ONE, TWO), Asked(alpha=0.01), only_evidence=True)
    assert (len(found), len(shared_features(*summaries(tree, ONE, TWO)))) == (5, 19)
    assert listed(at) == list(zip(found["feature_id"].tolist(), found["token_type"].tolist(), strict=True))


@pytest.mark.parametrize("cell", [[1, 0], {"0": 1, "1": 0}], ids=["list", "dict"])
def test_a_click_on_a_cell_lists_its_two_sources(cell):
    at = open_compare()
    point = {"customdata": cell, "x": 0, "y": 1}
    send(at, element(at, "overlap"), {"selection": {"points": [point], "point_indices": [0], "box": [], "lasso": []}})
    assert not at.exception
    assert (at.session_state["first"], at.session_state["second"]) == (TWO, ONE)
    assert link(at) == {"first": [TWO], "second": [ONE]}
    assert len(chart(at, "overlap")["layout"]["shapes"]) == 1
    send(at, element(at, "overlap"), {"selection": {"points": [], "point_indices": [], "box": [], "lasso": []}})
    assert at.session_state["first"] == TWO, "a click beside the cells picks nothing"


def test_one_source_with_itself_lists_its_own_features(tree):
    at = open_compare(first=ONE, second=ONE)
    (source,) = summaries(tree, ONE)
    assert f"## {len(source.ids())} features" in [text.value for text in at.markdown]


def test_a_pair_that_is_no_longer_chosen_is_not_compared(tree):
    make_source(tree / "results" / SAE_FOLDER / "third_40")
    at = open_compare(first=TWO, second=ONE)
    at.multiselect(key="sources").set_value([ONE, f"{SAE_FOLDER}/third_40"]).run()
    assert not at.exception
    assert (at.session_state["first"], at.session_state["second"]) == (ONE, ONE), (
        "the first of all, and what was chosen"
    )


def test_q_of_shared_features_is_written_as_everywhere():
    """Its exponent had a hyphen for a minus sign; as numbers these columns still sort."""
    at = open_compare()
    (frame,) = [frame for frame in at.dataframe if "first_q" in frame.value]
    seen = pa.ipc.open_stream(frame.proto.arrow_data.styler.display_values).read_pandas()
    for name in ("first_q", "second_q"):
        column = frame.value.columns.get_loc(name)
        assert frame.value[name].dtype == np.float64
        assert seen.iloc[:, column].tolist() == [p_text(q) for q in frame.value[name]]


# ----------------------------------------------------------------------------
# Questions, and what they rest on.


@pytest.mark.parametrize("question", ["exclusive", "changed", "specific", "any"])
def test_charts_follow_the_question(tree, question):
    at = open_compare(question=question)
    assert not at.exception
    assert not at.warning
    assert link(at) == ({} if question == "exclusive" else {"question": [question]})
    drawn = [trace for trace in chart(at, "bars")["data"] if "evidence" not in trace["name"]]
    tidy = counts(summaries(tree), questions=[question])
    assert sum(number or 0 for trace in drawn for number in trace["x"]) == tidy["kept"].sum()
    assert numbers(at) == expected(summaries(tree)), "the table has every question"
    at.radio(key="question").set_value("changed").run()
    assert link(at) == {"question": ["changed"]}
    assert "Counted: features whose mean activation changed from Base to Instruct on Target prompts" in said(at)


def test_the_metric_is_that_of_the_tests(tree):
    at = open_compare(question="changed", metric="target_sparsity")
    assert not at.warning
    assert numbers(at) == expected(summaries(tree), metric="target_sparsity") != expected(summaries(tree))
    assert "whose activation frequency changed" in said(at)


def test_the_family_is_that_of_the_tests(tree):
    """At a largest q that lies between a feature's q of its position and its q of all positions."""
    each, whole = ([source.q(Asked("changed"))[0] for source in summaries(tree, ONE, family=f)] for f in FAMILIES)
    max_q = round((each[0] + whole[0]) / 2, 6)
    at = open_compare(question="changed", family="source", max_q=str(max_q))
    assert not at.warning
    found = [expected(summaries(tree, family=family), max_q) for family in FAMILIES]
    assert numbers(at) == found[1] != found[0]


def open_compare_at_once(**link):
    """The comparison after its first run, whatever is still being tested."""
    at = AppTest.from_file(APP, default_timeout=60)
    for name, value in link.items():
        at.query_params[name] = value
    return at.switch_page("featurediff/app/compare.py").run()


def test_published_counts_are_there_at_once_and_others_when_they_are_tested(monkeypatch, tree):
    """Nothing waits for the tests: what is not known is missing, and the page says that it will come."""
    gate = Event()
    tested = compared.read_evidence

    def wait(*args):
        gate.wait()
        return tested(*args)

    monkeypatch.setattr(compared, "read_evidence", wait)
    monkeypatch.setattr(compared, "PATIENCE", 0)
    make_source(tree / "results" / "new", num_features=24)  # one that no test has opened before
    try:
        at = open_compare_at_once(sources=["new"])
        assert "What changed is still being tested in 1 source: “–” stands for what is not known yet." in said(at)
        whole = expected(summaries(tree, "new"))
        assert numbers(at) == [[row[0], *[None] * 7] for row in whole]
        bars = chart(at, "bars")["data"]
        assert {trace["name"] for trace in bars if any(trace["x"])} == {"model, kept", "newline, kept"}
    finally:
        gate.set()
    assert numbers(settled(at)) == whole


def test_a_source_that_goes_while_it_is_tested_is_said(monkeypatch, tree):
    monkeypatch.setattr(compared, "read_evidence", refuse)
    make_source(tree / "results" / "new", num_features=40)
    at = open_compare(sources=["new"])
    assert not at.exception
    assert "new cannot be shown." in said(at)
    assert "The files have gone." in said(at)
    assert [row[0] for row in numbers(at)] == [row[0] for row in expected(summaries(tree, "new"))]
    monkeypatch.undo()
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tree))
    assert numbers(settled(at.run())) == expected(summaries(tree, "new")), "the next run tries again"


def refuse(*_):
    msg = "The files have gone."
    raise DataError(msg)


def test_overlaps_are_of_what_changed_where_base_and_chat_are_paired(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "paired"))
    for i, name in enumerate("ab"):
        make_paired(tmp_path / "paired" / SAE_FOLDER / name, seed=i)
    at = open_compare()
    assert not at.exception
    said_of = "Features that changed on Target at any position (q at most 0.05); of those that the published rule keeps"
    assert said_of in said(at)
    first, second = summaries(tmp_path / "paired")
    changed = shared_features(first, second, Asked("changed"))
    assert 0 < len(changed) < len(shared_features(first, second))
    assert listed(at) == list(zip(changed["feature_id"].tolist(), changed["token_type"].tolist(), strict=True))
    same = "All sources have the same Target and Control prompts."
    assert same in said(at), "they have the same texts"
    assert "same" not in all_counts(at), "where all are alike a column says nothing more"
    (frame,) = [frame.value for frame in at.dataframe if "first_q" in frame.value]
    assert set(frame["first_direction"]) <= {"↑", "↓", "–"}
    at.selectbox(key="among").set_value("kept").run()
    assert listed(at) == [
        (feature, name) for feature, name in shared_features(first, second)[["feature_id", "token_type"]].to_numpy()
    ]
    at.selectbox(key="among").set_value("specific").run()
    assert "Features that changed on Target more than on Control at any position (q at most 0.05)." in said(at)


def test_overlaps_of_unpaired_sources_are_of_the_published_rule_and_say_so():
    at = open_compare()
    why = "as not every source has tests of base and chat on the same prompts (activations.parquet)."
    assert f"Features that the published rule keeps at any position, {why}" in said(at).replace("\\", "")


def test_numbers_of_prompts_stand_beside_the_counts():
    """Base has 8 target and 7 control prompts, chat 9 and 6."""
    at = open_compare()
    assert set(all_counts(at)["prompts"]) == {"8/9 + 7/6"}
    assert "groups" not in all_counts(at), "no file names groups"
    assert "same" not in all_counts(at), "nor prompts"
    assert "Numbers of prompts differ (Target: 8, 9; Control: 6, 7)" in said(at).replace("\\", "")


def test_sources_of_the_same_prompts_have_equal_numbers(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "paired"))
    for i, name in enumerate("abc"):
        make_paired(tmp_path / "paired" / SAE_FOLDER / name, seed=i, texts="{} of c" if name == "c" else "{}")
    make_source(tmp_path / "paired" / SAE_FOLDER / "d")
    at = open_compare()
    assert all_counts(at)["same"].tolist()[::2] == ["1 + 1", "1 + 1", "2 + 2", "–"]
    assert "a, b have the same Target and Control prompts." in said(at)


def test_the_counts_can_be_downloaded(tree, download):
    open_compare(max_q="0.2")
    frame = pd.read_csv(io.StringIO(download("comparison.csv")))
    tidy = counts(summaries(tree), 0.2)
    assert frame.columns.tolist() == tidy.columns.tolist()
    assert frame["kept"].tolist() == tidy["kept"].tolist()
    pairs = pd.read_csv(io.StringIO(download("overlaps.csv")))
    assert pairs[["first", "second"]].to_numpy().tolist() == [[ONE, TWO]]


# ----------------------------------------------------------------------------
# There and back.


def press(at, key):
    return at.button(key=key).click().run()


def test_the_dashboard_is_found_as_it_was_left():
    at = open_app(source=TWO, metric="target_max", search="commas", feature="2@newline", min_target="2")
    press(at, "compare")
    assert not at.exception
    assert heading(at) == "Comparison of 3 sources"
    assert at.session_state["min_target"] == 2, "the dashboard's rule goes along"
    at.query_params["min_target"] = "3"  # as the browser does
    at.query_params["max_q"] = "0.5"
    at.multiselect(key="sources").set_value([TWO])
    at.number_input(key="min_target").set_value(3.0)
    at.number_input(key="max_q").set_value(0.5).run()
    press(at, "back")
    assert not at.exception
    assert not at.warning
    assert title(at) == "Active on Target only · Maximum activation, Base → Instruct"
    state = {name: at.session_state[name] for name in ("source", "metric", "search", "min_target")}
    assert state == {
        "source": TWO,
        "metric": "target_max",
        "search": "commas",
        "min_target": 2.0,
    }
    assert held(at).picked == ("newline", 2)
    assert count(at) == "2 of 12 features"
    press(at, "compare")
    assert at.session_state["sources"] == [TWO], "and so is the comparison"
    assert at.session_state["min_target"] == 2, "but for what is asked"


def selected(*points):
    return {"selection": {"points": list(points), "point_indices": [0], "box": [], "lasso": []}}


def test_a_bar_opens_its_source_at_its_position_with_the_question():
    """The features that the dashboard then shows are those that the bar counts."""
    at = open_compare(question="changed", max_q="0.9", metric="target_sparsity", family="source", min_target="2")
    row = next(i for i, source in enumerate(all_counts(at)["source"]) if source.endswith("second_40"))
    changed = int(all_counts(at)["changed_kept"][row])
    position = all_counts(at)["token_type"][row]
    send(at, element(at, "bars"), selected({"customdata": [row]}))
    assert not at.exception
    assert held(at).opened == TWO
    asked = {name: at.session_state[name] for name in ("question", "metric", "family", "alpha", "min_target")}
    expected_state = ("changed", "target_sparsity", "source", 0.9, 2.0)
    assert tuple(asked.values()) == expected_state
    assert at.session_state["token_types"] == [position]
    assert count(at).split()[0] == str(changed)


def test_filters_that_would_hide_what_was_counted_are_dropped():
    at = open_app(source=TWO, search="commas", ids="3", exclusivity="chat")
    press(at, "compare")
    settled(at)
    send(at, element(at, "bars"), selected({"customdata": {"0": 0}}))
    assert not at.exception
    assert held(at).opened == ONE
    assert at.session_state["search"] == ""
    assert set(link(at)) == {"source", "token_types"}


def click(at, key, row):
    """Press a button in a row of a table, as the browser does."""
    at.session_state[key] = {"row": row}
    return at.run()


def test_a_row_opens_its_source():
    at = open_compare()
    row = next(i for i, source in enumerate(all_counts(at)["source"]) if source.endswith("other_set"))
    click(at, "open_source", row)
    assert not at.exception
    assert (held(at).opened, held(at).picked) == (OTHER, None)


def test_a_shared_feature_opens_in_a_source_that_keeps_it():
    at = open_compare(question="changed", among="kept")
    (frame,) = [frame.value for frame in at.dataframe if "first_q" in frame.value]
    missing = frame["first_exclusivity"] == "–"
    assert missing.any()
    row = int(missing.to_numpy().argmax())
    feature, position = listed(at)[row]
    click(at, "open_feature", row)
    assert not at.exception
    assert (held(at).opened, held(at).picked) == (TWO, (position, feature))
    assert at.session_state["question"] == "exclusive", "by which it is kept, not that of the bars"


def test_a_shared_feature_opens_under_the_question_that_keeps_it(monkeypatch, tmp_path):
    """Features that changed are listed below the counts of the published rule, which need not keep them."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "paired"))
    for i, name in enumerate("ab"):
        make_paired(tmp_path / "paired" / SAE_FOLDER / name, seed=i)
    at = open_compare()
    feature, position = listed(at)[0]
    click(at, "open_feature", 0)
    assert not at.exception
    assert held(at).picked == (position, feature)
    assert at.session_state["question"] == "changed"


def test_the_browsers_way_back_leads_to_the_dashboards_own_choices():
    """Nothing tells a page that it was left: what the comparison held under the same name counted before the link."""
    at = open_app(source=TWO, metric="target_max")
    press(at, "compare")
    at.radio(key="question").set_value("changed").run()
    at.query_params.clear()
    at.query_params["source"], at.query_params["metric"] = TWO, "target_max"  # as the browser does
    at.switch_page("streamlit_app.py").run()
    assert not at.exception
    assert (at.session_state["metric"], at.session_state["question"]) == ("target_max", "exclusive")
    assert link(at) == {"source": [TWO], "metric": ["target_max"]}


def test_the_labels_of_the_dashboard_are_used():
    at = open_app(base_label="Pre", chat_label="Post", target_label="Introspective")
    press(at, "compare")
    notes = [note["text"] for note in chart(at, "bars")["layout"]["annotations"]]
    assert notes == ["Both Introspective", "Pre Introspective", "Post Introspective"]
    assert "on at least 1 of a model’s Introspective prompts" in said(at)
    at.run()
    assert "Introspective" in said(at)


def test_a_star_outlives_the_comparison():
    at = open_app(feature="2@model")
    held(at).stars = {(ONE, 2): "mine"}
    press(at, "compare")
    press(at, "back")
    assert held(at).stars == {(ONE, 2): "mine"}


def test_words_of_strangers_are_shown_as_written(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "hostile"))
    digests = {p: {"name": HOSTILE, "sha256": "a" * 64} for p in ("target", "control")}
    token_types = (HOSTILE, "</script><img src=x onerror=alert(1)>")
    words = {"source": HOSTILE, "model_type": HOSTILE, "sae_trainer": HOSTILE, "prompt_files": digests}
    folder = tmp_path / "hostile" / "![x](y)_trainer:red[z]_layer3"
    make_source(folder / "<b>p_40</b>", token_types=token_types, **words, sae_release="r", sae_id="i")
    make_source(folder / "*q*", token_types=token_types, **words, sae_release="r", sae_id="i")
    make_source(folder / "broken :red[x]", base=model_data("chat"), chat=model_data("base"))
    make_explanations(tmp_path / "hostile" / "explanations" / f"{folder.name}.csv", [("0", HOSTILE)])
    asked = {"token_types": HOSTILE, "base_label": f"base {HOSTILE}"[:40], "among": HOSTILE}
    for more in ({}, {"sources": HOSTILE}, {"token_types": "", "min_target": HOSTILE, "position": HOSTILE}):
        at = open_compare(**(asked | more))
        assert not at.exception
        texts = markdown_texts(at)
        assert any(r"\!\[" in text or r"\<b\>" in text for text in texts)
        for text in texts:
            assert "![" not in text
            assert "](" not in text
            assert "<b>" not in text
            assert ":red[" not in text


def test_every_widget_says_what_it_does():
    at = open_compare()
    widgets = [*at.selectbox, *at.text_input, *at.number_input, *at.multiselect, *at.button]
    widgets += [*at.get("button_group"), *at.get("download_button")]
    assert [widget.proto.label or widget.key for widget in widgets if not widget.proto.help] == []
