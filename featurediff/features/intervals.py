"""Effects → 95 % intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurediff.features.exact_tests import wilson
from featurediff.features.moments import Sample, combine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.features.moments import Combined

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

_UPPER = 0.975
"""Both tails together leave 5 %."""

_ROUNDING = 1e-12
"""Shares that differ by less are equal: 5/6 − 4/6 is not 1/6 − 0 in floating point."""


class Estimate(NamedTuple):
    """A value and its 95 % interval, each of shape (features,); NaN: no interval."""

    value: Floats
    low: Floats
    high: Floats

    def only(self, known: NDArray[np.bool_]) -> Estimate:
        """Return the interval where it is known."""
        return Estimate(self.value, np.where(known, self.low, np.nan), np.where(known, self.high, np.nan))


def mean_interval(found: Combined, around: Floats | None = None) -> Estimate:
    """
    Return the interval of a mean, or of means added and subtracted.

    Parameters
    ----------
    found : Combined
        Of chat − base on each target prompt: Student's t interval. Of that on target and on control, or of summaries:
        Welch's.
    around : ndarray of shape (features,), optional
        Where the middle is; by default the effect of `found`. With groups, `found` is of group means and the
        middle is the mean over prompts.

    Returns
    -------
    Estimate
        NaN where nothing varies (so also where nothing moves: an interval without width would say more than is known),
        or where a sample has fewer than 2 values.
    """
    from scipy.special import stdtrit

    value = found.effect if around is None else around
    half = stdtrit(found.freedom, _UPPER) * np.sqrt(found.variance)
    return Estimate(value, value - half, value + half)


def paired_mean(d: Floats, units: Floats | None = None) -> Estimate:
    """
    Return the mean of chat − base and its t interval.

    Parameters
    ----------
    d : ndarray of shape (prompts, features), float64
        Chat − base on each prompt.
    units : ndarray of shape (groups, features), float64, optional
        Its group means, where there are groups: their t interval is then laid around the mean over prompts.

    Returns
    -------
    Estimate
        See `mean_interval`.
    """
    return mean_interval(combine([Sample.of(d if units is None else units)]), Sample.of(d).mean)


def paired_means(
    target: Floats, control: Floats, target_units: Floats | None = None, control_units: Floats | None = None
) -> Estimate:
    """
    Return the mean of chat − base on target less that on control, and Welch's interval.

    Parameters
    ----------
    target, control : ndarray of shape (prompts, features), float64
        Chat − base on each prompt.
    target_units, control_units : ndarray of shape (groups, features), float64, optional
        Their group means, see `paired_mean`.

    Returns
    -------
    Estimate
        See `mean_interval`.
    """
    units = target if target_units is None else target_units, control if control_units is None else control_units
    found = combine([Sample.of(units[0])], [Sample.of(units[1])])
    return mean_interval(found, Sample.of(target).mean - Sample.of(control).mean)


def share(count: Counts, n: int) -> Estimate:
    """Return the share of n prompts and Wilson's interval (1927)."""
    return Estimate(count / n, *wilson(count, n))


def difference(first: Estimate, second: Estimate, correlation: Floats | float = 0.0) -> Estimate:
    """
    Subtract two estimates and combine their intervals.

    Parameters
    ----------
    first, second : Estimate
        Each with an interval of its own.
    correlation : ndarray of shape (features,) or float
        Between the two values.

    Returns
    -------
    Estimate
        First − second, 0 where that is only rounding. MOVER, the method of variance estimates recovery (Zou and Donner
        2008): the distances to the two nearer ends are added as standard errors are. NaN where an interval is.
    """
    value = first.value - second.value
    value = np.where(np.abs(value) < _ROUNDING, 0.0, value)

    def distance(one: Floats, other: Floats) -> Floats:
        apart: Floats = np.sqrt((one**2 - 2 * correlation * one * other + other**2).clip(min=0))
        return apart

    below = distance(first.value - first.low, second.high - second.value)
    above = distance(first.high - first.value, second.value - second.low)
    return Estimate(value, value - below, value + above)


def newcombe(base: Counts, chat: Counts, num_base: int, num_chat: int) -> Estimate:
    """
    Return chat − base of the activation frequency, from counts alone.

    Parameters
    ----------
    base, chat : ndarray of shape (features,), int
        On how many prompts a feature is active.
    num_base, num_chat : int
        Out of how many.

    Returns
    -------
    Estimate
        Newcombe's hybrid score interval (1998, Statistics in Medicine 17:873-890, method 10). What is specific
        is the `difference` of two such estimates, on target and on control. There is an interval also where nothing
        moves, which that needs: leave it out afterwards, with `Estimate.only`.
    """
    return difference(share(chat, num_chat), share(base, num_base))


def newcombe_paired(both: Counts, base_only: Counts, chat_only: Counts, n: int) -> Estimate:
    """
    Return chat − base of the activation frequency on the same prompts.

    Parameters
    ----------
    both, base_only, chat_only : ndarray of shape (features,), int
        On how many prompts a feature is active in both models, and in one of them only.
    n : int
        Out of how many.

    Returns
    -------
    Estimate
        Newcombe's hybrid score interval for paired data (1998, Statistics in Medicine 17:2635-2650, method 10): with φ,
        the correlation of the two models, whose numerator is drawn n / 2 towards 0 where it is positive; φ is 0 where a
        model is active on all prompts or on none. Also where nothing moves, as `newcombe`.
    """
    base, chat, neither = both + base_only, both + chat_only, n - both - base_only - chat_only
    numerator = both * neither - base_only * chat_only
    corrected = np.where(numerator > 0, (numerator - n / 2).clip(min=0), numerator)
    scale = np.sqrt(base * (n - base) * 1.0) * np.sqrt(chat * (n - chat) * 1.0)
    phi = np.divide(corrected, scale, out=np.zeros(len(scale)), where=scale > 0)
    return difference(share(chat, n), share(base, n), phi)
