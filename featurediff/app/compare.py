"""Comparison: several sources beside each other, over layers, and what those of one SAE share."""

from __future__ import annotations

import streamlit as st

from featurediff.app.browser import help_keyboards
from featurediff.app.comparison.all_counts import follow_click, show_all_counts
from featurediff.app.comparison.choices import choose, follow_link
from featurediff.app.comparison.compared import count, draw, read_sources, show_waiting
from featurediff.app.comparison.shared import show_shared_features
from featurediff.app.rerun_lock import turn
from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.app.session import BARS
from featurediff.app.sources import list_sources, settings
from featurediff.app.url import COMPARISON, DASHBOARD, come_back, go_to, show_faults
from featurediff.app.words import show_words_button
from featurediff.charts.view import heading
from featurediff.compare.by_sae import group_by_sae
from featurediff.compare.counts import side_by_side
from featurediff.compare.naming import layer_series
from featurediff.compare.same_prompts import SHARED_NOISE, sharing_in_words
from featurediff.compare.words import HOW_TO_READ_CELLS, how_to_read, unequal_prompts, what_is_kept
from featurediff.errors import DataError
from featurediff.export import PLOT_CONFIG
from featurediff.features.evidence import NOT_CORRECTED
from featurediff.wording import plural

# ----------------------------------------------------------------------------
# Set things up.

come_back(COMPARISON)
labels = follow_link()

# ----------------------------------------------------------------------------
# Draw the UI.

with st.sidebar:
    help_keyboards()
    if st.button(
        "Dashboard",
        key="back",
        icon=":material/arrow_back:",
        width="stretch",
        help="One source at a time, as it was when you left it.",
    ):
        go_to(COMPARISON, DASHBOARD)
try:
    offered, left_out = list_sources(settings().results, follow_links=settings().follow_links)
except DataError as error:
    show_error("The results folder cannot be shown.", error)
    st.stop()
with st.sidebar:
    for note in left_out:
        st.caption(escape_markdown(note))
choices = choose(offered, labels)
asked, thresholds = choices.asked, choices.thresholds
compared = read_sources({name: offered[name] for name in choices.names}, thresholds, choices.family)

with turn():
    about = f"Comparison of {plural(len(compared.sources), 'source')}"
    st.set_page_config(f"{about} · featurediff")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(about, width="content", anchor=False)
        if any(source.is_synthetic for source in compared.sources):
            st.badge("synthetic demo data", icon=":material/science:", color="orange")
        faults = st.container(width="content")  # filled at the end: choices of the link are held against what is shown
        show_words_button()
    st.markdown(f"**{escape_markdown(heading(asked.question, labels))}**")
    counted = what_is_kept(asked, thresholds, labels)
    st.caption(escape_markdown(f"Counted: {counted}. A feature counts once per position."))
    for broken in compared.faults:
        show_error(escape_markdown(f"{broken.name} cannot be shown."), DataError(broken.message))
    if not compared.sources:
        with faults:
            show_faults()
        st.stop()

    tidy = count(compared, asked)
    rows = side_by_side(tidy)
    follow_click(rows, choices)
    if compared.waiting:
        show_waiting(compared)
    if unequal := unequal_prompts(compared.sources, thresholds, labels):
        st.caption(":material/balance: " + escape_markdown(unequal))
    if same := sharing_in_words(compared.sources, compared.short_names(), labels):
        st.caption(":material/link: " + escape_markdown(" ".join([*same, SHARED_NOISE])))
    bars, lines = draw(compared, asked, labels)
    st.plotly_chart(
        bars,
        key=BARS,
        on_select="rerun",
        selection_mode="points",
        config=PLOT_CONFIG | {"scrollZoom": False},
        alt="Bars: what the question keeps of each source, by position and part.",
    )
    st.caption(how_to_read(asked))

    st.markdown("## Over the layers")
    if lines is None:
        st.caption("No two of these sources are of the same model, family of SAEs and prompt set at different layers.")
    else:
        st.caption(escape_markdown("; ".join(layer_series(tidy)["series"].unique())))
        st.plotly_chart(
            lines,
            key="lines",
            config=PLOT_CONFIG | {"scrollZoom": False},
            alt="Lines: what the question keeps over the layers of a model, by position and part.",
        )

    groups = group_by_sae(compared.sources)
    st.markdown("## Shared features")
    if groups.shared:
        show_shared_features(groups.shared, asked, labels)
        st.caption(HOW_TO_READ_CELLS)
        if groups.reason:
            with st.expander(f"Not compared: {plural(len(groups.alone), 'source')}", icon=":material/block:"):
                st.text(groups.reason)
    else:
        st.caption(escape_markdown(groups.reason))

    show_all_counts(tidy, rows, compared.short_names(), labels)
    st.caption(NOT_CORRECTED)
    with faults:
        show_faults()
