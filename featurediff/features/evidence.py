"""
Counts of prompts → p-values, q-values and intervals.

A feature's evidence depends on its counts alone, so every test is computed once for each pair of counts that occurs.
All of it takes prompts for independent samples, which paraphrases of each other are not: see `CAVEAT`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from featurediff.features.exact_tests import fisher, fisher_two_sided, mcnemar
from featurediff.labels import PROMPTS, SIDES, Side

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from featurediff.sources.results import ModelResults, Results

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Discordant = Mapping[str, tuple[Counts, Counts]]

ALPHA = 0.05
"""The largest q that counts as significant where nobody says otherwise."""

_MOST_TABLES = 1 << 22
"""Pairs of counts up to here are counted in an array, 32 MB: as many as 2,000 prompts of each set have."""

CAVEAT = (
    "Every p and q takes the prompts for independent samples. Prompts that are paraphrases of each other are not: "
    "the evidence is then weaker than the numbers say."
)
"""What stands beside every p."""


@dataclass(frozen=True, eq=False)
class Tested:
    """One test on one family of features, by the pair of counts that it depends on."""

    family: int
    """How many features were tested together: what q corrects for."""

    codes: Counts
    """The distinct pairs, each as one number, ascending; shape (pairs,)."""

    width: int
    """A pair's code is first × width + second."""

    p: Floats
    """p of each pair; shape (pairs,)."""

    q: Floats
    """Its Benjamini-Hochberg q, the same for every feature with this pair; shape (pairs,)."""

    def at(self, first: Counts, second: Counts) -> tuple[Floats, Floats]:
        """
        Look up p and q.

        Parameters
        ----------
        first, second : ndarray of shape (n,), int

        Returns
        -------
        tuple of two ndarrays of shape (n,), float64
            NaN for pairs outside the family.
        """
        codes = first.astype(np.int64) * self.width + second
        if not len(self.codes):
            return np.full(len(codes), np.nan), np.full(len(codes), np.nan)
        places = np.searchsorted(self.codes, codes).clip(max=len(self.codes) - 1)
        found = self.codes[places] == codes
        return np.where(found, self.p[places], np.nan), np.where(found, self.q[places], np.nan)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Every test of one source."""

    exclusive: Mapping[tuple[Side, str], Tested]
    """(side, token type) → target over control; pairs are (target_num_active, control_num_active)."""

    change: Mapping[str, Tested]
    """Token type → chat against base on the target prompts; pairs as `change_test` needs them."""

    discordant: Discordant | None
    """
    Token type → on how many target prompts each feature is active in base only, and in chat only, each of shape
    (num_features,); None where it is not known which prompts they are.
    """

    @property
    def change_test(self) -> Literal["fisher", "mcnemar"]:
        """The test behind `change`: McNemar's where the same prompts ran through both models and are known."""
        return "fisher" if self.discordant is None else "mcnemar"


def assess(results: Results, discordant: Discordant | None = None) -> Evidence:
    """
    Test every feature.

    Parameters
    ----------
    results : Results
        One source.
    discordant : mapping, optional
        Token type → counts of target prompts on which a feature is active in base only and in chat only, each of
        shape (num_features,); with them the change is tested on pairs.

    Returns
    -------
    Evidence
        Target over control: one-sided Fisher's exact test within each model and token type; its family is the features
        active on at least one prompt of either set. Change: two-sided, Fisher's exact test (1935) on base against
        chat, or McNemar's exact test on the discordant prompts; its family is the features active on at least one
        target prompt in either model. q after Benjamini and Hochberg (1995).
    """
    exclusive: dict[tuple[Side, str], Tested] = {}
    change: dict[str, Tested] = {}
    models: dict[Side, ModelResults] = {"base": results.base, "chat": results.chat}
    sizes = {v: (m.metadata.num_target_prompts, m.metadata.num_control_prompts) for v, m in models.items()}
    for token_type in results.token_types:
        whole = [m.vectors[token_type][f"{prompts}_num_active"] for m in models.values() for prompts in PROMPTS]
        active = np.flatnonzero(reduce(np.logical_or, whole))
        counts = [vector[active] for vector in whole]
        for side, (target, control) in zip(SIDES, (counts[:2], counts[2:]), strict=True):
            exclusive[side, token_type] = _test(target, control, (target > 0) | (control > 0), fisher, sizes[side])
        base, chat = counts[0], counts[2]
        is_on_target = (base > 0) | (chat > 0)
        if discordant is None:
            n = sizes["base"][0], sizes["chat"][0]
            change[token_type] = _test(base, chat, is_on_target, fisher_two_sided, n)
        else:
            n = (min(sizes["base"][0], sizes["chat"][0]),) * 2
            base_only, chat_only = (vector[active] for vector in discordant[token_type])
            change[token_type] = _test(base_only, chat_only, is_on_target, mcnemar, n)
    return Evidence(exclusive, change, discordant)


def with_evidence(table: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """
    Return the feature table with its tests.

    Parameters
    ----------
    table : DataFrame
        All kept features, from `diff.feature_table`.
    evidence : Evidence
        Of the same source.

    Returns
    -------
    DataFrame
        With `exclusive_positions` (int16: at how many token types the feature is kept), `base_p`, `base_q`, `chat_p`,
        `chat_q`, `change_p`, `change_q` (float64, NaN where the feature is not of the family) and `change_test`
        (category) before the column `explanation`.
    """
    names = [f"{what}_{value}" for what in (*SIDES, "change") for value in "pq"]
    columns: dict[str, Floats] = {name: np.full(len(table), np.nan) for name in names}
    ids = table["feature_id"].to_numpy()
    for token_type, tested in evidence.change.items():
        here = np.flatnonzero(table["token_type"] == token_type)
        counts = {
            f"{side}_{prompts}": table[f"{side}_{prompts}_num_active"].to_numpy()[here]
            for side in SIDES
            for prompts in ("target", "control")
        }
        for side in SIDES:
            pair = counts[f"{side}_target"], counts[f"{side}_control"]
            columns[f"{side}_p"][here], columns[f"{side}_q"][here] = evidence.exclusive[side, token_type].at(*pair)
        if evidence.discordant is None:
            pair = counts["base_target"], counts["chat_target"]
        else:
            base_only, chat_only = evidence.discordant[token_type]
            pair = base_only[ids[here]], chat_only[ids[here]]
        columns["change_p"][here], columns["change_q"][here] = tested.at(*pair)
    _, which, positions = np.unique(ids, return_inverse=True, return_counts=True)
    tests = pd.Categorical.from_codes(np.zeros(len(table), dtype=np.int8), categories=pd.Index([evidence.change_test]))
    added = pd.DataFrame(
        {"exclusive_positions": positions[which].astype(np.int16), **columns, "change_test": tests}, index=table.index
    )
    at = table.columns.get_loc("explanation")
    return pd.concat([table.iloc[:, :at], added, table.iloc[:, at:]], axis="columns")


def evidence_q(table: pd.DataFrame) -> Floats:
    """
    Return what a row's significance is judged by.

    Parameters
    ----------
    table : DataFrame
        From `with_evidence`.

    Returns
    -------
    ndarray of shape (rows,), float64
        The smaller q of the models in which the feature is exclusive: a row is kept if it is exclusive in one model at
        least, and significant if that is so in one of them.
    """
    base, chat = (
        np.where(is_among(table["exclusivity"], ("both", side)), table[f"{side}_q"], np.inf) for side in SIDES
    )
    return np.fmin(base, chat)


def is_among(column: pd.Series, names: Collection[str]) -> NDArray[np.bool_]:
    """Return which rows of a categorical column are one of these; a look at its codes is enough."""
    cells = pd.Categorical(column)
    found: NDArray[np.bool_] = np.array([name in names for name in cells.categories], dtype=bool)[cells.codes]
    return found


def evidence_counts(table: pd.DataFrame, max_q: float = ALPHA) -> pd.DataFrame:
    """
    Count kept and significant features.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table, from `with_evidence`.
    max_q : float
        The largest `evidence_q` that counts as significant.

    Returns
    -------
    DataFrame with a row per (token_type, exclusivity), also where there is no feature
        `kept` and `significant`, int.
    """
    names = ["token_type", "exclusivity"]
    groups = pd.MultiIndex.from_product([table[name].cat.categories for name in names], names=names)
    counts = count_evidence(table, max_q).reshape(-1, 2)
    return pd.DataFrame(counts, columns=["kept", "significant"], index=groups)


def count_evidence(table: pd.DataFrame, max_q: float = ALPHA) -> NDArray[np.int64]:
    """Return `evidence_counts` by token type and exclusivity, kept and significant, of shape (token types, 3, 2)."""
    columns = [table[name].cat for name in ("token_type", "exclusivity")]
    shape = tuple(len(column.categories) for column in columns)
    group = np.ravel_multi_index([column.codes for column in columns], shape)
    significant = group[evidence_q(table) <= max_q]
    counts = [np.bincount(groups, minlength=shape[0] * shape[1]).reshape(shape) for groups in (group, significant)]
    return np.stack(counts, axis=-1)


def _test(
    first: Counts,
    second: Counts,
    family: NDArray[np.bool_],
    test: Callable[[Counts, Counts, int, int], Floats],
    sizes: tuple[int, int],
) -> Tested:
    """Test the features of a family, each distinct pair once."""
    width = sizes[1] + 1
    codes, numbers = _distinct(first[family] * width + second[family], (sizes[0] + 1) * width)
    p = test(*np.divmod(codes, width), *sizes)
    order = np.argsort(p)
    family_size = int(numbers.sum())
    steps = p[order] * family_size / np.cumsum(numbers[order])
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate(steps[::-1])[::-1].clip(max=1)
    return Tested(family_size, codes, width, p, q)


def _distinct(codes: Counts, most: int) -> tuple[Counts, Counts]:
    """Return the codes below `most` that occur, ascending, and how often."""
    if most > _MOST_TABLES:
        return np.unique(codes, return_counts=True)
    numbers = np.bincount(codes)
    found = np.flatnonzero(numbers)
    return found, numbers[found]
