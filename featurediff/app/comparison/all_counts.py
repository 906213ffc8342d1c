"""All counts as a table, and the ways from a row, a bar or a feature to the dashboard."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import streamlit as st

from featurediff.app.clicks import numbers_of
from featurediff.app.dashboard.filters import DEFAULTS
from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import BARS, OPEN_FEATURE, OPEN_SOURCE, session
from featurediff.app.url import COMPARISON, DASHBOARD, go_to
from featurediff.compare.count_words import fit_in_words, groups_in_words, prompts_in_words, same_in_words
from featurediff.csv_files import to_csv
from featurediff.features.evidence import ALPHA
from featurediff.labels import PROMPTS

if TYPE_CHECKING:
    import pandas as pd

    from featurediff.app.comparison.choices import Choices
    from featurediff.labels import Labels


def follow_click(rows: pd.DataFrame, choices: Choices) -> None:
    """
    Open what was clicked: the source of a row or bar, as they stood then, or a shared feature.

    Parameters
    ----------
    rows : DataFrame
        From `compare.side_by_side`: what is shown now, and is remembered.
    choices : Choices
        What is compared: the dashboard asks the same question.
    """
    here, state = session(), st.session_state
    if click := state.get(OPEN_SOURCE):
        source, token_type = here.listed[click["row"]]
        open_in_dashboard(source, token_type, choices)
    if click := state.get(OPEN_FEATURE):
        source, token_type, feature_id = here.shared[click["row"]]
        open_in_dashboard(source, token_type, replace(choices, asked=here.shared_by or choices.asked), feature_id)
    for point in ((state.get(BARS) or {}).get("selection") or {}).get("points", []):
        source, token_type = here.listed[int(numbers_of(point["customdata"])[0])]
        open_in_dashboard(source, token_type, choices)
    here.listed = list(zip(rows["source"].tolist(), rows["token_type"].tolist(), strict=True))


def open_in_dashboard(source: str, token_type: str, choices: Choices, feature_id: int | None = None) -> NoReturn:
    """Open a source at a position in the dashboard, with the question that was counted; or one of its features."""
    asked, here = choices.asked, st.query_params
    changes: dict[str, str | list[str]] = {name: [] for name in DEFAULTS}  # filters would hide what was counted
    changes |= {"source": source, "token_types": [token_type] if feature_id is None else []}
    changes["feature"] = [] if feature_id is None else f"{feature_id}@{token_type}"
    changes |= {name: here.get_all(name) for name in ("family", "unit", "min_target", "max_control")}
    changes["question"] = [] if asked.question == "exclusive" else asked.question
    changes["alpha"] = [] if asked.alpha == ALPHA else f"{asked.alpha:.15g}"
    if asked.question != "exclusive":
        changes["metric"] = asked.metric
    for name in DEFAULTS:
        st.session_state.pop(name, None)
    go_to(COMPARISON, DASHBOARD, changes)


def show_all_counts(tidy: pd.DataFrame, rows: pd.DataFrame, short: dict[str, str], labels: Labels) -> None:
    """Show the counts of all questions as a table, with a download; `short` is name → what it calls a source."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("## All counts", width="content")
        st.space("stretch")
        st.download_button(
            "CSV",
            partial(to_csv, tidy),
            "comparison.csv",
            "text/csv",
            key="download_counts",
            icon=":material/download:",
            on_click="ignore",
            help="A row per source, position, question and part, with numbers of prompts and groups.",
        )
    records = rows.to_dict("records")
    cells = rows.assign(
        source=":material/arrow_forward: " + rows["source"].map(short),
        prompts=[prompts_in_words(row) for row in records],
        groups=[groups_in_words(row) for row in records],
        same=[same_in_words(row) for row in records],
        fit=[fit_in_words(row) for row in records],
        exclusive_share=100 * rows["exclusive_share"],
    )
    columns = describe_columns(labels)
    if (cells["groups"] == "–").all():
        del columns["groups"]
    if (cells["fit"] == "–").all():
        del columns["fit"]
    if len(set(cells["same"])) == 1:  # all of them, or none that are known: a sentence above says so
        del columns["same"]
    st.dataframe(
        cells[list(columns)],
        key="counts",
        hide_index=True,
        column_config=columns,
        height="content" if len(rows) < 20 else 660,
        placeholder="–",
    )


def describe_columns(labels: Labels) -> dict[str, Any]:
    """Say what the table’s columns are called, in their order."""
    target, control = (escape_markdown(labels.of(prompts)) for prompts in PROMPTS)
    chat, base = (escape_markdown(labels.of(side)) for side in ("chat", "base"))
    sets = f"{target} + {control}"
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    columns: dict[str, Any] = {
        "source": st.column_config.ButtonColumn(
            "Source", type="tertiary", alignment="left", key=OPEN_SOURCE, width=180, help="Opens it in the dashboard."
        ),
        "token_type": text("Position", width=70),
        "prompts": text("Prompts", width=70, help=f"{sets}; base/chat where they differ."),
        "groups": text("Groups", width=65, help=f"Groups of prompts: {sets}."),
        "same": text(
            "Same", width=60, help=f"{sets}: equal numbers are the same prompts, which share their noise; ?: not known."
        ),
        "exclusive_kept": number(f"{labels.target} only", width=75, format="localized", help="Active on target only."),
        "exclusive_significant": number(
            "evidence", width=70, format="localized", help="Those of them with evidence: q of target over control."
        ),
        "exclusive_share": number("share", width=60, format="%.2g %%", help="With evidence, of all that are kept."),
    }
    for question, name, said in (
        ("changed", "Changed", f"Changed on {target}."),
        ("specific", "Specific", f"Changed on {target} more than on {control}."),
    ):
        columns |= {
            f"{question}_kept": number(name, width=70, format="localized", help=said),
            f"{question}_increase": number("↑", width=45, format="localized", help=f"{chat} uses it more than {base}."),
            f"{question}_decrease": number("↓", width=45, format="localized", help=f"{chat} uses it less than {base}."),
        }
    columns["fit"] = text(
        "SAE fit",
        width=150,
        help=f"Share of the variance that the SAE explains on {target} prompts, {base} / {chat}, and its L0, the mean "
        "number of active features.",
    )
    return columns
