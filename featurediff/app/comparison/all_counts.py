"""All counts as a table, and the way from a row to its source in the dashboard."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import OPEN_SOURCE, session
from featurediff.app.url import COMPARISON, DASHBOARD, go_to
from featurediff.csv_files import to_csv
from featurediff.labels import EXCLUSIVE

if TYPE_CHECKING:
    import pandas as pd

    from featurediff.labels import Labels


def follow_row(rows: pd.DataFrame) -> None:
    """Open the source whose row was clicked, as the rows stood then; and remember how they stand now."""
    here = session()
    if click := st.session_state.get(OPEN_SOURCE):
        go_to(COMPARISON, DASHBOARD, {"source": here.listed[click["row"]], "feature": []})
    here.listed = rows["source"].tolist()


def show_all_counts(tidy: pd.DataFrame, rows: pd.DataFrame, short: dict[str, str], labels: Labels) -> None:
    """Show all counts as a table, with a download; `short` is name → what the table calls a source."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("#### All counts", width="content")
        st.space("stretch")
        st.download_button(
            "CSV",
            partial(to_csv, tidy),
            "comparison.csv",
            "text/csv",
            key="download_counts",
            icon=":material/download:",
            on_click="ignore",
            help="A row per source, position and exclusivity.",
        )
    columns = describe_columns(labels)
    st.dataframe(
        rows[list(columns)].assign(source=":material/arrow_forward: " + rows["source"].map(short)),
        key="counts",
        hide_index=True,
        column_config=columns,
        height="content" if len(rows) < 20 else 660,
    )


def describe_columns(labels: Labels) -> dict[str, Any]:
    """Say what the table’s columns are called, in their order."""
    named = {which: labels.short_category(which) for which in EXCLUSIVE} | {"all": "All"}
    columns: dict[str, Any] = {
        "source": st.column_config.ButtonColumn(
            "Source", type="tertiary", alignment="left", key=OPEN_SOURCE, width=240, help="Opens it in the dashboard."
        ),
        "token_type": st.column_config.TextColumn("Position", width=80),
    }
    for exclusivity, name in named.items():
        for value, heading in (("kept", name), ("significant", f"{name} sig.")):
            columns[f"{exclusivity}_{value}"] = st.column_config.NumberColumn(
                heading, format="localized", width=80, help=f"{escape_markdown(name)}: {value} features."
            )
    return columns
