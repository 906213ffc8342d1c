"""Text that strangers wrote, such as names in files and labels in links, on the screen."""

from __future__ import annotations

import re

import streamlit as st

from featurediff.errors import DataError
from featurediff.wording import legible


def escape_markdown(text: str) -> str:
    """
    Return text so that Markdown shows it as it was written.

    Streamlit turns addresses into links, and `->` and `--` into arrows and dashes, even where they are escaped. Here a
    word joiner, which is invisible, stands between their characters.
    """
    parts = r"(?<=[-<>~])(?=[-=>])|(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)(?=[-\w]+\.\w)"
    parted = re.sub(parts, "\u2060", text, flags=re.IGNORECASE)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", parted).replace("\n", " ")


def show_error(what: str, error: DataError | str) -> None:
    """Show what went wrong, and an error or its message as plain text: it may name things from a file."""
    st.error(what, icon=":material/error:")
    st.code(legible(str(error)), language=None, wrap_lines=True)
