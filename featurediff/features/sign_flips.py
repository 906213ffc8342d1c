"""Chat − base on each target prompt → p that nothing changed there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from featurediff.features.groups import group_means
from featurediff.features.resampling import TIE, Signs, Statistic, p_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.features.groups import Groups

    Floats = NDArray[np.float64]


def sign_flips(d: Floats, family: int | None = None, groups: Groups | None = None) -> Floats:
    """
    Return p for: swapping base and chat on any prompt makes no difference.

    Parameters
    ----------
    d : ndarray of shape (prompts, features), float64
        Chat − base on each target prompt, 0 where a feature is active in neither.
    family : int, optional
        How many features are tested together; by default all of them.
    groups : ndarray of shape (prompts,), optional
        Which prompts belong together. Whole groups are flipped then, and the statistic is of group means.

    Returns
    -------
    ndarray of shape (features,), float64
        Two-sided, with |Σd| as statistic (Fisher 1935, The Design of Experiments, section 21). 1 where d is 0 on
        every prompt; NaN where there are no prompts. Takes for granted that without a change d is as likely as −d,
        and that prompts, or groups, are independent.
    """
    if not len(d):
        return np.full(d.shape[1], np.nan)
    values = group_means(d, groups)
    p = np.ones(d.shape[1])
    moving = np.flatnonzero(values.any(axis=0))
    values = values[:, moving]
    tie = TIE * len(values) * np.einsum("ij,ij->j", values, values)
    statistic = Statistic(values, values.sum(axis=0) ** 2 - tie)
    p[moving] = p_values(statistic, Signs(len(values)), family or len(p))
    return p
