"""Statistics of one file that cannot all be right, and what its standard deviation divides by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from featurediff.wording import number, plural, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from featurediff.labels import Prompts
    from featurediff.sources.results import ModelResults

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

Divisor = Literal["n", "n − 1"]
"""What the sum of squares in a variance was divided by."""

_SLACK = 1e-3
"""How far, relative to the numbers, rounding in float32 can bring a mean or a standard deviation off."""

_DIVISOR_TOLERANCE = 0.25
"""How far from 0 (divided by n) or 1 (by n − 1) the median of the features may lie."""


class _Statistics(NamedTuple):
    """Statistics of a model's features on one prompt set at one position, each array of shape (features,)."""

    k: Floats
    """On how many prompts each is active."""

    n: int
    """Number of prompts."""

    mean: Floats
    """Over all prompts; like the next two all NaN where the file has none."""

    std: Floats
    most: Floats

    slack: float
    """Largest relative error of these numbers."""

    is_coarse: bool
    """Whether small numbers may have been stored as 0."""

    is_signed: bool
    """Whether activations may be below 0, so that a mean says less."""


def contradictions(model: ModelResults, prompts: Prompts) -> list[str]:
    """
    Say which statistics of a file's features contradict each other.

    Parameters
    ----------
    model : ModelResults
        One file.
    prompts : {"target", "control"}
        Which statistics.

    Returns
    -------
    list of str
        A sentence for each way, with the number of features, of all positions together, and the first of them.
    """
    firsts: dict[str, tuple[int, str, str]] = {}
    for token_type in model.metadata.token_types:
        found = _statistics(model, token_type, prompts)
        for fault, is_odd in _faults(found):
            if is_odd.any():
                count, *first = firsts.get(fault, (0, "", ""))
                if not count:
                    at = int(is_odd.argmax())
                    first = [f"feature {at} at {quoted(token_type)}", _numbers_of(found, at)]
                firsts[fault] = (count + int(is_odd.sum()), first[0], first[1])
    return [
        f"`{model.name}`, {prompts} prompts: {fault} at {plural(count, 'feature')}, "
        f"the first is {where} with {numbers}."
        for fault, (count, where, numbers) in firsts.items()
    ]


def divisor_of_std(model: ModelResults, prompts: Prompts) -> Divisor | None:
    """
    Read off what `*_all_std` divides by.

    A feature that is active on one or two prompts, with a known sum and maximum, has a known sum of squares.

    Returns
    -------
    {"n", "n − 1"} or None
        None where it cannot be told.
    """
    parts = []
    for token_type in model.metadata.token_types:
        k, n, mean, std, most, *_ = _statistics(model, token_type, prompts)
        total = n * mean
        squares = np.where(k == 1, total**2, most**2 + (total - most) ** 2)
        variance = squares / n - mean**2
        is_known = ((k == 1) | (k == 2)) & (mean > 0) & (variance > 0) & (std > 0)
        parts.append((std[is_known] ** 2 / variance[is_known] - 1) * (n - 1))
    told = np.concatenate(parts)
    middle = float(np.median(told)) if len(told) else np.nan
    if abs(middle) < _DIVISOR_TOLERANCE:
        return "n"
    return "n − 1" if abs(middle - 1) < _DIVISOR_TOLERANCE else None


def _statistics(model: ModelResults, token_type: str, prompts: Prompts) -> _Statistics:
    vectors = model.vectors[token_type]
    k = vectors[f"{prompts}_num_active"]
    names = [f"{prompts}_{name}" for name in ("all_mean", "all_std", "max")]
    mean, std, most = (
        vectors[name].astype(np.float64) if name in vectors else np.full(len(k), np.nan) for name in names
    )
    rounding = max(model.rounding.get(name, 0.0) for name in names)
    is_signed = bool((mean < 0).any() or (most < 0).any())
    n = model.metadata.num_prompts(prompts)
    return _Statistics(k.astype(np.float64), n, mean, std, most, _SLACK + 4 * rounding, rounding > 0, is_signed)


def _faults(found: _Statistics) -> Iterator[tuple[str, Bools]]:
    """Give each way in which statistics contradict each other, and at which features; each at one of them only."""
    k, n, mean, std, most, slack, is_coarse, is_signed = found
    seen = np.zeros(len(k), dtype=np.bool_)

    def new(is_odd: Bools) -> Bools:
        nonlocal seen
        is_new = is_odd & ~seen
        seen = seen | is_odd
        return is_new

    is_silent = k == 0
    yield (
        "the feature is active on no prompt, but its statistics are above 0",
        new(is_silent & ((mean > 0) | (most > 0) | ((std > 0) & (mean == 0)))),
    )
    yield (
        "the feature is active, but its maximum is not above 0",
        new(~is_silent & ((most < 0) | ((most == 0) & (not is_coarse)))),
    )
    yield "the feature is active, but its mean is 0", new(~is_silent & (mean == 0) & (not (is_coarse or is_signed)))
    yield "the maximum is below the mean", new(most < mean - slack * np.abs(mean))
    yield "the mean is larger than so few active prompts can make it", new(n * mean > k * most * (1 + slack))
    yield "the standard deviation is impossible for this count, mean and maximum", new(_is_std_impossible(found))


def _is_std_impossible(found: _Statistics) -> Bools:
    """
    Whether a standard deviation is outside of what k activations above 0 and n − k zeros can have.

    Of a given sum, squares are least where all k are equal, and most where each is 0 or the maximum. The bound is that
    of division by n below, and that of n − 1 above.
    """
    k, n, mean, std, most, slack, _, is_signed = found
    if is_signed:
        return std < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.sqrt(mean**2 * (n / k - 1))
    room = np.where(np.isnan(most), (n - 1) * mean, most * (1 + slack) - mean * (1 - slack))
    largest = np.sqrt((mean * room).clip(min=0) * n / max(n - 1, 1))
    off = slack * np.abs(mean)
    is_outside: Bools = (std < least * (1 - slack) - off) | (std > largest * (1 + slack) + off)
    return (is_outside & (k > 0)) | (std < 0)


def _numbers_of(found: _Statistics, at: int) -> str:
    """Write a feature's statistics, as far as the file has them."""
    named: dict[str, Any] = {"mean": found.mean[at], "std": found.std[at], "max": found.most[at]}
    said = [f"{name} {number(float(value), 4)}" for name, value in named.items() if not np.isnan(value)]
    return ", ".join([f"{found.k[at]:.0f} of {found.n} active", *said])
