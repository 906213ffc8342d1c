"""`fit` and `difference` of the metadata, and `difference.parquet`: what is read, left out or refused."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from builders import NUM_FEATURES, TOKEN_TYPES, make_source, model_data

from featurediff.errors import DataError
from featurediff.loading import load
from featurediff.sources.fit import parse_fit
from featurediff.sources.result_files import read_results
from featurediff.sources.shares import read_shares

GOOD = {"variance_explained": 0.8, "relative_error": 0.1, "cosine": 0.9, "norm": 20.5, "l0": 31}


def parse(fit=None, difference=None):
    fields = {"fit": fit, "difference": difference}
    return parse_fit({name: value for name, value in fields.items() if value is not None}, TOKEN_TYPES, "chat.pt")


def test_reads_numbers_by_position_and_prompt_set():
    found = parse(
        {"model": {"target": GOOD, "control": GOOD | {"variance_explained": None}}, "newline": {"target": GOOD}},
        {"newline": {"target": {"norm": 0.0, "share": None}}},
    )
    assert found.faults == ()
    assert list(found.fit) == [("model", "target"), ("model", "control"), ("newline", "target")]
    assert found.fit["model", "target"] == GOOD
    assert math.isnan(found.fit["model", "control"]["variance_explained"])
    assert found.difference.keys() == {("newline", "target")}
    assert parse().fit == parse().difference == {}


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (
            {"model": {"target": GOOD | {"variance_explained": 1.5}}},
            "`chat.pt`: fit['model']['target']['variance_explained'] in the metadata is 1.5, but expected a number "
            "from -inf to 1. Left out.",
        ),
        (
            {"newline": {"control": GOOD | {"l0": "many"}}},
            "`chat.pt`: fit['newline']['control']['l0'] in the metadata is 'many', but expected a number from 0 to "
            "inf. Left out.",
        ),
        (
            {"model": {"target": GOOD | {"norm": math.inf}}},
            "`chat.pt`: fit['model']['target']['norm'] in the metadata is inf, but expected a number from 0 to inf. "
            "Left out.",
        ),
        (
            {"model": {"target": GOOD | {"cosine": True}}},
            "`chat.pt`: fit['model']['target']['cosine'] in the metadata is True, but expected a number from -1 to 1. "
            "Left out.",
        ),
        (7, "`chat.pt`: `fit` in the metadata is 7, but expected numbers by token type and prompt set. Left out."),
        (
            {"elsewhere": {"target": GOOD}},
            "`chat.pt`: `fit` in the metadata is a dict, but expected numbers by token type and prompt set. Left out.",
        ),
    ],
)
def test_leaves_out_what_is_no_fit_and_says_so(fit, message):
    found = parse(fit, {"model": {"target": {"norm": 2.0, "share": -0.5}}})
    assert found.fit == {}
    assert found.difference == {("model", "target"): {"norm": 2.0, "share": -0.5}}
    assert found.faults == (message,)


@pytest.mark.parametrize("odd", [math.nan, 10**400, -(10**400)])
def test_takes_no_number_that_is_none(odd):
    """A whole number too large for a float raised OverflowError."""
    assert len(parse({"model": {"target": GOOD | {"norm": odd}}}).faults) == 1


def test_a_source_is_read_with_a_broken_fit(tmp_path):
    make_source(tmp_path, chat=model_data("chat", fit=[1]))
    fault = "`chat.pt`: `fit` in the metadata is a list, but expected numbers by token type and prompt set. Left out."
    assert fault in load(tmp_path).notes()


ROWS = pd.DataFrame(
    {
        "token_type": ["newline", "model", "newline", "newline"],
        "prompt_set": ["target", "target", "control", "target"],
        "feature_id": [5, 1, 5, 2],
        "share": [0.25, 0.5, -0.125, -0.75],
        "cosine": [0.1, 0.2, -0.3, 0.4],
    }
)


def write_difference(folder, rows=ROWS):
    make_source(folder)
    rows.to_parquet(folder / "difference.parquet", index=False)
    return folder


def test_reads_shares_in_any_order(tmp_path):
    folder = write_difference(tmp_path)
    shares = read_shares(folder, read_results(folder))
    assert {key: at.features.tolist() for key, at in shares.items()} == {
        ("model", "target"): [1],
        ("model", "control"): [],
        ("newline", "target"): [2, 5],
        ("newline", "control"): [5],
    }
    share, cosine = shares["newline", "target"].of(np.array([7, 5, 0, 2]))
    np.testing.assert_array_equal(share, [0, 0.25, 0, -0.75])
    np.testing.assert_array_equal(cosine, [np.nan, 0.1, np.nan, 0.4])
    assert all(np.isnan(cells).all() for cells in shares["model", "control"].of(np.array([1, 2])))


def test_no_file_is_no_shares(tmp_path):
    make_source(tmp_path)
    assert read_shares(tmp_path, read_results(tmp_path)) is None
    assert "share" not in load(tmp_path).table()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"token_type": ["x"] * 4},
            "`difference.parquet`: `token_type` is 'x' in 4 rows, but expected 'model', 'newline'.",
        ),
        (
            {"prompt_set": ["target", "target", "other", "target"]},
            "`difference.parquet`: `prompt_set` is 'other' in 1 row, but expected 'target', 'control'.",
        ),
        (
            {"feature_id": [5, NUM_FEATURES, 5, 2]},
            "`difference.parquet`: feature 8 is not one of the SAE's 8. Were they made together?",
        ),
        ({"feature_id": [5, 1, 5, 5]}, "`difference.parquet` has feature 5 twice at 'newline'. Expected it once."),
        (
            {"share": [0.1, np.nan, 0.2, 0.3]},
            "`difference.parquet`: `share` is missing or not finite in 1 rows, but expected fractions.",
        ),
    ],
)
def test_refuses_shares_that_do_not_fit_and_goes_on_without(tmp_path, change, message):
    folder = write_difference(tmp_path, ROWS.assign(**change))
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_shares(folder, read_results(folder))
    study = load(folder)
    assert f"{message} Shares of the difference are left out." in study.notes()
    assert "share" not in study.table()


def test_table_has_shares_on_target_prompts(tmp_path):
    table = load(write_difference(tmp_path)).table()
    found = table.set_index(["token_type", "feature_id"])[["share", "share_cosine"]]
    assert table.columns[table.columns.get_loc("explanation") - 2 :][:2].tolist() == ["share", "share_cosine"]
    assert found.loc[("newline", 5)].tolist() == [0.25, 0.1]
    assert found.loc[("newline", 2)].tolist() == [-0.75, 0.4]
    assert found.loc[("model", 1)].tolist() == [0.5, 0.2]
    others = found.drop(index=[("newline", 5), ("newline", 2), ("model", 1)])
    assert (others["share"] == 0).all()
    assert others["share_cosine"].isna().all()
