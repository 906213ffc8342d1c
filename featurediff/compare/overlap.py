"""Which features sources of the same SAE share; sources of different SAEs are never compared feature by feature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.compare.by_sae import group_by_sae
from featurediff.compare.naming import all_token_types
from featurediff.compare.same_prompts import share_prompts
from featurediff.compare.summary import PUBLISHED
from featurediff.features.questions import DIRECTIONS, Asked
from featurediff.wording import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from featurediff.compare.summary import Summary
    from featurediff.labels import Prompts


@dataclass(frozen=True, eq=False)
class Overlap:
    """How many features each two sources of one SAE share."""

    sources: tuple[Summary, ...]
    """Rows and columns."""

    shared: NDArray[np.int64]
    """Features in both, shape (sources, sources); on the diagonal those of the source itself."""

    jaccard: NDArray[np.float64]
    """Features in both over features in either, shape (sources, sources); NaN where both have none."""

    expected: NDArray[np.float64]
    """
    Features in both that chance alone would give, shape (sources, sources); NaN on the diagonal, and where no feature
    is active in both.
    """

    same_prompts: tuple[tuple[tuple[Prompts, ...], ...], ...]
    """For each row and column, the prompt sets that both were certainly made with; empty on the diagonal."""


def asked_of_overlap(group: Sequence[Summary], asked: Asked) -> Asked:
    """
    Choose which features the overlap of sources is about where the reader does not.

    Parameters
    ----------
    group : sequence of Summary
        One of `BySae.shared`.
    asked : Asked
        The question of the comparison.

    Returns
    -------
    Asked
        `changed` and `specific` as they are. Instead of the other two, whose features many are kept by chance, what
        changed on target prompts, if every source compares base and chat prompt by prompt; else the published rule,
        as then too few changes can be shown.
    """
    if asked.question in ("changed", "specific") and all(s.answers(asked.question, asked.metric) for s in group):
        return asked
    is_paired = all(source.evidence is not None and source.evidence.is_paired for source in group)
    return replace(asked, question="changed" if is_paired else "exclusive")


def overlap(
    group: Sequence[Summary], asked: Asked = PUBLISHED, token_type: str | None = None, *, only_evidence: bool = False
) -> Overlap:
    """
    Compare the features of sources that read the same SAE.

    Parameters
    ----------
    group : sequence of Summary
        One of `BySae.shared`.
    asked, token_type, only_evidence : Asked, str, bool, optional
        Which features; see `Summary.ids`.

    Returns
    -------
    Overlap
        Jaccard's index (1901), and the mean of the hypergeometric distribution: of N features that are active on any
        prompt in both sources (at the position), one source keeps a, the other b; if which ones were independent, both
        would keep a · b / N. Features that are active in one of them only cannot be shared, so they do not count.
        Features that fire often are easier to find in both, so real sources share somewhat more than that anyway.

    Raises
    ------
    ValueError
        If two of the sources are not certain to read the same SAE.
    """
    _check_same(group)
    active = [source.active_ids(token_type) for source in group]
    ids = np.unique(np.concatenate(active))
    is_active, is_kept = (np.zeros((len(group), len(ids)), dtype=np.float32) for _ in range(2))
    for i, source in enumerate(group):
        is_active[i, np.searchsorted(ids, active[i])] = 1
        kept = source.ids(asked, token_type, only_evidence=only_evidence)
        is_kept[i, np.searchsorted(ids, kept)] = 1
    shared = (is_kept @ is_kept.T).astype(np.int64)
    sizes = shared.diagonal()
    either = sizes[:, None] + sizes - shared
    possible = (is_kept @ is_active.T).astype(np.float64)  # those of a row that are active in the column's source
    in_both = (is_active @ is_active.T).astype(np.float64)
    with np.errstate(invalid="ignore"):
        expected = possible * possible.T / in_both
        jaccard = shared / either
    np.fill_diagonal(expected, np.nan)
    same = tuple(tuple(() if one is other else share_prompts(one, other) for other in group) for one in group)
    return Overlap(tuple(group), shared, jaccard, expected, same)


def overlaps_of(sources: Sequence[Summary], asked: Asked) -> dict[Overlap, Asked]:
    """
    Compare the features of all sources that share an SAE.

    Parameters
    ----------
    sources : sequence of Summary
        To compare.
    asked : Asked
        The question of the comparison.

    Returns
    -------
    dict
        The overlap of each group of sources → which features it is of, see `asked_of_overlap`.
    """
    chosen = ((group, asked_of_overlap(group, asked)) for group in group_by_sae(sources).shared)
    return {overlap(group, shown): shown for group, shown in chosen}


def list_pairs(groups: Sequence[Overlap]) -> pd.DataFrame:
    """
    List overlaps as a table.

    Parameters
    ----------
    groups : sequence of Overlap
        Each of the sources of one SAE.

    Returns
    -------
    DataFrame with a row per pair of sources of one SAE
        `first`, `second`, `first_kept`, `second_kept`, `shared`, `expected`, `jaccard`, `same_prompts` ("target",
        "control", "target;control" or "").
    """
    columns = ["first", "second", "first_kept", "second_kept", "shared", "expected", "jaccard", "same_prompts"]
    rows = [
        (
            found.sources[i].name,
            found.sources[j].name,
            found.shared[i, i],
            found.shared[j, j],
            found.shared[i, j],
            found.expected[i, j],
            found.jaccard[i, j],
            ";".join(found.same_prompts[i][j]),
        )
        for found in groups
        for i, j in zip(*np.triu_indices(len(found.sources), 1), strict=True)
    ]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def shared_features(
    first: Summary,
    second: Summary,
    asked: Asked = PUBLISHED,
    token_type: str | None = None,
    *,
    only_evidence: bool = False,
) -> pd.DataFrame:
    """
    List the features that two sources of one SAE share.

    Parameters
    ----------
    first, second : Summary
        Of one of `BySae.shared`; may be the same one.
    asked, token_type, only_evidence : Asked, str, bool, optional
        Which features; see `Summary.ids`.

    Returns
    -------
    DataFrame with a row per shared feature and token type at which either source keeps it
        `feature_id`, `token_type`, `first_exclusivity`, `second_exclusivity`, `first_direction`, `second_direction`,
        `first_q`, `second_q` (of the question); all of a source missing where it does not keep the feature at that
        token type, direction and q also where it is not tested; `explanation`, `neuronpedia_url`; in the order of ids,
        then of token types.

    Raises
    ------
    ValueError
        If the sources are not certain to read the same SAE.
    """
    _check_same((first, second))
    one, other = (source.ids(asked, token_type, only_evidence=only_evidence) for source in (first, second))
    both = np.intersect1d(one, other)
    token_types = [token_type] if token_type is not None else all_token_types((first, second))
    sides = [_side(source, name, both, token_types, asked) for name, source in (("first", first), ("second", second))]
    found = sides[0].join(sides[1], how="outer").sort_index().reset_index().astype({"token_type": "str"})
    ids = found["feature_id"].to_numpy()
    texts = first.texts.reindex(ids).array.copy()
    missing = texts.isna()
    texts[missing] = second.texts.reindex(ids[missing]).array
    pages = first.pages if first.pages.template else second.pages
    columns = [f"{side}_{what}" for what in ("exclusivity", "direction", "q") for side in ("first", "second")]
    return found[["feature_id", "token_type", *columns]].assign(explanation=texts, neuronpedia_url=pages.urls(ids))


def _side(source: Summary, name: str, ids: NDArray[np.int32], token_types: Sequence[str], asked: Asked) -> pd.DataFrame:
    """Return what one source says of features where it keeps them, by feature id and token type."""
    active = source.active
    is_here = active["feature_id"].isin(ids) & active["token_type"].isin(token_types)
    here = np.flatnonzero(source.keeps(asked) & is_here.to_numpy())
    rows, q, sign = active.iloc[here], source.q(asked)[here], source.sign(asked)[here]
    at = rows["token_type"].astype(pd.CategoricalDtype(pd.Index(token_types), ordered=True))
    index = pd.MultiIndex.from_arrays([rows["feature_id"], at], names=["feature_id", "token_type"])
    directions = pd.array(np.select([sign > 0, sign < 0], DIRECTIONS[:2], DIRECTIONS[2]), dtype="str")
    if source.evidence is None:
        directions[:] = None
    values = {
        f"{name}_exclusivity": rows["exclusivity"].astype("str").array,
        f"{name}_direction": directions,
        f"{name}_q": q,
    }
    return pd.DataFrame(values, index=index)


def _check_same(sources: Sequence[Summary]) -> None:
    if not all(source.sae.is_same(other.sae) for source in sources for other in sources):
        msg = f"These sources are not certain to read the same SAE: {listed(source.name for source in sources)}."
        raise ValueError(msg)
