"""What there is to know of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.dashboard.cache import count_explained, find_notes
from featurediff.app.dashboard.shown import Opened
from featurediff.wording import plural

if TYPE_CHECKING:
    import pandas as pd

    from featurediff.charts.view import View


def show_about(kept: pd.DataFrame, opened: Opened, view: View) -> None:
    """Show what is odd about the files, what was done with them, and which files they are."""
    study = opened.study
    explained, features = count_explained(opened, view.thresholds, kept)
    notes = find_notes(key=opened.key, _study=study)
    found = set(kept["token_type"].unique())
    lines = [
        *notes,
        f"Exclusive means {view.rule()}.",
        f"{explained:,} of {features:,} kept features have an explanation.",
        *(f"No feature is exclusive at {name}." for name in study.results.token_types if name not in found),
        f"Neuronpedia: {study.pages.reason}",
        *(f"{name}  SHA-256 {digest}" for name, digest in study.files.items()),
    ]
    with st.expander(f"About this source ({plural(len(notes), 'note')})", icon=":material/info:"):
        st.text("\n\n".join(lines))  # at once: each element takes a server a thirtieth of a rerun
