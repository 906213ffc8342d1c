"""How well an SAE reads a model: sums over the tokens that were read, merged piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_SUMS = 5
_ROUNDING = (4 * np.finfo(np.float32).eps) ** 2
"""Tokens that differ by a smaller share of their power differ by the rounding of float32 only."""


@dataclass(frozen=True, eq=False)
class Fit:
    """
    Sums over tokens at each position: h is the residual stream, ĥ what the SAE decodes its features to.

    `+` merges those of two groups of tokens, as `statistics.Statistics` does.
    """

    count: Floats
    """Tokens; shape (token types,)."""

    mean: Floats
    """Mean h; shape (token types, width)."""

    squares: Floats
    """Σ‖h − mean h‖²; shape (token types,)."""

    sums: Floats
    """Σ‖h − ĥ‖², Σ‖h‖², Σ cos(h, ĥ), Σ‖h‖ and the number of active features; shape (token types, 5)."""

    levels: Floats
    """Sum over prompts of the mean h of a prompt's tokens; shape (token types, width)."""

    def __add__(self, other: Fit) -> Fit:
        """Merge the sums of two groups of tokens."""
        count = self.count + other.count
        weight = other.count / np.maximum(count, 1)
        apart = other.mean - self.mean
        return Fit(
            count,
            self.mean + apart * weight[:, None],
            self.squares + other.squares + (apart**2).sum(axis=1) * self.count * weight,
            self.sums + other.sums,
            self.levels + other.levels,
        )

    @staticmethod
    def merge(parts: Sequence[Fit]) -> Fit:
        """Merge several, in the order given."""
        return reduce(add, parts)

    def to_bytes(self) -> bytes:
        """Write it down."""
        return np.column_stack([self.count, self.squares, self.sums, self.mean, self.levels]).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, token_types: int) -> Fit:
        """Read what `to_bytes` has written for so many positions."""
        parts = np.frombuffer(data, dtype=np.float64).reshape(token_types, -1)
        count, squares, sums = parts[:, 0], parts[:, 1], parts[:, 2 : 2 + _SUMS]
        mean, levels = np.split(parts[:, 2 + _SUMS :], 2, axis=1)
        return cls(count, mean, squares, sums, levels)

    def describe(self) -> list[dict[str, float | None]]:
        """
        Return what a result file says of the fit at each position.

        Returns
        -------
        list of dict
            `variance_explained`, 1 − Σ‖h − ĥ‖² / Σ‖h − mean h‖², None where all h are the same; `relative_error`,
            Σ‖h − ĥ‖² / Σ‖h‖², None where all h are 0; `cosine`, the mean of cos(h, ĥ); `norm`, the mean ‖h‖; `l0`, the
            mean number of active features.
        """
        return [
            {
                "variance_explained": None if squares <= power * _ROUNDING else float(1 - error / squares),
                "relative_error": None if power == 0 else float(error / power),
                "cosine": float(cosine / count),
                "norm": float(norm / count),
                "l0": float(active / count),
            }
            for count, squares, (error, power, cosine, norm, active) in zip(
                self.count, self.squares, self.sums, strict=True
            )
        ]
