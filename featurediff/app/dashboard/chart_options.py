"""The sidebar's choice of metric and chart, and what a reader can set of the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import streamlit as st

from featurediff.app.session import LABELLED, OPEN_ON_CLICK
from featurediff.app.url import settle
from featurediff.charts.view import DEFAULT_METRIC, View

if TYPE_CHECKING:
    from featurediff.charts.scale import Choice
    from featurediff.charts.view import Kind
    from featurediff.labels import Labels
    from featurediff.study import Study

SCALES = {"auto": "Auto", "linear": "Linear", "sqrt": "√", "symlog": "Log"}
CHARTS = {"scatter": "Scatter", "volcano": "Volcano", "ranking": "Ranking"}
SPREAD = "spread"
BY_SHARE = "by_share"
LABELLED_POINTS = {"top": "The first 5", "starred": "Starred ones", "ids": "Pasted ids", "none": "None"}


class ChartOptions(NamedTuple):
    """What a reader sets of the chart, as the fields of `View` are called."""

    scale: Choice
    """The axes' scale."""

    spread: bool
    """Whether coincident points get places of their own."""

    top: int
    """Of a ranking, how many increases and how many decreases of each position."""

    by_share: bool
    """Whether a ranking goes by the shares of what differs between the models."""


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


def choose_chart_options(kind: Kind, study: Study) -> ChartOptions:
    """Draw the widgets of what can be set of a kind of chart, and return what they say."""
    scale = choose_scale(kind)
    choose_point_labels(kind)
    spread = choose_spread(kind)
    top = choose_top(kind)
    choose_click()
    return ChartOptions(scale, spread, top, choose_order(kind, study))


def choose_scale(kind: Kind) -> Choice:
    """Draw the widget of the axes' scale."""
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
    return cast("Choice", scale)


def choose_point_labels(kind: Kind) -> None:
    """Draw the widget of which points carry a label."""
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


def choose_spread(kind: Kind) -> bool:
    """Draw the switch of whether coincident points get places of their own."""
    return st.toggle(
        "Spread points",
        True,
        key=SPREAD,
        disabled=kind == "ranking",
        bind="query-params",
        help="Gives every point a place of its own: features silent in one model stand in a shaded gutter, "
        "coincident ones beside each other. Off: exact coordinates.",
    )


def choose_top(kind: Kind) -> int:
    """Draw the widget of the length of a ranking."""
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
    return int(top)


def choose_click() -> None:
    """Draw the switch of what a click on a point does besides picking it."""
    st.toggle(
        "Open page on click",
        False,
        key=OPEN_ON_CLICK,
        bind="query-params",
        help="A click on a point also opens its Neuronpedia page in a new tab.",
    )


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
