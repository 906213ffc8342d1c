"""Counts of prompts → exact p-values, and intervals of a frequency."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Discordant = Mapping[str, tuple[Counts, Counts]]

_TIE = 1 + 1e-7
"""Tables this close in probability count as equally likely, as in R's `fisher.test`."""

_MOST_TABLES = 1 << 22
"""Among up to 2,000 prompts of each set all tables are computed at once: 32 MB."""

_Z = 1.959963984540054
"""The standard normal's 0.975 quantile."""


def wilson(counts: Counts, n: int) -> tuple[Floats, Floats]:
    """
    Return the 95 % interval of a frequency.

    Parameters
    ----------
    counts : ndarray of any shape, int
        On how many prompts features are active.
    n : int
        Out of how many.

    Returns
    -------
    tuple of two ndarrays, float64
        Lower and upper end, shares within [0, 1]: Wilson's score interval (1927), without continuity correction.
    """
    share, z2 = counts / n, _Z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return np.where(counts == 0, 0.0, centre - half), np.where(counts == n, 1.0, centre + half)


def fisher(target: Counts, control: Counts, num_target: int, num_control: int) -> Floats:
    """
    Return Fisher's exact p that a feature is active more often on target than on control prompts, one-sided.

    Parameters
    ----------
    target, control : ndarray of shape (n,), int
        On how many prompts it is active.
    num_target, num_control : int
        Out of how many.

    Returns
    -------
    ndarray of shape (n,), float64
        The hypergeometric tail P(X >= target): from `tails`, or `scipy.stats.hypergeom` where those would be too many.
    """
    if (num_target + 1) * (num_control + 1) <= _MOST_TABLES:
        upper: Floats = tails(num_target, num_control)[2][target, control]
        return upper
    from scipy.stats import hypergeom

    tail: Floats = hypergeom.sf(target - 1, num_target + num_control, target + control, num_target)
    return tail


@lru_cache(maxsize=1)
def tails(num_first: int, num_second: int) -> tuple[Floats, Floats, Floats]:
    """
    Return the probability of every table with these numbers of prompts, given its margin, and its tails.

    Returns
    -------
    tuple of three ndarrays of shape (num_first + 1, num_second + 1), float64
        By how many prompts of each set a feature is active on: P(X = first), P(X <= first) and P(X >= first) of the
        hypergeometric distribution. Each tail is a sum from its far end: the smallest are as exact as the largest.
    """
    from scipy.special import gammaln

    log_factorial = gammaln(np.arange(1.0, num_first + num_second + 2))
    first, second = np.ogrid[: num_first + 1, : num_second + 1]
    chosen = [
        log_factorial[n] - log_factorial[k] - log_factorial[n - k]
        for n, k in ((num_first, first), (num_second, second))
    ]
    both = log_factorial[-1] - log_factorial - log_factorial[::-1]
    likely = np.exp(chosen[0] + chosen[1] - both[first + second])
    lower, upper = likely.copy(), likely.copy()
    for k in range(num_first):
        lower[k + 1, :-1] += lower[k, 1:]
        upper[-2 - k, 1:] += upper[-1 - k, :-1]
    return likely, lower, upper


def fisher_two_sided(base: Counts, chat: Counts, num_base: int, num_chat: int) -> Floats:
    """
    Return Fisher's exact p that a feature is active as often in base as in chat, two-sided.

    Parameters
    ----------
    base, chat : ndarray of shape (n,), int
        On how many prompts it is active.
    num_base, num_chat : int
        Out of how many.

    Returns
    -------
    ndarray of shape (n,), float64
        The probability of all tables with the same margins that are at most as likely, as in
        `scipy.stats.fisher_exact`. All tables, or where those would be too many all of a margin, are computed at once,
        a hundred times as fast as by `scipy.stats.hypergeom`, from scipy's log-gamma.
    """
    if (num_base + 1) * (num_chat + 1) <= _MOST_TABLES:
        return _two_tails(base, chat, num_base, num_chat)
    from scipy.special import gammaln

    log_factorial = gammaln(np.arange(1.0, num_base + num_chat + 2))
    total = base + chat
    p = np.empty(len(base))
    for margin in np.unique(total):
        lowest = max(0, margin - num_chat)
        k = np.arange(lowest, min(margin, num_base) + 1)
        cells = (k, num_base - k, margin - k, num_chat - margin + k)
        log = -sum(log_factorial[cell] for cell in cells)
        likely = np.exp(log - log.max())
        likely /= likely.sum()
        ascending = np.sort(likely)
        here = total == margin
        rank = np.searchsorted(ascending, likely[base[here] - lowest] * _TIE, side="right")
        p[here] = np.cumsum(ascending)[rank - 1]
    return p.clip(max=1.0)


def _two_tails(base: Counts, chat: Counts, num_base: int, num_chat: int) -> Floats:
    """Return `fisher_two_sided` from `tails`: those at most as likely are beyond one on each side of the mode."""
    likely, lower, upper = tails(num_base, num_chat)
    margin = base + chat
    limit = likely[base, chat] * _TIE
    mode = (margin + 1) * (num_base + 1) // (num_base + num_chat + 2)
    p = np.zeros(len(base))
    found = []
    for end, step, tail in ((margin - num_chat).clip(min=0) - 1, 1, lower), (margin.clip(max=num_base) + 1, -1, upper):
        inner, outer = mode + step, end  # no table beyond; all are, or there is none
        while (is_open := np.abs(outer - inner) > 1).any():
            middle = np.where(is_open, (inner + outer) // 2, base)
            is_beyond = likely[middle, margin - middle] <= limit
            inner = np.where(is_open & ~is_beyond, middle, inner)
            outer = np.where(is_open & is_beyond, middle, outer)
        k = np.where(outer == end, base, outer)
        p += np.where(outer == end, 0, tail[k, margin - k])
        found.append(outer)
    return np.where(found[0] >= found[1], 1, p).clip(max=1)


def mcnemar(base_only: Counts, chat_only: Counts, *_sizes: int) -> Floats:
    """
    Return McNemar's exact p that a feature is active in base as often as in chat on the same prompts, two-sided.

    Parameters
    ----------
    base_only, chat_only : ndarray of shape (n,), int
        On how many prompts it is active in one model and not in the other.

    Returns
    -------
    ndarray of shape (n,), float64
        The exact binomial test of the discordant prompts against one half; 1 where there are none.
    """
    from scipy.stats import binom

    p: Floats = 2 * binom.cdf(np.minimum(base_only, chat_only), base_only + chat_only, 0.5)
    return p.clip(max=1.0)
