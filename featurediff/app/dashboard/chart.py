"""The chart, and its ring and clicks."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from featurediff import export
from featurediff.app.dashboard.chart_options import CHARTS
from featurediff.app.dashboard.events import on_box, on_cleared, on_picked, on_table_drawn, on_view, zoomed_to
from featurediff.app.dashboard.figure import (
    ChartState,
    Labelled,
    OnScreen,
    catch_points,
    draw,
    lay_out_chart,
    look,
    placing,
)
from featurediff.app.dashboard.opened import Opened
from featurediff.app.dashboard.room import Size
from featurediff.app.dashboard.shown import Shown
from featurediff.app.dashboard.starring import stars_here
from featurediff.app.session import CHART_LINK, LABELLED, OPEN_ON_CLICK, SCATTER, session
from featurediff.app.sources import STATIC
from featurediff.charts.chart import RankingChart
from featurediff.charts.crowd import MOST_POINTS
from featurediff.charts.ranking import row_places
from featurediff.charts.style import MINUS_SIGNS
from featurediff.charts.texts import shorten
from featurediff.charts.view import View, heading
from featurediff.features.listing import order_by_evidence

MOST_LABELLED = 5
"""Labels of the strongest evidence."""

MOST_CHOSEN = 30
"""Labels of starred or pasted features; more would not find room."""

WORDS = 22
"""Characters of an explanation in a label."""

LINK = st.components.v2.component(
    "featurediff_chart_link",
    js=MINUS_SIGNS + "".join((STATIC / name).read_text("utf-8") for name in ("chart_points.js", "chart_link.js")),
)


def show_chart(opened: Opened, view: View, shown: Shown, size: Size) -> OnScreen:
    """Show the chart, zoomed as the one before; zoom and box do not redraw it."""
    here = session()
    labelled = choose_labelled(shown, view, st.session_state[LABELLED])
    here.chart = _state(opened, view, shown, size, labelled)
    figure = draw(opened, view, shown, here.chart, here.cleared, size, labelled, here.groups)
    st.plotly_chart(
        figure,
        key=SCATTER,
        on_select=on_box,
        selection_mode=("box", "lasso"),
        config=export.PLOT_CONFIG,
        alt=f"{CHARTS[view.chart]}, {heading(view.question, view.labels)}: {len(shown.passing)} features.",
    )
    return OnScreen(opened, view, shown, lay_out_chart(opened, view, size), figure)


def take_box(opened: Opened, view: View, size: Size) -> None:
    """See which features a new box or lasso holds; one that holds none is taken away."""
    here = session()
    if here.box and not here.is_caught:
        here.subset, here.is_caught = catch_points(opened, view, here.box, size), True
        if not here.subset:
            here.cleared += 1
            here.box = None


def leave_box(opened: Opened, view: View, size: Size) -> None:
    """Forget where a box stood on other axes; the features that it caught still count."""
    here = session()
    if here.chart and here.chart.axes != _axes(opened, view, size):
        here.box = None


def _axes(opened: Opened, view: View, size: Size) -> str:
    """Identify what a chart's axes mean."""
    ranked = view.chart == "ranking"  # whose rows are its vertical axis
    return str(hash((opened.key, repr(view if ranked else placing(view)), size)))


def _state(opened: Opened, view: View, shown: Shown, size: Size, labelled: Labelled) -> ChartState:
    """Return what the chart is drawn for: as before where the figure is the same, else with zoom and box of now."""
    here = session()
    axes = _axes(opened, view, size)
    figure = hash((opened.key, repr(look(view)), shown.digest, here.cleared, size, labelled, here.groups))
    zoom, before = zoomed_to(axes), here.chart
    is_thinned = view.chart != "ranking" and len(shown.passing) > MOST_POINTS
    if before is None or before.figure != figure:
        if before is None or before.axes != axes:
            zoom = None  # it was of other axes
        return ChartState(figure, axes, zoom, here.subset, here.box, is_thinned)
    if is_thinned and zoom != before.zoom:
        return replace(before, zoom=zoom, box=here.box)
    return replace(before, zoom=None) if before.zoom and not zoom else before


def choose_labelled(shown: Shown, view: View, which: str) -> Labelled:
    """
    Return which points of the chart carry a label, and what it says.

    Parameters
    ----------
    shown : Shown
        What is drawn.
    view : View
        Its question and metric say what the strongest evidence is.
    which : {"top", "starred", "ids", "none"}
        The first `MOST_LABELLED` of the table; those starred; those whose ids are pasted.
    """
    if view.chart == "ranking" or which == "none":
        return ()
    rows = shown.drawn()
    if which != "top":
        wanted = stars_here() if which == "starred" else view.filters.ids
        rows = rows[rows["feature_id"].isin(list(wanted))]
    most = MOST_LABELLED if which == "top" else MOST_CHOSEN
    first = rows.iloc[order_by_evidence(rows, view.asked, most)]
    words = shorten(first["explanation"], WORDS)
    return tuple(
        (token_type, feature_id, f"{feature_id} {said}" if known else str(feature_id))
        for token_type, feature_id, said, known in zip(
            first["token_type"].tolist(), first["feature_id"].tolist(), words, first["explanation"].notna(), strict=True
        )
    )


def link_chart(screen: OnScreen) -> None:
    """Show a ring round the picked feature, and be told of clicks and zoom; none of it redraws the chart."""
    here, shown = session(), screen.shown
    ring = None
    if here.picked:
        rows = shown.drawn() if screen.view.chart == "ranking" else shown.find(here.picked[1])
        ring = screen.chart.find(rows, here.picked)
    LINK(
        key=CHART_LINK,
        data={
            "axes": here.chart and here.chart.axes,
            "whole": screen.figure.to_dict()["layout"]["meta"][1:],
            "begin": here.chart and here.chart.zoom,
            "ring": ring,
            "page": screen.opened.study.pages.template if st.session_state[OPEN_ON_CLICK] else None,
            "rows": _rows_of(screen),
            "awaited": here.picked is not None and not here.has_table,
        },
        on_picked_change=on_picked,
        on_cleared_change=on_cleared,
        on_view_change=on_view,
        on_table_change=on_table_drawn,
        height=1,
    )


def _rows_of(screen: OnScreen) -> list[tuple[float, str, int]] | None:
    """Return where each row of a ranking stands, with its (token_type, feature_id); None for other charts."""
    if not isinstance(screen.chart, RankingChart):
        return None
    ranked = screen.chart.ranked(screen.shown.drawn())
    places, types, ids = row_places(ranked), ranked["token_type"].tolist(), ranked["feature_id"].tolist()
    return list(zip(places.tolist(), types, ids, strict=True))
