"""Table and details say what a class alone would hide."""

import pytest
from dashboard import open_app, said, table_of
from stories import write_stories


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    return write_stories(tmp_path / "stories")


@pytest.mark.parametrize("question", ["exclusive", "specific"])
def test_class_in_the_table(question):
    """“Instruct” alone said that tuning brought what it took away."""
    cells = table_of(open_app(question=question, metric="target_sparsity")).value.set_index("feature_id")["exclusivity"]
    for feature in (0, 1, 2):
        assert cells[feature] == "Instruct, inconsistent, but falls"
    assert cells[3] == "Instruct"
    assert cells[4] == "Base, inconsistent"
    if question == "exclusive":
        assert cells[5] == "Both"


def test_class_in_the_details():
    at = open_app(question="specific", metric="target_sparsity", feature="1@model")
    words = said(at)
    assert "+65 pp" in words
    assert "up relative to Control" in words
    assert "Exclusive, but Instruct uses it less than Base on Target prompts." in words
    assert "It changed more on Control than on Target prompts." in words
