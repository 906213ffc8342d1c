"""The p of features that are tested together → q."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def q_values(p: Floats) -> Floats:
    """
    Correct for how many features were tested.

    Parameters
    ----------
    p : ndarray of any shape, float64
        A family; NaN for what is not of it.

    Returns
    -------
    ndarray of the same shape, float64
        The smallest share of false discoveries at which the feature would still be called changed, by the step-up
        procedure of Benjamini and Hochberg (1995): for the i-th smallest of m p-values, the minimum
        over j ≥ i of p₍ⱼ₎ · m / j. NaN where p is.
    """
    q = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    family = p[tested]
    order = np.argsort(family)
    raised = family[order] * len(family) / np.arange(1, len(family) + 1)
    smallest = np.minimum.accumulate(raised[::-1])[::-1]
    found = np.empty(len(family))
    found[order] = smallest
    q[tested] = found
    return q
