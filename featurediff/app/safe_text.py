"""Words of strangers on the screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import streamlit as st

from featurediff.errors import DataError
from featurediff.wording import legible

if TYPE_CHECKING:
    pass


def escape_markdown(text: str) -> str:
    """
    Return what strangers wrote so that Markdown shows it as written.

    Streamlit makes links and arrows of addresses, `->` and `--` even where they are escaped: what parts them is a
    word joiner, which nobody sees.
    """
    parts = r"(?<=[-<>~])(?=[-=>])|(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)(?=[-\w]+\.\w)"
    parted = re.sub(parts, "\u2060", text, flags=re.IGNORECASE)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", parted).replace("\n", " ")


def show_error(what: str, error: DataError) -> None:
    """Show an error that names things from a file, as plain text."""
    st.error(what, icon=":material/error:")
    st.code(legible(str(error)), language=None, wrap_lines=True)
