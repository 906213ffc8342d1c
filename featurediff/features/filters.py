"""Which rows of the feature table are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.features.evidence_columns import is_among, question_q
from featurediff.features.questions import Question
from featurediff.features.table import values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

Consistency = Literal["all", "consistent", "inconsistent"]


@dataclass(frozen=True)
class Filters:
    """Which rows of the feature table to show; empty means all."""

    token_types: tuple[str, ...] = ()
    """Positions to keep."""

    exclusivity: tuple[str, ...] = ()
    """Of `EXCLUSIVITIES`, those to keep."""

    consistency: Consistency = "all"
    """Whether to keep only features that the other model's control prompts contradict, or only the others."""

    min_value: float | None = None
    """The larger of the two models' values of the chosen metric reaches at least this."""

    search: str = ""
    """The explanation contains this text, in any case, or it is the feature's id."""

    ids: tuple[int, ...] = ()
    """Feature ids to keep."""

    max_q: float | None = None
    """The q that the question goes by is at most this; see `evidence_columns.question_q`."""

    @property
    def searched_ids(self) -> tuple[int, ...]:
        """The feature whose id is searched for; none where the text is no id."""
        ids, faults = read_ids(self.search)
        return ids if len(ids) == 1 and not faults else ()


def read_ids(text: str) -> tuple[tuple[int, ...], list[tuple[int, str]]]:
    """
    Read feature ids separated by commas, semicolons or white space.

    Returns
    -------
    ids : tuple of int
        Each once, in the order of the text.
    faults : list of (int, str)
        Words that are no whole number of at most nine digits, with the number of their line, from 1.
    """
    ids: dict[int, None] = {}
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        for word in line.replace(",", " ").replace(";", " ").split():
            if word.isascii() and word.isdigit() and len(word) < 10:
                ids[int(word)] = None
            else:
                faults.append((number, word))
    return tuple(ids), faults


def parse_ids(text: str) -> tuple[int, ...]:
    """
    Read feature ids separated by commas, semicolons or white space.

    Raises
    ------
    DataError
        If one is not a whole number.
    """
    ids, faults = read_ids(text)
    if faults:
        msg = (
            f"Feature ids are whole numbers such as 12, 345, but {faults[0][1][:40]!r} was given ({len(faults)} such)."
        )
        raise DataError(msg)
    return ids


def filter_table(table: pd.DataFrame, filters: Filters, metric: str, question: Question = "exclusive") -> pd.DataFrame:
    """Return the rows that pass every filter; they keep their index."""
    return table if filters == Filters() else table.iloc[passing(table, filters, metric, question)]


def passing(table: pd.DataFrame, filters: Filters, metric: str, question: Question = "exclusive") -> NDArray[np.intp]:
    """Return which rows pass every filter, by number."""
    masks = _masks(table, filters, metric, question)
    return np.flatnonzero(np.logical_and.reduce([np.ones(len(table), dtype=bool), *masks.values()]))


def rows_of(table: pd.DataFrame, keys: Collection[tuple[str, int]]) -> pd.DataFrame:
    """Return the rows of these (token_type, feature_id); they keep their index."""
    return table.iloc[np.flatnonzero(is_one_of(table, keys))]


def is_one_of(table: pd.DataFrame, keys: Collection[tuple[str, int]]) -> NDArray[np.bool_]:
    """Return which rows are of these (token_type, feature_id)."""
    found = np.isin(table["feature_id"], [feature_id for _, feature_id in keys])
    near, wanted = table[["token_type", "feature_id"]].iloc[np.flatnonzero(found)], set(keys)
    found[found] = [key in wanted for key in zip(near["token_type"], near["feature_id"], strict=True)]
    return found


def blocking_filter(table: pd.DataFrame, filters: Filters, metric: str, question: Question = "exclusive") -> str | None:
    """Name the filter that leaves nothing: one that does so alone, or else the first that does after the others."""
    masks = _masks(table, filters, metric, question)
    keep = np.ones(len(table), dtype=bool)
    alone = [name for name, mask in masks.items() if not mask.any()]
    for name, mask in masks.items():
        keep &= mask
        if not keep.any():
            return alone[0] if alone else name
    return None


def _masks(
    table: pd.DataFrame, filters: Filters, metric: str, question: Question = "exclusive"
) -> Mapping[str, NDArray[np.bool_]]:
    """Return the rows that each filter in force lets through, by what a person calls it."""
    masks: dict[str, NDArray[np.bool_]] = {}
    if filters.token_types:
        masks["position"] = is_among(table["token_type"], filters.token_types)
    if filters.exclusivity:
        masks["exclusivity"] = is_among(table["exclusivity"], filters.exclusivity)
    if filters.consistency != "all":
        masks["consistency"] = table["inconsistent"].to_numpy() == (filters.consistency == "inconsistent")
    if filters.min_value is not None:
        with np.errstate(over="ignore"):  # beyond what the files' own type holds, a number is infinite
            masks["minimum value"] = np.fmax(*values(table, metric)) >= filters.min_value
    if filters.max_q is not None:
        masks["largest q"] = question_q(table, question, metric) <= filters.max_q
    if filters.ids:
        masks["feature ids"] = table["feature_id"].isin(filters.ids).to_numpy()
    if filters.search:
        found = table["explanation"].str.contains(filters.search, case=False, regex=False, na=False)
        masks["search"] = found.to_numpy(dtype=bool) | table["feature_id"].isin(filters.searched_ids).to_numpy()
    return masks
