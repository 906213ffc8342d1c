"""What a pick changes: the only part of the page that runs when a feature is picked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.dashboard.chart import link_chart
from featurediff.app.dashboard.detail import show_feature
from featurediff.app.dashboard.downloads import show_no_downloads
from featurediff.app.dashboard.events import write_picked
from featurediff.app.dashboard.rows import MOST_ROWS, Rows, find_start, list_rows, list_steps
from featurediff.app.dashboard.share import show_share
from featurediff.app.dashboard.starring import stars_here
from featurediff.app.dashboard.table import UNEXPLAINED, say_unexplained, show_table
from featurediff.app.rerun_lock import turn
from featurediff.app.session import session
from featurediff.errors import DataError
from featurediff.sources.state import identify

if TYPE_CHECKING:
    from featurediff.app.dashboard.figure import OnScreen
    from featurediff.app.dashboard.opened import Opened
    from featurediff.app.dashboard.places import Places
    from featurediff.app.dashboard.room import Room
    from featurediff.charts.view import View

DETAILS = (
    "Here stands what a feature means, how sure its change is, and on which prompts it is active: click a point, or a "
    "row of the table. Draw a box on the chart to narrow the table to the points inside."
)
"""What stands in the place of the details while no feature is picked."""


def show_nothing(places: Places, opened: Opened, view: View, room: Room) -> None:
    """Say beside a chart that shows nothing what will stand in the other places; a picked feature keeps its details."""
    picked = session().picked
    with places.table:
        st.caption("Here stand the features that the chart shows, with their change, q and explanation.")
    with places.files:
        show_no_downloads()
    with places.share:
        show_share([], 0, opened.study, view)
    with places.details:
        if picked:
            show_feature(picked, [], opened, view, room)
        else:
            st.caption(DETAILS)


@st.fragment
@turn()
def follow_pick(places: Places, screen: OnScreen, room: Room) -> None:
    """
    Show what a pick or a sort changes: the ring, the table, the details, and the link to the view.

    When a feature is picked nothing else runs, unless the source’s files are no longer those that are shown.
    """
    opened, view, shown = screen.opened, screen.view, screen.shown
    if have_changed(opened):
        st.rerun()
    write_picked()
    here = session()
    rows, steps = list_around(screen)
    with places.link:
        link_chart(screen)
    with places.table:
        is_explained = opened.study.explanations is not None
        if not is_explained:
            say_unexplained(opened.study)
        show_table(rows, view, room.table if is_explained else room.table.less(UNEXPLAINED))
    with places.details:
        if here.picked:
            show_feature(here.picked, steps, opened, view, room)
        else:
            st.caption(DETAILS)
    with places.share:
        show_share(rows.ids, len(shown.at), opened.study, view)


def list_around(screen: OnScreen) -> tuple[Rows, list[tuple[str, int]]]:
    """Return the table's rows, and what “previous” and “next” go through: the rows round the picked feature."""
    here, stars = session(), tuple(sorted(stars_here()))
    asked = screen.opened, screen.view, screen.shown, stars, here.sort
    here.start = here.start if here.start < len(screen.shown.at) else 0
    rows = list_rows(*asked, here.start)
    if not here.picked or here.picked in rows.order or len(screen.shown.at) <= MOST_ROWS:
        return rows, rows.steps
    start = find_start(*asked, here.picked)
    if not here.seek:
        return rows, list_steps(*asked, start)
    here.start, rows = start, list_rows(*asked, start)
    return rows, rows.steps


def have_changed(opened: Opened) -> bool:
    """Whether a source’s files are no longer those that are shown; uploads stay as they are."""
    source = opened.study.source
    try:
        return source is not None and identify(source) != opened.files
    except DataError:
        return True
