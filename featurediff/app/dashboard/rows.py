"""The rows of the table: which features, in which order, and what their cells say."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from featurediff.app.dashboard.opened import KEYS, Opened
from featurediff.app.dashboard.shown import Shown
from featurediff.charts.view import View
from featurediff.features.evidence_columns import goes_against, question_q
from featurediff.features.listing import list_features, order_by_evidence
from featurediff.features.questions import effect_of
from featurediff.features.sae_fit import share_in_words
from featurediff.labels import PROMPTS, SIDES
from featurediff.wording import decimals_for, in_column, p_text, visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.labels import Prompts
    from featurediff.sources.origin import Origin

MOST_ROWS = 1_000
"""Rows that are sent to the browser: the first, or those round the picked feature."""

CARRIES = "carries"
"""The column with each feature's share of what differs between the models, where a file says so."""

RISING = ("feature_id", "token_type", "q", "base_q", "chat_q", "explanation", "explanation_type", "exclusivity")
"""Columns whose smallest value comes first at the first click on their header; of others it is the largest."""


@dataclass(frozen=True)
class Sort:
    """What the table is sorted by."""

    column: str
    """A column of the table, as in `Rows.cells`."""

    falling: bool
    """Whether the largest comes first."""

    @classmethod
    def by(cls, column: str, before: Sort | None) -> Sort:
        """Return the order after a click on a column's header: the other way round where it was sorted by that."""
        falling = not before.falling if before and before.column == column else column not in RISING
        return cls(column, falling)


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
    before, after = (
        _keys_of(listed.iloc[order[part]]) for part in (slice(max(start - 1, 0), start), slice(end, end + 1))
    )
    return Rows(_keys_of(rows), _fill(rows, view, opened.study.origin, stars), (before, after))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=LISTING)
def find_start(
    opened: Opened, view: View, shown: Shown, stars: tuple[int, ...], sort: Sort | None, picked: tuple[str, int]
) -> int:
    """Return the `start` with which `list_rows` has a feature's row; 0 where the table does not have it."""
    order = _order_all(opened, view, shown, stars, sort)
    listed = _list(shown, view)
    near = np.flatnonzero(listed["feature_id"].to_numpy()[order] == picked[1])
    places = [
        place for place, key in zip(near.tolist(), _keys_of(listed.iloc[order[near]]), strict=True) if key == picked
    ]
    return places[0] // MOST_ROWS * MOST_ROWS if places else 0


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=LISTING)
def _order_all(opened: Opened, view: View, shown: Shown, stars: tuple[int, ...], sort: Sort | None) -> NDArray[np.intp]:
    """Return the order of all rows of the table, by number."""
    listed = _list(shown, view)
    if sort is None:
        return order_by_evidence(listed, view.asked)
    return _order(listed, view, opened.study.origin, stars, sort)


def _list(shown: Shown, view: View) -> pd.DataFrame:
    """Return what the table lists, in no order yet."""
    listed = shown.rows()
    return list_features(listed, view.asked, view.by) if view.by == "feature" else listed


def _keys_of(rows: pd.DataFrame) -> list[tuple[str, int]]:
    return list(zip(rows["token_type"].tolist(), rows["feature_id"].tolist(), strict=True))


def can_sort(sort: Sort | None, shown: Shown, view: View) -> bool:
    """Whether the table has the column that it is to be sorted by: another source or metric may lack it."""
    columns = {
        "feature_id",
        "mark",
        "token_type",
        "effect",
        "q",
        "explanation",
        "share",
        "control_share",
        "exclusivity",
    }
    columns |= {f"base_{view.metric}", f"chat_{view.metric}", "difference", "base_q", "chat_q", "exclusive_positions"}
    columns |= {"explanation_type"} & set(shown.kept) | ({CARRIES} if "share" in shown.kept else set())
    return sort is None or sort.column in columns


def _order(rows: pd.DataFrame, view: View, origin: Origin, stars: tuple[int, ...], sort: Sort) -> NDArray[np.intp]:
    """Return the order of rows, by number; ties keep their order, and what is missing comes last."""
    values = _values(rows, view, origin, stars, sort.column)
    found: NDArray[np.intp] = (
        pd.Series(values).reset_index(drop=True).sort_values(ascending=not sort.falling, kind="stable").index.to_numpy()
    )
    return found


def _values(
    rows: pd.DataFrame, view: View, origin: Origin, stars: tuple[int, ...], column: str
) -> pd.Series | NDArray[np.generic]:
    """Return what a column is sorted by."""
    if column == "effect":
        return rows[effect_of(view.question, view.metric)]
    if column == "q":
        return question_q(rows, view.question, view.metric)
    if column == "mark":
        return np.isin(rows["feature_id"], stars)
    if column in ("share", "control_share"):
        prompts: Prompts = "target" if column == "share" else "control"
        base, chat = (rows[f"{side}_{prompts}_num_active"] / origin.num_prompts[side, prompts] for side in SIDES)
        return chat - base
    if column == CARRIES:
        return rows["share"]
    if column == "difference":
        return rows[f"chat_{view.metric}"] - rows[f"base_{view.metric}"]
    return rows[column]


def _fill(rows: pd.DataFrame, view: View, origin: Origin, stars: tuple[int, ...]) -> pd.DataFrame:
    """Return the cells of rows."""
    metric = view.metric
    base, chat = (rows[f"{side}_{metric}"].to_numpy(np.float64) for side in SIDES)
    decimals = decimals_for([*base.tolist(), *chat.tolist()])
    shares = {
        which: [
            " → ".join(f"{count}/{origin.num_prompts[side, which]}" for side, count in zip(SIDES, pair, strict=True))
            for pair in zip(*(rows[f"{side}_{which}_num_active"].tolist() for side in SIDES), strict=True)
        ]
        for which in PROMPTS
    }
    cells: dict[str, object] = {
        "feature_id": rows["feature_id"],
        "mark": np.where(np.isin(rows["feature_id"], stars), "★", ""),
        "token_type": _positions(rows),
        "effect": _effects(rows, effect_of(view.question, metric)),
        "q": [p_text(q) if np.isfinite(q) else "–" for q in question_q(rows, view.question, metric).tolist()],
        "explanation": rows["explanation"].fillna(""),
        "neuronpedia_url": rows["neuronpedia_url"],
        "share": shares["target"],
        "control_share": shares["control"],
        "exclusivity": _classes(rows, view),
        f"base_{metric}": in_column(base.tolist(), decimals),
        f"chat_{metric}": in_column(chat.tolist(), decimals),
        "difference": in_column((chat - base).tolist(), decimals, sign=True),
        "base_q": [p_text(q) for q in rows["base_q"].tolist()],
        "chat_q": [p_text(q) for q in rows["chat_q"].tolist()],
        "exclusive_positions": rows["exclusive_positions"],
    }
    if "share" in rows:
        cells[CARRIES] = [share_in_words(share) for share in rows["share"].tolist()]
    if "explanation_type" in rows:
        cells["explanation_type"] = rows["explanation_type"].fillna("")
    if rows["neuronpedia_url"].isna().all():
        del cells["neuronpedia_url"]
    return pd.DataFrame(cells).reset_index(drop=True)


def _positions(rows: pd.DataFrame) -> pd.Series:
    """Write positions; where a feature is listed once, the other ones after its best."""
    names = {name: visible(name) for name in rows["token_type"].cat.categories}
    written = rows["token_type"].astype("str").map(names)
    if "other_positions" not in rows:
        return written
    others = rows["other_positions"].fillna("").str.split(";")
    return written + [f" ({', '.join(map(visible, found))})" if found != [""] else "" for found in others]


def _effects(rows: pd.DataFrame, effect: str) -> list[str]:
    """Write effects with their intervals; frequencies in percentage points."""
    factor = 100 if effect.startswith("sparsity") else 1
    columns = [factor * rows[f"{effect}{ending}"].to_numpy() for ending in ("", "_low", "_high")]
    decimals = decimals_for(columns[0].tolist())
    value, low, high = (in_column(column.tolist(), decimals, sign=True) for column in columns)
    return [
        v + (f" ({lo} to {hi})" if np.isfinite(end) else "")
        for v, lo, hi, end in zip(value, low, high, columns[1].tolist(), strict=True)
    ]


def _classes(rows: pd.DataFrame, view: View) -> list[str]:
    """Name the models in which features are exclusive, with a word where other prompts or the change contradict it."""
    change = np.sign(rows[effect_of("exclusive", view.metric)].to_numpy())
    against = goes_against(rows, view.metric)
    words = np.select(
        [against & (change == way) for way in (1, 0, -1)], [", but rises", ", but stays", ", but falls"], ""
    )
    return [
        view.labels.short_category(name) + (", inconsistent" if inconsistent else "") + word
        for name, inconsistent, word in zip(
            rows["exclusivity"].tolist(), rows["inconsistent"].tolist(), words.tolist(), strict=True
        )
    ]
