"""Means, standard deviations and counts → p of a change, where it is not known which prompt is which."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

_ROUNDING = 1e-6
"""A spread, or a difference of means, below this share of the mean is rounding: files hold float32."""


class Sample(NamedTuple):
    """What is known of some prompts."""

    mean: Floats
    """Shape (features,)."""

    std: Floats
    """Unbiased (n − 1 in the denominator); shape (features,)."""

    n: int
    """How many prompts."""

    @classmethod
    def of(cls, values: Floats) -> Sample:
        """Compute mean and standard deviation over the first axis of values of shape (prompts, features)."""
        n = len(values)
        mean = values.mean(axis=0) if n else np.full(values.shape[1:], np.nan)
        return cls(mean, values.std(axis=0, ddof=1) if n > 1 else np.full(mean.shape, np.nan), n)

    @property
    def variance(self) -> Floats:
        """Squared standard error of the mean; 0 where all values are equal but for rounding, NaN for n < 2."""
        if self.n < 2:
            return np.full(self.mean.shape, np.nan)
        std = self.std.astype(np.float64)
        return np.where(std <= _ROUNDING * np.abs(self.mean), 0.0, std**2 / self.n)


class Combined(NamedTuple):
    """Means added and subtracted."""

    effect: Floats
    """Shape (features,)."""

    variance: Floats
    """Its squared standard error; 0 where no sample varies; NaN where one has fewer than 2 prompts."""

    freedom: Floats
    """Degrees of freedom; NaN where the variance is 0 or NaN."""


def combine(plus: Sequence[Sample], minus: Sequence[Sample] = ()) -> Combined:
    """
    Add and subtract the means of independent samples.

    Parameters
    ----------
    plus, minus : sequence of Sample
        Chat and base for a change; chat on target and base on control, base on target and chat on control for what is
        specific to the target prompts.

    Returns
    -------
    Combined
        With the degrees of freedom of Welch (1947) and Satterthwaite (1946): (Σv)² / Σ(v² / (n − 1)). An effect that is
        only rounding is 0.
    """
    samples = (*plus, *minus)
    means = [sample.mean.astype(np.float64) for sample in samples]
    effect = sum(means[: len(plus)], np.zeros(means[0].shape)) - sum(means[len(plus) :], np.zeros(means[0].shape))
    if minus:
        effect = np.where(np.abs(effect) <= _ROUNDING * np.max(np.abs(means), axis=0), 0.0, effect)
    variances = [sample.variance for sample in samples]
    variance = np.sum(variances, axis=0)
    per_freedom = sum(v**2 / max(sample.n - 1, 1) for v, sample in zip(variances, samples, strict=True))
    freedom = np.divide(variance**2, per_freedom, out=np.full(variance.shape, np.nan), where=per_freedom > 0)
    return Combined(effect, variance, freedom)


def welch_change(base: Sample, chat: Sample) -> Floats:
    """
    Return the p that a feature's mean is the same in both models, two-sided.

    Parameters
    ----------
    base, chat : Sample
        On the target prompts.

    Returns
    -------
    ndarray of shape (features,), float64
        Welch's test (1947). 1 where no activation varies and the means agree, as for silent features. Where none
        varies and the means differ, all activations are known: the exact p of exchanging them, see `_welch`. NaN where
        a model has fewer than 2 prompts. Weaker than tests of pairs: that both saw the same prompts is not used.
    """
    return _welch(combine([chat], [base]), base.n, chat.n)


def welch_specific(base_target: Sample, chat_target: Sample, base_control: Sample, chat_control: Sample) -> Floats:
    """
    Return the p that chat − base is the same on target and on control prompts, two-sided.

    Parameters
    ----------
    base_target, chat_target, base_control, chat_control : Sample
        Each model on each prompt set.

    Returns
    -------
    ndarray of shape (features,), float64
        As `welch_change`, of (chat − base on target) − (chat − base on control).
    """
    sizes = min(base_target.n, chat_target.n), min(base_control.n, chat_control.n)
    return _welch(combine([chat_target, base_control], [base_target, chat_control]), *sizes)


def _welch(found: Combined, first: int, second: int) -> Floats:
    """
    Return the p of |t|.

    Where nothing varies and the means differ, t is infinite, but the evidence is not: of all ways to divide the
    values into `first` and `second`, only the observed one (and its mirror image, for equal numbers) separates them so.
    """
    from scipy.special import binom, stdtr

    is_flat = found.variance == 0
    t = np.abs(found.effect) / np.sqrt(np.where(is_flat, 1.0, found.variance))
    p = 2 * stdtr(found.freedom, -t)
    apart = min(1.0, (1 + (first == second)) / binom(first + second, first))
    return np.where(is_flat, np.where(found.effect == 0, 1.0, apart), p)


def counts_specific(counts: Sequence[Counts], sizes: Sequence[int]) -> Floats:
    """
    Return the p that chat − base of the activation frequency is the same on target and on control, two-sided.

    Parameters
    ----------
    counts : sequence of four ndarrays of shape (features,), int
        On how many prompts a feature is active: base and chat on target, base and chat on control.
    sizes : sequence of four int
        Out of how many.

    Returns
    -------
    ndarray of shape (features,), float64
        From the normal distribution, each share taken as (x + 1) / (n + 2) with n + 2 prompts, after Agresti and Caffo
        (2000), who treat two shares. 1 where the feature is active on all prompts or on none; NaN where a set is empty.
    """
    from scipy.special import ndtr

    if min(sizes) < 1:
        return np.full(np.shape(counts[0]), np.nan)
    shares = [(count + 1) / (n + 2) for count, n in zip(counts, sizes, strict=True)]
    variance = sum(share * (1 - share) / (n + 2) for share, n in zip(shares, sizes, strict=True))
    effect = shares[1] - shares[0] - (shares[3] - shares[2])
    total = np.sum(counts, axis=0)
    is_still = (total == 0) | (total == sum(sizes))
    return np.where(is_still, 1.0, 2 * ndtr(-np.abs(effect) / np.sqrt(variance)))
