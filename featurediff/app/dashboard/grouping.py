"""The widget that takes groups of features."""

from __future__ import annotations

import streamlit as st

from featurediff.app.dashboard.groups import MOST_GROUPS, parse_groups
from featurediff.app.dashboard.small_csv import MAX_BYTES
from featurediff.app.safe_text import show_error
from featurediff.app.session import GROUPS_FILE, session
from featurediff.errors import DataError


def choose_groups() -> None:
    """Draw the widget that takes a file of groups."""
    here = session()
    st.file_uploader(
        "Outline groups of features (CSV)",
        type="csv",
        key=GROUPS_FILE,
        max_upload_size=MAX_BYTES // 2**20,
        on_change=import_groups,
        help=f"Columns `feature_id` and `group`, at most {MOST_GROUPS} groups: each is outlined in the chart.",
    )
    if here.groups_error:
        show_error("These groups are not used.", here.groups_error)


def import_groups() -> None:
    """Take over the groups of an uploaded file, or none."""
    here, file = session(), st.session_state[GROUPS_FILE]
    here.groups, here.groups_error = (), ""
    if file is None:
        return
    try:
        here.groups = parse_groups(file.getvalue(), file.name)
    except DataError as error:
        here.groups_error = str(error)
