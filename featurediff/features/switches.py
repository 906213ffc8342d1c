"""
How often a feature is switched on or off, on target and on control → the exact p of `exchange`.

Whether a feature is active changes by −1, 0 or 1 from base to chat. Exchanging equal changes changes nothing, so that
few exchanges differ, and each has a known probability: no random numbers, and a tenth of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from featurediff.features.exchange import exchange

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

MOST_TABLES = 2**17
"""Among up to so many different exchanges of a feature listing is faster than drawing; a table takes 1 MB."""

_TIE = 1e-9
"""Two t² that differ by less than this share are equal."""


def exchange_switches(target: Floats, control: Floats, family: int | None = None) -> Floats:
    """
    Return the p that a feature is switched on and off as often on target as on control prompts.

    Parameters
    ----------
    target, control : ndarray of shape (prompts, features), float64
        Chat − base of "is active" on each prompt of either set: −1, 0 or 1.
    family : int, optional
        How many features are tested together; by default all of them.

    Returns
    -------
    ndarray of shape (features,), float64
        What `exchange` gives, over all exchanges: the probability that a multivariate hypergeometric draw has a |t| at
        least as large. Features with more than `MOST_TABLES` different exchanges go through `exchange`. 1 where nothing
        is switched; NaN where a set has fewer than 2 prompts.
    """
    sizes = len(target), len(control)
    if min(sizes) < 2:
        return np.full(target.shape[1], np.nan)
    ups, downs = (np.stack([(d == sign).sum(axis=0) for d in (target, control)]) for sign in (1, -1))
    margins = np.stack([ups.sum(axis=0), downs.sum(axis=0)])
    p = np.ones(target.shape[1])
    is_small = (margins + 1).prod(axis=0) <= MOST_TABLES
    many = np.flatnonzero(~is_small)
    if len(many):
        p[many] = exchange(target[:, many], control[:, many], family or len(p))
    few = np.flatnonzero(is_small & margins.any(axis=0))
    if not len(few):
        return p
    cases, which = np.unique(np.stack([*margins, ups[0], downs[0]])[:, few], axis=1, return_inverse=True)
    is_first = (np.diff(cases[:2], axis=1, prepend=-1) != 0).any(axis=0)
    tails = [
        _tails((up[0], down[0]), (up_on_target, down_on_target), sizes)
        for up, down, up_on_target, down_on_target in np.split(cases, np.flatnonzero(is_first)[1:], axis=1)
    ]
    p[few] = np.concatenate(tails)[which]
    return p


def _tails(margin: tuple[int, int], on_target: tuple[Counts, Counts], sizes: tuple[int, int]) -> Floats:
    """Return p of features that are switched on and off so often in all, and so often on target."""
    chances = _chances(margin, sizes)
    up, down = np.ogrid[: margin[0] + 1, : margin[1] + 1]
    t2 = _t_squared(up, down, margin, sizes)
    observed = _t_squared(*on_target, margin, sizes) * (1 - _TIE)
    return np.array([chances[t2 >= least].sum() for least in observed]).clip(max=1.0)


def _chances(margin: tuple[int, int], sizes: tuple[int, int]) -> Floats:
    """Return the probability that up to so many are switched on and off on target; 0 where it cannot be."""
    from scipy.special import gammaln

    still = sum(sizes) - sum(margin)
    log_factorial = gammaln(np.arange(1.0, sum(sizes) + 2))
    up, down = (-log_factorial[: total + 1] - log_factorial[total::-1] for total in margin)
    rest = sizes[0] - np.add.outer(np.arange(margin[0] + 1), np.arange(margin[1] + 1))
    log = np.full(sizes[0] + 1 + sum(margin), np.inf)  # by the rest; a negative one wraps to the end
    can_be = np.arange(max(0, sizes[0] - sum(margin)), min(sizes[0], still) + 1)
    log[can_be] = log_factorial[can_be] + log_factorial[still - can_be]
    log_chances = up[:, None] + down - log[rest]
    chances: Floats = np.exp(log_chances - log_chances.max())
    chances /= chances.sum()
    return chances


def _t_squared(up: Counts, down: Counts, margin: tuple[int, int], sizes: tuple[int, int]) -> Floats:
    """Return t² of so many on target: ∞ where neither set varies but the means differ, 0 where they agree."""
    counts = (up, down), (margin[0] - up, margin[1] - down)
    # n² · variance · (n − 1) / n and n · mean are whole numbers: no rounding to mistake for a variance.
    totals = [on - off for on, off in counts]
    spreads = [n * (on + off) - (on - off) ** 2 for (on, off), n in zip(counts, sizes, strict=True)]
    difference = (totals[0] * sizes[1] - totals[1] * sizes[0]) / (sizes[0] * sizes[1])
    variance = sum(spread / (n * n * (n - 1)) for spread, n in zip(spreads, sizes, strict=True))
    flat = variance == 0
    t2: Floats = np.where(flat, np.where(difference == 0, 0.0, np.inf), difference**2 / np.where(flat, 1.0, variance))
    return t2
