"""What a pick changes: the only part of the page that runs when a feature is picked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.dashboard.chart import link_chart
from featurediff.app.dashboard.detail import show_feature
from featurediff.app.dashboard.events import write_picked
from featurediff.app.dashboard.share import show_share
from featurediff.app.dashboard.table import show_table
from featurediff.app.session import session
from featurediff.errors import DataError
from featurediff.sources.tree import identify

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from featurediff.app.dashboard.figure import OnScreen
    from featurediff.app.dashboard.opened import Opened


@st.fragment
def follow_pick(beside: tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator], screen: OnScreen) -> None:
    """
    Show what a pick changes: the ring, the details, the link to the view, and the table.

    When a feature is picked nothing else runs, unless the source’s files are no longer those that are shown.

    Parameters
    ----------
    beside : tuple of three containers
        Where the ring is mounted, where the details go, and where the link goes. The table goes below.
    screen : OnScreen
        What is on the screen.
    """
    opened, view, shown = screen.opened, screen.view, screen.shown
    if have_changed(opened):
        st.rerun()
    write_picked()
    ring, details, share = beside
    with ring:
        link_chart(screen)
    with details:
        if picked := session().picked:
            show_feature(picked, shown.order, opened, view.labels)
        else:
            st.caption(
                "Click a point or a table row to see what a feature is. Draw a box or a lasso to narrow the table."
            )
    with share:
        show_share(shown, opened.study, view)
    show_table(shown, opened, view)


def have_changed(opened: Opened) -> bool:
    """Whether a source’s files are no longer those that are shown; uploads stay as they are."""
    source = opened.study.source
    try:
        return source is not None and identify(source) != opened.files
    except DataError:
        return True
