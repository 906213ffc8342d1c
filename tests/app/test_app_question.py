"""The question: what it keeps, what the page says of it, and what is shown before the changes are tested."""

import threading

import pytest
from builders import make_explanations, make_source
from dashboard import column, count, figure, finding, held, open_app, rows, said, table_of, title

from featurediff import load
from featurediff.app.dashboard import findings
from featurediff.charts.view import View
from featurediff.features.questions import QUESTIONS
from featurediff.study import Study

SAE = "gemma_trainer131k-l0-114_layer20"


@pytest.fixture
def results(monkeypatch, tmp_path):
    folder = make_source(tmp_path / "results" / SAE / "personal_40", num_target_prompts=9)
    make_explanations(tmp_path / "explanations" / f"{SAE}.csv")
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "results"))
    return folder


def plain(text):
    return text.replace("\\", "")


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_keeps_its_features_and_says_so(results, question):
    at = open_app(question=question)
    assert not at.exception
    study, view = load(results), View(question=question)
    kept = study.table_of(view)
    assert sorted(rows(at)) == sorted(zip(kept["token_type"], kept["feature_id"], strict=True))
    assert count(at) == f"{len(kept)} features"
    assert finding(at) == study.finding(view)


def test_every_choice_carries_its_count(results):
    at = open_app()
    study = load(results)
    counts = [len(study.table(question=question)) for question in QUESTIONS]
    assert [plain(option) for option in at.radio(key="question").options] == [
        f"Active on Target only ({counts[0]})",
        f"Changed on Target ({counts[1]})",
        f"Changed on Target more than on Control ({counts[2]})",
        f"Any of these ({counts[3]})",
    ]


def test_title_table_and_axes_follow_the_question(results):
    """The difference of two changes stood under the header of a plain change."""
    at = open_app(question="specific")
    assert title(at) == "What changed on Target more than on Control · Mean activation, Base → Instruct"
    shown = table_of(at).value.set_index(["token_type", "feature_id"])["effect"].to_dict()
    change = load(results).table(question="specific").set_index(["token_type", "feature_id"])["all_mean_specific"]
    assert {key: text.partition(" (")[0] for key, text in shown.items()} == change.map("{:+.0f}".format).to_dict()
    assert column(at, "effect") == (
        "Change vs Control",
        "Change of mean activation on Target more than on Control: the change on Target minus that on Control, with "
        "its 95 % interval.",
    )
    layout = figure(at)["layout"]
    assert layout["xaxis"]["title"]["text"] == "Mean activation: change on Control"
    assert layout["yaxis"]["title"]["text"] == "Mean activation: change on Target"
    at.radio(key="question").set_value("changed").run()
    assert title(at) == "What changed from Base to Instruct on Target · Mean activation, Base → Instruct"
    assert column(at, "effect") == ("Change", "Change of mean activation on Target, with its 95 % interval.")


@pytest.mark.usefixtures("results")
def test_a_metric_that_nothing_tests_has_no_volcano():
    at = open_app(chart="volcano", metric="target_max")
    assert not at.exception
    assert "Nothing tests maximum activation, so it has no volcano." in said(at)


@pytest.mark.usefixtures("results")
def test_unknown_question_is_said():
    at = open_app(question="why")
    assert [warning.value.replace("\\", "") for warning in at.warning] == [
        "Not used: question=why is not one of exclusive, changed, specific, any."
    ]
    assert title(at).startswith("Active on Target only")


@pytest.mark.usefixtures("results")
def test_the_published_rule_is_shown_before_the_changes_are_tested(monkeypatch):
    ready, real = threading.Event(), Study.changes

    def slow(study, family="position"):
        ready.wait(30)
        return real(study, family)

    monkeypatch.setattr(Study, "changes", slow)
    monkeypatch.setattr(findings, "PATIENCE", 0.01)
    at = open_app(feature="2@model")
    assert not at.exception
    assert count(at) == "12 features"
    assert "is still being tested" in said(at)
    assert [option.endswith(")") for option in at.radio(key="question").options] == [True, False, False, False]
    assert all(button.proto.disabled for button in at.main.get("download_button"))
    assert held(at).picked == ("model", 2)
    ready.set()
    monkeypatch.setattr(findings, "PATIENCE", 30)
    at.run()
    assert not at.exception
    assert "is still being tested" not in said(at)
    assert all(option.endswith(")") for option in at.radio(key="question").options)
    assert not any(button.proto.disabled for button in at.main.get("download_button"))
