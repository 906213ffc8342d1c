"""Run a test of two counts once for each pair of counts that occurs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]


def per_pair(
    test: Callable[[Counts, Counts, int, int], Floats], first: Counts, second: Counts, num_first: int, num_second: int
) -> Floats:
    """
    Test every feature by its two counts.

    Parameters
    ----------
    test : callable
        Of `exact_tests`: takes two arrays of counts and out of how many prompts they are, returns p.
    first, second : ndarray of shape (features,), int
        On how many prompts each feature is active.
    num_first, num_second : int
        Out of how many.

    Returns
    -------
    ndarray of shape (features,), float64
        p. A million features have some hundreds of pairs.
    """
    width = num_second + 1
    codes, which = np.unique(first.astype(np.int64) * width + second, return_inverse=True)
    found: Floats = test(*np.divmod(codes, width), num_first, num_second)[which]
    return found
