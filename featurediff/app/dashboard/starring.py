"""Stars and notes on the screen: in the sidebar and with the details."""

from __future__ import annotations

from functools import partial

import streamlit as st

from featurediff.app.dashboard.small_csv import MAX_BYTES
from featurediff.app.dashboard.stars import MAX_NOTE, Key, parse_stars, stars_csv, with_stars
from featurediff.app.safe_text import show_error
from featurediff.app.session import STARRED, STARS_FILE, session
from featurediff.errors import DataError
from featurediff.wording import plural


def stars_here() -> dict[int, str]:
    """Return the stars of the source that is shown: feature id → note."""
    here = session()
    return {feature_id: note for (source, feature_id), note in here.stars.items() if source == here.opened}


def choose_stars() -> bool:
    """Draw the sidebar's widgets of stars and notes, and return whether only starred features are wanted."""
    here = session()
    with st.expander("Stars and notes", icon=":material/star:"):
        st.caption(f"{plural(len(stars_here()), 'feature')} of this source starred. This browser keeps them.")
        only = st.toggle(
            "Starred only",
            key=STARRED,
            help="Narrows table, counts and downloads to the features that you starred in this source.",
        )
        st.download_button(
            "Download stars and notes",
            partial(stars_csv, dict(here.stars)),  # a session's state cannot be read while a download is built
            "featurediff_stars.csv",
            "text/csv",
            key="download_stars",
            icon=":material/download:",
            on_click="ignore",
            disabled=not here.stars,
            width="stretch",
            help="Of all sources, as CSV. This browser keeps them in its own storage until you remove them.",
        )
        st.file_uploader(
            "Bring stars and notes back (CSV)",
            type="csv",
            key=STARS_FILE,
            max_upload_size=MAX_BYTES // 2**20,
            on_change=import_stars,
            help="A file that was downloaded here; its stars are added to those you have.",
        )
        if here.stars_error:
            show_error("These stars are not used.", here.stars_error)
    return only


def import_stars() -> None:
    """Add the stars of an uploaded file to those of the session; where both have a note, the file's replaces it."""
    here, file = session(), st.session_state[STARS_FILE]
    if file is None:
        return
    try:
        found = parse_stars(file.getvalue(), file.name)
        here.stars = with_stars(here.stars, found, file.name)
        here.gone -= found.keys()
        here.stars_error = ""
    except DataError as error:
        here.stars_error = str(error)
    here.notes += 1


def show_star(key: Key) -> None:
    """Show the button that stars a feature."""
    is_starred = key in session().stars
    st.button(
        "",
        key="star",
        icon=":material/star:",
        type="primary" if is_starred else "secondary",
        help="Remove star and note" if is_starred else "Star this feature",
        on_click=switch_star,
        args=(key,),
    )


def switch_star(key: Key) -> None:
    """Star a feature, or remove its star and note; the whole page runs, because sidebar and table show stars too."""
    here = session()
    if key in here.stars:
        del here.stars[key]
        here.gone.add(key)
        here.notes += 1
    else:
        here.stars[key] = ""
        here.gone.discard(key)
    st.rerun()


def show_note(key: Key) -> None:
    """Show the box for a note on a feature."""
    here = session()
    widget = f"note_{here.notes}_{key[1]}_{key[0]}"
    st.text_input(
        "Note",
        here.stars.get(key, ""),
        key=widget,
        max_chars=MAX_NOTE,
        placeholder="A note on this feature, which stars it",
        label_visibility="collapsed",
        help="It stays with the feature's star in this browser; download stars and notes in the sidebar.",
        on_change=write_note,
        args=(key, widget),
    )


def write_note(key: Key, widget: str) -> None:
    """Keep a note, which stars its feature; an empty one of a feature without a star is none."""
    here, note = session(), st.session_state[widget]
    if not note and key not in here.stars:
        return
    here.stars[key] = note
    here.gone.discard(key)
    st.rerun()
