"""The feature table with its evidence: columns, the q that a question goes by, and counts of what is significant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.features.evidence import ALPHA
from featurediff.features.questions import CONTRASTS, EFFECTS, Question, effect_of, quantity_of
from featurediff.labels import SIDES

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from featurediff.features.evidence import Changes, Exclusive, TestedEffect

    Floats = NDArray[np.float64]


_TIE = 1e-9
"""Two changes that differ by less than this share are equal."""


def with_evidence(table: pd.DataFrame, exclusive: Exclusive, changes: Changes | None) -> pd.DataFrame:
    """
    Return the feature table with its tests.

    Parameters
    ----------
    table : DataFrame
        From `table.feature_table`.
    exclusive : Exclusive
        Target over control, of the same source.
    changes : Changes or None
        Base against chat; without them their columns are missing throughout.

    Returns
    -------
    DataFrame
        Before the column `explanation`: `exclusive_positions` (int16: at how many token types the feature is
        exclusive), `base_p`, `base_q`, `chat_p`, `chat_q` (float64, NaN where the feature is not of the family), and
        for each of `questions.EFFECTS` the effect itself (chat − base), `…_low`, `…_high` (its 95 % interval), `…_p`,
        `…_q` (float64, NaN likewise) and `…_test` (category).
    """
    ids = table["feature_id"].to_numpy()
    rows = {name: np.flatnonzero(table["token_type"] == name) for name in exclusive.features}
    places = {name: np.searchsorted(exclusive.features[name], ids[rows[name]]) for name in rows}
    columns: dict[str, object] = {"exclusive_positions": _count_positions(table)}
    for side in SIDES:
        for value in ("p", "q"):
            column = np.full(len(table), np.nan)
            for name, here in rows.items():
                column[here] = getattr(exclusive.tested[side, name], value)[places[name]]
            columns[f"{side}_{value}"] = column
    for effect in EFFECTS:
        of_type = {name: changes.effects[effect, name] for name in rows} if changes else {}
        columns |= _effect_columns(effect, of_type, rows, places, len(table))
    added = pd.DataFrame(columns, index=table.index)
    at = table.columns.get_loc("explanation")
    return pd.concat([table.iloc[:, :at], added, table.iloc[:, at:]], axis="columns")


def _effect_columns(
    effect: str,
    of_type: dict[str, TestedEffect],
    rows: dict[str, NDArray[np.intp]],
    places: dict[str, NDArray[np.intp]],
    length: int,
) -> dict[str, object]:
    """Return the columns of one effect."""
    found = {ending: np.full(length, np.nan) for ending in ("", "_low", "_high", "_p", "_q")}
    tests = sorted({tested.tested.test for tested in of_type.values()} - {""})
    codes = np.full(length, -1, dtype=np.int8)
    for name, tested in of_type.items():
        columns = (tested.value, tested.low, tested.high, tested.tested.p, tested.tested.q)
        for column, values in zip(found.values(), columns, strict=True):
            column[rows[name]] = values[places[name]]
        if tested.tested.test:
            codes[rows[name]] = tests.index(tested.tested.test)
    named: dict[str, object] = {f"{effect}{ending}": column for ending, column in found.items()}
    return named | {f"{effect}_test": pd.Categorical.from_codes(codes, categories=pd.Index(tests, dtype="str"))}


def _count_positions(table: pd.DataFrame) -> NDArray[np.int16]:
    """Return at how many token types the feature of each row is exclusive."""
    ids, which = np.unique(table["feature_id"].to_numpy(), return_inverse=True)
    is_exclusive = ~is_among(table["exclusivity"], ("neither",))
    return np.bincount(which[is_exclusive], minlength=len(ids))[which].astype(np.int16)


def evidence_q(table: pd.DataFrame) -> Floats:
    """
    Return what the significance of an exclusive feature is judged by.

    Parameters
    ----------
    table : DataFrame
        From `with_evidence`.

    Returns
    -------
    ndarray of shape (rows,), float64
        The smaller q of target over control, of the models in which the feature is exclusive; ∞ where it is in neither.
    """
    base, chat = (
        np.where(is_among(table["exclusivity"], ("both", side)), table[f"{side}_q"], np.inf) for side in SIDES
    )
    return np.fmin(base, chat)


def question_q(table: pd.DataFrame, question: Question, metric: str) -> Floats:
    """
    Return the q that a question goes by.

    Parameters
    ----------
    table : DataFrame
        From `with_evidence`.
    question : {"exclusive", "changed", "specific", "any"}
        The question.
    metric : str
        The metric shown: it selects mean or frequency.

    Returns
    -------
    ndarray of shape (rows,), float64
        Exclusive: `evidence_q`. Changed and specific: that of their effect. Any: the smallest of all.
    """
    if question == "exclusive":
        return evidence_q(table)
    if question != "any":
        return table[f"{effect_of(question, metric)}_q"].to_numpy()
    whole: Floats = np.fmin.reduce([evidence_q(table), *(table[f"{effect}_q"].to_numpy() for effect in EFFECTS)])
    return whole


def goes_against(table: pd.DataFrame, metric: str) -> NDArray[np.bool_]:
    """
    Return which features are exclusive in one model that does not use them more than the other.

    Parameters
    ----------
    table : DataFrame
        From `with_evidence`.
    metric : str
        The metric shown: it selects mean or frequency.

    Returns
    -------
    ndarray of shape (rows,), bool
        False where nothing is known of the change on target prompts.
    """
    change = table[effect_of("exclusive", metric)].to_numpy()
    in_base, in_chat = (is_among(table["exclusivity"], (side,)) for side in SIDES)
    found: NDArray[np.bool_] = (in_base & (change >= 0)) | (in_chat & (change <= 0))
    return found


def changes_more_on(table: pd.DataFrame, metric: str) -> NDArray[np.int8]:
    """
    Return on which prompts features changed more, up or down.

    Parameters
    ----------
    table : DataFrame
        From `with_evidence`.
    metric : str
        The metric shown: it selects mean or frequency.

    Returns
    -------
    ndarray of shape (rows,), int8
        The sign of |chat − base| on target − |chat − base| on control: 1 target, −1 control, 0 as much on both, or
        nothing is known.
    """
    change, specific = (table[f"{quantity_of(metric)}_{contrast}"].to_numpy() for contrast in CONTRASTS)
    on_target, on_control = np.abs(change), np.abs(change - specific)
    found: NDArray[np.int8] = (on_target > on_control * (1 + _TIE)).astype(np.int8)
    found -= on_control > on_target * (1 + _TIE)
    return found


def changes_on_control(table: pd.DataFrame, metric: str) -> NDArray[np.bool_]:
    """Return which features changed more on control than on target prompts; see `changes_more_on`."""
    found: NDArray[np.bool_] = changes_more_on(table, metric) < 0
    return found


def is_among(column: pd.Series, names: Collection[str]) -> NDArray[np.bool_]:
    """Return which rows of a categorical column are one of these; a look at its codes is enough."""
    cells = pd.Categorical(column)
    found: NDArray[np.bool_] = np.array([*(name in names for name in cells.categories), False])[cells.codes]
    return found


def count_evidence(
    table: pd.DataFrame, max_q: float = ALPHA, question: Question = "exclusive", metric: str = "target_all_mean"
) -> pd.DataFrame:
    """
    Count kept and significant features.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table, from `with_evidence`.
    max_q : float
        The largest `question_q` that counts as significant.
    question, metric : str
        What the q is of.

    Returns
    -------
    DataFrame with a row per (token_type, exclusivity), also where there is no feature
        `kept` and `significant`, int.
    """
    names = ["token_type", "exclusivity"]
    columns = [table[name].cat for name in names]
    shape = tuple(len(column.categories) for column in columns)
    group = np.ravel_multi_index([column.codes for column in columns], shape)
    significant = group[question_q(table, question, metric) <= max_q]
    counts = [np.bincount(groups, minlength=shape[0] * shape[1]) for groups in (group, significant)]
    index = pd.MultiIndex.from_product([column.categories for column in columns], names=names)
    return pd.DataFrame({"kept": counts[0], "significant": counts[1]}, index=index)
