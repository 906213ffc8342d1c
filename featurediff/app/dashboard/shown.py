"""What a view shows of the source: rows, counts and the table, made once for all sessions that look at the same."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import streamlit as st

from featurediff.app.dashboard.opened import KEEPING, KEYS, Opened, keep, what_is_kept
from featurediff.charts.points import cut
from featurediff.charts.view import View
from featurediff.features.evidence import ALPHA
from featurediff.features.evidence_columns import count_evidence
from featurediff.features.filters import is_one_of, passing
from featurediff.features.listing import order_by_evidence
from featurediff.features.questions import EFFECTS, effect_of
from featurediff.labels import EXCLUSIVITIES, SIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.study import Study

MOST_ROWS = 3_000
MOST_IDS = 1_000

_COUNTED = ["token_type", "exclusivity", "base_q", "chat_q", *(f"{effect}_q" for effect in EFFECTS)]
"""What counts need of the table: to take rows of all its columns would take longer than all else of a filter."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What a view leaves of the kept features, and what the page says of them."""

    kept: pd.DataFrame
    """The whole feature table."""

    passing: NDArray[np.intp]
    """Rows of `kept` that pass the filters: those in the chart."""

    digest: str
    """Hash of `passing`: equal rows give the same cached figure."""

    at: NDArray[np.intp]
    """Rows of `kept` that are also in the box and starred, where that is asked for: those in table and downloads."""

    counts: NDArray[np.int64]
    """Kept and significant features of the rows `at`; see `features.evidence_columns.count_evidence`."""

    ids: tuple[int, ...]
    """The first features of the table, at most `MOST_IDS`."""

    order: list[tuple[str, int]]
    """(token_type, feature_id) of the table's rows, evidence first, at most `MOST_ROWS`."""

    cells: pa.Table
    """The table as it is sent."""

    def rows(self) -> pd.DataFrame:
        """Return the rows of table and downloads."""
        return self._take(self.at)

    def drawn(self) -> pd.DataFrame:
        """Return the rows of the chart."""
        return self._take(self.passing)

    def find(self, feature_id: int) -> pd.DataFrame:
        """Return where a feature is in the chart: `token_type` and `feature_id` of its rows, which keep their index."""
        near = self.passing[self.kept["feature_id"].to_numpy()[self.passing] == feature_id]
        rows: pd.DataFrame = self.kept[["token_type", "feature_id"]].iloc[near]
        return rows

    def _take(self, at: NDArray[np.intp]) -> pd.DataFrame:
        return self.kept if len(at) == len(self.kept) else self.kept.iloc[at]


def _what_counts(view: View) -> str:
    """Identify the part of a view that rows and table depend on."""
    return repr((what_is_kept(view), view.filters, view.metric, view.labels))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEYS | {View: _what_counts})
def narrow(
    opened: Opened, view: View, subset: tuple[tuple[str, int], ...], stars: tuple[int, ...], *, only: bool
) -> Shown:
    """
    Return what a view shows.

    Parameters
    ----------
    opened, view : Opened, View
        The source and the view.
    subset : tuple of (token_type, feature_id)
        What a box holds; empty where there is no box.
    stars : tuple of int
        Features with a star, in ascending order.
    only : bool
        Whether to show starred features only.
    """
    kept = keep(opened, view)
    drawn = at = passing(kept, view.filters, view.metric, view.question)
    if subset:
        at = at[is_one_of(kept, subset)[at]]
    if only:
        at = at[kept["feature_id"].iloc[at].isin(stars)]
    max_q = ALPHA if view.filters.max_q is None else view.filters.max_q
    first = at[order_by_evidence(kept.iloc[at], view.metric, view.question, MOST_ROWS)]
    token_types, ids = (kept[name].iloc[first].tolist() for name in ("token_type", "feature_id"))
    return Shown(
        kept,
        drawn,
        blake2b(drawn.tobytes(), digest_size=16).hexdigest(),
        at,
        _count(kept[_COUNTED].iloc[at], max_q, view),
        tuple(dict.fromkeys(ids[:MOST_IDS])),
        list(zip(token_types, ids, strict=True)),
        _fill(_to_arrow(opened, view).take(first), opened.study, view, stars),
    )


def _count(rows: pd.DataFrame, max_q: float, view: View) -> NDArray[np.int64]:
    """Return kept and significant features, shape (token types, exclusivities, 2)."""
    counts = count_evidence(rows, max_q, view.question, view.metric)
    found: NDArray[np.int64] = counts.to_numpy().reshape(-1, len(EXCLUSIVITIES), 2)
    return found


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEEPING)
def _to_arrow(opened: Opened, view: View) -> pa.Table:
    """Return all kept features as a table is sent: taking rows from that is faster than turning rows into it."""
    kept = keep(opened, view)
    return pa.Table.from_pandas(kept, preserve_index=False, nthreads=1)  # starting threads would take longer


def _fill(rows: pa.Table, study: Study, view: View, stars: tuple[int, ...]) -> pa.Table:
    """Return rows of `_to_arrow` with the columns that are shown."""
    exclusivity = rows["exclusivity"].combine_chunks()
    names = [view.labels.short_category(name) for name in exclusivity.dictionary.to_pylist()]
    base, chat = (rows[f"{side}_{view.metric}"].to_numpy() for side in SIDES)
    cells = dict(zip(rows.column_names, rows.columns, strict=True)) | {
        "exclusivity": pa.DictionaryArray.from_arrays(exclusivity.indices, names),
        "star": pa.array(np.where(np.isin(rows["feature_id"], stars), "★", "")),
        "difference": pa.array(chat - base),
    }
    for name in ("base_q", "chat_q", f"{effect_of(view.question, view.metric)}_q"):
        cells[name] = pa.array(cut(rows[name].to_numpy(zero_copy_only=False)))
    return pa.table({name: cells[name] for name in _columns(view, study)})


def _columns(view: View, study: Study) -> list[str]:
    """Return the columns of the table on the screen, in their order."""
    page = ["neuronpedia_url"] if study.pages.template else []
    kind = ["explanation_type"] if study.explanations and len(study.explanations.types) > 1 else []
    metric, effect = view.metric, effect_of(view.question, view.metric)
    values = [f"{side}_{metric}" for side in SIDES]
    counts = [f"{side}_{prompts}_num_active" for side, prompts in study.origin.num_prompts]
    head = ["feature_id", "star", *page, "token_type", "exclusivity", "inconsistent", *values, "difference"]
    tail = [effect, f"{effect}_q", "explanation", "exclusive_positions", "base_q", "chat_q", *kind]
    return list(dict.fromkeys([*head, *tail, *counts]))
