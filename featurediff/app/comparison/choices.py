"""What a reader chooses to compare, all of it in the URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app import thresholds
from featurediff.app.session import session
from featurediff.app.thresholds import choose_thresholds
from featurediff.app.url import COMPARISON, LABELS, MOST_LABEL, bad_numbers, settle, surplus
from featurediff.features.evidence import ALPHA, CAVEAT
from featurediff.features.table import Thresholds
from featurediff.labels import Labels

if TYPE_CHECKING:
    from collections.abc import Collection

MOST_SOURCES = 12


def follow_link() -> Labels:
    """Report what of a new link is not used, and return its labels: the only choice that has no widget here."""
    here, is_new = session(), session().page != COMPARISON
    if is_new:
        here.page = COMPARISON
        here.url_faults = surplus(COMPARISON, many=("sources",))
        here.url_faults += bad_numbers({"max_q": (0, 1), **thresholds.BOUNDS})
    words = {name.removesuffix("_label"): st.query_params.get(name, "").strip()[:MOST_LABEL] for name in LABELS}
    labels = Labels(**{name: word or getattr(Labels, name) for name, word in words.items()})
    if not labels.are_alike:
        return labels
    here.url_faults += ["labels of which two are the same"] * is_new
    return Labels()


def choose_sources(offered: Collection[str], labels: Labels) -> tuple[list[str], float, Thresholds]:
    """Draw the sidebar’s widgets, and return the names of the sources, the largest q and the thresholds."""
    names = list(offered)
    settle("sources", names, many=True)
    with st.sidebar:
        chosen = st.multiselect(
            "Sources",
            names,
            key="sources",
            placeholder=f"The first {MOST_SOURCES}" if len(names) > MOST_SOURCES else "All",
            help=f"Folders with base.pt and chat.pt. None chosen: all, but no more than the first {MOST_SOURCES}.",
        )
        max_q = st.number_input(
            "Significant: q at most",
            min_value=0.0,
            max_value=1.0,
            value=ALPHA,
            step=0.01,
            key="max_q",
            bind="query-params",
            format="%g",
            help=f"In a model in which the feature is exclusive. {CAVEAT}",
        )
        rule = choose_thresholds(labels)
    return chosen or names[:MOST_SOURCES], max_q, rule
