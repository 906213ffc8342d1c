"""In which order features are listed, and each of them once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paired import from_activations, sources

from featurediff.features.evidence import assess_changes, assess_exclusive
from featurediff.features.evidence_columns import question_q, with_evidence
from featurediff.features.listing import list_features, order_by_evidence
from featurediff.features.questions import EFFECTS, QUESTIONS, Asked, effect_of
from featurediff.features.table import feature_table
from featurediff.labels import EXCLUSIVITIES

MEAN = "target_all_mean"


def make(rows):
    """A table from (token_type, feature_id, q of the change, change); the other effects have none."""
    names, ids, q, change = zip(*rows, strict=True)
    table = pd.DataFrame(
        {
            "feature_id": np.array(ids, dtype=np.int32),
            "token_type": pd.Categorical(names, categories=["model", "newline", "asst"]),
            "exclusivity": pd.Categorical(["chat"] * len(ids), categories=EXCLUSIVITIES),
            "base_q": np.nan,
            "chat_q": 1.0,
            f"base_{MEAN}": 0.0,
            f"chat_{MEAN}": np.abs(change),
        }
    )
    for effect in EFFECTS:
        known = effect == "all_mean_change"
        table[effect], table[f"{effect}_q"] = (change, q) if known else (np.nan, np.nan)
    return table


TABLE = make(
    [
        ("model", 1, 0.03, 0.5),
        ("model", 2, 1.0, 9.0),
        ("model", 3, 0.001, 0.1),
        ("newline", 1, 0.03, -2.0),
        ("newline", 2, np.nan, 3.0),
        ("newline", 4, 0.03, 0.5),
        ("asst", 1, 0.5, 7.0),
        ("asst", 3, 0.001, 0.1),
    ]
)


def keys(table):
    return list(zip(table["token_type"].astype("str"), table["feature_id"].tolist(), strict=True))


def test_what_has_evidence_comes_first():
    """By q, then by size, then by position and feature; what is not tested is last, however large."""
    listed = list_features(TABLE, MEAN, "changed")
    assert keys(listed) == [
        ("model", 3), ("asst", 3), ("newline", 1), ("model", 1), ("newline", 4), ("asst", 1), ("model", 2),
        ("newline", 2),
    ]  # fmt: skip
    assert listed.index.tolist() == order_by_evidence(TABLE, MEAN, "changed").tolist()
    assert list(listed) == list(TABLE)
    for most in range(10):
        assert order_by_evidence(TABLE, MEAN, "changed", most).tolist() == listed.index.tolist()[:most]


def test_question_decides():
    """Under `exclusive` all q of target over control are 1 here: the largest difference first."""
    assert keys(list_features(TABLE, MEAN, "exclusive"))[:3] == [("model", 2), ("asst", 1), ("newline", 2)]
    assert keys(list_features(TABLE, MEAN, "any"))[0] == ("model", 3)


def test_each_feature_once_at_its_best_position():
    listed = list_features(TABLE, MEAN, "changed", "feature")
    assert keys(listed) == [("model", 3), ("newline", 1), ("newline", 4), ("model", 2)]
    assert list(listed)[:3] == ["feature_id", "token_type", "other_positions"]
    assert listed["other_positions"].tolist()[:2] == ["asst", "model;asst"]
    assert listed["other_positions"].isna().tolist() == [False, False, True, False]
    assert listed["other_positions"].iloc[3] == "newline"
    assert listed.index.tolist() == [2, 3, 5, 1]
    empty = list_features(TABLE[:0], MEAN, "changed", "feature")
    assert list(empty) == list(listed)
    assert len(empty) == 0


def slow_listing(table, metric, question):
    """The same in plain Python: feature → its positions, best first."""
    q = dict(zip(table.index, question_q(table, question, metric), strict=True))
    found = {}
    for i, row in table.iterrows():
        size = abs(row[f"chat_{metric}"] - row[f"base_{metric}"])
        if question in ("changed", "specific"):
            size = abs(row[effect_of(question, metric)])
        code = list(table["token_type"].cat.categories).index(row["token_type"])
        unknown = np.isnan(q[i])
        key = (unknown, 0 if unknown else q[i], -size, code)
        found.setdefault(row["feature_id"], []).append((key, row["token_type"]))
    return {feature: [name for _, name in sorted(places)] for feature, places in found.items()}


@settings(max_examples=60, deadline=None)
@given(sources(), st.sampled_from(QUESTIONS), st.sampled_from([MEAN, "target_sparsity"]), st.integers(0, 2**32 - 1))
def test_listing_is_that_of_a_slow_one_in_any_order_of_rows(source, question, metric, seed):
    results, pairs = from_activations(*source)
    changes = assess_changes(results, pairs)
    kept = feature_table(results, changes=changes, asked=Asked(question, metric, 1.0))
    table = with_evidence(kept, assess_exclusive(results, pairs), changes)
    once = list_features(table, metric, question, "feature")
    expected = slow_listing(table, metric, question)
    others = once["other_positions"].fillna("")
    listed = dict(zip(once["feature_id"], once["token_type"].astype("str") + ";" + others, strict=True))
    assert {feature: said.strip(";").split(";") for feature, said in listed.items()} == expected
    shuffled = table.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(once, list_features(shuffled, metric, question, "feature"))
    each = list_features(shuffled, metric, question)
    assert sorted(keys(each)) == sorted(keys(table))
    assert keys(each.drop_duplicates("feature_id")) == keys(once)


@pytest.mark.parametrize("question", ["exclusive", "any"])
def test_every_position_is_listed_by_position(question):
    assert len(list_features(TABLE, MEAN, question)) == len(TABLE)
