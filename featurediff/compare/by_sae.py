"""Which of several sources read the same SAE, so that they can be compared feature by feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from featurediff.compare.same_sae import SAME_SAE
from featurediff.wording import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurediff.compare.summary import Summary

_FEATURE_IDS = (
    "A feature’s id means something within one SAE only: feature 12 of another SAE is another feature. So only sources "
    "that read the same SAE are compared feature by feature."
)


class BySae(NamedTuple):
    """Sources by the SAE that they read."""

    shared: tuple[tuple[Summary, ...], ...]
    """Two sources or more each."""

    alone: tuple[Summary, ...]
    """The others."""

    reason: str
    """Why those are not compared feature by feature; empty where there are none."""


def group_by_sae(sources: Sequence[Summary]) -> BySae:
    """
    Find the sources that certainly read the same SAE, each with each other.

    Parameters
    ----------
    sources : sequence of Summary
        To compare.

    Returns
    -------
    BySae
        In the order of the sources.
    """
    groups: list[list[Summary]] = []
    for source in sources:
        fitting = (group for group in groups if all(source.sae.is_same(other.sae) for other in group))
        group = next(fitting, None)
        if group is None:
            groups.append([source])
        else:
            group.append(source)
    alone = tuple(group[0] for group in groups if len(group) == 1)
    reason = ""
    if alone:
        names = listed(source.name for source in alone)
        reason = f"{_FEATURE_IDS} No other source here is certain to read the SAE of {names}. {SAME_SAE}"
    return BySae(tuple(tuple(group) for group in groups if len(group) > 1), alone, reason)
