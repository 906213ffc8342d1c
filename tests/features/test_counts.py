"""How many features each question finds, beside how many chance would."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limited import under_limit
from paired import STRENGTHS, from_activations, sources
from tables import make_model, make_results
from test_by_chance import written_out

from featurediff.features.by_chance import Rule
from featurediff.features.counts import chance_table
from featurediff.features.evidence import assess_exclusive
from featurediff.features.questions import DIRECTIONS, QUESTIONS
from featurediff.features.table import NO_PAGE, feature_table
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.labels import PROMPTS, SIDES
from featurediff.sources.pairs import PairedCells, Pairs, PairsAt
from featurediff.sources.results import Results
from featurediff.study import Study

COLUMNS = [
    f"{whose}_{what}"
    for whose in (*SIDES, "either")
    for what in ("kept", "expected", "significant", "significant_expected", "mirror")
]


def table_of(results, pairs=None, thresholds=None, alpha=0.05):
    return chance_table(results, assess_exclusive(results, pairs), pairs, thresholds or Thresholds(), alpha)


def test_chance_by_hand():
    """
    Four target and four control prompts; base and chat have six features.

    A feature on one prompt is on a target prompt with probability 1/2; on two, on target alone with 4/8 · 3/7 = 3/14.
    """
    counts = {
        "base": {"target": [1, 0, 2, 0, 1, 0], "control": [0, 1, 0, 2, 1, 0]},
        "chat": {"target": [1, 0, 0, 0, 4, 0], "control": [0, 0, 0, 0, 0, 0]},
    }
    results = make_results({"model": counts}, {"base": (4, 4), "chat": (4, 4)})
    table = table_of(results)
    row = table.loc["model"]
    assert list(table) == [*COLUMNS, "is_least"]
    assert row[["base_kept", "chat_kept", "either_kept"]].tolist() == [2, 2, 3]
    assert row[["base_mirror", "chat_mirror", "either_mirror"]].tolist() == [2, 0, 2]
    two, four = 3 / 14, 1 / 70
    assert row["base_expected"] == pytest.approx(1 / 2 + 1 / 2 + 3 * two)
    assert row["chat_expected"] == pytest.approx(1 / 2 + four)
    assert row["either_expected"] == pytest.approx(1 / 2 + 1 / 2 + 3 * two), "the larger of the two models', each"
    # Fisher's p of 4 and 0 is 1/70, of 1 and 0 it is 1/2: with two tested, only the first is significant.
    assert row[["base_significant", "chat_significant", "either_significant"]].tolist() == [0, 1, 1]
    assert row[["base_significant_expected", "chat_significant_expected"]].tolist() == pytest.approx([0, four])
    assert row["is_least"]


@given(sources(most=5, may_group=False), st.sampled_from([0.05, 0.5, 1.0]), st.integers(1, 3), st.integers(0, 2))
@settings(max_examples=40)
def test_chance_is_that_of_a_slow_reference(drawn, alpha, least, most):
    """Per model, the hypergeometric sum over the features that are active on either set, written out."""
    results, pairs = from_activations(*drawn)
    thresholds = Thresholds(Threshold(least), Threshold(most))
    exclusive = assess_exclusive(results, pairs)
    for given_pairs in (pairs, None):
        table = chance_table(results, exclusive, given_pairs, thresholds, alpha)
        for token_type in results.token_types:
            row = table.loc[token_type]
            for side in SIDES:
                model = results.of(side)
                sizes = [model.metadata.num_prompts(p) for p in PROMPTS]
                on = [model.vectors[token_type][f"{p}_num_active"] for p in PROMPTS]
                rule = Rule(least, most, *sizes)
                margins = [int(t + c) for t, c in zip(*on, strict=True) if t + c]
                tested = exclusive.tested[side, token_type]
                cutoff = max(tested.p[tested.q <= alpha], default=0.0)
                assert row[f"{side}_expected"] == pytest.approx(sum(written_out(n, rule) for n in margins))
                wanted = sum(written_out(n, rule, cutoff) for n in margins)
                assert row[f"{side}_significant_expected"] == pytest.approx(wanted)
                kept = [t >= least and c <= most for t, c in zip(*on, strict=True)]
                assert row[f"{side}_kept"] == sum(kept)
                assert row[f"{side}_mirror"] == sum(c >= least and t <= most for t, c in zip(*on, strict=True))
                q = dict(zip(exclusive.features[token_type].tolist(), tested.q, strict=True))
                assert row[f"{side}_significant"] == sum(k and q[i] <= alpha for i, k in enumerate(kept))
            whole = feature_table(results, thresholds)
            assert row["either_kept"] == (whole["token_type"] == token_type).sum()
            assert row["is_least"] == (given_pairs is None)
            for what in ("expected", "significant_expected"):
                parts = [row[f"{side}_{what}"] for side in SIDES]
                assert max(parts) - 1e-9 <= row[f"either_{what}"] <= sum(parts) + 1e-9


def study_of(drawn, *, is_paired=True):
    results, pairs = from_activations(*drawn)
    study = Study(None, results, None, NO_PAGE)
    study._once.put("pairs", (pairs if is_paired else None, None))
    return study


@given(sources(most=6), st.booleans(), st.sampled_from(["target_all_mean", "target_sparsity"]))
@settings(max_examples=25)
def test_counts_are_those_of_the_tables(drawn, is_paired, metric):
    study = study_of(drawn, is_paired=is_paired)
    counts = study.counts_by_question(metric=metric, alpha=0.3)
    assert list(counts) == ["question", "token_type", "direction", "found", "expected", "n", "groups", "test"]
    keys = [(q, t, d) for q in QUESTIONS for t in ("model", "newline") for d in ("all", *DIRECTIONS)]
    assert list(counts[["question", "token_type", "direction"]].itertuples(index=False, name=None)) == keys
    chance = study.by_chance(alpha=0.3)
    for row in counts.itertuples():
        table = study.table(question=row.question, metric=metric, alpha=0.3)
        here = table[(table["token_type"] == row.token_type).to_numpy()]
        assert row.found == (len(here) if row.direction == "all" else (here["direction"] == row.direction).sum())
        if row.direction != "all" or row.question == "any":
            assert np.isnan(row.expected)
        elif row.question == "exclusive":
            assert row.expected == chance["either_expected"][row.token_type]
        else:
            assert row.expected == pytest.approx(0.3 * row.found)


def test_tests_sizes_and_groups_are_named():
    rng = np.random.default_rng(1)
    cells = {"model": {v: {"target": rng.integers(0, 3, (6, 5)), "control": rng.integers(0, 3, (4, 5))} for v in SIDES}}
    grouped = {"target": np.array([0, 0, 1, 1, 2, 2]), "control": None}
    for groups, is_paired, metric, n, known, tests in (
        (None, True, "target_all_mean", "6 + 4", "–", ["", "sign-flip", "exchange", "sign-flip, exchange"]),
        (None, True, "target_sparsity", "6 + 4", "–", ["", "mcnemar", "exchange", "mcnemar, exchange"]),
        (None, False, "target_sparsity", "6 + 4", "–", ["", "fisher", "counts", "fisher, counts"]),
        (None, False, "target_all_mean", "6 + 4", "–", ["", "welch", "welch", "welch"]),
        (grouped, True, "target_max", "6 + 4", "3 + 4",
         ["", "sign-flip-grouped", "exchange-grouped", "sign-flip-grouped, exchange-grouped"]),
    ):  # fmt: skip
        counts = study_of((cells, groups), is_paired=is_paired).counts_by_question(metric=metric)
        whole = counts[counts["direction"] == "all"]
        assert whole["test"].tolist() == tests
        assert set(counts["n"]) == {n}
        assert set(counts["groups"]) == {known}


def test_models_that_saw_other_numbers_of_prompts():
    counts = {"target": [1, 0], "control": [0, 1]}
    results = make_results({"model": {"base": counts, "chat": counts}}, {"base": (4, 5), "chat": (6, 5)})
    counts = Study(None, results, None, NO_PAGE).counts_by_question()
    assert set(counts["n"]) == {"4/6 + 5"}
    assert set(counts["groups"]) == {"–"}


def test_pairs_without_groups_have_no_number_of_groups():
    pairs = from_activations({"model": {v: {p: np.ones((3, 1)) for p in PROMPTS} for v in SIDES}})[1]
    assert [pairs.num_groups(p) for p in PROMPTS] == [None, None]
    grouped = Pairs(pairs.positions, {"target": np.array([0, 0, 1]), "control": None}, None)
    assert [grouped.num_groups(p) for p in PROMPTS] == [2, None]
    assert [grouped.num_prompts(p) for p in PROMPTS] == [3, 3]


@pytest.mark.parametrize("groups", [None, {"target": [0, 0, 1, 2, 3, 4], "control": None}])
@pytest.mark.parametrize("most", [0, 1])
def test_chance_is_the_same_in_any_number_of_blocks(monkeypatch, groups, most):
    rng = np.random.default_rng(7)
    sides = {v: {p: rng.choice(STRENGTHS, (6, 50)) for p in PROMPTS} for v in SIDES}
    results, pairs = from_activations({"model": sides}, groups)
    thresholds = Thresholds(max_control=Threshold(most))
    whole, tested = table_of(results, pairs, thresholds), assess_exclusive(results, pairs)
    monkeypatch.setattr("featurediff.sources.pairs._CELLS", 12 * 7)
    assert table_of(results, pairs, thresholds).T["model"].tolist() == pytest.approx(whole.T["model"].tolist())
    for key, effect in assess_exclusive(results, pairs).tested.items():
        np.testing.assert_array_equal(effect.p, tested.tested[key].p)


def count_by_chance(num_features, num_prompts):
    """A source in which every feature is active on one target prompt of either model."""
    ids = np.arange(num_features)
    one = PairedCells(ids % num_prompts, ids, np.ones(num_features))
    none = PairedCells(ids[:0], ids[:0], np.ones(0))
    sizes = dict.fromkeys(PROMPTS, num_prompts)
    at = PairsAt(ids, {(v, p): one if p == "target" else none for v in SIDES for p in PROMPTS}, sizes)
    counts = {"target_num_active": np.ones(num_features, int), "control_num_active": np.zeros(num_features, int)}
    models = [make_model(v, {"model": dict(counts)}, (num_prompts, num_prompts)) for v in SIDES]
    return table_of(Results(*models), Pairs({"model": at}, dict.fromkeys(PROMPTS), None))["either_expected"].item()


def test_chance_takes_no_memory():
    """A matrix of all features on all prompts took 1 GB for each model and prompt set, and the page ten minutes."""
    found = under_limit(count_by_chance, 131_072, 1_000, megabytes=500)
    assert float(found.said) == pytest.approx(131_072 / 2)
