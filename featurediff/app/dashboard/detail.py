"""Everything about the picked feature, in a strip below chart and table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.dashboard.events import pick
from featurediff.app.dashboard.kept import list_prompts
from featurediff.app.dashboard.opened import Opened, let_others_if_unread
from featurediff.app.dashboard.starring import show_note, show_star
from featurediff.app.refusals import accept
from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.errors import DataError
from featurediff.features.evidence import CAVEAT
from featurediff.features.one_feature import counts_and_tests, effects_and_tests, statistics
from featurediff.labels import PROMPTS, SIDES, Labels
from featurediff.wording import decimals_for, plural, visible

if TYPE_CHECKING:
    from featurediff.app.dashboard.room import Room
    from featurediff.charts.view import View
    from featurediff.study import Study

HEAD = 64
"""Pixels of the strip that its heading and margins take."""

ROW_HEIGHT = 24
"""Pixels of a row of the tables in the strip."""

PARTS = (29, 33, 38)
"""Of the strip's width: meaning, evidence, and prompts with values."""

AROUND = 48
"""Pixels of margins and scrollbars that the last part loses."""

SMALL = {"prompt_set": 56, "base": 50, "chat": 60}
"""Pixels of the columns beside a prompt's text, which takes what they leave."""

MOST_PROMPTS = 1000
"""Prompts that are listed; each row goes to the browser."""

WIDE = 700
"""Pixels of a large dialog's inside."""

MOST_CHARACTERS = 2000
"""Of a prompt on the screen."""


def show_feature(picked: tuple[str, int], order: list[tuple[str, int]], opened: Opened, view: View, room: Room) -> None:
    """Show one feature: what it means, the evidence for the question, and on which prompts it is active."""
    _show_head(picked, order, opened, view.labels)
    if room.is_narrow:
        meaning = evidence = more = st.container()
    else:
        meaning, evidence, more = (
            column.container(height=room.details.height - HEAD, border=False) for column in st.columns(PARTS)
        )
    with meaning:
        show_meaning(picked[1], opened.study)
    with evidence:
        show_evidence(picked, opened, view)
    with more:
        if opened.study.activations:
            show_prompts(picked, opened, view.labels, room.width if room.is_narrow else room.width * PARTS[2] // 100)
        show_values(picked[1], opened.study, view.labels)


def _show_head(picked: tuple[str, int], order: list[tuple[str, int]], opened: Opened, labels: Labels) -> None:
    """Name the feature, with note and star, and buttons for all its prompts, its neighbours, and to close the strip."""
    token_type, feature_id = picked
    at = order.index(picked) if picked in order else None
    last = len(order) - 1
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"## Feature {feature_id} at {escape_markdown(visible(token_type))}", width="content")
        if at is None:
            st.caption("not in the table", width="content")
        with st.container():
            show_note((opened.name, feature_id))
        show_star((opened.name, feature_id))
        if opened.study.activations and st.button(
            "", key="all_prompts", icon=":material/open_in_full:", help="All prompts, with room to read them"
        ):
            show_all_prompts(picked, opened, labels)
        for step, icon, text in ((-1, "chevron_left", "Previous"), (1, "chevron_right", "Next")):
            target = None if at is None or not 0 <= at + step <= last else order[at + step]
            st.button(
                "",
                key=f"step{step}",
                icon=f":material/{icon}:",
                help=f"{text} in the table",
                disabled=target is None,
                on_click=pick,
                args=(target,),
            )
        st.button("", key="close", icon=":material/close:", help="Close", on_click=pick, args=(None,))


def show_meaning(feature_id: int, study: Study) -> None:
    """Show the explanation, and the way to the feature's page."""
    st.text(study.explanation(feature_id) or "No explanation available.")
    if kind := study.explained_by(feature_id):
        st.caption(escape_markdown(f"Explanation: {kind}"))
    url, embedded = study.pages.url(feature_id), study.pages.embed_url(feature_id)
    with st.container(horizontal=True, gap="small"):
        if url:
            st.link_button("Neuronpedia", url, icon=":material/open_in_new:", help="Opens its page in a new tab.")
        if embedded and st.button(
            "Show the page here", key="show_page", help="Over this dashboard; your browser fetches it from the site."
        ):
            show_page(embedded)
    st.caption(escape_markdown(" ".join(filter(None, (study.pages.reason, study.pages.describes)))))


@st.dialog("Neuronpedia", width="large")
def show_page(embedded: str) -> None:
    """Show a feature's page over the dashboard; a page that is closed is not loaded."""
    st.iframe(embedded, height=560)
    st.caption(
        "Where the frame stays grey, the site could not be reached or does not let itself be shown here: close this, "
        "and open the page in a new tab."
    )


def show_evidence(picked: tuple[str, int], opened: Opened, view: View) -> None:
    """Show the evidence for the question in words, then counts with intervals and every test at this position."""
    study, labels = opened.study, view.labels
    rows = counts_and_tests(study.results, study.exclusive, *picked, labels)
    lines = study.answer_of(*picked, view, with_changes=opened.tested)
    if carried := study.sae_fit.share_in_words(*picked, labels):
        lines = [*lines, f"{carried}."]
    st.markdown("  \n".join(f":small[{escape_markdown(line)}]" for line in lines), help=CAVEAT)
    widths = {
        name: st.column_config.TextColumn(name, width=w) for name, w in zip(rows.columns[:2], (120, 110), strict=True)
    }
    widths |= {name: st.column_config.TextColumn(name, width=60) for name in rows.columns[2:]}
    st.dataframe(rows, key="counts", height="content", row_height=ROW_HEIGHT, column_config=widths)
    if opened.tested:
        effects = effects_and_tests(study.changes(view.family), *picked, labels)
        sizes = zip(effects.columns.tolist(), (70, 60, 115, 65, 75, 55), strict=True)
        looks = {name: st.column_config.TextColumn(name, width=w) for name, w in sizes}
        looks["_index"] = st.column_config.TextColumn("", width=128)
        st.dataframe(effects, key="effects", height="content", row_height=ROW_HEIGHT, column_config=looks)
    st.caption(
        escape_markdown(
            "First table: prompts on which it is active, with 95 % Wilson intervals; p of target over control. "
            f"Second: how its mean activation and its frequency (pp: percentage points) changed from {labels.base} to "
            f"{labels.chat}, on {labels.target} and beyond the change on {labels.control} (vs). q corrects p for the "
            "features tested together."
        )
    )


def show_values(feature_id: int, study: Study, labels: Labels) -> None:
    """Show what the files say of a feature at every position."""
    values = statistics(study.results, feature_id, labels)
    widths = {name: st.column_config.TextColumn(name, width=int(14 + 5.5 * len(name))) for name in values.columns}
    widths["statistic"] = st.column_config.TextColumn("All positions and metrics", width=178)
    st.dataframe(values, key="feature_table", height="content", row_height=ROW_HEIGHT, column_config=widths)


@st.dialog("Prompts", width="large")
def show_all_prompts(picked: tuple[str, int], opened: Opened, labels: Labels) -> None:
    """List the prompts on which the feature is active over the dashboard: the strip has room for some, cut short."""
    st.markdown(f"Feature {picked[1]} at {escape_markdown(visible(picked[0]))}")
    show_prompts(picked, opened, labels, WIDE, key="prompts_at_large", height=520)


def show_prompts(
    picked: tuple[str, int], opened: Opened, labels: Labels, width: int, *, key: str = "prompts", height: int = 300
) -> None:
    """List the prompts on which the feature is active, in so many pixels of width and, at most, of height."""
    token_type, feature_id = picked
    let_others_if_unread(opened.study)
    try:
        prompts = accept(list_prompts(opened, feature_id, token_type))
    except DataError as error:
        show_error("The prompts cannot be listed.", error)
        return
    listed = prompts.head(MOST_PROMPTS)
    if len(listed) < len(prompts):
        st.caption(f"The first {MOST_PROMPTS:,} are listed: target before control, the strongest first.")
    words = {name: labels.of(name) for name in PROMPTS}
    form = f"%.{decimals_for(listed[['base', 'chat']].to_numpy().ravel().tolist())}f"
    numbers = {
        str(side): st.column_config.NumberColumn(labels.of(side), format=form, width=SMALL[side]) for side in SIDES
    }
    st.dataframe(
        listed.assign(prompt_set=listed["prompt_set"].map(words), content=listed["content"].str[:MOST_CHARACTERS]),
        key=key,
        hide_index=True,
        height=min(36 + ROW_HEIGHT * len(listed), height),
        row_height=ROW_HEIGHT,
        column_order=["content", "prompt_set", "base", "chat"],
        column_config={
            "content": st.column_config.TextColumn(
                f"Active on {plural(len(prompts), 'prompt')}", width=max(140, width - AROUND - sum(SMALL.values()))
            ),
            "prompt_set": st.column_config.TextColumn("Prompts", width=SMALL["prompt_set"]),
            **numbers,
        },
    )
