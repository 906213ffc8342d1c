"""The browser's side of the pages: how much room there is, where stars and notes are kept, and use by keyboard."""

from __future__ import annotations

import re

import streamlit as st

from featurediff.app.dashboard.room import Room
from featurediff.app.dashboard.stars import MAX_NOTE, Key
from featurediff.app.session import BROWSER, session
from featurediff.app.sources import STATIC

_BROWSER = st.components.v2.component("featurediff_browser", js=(STATIC / "browser.js").read_text("utf-8"))

_ACCESS = st.components.v2.component("featurediff_access", js=(STATIC / "access.js").read_text("utf-8"))

MOST_KEPT = 1_000
"""Stars that the browser keeps, those set last; a file of stars may have more."""


MAX_SOURCE = 4_096
"""Characters of a source’s name with a star: those of a path."""

_LARGEST = 10**6
"""Pixels that no window has."""


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
    here = session()
    room, stars = read_seen((st.session_state.get(BROWSER) or {}).get("seen"))
    here.room = room or here.room
    for key, note in stars.items():
        if key not in here.stars and key not in here.gone:
            here.stars[key] = note
            here.notes += 1


def read_seen(seen: object) -> tuple[Room | None, dict[Key, str]]:
    """
    Read what the browser said; what is not of the form in which `browser.js` says it is passed over.

    Another page of the same host may write into the same storage, and what stands there comes at every visit.

    Parameters
    ----------
    seen : object
        From JSON: a dict with `room`, two numbers, and `stars`, names and notes.

    Returns
    -------
    room : Room or None
        None where it is not said.
    stars : dict
        Stars → notes, at most `MOST_KEPT`.
    """
    said = seen if isinstance(seen, dict) else {}
    room = None
    match said.get("room"):
        case [int() | float() as width, int() | float() as height] if max(abs(width), abs(height)) < _LARGEST:
            room = Room.within(width, height)
    listed = said.get("stars")
    stars = {}
    for pair in listed[:MOST_KEPT] if isinstance(listed, list) else ():
        match pair:
            case [str() as name, str() as note] if key := _read(name):
                stars[key] = note[:MAX_NOTE]
    return room, stars


def _write(key: Key) -> str:
    """Return the name under which the browser keeps a star."""
    source, feature_id = key
    return f"{feature_id} {source}"


def _read(name: str) -> Key | None:
    """Return the star that the browser keeps under a name; None where the name is not one of ours."""
    feature_id, _, source = name.partition(" ")
    is_ours = re.fullmatch(r"[0-9]{1,9}", feature_id) and 0 < len(source) <= MAX_SOURCE
    return (source, int(feature_id)) if is_ours else None
