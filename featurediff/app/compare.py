"""Comparison: several sources beside each other, over layers, and what those of one SAE share."""

from __future__ import annotations

import streamlit as st

from featurediff.app.comparison.all_counts import follow_row, show_all_counts
from featurediff.app.comparison.choices import choose_sources, follow_link
from featurediff.app.comparison.compared import count, draw, read_sources
from featurediff.app.comparison.shared import show_shared_features
from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.app.sources import list_sources, settings
from featurediff.app.url import COMPARISON, DASHBOARD, come_back, go_to, show_faults
from featurediff.charts.view import View
from featurediff.compare.counts import layer_series, side_by_side
from featurediff.compare.overlap import group_by_sae
from featurediff.compare.page import HOW_TO_READ, HOW_TO_READ_CELLS
from featurediff.errors import DataError
from featurediff.export import PLOT_CONFIG
from featurediff.features.evidence import CAVEAT
from featurediff.wording import plural

# ----------------------------------------------------------------------------
# Set things up.

come_back(COMPARISON)
labels = follow_link()

# ----------------------------------------------------------------------------
# Draw the UI.

with st.sidebar:
    if st.button(
        "Dashboard",
        key="back",
        icon=":material/arrow_back:",
        width="stretch",
        help="One source at a time, as it was when you left it.",
    ):
        go_to(COMPARISON, DASHBOARD)
try:
    offered = list_sources(settings().results)
except DataError as error:
    show_error("The results folder cannot be shown.", error)
    st.stop()
names, max_q, thresholds = choose_sources(offered, labels)
compared = read_sources({name: offered[name] for name in names}, thresholds)

with st.container(horizontal=True, vertical_alignment="center"):
    st.subheader(f"Comparison of {plural(len(compared.sources), 'source')}", width="content", anchor=False)
    if any(source.is_synthetic for source in compared.sources):
        st.badge("synthetic demo data", icon=":material/science:", color="orange")
view = View(thresholds=thresholds, labels=labels)
st.caption(escape_markdown(f"Kept: exclusive in a model, that is {view.rule()}. A feature counts once per position."))
warnings = st.container()  # filled at the end: some choices of the link are held against what is shown
for broken in compared.faults:
    show_error(escape_markdown(f"{broken.name} cannot be shown."), DataError(broken.message))
if not compared.sources:
    with warnings:
        show_faults()
    st.stop()

tidy = count(compared, max_q)
rows = side_by_side(tidy)
follow_row(rows)
bars, lines = draw(compared, max_q, labels)
st.plotly_chart(
    bars,
    key="bars",
    config=PLOT_CONFIG | {"scrollZoom": False},
    alt="Bars: kept and significant features of each source, by position and exclusivity.",
)
st.caption(f"{HOW_TO_READ}: q at most {max_q:g} in a model in which the feature is exclusive. {CAVEAT}")

st.markdown("#### Over the layers")
if lines is None:
    st.caption("No two of these sources are of the same model, family of SAEs and prompt set at different layers.")
else:
    st.caption(escape_markdown("; ".join(layer_series(tidy)["series"].unique())))
    st.plotly_chart(
        lines,
        key="lines",
        config=PLOT_CONFIG | {"scrollZoom": False},
        alt="Lines: kept and significant features over the layers of a model, by position and exclusivity.",
    )

groups = group_by_sae(compared.sources)
st.markdown("#### Shared features")
if groups.shared:
    show_shared_features(groups.shared, max_q, labels)
    st.caption(HOW_TO_READ_CELLS)
    if groups.reason:
        with st.expander(f"Not compared: {plural(len(groups.alone), 'source')}", icon=":material/block:"):
            st.text(groups.reason)
else:
    st.caption(escape_markdown(groups.reason))

show_all_counts(tidy, rows, compared.short_names(), labels)
with warnings:
    show_faults()
