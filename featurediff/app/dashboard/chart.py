"""The chart, and its ring and clicks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from featurediff import export
from featurediff.app.dashboard.cache import cache_key, draw, of_figure, placing
from featurediff.app.dashboard.counts import state
from featurediff.app.dashboard.session import on_box, on_picked, on_view, zoomed_to
from featurediff.app.dashboard.shown import Drawn, Opened
from featurediff.app.dashboard.sidebar import CHARTS
from featurediff.app.sources import STATIC
from featurediff.charts.view import heading

if TYPE_CHECKING:
    from featurediff.app.dashboard.picture import Picture
    from featurediff.app.dashboard.shown import Shown
    from featurediff.charts.chart import Chart
    from featurediff.charts.view import View

CHART_LINK = st.components.v2.component("featurediff_chart_link", js=(STATIC / "chart_link.js").read_text("utf-8"))

DETAIL_WIDTH = 560
"""Pixels: beside the chart in a window of 1,880 and more. One that stretches would get 150 of a laptop's window."""


def show_chart(chart: Chart, shown: Shown, opened: Opened, view: View) -> Picture:
    """Show the chart, zoomed as the one before; zoom and box do not redraw it."""
    axes = str(hash(cache_key(opened.key, view if view.chart == "ranking" else placing(view))))
    identity = hash(cache_key(opened.key, of_figure(view, shown), state["cleared"]))
    at = zoomed_to(axes)
    drawn: Drawn | None = state.get("drawn")
    if drawn is None or drawn.figure != identity:
        drawn = Drawn(identity, axes, at if drawn and drawn.axes == axes else None, state["subset"])
    elif drawn.zoom and not at:
        drawn = replace(drawn, zoom=None)
    state["drawn"] = drawn
    fig = draw(opened, view, drawn, state["cleared"], chart, shown)
    st.plotly_chart(
        fig,
        key="scatter",
        on_select=on_box,
        selection_mode=("box", "lasso"),
        config=export.PLOT_CONFIG,
        alt=f"{CHARTS[view.chart]}, {heading(view.metric, view.labels)}: {len(shown.passing)} features.",
    )
    return fig


def link_chart(fig: Picture, chart: Chart, shown: Shown, opened: Opened, view: View) -> None:
    """Show a ring round the picked feature, and be told of clicks and zoom; none of it redraws the chart."""
    ranked = view.chart == "ranking"
    picked = state["picked"]
    CHART_LINK(
        key="chart_link",
        data={
            "axes": state["drawn"].axes,
            "whole": fig.to_dict()["layout"]["meta"][1:],
            "begin": state["drawn"].zoom,
            "ring": chart.find(shown.drawn() if ranked else shown.find(picked[1]), picked) if picked else None,
            "page": opened.study.pages.template if state["open"] else None,
        },
        on_picked_change=on_picked,
        on_view_change=on_view,
        height=1,
    )
