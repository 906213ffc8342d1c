"""What there is to know of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.dashboard.kept import count_explained, find_notes, kept_features
from featurediff.app.dashboard.opened import Opened
from featurediff.wording import plural

if TYPE_CHECKING:
    from featurediff.charts.view import View


def show_about(opened: Opened, view: View) -> None:
    """Show what is odd about the files, what was done with them, and which files they are."""
    study = opened.study
    explained, features = count_explained(opened, view)
    notes = find_notes(opened, view.thresholds)
    found = set(kept_features(opened, view)["token_type"].unique())
    lines = [
        *notes,
        f"Exclusive means {view.rule()}.",
        f"{explained:,} of {features:,} different features that are kept have an explanation.",
        *(f"No feature is kept at {name}." for name in study.results.token_types if name not in found),
        f"Neuronpedia: {study.pages.reason}",
        *(f"{name}  SHA-256 {digest}" for name, digest in study.files.items()),
    ]
    with st.expander(f"About this source ({plural(len(notes), 'note')})", icon=":material/info:"):
        st.text("\n\n".join(lines))  # one element: each takes a server a thirtieth of a rerun
