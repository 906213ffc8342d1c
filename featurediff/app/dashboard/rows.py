"""The rows of the table that are sent to the browser: which features, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from featurediff.app.dashboard.cells import fill_cells
from featurediff.app.dashboard.opened import KEYS, Opened
from featurediff.app.dashboard.shown import Shown
from featurediff.app.dashboard.sorting import Sort, sort_rows
from featurediff.charts.view import View
from featurediff.features.listing import list_features, order_by_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray


MOST_ROWS = 1_000
"""Rows that are sent to the browser: the first, or those round the picked feature."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The table."""

    order: list[tuple[str, int]]
    """(token_type, feature_id) of each row."""

    cells: pd.DataFrame
    """What the rows show, a column each, in the order of the screen."""

    around: tuple[list[tuple[str, int]], list[tuple[str, int]]] = ([], [])
    """The row before the first one and the row after the last one, where the table has more than is sent."""

    @property
    def steps(self) -> list[tuple[str, int]]:
        """What “previous” and “next” go through: the rows, and those just outside."""
        before, after = self.around
        return [*before, *self.order, *after]

    @property
    def ids(self) -> list[int]:
        """The features, each once."""
        return list(dict.fromkeys(feature_id for _, feature_id in self.order))


def _what_cells_say(view: View) -> str:
    """Identify the part of a view that order and cells depend on, beside which rows there are."""
    return repr((view.metric, view.labels, view.question, view.by))


LISTING = KEYS | {View: _what_cells_say, Shown: attrgetter("digest_at"), Sort: repr}
"""What caches of rows go by."""


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=LISTING)
def list_rows(
    opened: Opened, view: View, shown: Shown, stars: tuple[int, ...], sort: Sort | None, start: int = 0
) -> Rows:
    """
    Return the table's rows: up to `MOST_ROWS`.

    Parameters
    ----------
    opened, view, shown : Opened, View, Shown
        The source, the view, and what it leaves of the kept features.
    stars : tuple of int
        Features with a star, in ascending order.
    sort : Sort or None
        The order; None for evidence first, see `listing.order_by_evidence`.
    start : int
        How many rows stand before the first one.
    """
    listed = _list(shown, view)
    if sort is None and not start:
        order = order_by_evidence(listed, view.asked, MOST_ROWS + 1)
    else:
        order = _order_all(opened, view, shown, stars, sort)
    end = start + MOST_ROWS
    rows = listed.iloc[order[start:end]]
    names = listed[["token_type", "feature_id"]]  # a row of all columns takes longer
    before, after = (
        _keys_of(names.iloc[order[part]]) for part in (slice(max(start - 1, 0), start), slice(end, end + 1))
    )
    return Rows(_keys_of(rows), fill_cells(rows, view, opened.study.origin, stars), (before, after))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=LISTING)
def find_start(
    opened: Opened, view: View, shown: Shown, stars: tuple[int, ...], sort: Sort | None, picked: tuple[str, int]
) -> int:
    """Return the `start` with which `list_rows` has a feature's row; 0 where the table does not have it."""
    order, names = _order_all(opened, view, shown, stars, sort), _name_rows(shown, view)
    near = np.flatnonzero(names["feature_id"].to_numpy()[order] == picked[1])
    places = [
        place for place, key in zip(near.tolist(), _keys_of(names.iloc[order[near]]), strict=True) if key == picked
    ]
    return places[0] // MOST_ROWS * MOST_ROWS if places else 0


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=LISTING)
def list_steps(
    opened: Opened, view: View, shown: Shown, stars: tuple[int, ...], sort: Sort | None, start: int
) -> list[tuple[str, int]]:
    """Return the `steps` of `list_rows`, without what its rows show."""
    order = _order_all(opened, view, shown, stars, sort)
    return _keys_of(_name_rows(shown, view).iloc[order[max(start - 1, 0) : start + MOST_ROWS + 1]])


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=LISTING)
def _order_all(opened: Opened, view: View, shown: Shown, stars: tuple[int, ...], sort: Sort | None) -> NDArray[np.intp]:
    """Return the order of all rows of the table, by number."""
    listed = _list(shown, view)
    if sort is None:
        return order_by_evidence(listed, view.asked)
    return sort_rows(listed, view, opened.study.origin, stars, sort)


def _list(shown: Shown, view: View) -> pd.DataFrame:
    """Return what the table lists, in no order yet."""
    listed = shown.rows()
    return list_features(listed, view.asked, view.by) if view.by == "feature" else listed


def _name_rows(shown: Shown, view: View) -> pd.DataFrame:
    """Return `_list` with the columns that name a row: copying some sixty columns of each takes longer than this."""
    if view.by == "feature":
        return _list(shown, view)
    names: pd.DataFrame = shown.kept[["token_type", "feature_id"]].iloc[shown.at]
    return names


def _keys_of(rows: pd.DataFrame) -> list[tuple[str, int]]:
    return list(zip(rows["token_type"].tolist(), rows["feature_id"].tolist(), strict=True))
