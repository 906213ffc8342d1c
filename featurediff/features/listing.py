"""In which order features are listed in tables and files, and how each can be listed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from featurediff.features.evidence_columns import question_q
from featurediff.features.questions import Question, effect_of
from featurediff.features.table import values

if TYPE_CHECKING:
    from numpy.typing import NDArray

By = Literal["position", "feature"]
"""A row for each position at which a feature is kept, or one for each feature."""


def order_by_evidence(
    table: pd.DataFrame, metric: str, question: Question, most: int | None = None
) -> NDArray[np.intp]:
    """
    Return the order in which rows are listed, by number: what has evidence first.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table with its tests.
    metric : str
        The metric shown.
    question : {"exclusive", "changed", "specific", "any"}
        The question.
    most : int, optional
        How many of the first are wanted; by default all.

    Returns
    -------
    ndarray of shape (rows,), or of shape (most,) where there are more
        By the q of the question, see `evidence_columns.question_q`; a q that is not known comes last. Equal ones by the
        size of the effect that the question is about, or of chat − base of the metric for `exclusive` and `any`; then
        by position and feature.
    """
    q = np.nan_to_num(question_q(table, question, metric), nan=np.inf)
    rows = np.arange(len(q))
    if most is not None and most < len(q):
        rows = np.flatnonzero(q <= np.partition(q, most)[most])  # the others need no order
    if question in ("changed", "specific"):
        size = np.abs(table[effect_of(question, metric)].to_numpy())
    else:
        base, chat = values(table, metric)
        size = np.abs(chat - base)
    position, ids = table["token_type"].cat.codes.to_numpy(), table["feature_id"].to_numpy()
    order: NDArray[np.intp] = rows[np.lexsort([key[rows] for key in (ids, position, -size, q)])][:most]
    return order


def list_features(table: pd.DataFrame, metric: str, question: Question, by: By = "position") -> pd.DataFrame:
    """
    Return rows of the feature table as they are listed.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table with its tests.
    metric, question : str
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
    ordered = table.iloc[order_by_evidence(table, metric, question)]
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
