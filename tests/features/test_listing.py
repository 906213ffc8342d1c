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
    """A table from (token_type, feature_id, q of the change, change, half its interval); other effects have none."""
    names, ids, q, change, half = (np.array(column) for column in zip(*rows, strict=True))
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
        endings = {"": change, "_low": change - half, "_high": change + half, "_q": q}
        for ending, column in endings.items():
            table[f"{effect}{ending}"] = column if known else np.nan
    return table


TABLE = make(
    [
        ("model", 1, 0.03, 0.5, 0.1),
        ("model", 2, 1.0, 9.0, 10.0),
        ("model", 3, 0.001, 0.1, np.nan),
        ("newline", 1, 0.03, -2.0, 1.8),
        ("newline", 2, np.nan, 3.0, 1.0),
        ("newline", 4, 0.05, 0.5, 0.1),
        ("asst", 1, 0.5, 7.0, 8.0),
        ("asst", 3, 0.001, -0.3, 0.01),
        ("asst", 5, 0.5, 7.5, 8.0),
    ]
)
CHANGED = Asked("changed", MEAN)


def keys(table):
    return list(zip(table["token_type"].astype("str"), table["feature_id"].tolist(), strict=True))


def test_what_has_evidence_comes_first():
    """
    By the end of the interval that is nearer to 0, then by position; what has no evidence by q, then by size.

    By q alone, the largest changes stood anywhere among those with evidence.
    """
    listed = list_features(TABLE, CHANGED)
    assert keys(listed) == [
        ("model", 1), ("newline", 4), ("asst", 3), ("newline", 1), ("model", 3), ("asst", 5), ("asst", 1), ("model", 2),
        ("newline", 2),
    ]  # fmt: skip
    assert listed.index.tolist() == order_by_evidence(TABLE, CHANGED).tolist()
    assert list(listed) == list(TABLE)
    for most in range(11):
        assert order_by_evidence(TABLE, CHANGED, most).tolist() == listed.index.tolist()[:most]


def test_alpha_says_what_has_evidence():
    assert keys(list_features(TABLE, Asked("changed", MEAN, 0.01)))[:4] == [
        ("asst", 3), ("model", 3), ("newline", 1), ("model", 1)
    ]  # fmt: skip


def test_question_decides():
    """Under `exclusive` all q of target over control are 1 here: the largest difference first."""
    assert keys(list_features(TABLE, Asked("exclusive", MEAN)))[:3] == [("model", 2), ("asst", 5), ("asst", 1)]
    assert keys(list_features(TABLE, Asked("any", MEAN)))[0] == ("model", 1)


def test_each_feature_once_at_its_best_position():
    listed = list_features(TABLE, CHANGED, "feature")
    assert keys(listed) == [("model", 1), ("newline", 4), ("asst", 3), ("asst", 5), ("model", 2)]
    assert list(listed)[:3] == ["feature_id", "token_type", "other_positions"]
    assert listed["other_positions"].tolist()[0] == "newline;asst"
    assert listed["other_positions"].isna().tolist() == [False, True, False, True, False]
    assert listed["other_positions"].iloc[4] == "newline"
    assert listed.index.tolist() == [0, 5, 7, 8, 1]
    empty = list_features(TABLE[:0], CHANGED, "feature")
    assert list(empty) == list(listed)
    assert len(empty) == 0


def slow_listing(table, metric, question, alpha):
    """The same in plain Python: feature → its positions, best first."""
    q = dict(zip(table.index, question_q(table, question, metric), strict=True))
    found = {}
    for i, row in table.iterrows():
        size = abs(row[f"chat_{metric}"] - row[f"base_{metric}"])
        if question in ("changed", "specific"):
            size = abs(row[effect_of(question, metric)])
        code = list(table["token_type"].cat.categories).index(row["token_type"])
        name = effect_of(question, metric)
        sure = row[f"{name}_low"] if row[name] > 0 else -row[f"{name}_high"]
        sure = -np.inf if np.isnan(sure) else sure
        key = (0, -sure) if q[i] <= alpha else (2, 0) if np.isnan(q[i]) else (1, q[i])
        key = (*key, -size, code)
        found.setdefault(row["feature_id"], []).append((key, row["token_type"]))
    return {feature: [name for _, name in sorted(places)] for feature, places in found.items()}


@settings(max_examples=60, deadline=None)
@given(
    sources(),
    st.sampled_from(QUESTIONS),
    st.sampled_from([MEAN, "target_sparsity"]),
    st.sampled_from([0.05, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_listing_is_that_of_a_slow_one_in_any_order_of_rows(source, question, metric, alpha, seed):
    results, pairs = from_activations(*source)
    changes = assess_changes(results, pairs)
    kept = feature_table(results, changes=changes, asked=Asked(question, metric, 1.0))
    asked = Asked(question, metric, alpha)
    table = with_evidence(kept, assess_exclusive(results, pairs), changes)
    once = list_features(table, asked, "feature")
    expected = slow_listing(table, metric, question, alpha)
    others = once["other_positions"].fillna("")
    listed = dict(zip(once["feature_id"], once["token_type"].astype("str") + ";" + others, strict=True))
    assert {feature: said.strip(";").split(";") for feature, said in listed.items()} == expected
    shuffled = table.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(once, list_features(shuffled, asked, "feature"))
    each = list_features(shuffled, asked)
    assert sorted(keys(each)) == sorted(keys(table))
    assert keys(each.drop_duplicates("feature_id")) == keys(once)


@pytest.mark.parametrize("question", ["exclusive", "any"])
def test_every_position_is_listed_by_position(question):
    assert len(list_features(TABLE, Asked(question, MEAN))) == len(TABLE)
