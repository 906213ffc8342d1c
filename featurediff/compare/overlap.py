"""Which features sources of the same SAE share; sources of different SAEs are never compared feature by feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from featurediff.compare.counts import all_token_types
from featurediff.compare.same_sae import SAME_SAE
from featurediff.features.evidence_columns import evidence_q
from featurediff.wording import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from featurediff.compare.summary import Summary

_FEATURE_IDS = (
    "A feature’s id means something within one SAE only: feature 12 of another SAE is another feature. So only sources "
    "that read the same SAE are compared feature by feature."
)


class Groups(NamedTuple):
    """Which sources read the same SAE."""

    shared: tuple[tuple[Summary, ...], ...]
    """Two sources or more each."""

    alone: tuple[Summary, ...]
    """The others."""

    reason: str
    """Why those are not compared feature by feature; empty where there are none."""


def group_by_sae(sources: Sequence[Summary]) -> Groups:
    """
    Find the sources that certainly read the same SAE, each with each other.

    Parameters
    ----------
    sources : sequence of Summary
        To compare.

    Returns
    -------
    Groups
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
    return Groups(tuple(tuple(group) for group in groups if len(group) > 1), alone, reason)


@dataclass(frozen=True, eq=False)
class Overlap:
    """How many features each two sources of one SAE share."""

    sources: tuple[Summary, ...]
    """Rows and columns."""

    shared: NDArray[np.int64]
    """Features in both, shape (sources, sources); on the diagonal those of the source itself."""

    jaccard: NDArray[np.float64]
    """Features in both over features in either, shape (sources, sources); NaN where both have none."""


def overlap(group: Sequence[Summary], token_type: str | None = None, max_q: float | None = None) -> Overlap:
    """
    Compare the features of sources that read the same SAE.

    Parameters
    ----------
    group : sequence of Summary
        One of `Groups.shared`.
    token_type, max_q : str, float, optional
        Which features; see `Summary.ids`.

    Returns
    -------
    Overlap
        Jaccard's index (1901).

    Raises
    ------
    ValueError
        If two of the sources are not certain to read the same SAE.
    """
    _check_same(group)
    ids = [source.ids(token_type, max_q) for source in group]
    sizes = np.array([len(found) for found in ids], dtype=np.int64)
    _, codes = np.unique(np.concatenate(ids), return_inverse=True)
    member = np.zeros((len(group), codes.max(initial=-1) + 1), dtype=np.float32)
    member[np.repeat(np.arange(len(group)), sizes), codes] = 1
    shared = (member @ member.T).astype(np.int64)
    either = sizes[:, None] + sizes - shared
    with np.errstate(invalid="ignore"):
        return Overlap(tuple(group), shared, shared / either)


def shared_features(
    first: Summary, second: Summary, token_type: str | None = None, max_q: float | None = None
) -> pd.DataFrame:
    """
    List the features that two sources of one SAE share.

    Parameters
    ----------
    first, second : Summary
        Of one of `Groups.shared`; may be the same one.
    token_type, max_q : str, float, optional
        Which features; see `Summary.ids`.

    Returns
    -------
    DataFrame with a row per shared feature and token type at which either source keeps it
        `feature_id`, `token_type`, `first_exclusivity`, `second_exclusivity` (missing where that source does not keep
        it at that token type), `first_q`, `second_q` (`evidence_q`, NaN likewise), `explanation`, `neuronpedia_url`;
        in the order of ids, then of token types.

    Raises
    ------
    ValueError
        If the sources are not certain to read the same SAE.
    """
    _check_same((first, second))
    both = np.intersect1d(first.ids(token_type, max_q), second.ids(token_type, max_q))
    token_types = [token_type] if token_type is not None else all_token_types((first, second))
    sides = [_side(source, name, both, token_types) for name, source in (("first", first), ("second", second))]
    found = sides[0].join(sides[1], how="outer").sort_index().reset_index().astype({"token_type": "str"})
    ids = found["feature_id"].to_numpy()
    texts = pd.concat([first.kept, second.kept]).dropna(subset="explanation").drop_duplicates("feature_id")
    pages = first.pages if first.pages.template else second.pages
    return found[["feature_id", "token_type", "first_exclusivity", "second_exclusivity", "first_q", "second_q"]].assign(
        explanation=texts.set_index("feature_id")["explanation"].reindex(ids).array,
        neuronpedia_url=pages.urls(ids),
    )


def _side(source: Summary, name: str, ids: NDArray[np.int32], token_types: Sequence[str]) -> pd.DataFrame:
    """Return what one source says of features, by feature id and token type."""
    rows = source.kept[source.kept["feature_id"].isin(ids) & source.kept["token_type"].isin(token_types)]
    at = rows["token_type"].astype(pd.CategoricalDtype(pd.Index(token_types), ordered=True))
    index = pd.MultiIndex.from_arrays([rows["feature_id"], at], names=["feature_id", "token_type"])
    values = {f"{name}_exclusivity": rows["exclusivity"].astype("str").array, f"{name}_q": evidence_q(rows)}
    return pd.DataFrame(values, index=index)


def _check_same(sources: Sequence[Summary]) -> None:
    if not all(source.sae.is_same(other.sae) for source in sources for other in sources):
        msg = f"These sources are not certain to read the same SAE: {listed(source.name for source in sources)}."
        raise ValueError(msg)
