"""In which order features are listed in tables and files, and how each can be listed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from featurediff.features.evidence_columns import question_q
from featurediff.features.questions import effect_of
from featurediff.features.table import values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.features.questions import Asked

By = Literal["position", "feature"]
"""A row for each position at which a feature is kept, or one for each feature."""


def order_by_evidence(table: pd.DataFrame, asked: Asked, most: int | None = None) -> NDArray[np.intp]:
    """
    Return the order in which rows are listed, by number: what has evidence first, and of that what is surely large.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table with its tests.
    asked : Asked
        Question, metric, and the largest q that is evidence.
    most : int, optional
        How many of the first are wanted; by default all.

    Returns
    -------
    ndarray of shape (rows,), or of shape (most,) where there are more
        First the rows whose q of the question, see `evidence_columns.question_q`, is at most alpha: by the end of their
        interval that is nearer to 0, as a ranking lists them. Then the others, by q; a q that is not known comes last.
        Equal ones by the size of the effect that the question is about, or of chat − base of the metric for `exclusive`
        and `any`; then by position and feature.
    """
    name = effect_of(asked.question, asked.metric)
    effect, low, high = (table[f"{name}{ending}"].to_numpy() for ending in ("", "_low", "_high"))
    q = np.nan_to_num(question_q(table, asked.question, asked.metric), nan=np.inf)
    is_evident = q <= asked.alpha
    place = np.where(is_evident, -nearer_end(effect, low, high), q)
    rows = np.arange(len(q))
    if most is not None and most < len(q):
        rows = np.concatenate([_least(np.flatnonzero(part), place, most) for part in (is_evident, ~is_evident)])
    if asked.question in ("changed", "specific"):
        size = np.abs(effect)
    else:
        base, chat = values(table, asked.metric)
        size = np.abs(chat - base)
    position, ids = table["token_type"].cat.codes.to_numpy(), table["feature_id"].to_numpy()
    keys = (ids, position, -size, place, ~is_evident)
    order: NDArray[np.intp] = rows[np.lexsort([key[rows] for key in keys])][:most]
    return order


def nearer_end(effect: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """
    Return how large an effect surely is: the end of its interval that is nearer to 0, away from 0.

    Parameters
    ----------
    effect, low, high : ndarray of shape (rows,)
        The effect and the ends of its interval.

    Returns
    -------
    ndarray of shape (rows,), float64
        Below 0 where the interval reaches beyond 0; −∞ where there is none.
    """
    return np.nan_to_num(np.where(effect > 0, low, -high), nan=-np.inf)


def _least(rows: NDArray[np.intp], place: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Return those of some rows that are among their first, and all that are equal to the last of these."""
    if len(rows) <= most:
        return rows
    found: NDArray[np.intp] = rows[place[rows] <= np.partition(place[rows], most)[most]]
    return found


def list_features(table: pd.DataFrame, asked: Asked, by: By = "position") -> pd.DataFrame:
    """
    Return rows of the feature table as they are listed.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table with its tests.
    asked : Asked
        What `order_by_evidence` goes by.
    by : {"position", "feature"}
        Whether a feature that is kept at several positions has a row for each, or one for the first in that order.

    Returns
    -------
    DataFrame
        In the order of `order_by_evidence`; rows keep their index. By feature it has a column `other_positions` after
        `token_type`: the other positions at which the feature is among the rows, in that order, joined by ";"; missing
        where there are none.
    """
    ordered = table.iloc[order_by_evidence(table, asked)]
    if by == "position":
        return ordered
    ids, names = ordered["feature_id"].to_numpy(), ordered["token_type"].astype("str")
    place = ordered.groupby("feature_id").cumcount().to_numpy()
    found = ordered.iloc[np.flatnonzero(place == 0)]
    others = pd.Series("", index=found["feature_id"].to_numpy(), dtype="str")
    for i in range(1, place.max(initial=0) + 1):
        next_one = pd.Series(";" + names[place == i].to_numpy(), index=ids[place == i], dtype="str")
        others = others.str.cat(next_one.reindex(others.index), na_rep="")
    listed = found.copy()
    at = list(listed).index("token_type") + 1
    listed.insert(at, "other_positions", others.str.removeprefix(";").replace("", None).set_axis(listed.index))
    return listed
