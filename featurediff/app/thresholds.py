"""What counts as exclusive and what as evidence, and what is corrected for together: the widgets of both pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import streamlit as st

from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.app.url import settle
from featurediff.errors import DataError
from featurediff.features.evidence import ALPHA, CAVEAT
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.labels import PROMPTS, Labels

if TYPE_CHECKING:
    from featurediff.features.questions import Family

DEFAULTS: dict[str, object] = {"unit": "prompts", "min_target": 1.0, "max_control": 0.0}
"""Key of each widget, which is also its name in the URL → its default."""

BOUNDS = {"min_target": (0, math.inf), "max_control": (0, math.inf)}
"""Numbers in the URL → the least and the largest that is accepted."""


def choose_thresholds(labels: Labels) -> Thresholds:
    """Draw the widgets of the two thresholds, and return them; ones that cannot be used are reported and replaced."""
    with st.expander("What counts as exclusive", icon=":material/rule:"):
        settle("unit", ("prompts", "percent"))
        unit = st.segmented_control(
            "Counted in",
            ("prompts", "percent"),
            required=True,
            key="unit",
            help="Percent: of each model’s own number of prompts, without rounding.",
        )
        share = unit == "percent"
        target, control = (
            st.number_input(
                f"{bound} {'% of ' if share else ''}{escape_markdown(labels.of(prompts))} prompts",
                min_value=0.0,
                value=value,
                step=1.0,
                format="%g",
                key=name,
                bind="query-params",
                help="A feature is exclusive to a model in which it is active on at least this many target prompts "
                "and on at most this many control prompts.",
            )
            for prompts, name, bound, value in zip(
                PROMPTS, ("min_target", "max_control"), ("At least", "At most"), (1.0, 0.0), strict=True
            )
        )
    try:
        return Thresholds(_read(target, share), _read(control, share))
    except DataError as error:
        show_error("These thresholds are not used.", error)
        return Thresholds()


def choose_largest_q(text: str, key: str, meaning: str) -> float:
    """Draw the widget of the largest q that is evidence; `meaning` is a sentence for its help."""
    largest = st.number_input(
        text,
        min_value=0.0,
        max_value=1.0,
        value=ALPHA,
        step=0.01,
        key=key,
        bind="query-params",
        format="%g",
        help=f"{meaning} {CAVEAT}",
    )
    return float(largest)


def choose_family() -> Family:
    """Draw the widget of what is corrected for together."""
    settle("family", ("position", "source"))
    family = st.segmented_control(
        "Corrected for",
        ("position", "source"),
        required=True,
        key="family",
        format_func=lambda name: {"position": "each position", "source": "all positions"}[name],
        help="q corrects for the features of one position, or of all positions of the source. It never corrects for "
        "asking several questions, or for looking at mean and frequency.",
    )
    return cast("Family", family)


def _read(value: float, share: bool) -> Threshold:
    """Return a threshold of so many prompts, or of so many percent of the prompts."""
    if not share and not value.is_integer():
        msg = f"A number of prompts is whole, but {value:g} was given. Count in percent for a share of them."
        raise DataError(msg)
    return Threshold.parse(f"{value:.15g}" + "%" * share)
