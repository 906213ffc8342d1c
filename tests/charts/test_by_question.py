"""What charts and words say under each question, of features whose story is known."""

from typing import get_args

import numpy as np
import pytest
from stories import STORIES, write_stories
from tables import check_golden

from featurediff import load
from featurediff.charts.chart import make_chart
from featurediff.charts.view import Kind, View
from featurediff.features.evidence_columns import changes_on_control, goes_against
from featurediff.features.questions import QUESTIONS, effect_of
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.labels import Labels

MINE = Labels("Pre", "Post", "Self", "Other")
MEAN, SHARE = "target_all_mean", "target_sparsity"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("stories")
    for name in ("paired", "unpaired"):
        write_stories(home / name, with_activations=name == "paired")
    return home


@pytest.fixture(scope="module", params=["paired", "unpaired"])
def study(request, folder):
    return load(folder / request.param)


def rows_of(study, question, metric=SHARE):
    return study.table_of(View(metric, question=question, labels=MINE)).set_index("feature_id", drop=False)


def hovers(study, view):
    """What the hover text of each feature ends with, in lines."""
    drawing = make_chart(study.table_of(view), view, study.origin).draw(study.table_of(view), view)
    return {
        int(numbers[0]): text.split("<br>")
        for trace in drawing["data"]
        if "customdata" in trace
        for numbers, text in zip(trace["customdata"], trace["text"], strict=True)
    }


def test_what_each_question_keeps(study):
    assert rows_of(study, "exclusive").index.tolist() == [0, 1, 2, 3, 4, 5]
    assert rows_of(study, "changed").index.tolist() == [1, 2, 3, 4, 6]
    assert set(rows_of(study, "specific").index) >= {0, 1, 3, 4}
    assert set(rows_of(study, "any").index) == {0, 1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("metric", [SHARE, MEAN])
def test_features_that_left_control_are_exclusive_against_their_change(study, metric):
    """36/40, 33/40 → 35/40, 0/40 and the like: “exclusive in chat”, though chat uses them less."""
    kept = rows_of(study, "exclusive", metric)
    assert kept["exclusivity"].astype("str").tolist() == ["chat", "chat", "chat", "chat", "base", "both"]
    assert kept["inconsistent"].tolist() == [True, True, True, False, True, False]
    assert kept["direction"].astype("str").tolist() == ["decrease"] * 3 + ["increase", "decrease", "none"]
    assert goes_against(kept, metric).tolist() == [True] * 3 + [False] * 3
    whole = rows_of(study, "any", metric)
    assert changes_on_control(whole, metric)[:5].tolist() == [True] * 3 + [False] * 2
    said = study.finding(View(metric, labels=MINE))
    assert said.startswith("6 features are active on Self only; ")
    assert said.endswith(" 3 do not change as their class suggests.")


@pytest.mark.parametrize("chart", get_args(Kind))
def test_hover_says_what_the_class_does_not(study, chart):
    less = "<b>Exclusive, but Post uses it less than Pre on Self prompts</b>"
    on_control = "<b>It changed more on Other than on Self prompts</b>"
    exclusive = hovers(study, View(SHARE, chart=chart, labels=MINE))
    for feature, lines in exclusive.items():
        assert (less in lines) == (feature in (0, 1, 2))
        assert on_control not in lines
    specific = hovers(study, View(SHARE, chart=chart, question="specific", labels=MINE))
    for feature, lines in specific.items():
        assert (less in lines) == (on_control in lines) == (feature in (0, 1, 2))


def test_effect_of_what_left_control_is_relative_to_control(study):
    """+32, +26 and +8 of 40 prompts relative to control, of which chat has one, eleven and 32 fewer on target."""
    kept = rows_of(study, "any")
    np.testing.assert_allclose(kept.loc[[0, 1, 2], "sparsity_change"], np.array([-1, -11, -32]) / 40)
    np.testing.assert_allclose(kept.loc[[0, 1, 2], "sparsity_specific"], np.array([32, 26, 8]) / 40)
    specific = rows_of(study, "specific")
    assert (specific["direction"].astype("str")[[0, 1]] == "increase").all()
    on_control = int(np.isin(specific.index, [0, 1, 2]).sum())
    assert study.finding(View(SHARE, question="specific", labels=MINE)).startswith(
        f"{len(specific)} features changed by different amounts on Self and on Other (q ≤ 0.05): "
        f"{len(specific) - on_control} more on Self (1 up, 1 down), {on_control} more on Other. 6 are active on Self "
    )


def test_scatter_of_what_is_specific_is_change_against_change(study):
    view = View(SHARE, question="specific", spread=False, labels=MINE)
    kept = study.table_of(view)
    drawing = study.draw(kept, view)
    found = {
        int(numbers[0]): (x, y)
        for trace in drawing["data"]
        if "customdata" in trace
        for x, y, numbers in zip(trace["x"], trace["y"], trace["customdata"], strict=True)
    }
    for feature, at in found.items():
        (base_target, base_control), (chat_target, chat_control) = STORIES[feature]
        assert at == pytest.approx(((chat_control - base_control) / 40, (chat_target - base_target) / 40))
    assert drawing["data"][-1]["name"] == "Changed alike"


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("chart", ["volcano", "ranking"])
def test_charts_show_the_effect_of_the_question(study, chart, question):
    view = View(SHARE, question=question, chart=chart, spread=False, labels=MINE)
    kept = study.table_of(view).set_index("feature_id", drop=False)
    effect = effect_of(question, SHARE)
    drawing = study.draw(study.table_of(view), view)
    count = 0
    for trace in [trace for trace in drawing["data"] if "customdata" in trace]:
        for x, y, numbers in zip(trace["x"], trace["y"], trace["customdata"], strict=True):
            row = kept.loc[int(numbers[0])]
            assert x == pytest.approx(row[effect])
            assert numbers[8:11] == pytest.approx(
                [100 * row[f"{effect}{ending}"] for ending in ("", "_low", "_high")], rel=1e-6, nan_ok=True
            )
            if chart == "volcano":
                assert y == pytest.approx(-np.log10(row[f"{effect}_q"]), abs=1e-12)
            count += 1
    assert count == (len(kept) if chart == "volcano" else (kept[effect] != 0).sum())
    assert "more than on Other" in drawing["layout"]["xaxis"]["title"]["text"] or question != "specific"


def test_golden_figures(folder):
    """Every chart under every question: titles, axes, notes, and where every feature stands with which numbers."""
    study, lines = load(folder / "unpaired"), []
    for question in QUESTIONS:
        for chart in get_args(Kind):
            view = View(SHARE, question=question, chart=chart, labels=MINE)
            drawing = study.draw(study.table_of(view), view)
            layout = drawing["layout"]
            lines += [
                "",
                f"{question} | {chart} | {layout['title']['text']} | {layout['title']['subtitle']['text']}",
                *(layout[f"{axis}axis"].get("title", {}).get("text", "") for axis in "xy"),
                " | ".join(note["text"] for note in layout.get("annotations", [])),
                *(
                    f"{trace['name']}: " + " ".join(f"{number:.3g}" for number in numbers)
                    for trace in drawing["data"]
                    if "customdata" in trace
                    for numbers in trace["customdata"]
                ),
            ]
    check_golden("by_question.txt", "\n".join(lines) + "\n")


def test_details_say_what_the_class_does_not(study):
    class_of_all = (
        "Self prompt-exclusive feature for Post. This feature is also active on the Pre model’s Other prompts. "
        "Exclusive, but Post uses it less than Pre on Self prompts."
    )
    changes = {0: "−2.5 pp", 1: "−27.5 pp", 2: "−80 pp"}
    relative = {0: "+80 pp", 1: "+65 pp", 2: "+20 pp"}
    for feature, change in changes.items():
        said = study.answer_of("model", feature, View(SHARE, labels=MINE))
        assert said[0].startswith(f"Change of activation frequency on Self: {change} (")
        assert ", less in Post; q = " in said[0]
        before, after = STORIES[feature]
        for line, model, (target, control) in zip(said[1:3], ("Pre", "Post"), (before, after), strict=True):
            assert line.startswith(f"{model}: active on {target}/40 on Self and {control}/40 on Other; q = ")
        assert said[3] == class_of_all
        said = study.answer_of("model", feature, View(SHARE, question="specific", labels=MINE))
        assert said[0].startswith(f"Change of activation frequency on Self more than on Other: {relative[feature]} (")
        assert ", up relative to Other; q = " in said[0]
        assert said[1:] == [f"{class_of_all} It changed more on Other than on Self prompts."]


def test_details_of_other_classes(study):
    def last(feature, question="exclusive", **how):
        return study.answer_of("model", feature, View(SHARE, question=question, labels=MINE), **how)[-1]

    assert last(3) == "Self prompt-exclusive feature for Post."
    assert last(4) == (
        "Self prompt-exclusive feature for Pre. This feature is also active on the Post model’s Other prompts."
    )
    assert last(5) == "Self prompt-exclusive feature for both models."
    assert last(6, "specific") == "Not Self prompt-exclusive in either model."
    assert study.answer_of("model", 7, View(SHARE, question="specific", labels=MINE))[0].startswith(
        "Change of activation frequency on Self more than on Other: +0 pp"
    )
    before_the_tests = last(0, with_changes=False)
    assert before_the_tests == (
        "Self prompt-exclusive feature for Post. This feature is also active on the Pre model’s Other prompts."
    )


def test_the_class_goes_by_the_thresholds(study):
    view = View(SHARE, thresholds=Thresholds(Threshold(10), Threshold(3)), labels=MINE)
    assert study.answer_of("model", 4, view)[-1] == "Self prompt-exclusive feature for Pre."
    assert study.answer_of("model", 5, view)[-1] == "Not Self prompt-exclusive in either model."
