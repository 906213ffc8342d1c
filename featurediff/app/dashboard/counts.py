"""The tiles with counts above the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.dashboard.opened import Opened, chance
from featurediff.app.safe_text import escape_markdown
from featurediff.features.evidence import ALPHA, CAVEAT, NOT_CORRECTED
from featurediff.labels import SIDES

if TYPE_CHECKING:
    from featurediff.app.dashboard.shown import Shown
    from featurediff.charts.view import View


def show_counts(shown: Shown, opened: Opened, view: View) -> None:
    """Show how many features there are, in all and by position, and how many have a small q; filters count."""
    study = opened.study
    labels = view.labels
    max_q = ALPHA if view.filters.max_q is None else view.filters.max_q
    counts = shown.counts
    note = "Kept: what the question keeps. A feature counts once per position."
    families = "; ".join(
        f"{labels.of(side)} at {name}: {study.exclusive.tested[side, name].family:,}"
        for name in study.results.token_types
        for side in SIDES
    )
    what = "target over control, in a model in which the feature is exclusive"
    if view.question != "exclusive":
        what = "the effect that the question is about"
    tested = f"q is of {what}, over the features tested together ({families}). {NOT_CORRECTED} {CAVEAT}"
    total = counts.sum(axis=(0, 1))
    tiles = [
        (
            "Shown",
            f"{len(shown.at):,}",
            f"of {len(shown.kept):,} kept, {study.results.num_features:,} in the SAE",
            note,
        ),
    ]
    is_told_apart = view.question in ("exclusive", "any")  # by the others, all that is kept has a small q
    if is_told_apart:
        value = f"{total[0]:,} → {total[1]:,}"
        tiles.append((f"Kept → q ≤ {max_q:g}", value, by_chance(opened, view), escape_markdown(tested)))
    # In the order of `EXCLUSIVITIES`, as the counts are.
    legend = escape_markdown(f"★ exclusive in both models, ● in {labels.base} only, ■ in {labels.chat} only, ◆ neither")
    for token_type, of_type in zip(study.results.token_types, counts, strict=True):
        kept, significant = of_type.sum(axis=0)
        symbols = "★●■" if view.question == "exclusive" else "★●■◆"
        parts = (f"{symbol} {number:,}" for symbol, number in zip(symbols, of_type[:, 0], strict=False))
        value = f"{kept:,} → {significant:,}" if is_told_apart else f"{kept:,}"
        tiles.append((f"At {escape_markdown(token_type)}", value, "  ".join(parts), legend))
    with st.container(horizontal=True, gap="large"):
        for name, value, below, help_text in tiles:
            st.metric(name, value, below, delta_color="off", delta_arrow="off", help=help_text, width="content")


def by_chance(opened: Opened, view: View) -> str:
    """Say how many features the published rule would keep by chance, and its mirror; of other questions nothing."""
    if view.question != "exclusive":
        return ""
    found = chance(opened, view)
    about = "at least" if found["is_least"].any() else "about"
    return f"{about} {found['either_expected'].sum():,.0f} by chance"
