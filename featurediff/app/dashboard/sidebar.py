"""The sidebar: what a reader chooses to see, all of it in the URL but for the page of a feature."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import streamlit as st

from featurediff.app import thresholds
from featurediff.app.dashboard import filters
from featurediff.app.dashboard.events import clear_box, drop_box
from featurediff.app.dashboard.grouping import choose_groups
from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import EXPLANATION_TYPE, LABELLED, OPEN_ON_CLICK, TEMPLATE, session
from featurediff.app.sources import settings
from featurediff.app.url import MOST_LABEL, bad_numbers, settle
from featurediff.charts.view import DEFAULT_METRIC, View
from featurediff.features.evidence import ALPHA, CAVEAT
from featurediff.features.filters import Filters
from featurediff.features.questions import QUESTIONS, is_tested
from featurediff.labels import Labels
from featurediff.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streamlit.delta_generator import DeltaGenerator

    from featurediff.app.dashboard.opened import KeptCounts
    from featurediff.charts.scale import Choice
    from featurediff.charts.view import Kind
    from featurediff.features.listing import By
    from featurediff.features.questions import Family, Question

SCALES = {"auto": "Auto", "linear": "Linear", "sqrt": "√", "symlog": "Log"}
CHARTS = {"scatter": "Scatter", "volcano": "Volcano", "ranking": "Ranking"}
SPREAD = "spread"
QUESTION = "question"
BY_SHARE = "by_share"
LABELLED_POINTS = {"top": "The first 5", "starred": "Starred ones", "ids": "Pasted ids", "none": "None"}


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
    with below, st.expander("Labels and links", icon=":material/label:"):
        labels = study.labelled(choose_labels())
        choose_links(types)
    if labels.are_alike:
        below.warning("Two labels are the same, so the default ones are used.", icon=":material/label_off:")
        labels = Labels()
    with kinds:
        kind = choose_kind()
    with legend:
        metric = choose_metric(study, labels)
    with below:
        with st.expander("Chart options", icon=":material/scatter_plot:"):
            scale, spread, top = choose_axes(kind)
            by_share = choose_order(kind, study)
            choose_groups()
        with st.expander("More filters", icon=":material/filter_alt:"):
            by = choose_rows()
            ids, min_value = filters.choose_few(labels, metric)
        rule = thresholds.choose_thresholds(labels)
        alpha, family = choose_tests()
        st.button(
            "Reset filters",
            key="reset",
            on_click=reset,
            icon=":material/restart_alt:",
            width="stretch",
            help="Every filter and threshold goes back to its default, and the box goes; metric and labels stay.",
        )
    if kind == "volcano" and not is_tested(metric):
        legend.info(f"Nothing tests {escape_markdown(labels.metric(metric).lower())}, so it has no volcano.")
        kind = "scatter"
    question = cast("Question", st.session_state[QUESTION])
    view = View(
        metric, rule, Filters(), labels, scale, spread, kind, question, alpha, family, top, by_share=by_share, by=by
    )
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
        alpha = st.number_input(
            "q at most",
            min_value=0.0,
            max_value=1.0,
            value=ALPHA,
            step=0.01,
            key="alpha",
            bind="query-params",
            format="%g",
            help=f"Features with at most this q are kept by “Changed”. {CAVEAT}",
        )
        family = thresholds.choose_family()
    return float(alpha), family


def bad_values() -> list[str]:
    """Report numbers and switches in the URL that cannot be read; Streamlit drops them without a word."""
    faults = bad_numbers({"top": (1, 100), "alpha": (0, 1), **filters.BOUNDS, **thresholds.BOUNDS}, whole=["top"])
    for name in (SPREAD, OPEN_ON_CLICK, "evidence", BY_SHARE):
        values = st.query_params.get_all(name)[-1:]
        faults += [f"{name}={v[:60]} is neither true nor false" for v in values if v.lower() not in ("true", "false")]
    return faults


def reset() -> None:
    """Set every filter and threshold to its default, and clear the box."""
    st.session_state.update(filters.DEFAULTS | thresholds.DEFAULTS | {"alpha": ALPHA, "family": "position"})
    clear_box()
    session().url_faults = []


def choose_kind() -> Kind:
    """Draw the widget of the kind of chart."""
    settle("chart", tuple(CHARTS))
    kind = st.segmented_control(
        "Chart",
        list(CHARTS),
        required=True,
        key="chart",
        format_func=lambda name: CHARTS[name],
        label_visibility="collapsed",
        help="Scatter: base against chat. Volcano: change from base to chat against the evidence for it. Ranking: the "
        "largest changes, with intervals.",
    )
    return cast("Kind", kind)


def choose_metric(study: Study, labels: Labels) -> str:
    """Draw the widget of the metric."""
    metrics = study.results.metrics
    settle("metric", sorted(metrics, key=lambda name: name != DEFAULT_METRIC))
    metric: str = st.selectbox(
        "Metric",
        metrics,
        key="metric",
        format_func=labels.metric,
        help="What the chart shows, and whether changes are tested of the mean or of the frequency.",
    )
    return metric


def choose_axes(kind: Kind) -> tuple[Choice, bool, int]:
    """Draw the widgets of scale and spread, of the length of a ranking, and of what a click does."""
    settle("scale", tuple(SCALES))
    scale = st.segmented_control(
        "Axis scale",
        list(SCALES),
        required=True,
        key="scale",
        disabled=kind == "ranking",
        format_func=lambda name: SCALES[name],
        width="stretch",
        help="Linear, square root or symmetric logarithm. Auto takes the square root where most points would crowd "
        "into a corner.",
    )
    settle(LABELLED, tuple(LABELLED_POINTS))
    st.selectbox(
        "Labels on points",
        list(LABELLED_POINTS),
        key=LABELLED,
        disabled=kind == "ranking",
        format_func=lambda name: LABELLED_POINTS[name],
        help="The first 5: those with evidence first, and of them those that surely changed most. A label that would "
        "cover points, another label or a gutter is left out; a zoom keeps the labels.",
    )
    spread = st.toggle(
        "Spread points",
        True,
        key=SPREAD,
        disabled=kind == "ranking",
        bind="query-params",
        help="Gives every point a place of its own: features silent in one model stand in a shaded gutter, "
        "coincident ones beside each other. Off: exact coordinates.",
    )
    top = st.number_input(
        "Increases and decreases in the ranking",
        1,
        100,
        View.top,
        key="top",
        disabled=kind != "ranking",
        bind="query-params",
        help="How many of each are listed, at each position.",
    )
    st.toggle(
        "Open page on click",
        False,
        key=OPEN_ON_CLICK,
        bind="query-params",
        help="A click on a point also opens its Neuronpedia page in a new tab.",
    )
    return cast("Choice", scale), spread, int(top)


def choose_order(kind: Kind, study: Study) -> bool:
    """Draw the switch of what a ranking goes by."""
    has_shares = study.sae_fit.shares is not None
    chosen = st.toggle(
        "Rank by share of the difference",
        False,
        key=BY_SHARE,
        disabled=kind != "ranking" or not has_shares,
        bind="query-params",
        help="Those first that carry most of what differs between the models’ means, on target prompts."
        if has_shares
        else "This source has no difference.parquet, which says it.",
    )
    return chosen and has_shares


def choose_labels() -> Labels:
    """Draw the widgets of what models and prompts are called; an empty one means the default."""
    words = {
        name: st.text_input(
            text,
            getattr(Labels, name),
            key=f"{name}_label",
            bind="query-params",
            max_chars=MOST_LABEL,
            help="What charts, table and exported pages call it. Where a model has the default word or none, it is "
            "called what its file calls it.",
        )
        for name, text in (
            ("base", "Base model"),
            ("chat", "Chat model"),
            ("target", "Target prompts"),
            ("control", "Control prompts"),
        )
    }
    return Labels(**{name: word.strip() or getattr(Labels, name) for name, word in words.items()})


def choose_links(types: tuple[str, ...]) -> None:
    """Draw the widgets of explanations and pages; the script has read their values already, to open the source."""
    if len(types) > 1:
        st.selectbox(
            "Explanations preferred",
            ["", *types],
            key=EXPLANATION_TYPE,
            format_func=lambda name: name or "any type",
            help="Where a feature has several explanations, the one of this type is shown.",
        )
    st.text_input(
        "Page of a feature",
        settings().neuronpedia_template,
        key=TEMPLATE,
        placeholder="https://…/{feature_id}",
        help="Opens this page instead of the Neuronpedia page that is known for the SAE.",
    )
