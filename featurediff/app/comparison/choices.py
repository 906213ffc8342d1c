"""What a reader chooses to compare, all of it in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from featurediff.app import thresholds
from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import session
from featurediff.app.thresholds import choose_family, choose_largest_q, choose_thresholds
from featurediff.app.url import COMPARISON, LABELS, MOST_LABEL, bad_numbers, enter, settle, surplus
from featurediff.features.questions import QUESTIONS, Asked, Family, Question
from featurediff.features.thresholds import Thresholds
from featurediff.labels import Labels

if TYPE_CHECKING:
    from collections.abc import Collection

MOST_SOURCES = 12

METRICS = {"target_all_mean": "mean", "target_sparsity": "frequency"}
"""The metrics whose changes are tested."""


def follow_link() -> Labels:
    """Report what of a new link is not used, and return its labels: the only choice that has no widget here."""
    here, is_new = session(), enter(COMPARISON)
    if is_new:
        here.url_faults = surplus(COMPARISON, many=("sources",))
        here.url_faults += bad_numbers({"max_q": (0, 1), **thresholds.BOUNDS})
    words = {name.removesuffix("_label"): st.query_params.get(name, "").strip()[:MOST_LABEL] for name in LABELS}
    labels = Labels(**{name: word or getattr(Labels, name) for name, word in words.items()})
    if not labels.are_alike:
        return labels
    here.url_faults += ["labels of which two are the same"] * is_new
    return Labels()


@dataclass(frozen=True)
class Choices:
    """What is compared."""

    names: list[str]
    """Of the sources."""

    asked: Asked
    """The question, the metric, and the largest q that is evidence."""

    family: Family
    """What q is corrected for together."""

    thresholds: Thresholds
    """What counts as exclusive."""


def choose(offered: Collection[str], labels: Labels) -> Choices:
    """Draw the sidebar’s widgets, and return what they say."""
    names = list(offered)
    settle("sources", names, many=True)
    with st.sidebar:
        question = choose_question(labels)
        chosen = st.multiselect(
            "Sources",
            names,
            key="sources",
            placeholder=f"The first {MOST_SOURCES}" if len(names) > MOST_SOURCES else "All",
            help=f"Folders with base.pt and chat.pt. None chosen: all, but no more than the first {MOST_SOURCES}.",
        )
        metric, max_q, family = choose_tests()
        rule = choose_thresholds(labels)
    return Choices(chosen or names[:MOST_SOURCES], Asked(question, metric, max_q), family, rule)


def choose_question(labels: Labels) -> Question:
    """Draw the widget of the question, and return it."""
    settle("question", QUESTIONS)
    return st.radio(
        "Question",
        QUESTIONS,
        key="question",
        format_func=lambda name: escape_markdown(labels.question(name)),
        help="Which features are counted and drawn. “Active on … only” is the published rule: active on target prompts "
        "and on no control prompt. “Changed”: the chat model uses the feature more or less than the base model does.",
    )


def choose_tests() -> tuple[str, float, Family]:
    """Draw the widgets of the tests, and return the metric, the largest q and what is corrected for together."""
    max_q = choose_largest_q("Evidence: q at most", "max_q", "“Changed” keeps features with at most this q.")
    with st.expander("What counts as changed", icon=":material/science:"):
        settle("metric", tuple(METRICS))
        metric = st.segmented_control(
            "Change of the",
            tuple(METRICS),
            required=True,
            key="metric",
            format_func=lambda name: METRICS[name],
            help="Mean activation over all prompts, or the share of prompts on which a feature is active.",
        )
        family = choose_family()
    return str(metric), max_q, family
