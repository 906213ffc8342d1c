"""The scale that both axes of the scatter share: values → drawn units, range and ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from featurediff.labels import is_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

ScaleName = Literal["linear", "sqrt", "symlog"]
Choice = Literal["auto", "linear", "sqrt", "symlog"]

PAD = 0.05
"""Room beyond the smallest and the largest value, as a share of the span between them."""

TICK_ROOM = 0.075
"""Two ticks are at least this share of the span apart."""

SAME = 1e-5
"""A span below this share of the values counts as none: float32, which WebGL draws, has hardly a number in it."""

CROWDED = 0.2
"""A metric whose median lies below this share of its maximum reads better on a square-root axis."""


@dataclass(frozen=True)
class Scale:
    """A monotonic map from values to drawn units, odd about zero, fitted to the values that a chart shows."""

    name: ScaleName
    """Linear, square root, or symmetric logarithm."""

    smallest: float
    """The smallest value."""

    largest: float
    """The largest value."""

    linear_to: float
    """Symmetric logarithm only: about linear up to this value."""

    def place(self, values: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """Return drawn units, shape as `values`; 0 stays 0 and the sign is kept."""
        given = np.asarray(values, dtype=np.float64)
        if self.name == "sqrt":
            return np.sign(given) * np.sqrt(np.abs(given))
        if self.name == "symlog":
            return np.sign(given) * np.log1p(np.abs(given) / self.linear_to)
        return given

    @property
    def low(self) -> float:
        """The smallest value in drawn units."""
        return float(self.place(self.smallest))

    @property
    def high(self) -> float:
        """The largest value in drawn units."""
        return float(self.place(self.largest))

    @property
    def span(self) -> float:
        """Drawn units between the smallest and the largest value; their own size, or 1, where they are drawn as one."""
        size = max(abs(self.low), abs(self.high))
        return self.high - self.low if self.high - self.low > SAME * size else size or 1.0

    @property
    def range(self) -> tuple[float, float]:
        """The range of an axis in drawn units, `PAD` on each side."""
        return self.low - PAD * self.span, self.high + PAD * self.span

    def ticks(self) -> NDArray[np.float64]:
        """Return the values to put ticks at, ascending: round numbers, none too close, even steps on a linear axis."""
        low, high = self.range
        if self.name == "linear":
            step = _round_step(self.span)
            return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step + 0.0
        top = max(abs(self.smallest), abs(self.largest)) or 1.0
        step = _round_step(top)
        even = np.arange(np.floor(top / step), 0, -1) * step
        powers = 10.0 ** np.arange(np.floor(np.log10(top)), np.floor(np.log10(top)) - 12, -1)
        decades = (np.array([5, 2, 1]) * powers[:, None]).ravel()
        fine = decades[decades < step * 0.99]
        wanted = decades[decades <= top] if self.name == "symlog" else np.concatenate([even, fine])
        zero, *places = self.place(np.append(0.0, wanted)).tolist()
        taken: list[float] = []
        at = [zero]
        for value, place in zip(wanted.tolist(), places, strict=True):
            if min(abs(place - other) for other in at) >= TICK_ROOM * self.span:
                taken.append(value)
                at.append(place)
        both = np.array(sorted({0.0, *taken, *(-value for value in taken)}))
        return both[(self.place(both) >= low) & (self.place(both) <= high)]


def fit_scale(values: NDArray[np.floating], choice: Choice, metric: str) -> Scale:
    """
    Fit a scale to all values that a chart will show.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Of both models; empty is allowed.
    choice : {"auto", "linear", "sqrt", "symlog"}
        `auto` takes the square root where the middle value would crowd into the first fifth of a linear axis, except
        for shares of prompts, whose steps are even.
    metric : str
        Its column name.

    Returns
    -------
    Scale
        `linear_to` is the smallest value other than 0.
    """
    sizes = np.abs(values[values != 0]).astype(np.float64)
    if choice != "auto":
        name: ScaleName = choice
    else:
        crowded = sizes.size > 0 and np.median(sizes) < CROWDED * sizes.max()
        name = "sqrt" if crowded and not is_share(metric) else "linear"
    return Scale(
        name=name,
        smallest=float(values.min()) if values.size else 0.0,
        largest=float(values.max()) if values.size else 1.0,
        linear_to=float(sizes.min()) if sizes.size else 1.0,
    )


def _round_step(top: float) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten, four to eight of which reach `top`."""
    power = 10.0 ** np.floor(np.log10(top / 4))
    return float(max(m * power for m in (1, 2, 2.5, 5) if m * power <= top / 4))
