"""The features that sources of one SAE share: the heat map, and the features of the two that are picked."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from featurediff.app.clicks import numbers_of
from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import OPEN_FEATURE, OVERLAP, session
from featurediff.app.theme import themed
from featurediff.app.url import settle
from featurediff.compare.heat_map import overlap_map
from featurediff.compare.naming import all_token_types, short_names
from featurediff.compare.overlap import asked_of_overlap, list_pairs, overlap, shared_features
from featurediff.compare.words import what_is_shared
from featurediff.csv_files import to_csv
from featurediff.features.questions import Asked
from featurediff.labels import EXCLUSIVE
from featurediff.wording import counted, number, p_text, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from featurediff.compare.summary import Summary
    from featurediff.labels import Labels

MOST_ROWS = 20_000
AMONG = ("auto", "kept", "significant", "changed", "specific")
"""Which features are compared, as links call them."""


class Chosen(NamedTuple):
    """What is compared feature by feature."""

    group: tuple[Summary, ...]
    """Sources of one SAE."""

    position: str | None
    """None for any."""

    shown: Asked
    """Which features."""

    only_evidence: bool
    """Whether only those of them with evidence."""

    said: str
    """What that means."""


def show_shared_features(groups: Sequence[tuple[Summary, ...]], asked: Asked, labels: Labels) -> None:
    """Show what the sources of one SAE share, with the widgets that choose the SAE and the features."""
    chosen = choose_features(groups, asked, labels)
    group = chosen.group
    found = overlap(group, chosen.shown, chosen.position, only_evidence=chosen.only_evidence)
    st.caption(escape_markdown(chosen.said))
    names = [source.name for source in group]
    short = dict(zip(names, short_names(group), strict=True))
    settle("first", names)
    settle("second", names[1:] + names[:1])
    rows, columns = (names.index(st.session_state[key]) for key in ("first", "second"))
    with st.container(horizontal=True, gap="large"):
        with st.container(width="content"):
            st.plotly_chart(
                themed(
                    overlap_map(
                        found, list(short.values()), labels, picked=(rows, columns), hint="<br>Click to list them."
                    )
                ),
                key=OVERLAP,
                on_select=partial(on_cell, names),
                selection_mode="points",
                width="content",
                config={"displayModeBar": False},
                alt="Heat map: which share of their features each two sources have in common.",
            )
            st.download_button(
                "CSV of all pairs",
                partial(to_csv, list_pairs([found])),
                "overlaps.csv",
                "text/csv",
                key="download_overlaps",
                icon=":material/download:",
                on_click="ignore",
                help="What each two sources share, how many by chance, and Jaccard’s index.",
            )
        with st.container(width="stretch"):
            for column, key, text in zip(st.columns(2), ("first", "second"), ("Features of", "shared by"), strict=True):
                column.selectbox(
                    text, names, key=key, format_func=lambda name: short[name], help="A click on a cell picks both."
                )
            show_shared((group[rows], group[columns]), short, chosen, labels)


def choose_features(groups: Sequence[tuple[Summary, ...]], asked: Asked, labels: Labels) -> Chosen:
    """Draw the widgets of what is compared, and return what they say."""
    by_name = {group[0].name: group for group in groups}
    settle("sae", list(by_name))
    named = {
        "auto": "Auto",
        "kept": f"Active on {labels.target} only",
        "significant": f"Active on {labels.target} only, with evidence",
        "changed": f"Changed on {labels.target}",
        "specific": f"Changed on {labels.target} more than on {labels.control}",
    }
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sae = st.selectbox(
            "SAE",
            list(by_name),
            key="sae",
            format_func=lambda name: f"{by_name[name][0].label} ({plural(len(by_name[name]), 'source')})",
            width=310,
            help="Sources that read the same SAE are compared feature by feature.",
        )
        positions = ["", *all_token_types(by_name[sae])]
        settle("token_types", positions)
        position = st.selectbox(
            "Position",
            positions,
            key="token_types",
            format_func=lambda name: name or "Any",
            width=130,
            help="Where features are kept. Any: at one position in one source, perhaps at another in the other.",
        )
        settle("among", AMONG)
        among = st.selectbox(
            "Features",
            AMONG,
            key="among",
            format_func=lambda name: named[name],
            width=310,
            help="Auto: what changed, if base and chat were compared on the same prompts; else the published rule.",
        )
    group = by_name[sae]
    shown, said = resolve(among, group, asked, labels)
    return Chosen(group, position or None, shown, among == "significant", said)


def resolve(among: str, group: Sequence[Summary], asked: Asked, labels: Labels) -> tuple[Asked, str]:
    """Return which features are compared, and say what that means; until all are tested, by the published rule."""
    published = replace(asked, question="exclusive")
    if among == "kept":
        return published, "Features that the published rule keeps."
    if not all(source.answers("any") for source in group):
        return published, "Features that the published rule keeps, until all sources of this SAE are tested."
    if among == "significant":
        return published, f"Features that the published rule keeps, with evidence (q at most {number(asked.alpha)})."
    if among == "auto":
        shown = asked_of_overlap(group, asked)
        return shown, what_is_shared(shown, asked, labels)
    shown = replace(asked, question="changed" if among == "changed" else "specific")
    return shown, what_is_shared(shown, shown, labels)


def on_cell(names: Sequence[str]) -> None:
    """Pick the two sources of the cell that was clicked."""
    state = st.session_state
    points = state[OVERLAP]["selection"]["points"]
    if points:
        row, column = numbers_of(points[0]["customdata"])
        state["first"], state["second"] = names[int(row)], names[int(column)]


def show_shared(pair: tuple[Summary, Summary], short: dict[str, str], chosen: Chosen, labels: Labels) -> None:
    """Show the features that two sources share as a table; `short` is name → what the table calls a source."""
    first, second = pair
    shared = shared_features(first, second, chosen.shown, chosen.position, only_evidence=chosen.only_evidence)
    number = shared["feature_id"].nunique()
    title = counted(number, "feature" if first is second else "shared feature")
    st.markdown(f"## {title}")
    session().shared, session().shared_by = [], chosen.shown
    if shared.empty:
        st.caption("These two sources share none.")
        return
    rows = shared.head(MOST_ROWS)
    kept_by = rows["first_exclusivity"].isna().map({False: first.name, True: second.name})
    session().shared = list(zip(kept_by, rows["token_type"], rows["feature_id"].tolist(), strict=True))
    columns = describe_columns({"first": short[first.name], "second": short[second.name]}, chosen.shown, labels)
    if shared["neuronpedia_url"].isna().all():
        del columns["neuronpedia_url"]
    written: dict[str, Any] = dict.fromkeys(("first_q", "second_q"), p_text)  # a click on their headers sorts numbers
    st.dataframe(
        in_words(rows, labels)[list(columns)].style.format(written),
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
        help="The shared features, with exclusivity, direction and q in both sources.",
    )


def in_words(shared: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """Return shared features as a table shows them."""
    named = {which: labels.short_category(which) for which in EXCLUSIVE} | {"neither": "Neither"}
    ways = {"increase": "↑", "decrease": "↓", "none": "="}
    words = {"feature_id": shared["feature_id"].astype("str")}
    for side in ("first", "second"):
        words[f"{side}_exclusivity"] = shared[f"{side}_exclusivity"].map(named).fillna("–")
        words[f"{side}_direction"] = shared[f"{side}_direction"].map(ways).fillna("–")
    return shared.assign(**words)


def describe_columns(sides: dict[str, str], shown: Asked, labels: Labels) -> dict[str, Any]:
    """Say what the table’s columns are called, in their order; `sides` is "first" and "second" → the source’s name."""
    columns: dict[str, Any] = {
        "feature_id": st.column_config.ButtonColumn(
            "Feature", type="tertiary", alignment="left", key=OPEN_FEATURE, width=75, help="Opens it in the dashboard."
        ),
        "neuronpedia_url": st.column_config.LinkColumn("Page", display_text="open ↗", width=65),
        "token_type": st.column_config.TextColumn("Position", width=80),
    }
    chat, base = escape_markdown(labels.chat), escape_markdown(labels.base)
    for side, name in sides.items():
        if shown.question == "exclusive":
            columns[f"{side}_exclusivity"] = st.column_config.TextColumn(
                name, width=110, help="The model in which the feature is exclusive at this position; –: it is not kept."
            )
        else:
            columns[f"{side}_direction"] = st.column_config.TextColumn(
                name, width=110, help=f"↑: {chat} uses the feature more than {base}; ↓: less; –: it is not kept here."
            )
    columns["explanation"] = st.column_config.TextColumn("Explanation", width=420)
    for side, name in sides.items():
        columns[f"{side}_q"] = st.column_config.NumberColumn(f"q in {name}", width=110)
    return columns
