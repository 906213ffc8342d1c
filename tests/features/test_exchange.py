"""p of what is specific to the target prompts, held to plain loops over all exchanges."""

from itertools import combinations
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import fisher_exact, ttest_ind

from featurediff.features.exchange import exchange, exchange_rates
from featurediff.features.groups import group_means

CELLS = st.sampled_from([0.0, 0.0, 0.1, 0.2, 0.3, -0.3, 1.0, -1.0, 2.5])
SIZES = st.tuples(st.integers(2, 5), st.integers(2, 5))


def t_squared(first, second):
    """Welch's t², written out: 0 / 0 is 0."""
    means = [sum(values) / len(values) for values in (first, second)]
    variance = 0.0
    for values, mean in zip((first, second), means, strict=True):
        if max(values) - min(values) > 1e-9:
            variance += sum((x - mean) ** 2 for x in values) / (len(values) - 1) / len(values)
    apart = (means[0] - means[1]) ** 2
    if variance == 0:
        return inf if apart > 1e-18 else 0.0
    return apart / variance


def all_exchanges(target, control, statistic=t_squared):
    """p from every choice of the target prompts."""
    values, n = [*target, *control], len(target)
    observed, hits, number = statistic(target, control), 0, 0
    for chosen in combinations(range(len(values)), n):
        first = [values[i] for i in chosen]
        second = [values[i] for i in range(len(values)) if i not in chosen]
        hits += statistic(first, second) >= observed * (1 - 1e-9) - 1e-12
        number += 1
    return hits / number


def rates_apart(first, second):
    return sum(first) / len(first) - sum(second) / len(second)


def two_sets(cells, features=2):
    return SIZES.flatmap(lambda sizes: st.tuples(*(arrays(float, (size, features), elements=cells) for size in sizes)))


def test_by_hand():
    """
    Of 6 ways to call two of (3, 4 | 0, 1) target, only the observed one and its mirror have |t| = 3 / 0.71.

    (5, 5 | 0, 0): t is ∞ in two of 6 ways. (1, 1 | 1, 1): nothing differs. (1, 0 | 1, 0): t = 0 is reached by all.
    """
    target = np.array([[3.0, 5.0, 1.0, 1.0], [4.0, 5.0, 1.0, 0.0]])
    control = np.array([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    assert exchange(target, control).tolist() == pytest.approx([2 / 6, 2 / 6, 1, 1])


@given(two_sets(CELLS))
@settings(max_examples=60)
def test_is_the_reference(sets):
    expected = [all_exchanges(*columns) for columns in zip(*(d.T.tolist() for d in sets), strict=True)]
    assert exchange(*sets) == pytest.approx(expected)


@given(two_sets(CELLS))
@settings(max_examples=30)
def test_properties_where_all_are_listed(sets):
    """Swapping base and chat, or target and control, changes no p; nor does what all prompts share."""
    p = exchange(*sets)
    assert exchange(*(-d for d in sets)) == pytest.approx(p)
    assert exchange(*sets[::-1]) == pytest.approx(p)
    assert exchange(*(d + 1.0 for d in sets)) == pytest.approx(p)


def test_groups_are_the_reference():
    rng = np.random.default_rng(8)
    sets = rng.normal(size=(9, 3)) + 1, rng.normal(size=(11, 3))
    groups = rng.integers(0, 4, 9), rng.integers(0, 5, 11)
    units = [group_means(d, g) for d, g in zip(sets, groups, strict=True)]
    expected = [all_exchanges(*columns) for columns in zip(*(d.T.tolist() for d in units), strict=True)]
    assert exchange(*sets, None, *groups) == pytest.approx(expected)
    assert exchange(*sets) != pytest.approx(expected)


def random_sets(n=40, m=40, features=60):
    rng = np.random.default_rng(2)
    target = rng.normal(size=(n, features)) * (rng.random((n, features)) < 0.6) + np.linspace(0, 1.5, features)
    control = rng.normal(size=(m, features)) * (rng.random((m, features)) < 0.6) * 2
    target[:, 3] = control[:, 3] = 0
    target[:, 4] = control[:, 4] = 0.7
    return target, control


@pytest.mark.parametrize("sizes", [(40, 40), (30, 45)])
def test_random_labels_agree_with_a_plain_loop(sizes):
    """Labels of other random numbers, t from scipy: p within 5 standard errors of 2,000 draws."""
    sets = random_sets(*sizes, features=10)
    rng, p = np.random.default_rng(99), exchange(*sets)
    for feature in (0, 1, 2, 5, 6, 7, 8, 9):
        values = np.concatenate([d[:, feature] for d in sets])
        observed = ttest_ind(values[: sizes[0]], values[sizes[0] :], equal_var=False).statistic
        shuffled = np.array([rng.permutation(values) for _ in range(2000)])
        t = ttest_ind(shuffled[:, : sizes[0]], shuffled[:, sizes[0] :], axis=1, equal_var=False).statistic
        expected = (np.abs(t) >= abs(observed) * (1 - 1e-9)).mean()
        assert abs(p[feature] - expected) < 5 * np.sqrt((expected + 0.001) * (1 / 2000 + 1 / 1024)), feature


@pytest.mark.parametrize("sizes", [(40, 40), (30, 45)])
def test_properties(sizes):
    """Neither the order of features, nor which model is base, nor groups of one, nor the scale changes a p."""
    sets = random_sets(*sizes)
    p = exchange(*sets)
    order = np.random.default_rng(4).permutation(60)
    assert (exchange(*(d[:, order] for d in sets)) == p[order]).all()
    assert (exchange(*(-d for d in sets)) == p).all()
    assert (exchange(*sets, None, *(np.arange(size)[::-1] for size in sizes)) == p).all()
    assert (exchange(*(d * 1e-6 for d in sets)) == p).all()
    assert (exchange(*(d[:, 20:30] for d in sets), 60) == p[20:30]).all()
    assert p[3] == p[4] == 1
    assert p.min() < 0.001


def test_swapping_target_and_control_draws_the_other_labels():
    """With random labels p changes by no more than the draws do."""
    sets = random_sets(features=30)
    p, swapped = exchange(*sets), exchange(*sets[::-1])
    assert (np.abs(p - swapped) < 5 * np.sqrt((p + 0.001) * 2 / 1024)).all()


def test_constant_sets_that_differ_are_infinitely_apart():
    """Only labels that leave both sets constant are as extreme: of 1,024 random ones just the observed one."""
    target, control = np.full((20, 1), 0.1) * 3, np.full((20, 1), 0.1)
    assert exchange(target, control).tolist() == [1 / 1024]


def test_what_is_constant_but_for_rounding_is_no_finding():
    """A 0 / 0 once called 41 features in every null source: here d is 0.3 on all prompts."""
    d = np.array([0.1 + 0.2, 0.3, 0.6 / 2, 0.9 - 0.6])[:, None]
    assert len(np.unique(d)) > 1
    assert exchange(np.tile(d[:2], (10, 1)), np.tile(d[2:], (10, 1))).tolist() == [1.0]


def test_nothing_to_test():
    assert np.isnan(exchange(np.ones((1, 2)), np.zeros((5, 2)))).all()
    assert np.isnan(exchange(np.ones((4, 1)), np.zeros((5, 1)), None, np.zeros(4), None)).all()
    assert exchange(np.ones((4, 0)), np.ones((4, 0))).shape == (0,)


@given(two_sets(st.sampled_from([0.0, 1.0])))
@settings(max_examples=40)
def test_rates_are_fishers_test(sets):
    """Without groups, the one-sided exchange of rates is Fisher's exact test."""
    active = [d > 0 for d in sets]
    p = exchange_rates(*active)
    for feature in range(2):
        rows = [[on[:, feature].sum(), (~on[:, feature]).sum()] for on in active]
        assert p[feature] == pytest.approx(fisher_exact(rows, alternative="greater").pvalue)


def test_rates_of_groups_are_the_reference():
    rng = np.random.default_rng(8)
    sets = rng.random((9, 4)) < 0.6, rng.random((11, 4)) < 0.3
    groups = rng.integers(0, 4, 9), rng.integers(0, 5, 11)
    units = [group_means(on * 1.0, g) for on, g in zip(sets, groups, strict=True)]
    expected = [all_exchanges(*c, rates_apart) for c in zip(*(d.T.tolist() for d in units), strict=True)]
    p = exchange_rates(*sets, None, *groups)
    assert p == pytest.approx(expected)
    assert len(set(p.tolist())) == 4


def test_rates_with_nothing_to_test():
    everywhere = np.array([[True, False]] * 3)
    assert exchange_rates(everywhere, everywhere).tolist() == [1.0, 1.0]
    assert np.isnan(exchange_rates(everywhere, everywhere[:0])).all()
