"""The places of the screen, which stay where they are whatever is shown in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import streamlit as st

from featurediff.app.dashboard.room import ONE_ROW

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from featurediff.app.dashboard.room import Room

CHIPS = 36
"""Pixels of the row of filters."""


@dataclass(frozen=True, eq=False)
class Places:
    """The containers of the main pane."""

    head: DeltaGenerator
    """The finding, and what it rests on."""

    chips: DeltaGenerator
    """How many features are shown, and the filters that are on."""

    words: DeltaGenerator
    """At the end of that row: what of the link is not used, and what the words mean."""

    kinds: DeltaGenerator
    """Above the chart: which chart it is."""

    search: DeltaGenerator
    """Above the table: search."""

    files: DeltaGenerator
    """Downloads."""

    share: DeltaGenerator
    """The link to the view."""

    chart: DeltaGenerator
    """The chart."""

    table: DeltaGenerator
    """The table beside it."""

    details: DeltaGenerator
    """The picked feature, below both."""

    link: DeltaGenerator
    """The script beside the chart, which shows nothing of its own."""

    foot: DeltaGenerator
    """What is below the first screen."""


def lay_out_places(room: Room) -> Places:
    """Return the places of the main pane, in the order in which they are read."""
    with st.container(gap=None):
        head = st.container(gap=None)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            chips = st.container(height=CHIPS, border=False, horizontal=True, vertical_alignment="center", gap="small")
            words = st.container(width="content", horizontal=True, vertical_alignment="center", gap="small")
        kinds = st.container() if room.width < ONE_ROW else None
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            kinds = kinds or st.container(width="content")
            search = st.container()
            files, share = st.container(width="content"), st.container(width="content")
        with st.container(horizontal=not room.is_narrow, gap="small"):
            chart = st.container(width=room.chart.width, height=room.chart.height, border=False, gap=None)
            table = st.container(width=room.table.width, height=room.table.height, border=False, gap=None)
        height: Literal["content"] | int = "content" if room.is_narrow else room.details.height
        details = st.container(height=height, border=True, gap="xsmall")
    link, foot = st.container(height=2, border=False), st.container()
    return Places(head, chips, words, kinds, search, files, share, chart, table, details, link, foot)
