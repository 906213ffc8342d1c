"""p of a change, held to all sign patterns and to McNemar's exact test."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from featurediff.features.exact_tests import mcnemar
from featurediff.features.sign_flips import sign_flips

CELLS = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.3, -0.3, 1.0, -1.0]), st.floats(-3, 3, width=16))


def all_patterns(column):
    """p from every sign pattern, feature by feature."""
    n, observed, hits = len(column), abs(sum(column)), 0
    for signs in product([-1, 1], repeat=n):
        hits += abs(sum(s * x for s, x in zip(signs, column, strict=True))) >= observed - 1e-9
    return hits / 2**n


def means(column, groups):
    """Mean of each group, in plain Python."""
    return [
        sum(x for x, g in zip(column, groups, strict=True) if g == name) / list(groups).count(name)
        for name in sorted(set(groups))
    ]


def test_by_hand():
    """Sums of ±1 ±2 ±4 that reach 5: 7, 5 and their negatives; that reach 3: 7, 5, 3; that reach 1: all."""
    d = np.array([[1.0, 1.0, -1.0], [0.0, -2.0, -2.0], [4.0, 4.0, 4.0]])
    assert sign_flips(d).tolist() == [4 / 8 + 0.0, 6 / 8, 8 / 8]


@given(st.integers(1, 10).flatmap(lambda n: arrays(float, (n, 3), elements=CELLS)))
@settings(max_examples=40)
def test_is_the_reference(d):
    assert sign_flips(d) == pytest.approx([all_patterns(column) for column in d.T.tolist()])


@given(
    st.integers(2, 9).flatmap(
        lambda n: st.tuples(arrays(float, (n, 2), elements=CELLS), arrays(int, n, elements=st.integers(0, 4)))
    )
)
@settings(max_examples=40)
def test_groups_are_the_reference(drawn):
    d, groups = drawn
    expected = [all_patterns(means(column, groups.tolist())) for column in d.T.tolist()]
    assert sign_flips(d, groups=groups) == pytest.approx(expected)


@given(st.integers(1, 14).flatmap(lambda n: arrays(float, (n, 4), elements=st.sampled_from([-1.0, 0.0, 1.0]))))
@settings(max_examples=40)
def test_on_switches_it_is_mcnemars(d):
    assert sign_flips(d) == pytest.approx(mcnemar((d < 0).sum(axis=0), (d > 0).sum(axis=0)), rel=1e-9)


def random_d(features=60, prompts=40):
    rng = np.random.default_rng(2)
    d = rng.normal(size=(prompts, features)) * (rng.random((prompts, features)) < 0.6) + np.linspace(0, 1, features)
    d[:, 3] = 0
    return d


def test_random_signs_agree_with_a_plain_loop():
    """Signs of other random numbers: p within 5 standard errors of 4,000 draws."""
    d = random_d(8)
    rng, p = np.random.default_rng(99), sign_flips(d)
    for feature, column in enumerate(d.T):
        hits = sum(abs((rng.choice([-1, 1], 40) * column).sum()) >= abs(column.sum()) - 1e-9 for _ in range(4000))
        expected = hits / 4000
        assert abs(p[feature] - expected) < 5 * np.sqrt((expected + 0.001) * (1 / 4000 + 1 / 1024)), feature


def test_properties():
    """Neither the order of features, nor which model is base, nor groups of one, nor the scale changes a p."""
    d = random_d()
    p = sign_flips(d)
    order = np.random.default_rng(4).permutation(d.shape[1])
    assert (sign_flips(d[:, order]) == p[order]).all()
    assert (sign_flips(-d) == p).all()
    assert (sign_flips(d, groups=np.arange(40)[::-1]) == p).all()
    assert (sign_flips(d * 1e-6) == p).all()
    assert (sign_flips(d[:, 20:30], family=60) == p[20:30]).all()
    assert p[3] == 1
    assert p.min() < 0.001


def test_ties_are_hits_on_every_machine():
    """0.1 + 0.2 is not 0.3 in floating point, but as a statistic it is: 4 of 8 patterns reach 0.6, 8 reach 0."""
    d = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, -0.3]])
    assert sign_flips(d).tolist() == [2 / 8, 1.0]
    many = np.tile(d[:, 1:], (10, 1))
    assert sign_flips(many)[0] == 1.0


def test_nothing_to_test():
    assert np.isnan(sign_flips(np.empty((0, 2)))).all()
    assert sign_flips(np.array([[2.0, 0.0]])).tolist() == [1.0, 1.0]
    assert sign_flips(np.empty((5, 0))).shape == (0,)


def test_eight_groups_can_show_no_more_than_their_signs():
    """40 prompts in 8 groups that all increase: 2 of 2^8 patterns."""
    assert sign_flips(np.ones((40, 1)), groups=np.repeat(np.arange(8), 5)).tolist() == [2 / 256]
