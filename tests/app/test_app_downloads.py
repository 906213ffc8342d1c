"""The dashboard's downloads: built on click, in a thread that knows nothing of the session."""

import errno
import io
import re

import pandas as pd
import pytest
from builders import make_explanations, make_source
from conftest import SAE_FOLDER
from dashboard import draw_box, open_app, rows, said

from featurediff import export, load
from featurediff.features.listing import list_features
from featurediff.features.questions import Asked
from featurediff.features.ranked import rank, ranking_csv


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    """A results tree of one source with explanations."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv")
    return make_source(tmp_path / "results" / SAE_FOLDER / "personal_40")


def test_each_file_holds_what_is_shown(results, download):
    """The page could not be made at all: it asked the session for its box and its stars, where there is no session."""
    at = open_app(chart="ranking", token_types="newline", exclusivity="base")
    study = load(results)
    kept = study.table()
    shown = kept[(kept["token_type"] == "newline") & (kept["exclusivity"] == "base")]
    table = list_features(shown, Asked("exclusive", "target_all_mean"))
    assert download("_target_all_mean.csv") == export.csv_text(table, "target_all_mean")
    assert pd.read_parquet(io.BytesIO(download(".parquet")))["feature_id"].tolist() == [i for _, i in rows(at)]
    assert download("ranking.csv") == ranking_csv(rank(shown, Asked(), study.origin), Asked())
    page = download(".html").decode()
    assert "<title>Active on Target only · Mean activation, Base → Instruct" in page
    assert f"Shown</dt><dd>{len(shown)} of {len(kept)} kept features: position newline; exclusive in Base</dd>" in page
    assert all(f"<dt>{name}</dt><dd>SHA-256 {digest}</dd>" in page for name, digest in study.files.items())
    assert "<dt>Box</dt>" not in page
    assert "<dt>Stars</dt>" not in page


def test_page_says_what_narrows_it_beside_the_filters(download):
    at = open_app(feature="2@model")
    draw_box(at, [{"legendgroup": "model", "customdata": 2}, {"legendgroup": "model", "customdata": 3}])
    at.button(key="star").click().run()
    at.toggle(key="starred").set_value(True).run()
    page = download(".html").decode()
    assert "1 of 12 kept features" in page
    assert "<dt>Box</dt><dd>only features inside a box on the chart</dd>" in page
    assert "<dt>Stars</dt><dd>only features that were starred by hand</dd>" in page
    assert download("stars.csv").splitlines()[1:] == [f'"{SAE_FOLDER}/personal_40",2,""']


@pytest.mark.parametrize(
    ("kind", "builder", "error"),
    [
        ("CSV", "csv_text", OSError(errno.ENOSPC, "No space left on device")),
        ("HTML", "html_page", MemoryError()),
        ("Parquet", "parquet_bytes", OSError(errno.ENOSPC, "No space left on device")),
    ],
)
def test_file_that_cannot_be_made_is_said_and_the_session_goes_on(monkeypatch, download, kind, builder, error):
    at = open_app()

    def fail(*_args, **_more):
        raise error

    ending = "_target_all_mean.csv" if kind == "CSV" else f".{kind.lower()}"
    with monkeypatch.context() as patch:
        patch.setattr(export, builder, fail)
        found = download(ending)
    assert re.fullmatch(r"The file could not be made: (\[Errno 28\] No space left on device|MemoryError)\n", found)
    at.run()
    assert not at.exception
    assert f"The {kind} file could not be made." in said(at)
    assert found.removeprefix("The file could not be made: ").strip() in [code.value for code in at.code]
    at.run()
    assert not at.error, "said once"
    assert "could not be made" not in str(download(ending))[:99]
