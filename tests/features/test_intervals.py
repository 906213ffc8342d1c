"""Intervals, held to published examples, to scipy and to the formulas written out."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_1samp, ttest_ind

from featurediff.features.groups import group_means
from featurediff.features.intervals import (
    difference,
    mean_interval,
    newcombe,
    newcombe_paired,
    paired_mean,
    paired_means,
    share,
)
from featurediff.features.moments import Sample, combine

RNG = np.random.default_rng(21)


def one(*numbers):
    return [np.array([number]) for number in numbers]


def ends(estimate):
    return float(estimate.low[0]), float(estimate.high[0])


def test_newcombe_as_published():
    """Statistics in Medicine 17:873-890, Table II: 56/70 − 48/80 and others, method 10."""
    published = {
        (56, 70, 48, 80): (0.0524, 0.3339),
        (9, 10, 3, 10): (0.1705, 0.8090),
        (6, 7, 2, 7): (0.0582, 0.8062),
        (5, 56, 0, 29): (-0.0381, 0.1926),
        (0, 10, 0, 20): (-0.1611, 0.2775),
        (0, 10, 0, 10): (-0.2775, 0.2775),
        (10, 10, 0, 20): (0.6791, 1.0000),
        (10, 10, 0, 10): (0.6075, 1.0000),
    }
    for (chat, num_chat, base, num_base), expected in published.items():
        found = newcombe(*one(base, chat), num_base, num_chat)
        assert ends(found) == pytest.approx(expected, abs=5.1e-5)
        assert found.value[0] == pytest.approx(chat / num_chat - base / num_base)


def test_newcombe_paired_as_published():
    """
    Both, chat only, base only, neither.

    Statistics in Medicine 17:2635-2650, Table II, method 10; and Fagerland, Lydersen and Laake (2017), Statistical
    Analysis of Contingency Tables, chapter 8: complete response before and after consolidation therapy.
    """
    for (both, chat, base, neither), expected in {
        (36, 12, 2, 0): (0.0569, 0.3404),
        (59, 6, 16, 80): (-0.1186, -0.0046),
    }.items():
        found = newcombe_paired(*one(both, base, chat), both + chat + base + neither)
        assert ends(found) == pytest.approx(expected, abs=5.1e-5)


def score(count, n):
    ci = binomtest(int(count), int(n)).proportion_ci(0.95, method="wilson")
    return ci.low, ci.high


CELLS = st.tuples(*[st.integers(0, 15)] * 4).filter(any)


@given(CELLS)
@settings(max_examples=60)
def test_newcombe_paired_is_the_formula(cells):
    a, b, c, d = cells  # both, base only, chat only, neither
    n = sum(cells)
    base, chat = (a + b) / n, (a + c) / n
    (l1, u1), (l2, u2) = score(a + c, n), score(a + b, n)
    product = (a + b) * (c + d) * (a + c) * (b + d)
    top = a * d - b * c
    top = max(top - n / 2, 0) if top > 0 else top
    phi = top / sqrt(product) if product else 0.0
    low = (chat - l1) ** 2 - 2 * phi * (chat - l1) * (u2 - base) + (u2 - base) ** 2
    high = (u1 - chat) ** 2 - 2 * phi * (u1 - chat) * (base - l2) + (base - l2) ** 2
    found = newcombe_paired(*one(a, b, c), n)
    assert found.value[0] == pytest.approx(chat - base)
    expected = chat - base - sqrt(max(low, 0)), chat - base + sqrt(max(high, 0))
    assert ends(found) == pytest.approx(expected, abs=1e-7)
    swapped = newcombe_paired(*one(a, c, b), n)
    assert ends(swapped) == pytest.approx((-found.high[0], -found.low[0]))


@given(CELLS)
@settings(max_examples=40)
def test_specific_is_mover(counts):
    """(chat − base on target) − (chat − base on control), four counts of 15, written out."""
    a, b, c, d = counts
    target, control = newcombe(*one(a, b), 15, 15), newcombe(*one(c, d), 15, 15)
    found = difference(target, control)
    (lt, ut), (lc, uc) = ends(target), ends(control)
    dt, dc = (b - a) / 15, (d - c) / 15
    low, high = dt - dc - sqrt((dt - lt) ** 2 + (uc - dc) ** 2), dt - dc + sqrt((ut - dt) ** 2 + (dc - lc) ** 2)
    assert ends(found) == pytest.approx((low, high))
    assert found.value[0] == pytest.approx(dt - dc)
    swapped = difference(control, target)
    assert ends(swapped) == pytest.approx((-high, -low))


def test_only_where_something_moves():
    found = newcombe(np.array([0, 3]), np.array([0, 4]), 40, 40).only(np.array([False, True]))
    assert found.value.tolist() == pytest.approx([0, 1 / 40])
    assert np.isnan([found.low[0], found.high[0]]).all()
    assert found.low[1] < 1 / 40 < found.high[1]


def test_a_share_has_wilsons_interval():
    assert ends(share(np.array([3]), 40)) == pytest.approx(score(3, 40), abs=1e-7)


def test_mean_of_pairs_is_scipys():
    d = RNG.normal(1, 2, (12, 4))
    found, expected = paired_mean(d), ttest_1samp(d, 0).confidence_interval(0.95)
    assert found.value == pytest.approx(d.mean(axis=0))
    assert found.low == pytest.approx(expected.low)
    assert found.high == pytest.approx(expected.high)


def test_difference_of_means_is_scipys():
    target, control = RNG.normal(1, 2, (12, 4)), RNG.normal(0, 5, (30, 4))
    expected = ttest_ind(target, control, equal_var=False).confidence_interval(0.95)
    found = paired_means(target, control)
    assert found.low == pytest.approx(expected.low)
    assert found.high == pytest.approx(expected.high)
    summaries = mean_interval(combine([Sample.of(target)], [Sample.of(control)]))
    assert summaries.low == pytest.approx(expected.low)


def test_four_means_are_the_formula():
    samples = [Sample.of(RNG.normal(0, scale, (n, 1))) for n, scale in ((12, 1), (15, 2), (30, 3), (9, 0.5))]
    found = mean_interval(combine([samples[0], samples[3]], [samples[1], samples[2]]))
    means, v = [s.mean[0] for s in samples], [s.std[0] ** 2 / s.n for s in samples]
    value = means[0] - means[1] - means[2] + means[3]
    freedom = sum(v) ** 2 / sum(x**2 / (s.n - 1) for x, s in zip(v, samples, strict=True))
    half = t.ppf(0.975, freedom) * sqrt(sum(v))
    assert ends(found) == pytest.approx((value - half, value + half))


def test_groups_widen_around_the_effect_over_prompts():
    """Groups of 1, 2 and 5 prompts: the middle is the mean of eight prompts, the width that of three values."""
    d, groups = RNG.normal(1, 2, (8, 3)), np.array([0, 1, 1, 2, 2, 2, 2, 2])
    units = group_means(d, groups)
    found = paired_mean(d, units)
    half = t.ppf(0.975, 2) * units.std(axis=0, ddof=1) / sqrt(3)
    assert found.low == pytest.approx(d.mean(axis=0) - half)
    assert found.high == pytest.approx(d.mean(axis=0) + half)
    other = RNG.normal(0, 1, (9, 3))
    both = paired_means(d, other, units)
    welch = ttest_ind(units, other, equal_var=False).confidence_interval(0.95)
    assert both.value == pytest.approx(d.mean(axis=0) - other.mean(axis=0))
    assert both.high - both.low == pytest.approx(welch.high - welch.low)


def test_no_interval_where_nothing_varies():
    """d = 0 everywhere, d = 2 everywhere, a single prompt: an interval without width would say too much."""
    for d in (np.zeros((5, 1)), np.full((5, 1), 2.0), np.array([[2.0]])):
        found = paired_mean(d)
        assert np.isnan([found.low[0], found.high[0]]).all()
        assert found.value[0] == d[0, 0]
        assert np.isnan(paired_means(d, np.zeros((5, 1))).low[0])
    assert not np.isnan(paired_means(np.full((5, 1), 2.0), RNG.normal(size=(5, 1))).low[0])
