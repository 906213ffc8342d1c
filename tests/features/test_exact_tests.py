"""Tests of counts, held to scipy's and to numbers worked out by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact

from featurediff.features.exact_tests import fisher, fisher_two_sided, least_significant, mcnemar, wilson


def some_counts(num_first, num_second):
    """Return 300 pairs of counts, a third of them small."""
    rng = np.random.default_rng(num_second)
    first, second = rng.integers(0, num_first + 1, 300), rng.integers(0, num_second + 1, 300)
    first[:100], second[:100] = first[:100].clip(max=9), second[:100].clip(max=9)
    return first, second


def one_sided(target, control, num_target, num_control):
    table = [[target, num_target - target], [control, num_control - control]]
    return fisher_exact(table, alternative="greater").pvalue


def two_sided(base, chat, num_base, num_chat):
    return fisher_exact([[base, num_base - base], [chat, num_chat - chat]]).pvalue


def test_a_published_pair_by_hand():
    """One prompt of 40 against none of 40: half of all tables with this margin have it among the target prompts."""
    assert fisher(np.array([1]), np.array([0]), 40, 40) == pytest.approx([0.5])
    assert fisher(np.array([2]), np.array([0]), 40, 40) == pytest.approx([40 * 39 / (80 * 79)])
    assert fisher_two_sided(np.array([0]), np.array([2]), 40, 40) == pytest.approx([2 * 40 * 39 / (80 * 79)])


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


@pytest.mark.parametrize("n", [1, 2, 37, 1000])
def test_wilson_is_scipys_interval(n):
    counts = np.unique(np.linspace(0, n, 50).astype(int))
    found = [binomtest(int(k), n).proportion_ci(method="wilson") for k in counts]
    low, high = wilson(counts, n)
    assert low == pytest.approx([interval.low for interval in found], abs=1e-12)
    assert high == pytest.approx([interval.high for interval in found], abs=1e-12)


@pytest.mark.parametrize(("num_target", "num_control"), [(1, 1), (7, 7), (7, 12), (40, 37), (300, 1000), (3000, 2000)])
def test_fisher_is_scipys(num_target, num_control):
    target, control = some_counts(num_target, num_control)
    expected = [one_sided(t, c, num_target, num_control) for t, c in zip(target, control, strict=True)]
    assert fisher(target, control, num_target, num_control) == pytest.approx(expected, rel=1e-9, abs=1e-290)


@pytest.mark.parametrize("cutoff", [1.0, 0.05, 0.0031, 1e-9, 0.0])
@pytest.mark.parametrize(("num_target", "num_control"), [(1, 1), (7, 12), (40, 37)])
def test_the_least_significant_count_is_the_first_whose_p_is_small_enough(num_target, num_control, cutoff):
    margins = np.arange(num_target + num_control + 1)
    expected = []
    for margin in margins.tolist():
        counts = np.arange(max(0, margin - num_control), min(margin, num_target) + 1)
        is_small = fisher(counts, margin - counts, num_target, num_control) <= cutoff
        expected.append(counts[is_small][0] if is_small.any() else counts[-1] + 1)
    assert least_significant(margins[::-1], num_target, num_control, cutoff).tolist() == expected[::-1]
