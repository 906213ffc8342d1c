"""The sidebar: what a reader chooses to see, all of it in the URL but for the page of a feature."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import streamlit as st

from featurediff.app import thresholds
from featurediff.app.dashboard import filters
from featurediff.app.dashboard.chart_options import BY_SHARE, SPREAD, choose_chart_options, choose_kind, choose_metric
from featurediff.app.dashboard.events import clear_box, drop_box
from featurediff.app.dashboard.grouping import choose_groups
from featurediff.app.dashboard.labels_and_links import choose_labels_and_links
from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import OPEN_ON_CLICK, session
from featurediff.app.url import bad_numbers, settle
from featurediff.charts.view import View
from featurediff.features.evidence import ALPHA
from featurediff.features.questions import QUESTIONS, is_tested
from featurediff.labels import Labels
from featurediff.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streamlit.delta_generator import DeltaGenerator

    from featurediff.app.dashboard.kept import KeptCounts
    from featurediff.features.listing import By
    from featurediff.features.questions import Family, Question

QUESTION = "question"


def choose_view(
    study: Study,
    types: tuple[str, ...],
    above: tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator],
    count: Callable[[View], tuple[Mapping[Question, int], KeptCounts]],
) -> View:
    """
    Draw the widgets of everything that a reader chooses to see, and return what they say.

    Parameters
    ----------
    study : Study
        The source.
    types : tuple of str
        The types of its explanations.
    above : tuple of three containers
        Where the question is asked, in the sidebar; where the kind of chart is chosen, and where is searched, in the
        main pane.
    count : callable
        View → how many features each question keeps, as far as that is known, and how many of each kind this one keeps.
    """
    if st.session_state.get(SPREAD) is None:  # its widgets are drawn for the first time
        session().url_faults += bad_values()
    settle(QUESTION, QUESTIONS)  # it stands first, and is drawn last, when its counts are known
    first, kinds, search = above
    legend, below = st.sidebar.container(), st.sidebar.container()
    with below:
        labels = choose_labels_and_links(study, types)
    with kinds:
        kind = choose_kind()
    with legend:
        metric = choose_metric(study, labels)
    with below:
        with st.expander("Chart options", icon=":material/scatter_plot:"):
            options = choose_chart_options(kind, study)
            choose_groups()
        with st.expander("More filters", icon=":material/filter_alt:"):
            by = choose_rows()
            ids, min_value = filters.choose_few(labels, metric)
        rule = thresholds.choose_thresholds(labels)
        alpha, family = choose_tests()
        offer_reset()
    if kind == "volcano" and not is_tested(metric):
        legend.info(f"Nothing tests {escape_markdown(labels.metric(metric).lower())}, so it has no volcano.")
        kind = "scatter"
    question = cast("Question", st.session_state[QUESTION])
    view = View(metric, rule, labels=labels, chart=kind, question=question, alpha=alpha, family=family, by=by)
    view = replace(view, **options._asdict())
    by_question, kept = count(view)
    with first:
        ask(labels, by_question)
    with legend:
        chosen = filters.choose_legend(view, kept, study.results.token_types)
    with search:
        text = filters.search_texts(are_explained=study.explanations is not None)
    return replace(view, filters=replace(chosen, search=text, ids=ids, min_value=min_value))


def ask(labels: Labels, counts: Mapping[Question, int]) -> None:
    """Draw the widget of the question, with how many features each choice keeps as far as that is known."""
    st.radio(
        "Question",
        QUESTIONS,
        key=QUESTION,
        format_func=lambda name: (
            escape_markdown(labels.question(name)) + (f" ({counts[name]:,})" if name in counts else "")
        ),
        help="Which features are kept. “Active on … only” is the published rule: active on target prompts and on no "
        "control prompt. “Changed”: the chat model uses the feature more or less than the base model does.",
        on_change=drop_box,
    )


def choose_rows() -> By:
    """Draw the widget of whether the table lists a feature once."""
    settle("by", ("position", "feature"))
    by = st.segmented_control(
        "The table lists a feature",
        ("position", "feature"),
        required=True,
        key="by",
        format_func=lambda name: {"position": "at each position", "feature": "once"}[name],
        help="Once: at the position that comes first, the others in brackets. Downloads of the "
        "table follow; the chart shows all positions.",
    )
    return cast("By", by)


def choose_tests() -> tuple[float, Family]:
    """Draw the widgets of alpha and of what is corrected for together."""
    with st.expander("What counts as changed", icon=":material/science:"):
        alpha = thresholds.choose_largest_q("q at most", "alpha", "Features with at most this q are kept by “Changed”.")
        return alpha, thresholds.choose_family()


def bad_values() -> list[str]:
    """Report numbers and switches in the URL that cannot be read; Streamlit drops them without a word."""
    faults = bad_numbers({"top": (1, 100), "alpha": (0, 1), **filters.BOUNDS, **thresholds.BOUNDS}, whole=["top"])
    for name in (SPREAD, OPEN_ON_CLICK, "evidence", BY_SHARE):
        values = st.query_params.get_all(name)[-1:]
        faults += [f"{name}={v[:60]} is neither true nor false" for v in values if v.lower() not in ("true", "false")]
    return faults


def offer_reset() -> None:
    """Draw the button that sets every filter to its default."""
    st.button(
        "Reset filters",
        key="reset",
        on_click=reset,
        icon=":material/restart_alt:",
        width="stretch",
        help="Every filter and threshold goes back to its default, and the box goes; metric and labels stay.",
    )


def reset() -> None:
    """Set every filter and threshold to its default, and clear the box."""
    st.session_state.update(filters.DEFAULTS | thresholds.DEFAULTS | {"alpha": ALPHA, "family": "position"})
    clear_box()
    session().url_faults = []
