"""The sidebar's filters; those by position and class are the chart's legend too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app.safe_text import escape_markdown
from featurediff.app.url import settle
from featurediff.charts.points import INCONSISTENT_COLOUR
from featurediff.charts.style import colours
from featurediff.features.evidence import CAVEAT
from featurediff.features.filters import Consistency, Filters, read_ids
from featurediff.labels import EXCLUSIVITIES, Labels
from featurediff.wording import number, quoted, visible

if TYPE_CHECKING:
    from featurediff.app.dashboard.kept import KeptCounts
    from featurediff.charts.view import View

WIDGETS: dict[str, dict[str, object]] = {
    "token_types": {"token_types": []},
    "exclusivity": {"exclusivity": []},
    "consistency": {"consistency": []},
    "search": {"search": ""},
    "ids": {"ids": ""},
    "min_value": {"min_value": None},
    "max_q": {"evidence": False},
}
"""Filter → key of its widget, which is also its name in the URL, and that widget's default."""

DEFAULTS = {key: value for widget in WIDGETS.values() for key, value in widget.items()}
"""Key of each widget → its default."""

BOUNDS = {"min_value": (-math.inf, math.inf)}
"""Numbers in the URL → the least and the largest that is accepted."""

CONSISTENCIES: tuple[Consistency, ...] = ("consistent", "inconsistent")

_SYMBOLS = {"both": "★", "base": "●", "chat": "■", "neither": "◆"}
"""The chart's symbols."""

_MOST_FAULTS = 5


def choose_legend(view: View, counts: KeptCounts, token_types: tuple[str, ...]) -> Filters:
    """
    Draw the filters by evidence, position, class and consistency, with how many features each would leave.

    Parameters
    ----------
    view : View
        What else is chosen; its filters do not count.
    counts : KeptCounts
        Of all that the question keeps.
    token_types : tuple of str
        The source's positions, in the files' order: what colours go by.
    """
    only_evidence = st.toggle(
        f"Only what has evidence ({counts.significant:,})",
        key="evidence",
        bind="query-params",
        help=f"Only features whose q for the question is at most {number(view.alpha)}. {CAVEAT}",
    )
    return Filters(
        choose_positions(token_types, counts),
        choose_classes(view.labels, counts),
        choose_consistency(counts),
        max_q=view.alpha if only_evidence else None,
    )


def choose_positions(token_types: tuple[str, ...], counts: KeptCounts) -> tuple[str, ...]:
    """Draw the filter by position."""
    palette = colours(token_types)
    settle("token_types", token_types, many=True)
    chosen = st.pills(
        "Position",
        token_types,
        selection_mode="multi",
        key="token_types",
        format_func=lambda name: _entry(_in_colour(r"\bullet", palette[name]), name, counts.of_type[name]),
        help="Token of the chat template at which the SAE was read, with its colour in the chart. None chosen: all.",
    )
    return tuple(chosen)


def choose_classes(labels: Labels, counts: KeptCounts) -> tuple[str, ...]:
    """Draw the filter by exclusivity."""
    settle("exclusivity", EXCLUSIVITIES, many=True)
    chosen = st.pills(
        "Class",
        EXCLUSIVITIES,
        selection_mode="multi",
        key="exclusivity",
        format_func=lambda name: _entry(_SYMBOLS[name], labels.short_category(name), counts.of_class[name]),
        help="In which models the feature is active on target prompts and on no control prompt, with its symbol in the "
        "chart. It may still be active in the other model: the thick red border marks those.",
    )
    return tuple(chosen)


def choose_consistency(counts: KeptCounts) -> Consistency:
    """Draw the filter by consistency; both chosen is none chosen."""
    settle("consistency", CONSISTENCIES, many=True)
    chosen = st.pills(
        "Consistency",
        CONSISTENCIES,
        selection_mode="multi",
        key="consistency",
        format_func=lambda name: _entry(
            _in_colour(r"\circ", INCONSISTENT_COLOUR) if name == "inconsistent" else "○",
            name.capitalize(),
            counts.of_consistency[name],
        ),
        label_visibility="collapsed",
        help="Inconsistent: exclusive in one model, but active on the other’s control prompts (thick red border).",
    )
    return chosen[0] if len(chosen) == 1 else "all"


def _entry(symbol: str, name: str, count: int) -> str:
    """Return an entry of the legend: symbol, name and number of features."""
    return f"{symbol} {escape_markdown(visible(name))} {count:,}"


def _in_colour(symbol: str, colour: str) -> str:
    """Return a symbol as a formula: only that can have any colour in a label."""
    return rf"$\textcolor{{{colour}}}{{\large {symbol}}}$"


def search_texts(*, are_explained: bool) -> str:
    """Draw the search over the table, and return what is searched for."""
    text = st.text_input(
        "Search",
        key="search",
        bind="query-params",
        placeholder="Search explanations, or a feature’s id" if are_explained else "Find a feature by its id",
        icon=":material/search:",
        label_visibility="collapsed",
        help="Features whose explanation contains this text, in upper or lower case, and the feature with this id."
        if are_explained
        else "This source has no explanations that could be searched.",
    )
    return (text or "").strip()


def choose_few(labels: Labels, metric: str) -> tuple[tuple[int, ...], float | None]:
    """Draw the filters by feature ids and by the least value of the metric; report words that are no ids."""
    ids, faults = read_ids(
        st.text_area(
            "Feature ids",
            key="ids",
            bind="query-params",
            height=68,
            placeholder="12, 345, 6789",
            help="Paste ids, separated by commas, spaces or line ends.",
        )
        or ""
    )
    for line, word in faults[:_MOST_FAULTS]:
        st.warning(escape_markdown(f"Line {line}: {quoted(word)} is not a feature id."), icon=":material/error:")
    if len(faults) > _MOST_FAULTS:
        st.warning(f"{len(faults) - _MOST_FAULTS} more words are not feature ids.", icon=":material/error:")
    min_value = st.number_input(
        f"Minimum of {escape_markdown(labels.metric(metric).lower())}",
        value=None,
        key="min_value",
        bind="query-params",
        placeholder="none",
        format="%g",
        help="The larger of the two models’ values is at least this.",
    )
    return ids, min_value
