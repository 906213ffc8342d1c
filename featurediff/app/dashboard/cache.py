"""What is read and drawn once: a server's caches, each keyed by what its result depends on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import streamlit as st

from featurediff.app.dashboard.picture import Picture
from featurediff.app.dashboard.shown import Drawn, Opened, Shown
from featurediff.charts.chart import make_chart
from featurediff.charts.points import EXPLAINED_POINTS, mark
from featurediff.charts.texts import hover_texts
from featurediff.charts.view import View
from featurediff.features.evidence import ALPHA, count_evidence
from featurediff.features.filters import Filters, is_one_of, largest, passing
from featurediff.features.table import Thresholds
from featurediff.labels import SIDES, Labels
from featurediff.meaning.explanations import Explanations, parse_explanations
from featurediff.sources.origin import Origin
from featurediff.sources.results import parse_results
from featurediff.sources.tree import Source
from featurediff.study import Study, assemble, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from featurediff.charts.chart import Chart
    from featurediff.sources.activations import Activations

CHART_WIDTH, CHART_HEIGHT = 840, 560
"""Pixels; a narrower window makes the chart narrower."""

MOST_ROWS = 3_000
MOST_IDS = 1_000


def cache_key(*parts: object) -> str:
    """
    Return what a cache goes by; Streamlit hashes a text in no time, and takes a dataclass apart.

    What is called at every rerun is called by keyword: of each other argument Streamlit looks up the name.
    """
    return repr(parts)


@st.cache_resource(max_entries=8, show_spinner=False)
def refer(key: str, template: str, preferred: str | None, _study: Study) -> Study:
    """
    Return a study with another page and another preferred type of explanation; `key` is that of its files.

    Its features are tested here, before the turn: files of activations may be large.
    """
    del key
    referring = _study.referring(template or None, preferred)
    _ = referring.evidence
    return referring


@st.cache_resource(max_entries=4, show_spinner="Reading the results…")
def read_study(identity: tuple[str, ...], _source: Source) -> Study:
    """Read a source; `identity` is that of its files, so that a replaced file is read again."""
    del identity
    return read(_source, _source.explanations)


@st.cache_resource(max_entries=2, ttl="2h", show_spinner="Reading the uploaded files…")
def parse_study(ids: tuple[str, ...], _files: Sequence[Any]) -> Study:
    """Check uploaded files; `ids` are the upload's own."""
    del ids
    base, chat, texts = _files
    results = parse_results(base.getvalue(), chat.getvalue(), base.name, chat.name)
    explanations: Explanations | None = None
    if texts:
        explanations = parse_explanations(texts.getvalue(), texts.name, results.num_features)
    return assemble(results, None, explanations)


def keep(opened: Opened, thresholds: Thresholds) -> pd.DataFrame:
    """Return the feature table."""
    return _keep(key=cache_key(opened.key, thresholds), _thresholds=thresholds, _study=opened.study)


@st.cache_resource(max_entries=8, show_spinner=False)
def _keep(key: str, _thresholds: Thresholds, _study: Study) -> pd.DataFrame:
    del key
    return _study.table(_thresholds)


@st.cache_resource(max_entries=32, show_spinner=False)
def list_prompts(key: str, feature_id: int, token_type: str, _study: Study) -> pd.DataFrame:
    """Return the prompts on which a feature is active; `_study` has activations."""
    del key
    return cast("Activations", _study.activations).of_feature(feature_id, token_type, _study.results)


@st.cache_resource(max_entries=8, show_spinner=False)
def find_notes(key: str, _study: Study) -> list[str]:
    """Return what is odd about the files."""
    del key
    return _study.notes()


def count_explained(opened: Opened, thresholds: Thresholds, kept: pd.DataFrame) -> tuple[int, int]:
    """Return how many kept features have an explanation, out of how many."""
    return _count_explained(key=cache_key(opened.key, thresholds), _kept=kept)


@st.cache_resource(max_entries=8, show_spinner=False)
def _count_explained(key: str, _kept: pd.DataFrame) -> tuple[int, int]:
    del key
    explained = _kept.drop_duplicates("feature_id")["explanation"]
    return int(explained.notna().sum()), len(explained)


def narrow(
    opened: Opened, view: View, kept: pd.DataFrame, subset: tuple[tuple[str, int], ...], stars: set[int], *, only: bool
) -> Shown:
    """
    Return what a view shows.

    Parameters
    ----------
    opened, view, kept : Opened, View, DataFrame
        The source, the view and the whole feature table.
    subset : tuple of (token_type, feature_id)
        What a box holds; empty where there is none.
    stars : set of int
        Features with a star.
    only : bool
        Whether only those are wanted.
    """
    of_view = (view.thresholds, view.filters, view.metric, view.labels)
    key = cache_key(opened.key, of_view, subset, sorted(stars), only)
    cells = partial(_to_arrow, key=cache_key(opened.key, view.thresholds), _kept=kept)
    return _narrow(
        key=key, _opened=opened, _view=view, _kept=kept, _cells=cells, _subset=subset, _stars=stars, _only=only
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _narrow(
    key: str,
    _opened: Opened,
    _view: View,
    _kept: pd.DataFrame,
    _cells: Callable[[], pa.Table],
    _subset: tuple[tuple[str, int], ...],
    _stars: set[int],
    _only: bool,
) -> Shown:
    del key
    drawn = at = passing(_kept, _view.filters, _view.metric)
    if _subset:
        at = at[is_one_of(_kept, _subset)[at]]
    if _only:
        at = at[_kept["feature_id"].iloc[at].isin(_stars)]
    max_q = ALPHA if _view.filters.max_q is None else _view.filters.max_q
    first = largest(_kept, _view.metric, at, MOST_ROWS)
    token_types, ids = (_kept[name].iloc[first].tolist() for name in ("token_type", "feature_id"))
    return Shown(
        _kept,
        drawn,
        blake2b(drawn.tobytes(), digest_size=16).hexdigest(),
        at,
        count_evidence(_kept[["token_type", "exclusivity", "base_q", "chat_q"]].iloc[at], max_q),
        tuple(dict.fromkeys(ids[:MOST_IDS])),
        list(zip(token_types, ids, strict=True)),
        _fill(_cells().take(first), _opened.study, _view, _stars),
    )


def table_columns(metric: str, study: Study) -> list[str]:
    """Return the columns of the table on the screen, in their order."""
    page = ["neuronpedia_url"] if study.pages.template else []
    kind = ["explanation_type"] if study.explanations and len(study.explanations.types) > 1 else []
    values = [f"{side}_{metric}" for side in SIDES]
    counts = [f"{side}_{prompts}_num_active" for side, prompts in study.origin.num_prompts]
    head = ["feature_id", "star", *page, "token_type", "exclusivity", "inconsistent", *values, "difference"]
    tail = ["explanation", "exclusive_positions", "base_q", "chat_q", "change_q", *kind]
    return list(dict.fromkeys([*head, *tail, *counts]))


@st.cache_resource(max_entries=8, show_spinner=False)
def _to_arrow(key: str, _kept: pd.DataFrame) -> pa.Table:
    """Return all kept features as a table is sent: to take rows from it is faster than to turn them into it."""
    del key
    return pa.Table.from_pandas(_kept, preserve_index=False, nthreads=1)  # to start threads takes longer


def _fill(rows: pa.Table, study: Study, view: View, stars: set[int]) -> pa.Table:
    """Return rows of `_to_arrow` with the columns that are shown."""
    named = {"both": "Both", "base": view.labels.base, "chat": view.labels.chat}
    exclusivity = rows["exclusivity"].combine_chunks()
    names = [named[name] for name in exclusivity.dictionary.to_pylist()]
    base, chat = (rows[f"{side}_{view.metric}"].to_numpy() for side in SIDES)
    cells = dict(zip(rows.column_names, rows.columns, strict=True)) | {
        "exclusivity": pa.DictionaryArray.from_arrays(exclusivity.indices, names),
        "star": pa.array(np.where(np.isin(rows["feature_id"], list(stars)), "★", "")),
        "difference": pa.array(chat - base),
    }
    return pa.table({name: cells[name] for name in table_columns(view.metric, study)})


@st.cache_resource(max_entries=16, show_spinner=False)
def wrap_texts(key: str, _kept: pd.DataFrame) -> NDArray[np.object_] | None:
    """Return the hover texts of all kept features, unless they are too many to be drawn."""
    del key
    return hover_texts(_kept) if len(_kept) <= EXPLAINED_POINTS else None


def lay_out_chart(opened: Opened, view: View, kept: pd.DataFrame) -> Chart:
    """Return where all kept features stand; filters and labels do not count."""
    view = placing(view)
    texts = partial(wrap_texts, key=cache_key(opened.key, view.thresholds), _kept=kept)
    return _lay_out_chart(
        key=cache_key(opened.key, view), _view=view, _kept=kept, _run=opened.study.origin, _texts=texts
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _lay_out_chart(
    key: str, _view: View, _kept: pd.DataFrame, _run: Origin, _texts: Callable[[], NDArray[np.object_] | None]
) -> Chart:
    del key
    return make_chart(_kept, _view, _run, _texts())


def placing(view: View) -> View:
    """Return the part of a view that tells where features stand."""
    return replace(view, filters=Filters(), labels=Labels())


def draw(opened: Opened, view: View, drawn: Drawn, cleared: int, chart: Chart, shown: Shown) -> Picture:
    """
    Return the chart of a view as it is to begin; another number of `cleared` boxes makes the browser draw anew.

    Its `meta` has that number, and left, right, lower and upper end of the whole axes.
    """
    key = cache_key(opened.key, of_figure(view, shown), drawn, cleared)
    return _draw(key=key, _view=view, _drawn=drawn, _cleared=cleared, _chart=chart, _shown=shown)


def of_figure(view: View, shown: Shown) -> tuple[object, ...]:
    """Return what a figure depends on beside its source."""
    return view.thresholds, shown.digest, replace(view, thresholds=Thresholds(), filters=Filters())


@st.cache_resource(max_entries=16, show_spinner=False)
def _draw(key: str, _view: View, _drawn: Drawn, _cleared: int, _chart: Chart, _shown: Shown) -> Picture:
    del key
    drawing = _chart.draw(_shown.drawn(), _view, titled=False)
    # Where width or mode of clicks were not what Streamlit sets, the browser would draw all points once more for it.
    layout = {"height": CHART_HEIGHT, **drawing["layout"], "width": CHART_WIDTH, "clickmode": "none"}
    layout["meta"] = [_cleared, *layout["xaxis"]["range"], *layout["yaxis"]["range"]]
    if _drawn.marked:
        mark(drawing, _drawn.marked)
    if _drawn.zoom:
        layout["xaxis"] = layout["xaxis"] | {"range": _drawn.zoom[:2]}
        layout["yaxis"] = layout["yaxis"] | {"range": _drawn.zoom[2:]}
    return Picture({"data": drawing["data"], "layout": layout})
