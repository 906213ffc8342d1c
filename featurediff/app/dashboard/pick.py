"""What a pick changes: the only part of the page that runs when a feature is picked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.dashboard.chart import link_chart
from featurediff.app.dashboard.detail import show_feature
from featurediff.app.dashboard.downloads import show_share
from featurediff.app.dashboard.table import show_table
from featurediff.app.rerun_lock import turn
from featurediff.app.url import write_url
from featurediff.errors import DataError
from featurediff.sources.tree import identify

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from featurediff.app.dashboard.picture import Picture
    from featurediff.app.dashboard.shown import Opened, Shown
    from featurediff.charts.chart import Chart
    from featurediff.charts.view import View
    from featurediff.sources.tree import Source

state = st.session_state


@st.fragment
@turn()
def follow_pick(
    beside: tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator],
    source: Source | None,
    opened: Opened,
    view: View,
    shown: Shown,
    chart: Chart,
    fig: Picture,
) -> None:
    """
    Show what a pick changes: ring, details, link to the view, and the table, where it is.

    A pick runs nothing but this, unless the source’s files are no longer those that are shown.
    """
    if has_changed(opened, source):
        st.rerun()
    write_picked()
    ring, details, share = beside
    with ring:
        link_chart(fig, chart, shown, opened, view)
    with details:
        if state["picked"]:
            show_feature(state["picked"], shown.order, opened, view.labels)
        else:
            st.caption(
                "Click a point or a table row to see what a feature is. Draw a box or a lasso to narrow the table."
            )
    with share:
        show_share(shown, opened.study, view)
    show_table(shown, opened, view)


def has_changed(opened: Opened, source: Source | None) -> bool:
    """Whether a source’s files are no longer those that are shown; uploads stay as they are."""
    try:
        return source is not None and identify(source) != opened.files
    except DataError:
        return True


def write_picked() -> None:
    """Put the picked feature into the URL."""
    write_url("feature", ["{1}@{0}".format(*state["picked"])] if state["picked"] else [])
