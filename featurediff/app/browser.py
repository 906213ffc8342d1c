"""The browser's side of the pages: how much room there is, where stars and notes are kept, and use by keyboard."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from featurediff.app.dashboard.room import Room
from featurediff.app.dashboard.stars import MAX_NOTE, Key
from featurediff.app.session import BROWSER, session
from featurediff.app.sources import STATIC

_BROWSER = st.components.v2.component("featurediff_browser", js=(STATIC / "browser.js").read_text("utf-8"))

_ACCESS = st.components.v2.component("featurediff_access", js=(STATIC / "access.js").read_text("utf-8"))

MOST_KEPT = 1_000
"""Stars that the browser keeps, those set last; a file of stars may have more."""


def help_keyboards() -> None:
    """Give buttons their names, and let the Tab key stop once at each toolbar and at all that scrolls."""
    _ACCESS(key="access", height=1)


def meet_browser() -> Room:
    """Return how much room the browser has for the page; until it has said so, that of a small laptop."""
    here = session()
    stars = [[_write(key), note] for key, note in list(here.stars.items())[-MOST_KEPT:]]
    gone = [_write(key) for key in here.gone]
    data = {"stars": stars, "gone": gone, "known": here.room is not None}
    _BROWSER(key=BROWSER, data=data, on_seen_change=on_seen, height=1)
    return here.room or Room()


def on_seen() -> None:
    """Take over what the browser said: its room, and the stars that it keeps from earlier."""
    here, seen = session(), (st.session_state.get(BROWSER) or {}).get("seen") or {}
    width, height = seen["room"]
    here.room = Room.within(width, height)
    for name, note in seen["stars"]:
        key = _read(name)
        if key and key not in here.stars and key not in here.gone:
            here.stars[key] = str(note)[:MAX_NOTE]
            here.notes += 1


def _write(key: Key) -> str:
    """Return the name under which the browser keeps a star."""
    source, feature_id = key
    return f"{feature_id} {source}"


def _read(name: Any) -> Key | None:  # noqa: ANN401  what a browser sends may be anything
    """Return the star that the browser keeps under a name; None where the name is not one of ours."""
    feature_id, _, source = str(name).partition(" ")
    return (source, int(feature_id)) if re.fullmatch(r"[0-9]{1,9}", feature_id) and source else None
