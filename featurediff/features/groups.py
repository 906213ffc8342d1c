"""Prompts that belong together → one value for each group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Groups = NDArray[np.generic]


def group_means(values: Floats, groups: Groups | None) -> Floats:
    """
    Average over the prompts of each group.

    Parameters
    ----------
    values : ndarray of shape (prompts, features), float64
        A value of each prompt.
    groups : ndarray of shape (prompts,), optional
        Which group each prompt belongs to; equal values are one group.

    Returns
    -------
    ndarray of shape (groups, features), float64
        In the order of the groups' names. Where there are no groups, or where each holds one prompt, `values` itself:
        groups of one are no groups.
    """
    if groups is None:
        return values
    sums = group_sums(values, groups)
    return values if sums is values else sums / group_sums(np.ones((len(values), 1)), groups)


def group_sums(values: Floats, groups: Groups | None) -> Floats:
    """Add up over the prompts of each group, as `group_means`."""
    if groups is None:
        return values
    names, which = np.unique(groups, return_inverse=True)
    if len(names) == len(values):
        return values
    starts = np.searchsorted(which[order := np.argsort(which, kind="stable")], np.arange(len(names)))
    sums: Floats = np.add.reduceat(values[order], starts, axis=0)
    return sums
