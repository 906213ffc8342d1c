"""The features that sources of one SAE share: the heat map, and the features of the two that are picked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from featurediff.app.session import OVERLAP
from featurediff.app.url import settle
from featurediff.compare.counts import all_token_types, short_names
from featurediff.compare.figures import overlap_map
from featurediff.compare.overlap import overlap, shared_features
from featurediff.csv_files import to_csv
from featurediff.labels import EXCLUSIVE
from featurediff.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from featurediff.compare.summary import Summary
    from featurediff.labels import Labels

MOST_ROWS = 20_000
AMONG = {"kept": "Kept", "significant": "Significant"}


def show_shared_features(groups: Sequence[tuple[Summary, ...]], max_q: float, labels: Labels) -> None:
    """Show what the sources of one SAE share, with the widgets that choose the SAE and the features."""
    group, position, only_q = choose_group(groups, max_q)
    names = [source.name for source in group]
    short = dict(zip(names, short_names(group), strict=True))
    settle("first", names)
    settle("second", names[1:] + names[:1])
    rows, columns = (names.index(st.session_state[key]) for key in ("first", "second"))
    with st.container(horizontal=True, gap="large"):
        with st.container(width="content"):
            st.plotly_chart(
                overlap_map(
                    overlap(group, position, only_q),
                    list(short.values()),
                    picked=(rows, columns),
                    hint="<br>Click to list them.",
                ),
                key=OVERLAP,
                on_select=partial(on_cell, names),
                selection_mode="points",
                width="content",
                config={"displayModeBar": False},
                alt="Heat map: which share of their features each two sources have in common.",
            )
        with st.container(width="stretch"):
            for column, key, text in zip(st.columns(2), ("first", "second"), ("Features of", "shared by"), strict=True):
                column.selectbox(
                    text, names, key=key, format_func=lambda name: short[name], help="A click on a cell picks both."
                )
            first, second = group[rows], group[columns]
            show_shared(first, second, short, shared_features(first, second, position, only_q), labels)


def choose_group(
    groups: Sequence[tuple[Summary, ...]], max_q: float
) -> tuple[tuple[Summary, ...], str | None, float | None]:
    """Draw the widgets of what is compared; return the sources of the SAE, the position and the largest q, if any."""
    by_name = {group[0].name: group for group in groups}
    settle("sae", list(by_name))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sae = st.selectbox(
            "SAE",
            list(by_name),
            key="sae",
            format_func=lambda name: f"{by_name[name][0].label} ({plural(len(by_name[name]), 'source')})",
            width=360,
            help="Sources that read the same SAE are compared feature by feature.",
        )
        positions = ["", *all_token_types(by_name[sae])]
        settle("token_types", positions)
        position = st.selectbox(
            "Position",
            positions,
            key="token_types",
            format_func=lambda name: name or "Any",
            width=180,
            help="Where features are kept. Any: at one position in one source, perhaps at another in the other.",
        )
        settle("among", tuple(AMONG))
        among = st.segmented_control(
            "Features",
            list(AMONG),
            required=True,
            key="among",
            format_func=lambda name: AMONG[name],
            help=f"All kept features, or those with q at most {max_q:g}.",
        )
    return by_name[sae], position or None, max_q if among == "significant" else None


def on_cell(names: Sequence[str]) -> None:
    """Pick the two sources of the cell that was clicked."""
    state = st.session_state
    points = state[OVERLAP]["selection"]["points"]
    if points:
        cell = points[0]["customdata"]  # a list or a dict, depending on how it was sent
        row, column = cell.values() if isinstance(cell, dict) else cell
        state["first"], state["second"] = names[int(row)], names[int(column)]


def show_shared(first: Summary, second: Summary, short: dict[str, str], shared: pd.DataFrame, labels: Labels) -> None:
    """Show the features that two sources share as a table; `short` is name → what the table calls a source."""
    number = shared["feature_id"].nunique()
    title = f"{number:,} shared feature{'s' * (number != 1)}" if first is not second else plural(number, "feature")
    st.markdown(f"#### {title}")
    if shared.empty:
        st.caption("These two sources share none.")
        return
    named = {which: labels.short_category(which) for which in EXCLUSIVE}
    sides = {"first": short[first.name], "second": short[second.name]}
    columns = describe_columns(sides)
    if shared["neuronpedia_url"].isna().all():
        del columns["neuronpedia_url"]
    words = {f"{side}_exclusivity": shared[f"{side}_exclusivity"].map(named).fillna("–") for side in sides}
    st.dataframe(
        shared.assign(**words)[list(columns)].head(MOST_ROWS),
        key="shared",
        placeholder="",
        hide_index=True,
        column_config=columns,
        height="content" if len(shared) < 10 else 360,
    )
    st.download_button(
        "CSV",
        partial(to_csv, shared),
        "shared_features.csv",
        "text/csv",
        key="download_shared",
        icon=":material/download:",
        on_click="ignore",
        help="The shared features, with exclusivity and q in both sources.",
    )


def describe_columns(sides: dict[str, str]) -> dict[str, Any]:
    """Say what the table’s columns are called, in their order; `sides` is "first" and "second" → the source’s name."""
    columns: dict[str, Any] = {
        "feature_id": st.column_config.NumberColumn("Feature", format="%d", pinned=True, width=70),
        "neuronpedia_url": st.column_config.LinkColumn("Page", display_text="open ↗", width=65),
        "token_type": st.column_config.TextColumn("Position", width=80),
    }
    for side, name in sides.items():
        columns[f"{side}_exclusivity"] = st.column_config.TextColumn(
            name, width=110, help="The model in which the feature is exclusive at this position; –: it is not kept."
        )
    columns["explanation"] = st.column_config.TextColumn("Explanation", width=420)
    for side, name in sides.items():
        columns[f"{side}_q"] = st.column_config.NumberColumn(f"q in {name}", format="%.2g", width=110)
    return columns
