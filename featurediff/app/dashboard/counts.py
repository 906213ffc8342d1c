"""The tiles with counts above the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.safe_text import escape_markdown
from featurediff.features.evidence import ALPHA, CAVEAT
from featurediff.labels import SIDES

if TYPE_CHECKING:
    from featurediff.app.dashboard.shown import Shown
    from featurediff.charts.view import View
    from featurediff.study import Study


def show_counts(shown: Shown, study: Study, view: View) -> None:
    """Show how many features there are and how many are significant, in all and by position; filters count."""
    labels = view.labels
    max_q = ALPHA if view.filters.max_q is None else view.filters.max_q
    counts = shown.counts
    note = "Kept: exclusive to the target prompts in at least one model. A feature counts once per position."
    families = "; ".join(
        f"{labels.of(side)} at {name}: {study.evidence.exclusive[side, name].family:,}"
        for name in study.results.token_types
        for side in SIDES
    )
    tested = (
        f"Significant: q at most {max_q:g} in a model in which the feature is exclusive. q is Fisher’s exact test of "
        f"target over control, corrected for the number of features tested together ({families}). {CAVEAT}"
    )
    total = counts.sum(axis=(0, 1))
    tiles = [
        (
            "Shown",
            f"{len(shown.at):,}",
            f"of {len(shown.kept):,} kept, {study.results.num_features:,} in the SAE",
            note,
        ),
        ("Kept → significant", f"{total[0]:,} → {total[1]:,}", f"q at most {max_q:g}", escape_markdown(tested)),
    ]
    # In the order of `EXCLUSIVITIES`, as the counts are.
    legend = escape_markdown(f"★ exclusive in both models, ● in {labels.base} only, ■ in {labels.chat} only")
    for token_type, of_type in zip(study.results.token_types, counts, strict=True):
        kept, significant = of_type.sum(axis=0)
        parts = (f"{symbol} {number:,}" for symbol, number in zip("★●■", of_type[:, 0], strict=True))
        value = f"{kept:,} → {significant:,}"
        tiles.append((f"At {escape_markdown(token_type)}", value, "  ".join(parts), legend))
    with st.container(horizontal=True, gap="large"):
        for name, value, below, help_text in tiles:
            st.metric(name, value, below, delta_color="off", delta_arrow="off", help=help_text, width="content")
