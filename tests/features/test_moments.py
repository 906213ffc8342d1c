"""Tests from means, standard deviations and counts, held to scipy and to the formulas written out."""

from itertools import combinations
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t, ttest_ind, ttest_ind_from_stats

from featurediff.features.moments import Sample, combine, counts_specific, welch_change, welch_specific

RNG = np.random.default_rng(12)


def sample(n, features=6, scale=1.0, at=0.0):
    return Sample.of(RNG.normal(at, scale, (n, features)))


def test_a_sample_by_hand():
    found = Sample.of(np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]]))
    assert found.mean.tolist() == [3, 5]
    assert found.std.tolist() == pytest.approx([sqrt(7), 0])
    assert found.variance == pytest.approx([7 / 3, 0])
    assert np.isnan(Sample.of(np.ones((1, 2))).std).all()
    assert np.isnan(Sample.of(np.empty((0, 2))).mean).all()


def test_change_is_scipys():
    base, chat = sample(40), sample(25, scale=3, at=1)
    expected = ttest_ind_from_stats(*chat, *base, equal_var=False).pvalue
    assert welch_change(base, chat) == pytest.approx(expected, rel=1e-12)


def test_change_from_files_is_that_from_prompts():
    """Files hold float32: p agrees to six digits."""
    prompts = RNG.normal(size=(40, 5)), RNG.normal(0.5, 2, (40, 5))
    base, chat = (Sample(values.mean(0).astype("f4"), values.std(0, ddof=1).astype("f4"), 40) for values in prompts)
    assert welch_change(base, chat) == pytest.approx(ttest_ind(*prompts, equal_var=False).pvalue, rel=1e-5)


def test_specific_is_the_formula():
    samples = [sample(12, scale=1), sample(15, scale=2, at=1), sample(30, scale=3), sample(9, scale=0.5)]
    p = welch_specific(*samples)
    for feature in range(6):
        means = [s.mean[feature] for s in samples]
        v = [s.std[feature] ** 2 / s.n for s in samples]
        effect = (means[1] - means[0]) - (means[3] - means[2])
        freedom = sum(v) ** 2 / sum(x**2 / (s.n - 1) for x, s in zip(v, samples, strict=True))
        assert p[feature] == pytest.approx(2 * t.sf(abs(effect) / sqrt(sum(v)), freedom), rel=1e-9)
        assert combine([samples[1], samples[2]], [samples[0], samples[3]]).effect[feature] == pytest.approx(effect)


def test_swaps():
    """Swapping base and chat negates the effect, and so does swapping target and control; p stays."""
    a, b, c, d = sample(12), sample(15, at=1), sample(30), sample(9)
    assert welch_change(a, b) == pytest.approx(welch_change(b, a), rel=1e-12)
    assert welch_specific(a, b, c, d) == pytest.approx(welch_specific(b, a, d, c), rel=1e-9)
    assert welch_specific(a, b, c, d) == pytest.approx(welch_specific(c, d, a, b), rel=1e-9)
    assert combine([b], [a]).effect == pytest.approx(-combine([a], [b]).effect)


def flat(value, n):
    return Sample(np.array([value], "f4"), np.array([0], "f4"), n)


def test_nothing_moves():
    """Silent in both models, or the same on every prompt: t is 0, not 0 / 0."""
    assert welch_change(flat(0, 40), flat(0, 40)).tolist() == [1]
    assert welch_change(flat(0.3, 40), flat(0.3, 40)).tolist() == [1]
    assert welch_specific(flat(0, 4), flat(2, 4), flat(0.5, 3), flat(2.5, 3)).tolist() == [1]


@pytest.mark.parametrize(("first", "second"), [(3, 3), (2, 5)])
def test_constant_activations_that_differ(first, second):
    """|t| is ∞, but of 20 (21) ways to divide the six (seven) values 2 (1) separate them: p is that share, not 0."""
    values = [1.0] * first + [2.0] * second
    ways = list(combinations(range(len(values)), first))
    separate = sum(len({values[i] for i in way}) == 1 and values.count(values[way[0]]) == first for way in ways)
    assert welch_change(flat(1, first), flat(2, second)).tolist() == [separate / len(ways)]
    specific = welch_specific(flat(0, first), flat(1, first), flat(0, second), flat(2, second))
    assert specific.tolist() == [separate / len(ways)]
    more = welch_specific(flat(0, first + 4), flat(1, first), flat(0, second), flat(2, second + 1))
    assert more.tolist() == specific.tolist()  # there are no more pairs than prompts of the model that saw fewer


def test_a_spread_that_is_rounding_counts_as_none():
    """A float32 standard deviation of equal activations may come out as 1e-7 of them instead of 0."""
    base, chat = (Sample(np.array([3.0]), np.array([2e-7]), 10), Sample(np.array([3.0000002]), np.array([1e-7]), 10))
    assert welch_change(base, chat).tolist() == [1]


def test_one_model_is_silent():
    """Then the other's spread is all there is: a one-sample t test."""
    chat = sample(12, at=1)
    silent = Sample(np.zeros(6), np.zeros(6), 40)
    assert welch_change(silent, chat) == pytest.approx(2 * t.sf(np.abs(chat.mean) / chat.std * sqrt(12), 11), rel=1e-9)


def test_one_prompt_says_nothing():
    one = Sample.of(np.ones((1, 6)))
    assert np.isnan(welch_change(one, sample(5))).all()
    assert np.isnan(welch_specific(sample(5), sample(5), one, sample(5))).all()
    assert np.isnan(counts_specific([np.array([0])] * 4, (3, 3, 0, 3))).all()


COUNTS = st.tuples(*[st.integers(0, 20)] * 4)
SIZES = st.tuples(*[st.integers(20, 30)] * 4)


@given(COUNTS, SIZES)
def test_counts_are_the_formula(counts, sizes):
    shares = [(x + 1) / (n + 2) for x, n in zip(counts, sizes, strict=True)]
    variance = sum(s * (1 - s) / (n + 2) for s, n in zip(shares, sizes, strict=True))
    z = ((shares[1] - shares[0]) - (shares[3] - shares[2])) / sqrt(variance)
    expected = 1.0 if sum(counts) in (0, sum(sizes)) else 2 * norm.sf(abs(z))
    assert counts_specific([np.array([x]) for x in counts], sizes)[0] == pytest.approx(expected, rel=1e-9)


def test_counts_by_hand():
    """(19 − 1) / 20 against 0 in all of 18 prompts: z = 0.9 / √(4 · 0.05 · 0.95 / 20)."""
    counts = [np.array([0]), np.array([18]), np.array([0]), np.array([0])]
    assert counts_specific(counts, (18,) * 4) == pytest.approx([2 * norm.sf(0.9 / sqrt(4 * 0.05 * 0.95 / 20))])


def test_counts_of_features_on_everywhere_or_nowhere():
    """Adding one to counts of different sets of prompts makes no change of none."""
    sizes = (18, 20, 30, 40)
    assert counts_specific([np.array([0, n]) for n in sizes], sizes).tolist() == [1, 1]
