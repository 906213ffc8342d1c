"""The first line: what was found, and what it rests on."""

from __future__ import annotations

import html

import streamlit as st

from featurediff.app.dashboard.kept import say_finding
from featurediff.app.dashboard.opened import Opened, are_tested, start_tests
from featurediff.app.dashboard.room import Room
from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.charts.view import View, caption, heading
from featurediff.errors import DataError
from featurediff.sources.results import is_synthetic

PATIENCE = 1.0
"""Seconds from their start that a page waits for tests, before it shows the rest; those of 40 prompts take less."""


UNTESTED = "What changed could not be tested."

_HEIGHT = 46
"""Pixels: two lines of the finding; a longer one scrolls in its place."""

_LINE = 22
"""Pixels of a line below it."""

_FINDING = "<h1 style='font-size: 1.1rem; line-height: 1.3; margin: 0; padding: 0'>%s</h1>"


def show_finding(opened: Opened, view: View, room: Room) -> None:
    """Say in words what the question finds, what that rests on, and what is shown of which source."""
    study = opened.study
    with st.container(height="content" if room.is_tall else _HEIGHT, border=False):
        st.html(_FINDING % html.escape(say_finding(opened, view)))
    about = [heading(view.question, view.labels), caption(view.metric, view.labels, study.origin)]
    if is_synthetic(study.results):
        about.append("synthetic demo data")
    for line in (f"{study.sample()}. {study.reading_in_words(view)}.", " · ".join(about)):
        with st.container(height="content" if room.is_tall else _LINE, border=False):
            st.caption(escape_markdown(line))


@st.fragment(run_every=1.0)
def wait_for_tests(opened: Opened, view: View) -> None:
    """Say that the changes are being tested, and show the whole page again when they are."""
    try:
        is_done = are_tested(start_tests(opened.files, view.family, _study=opened.study), 0)
    except DataError as error:
        show_error(UNTESTED, error)
        return
    if is_done:
        st.rerun()
    st.caption(":material/hourglass_top: What changed from base to chat is still being tested.")
