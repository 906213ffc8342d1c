"""Patterns and the two stages, held to plain counting."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest

from featurediff.features import resampling
from featurediff.features.resampling import BLOCK, ENOUGH_HITS, Exchanges, Signs, Statistic, blocks, p_values


def test_all_signs_are_listed():
    assert sorted(map(tuple, Signs(4).listed())) == sorted(product([-1.0, 1.0], repeat=4))
    assert len(Signs(4).listed()) == Signs(4).number == 16


def test_all_labels_are_listed():
    listed = [tuple(np.flatnonzero(labels)) for labels in Exchanges(2, 3).listed()]
    assert listed == list(combinations(range(5), 2))
    assert Exchanges(2, 3).number == comb(5, 2)


@pytest.mark.parametrize("patterns", [Signs(30), Exchanges(20, 11)])
def test_blocks_do_not_depend_on_each_other(patterns):
    """A later block is the same whether or not the earlier ones were drawn, and unlike them."""
    together = list(blocks(patterns, 0, 3))
    assert (next(blocks(patterns, 2, 3)) == together[2]).all()
    assert (together[1] != together[2]).any()
    assert (together[0][0] == patterns.observed()).all()


def test_drawn_signs_are_fair():
    """30,720 coins: 6 standard errors are 1,052."""
    drawn = Signs(30).drawn(np.random.default_rng(1))
    assert drawn.shape == (BLOCK, 30)
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    assert abs(drawn.sum()) < 1052


def test_drawn_labels_are_fair():
    """Each pattern has 3 targets; each of 8 units is one in 384 ± 6 · 15.5 of 1,024, each pair in 109.7 ± 6 · 9.9."""
    drawn = Exchanges(3, 5).drawn(np.random.default_rng(1))
    assert drawn.shape == (BLOCK, 8)
    assert (drawn.sum(axis=1) == 3).all()
    assert set(np.unique(drawn)) == {0.0, 1.0}
    together = drawn.T @ drawn
    assert np.abs(np.diag(together) - 384).max() < 93
    assert np.abs(together[~np.eye(8, dtype=bool)] - BLOCK * 3 / 28).max() < 60


def statistic(rng, units=20, features=40, squares=True):
    values = rng.normal(size=(units, features))
    weight = rng.random(features) if squares else None
    return Statistic(values, rng.random(features) * 40, weight)


def counted(statistic, patterns):
    """Hits in plain Python."""
    hits = []
    for feature in range(statistic.values.shape[1]):
        values, found = statistic.values[:, feature].tolist(), 0
        weight = 0.0 if statistic.squares is None else statistic.squares[feature]
        for pattern in patterns.tolist():
            s = sum(x * y for x, y in zip(pattern, values, strict=True))
            q = sum(x * y**2 for x, y in zip(pattern, values, strict=True))
            found += (s if statistic.one_sided else s**2 - weight * q) >= statistic.least[feature]
        hits.append(found)
    return hits


@pytest.mark.parametrize("squares", [True, False])
@pytest.mark.parametrize("one_sided", [True, False])
def test_hits_are_counted(squares, one_sided):
    rng = np.random.default_rng(3)
    found = statistic(rng, 6, 20, squares)
    found = Statistic(found.values, found.least * (0.1 if one_sided else 0.5), found.squares, one_sided and not squares)
    patterns = Exchanges(3, 3).listed()
    hits = found.hits(patterns)
    assert hits.tolist() == counted(found, patterns)
    assert len(set(hits.tolist())) > 3


def test_two_stages_written_out():
    """A feature stops after the first block with 10 hits beside the observed one, and goes on with 9."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(20, 60))
    observed = values.sum(axis=0) ** 2 + np.linspace(0, 200, 60)
    statistic = Statistic(values, observed)
    first = next(blocks(Signs(20), 0, 1))
    family = 60
    needed = 3  # 2 · 60 / 0.05 = 2,400 patterns
    expected = []
    hits = statistic.hits(first)
    everything = np.concatenate(list(blocks(Signs(20), 0, needed)))
    for feature, found in enumerate(hits):
        if found > ENOUGH_HITS:
            expected.append(found / BLOCK)
        else:
            expected.append(statistic.of(np.array([feature])).hits(everything)[0] / (needed * BLOCK))
    assert p_values(statistic, Signs(20), family).tolist() == expected
    assert (hits > ENOUGH_HITS).any()
    assert (hits <= ENOUGH_HITS).any()


@pytest.mark.parametrize(("hits", "goes_on"), [(11, False), (10, True)])
def test_where_the_first_stage_ends(hits, goes_on):
    """The observed pattern counts as a hit, but not towards the 10."""
    values = np.random.default_rng(7).normal(size=(20, 1))
    reached = np.sort(((next(blocks(Signs(20), 0, 1)) @ values) ** 2)[:, 0])
    p = p_values(Statistic(values, reached[[-hits]] * (1 - 1e-9)), Signs(20), 100)
    assert bool(p[0] == hits / BLOCK) is not goes_on
    assert p[0] * 4 * BLOCK == pytest.approx(round(p[0] * 4 * BLOCK))


def test_enough_patterns_for_the_family():
    """2 m / 0.05 patterns, rounded up to blocks, whatever the level: one hit gives the smallest p there is."""
    values = np.ones((40, 1))
    for family, needed in ((1, 1024), (25, 1024), (26, 2048), (4000, 160 * 1024 - 3 * 1024)):
        p = p_values(Statistic(values, np.array([1600.0])), Signs(40), family)
        assert p[0] == 1 / needed
        assert needed >= 40 * family


def test_chunks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(9)
    found = statistic(rng, 20, 50)
    p = p_values(found, Signs(20), 200)
    for width in (1, 7, 50):
        monkeypatch.setattr(resampling, "_FEATURES", width)
        assert (p_values(found, Signs(20), 200) == p).all()
