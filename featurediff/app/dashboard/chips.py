"""The row of filters that are on; a click on one removes it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app import thresholds
from featurediff.app.dashboard import filters
from featurediff.app.dashboard.events import clear_box
from featurediff.app.dashboard.groups import count_groups
from featurediff.app.dashboard.rows import MOST_ROWS
from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import STARRED, session
from featurediff.features.thresholds import Thresholds
from featurediff.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from featurediff.app.dashboard.opened import Opened
    from featurediff.app.dashboard.shown import Shown
    from featurediff.charts.view import View

LONGEST = 34
"""Characters of a chip; the sidebar has the whole text."""

CHIPS = "chips"
"""Key of the row."""


def show_count(shown: Shown, opened: Opened) -> None:
    """Say how many features are shown, of how many."""
    found = len(shown.at)
    kept = counted(len(shown.kept), "feature")
    text = kept if found == len(shown.kept) else f"{found:,} of {kept}"
    listed = f" The table lists {MOST_ROWS:,} at a time; downloads have all." if found > MOST_ROWS else ""
    features = f"{opened.study.results.num_features:,}"
    st.markdown(
        f"**{text}**", width="content", help=f"Of {features} in the SAE. A feature counts once per position.{listed}"
    )
    if shown.different < found:
        st.caption(f"{shown.different:,} different, each counted once per position", width="content")


def show_chips(view: View) -> None:
    """Show what narrows the features; a click on one takes it away."""
    chips = find_chips(view)
    if not chips:
        st.caption("No filter is on.", width="content")
        return
    st.pills(
        "Filters that are on",
        list(chips),
        selection_mode="multi",
        key=CHIPS,
        format_func=lambda name: f":material/close: {escape_markdown(_short(chips[name][0]))}",
        label_visibility="collapsed",
        on_change=remove,
        args=({name: undo for name, (_, undo) in chips.items()},),
    )


def show_groups(shown: Shown) -> None:
    """Say how many of the features shown are of each group that is outlined."""
    for line in count_groups(session().groups, shown.rows()):
        st.caption(line, width="content")


def find_chips(view: View) -> dict[str, tuple[str, Callable[[], None]]]:
    """Return what narrows the features: name → what it says, and what takes it away."""
    chips: dict[str, tuple[str, Callable[[], None]]] = {
        name: (phrase, partial(_reset, filters.WIDGETS[name])) for name, phrase in view.filter_phrases().items()
    }
    if session().subset:
        is_drawn = session().box is not None
        chips["box"] = ("inside the box" if is_drawn else "inside a box drawn before", clear_box)
    if st.session_state.get(STARRED):
        chips["starred"] = ("starred", partial(_reset, {STARRED: False}))
    if view.thresholds != Thresholds():
        chips["rule"] = (f"exclusive: {view.rule()}", partial(_reset, thresholds.DEFAULTS))
    return chips


def remove(undo: Mapping[str, Callable[[], None]]) -> None:
    """Take away the filter whose chip was clicked."""
    for name in st.session_state[CHIPS]:
        undo[name]()
    st.session_state[CHIPS] = []


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _reset(defaults: Mapping[str, object]) -> None:
    st.session_state.update(defaults)
