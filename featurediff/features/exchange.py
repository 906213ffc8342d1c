"""Target and control prompts → p for: they are interchangeable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from featurediff.features.groups import group_means
from featurediff.features.resampling import TIE, Exchanges, Statistic, p_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from featurediff.features.groups import Groups

    Bools = NDArray[np.bool_]
    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

_CONSTANT = 1e-10
"""Values that differ by less than this share of the largest are equal but for rounding; a float32 has steps of 6e-8."""


def exchange(
    target: Floats,
    control: Floats,
    family: int | None = None,
    target_groups: Groups | None = None,
    control_groups: Groups | None = None,
) -> Floats:
    """
    Return the p that chat − base is the same on target and on control prompts.

    Parameters
    ----------
    target, control : ndarray of shape (prompts, features), float64
        Chat − base on each prompt of either set, 0 where a feature is active in neither.
    family : int, optional
        How many features are tested together; by default all of them.
    target_groups, control_groups : ndarray of shape (prompts,), optional
        Which prompts belong together. Whole groups change sides then, and the statistic is of group means.

    Returns
    -------
    ndarray of shape (features,), float64
        Two-sided, with |Welch's t| as statistic. It keeps its error rate also if only the variances differ (Janssen
        1997); with few prompts only roughly. |t| is ∞ where neither set varies and the means differ. 1 where d is
        the same on all prompts, also where it is 0. NaN where a set has fewer than 2 prompts, or groups. Takes for
        granted that prompts, or groups, are independent.
    """
    samples = group_means(target, target_groups), group_means(control, control_groups)
    if min(map(len, samples)) < 2:
        return np.full(target.shape[1], np.nan)
    p = np.ones(target.shape[1])
    moving = np.flatnonzero(_differs(*samples))
    exchanges = Exchanges(*map(len, samples))
    p[moving] = p_values(_welch(_together(samples, moving), len(samples[0])), exchanges, family or len(p))
    return p


def exchange_rates(
    target: Bools,
    control: Bools,
    family: int | None = None,
    target_groups: Groups | None = None,
    control_groups: Groups | None = None,
) -> Floats:
    """
    Return the p that a feature is active more often on target than on control prompts, within one model.

    Parameters
    ----------
    target, control : ndarray of shape (prompts, features), bool
        On which prompts of either set it is active.
    family : int, optional
        How many features are tested together; by default all of them.
    target_groups, control_groups : ndarray of shape (prompts,), optional
        Which prompts belong together. Whole groups change sides then, and a rate is the mean of the groups' rates.

    Returns
    -------
    ndarray of shape (features,), float64
        One-sided, with the difference of the rates as statistic: without groups Fisher's exact test, which is faster.
        1 where the feature is active on all prompts or on none; NaN where a set is empty.
    """
    samples = [
        group_means(active.astype(np.float64), groups)
        for active, groups in ((target, target_groups), (control, control_groups))
    ]
    if min(map(len, samples)) < 1:
        return np.full(target.shape[1], np.nan)
    p = np.ones(target.shape[1])
    moving = np.flatnonzero(_differs(*samples))
    rates = _together(samples, moving)
    least = rates[: len(samples[0])].sum(axis=0) - TIE * np.abs(rates).sum(axis=0)
    statistic = Statistic(rates, least, one_sided=True)
    p[moving] = p_values(statistic, Exchanges(*map(len, samples)), family or len(p))
    return p


def _differs(target: Floats, control: Floats) -> Bools:
    """Return which features have two values that differ by more than rounding, among all units."""
    lowest = np.minimum(target.min(axis=0), control.min(axis=0))
    highest = np.maximum(target.max(axis=0), control.max(axis=0))
    differs: Bools = highest - lowest > _CONSTANT * np.maximum(highest, -lowest)
    return differs


def _together(samples: Sequence[Floats], features: Counts) -> Floats:
    """Return some features on target, then on control, less their mean."""
    n = len(samples[0])
    values = np.empty((n + len(samples[1]), len(features)))
    values[:n], values[n:] = samples[0][:, features], samples[1][:, features]
    values -= values.mean(axis=0)
    return values


def _welch(values: Floats, n: int) -> Statistic:
    """
    Return |Welch's t| as a comparison without a division.

    Of values less their mean, n of them target, let T be the sum of squares; and of those on target s the sum and q the
    sum of squares. Then

        Δ² = a s²    and    V = b_t q + b_c (T − q) − c s²    give    t² = Δ² / V,

    and t² ≥ t₀² is the same as s² (a V₀ + c Δ₀²) ≥ Δ₀² ((b_t − b_c) q + b_c T), which holds for t = ∞ too. With as many
    target as control units q drops out: then |t| is the larger, the larger |s| is.
    """
    m = len(values) - n
    total = np.einsum("ij,ij->j", values, values)
    a = ((n + m) / (n * m)) ** 2
    per_square = 1 / (n * (n - 1)), 1 / (m * (m - 1))
    c = per_square[0] / n + per_square[1] / m
    difference = a * values[:n].sum(axis=0) ** 2
    variance = values[:n].var(axis=0, ddof=1) / n + values[n:].var(axis=0, ddof=1) / m
    weight = difference / (a * variance + c * difference)
    least = weight * per_square[1] * total - TIE * total * (n * m / (n + m))
    squares = None if n == m else weight * (per_square[0] - per_square[1])
    return Statistic(values, least, squares)
