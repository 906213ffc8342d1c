"""The figure of a view, made once for all sessions that look at the same."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from featurediff.app.dashboard.groups import FeatureGroups, outline_groups
from featurediff.app.dashboard.kept import KEPT_KEYS, kept_features
from featurediff.app.dashboard.opened import KEYS, Opened
from featurediff.app.dashboard.picture import Picture
from featurediff.app.dashboard.room import Size
from featurediff.app.dashboard.shown import Shown, narrow
from featurediff.app.theme import hover_in_theme, in_theme
from featurediff.charts.chart import Chart, ScatterChart, VolcanoChart, make_chart
from featurediff.charts.crowd import MOST_POINTS, Crowd, catch, draw_crowd, find_crowd, say_crowd
from featurediff.charts.point_labels import FONT, Rectangle, place_labels
from featurediff.charts.points import EXPLAINED_POINTS, mark
from featurediff.charts.style import keep_apart
from featurediff.charts.texts import hover_texts
from featurediff.charts.view import View
from featurediff.features.evidence_columns import question_q
from featurediff.features.filters import Filters
from featurediff.labels import Labels

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.charts.plotly_json import Drawing

Labelled = tuple[tuple[str, int, str], ...]
"""(token_type, feature_id, text as Plotly shows it) of points that carry a label, the most important first."""

SELECTABLE = {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "hoverinfo": "skip", "showlegend": False}
"""A point that is nowhere: Plotly offers box and lasso only where it draws points."""

MARGINS = {"l": 58, "r": 34, "t": 32, "b": 46}
VOLCANO_MARGINS = MARGINS | {"l": 72, "b": 60}
"""Pixels round the plot; Plotly’s own buttons stand in the right one."""

LETTER = 6.3
"""Pixels of a letter of an axis’ name, on average."""

STANDOFF = 6
"""Pixels between the numbers of an axis and its name."""

SCROLLBAR = 14
"""Pixels that a ranking leaves for the scrollbar of its place."""


@dataclass(frozen=True)
class ChartState:
    """What the chart was drawn for, and how it began. A zoom made since then is known to the browser alone."""

    figure: int
    """Identifies everything that the figure shows."""

    axes: str
    """Identifies what its axes mean: a zoom is carried over only to the same ones."""

    zoom: tuple[float, float, float, float] | None
    """Left, right, lower and upper end in drawn units; None for the whole range."""

    marked: tuple[tuple[str, int], ...]
    """Features of a box that an earlier figure showed: this one dims the others."""

    box: dict[str, Any] | None
    """That box, where it fits the axes: this figure draws it again."""

    is_thinned: bool
    """Whether a density stands for some of the points: then a zoom needs another figure."""


@dataclass(frozen=True, eq=False)
class OnScreen:
    """What is on the screen."""

    opened: Opened
    """The source."""

    view: View
    """What the sidebar says."""

    shown: Shown
    """The rows."""

    chart: Chart
    """Where all kept features stand in the chart."""

    figure: Picture
    """The chart as it was sent."""


def placing(view: View) -> View:
    """Return the part of a view that tells where features stand."""
    return replace(view, filters=Filters(), labels=Labels())


def look(view: View) -> View:
    """Return the part of a view that a figure depends on, beside the rows that it shows."""
    return replace(view, filters=Filters())


@st.cache_resource(
    max_entries=16, show_spinner=False, hash_funcs=KEYS | {View: lambda view: repr(placing(view)), Size: repr}
)
def lay_out_chart(opened: Opened, view: View, size: Size) -> Chart:
    """Return where all kept features stand in a chart of a size; filters and labels do not count."""
    plot = plot_of(size, square=view.chart == "scatter")
    return make_chart(kept_features(opened, view), placing(view), opened.study.origin, _wrap_texts(opened, view), plot)


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEPT_KEYS)
def _wrap_texts(opened: Opened, view: View) -> NDArray[np.object_] | None:
    """Return the hover texts of all kept features; None where they are too many to be drawn with texts."""
    kept = kept_features(opened, view)
    return hover_texts(kept) if len(kept) <= EXPLAINED_POINTS else None


@st.cache_resource(
    max_entries=16,
    show_spinner=False,
    hash_funcs=KEYS | {View: lambda view: repr(look(view)), Shown: attrgetter("digest"), ChartState: repr, Size: repr},
)
def draw(
    opened: Opened,
    view: View,
    shown: Shown,
    state: ChartState,
    cleared: int,
    size: Size,
    labelled: Labelled,
    groups: FeatureGroups,
) -> Picture:
    """
    Return the chart of a view as it begins. Another number of `cleared` boxes makes the browser redraw it.

    Points that are `labelled` carry their text where it has room. The layout’s `meta` has that number,
    and left, right, lower and upper end of the whole axes.
    """
    chart, rows = lay_out_chart(opened, view, size), shown.drawn()
    ranked = view.chart == "ranking"
    crowd = find_crowd_of(chart, rows, view, state.zoom, size)
    drawing = chart.draw(rows if crowd is None else rows[crowd.alone], view, titled=False)
    if not ranked:
        drawing = leave_points(drawing)
    # Width and mode of clicks are what Streamlit would set; otherwise the browser redraws all points.
    layout = drawing["layout"] | {"width": size.width - SCROLLBAR * ranked, "clickmode": "none", "showlegend": False}
    margins = MARGINS if view.chart == "scatter" else VOLCANO_MARGINS
    if not ranked:
        layout |= {"height": size.height, "margin": margins, "dragmode": "select", "modebar": {"orientation": "v"}}
    if not ranked:  # turned ticks and wider margins would make the plot smaller than it is packed for
        width, height = plot_of(size, square=view.chart == "scatter")
        beside = min(margins["l"], size.width - margins["l"] - width)  # the name stands in the middle below the plot
        for axis, pixels, room in (("xaxis", width, width + 2 * beside), ("yaxis", height, height)):
            layout[axis] = keep_apart(name_axis(layout[axis], room), pixels, upright=axis == "yaxis")
    layout["meta"] = [cleared, *layout["xaxis"]["range"], *layout["yaxis"]["range"]]
    if crowd is not None and crowd.counts.any():
        drawing = drawing | {"data": [draw_crowd(crowd), *drawing["data"]]}
        layout["annotations"] = [*layout.get("annotations", ()), say_crowd(crowd, view.alpha)]
    if state.marked:
        mark(drawing, state.marked)
    if groups and not ranked:
        drawing = drawing | {"data": [*drawing["data"], *outline_groups(drawing, groups)]}
    if labelled:
        layout["annotations"] = [*layout.get("annotations", ()), *label_points(drawing, layout, labelled, size)]
    if state.box:
        layout["selections"] = [state.box]
    if state.zoom:
        layout["xaxis"] = layout["xaxis"] | {"range": state.zoom[:2]}
        layout["yaxis"] = layout["yaxis"] | {"range": state.zoom[2:]}
    return Picture({"data": hover_in_theme(drawing["data"]), "layout": in_theme(layout)})


def leave_points(drawing: Drawing) -> Drawing:
    """Return a drawing whose points Plotly knows, with what they say, but does not draw: `chart_points.js` does."""
    unseen = {"type": "scatter", "mode": "none"}
    traces = [trace | unseen if "customdata" in trace else trace for trace in drawing["data"]]
    return drawing | {"data": [*traces, SELECTABLE]}


def find_crowd_of(
    chart: Chart, rows: pd.DataFrame, view: View, zoom: tuple[float, float, float, float] | None, size: Size
) -> Crowd | None:
    """Return which rows are drawn as points, and the density of the others; None where all are points."""
    if not isinstance(chart, ScatterChart | VolcanoChart) or len(rows) <= MOST_POINTS:
        return None
    x, y = chart.stand(rows)
    q = question_q(rows, view.question, view.metric)
    plot = plot_of(size, square=isinstance(chart, ScatterChart))
    return find_crowd(x, y, q, view.alpha, zoom or chart.window, plot)


def plot_of(size: Size, *, square: bool) -> tuple[int, int]:
    """Return width and height of what the axes of a chart of points enclose, in pixels: a scatter’s are a square."""
    margins = MARGINS if square else VOLCANO_MARGINS
    width, height = size.width - margins["l"] - margins["r"], size.height - margins["t"] - margins["b"]
    return (min(width, height),) * 2 if square else (width, height)


def name_axis(axis: dict[str, Any], pixels: int) -> dict[str, Any]:
    """Return an axis whose name fits in so many pixels, and whose numbers leave the margins alone."""
    width = max(20, round(pixels / LETTER))
    lines = textwrap.wrap(axis["title"]["text"], width, break_long_words=False, break_on_hyphens=False)
    title = {"text": "<br>".join(lines), "standoff": STANDOFF, "font": {"size": 12}}
    return axis | {"tickangle": 0, "automargin": False, "title": title}


def catch_points(opened: Opened, view: View, box: dict[str, Any], size: Size) -> tuple[tuple[str, int], ...]:
    """Return (token_type, feature_id) of all features in a box or lasso, also of those that a density stands for."""
    chart = lay_out_chart(opened, view, size)
    if not isinstance(chart, ScatterChart | VolcanoChart):
        return ()
    rows = narrow(opened, view, (), (), only=False).drawn()
    caught = rows[catch(box, *chart.stand(rows))]
    return tuple(zip(caught["token_type"].tolist(), caught["feature_id"].tolist(), strict=True))


def label_points(drawing: Drawing, layout: dict[str, Any], labelled: Labelled, size: Size) -> list[dict[str, object]]:
    """Return the annotations that label points of a chart, the id alone where more has no room; see `point_labels`."""
    width, height = plot_of(size, square="scaleanchor" in layout["xaxis"])
    (x0, x1), (y0, y1) = (layout[axis]["range"] for axis in ("xaxis", "yaxis"))

    def on_screen(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.column_stack([(x - x0) / (x1 - x0) * width, (y1 - y) / (y1 - y0) * height])

    traces = [trace for trace in drawing["data"] if "customdata" in trace]
    wanted = {
        (token_type, feature_id): (rank, tuple(dict.fromkeys([words, str(feature_id)])))
        for rank, (token_type, feature_id, words) in enumerate(labelled)
    }
    found = []
    for trace in traces:
        ids = trace["customdata"][:, 0].astype(np.int64)
        for i in np.flatnonzero(np.isin(ids, [feature_id for _, feature_id, _ in labelled])):
            if (key := (trace["legendgroup"], int(ids[i]))) in wanted:
                found.append((*wanted[key], float(trace["x"][i]), float(trace["y"][i])))
    if not found:
        return []
    found.sort()
    _, words, x, y = zip(*found, strict=True)
    gutters = [
        Rectangle(
            *on_screen(np.array([shape["x0"]]), np.array([shape["y1"]]))[0].tolist(),
            *on_screen(np.array([shape["x1"]]), np.array([shape["y0"]]))[0].tolist(),
        )
        for shape in layout.get("shapes", ())
        if shape["type"] == "rect"
    ]
    all_points = np.vstack([on_screen(trace["x"], trace["y"]) for trace in traces])
    places = place_labels(
        on_screen(np.array(x), np.array(y)), words, Rectangle(0, 0, width, height), gutters, all_points
    )
    look = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": "gray", "font": {"size": FONT}}
    return [
        look | {"x": at_x, "y": at_y, "ax": place[0], "ay": place[1], "text": place[2], "standoff": 5}
        for at_x, at_y, place in zip(x, y, places, strict=True)
        if place
    ]
