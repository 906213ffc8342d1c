"""What the published rule keeps by chance, held to every exchange counted out."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurediff.features import by_chance
from featurediff.features.by_chance import (
    NumKept,
    Rule,
    chances,
    count_kept,
    expected,
    expected_at_least,
    expected_exactly,
    largest_significant,
    rule,
)
from featurediff.features.exact_tests import fisher
from featurediff.features.exchange import exchange_rates
from featurediff.features.thresholds import Threshold, Thresholds

PUBLISHED = Thresholds()


def test_a_rule_in_whole_prompts():
    """Shares are compared as the feature table compares them: 7.5 % of 40 is 3 prompts, of 41 it takes 4."""
    shares = Thresholds(Threshold(0.075, share=True), Threshold(0.05, share=True))
    assert rule(PUBLISHED, 40, 30) == Rule(1, 0, 40, 30)
    assert rule(shares, 40, 30) == Rule(3, 1, 40, 30)
    assert rule(shares, 41, 40) == Rule(4, 2, 41, 40)
    assert rule(Thresholds(Threshold(50)), 40, 30).least == 41
    assert rule(Thresholds(max_control=Threshold(50)), 40, 30).most == 30


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.01, 1), st.floats(0, 1))
def test_a_rule_keeps_what_the_table_keeps(n, m, least, most):
    thresholds = Thresholds(Threshold(least, share=True), Threshold(most, share=True))
    found = rule(thresholds, n, m)
    for target in range(n + 1):
        assert (target >= found.least) == (target / n >= least)
    for control in range(m + 1):
        assert (control <= found.most) == (control / m <= most)


def written_out(margin, rule, cutoff=None):
    """P(kept | margin) as a sum over hypergeometric probabilities."""
    n, m, p = rule.num_target, rule.num_control, 0.0

    def chance(k):
        return comb(n, k) * comb(m, margin - k) / comb(n + m, margin) if 0 <= margin - k <= m and k <= n else 0.0

    for target in range(margin + 1):
        tail = sum(chance(k) for k in range(target, margin + 1))
        if target >= rule.least and margin - target <= rule.most and (cutoff is None or tail <= cutoff * (1 + 1e-9)):
            p += chance(target)
    return p


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 10),
    st.integers(0, 3),
    st.sampled_from([None, 0.0, 0.05, 0.3, 1.0]),
)
@settings(max_examples=60)
def test_chances_are_written_out(n, m, least, most, cutoff):
    found = Rule(least, most, n, m)
    margins = np.arange(n + m + 1)
    target = margins.clip(max=n)
    expected = [written_out(int(margin), found, cutoff) for margin in margins]
    assert chances(target, margins - target, found, cutoff) == pytest.approx(expected, abs=1e-12)


def test_chances_by_hand():
    """Of 2 prompts among 40 + 40, both are target with 39/158; of 1, with 1/2; a silent feature is never kept."""
    counts = np.array([1, 0, 1, 0]), np.array([1, 1, 0, 0])
    assert chances(*counts, rule(PUBLISHED, 40, 40)) == pytest.approx([39 / 158, 1 / 2, 1 / 2, 0])


def test_chances_among_a_thousand_prompts():
    p = chances(np.array([20]), np.array([0]), rule(PUBLISHED, 1000, 1000))
    assert p == pytest.approx([comb(1000, 20) / comb(2000, 20)])


def test_the_largest_significant_p():
    p, q = np.array([0.01, 0.02, 0.5, np.nan]), np.array([0.03, 0.04, 0.6, np.nan])
    assert largest_significant(p, q, 0.05) == 0.02
    assert largest_significant(p, q, 0.01) == 0.0


def activity(n=5, m=4, features=7, seed=3):
    rng = np.random.default_rng(seed)
    rates = rng.random(features) * 0.6
    base = rng.random((n + m, features)) < rates
    chat = base ^ (rng.random((n + m, features)) < 0.2)
    return {"base": (base[:n], base[n:]), "chat": (chat[:n], chat[n:])}


def counts_of(active):
    return {v: tuple(on.sum(axis=0) for on in sets) for v, sets in active.items()}


def every_exchange(active, rules, is_significant=None, groups=None):
    """Exchange whole groups in both models at once and count what is kept, one feature at a time."""
    n, m = (len(on) for on in active["base"])
    groups = list(range(n + m)) if groups is None else groups
    target_names, names = sorted(set(groups[:n])), sorted(set(groups))
    totals, number = np.zeros(3), 0
    for chosen in combinations(names, len(target_names)):
        on_target = np.array([g in chosen for g in groups])
        kept = {}
        for side, sets in active.items():
            on = np.concatenate(sets)
            kept[side] = []
            for feature in range(on.shape[1]):
                t, c = int(on[on_target, feature].sum()), int(on[~on_target, feature].sum())
                r = rules[side]
                good = t >= r.least and c <= r.most
                if good and is_significant is not None:
                    good = is_significant(side, on[on_target, feature], on[~on_target, feature], on_target)
                kept[side].append(good)
        both = [b or c for b, c in zip(kept["base"], kept["chat"], strict=True)]
        totals += [sum(kept["base"]), sum(kept["chat"]), sum(both)]
        number += 1
    return totals / number


RULES = {"base": Rule(1, 0, 5, 4), "chat": Rule(2, 1, 5, 4)}


def test_expected_is_every_exchange(monkeypatch):
    active = activity()
    found = every_exchange(active, RULES)
    assert expected(active, RULES) == pytest.approx(found)
    monkeypatch.setattr(by_chance, "_FEATURES", 3)
    assert expected(active, RULES) == pytest.approx(found)


def test_expected_and_significant_is_every_exchange():
    active, cutoffs = activity(), {"base": 0.2, "chat": 0.5}

    def is_significant(side, target, control, _):
        p = fisher(np.array([target.sum()]), np.array([control.sum()]), 5, 4)[0]
        return p <= cutoffs[side] * (1 + 1e-9)

    found = every_exchange(active, RULES, is_significant)
    assert expected(active, RULES, cutoffs) == pytest.approx(found)
    assert 0 < found[2] < every_exchange(active, RULES)[2]


def test_expected_of_groups_is_every_exchange():
    """Groups of 3 and 2 target, 1, 2 and 1 control prompts."""
    active, groups = activity(), [0, 0, 0, 1, 1, 2, 3, 3, 4]
    arrays = np.array(groups[:5]), np.array(groups[5:])
    assert expected(active, RULES, None, *arrays) == pytest.approx(every_exchange(active, RULES, groups=groups))


def test_expected_and_significant_of_groups_is_every_exchange():
    """Groups that differ in size, so that rates are not counts; thirds add up with rounding, and ties must hold."""
    active, cutoffs = activity(12, 9, 25, seed=0), {"base": 0.2, "chat": 0.5}
    groups = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 5, 5, 5, 5])
    rules = {"base": Rule(1, 4, 12, 9), "chat": Rule(2, 3, 12, 9)}

    def is_significant(side, target, control, on_target):
        p = exchange_rates(target[:, None], control[:, None], None, groups[on_target], groups[~on_target])[0]
        return p <= cutoffs[side] * (1 + 1e-9)

    found = every_exchange(active, rules, is_significant, groups.tolist())
    assert expected(active, rules, cutoffs, groups[:12], groups[12:]) == pytest.approx(found)
    assert 0 < found[2] < every_exchange(active, rules, groups=groups.tolist())[2]


def test_groups_of_one_are_no_groups():
    active = activity()
    assert expected(active, RULES, None, np.arange(5), np.arange(4)) == expected(active, RULES)


def test_random_exchanges_are_close_to_the_exact_sums():
    """80 prompts: the total of one model that is silent in the other is known exactly."""
    active = activity(40, 40, 200)
    active["chat"] = tuple(np.zeros_like(on) for on in active["chat"])
    rules = dict.fromkeys(("base", "chat"), Rule(1, 0, 40, 40))
    active["base"][0][2:], active["base"][1][1:] = False, False
    found = expected(active, rules)
    assert found.chat == 0
    assert found.base > 20
    assert found.either == pytest.approx(found.base, rel=0.05)


def test_at_least_is_the_larger_probability():
    counts = {"base": (np.array([1, 0]), np.array([1, 0])), "chat": (np.array([1, 3]), np.array([0, 0]))}
    rules = dict.fromkeys(("base", "chat"), rule(PUBLISHED, 2, 2))
    # base: 2 of 4 prompts, both target with 1/6; chat: 1 of 4, target with 1/2, and 3 of 4, never
    assert expected_at_least(counts, rules) == pytest.approx((1 / 6, 1 / 2, 1 / 2))


def test_at_least_is_less_than_expected():
    active = activity(seed=5)
    least, full = expected_at_least(counts_of(active), RULES), expected(active, RULES)
    assert least[:2] == full[:2]
    assert least.either < full.either


def test_the_mirror_counts_control_only():
    counts = {
        "base": (np.array([0, 0, 2, 1]), np.array([1, 0, 0, 3])),
        "chat": (np.array([0, 1, 0, 1]), np.array([0, 0, 5, 0])),
    }
    rules = dict.fromkeys(("base", "chat"), rule(PUBLISHED, 40, 40))
    assert count_kept(counts, rules) == NumKept(1, 2, 3)
    assert count_kept({v: pair[::-1] for v, pair in counts.items()}, rules) == NumKept(1, 1, 2)


@given(st.permutations(range(7)))
def test_order_does_not_matter(order):
    active = activity()
    mixed = {v: tuple(on[:, order] for on in sets) for v, sets in active.items()}
    assert expected(mixed, RULES) == pytest.approx(expected(active, RULES))


def counts_in_both(active):
    return sum((base & chat).sum(axis=0) for base, chat in zip(active["base"], active["chat"], strict=True))


BEARS_NONE = {"base": Rule(1, 0, 5, 4), "chat": Rule(2, 0, 5, 4)}


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 0.1, 0.4]))
@settings(max_examples=15)
def test_exact_is_every_exchange(seed, cutoff):
    """A rule that bears no control prompt: no exchange need be drawn to count what both models keep."""
    active = activity(seed=seed)

    def is_significant(_side, target, control, _):
        return fisher(np.array([target.sum()]), np.array([control.sum()]), 5, 4)[0] <= cutoff * (1 + 1e-9)

    found = every_exchange(active, BEARS_NONE, cutoff and is_significant)
    cutoffs = cutoff and dict.fromkeys(("base", "chat"), cutoff)
    counts = counts_of(active)
    assert expected_exactly(counts, counts_in_both(active), BEARS_NONE, cutoffs) == pytest.approx(found)


def test_exact_by_hand():
    """Of 4 prompts base has one, chat another one: each is target with 1/2, both with 1/6, so one of them with 5/6."""
    counts = {"base": (np.array([1]), np.array([0])), "chat": (np.array([0]), np.array([1]))}
    rules = dict.fromkeys(("base", "chat"), rule(PUBLISHED, 2, 2))
    assert expected_exactly(counts, np.array([0]), rules) == pytest.approx((1 / 2, 1 / 2, 5 / 6))
    assert expected_exactly(counts, np.array([1]), rules) == pytest.approx((1 / 2, 1 / 2, 1 / 2)), "the same prompt"
