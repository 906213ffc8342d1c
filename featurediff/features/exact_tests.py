"""Counts of prompts → exact p-values, and intervals of a frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

_TIE = 1 + 1e-7
"""Tables this close in probability count as equally likely, as in R's `fisher.test`."""

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
        The probability of all tables with the same margins that have at least as many active target prompts: the
        hypergeometric tail P(X >= target), as in `scipy.stats.fisher_exact(alternative="greater")`.
    """
    return _by_margin(target, control, num_target, num_control, _at_least_as_many)


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
        `scipy.stats.fisher_exact`.
    """
    return _by_margin(base, chat, num_base, num_chat, _at_most_as_likely)


def _by_margin(
    first: Counts, second: Counts, num_first: int, num_second: int, p_values: Callable[[Floats], Floats]
) -> Floats:
    """
    Return the p of each table. The tables of one margin are computed together.

    Parameters
    ----------
    first, second : ndarray of shape (n,), int
        On how many prompts of each set a feature is active; their sum is the margin.
    num_first, num_second : int
        Number of prompts of each set.
    p_values : callable
        Takes the probabilities of all tables of a margin, by how many prompts of the first set are active, and returns
        the p of each of them.
    """
    p = np.empty(len(first))
    for rows, lowest, likely in _tables(first + second, num_first, num_second):
        p[rows] = p_values(likely)[first[rows] - lowest]
    return p.clip(max=1)


def least_significant(margins: Counts, num_target: int, num_control: int, cutoff: float) -> Counts:
    """
    Return on how many target prompts a feature must be active for a p of `fisher` of at most a cutoff.

    Parameters
    ----------
    margins : ndarray of shape (n,), int
        On how many prompts it is active in all.
    num_target, num_control : int
        Number of target and of control prompts.
    cutoff : float
        The largest p that counts.

    Returns
    -------
    ndarray of shape (n,), int
        One more than there can be where no p is small enough.
    """
    least = np.empty_like(margins)
    for rows, lowest, likely in _tables(margins, num_target, num_control):
        least[rows] = lowest + np.count_nonzero(_at_least_as_many(likely).clip(max=1) > cutoff)
    return least


def _tables(margins: Counts, num_first: int, num_second: int) -> Iterator[tuple[NDArray[np.intp], int, Floats]]:
    """
    Yield for each margin where it stands, the smallest count of the first set, and how likely that and each next is.

    The tables of one margin are computed together.
    """
    ways = [_log_binomials(n) for n in (num_first, num_second)]
    for margin in np.unique(margins).tolist():
        lowest, highest = max(0, margin - num_second), min(margin, num_first)
        log = ways[0][lowest : highest + 1] + ways[1][margin - highest : margin - lowest + 1][::-1]
        likely = np.exp(log - log.max())
        yield np.flatnonzero(margins == margin), lowest, likely / likely.sum()


def _log_binomials(n: int) -> Floats:
    """Return the logarithm of n over k for k from 0 to n."""
    from scipy.special import gammaln

    log_factorial = gammaln(np.arange(1.0, n + 2))
    logs: Floats = log_factorial[-1] - log_factorial - log_factorial[::-1]
    return logs


def _at_least_as_many(likely: Floats) -> Floats:
    """Return the sum from each table to the last; added up from there, small sums are exact."""
    return np.cumsum(likely[::-1])[::-1]


def _at_most_as_likely(likely: Floats) -> Floats:
    """Return the sum of all tables that are at most as likely as each one; ties count."""
    ascending = np.sort(likely)
    rank = np.searchsorted(ascending, likely * _TIE, side="right")
    sums: Floats = np.cumsum(ascending)[rank - 1]
    return sums


def mcnemar(base_only: Counts, chat_only: Counts, *_sizes: int) -> Floats:
    """
    Return McNemar's exact p that a feature is active in base as often as in chat on the same prompts, two-sided.

    Parameters
    ----------
    base_only, chat_only : ndarray of shape (n,), int
        On how many prompts it is active in one model and not in the other.
    *_sizes : int
        Out of how many, as `distinct.per_pair` passes them; not used.

    Returns
    -------
    ndarray of shape (n,), float64
        The exact binomial test of the discordant prompts against one half; 1 where there are none.
    """
    from scipy.special import bdtr

    p: Floats = 2 * bdtr(np.minimum(base_only, chat_only).astype(np.float64), base_only + chat_only, 0.5)
    return p.clip(max=1.0)
