"""The exact p of switched features, held to all exchanges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_exchange import SIZES, all_exchanges

from featurediff.features import switches
from featurediff.features.exchange import exchange
from featurediff.features.switches import exchange_switches

SETS = SIZES.flatmap(
    lambda sizes: st.tuples(*(arrays(float, (n, 3), elements=st.sampled_from([-1.0, 0.0, 0.0, 1.0])) for n in sizes))
)


def random_sets(n, m, features=80):
    rng = np.random.default_rng(6)
    rates = np.linspace(0, 0.9, features)
    target = (rng.random((n, features)) < rates) * rng.choice([-1.0, 1.0, 1.0, 1.0, 1.0], (n, features))
    control = (rng.random((m, features)) < 0.2) * rng.choice([-1.0, 1.0], (m, features))
    target[:, 3] = control[:, 3] = 0
    target[:, 4] = control[:, 4] = 1
    return target, control


def test_by_hand():
    """
    Of 2 target and 3 control prompts: a single switch has t² = 1 wherever it falls, so that p is 1.

    Two switched off on both target prompts: t is ∞ in 1 of 10 ways. On one of each: t² = 0.1 in 6 ways, 1.6 in the 3
    with both on control, and ∞ in 1.
    """
    target = np.array([[1.0, 0.0, -1.0, 1.0], [0.0, 0.0, -1.0, 0.0]])
    control = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert exchange_switches(target, control) == pytest.approx([1, 1, 1 / 10, 1])


@given(SETS)
@settings(max_examples=60)
def test_is_the_reference(sets):
    expected = [all_exchanges(*columns) for columns in zip(*(d.T.tolist() for d in sets), strict=True)]
    assert exchange_switches(*sets) == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [(7, 7), (4, 10), (2, 30)])
def test_is_what_exchange_lists(sizes):
    sets = random_sets(*sizes)
    assert exchange_switches(*sets) == pytest.approx(exchange(*sets))


@pytest.mark.parametrize("sizes", [(40, 40), (30, 45)])
def test_random_labels_agree(sizes):
    sets = random_sets(*sizes)
    p, drawn = exchange_switches(*sets), exchange(*sets)
    assert (np.abs(p - drawn) < 5 * np.sqrt((p + 1e-3) / 1024)).all()
    assert p.min() < 1e-4


@pytest.mark.parametrize("sizes", [(40, 40), (30, 45)])
def test_properties(sizes):
    sets = random_sets(*sizes)
    p = exchange_switches(*sets)
    order = np.random.default_rng(4).permutation(80)
    assert (exchange_switches(*(d[:, order] for d in sets)) == p[order]).all()
    assert exchange_switches(*(-d for d in sets)) == pytest.approx(p, rel=1e-9)
    assert exchange_switches(*sets[::-1]) == pytest.approx(p, rel=1e-9)
    assert p[3] == p[4] == 1


def test_features_with_too_many_exchanges_are_drawn(monkeypatch):
    sets = random_sets(40, 40)
    exact = exchange_switches(*sets)
    monkeypatch.setattr(switches, "MOST_TABLES", 100)
    mixed, drawn = exchange_switches(*sets), exchange(*sets)
    moved = np.stack([sum((d == sign).sum(axis=0) for d in sets) for sign in (1, -1)])
    is_drawn = (moved + 1).prod(axis=0) > 100
    assert is_drawn.any()
    assert (mixed == np.where(is_drawn, drawn, exact)).all()


def test_a_thousand_prompts():
    """2,000 prompts: the probabilities neither overflow nor vanish, and p below 1e-20 has a value."""
    target, control = np.zeros((1000, 2)), np.zeros((1000, 2))
    target[:100, 0] = 1
    target[:300, 1], control[:300, 1] = 1, 1
    p = exchange_switches(target, control)
    assert 0 < p[0] < 1e-20
    assert p[1] == pytest.approx(1)


def test_nothing_to_test():
    assert np.isnan(exchange_switches(np.ones((1, 2)), np.zeros((5, 2)))).all()
    assert exchange_switches(np.zeros((4, 3)), np.zeros((4, 3))).tolist() == [1, 1, 1]
    assert exchange_switches(np.ones((4, 0)), np.ones((4, 0))).shape == (0,)
