"""
Random signs and exchanged labels → p-values.

A pattern says what else could have happened if nothing had changed: a sign for each unit (a prompt or a group of
prompts), or which units are called target. All patterns are listed where there are few, and drawn otherwise. The same
patterns judge all features, so that a p does not depend on which other features there are, nor on their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import ceil, comb
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

SEED = 11
"""Every source is tested with the same random numbers."""

MOST_LISTED = 2**14
"""All patterns are listed where there are at most so many."""

BLOCK = 1024
"""
Patterns that are drawn at once, each block from a generator of its own; the first block is the first stage, and the
observed pattern is one of it.
"""

ENOUGH_HITS = 10
"""A feature with so many hits beside the observed one is not looked at again after the first stage."""

FINEST = 0.05
"""With two hits, a feature in a family of m can reach p ≤ `FINEST` / m, whatever level the user asks for."""

TIE = 1e-11
"""
Two statistics count as equal if they differ by at most this share of the largest that a feature could reach.

Rounding differs between machines by some 1e-15 of it. Squares are compared, so the statistics themselves (|Σd|, |t|)
may differ by more where they are tiny; there p is close to 1 anyway.
"""

_FEATURES = 256
"""Features that are looked at together: with a block of patterns they take 2 MB, which fits a processor's cache."""


class Patterns(Protocol):
    """A kind of pattern."""

    @property
    def number(self) -> int:
        """How many there are."""

    def listed(self) -> Floats:
        """Return all, of shape (number, units)."""

    def drawn(self, rng: np.random.Generator) -> Floats:
        """Draw `BLOCK` of them independently, of shape (BLOCK, units)."""

    def observed(self) -> Floats:
        """Return the one that was observed, of shape (units,)."""


@dataclass(frozen=True)
class Signs:
    """Patterns of +1 and −1."""

    units: int
    """How many signs a pattern has."""

    @property
    def number(self) -> int:
        """All combinations."""
        return 1 << self.units

    def listed(self) -> Floats:
        """Return all, counted through in binary."""
        bits = np.arange(self.number)[:, None] >> np.arange(self.units) & 1
        return _signs(bits)

    def drawn(self, rng: np.random.Generator) -> Floats:
        """Toss a coin for each sign."""
        size = BLOCK * self.units
        bits = np.unpackbits(np.frombuffer(rng.bytes(ceil(size / 8)), dtype=np.uint8), count=size)
        return _signs(bits.reshape(BLOCK, self.units))

    def observed(self) -> Floats:
        """Return the pattern that leaves everything as it is."""
        return np.ones(self.units)


def _signs(bits: NDArray[np.integer]) -> Floats:
    signs = bits.astype(np.float64)
    signs *= -2.0
    signs += 1.0
    return signs


@dataclass(frozen=True)
class Exchanges:
    """Patterns of 1 (called target) and 0 (called control)."""

    target: int
    """How many units are target; they stand first in the data."""

    control: int
    """How many are control."""

    @property
    def number(self) -> int:
        """All choices of the target units."""
        return comb(self.target + self.control, self.target)

    def listed(self) -> Floats:
        """Return all, in the order of `itertools.combinations`."""
        chosen = np.array(list(combinations(range(self.target + self.control), self.target)), dtype=np.int64)
        labels = np.zeros((len(chosen), self.target + self.control))
        np.put_along_axis(labels, chosen, 1.0, axis=1)
        return labels

    def drawn(self, rng: np.random.Generator) -> Floats:
        """Give every unit a random number; those with the smallest are target (ties: one in 10^12 blocks)."""
        keys = rng.random((BLOCK, self.target + self.control))
        largest = np.partition(keys, self.target - 1, axis=1)[:, self.target - 1, None]
        return np.less_equal(keys, largest, out=keys)

    def observed(self) -> Floats:
        """Return the labels as they are."""
        return np.repeat([1.0, 0.0], [self.target, self.control])


@dataclass(frozen=True, eq=False)
class Statistic:
    """
    What patterns are judged by.

    With s = pattern · values, a pattern is a hit where s² − squares · (pattern · values²) ≥ least, or s ≥ least if
    one-sided.
    """

    values: Floats
    """Shape (units, features)."""

    least: Floats
    """As large as observed, less what counts as a tie; shape (features,)."""

    squares: Floats | None = None
    """Weight of the sum of squares, shape (features,); None: 0."""

    one_sided: bool = False
    """Whether only large s are hits."""

    def of(self, features: Counts) -> Statistic:
        """Return the statistic of some features."""
        squares = None if self.squares is None else self.squares[features]
        return Statistic(self.values[:, features], self.least[features], squares, self.one_sided)

    def hits(self, patterns: Floats) -> Counts:
        """Count the patterns, of shape (patterns, units), that are hits; returns shape (features,)."""
        found = np.empty(len(self.least), dtype=np.int64)
        cells = np.empty(len(patterns) * _FEATURES)
        for start in range(0, len(found), _FEATURES):
            here = slice(start, start + _FEATURES)
            values, least = self.values[:, here], self.least[here]
            reached = cells[: len(patterns) * len(least)].reshape(len(patterns), len(least))
            np.matmul(patterns, values, out=reached)
            if not self.one_sided:
                np.square(reached, out=reached)
            if self.squares is not None:
                reached -= patterns @ (values**2 * self.squares[here])
            found[here] = np.count_nonzero(reached >= least, axis=0)
        return found


def blocks(patterns: Patterns, first: int, last: int) -> Iterator[Floats]:
    """
    Draw patterns in blocks, block i always the same one.

    Parameters
    ----------
    patterns : Patterns
        Which kind.
    first, last : int
        Blocks from `first` to before `last`.

    Yields
    ------
    ndarray of shape (BLOCK, units), float64
        The observed pattern is the first of block 0.
    """
    for number in range(first, last):
        drawn = patterns.drawn(np.random.Generator(np.random.PCG64([SEED, number])))
        if number == 0:
            drawn[0] = patterns.observed()
        yield drawn


def p_values(statistic: Statistic, patterns: Patterns, family: int) -> Floats:
    """
    Return how often a pattern is at least as extreme as the observed one.

    Parameters
    ----------
    statistic : Statistic
        Of each feature.
    patterns : Patterns
        What else could have happened.
    family : int
        How many features are tested together, m.

    Returns
    -------
    ndarray of shape (features,), float64
        Hits / patterns, the observed one among both, so that p is never 0 (Phipson and Smyth 2010). Where there are
        more than `MOST_LISTED` patterns, after `BLOCK` of them a feature with at least `ENOUGH_HITS` hits beside the
        observed one keeps its p. The others go on to at least 2 m / `FINEST` patterns, the first ones included: two
        stages of the sequential test of Besag and Clifford (1991).
    """
    if patterns.number <= MOST_LISTED:
        listed = patterns.listed()
        hits = np.zeros(len(statistic.least), dtype=np.int64)
        for start in range(0, len(listed), BLOCK):
            hits += statistic.hits(listed[start : start + BLOCK])
        p: Floats = hits / len(listed)
        return p
    hits = statistic.hits(next(blocks(patterns, 0, 1)))
    p = hits / BLOCK
    rare = np.flatnonzero(hits <= ENOUGH_HITS)
    needed = ceil(2 * family / FINEST / BLOCK)
    if len(rare) and needed > 1:
        rest, more = statistic.of(rare), hits[rare]
        for block in blocks(patterns, 1, needed):
            more += rest.hits(block)
        p[rare] = more / (needed * BLOCK)
    return p
