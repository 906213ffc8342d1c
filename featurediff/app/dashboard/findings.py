"""The first line: what was found, and what it rests on."""

from __future__ import annotations

import streamlit as st

from featurediff.app.dashboard.opened import Opened, are_tested, find, start_tests
from featurediff.app.safe_text import escape_markdown
from featurediff.charts.view import View

PATIENCE = 1.0
"""Seconds that the page waits for the tests before it shows the published rule alone; 40 prompts take less."""


def show_finding(opened: Opened, view: View) -> None:
    """Say in words what the question finds, and how many prompts that rests on."""
    st.markdown(f"**{escape_markdown(find(opened, view))}**")
    st.caption(escape_markdown(f"{opened.study.sample()}."))
    if not opened.tested:
        _wait(opened, view)


@st.fragment(run_every=1.0)
def _wait(opened: Opened, view: View) -> None:
    """Say that the changes are being tested, and show the whole page again when they are."""
    if are_tested(start_tests(opened.files, view.family, _study=opened.study), 0):
        st.rerun()
    st.caption(":material/hourglass_top: What changed from base to chat is still being tested.")
