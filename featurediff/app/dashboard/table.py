"""The table beside the chart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from featurediff.app.dashboard.cells import CARRIES
from featurediff.app.dashboard.events import on_table
from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import STARRED, session
from featurediff.features.evidence import CAVEAT
from featurediff.features.questions import effect_of

if TYPE_CHECKING:
    from featurediff.app.dashboard.room import Size
    from featurediff.app.dashboard.rows import Rows
    from featurediff.app.dashboard.sorting import Sort
    from featurediff.charts.view import View
    from featurediff.study import Study

ROW_HEIGHT = 30
WIDTHS = {"feature_id": 62, "mark": 36, "token_type": 68}
"""Pixels of the columns before the explanation whose cells are of much the same length."""

LEAST_WIDTHS = {"effect": 72, "q": 54}
"""Pixels of those that are as wide as their longest cell: with the explanation, which takes what they leave."""

CLASS = (
    "In which models it is active on target prompts only. Inconsistent: also active on the other model’s control "
    "prompts. But rises, stays or falls: how its use changes from base to chat, where that model does not use it more."
)
"""What the column of the class means."""

LEAST_EXPLANATION = 110
CHARACTER = 5.8
"""Pixels of a digit."""

_SCROLLBAR = 10


def describe_columns(view: View, rows: Rows, size: Size, sort: Sort | None) -> dict[str, Any]:
    """Say what the table's columns are called, and how they look."""
    metric, labels = view.metric, view.labels
    base, chat = labels.base, labels.chat  # a column's name is plain text, its help is Markdown
    change = escape_markdown(f"{base} → {chat}")
    effect = effect_of(view.question, metric)
    change_header = labels.short_effect(effect) + (", pp" if effect.startswith("sparsity") else "")
    headers = {"effect": change_header, "q": "q"}
    fitted = {
        column: max(least, 18 + round(CHARACTER * max(map(len, [headers[column], *rows.cells[column]]))))
        for column, least in LEAST_WIDTHS.items()
    }
    rest = max(LEAST_EXPLANATION, size.width - sum(WIDTHS.values()) - sum(fitted.values()) - _SCROLLBAR)

    def name(column: str, text: str) -> str:
        arrow = "" if sort is None or sort.column != column else " ↓" if sort.falling else " ↑"
        return text + arrow

    def whole(column: str, text: str, width: int, meaning: str | None = None) -> Any:  # noqa: ANN401
        return st.column_config.NumberColumn(name(column, text), format="%d", width=width, help=meaning)

    def words(column: str, text: str, width: int, meaning: str | None = None, *, right: bool = False) -> Any:  # noqa: ANN401
        return st.column_config.TextColumn(
            name(column, text), width=width, help=meaning, alignment="right" if right else "left"
        )

    other = f"Target over control in this model. {CAVEAT}"
    return {
        "feature_id": whole("feature_id", "Feature", WIDTHS["feature_id"]),
        "mark": words("mark", "★", WIDTHS["mark"], "★ starred by you, in its details; ▸ shown below."),
        "token_type": words("token_type", "Position", WIDTHS["token_type"]),
        "effect": words(
            "effect", headers["effect"], fitted["effect"], escape_markdown(labels.explain_effect(effect)), right=True
        ),
        "q": words("q", headers["q"], fitted["q"], f"q of the question. {CAVEAT}", right=True),
        "explanation": words("explanation", "Explanation", rest),
        "neuronpedia_url": st.column_config.LinkColumn("Page", display_text="↗", width=50),
        "share": words("share", f"On {labels.target}", 120, f"Target prompts on which it is active: {change}."),
        "control_share": words("control_share", f"On {labels.control}", 120, f"Control prompts likewise: {change}."),
        "exclusivity": words("exclusivity", "Class", 110, CLASS),
        f"base_{metric}": words(f"base_{metric}", base, 80, right=True),
        f"chat_{metric}": words(f"chat_{metric}", chat, 80, right=True),
        "difference": words("difference", "Difference", 90, escape_markdown(f"{chat} − {base}"), right=True),
        "base_q": words("base_q", f"q {base}", 80, other, right=True),
        "chat_q": words("chat_q", f"q {chat}", 80, other, right=True),
        "exclusive_positions": whole("exclusive_positions", "Positions", 80, "At how many positions it is exclusive."),
        CARRIES: words(
            CARRIES,
            "Carries",
            75,
            f"Share of what differs between the models’ means on target prompts: {change}.",
            right=True,
        ),
        "explanation_type": words("explanation_type", "Type", 110),
    }


UNEXPLAINED = 26
"""Pixels of the line that says why there are no explanations."""


def say_unexplained(study: Study) -> None:
    """Say why a source has no explanations, or else which command gets them."""
    folder = study.source.folder if study.source else "SOURCE_DIR"
    said, how = "`featurediff explain SOURCE_DIR` gets them.", f"featurediff explain {folder}"
    if study.pages.template is None:
        said = "A CSV gives them."
        how = "It has feature_id and explanation, is called like the SAE’s folder, and goes into explanations/."
    with st.container(height=UNEXPLAINED, border=False):
        if study.unexplained:
            st.caption(":material/warning: " + escape_markdown(study.unexplained))
        else:
            st.caption(f"This source has no explanations. {said}", help=escape_markdown(how))


def mark_cell(at: int | None) -> None:
    """
    Have the browser mark a cell in the row of the picked feature, to which it scrolls, and no other cell.

    A row that was clicked has its mark already; after a sort or a filter the table stays where it is. What the
    browser is told before it has drawn the table is lost.
    """
    here = session()
    if not here.has_table:
        return
    marked = st.session_state.get(here.table_key, {}).get("selection", {}).get("cells", [])
    if [row for row, _ in marked] != ([] if at is None else [at]):
        wanted = [(at, "feature_id")] if here.seek and at is not None else []
        if wanted or marked:
            st.session_state[here.table_key] = {"selection": {"rows": [], "columns": [], "cells": wanted}}
    here.seek = False


def show_table(rows: Rows, view: View, size: Size) -> None:
    """Show the features as a table: a click in a row picks its feature, one on a header sorts."""
    here = session()
    if not rows.order:
        why = "None of these features is starred." if st.session_state[STARRED] else "The box holds none of these."
        st.info(why, icon=":material/filter_alt_off:")
        return
    looks = describe_columns(view, rows, size, here.sort)
    cells, at = rows.cells, rows.order.index(here.picked) if here.picked in rows.order else None
    if at is not None:
        cells = cells.assign(mark=cells["mark"].where(cells.index != at, "▸" + cells["mark"]))
    mark_cell(at)
    st.dataframe(
        cells,
        key=here.table_key,
        on_select=partial(on_table, rows.order),
        selection_mode=["single-cell", "single-column"],
        hide_index=True,
        column_config={column: looks[column] for column in cells.columns.tolist()},
        width=size.width,
        height=size.height,
        row_height=ROW_HEIGHT,
        placeholder="",
    )
