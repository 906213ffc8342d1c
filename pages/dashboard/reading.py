"""What is read and drawn once: a server's caches, each keyed by what its result depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import streamlit as st

from featurediff.charts import make_chart
from featurediff.diff import Filters, Thresholds
from featurediff.explanations import Explanations, parse_explanations, read_explanations
from featurediff.figures import Run, mark
from featurediff.labels import Labels
from featurediff.points import EXPLAINED_POINTS, hover_texts
from featurediff.results import parse_results, read_results
from featurediff.sources import Source
from featurediff.study import Study, assemble
from featurediff.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from featurediff.activations import Activations
    from featurediff.charts import Chart
    from featurediff.points import Texts

CHART_HEIGHT = 560


@dataclass(frozen=True, eq=False)
class Opened:
    """The source that is shown."""

    name: str
    """Beside stars: as in the URL, and of uploads what tells them from others."""

    key: tuple[str, ...]
    """Identifies its files, its pages and the explanations preferred: what caches go by."""

    study: Study
    """What was read."""


@dataclass(frozen=True)
class Drawn:
    """What the chart was drawn for, and how it began; a box or zoom made since then is in the browser alone."""

    figure: int
    """Identifies everything that the figure shows."""

    axes: str
    """Identifies what its axes mean: a zoom is carried over only to the same ones."""

    zoom: tuple[float, float, float, float] | None
    """Left, right, lower and upper end in drawn units; None for the whole range."""

    marked: tuple[tuple[str, int], ...]
    """Features of a box that an earlier figure showed: this one dims the others."""


@st.cache_resource(max_entries=8, show_spinner=False)
def refer(key: tuple[str, ...], template: str, preferred: str | None, _study: Study) -> Study:
    """Return a study with another page and another preferred type of explanation; `key` is that of its files."""
    del key
    return _study.referring(template or None, preferred)


@st.cache_resource(max_entries=4, show_spinner="Reading the results…")
def read_study(identity: tuple[str, ...], _source: Source) -> Study:
    """Read a source; `identity` is that of its files, so that a replaced file is read again."""
    del identity
    results = read_results(_source.folder)
    file = _source.explanations
    return assemble(results, _source, read_explanations(file, results.num_features) if file else None)


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


@st.cache_resource(max_entries=8, show_spinner=False)
def keep(key: tuple[str, ...], thresholds: Thresholds, _study: Study) -> pd.DataFrame:
    """Return the feature table; `key` is that of the files and of the pages."""
    del key
    return _study.table(thresholds)


@st.cache_resource(max_entries=32, show_spinner=False)
def list_prompts(key: tuple[str, ...], feature_id: int, token_type: str, _study: Study) -> pd.DataFrame:
    """Return the prompts on which a feature is active; `_study` has activations."""
    del key
    return cast("Activations", _study.activations).of_feature(feature_id, token_type, _study.results)


@st.cache_resource(max_entries=8, show_spinner=False)
def find_notes(key: tuple[str, ...], _study: Study) -> list[str]:
    """Return what is odd about the files."""
    del key
    return _study.notes()


@st.cache_resource(max_entries=16, show_spinner=False)
def wrap_texts(key: tuple[str, ...], thresholds: Thresholds, _kept: pd.DataFrame) -> Texts | None:
    """Return the hover texts of all kept features, unless they are too many to be drawn."""
    del key, thresholds
    return hover_texts(_kept) if len(_kept) <= EXPLAINED_POINTS else None


@st.cache_resource(max_entries=16, show_spinner=False)
def place(key: tuple[str, ...], view: View, _kept: pd.DataFrame, _run: Run) -> Chart:
    """Return where all kept features stand; the view is one without filters and labels."""
    return make_chart(_kept, view, _run, wrap_texts(key, view.thresholds, _kept))


def placing(view: View) -> View:
    """Return the part of a view that tells where features stand."""
    return replace(view, filters=Filters(), labels=Labels())


@st.cache_resource(max_entries=16, show_spinner=False)
def draw(key: tuple[str, ...], view: View, drawn: Drawn, cleared: int, _chart: Chart, _rows: pd.DataFrame) -> go.Figure:
    """
    Return the chart of a view as it is to begin; another number of `cleared` boxes makes the browser draw anew.

    Its `meta` has that number, and left, right, lower and upper end of the whole axes.
    """
    del key
    fig = _chart.draw(_rows, view, titled=False)
    whole = [cleared, *fig.layout.xaxis.range, *fig.layout.yaxis.range]
    fig.update_layout(height=fig.layout.height or CHART_HEIGHT, meta=whole)
    if drawn.marked:
        mark(fig, drawn.marked)
    if drawn.zoom:
        fig.update_xaxes(range=drawn.zoom[:2])
        fig.update_yaxes(range=drawn.zoom[2:])
    return fig
