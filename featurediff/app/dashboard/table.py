"""The table beside the chart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from featurediff.app.dashboard.events import on_row
from featurediff.app.dashboard.opened import Opened
from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import session
from featurediff.charts.points import effect_in_words
from featurediff.features.evidence import CAVEAT
from featurediff.features.questions import effect_of

if TYPE_CHECKING:
    from featurediff.app.dashboard.shown import Shown
    from featurediff.charts.view import View
    from featurediff.study import Study


def q_column(name: str, meaning: str) -> Any:  # noqa: ANN401  Streamlit's own type is not public
    """Return the column of a q-value."""
    return st.column_config.NumberColumn(name, format="%.6~g", width=75, help=f"{meaning} {CAVEAT}")


def describe_columns(view: View, study: Study) -> dict[str, Any]:
    """Say what the table's columns are called, and how they look."""
    metric, labels = view.metric, view.labels
    effect = effect_of(view.question, metric)
    columns: dict[str, Any] = {
        "feature_id": st.column_config.NumberColumn("Feature", format="%d", pinned=True, width=70),
        "star": st.column_config.TextColumn("★", width=35, help="Starred by you, in its details."),
        "neuronpedia_url": st.column_config.LinkColumn("Page", display_text="open ↗", width=65),
        "token_type": st.column_config.TextColumn("Position", width=75),
        "exclusivity": st.column_config.TextColumn("Exclusive in", width=90),
        "inconsistent": st.column_config.CheckboxColumn(
            "Inconsistent", width=85, help="Also active on the other model’s control prompts."
        ),
        f"base_{metric}": st.column_config.NumberColumn(labels.base, format="%.4g", width=75),
        f"chat_{metric}": st.column_config.NumberColumn(labels.chat, format="%.4g", width=75),
        "difference": st.column_config.NumberColumn(
            "Difference",
            format="%+.4g",
            width=85,
            help=f"{escape_markdown(labels.chat)} − {escape_markdown(labels.base)}",
        ),
        "explanation": st.column_config.TextColumn("Explanation", width=420),
        "exclusive_positions": st.column_config.NumberColumn(
            "Positions", width=75, help="At how many positions the feature is kept."
        ),
        "base_q": q_column(f"q {labels.base}", "Target over control in this model."),
        "chat_q": q_column(f"q {labels.chat}", "Target over control in this model."),
        effect: st.column_config.NumberColumn(
            "Change", format="%+.4g", width=80, help=f"{escape_markdown(effect_in_words(effect, labels))}."
        ),
        f"{effect}_q": q_column("q", f"{escape_markdown(effect_in_words(effect, labels))}."),
        "explanation_type": st.column_config.TextColumn("Type", width=110),
    }
    for (side, which), number in study.origin.num_prompts.items():
        columns[f"{side}_{which}_num_active"] = st.column_config.NumberColumn(
            f"{labels.of(side)} {labels.of(which)}", format=f"%d/{number}", width=105
        )
    return columns


def show_table(shown: Shown, opened: Opened, view: View) -> None:
    """Show the features as a table; a click on a row picks one."""
    looks = describe_columns(view, opened.study)
    st.dataframe(
        shown.cells,
        key=session().table_key,
        on_select=partial(on_row, shown.order),
        selection_mode="single-row",
        hide_index=True,
        column_config={name: looks[name] for name in shown.cells.column_names},
        height=min(36 + 33 * (len(shown.order) + 1), 430),
        placeholder="",
    )
