import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact
from tables import make_results

from featurediff.features import evidence as significance
from featurediff.features.evidence import assess
from featurediff.features.evidence_columns import evidence_q, with_evidence
from featurediff.features.exact_tests import fisher, fisher_two_sided, mcnemar, wilson
from featurediff.features.table import feature_table
from featurediff.labels import SIDES
from featurediff.sources import demo
from featurediff.sources.results import parse_results


def one_sided(target, control, num_target, num_control):
    table = [[target, num_target - target], [control, num_control - control]]
    return fisher_exact(table, alternative="greater").pvalue


def two_sided(base, chat, num_base, num_chat):
    return fisher_exact([[base, num_base - base], [chat, num_chat - chat]]).pvalue


def step_up(p):
    """Benjamini and Hochberg (1995), written out: q of the i-th smallest p is the least p_j · m / j over j >= i."""
    m = len(p)
    order = sorted(range(m), key=lambda i: p[i])
    q, least = [0.0] * m, 1.0
    for rank in range(m, 0, -1):
        i = order[rank - 1]
        least = min(least, p[i] * m / rank)
        q[i] = least
    return q


@st.composite
def sources(draw):
    """Results at one token type, with other numbers of prompts in each set."""
    num_features = draw(st.integers(1, 25))
    prompts = {side: (draw(st.integers(1, 60)), draw(st.integers(1, 60))) for side in SIDES}
    counts = {
        side: {
            name: draw(st.lists(st.integers(0, n), min_size=num_features, max_size=num_features))
            for name, n in zip(("target", "control"), prompts[side], strict=True)
        }
        for side in SIDES
    }
    return make_results({"model": counts}, prompts)


def check_against_references(results):
    """Hold every p and q of a source against one feature at a time."""
    kept = with_evidence(feature_table(results), evidence := assess(results))
    sizes = {v: results.of(v).metadata for v in SIDES}
    for token_type in results.token_types:
        rows = kept[kept["token_type"] == token_type].set_index("feature_id")
        counts = {v: results.of(v).vectors[token_type] for v in SIDES}
        tests = {}
        for v in SIDES:
            pairs = list(zip(counts[v]["target_num_active"], counts[v]["control_num_active"], strict=True))
            n = sizes[v].num_target_prompts, sizes[v].num_control_prompts
            tests[v] = {i: one_sided(t, c, *n) for i, (t, c) in enumerate(pairs) if t or c}
            assert evidence.exclusive[v, token_type].family == len(tests[v])
        pairs = list(zip(*(counts[v]["target_num_active"] for v in SIDES), strict=True))
        n = sizes["base"].num_target_prompts, sizes["chat"].num_target_prompts
        tests["change"] = {i: two_sided(b, c, *n) for i, (b, c) in enumerate(pairs) if b or c}
        assert evidence.change[token_type].family == len(tests["change"])
        for name, p in tests.items():
            q = dict(zip(p, step_up(list(p.values())), strict=True))
            expected = pd.DataFrame({"p": p, "q": q}).reindex(rows.index)
            assert rows[f"{name}_p"].to_numpy() == pytest.approx(expected["p"].to_numpy(), rel=1e-9, nan_ok=True)
            assert rows[f"{name}_q"].to_numpy() == pytest.approx(expected["q"].to_numpy(), rel=1e-9, nan_ok=True)


@given(sources())
@settings(max_examples=60, deadline=None)
def test_every_p_and_q_is_that_of_a_slow_reference(results):
    check_against_references(results)


def test_every_p_and_q_of_the_demo_is_that_of_a_slow_reference():
    made = demo.make_demo(num_features=2_000, seed=3)
    check_against_references(parse_results(made.base, made.chat))


def test_a_published_pair_by_hand():
    """One prompt of 40 against none of 40: half of all tables with this margin have it among the target prompts."""
    assert fisher(np.array([1]), np.array([0]), 40, 40) == pytest.approx([0.5])
    assert fisher(np.array([2]), np.array([0]), 40, 40) == pytest.approx([40 * 39 / (80 * 79)])
    assert fisher_two_sided(np.array([0]), np.array([2]), 40, 40) == pytest.approx([2 * 40 * 39 / (80 * 79)])


def some_counts(num_first, num_second):
    """Return 300 pairs of counts, a third of them small."""
    rng = np.random.default_rng(num_second)
    first, second = rng.integers(0, num_first + 1, 300), rng.integers(0, num_second + 1, 300)
    first[:100], second[:100] = first[:100].clip(max=9), second[:100].clip(max=9)
    return first, second


@pytest.mark.parametrize(("num_target", "num_control"), [(7, 7), (7, 12), (40, 37), (300, 1000), (3000, 2000)])
def test_one_sided_fisher_is_scipys(num_target, num_control):
    target, control = some_counts(num_target, num_control)
    expected = [one_sided(t, c, num_target, num_control) for t, c in zip(target, control, strict=True)]
    assert fisher(target, control, num_target, num_control) == pytest.approx(expected, rel=1e-9, abs=1e-290)


@pytest.mark.parametrize(("num_base", "num_chat"), [(7, 7), (7, 12), (40, 37), (300, 1000), (3000, 2000)])
def test_two_sided_fisher_is_scipys(num_base, num_chat):
    base, chat = some_counts(num_base, num_chat)
    expected = [two_sided(b, c, num_base, num_chat) for b, c in zip(base, chat, strict=True)]
    assert fisher_two_sided(base, chat, num_base, num_chat) == pytest.approx(expected, rel=1e-9, abs=1e-290)


def test_two_sided_fisher_counts_the_mirrored_table_where_both_sets_are_as_large():
    """The mirror image is exactly as likely, but comes out of rounding a little likelier."""
    base, chat = np.arange(1001), 1000 - np.arange(1001)
    p = fisher_two_sided(base, chat, 1000, 1000)
    assert p == pytest.approx(p[::-1])
    assert p[500] == 1


def test_mcnemar_is_the_binomial_test_of_the_discordant_prompts():
    pairs = np.array([(b, c) for b in range(9) for c in range(9)])
    expected = [binomtest(min(b, c), b + c).pvalue if b + c else 1 for b, c in pairs]
    assert mcnemar(*pairs.T) == pytest.approx(expected)


def test_mcnemar_takes_the_discordant_prompts_instead_of_the_counts():
    counts = {"base": {"target": [5, 0, 3], "control": [0, 0, 0]}, "chat": {"target": [5, 0, 6], "control": [0, 0, 0]}}
    results = make_results({"model": counts}, {"base": (6, 6), "chat": (6, 6)})
    evidence = assess(results, {"model": (np.array([1, 0, 0]), np.array([1, 0, 3]))})
    kept = with_evidence(feature_table(results), evidence)
    assert kept["change_test"].tolist() == ["mcnemar", "mcnemar"]
    assert kept["change_p"].tolist() == pytest.approx([1, 0.25])
    assert kept["change_q"].tolist() == pytest.approx([1, 0.5])
    assert evidence.change["model"].family == 2


@pytest.mark.parametrize("n", [1, 2, 37, 1000])
def test_wilson_is_scipys_interval(n):
    counts = np.unique(np.linspace(0, n, 50).astype(int))
    found = [binomtest(int(k), n).proportion_ci(method="wilson") for k in counts]
    low, high = wilson(counts, n)
    assert low == pytest.approx([interval.low for interval in found], abs=1e-12)
    assert high == pytest.approx([interval.high for interval in found], abs=1e-12)


def test_columns_stand_before_the_explanation_and_say_at_how_many_positions_a_feature_is_kept():
    counts = {
        token_type: {
            "base": {"target": [0, 0, 2, 4], "control": [0, 0, 0, 4]},
            "chat": {"target": [0, first, 3, 4], "control": [0, 0, 1, 4]},
        }
        for token_type, first in (("model", 1), ("newline", 0))
    }
    results = make_results(counts, {"base": (4, 4), "chat": (4, 4)})
    plain = feature_table(results)
    kept = with_evidence(plain, assess(results))
    added = ["exclusive_positions", "base_p", "base_q", "chat_p", "chat_q", "change_p", "change_q", "change_test"]
    at = list(plain).index("explanation")
    assert list(kept) == [*list(plain)[:at], *added, *list(plain)[at:]]
    pd.testing.assert_frame_equal(kept[list(plain)], plain)
    assert list(zip(kept["token_type"], kept["feature_id"], kept["exclusive_positions"], strict=True)) == [
        ("model", 1, 1),
        ("model", 2, 2),
        ("newline", 2, 2),
    ]
    assert np.isnan(kept["base_p"][0])
    assert np.isnan(kept["base_q"][0])


def test_row_goes_by_the_smaller_q_of_the_models_in_which_it_is_exclusive():
    table = pd.DataFrame(
        {
            "exclusivity": ["both", "both", "base", "chat", "chat"],
            "base_q": [0.1, 0.3, 0.9, 0.01, np.nan],
            "chat_q": [0.2, 0.2, 0.01, 0.8, 0.5],
        }
    )
    assert evidence_q(table).tolist() == [0.1, 0.2, 0.9, 0.8, 0.5]


@given(sources())
@settings(max_examples=30, deadline=None)
def test_swapping_base_and_chat_swaps_the_tests_and_leaves_the_change(results):
    swapped = type(results)(results.chat, results.base)
    one, other = (with_evidence(feature_table(r), assess(r)) for r in (results, swapped))
    for value in "pq":
        for mine, theirs in (("base", "chat"), ("chat", "base"), ("change", "change")):
            expected = pytest.approx(one[f"{mine}_{value}"].to_numpy(), nan_ok=True)
            assert other[f"{theirs}_{value}"].to_numpy() == expected


@given(sources(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_of_features_does_not_matter(results, random):
    order = list(range(results.num_features))
    random.shuffle(order)
    prompts, counts = {}, {}
    for side in SIDES:
        model = results.of(side)
        prompts[side] = model.metadata.num_target_prompts, model.metadata.num_control_prompts
        counts[side] = {p: model.vectors["model"][f"{p}_num_active"][order] for p in ("target", "control")}
    shuffled = make_results({"model": counts}, prompts)
    one = with_evidence(feature_table(results), assess(results)).set_index("feature_id")
    other = with_evidence(feature_table(shuffled), assess(shuffled))
    other = other.set_index(pd.Index(np.array(order)[other["feature_id"]])).loc[one.index]
    names = [f"{what}_{value}" for what in (*SIDES, "change") for value in "pq"]
    assert other[names].to_numpy() == pytest.approx(one[names].to_numpy(), nan_ok=True)


def test_no_feature_active_anywhere_leaves_an_empty_table_with_all_columns():
    zero = {"target": [0, 0], "control": [0, 0]}
    results = make_results({"model": {"base": zero, "chat": zero}}, {"base": (3, 3), "chat": (3, 3)})
    evidence = assess(results)
    kept = with_evidence(feature_table(results), evidence)
    assert kept.empty
    assert "change_q" in kept
    assert evidence.exclusive["base", "model"].family == evidence.change["model"].family == 0
    assert np.isnan(evidence.change["model"].at(np.array([0]), np.array([0]))).all()


@given(sources())
@settings(max_examples=20, deadline=None)
def test_more_pairs_than_are_counted_in_an_array(results):
    """As with prompts by the thousand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(significance, "_MOST_TABLES", 0)
        check_against_references(results)
