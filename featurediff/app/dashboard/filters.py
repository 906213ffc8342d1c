"""The sidebar's filters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import streamlit as st

from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.app.url import settle
from featurediff.errors import DataError
from featurediff.features.evidence import CAVEAT
from featurediff.features.filters import Filters, parse_ids
from featurediff.labels import EXCLUSIVITIES, Labels
from featurediff.study import Study

if TYPE_CHECKING:
    from featurediff.features.filters import Consistency

DEFAULTS: dict[str, object] = {
    "token_types": [],
    "exclusivity": [],
    "consistency": "all",
    "search": "",
    "ids": "",
    "min_value": None,
    "max_q": None,
}
"""Key of each widget, which is also its name in the URL → its default."""

BOUNDS = {"min_value": (-math.inf, math.inf), "max_q": (0, 1)}
"""Numbers in the URL → the least and the largest that is accepted."""

CONSISTENCIES = {"all": "All", "consistent": "Consistent only", "inconsistent": "Inconsistent only"}


def choose_filters(study: Study, labels: Labels) -> Filters:
    """Draw the filters' widgets, and return what they say."""
    token_types, exclusivity, consistency = _choose_groups(study, labels)
    search = st.text_input(
        "Search explanations",
        key="search",
        bind="query-params",
        placeholder="any text",
        icon=":material/search:",
        help="Features whose explanation contains this text, in upper or lower case.",
    )
    ids = st.text_area(
        "Feature ids",
        key="ids",
        bind="query-params",
        height=68,
        placeholder="12, 345, 6789",
        help="Paste ids, separated by commas or spaces.",
    )
    min_value, max_q = _choose_numbers()
    try:
        wanted = parse_ids(ids or "")
    except DataError as error:
        show_error("The feature ids are not used.", error)
        wanted = ()
    return Filters(token_types, exclusivity, consistency, min_value, (search or "").strip(), wanted, max_q)


def _choose_groups(study: Study, labels: Labels) -> tuple[tuple[str, ...], tuple[str, ...], Consistency]:
    """Draw the widgets of the filters by position, exclusivity and consistency."""
    settle("token_types", study.results.token_types, many=True)
    token_types = st.pills(
        "Position",
        study.results.token_types,
        selection_mode="multi",
        key="token_types",
        format_func=escape_markdown,
        help="Token of the chat template at which the SAE was read. None chosen: all.",
    )
    settle("exclusivity", EXCLUSIVITIES, many=True)
    exclusivity = st.pills(
        "Exclusive in",
        EXCLUSIVITIES,
        selection_mode="multi",
        key="exclusivity",
        format_func=lambda which: escape_markdown(labels.short_category(which)),
        help="The model in which the feature fires on target prompts and not on control prompts. It may still fire in "
        "the other model; choose “Consistent only” as well to leave out those that its control prompts contradict.",
    )
    settle("consistency", tuple(CONSISTENCIES))
    consistency = st.selectbox(
        "Consistency",
        list(CONSISTENCIES),
        key="consistency",
        format_func=lambda name: CONSISTENCIES[name],
        help="Inconsistent: exclusive in one model, but active on the other model’s control prompts (red border).",
    )
    return tuple(token_types), tuple(exclusivity), cast("Consistency", consistency)


def _choose_numbers() -> tuple[float | None, float | None]:
    """Draw the widgets of the least value of the metric and of the largest q."""
    min_value = st.number_input(
        "Minimum of the metric",
        value=None,
        key="min_value",
        bind="query-params",
        placeholder="none",
        format="%g",
        help="The larger of the two models’ values is at least this.",
    )
    max_q = st.number_input(
        "Largest q",
        min_value=0.0,
        max_value=1.0,
        value=None,
        step=0.01,
        key="max_q",
        bind="query-params",
        placeholder="none",
        format="%g",
        help="Only features whose q for the question is at most this. Of all features with such a q, about this share "
        f"is expected to be noise; of a part that was selected by something else, it may be more. {CAVEAT}",
    )
    return min_value, max_q
