"""Statistics of each feature over prompts, from active features only, merged piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Statistics:
    """
    Moments of every feature over some prompts at one position; prompts on which it is silent count as 0.

    `+` merges those of two groups of prompts (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm
    for computing sample variances", eq. 2.1), so that groups and their order change the result by rounding only.
    """

    count: int
    """Prompts."""

    mean: NDArray[np.float64]
    """Shape (features,), as are all below."""

    squares: NDArray[np.float64]
    """Sum of squared distances from the mean."""

    largest: NDArray[np.float32]
    """Maximum; −inf over no prompts."""

    active: NDArray[np.int64]
    """Prompts on which the feature is not 0."""

    @classmethod
    def of(
        cls, features: NDArray[np.int32], activations: NDArray[np.float32], count: int, num_features: int
    ) -> Statistics:
        """
        Compute statistics from the active features.

        Parameters
        ----------
        features : ndarray of shape (active,), int32
            Feature ids; a feature stands at most once for each prompt.
        activations : ndarray of shape (active,), float32
            Not 0.
        count : int
            Prompts, also those on which nothing is active.
        num_features : int
            Width of the SAE.
        """
        exact = activations.astype(np.float64)
        active = np.bincount(features, minlength=num_features)
        mean = np.bincount(features, exact, num_features) / max(count, 1)
        squares = np.bincount(features, (exact - mean[features]) ** 2, num_features) + (count - active) * mean**2
        largest = np.where(active < count, 0, -np.inf).astype(np.float32)
        np.maximum.at(largest, features, activations)
        return cls(count, mean, squares, largest, active)

    def __add__(self, other: Statistics) -> Statistics:
        """Merge the statistics of two groups of prompts."""
        count = self.count + other.count
        apart = other.mean - self.mean
        weight = other.count / max(count, 1)
        return Statistics(
            count,
            self.mean + apart * weight,
            self.squares + other.squares + apart**2 * (self.count * weight),
            np.maximum(self.largest, other.largest),
            self.active + other.active,
        )

    def vectors(self, prompts: str) -> dict[str, NDArray[np.generic]]:
        """
        Return the vectors that a result file holds of one prompt set.

        Parameters
        ----------
        prompts : str
            "target" or "control".

        Returns
        -------
        dict of ndarray of shape (features,)
            `all_mean` over all prompts, zeros included; `all_std`, unbiased; `max`; `num_active` (int64); and
            `sparsity`, the share of prompts on which a feature is active. All but the count float32.
        """
        return {
            f"{prompts}_all_mean": self.mean.astype(np.float32),
            f"{prompts}_all_std": np.sqrt(self.squares / (self.count - 1)).astype(np.float32),
            f"{prompts}_max": self.largest,
            f"{prompts}_num_active": self.active.astype(np.int64),
            f"{prompts}_sparsity": (self.active / self.count).astype(np.float32),
        }
