"""Everything about the picked feature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.dashboard.events import pick
from featurediff.app.dashboard.opened import Opened, list_prompts
from featurediff.app.dashboard.starring import show_note, show_star
from featurediff.app.refusals import accept
from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.app.session import IN_PLACE
from featurediff.errors import DataError
from featurediff.features.evidence import CAVEAT
from featurediff.labels import PROMPTS, Labels
from featurediff.wording import plural

if TYPE_CHECKING:
    from featurediff.study import Study

MOST_PROMPTS = 1000
"""Prompts that are listed; each row goes to the browser."""

MOST_CHARACTERS = 2000
"""Of a prompt on the screen."""


def show_feature(picked: tuple[str, int], order: list[tuple[str, int]], opened: Opened, labels: Labels) -> None:
    """Show everything about one feature."""
    _show_head(picked, order, opened)
    study, feature_id = opened.study, picked[1]
    show_note((opened.name, feature_id))
    st.text(study.explanation(feature_id) or "No explanation available.")
    if kind := study.explained_by(feature_id):
        st.caption(escape_markdown(f"Explanation: {kind}"))
    show_evidence(picked, opened, labels)
    show_page(feature_id, study)
    values = study.feature(feature_id, labels)
    widths = {name: st.column_config.TextColumn(name, width=int(14 + 5.5 * len(name))) for name in values.columns}
    widths["statistic"] = st.column_config.TextColumn("", width=178)
    st.dataframe(values, key="feature_table", height="content", column_config=widths)
    if study.activations:
        show_prompts(picked, opened, labels)


def _show_head(picked: tuple[str, int], order: list[tuple[str, int]], opened: Opened) -> None:
    """Name the feature, with buttons for its star, its neighbours in the table’s order, and to close the details."""
    token_type, feature_id = picked
    at = order.index(picked) if picked in order else None
    before, title, star, after, close = st.columns([1, 5, 1, 1, 1], vertical_alignment="center")
    title.markdown(f"#### Feature {feature_id} at {escape_markdown(token_type)}")
    last = len(order) - 1
    for column, step, icon, text in ((before, -1, "chevron_left", "Previous"), (after, 1, "chevron_right", "Next")):
        target = None if at is None or not 0 <= at + step <= last else order[at + step]
        column.button(
            "",
            key=f"step{step}",
            icon=f":material/{icon}:",
            help=f"{text} in the table",
            disabled=target is None,
            on_click=pick,
            args=(target,),
        )
    close.button("", key="close", icon=":material/close:", help="Close", on_click=pick, args=(None,))
    if at is None:
        st.caption("Not in the table below.")
    with star:
        show_star((opened.name, feature_id))


def show_evidence(picked: tuple[str, int], opened: Opened, labels: Labels) -> None:
    """Show counts with intervals, and every test of the feature at its position."""
    study = opened.study
    rows = study.evidence_of(*picked, labels)
    widths = {
        name: st.column_config.TextColumn(name, width=w) for name, w in zip(rows.columns[:2], (145, 115), strict=True)
    }
    widths |= {name: st.column_config.TextColumn(name, width=60) for name in rows.columns[2:]}
    st.dataframe(rows, key="evidence", height="content", column_config=widths)
    if opened.tested:
        effects = study.effects_of(*picked, labels)
        sizes = (75, 115, 65, 60, 75, 55)
        names = effects.columns.tolist()
        looks = {name: st.column_config.TextColumn(name, width=w) for name, w in zip(names, sizes, strict=True)}
        st.dataframe(effects, key="effects", height="content", column_config=looks)
    st.caption(
        escape_markdown(
            "First table: prompts on which it is active, with 95 % Wilson intervals; p of target over control. "
            f"Second: how it changed from {labels.base} to {labels.chat} (pp: percentage points). q corrects p for the "
            f"features tested together. {CAVEAT}"
        )
    )


def show_page(feature_id: int, study: Study) -> None:
    """Link to the feature's page, say how it was found, and show it in place."""
    url = study.pages.url(feature_id)
    if url:
        st.link_button("Open its Neuronpedia page", url, icon=":material/open_in_new:")
    st.caption(escape_markdown(" ".join(filter(None, (study.pages.reason, study.pages.describes)))))
    embedded = study.pages.embed_url(feature_id)
    if embedded and st.session_state[IN_PLACE]:
        st.iframe(embedded, height=420)
        st.caption(
            "Where the frame stays grey, the site could not be reached or does not let itself be shown here: use the "
            "button above. “Labels and links” in the sidebar turns the frame off."
        )


def show_prompts(picked: tuple[str, int], opened: Opened, labels: Labels) -> None:
    """List the prompts on which the feature is active."""
    token_type, feature_id = picked
    try:
        prompts = accept(list_prompts(opened, feature_id, token_type))
    except DataError as error:
        show_error("The prompts cannot be listed.", error)
        return
    st.markdown(f"##### Active on {plural(len(prompts), 'prompt')}")
    listed = prompts.head(MOST_PROMPTS)
    if len(listed) < len(prompts):
        st.caption(f"The first {MOST_PROMPTS:,} are listed: target before control, the strongest first.")
    words = {name: labels.of(name) for name in PROMPTS}
    st.dataframe(
        listed.assign(prompt_set=listed["prompt_set"].map(words), content=listed["content"].str[:MOST_CHARACTERS]),
        key="prompts",
        hide_index=True,
        height=min(36 + 35 * len(listed), 300),
        column_order=["prompt_set", "base", "chat", "content"],
        column_config={
            "prompt_set": st.column_config.TextColumn("Prompts", width=80),
            "base": st.column_config.NumberColumn(labels.base, format="%.4g", width=75),
            "chat": st.column_config.NumberColumn(labels.chat, format="%.4g", width=75),
            "content": st.column_config.TextColumn("Text", width=420),
        },
    )
