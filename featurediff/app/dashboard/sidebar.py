"""The sidebar: what a reader chooses to see, all of it in the URL."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, cast

import streamlit as st

from featurediff.app.dashboard.session import clear_box, import_stars, stars_here
from featurediff.app.dashboard.stars import stars_csv
from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.app.sources import settings
from featurediff.app.url import MOST_LABEL, bad_numbers, settle
from featurediff.charts.view import DEFAULT_METRIC, View
from featurediff.errors import DataError
from featurediff.features.evidence import CAVEAT
from featurediff.features.filters import Filters, parse_ids
from featurediff.features.table import Threshold, Thresholds
from featurediff.labels import EXCLUSIVITIES, PROMPTS, Labels
from featurediff.study import Study
from featurediff.wording import plural

if TYPE_CHECKING:
    from featurediff.charts.scale import Choice
    from featurediff.charts.view import Kind
    from featurediff.features.filters import Consistency

state = st.session_state

FILTERS: dict[str, object] = {
    "token_types": [],
    "exclusivity": [],
    "consistency": "all",
    "search": "",
    "ids": "",
    "min_value": None,
    "max_q": None,
    "unit": "prompts",
    "min_target": 1.0,
    "max_control": 0.0,
}
NUMBERS = {
    "top": (1, 100),
    "min_value": (-math.inf, math.inf),
    "max_q": (0, 1),
    "min_target": (0, math.inf),
    "max_control": (0, math.inf),
}
SCALES = {"auto": "Auto", "linear": "Linear", "sqrt": "√", "symlog": "Log"}
CONSISTENCIES = {"all": "All", "consistent": "Consistent only", "inconsistent": "Inconsistent only"}
CHARTS = {"scatter": "Scatter", "volcano": "Volcano", "ranking": "Ranking"}


def reset() -> None:
    """Set every filter and threshold to its default."""
    state.update(FILTERS)
    clear_box()
    state["url_faults"] = []


def bad_values() -> list[str]:
    """Say which numbers and switches of the URL are none; Streamlit drops them without a word."""
    faults = bad_numbers(NUMBERS, whole=["top"])
    for name in ("spread", "open", "in_place"):
        values = st.query_params.get_all(name)[-1:]
        faults += [f"{name}={v[:60]} is neither true nor false" for v in values if v.lower() not in ("true", "false")]
    return faults


def choose_view(study: Study, types: tuple[str, ...]) -> View:
    """Draw the sidebar's widgets for a source, and return what they say; all of it lives in the URL."""
    if state.get("spread") is None:
        state["url_faults"] += bad_values()
    above, below = st.sidebar.container(), st.sidebar.container()
    with below:
        labels = choose_labels(types)
    with above:
        st.subheader("Chart")
        kind, top = choose_kind()
        metric, scale, spread = choose_chart(study, labels, kind)
        st.subheader("Filters")
        filters = choose_filters(study, labels)
        thresholds = choose_thresholds(labels)
        st.button(
            "Reset filters",
            key="reset",
            on_click=reset,
            icon=":material/restart_alt:",
            width="stretch",
            help="Every filter and threshold goes back to its default, and the box goes; metric and labels stay.",
        )
    return View(metric, thresholds, filters, labels, scale, spread, kind, top=top)


def choose_kind() -> tuple[Kind, int]:
    """Draw the widgets of what is drawn; and of how much of a ranking."""
    settle("chart", tuple(CHARTS))
    kind = st.segmented_control(
        "Chart",
        list(CHARTS),
        required=True,
        key="chart",
        format_func=lambda name: CHARTS[name],
        width="stretch",
        label_visibility="collapsed",
        help="Scatter: base against chat. Volcano: change from base to chat against the evidence for it. Ranking: the "
        "largest changes, with intervals.",
    )
    if kind != "ranking":
        return cast("Kind", kind), View.top
    top = st.number_input(
        "Increases and decreases",
        1,
        100,
        View.top,
        key="top",
        bind="query-params",
        help="How many of each are listed, at each position.",
    )
    return cast("Kind", kind), int(top)


def choose_chart(study: Study, labels: Labels, kind: Kind) -> tuple[str, Choice, bool]:
    """Draw the widgets of what the axes show, and how."""
    metrics = study.results.metrics
    settle("metric", sorted(metrics, key=lambda name: name != DEFAULT_METRIC))
    metric = st.selectbox(
        "Metric",
        metrics,
        key="metric",
        format_func=labels.metric,
        help="What the chart shows, and what the table’s difference is of.",
    )
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
    spread = st.toggle(
        "Spread points",
        True,
        key="spread",
        disabled=kind == "ranking",
        bind="query-params",
        help="Gives every point a place of its own: features silent in one model stand in a shaded gutter, "
        "coincident ones beside each other. Off: exact coordinates.",
    )
    st.toggle(
        "Open page on click",
        False,
        key="open",
        bind="query-params",
        help="A click on a point also opens its Neuronpedia page in a new tab.",
    )
    return metric, cast("Choice", scale), spread


def choose_labels(types: tuple[str, ...]) -> Labels:
    """Draw the widgets of labels, and those of page and explanations, which are read before they are drawn."""
    with st.expander("Labels and links", icon=":material/label:"):
        words = {
            name: st.text_input(
                text,
                getattr(Labels, name),
                key=f"{name}_label",
                bind="query-params",
                max_chars=MOST_LABEL,
                help="What charts, table and exported pages call it. Empty: the default.",
            )
            for name, text in (
                ("base", "Base model"),
                ("chat", "Chat model"),
                ("target", "Target prompts"),
                ("control", "Control prompts"),
            )
        }
        if len(types) > 1:
            st.selectbox(
                "Explanations preferred",
                ["", *types],
                key="explanation_type",
                format_func=lambda name: name or "any type",
                help="Where a feature has several explanations, the one of this type is shown.",
            )
        st.toggle(
            "Show the page in place",
            True,
            key="in_place",
            bind="query-params",
            help="The details of a feature show its Neuronpedia page, which your browser then fetches.",
        )
        st.text_input(
            "Page of a feature",
            settings().neuronpedia_template,
            key="neuronpedia_template",
            placeholder="https://…/{feature_id}",
            help="Opens this page instead of the Neuronpedia page that is known for the SAE.",
        )
    labels = Labels(**{name: word.strip() or getattr(Labels, name) for name, word in words.items()})
    if labels.are_alike:
        st.warning("Two labels are the same, so the default ones are used.", icon=":material/label_off:")
        return Labels()
    return labels


def choose_groups(study: Study, labels: Labels) -> tuple[tuple[str, ...], tuple[str, ...], Consistency]:
    """Draw the widgets of the filters by position, exclusivity and consistency."""
    for name, options in (
        ("token_types", study.results.token_types),
        ("exclusivity", EXCLUSIVITIES),
        ("consistency", tuple(CONSISTENCIES)),
    ):
        settle(name, options, many=name != "consistency")
    token_types = st.pills(
        "Position",
        study.results.token_types,
        selection_mode="multi",
        key="token_types",
        format_func=escape_markdown,
        help="Token of the chat template at which the SAE was read. None chosen: all.",
    )
    exclusivity = st.pills(
        "Exclusive in",
        EXCLUSIVITIES,
        selection_mode="multi",
        key="exclusivity",
        format_func=lambda which: escape_markdown(labels.short_category(which)),
        help="The model in which the feature fires on target prompts and not on control prompts. It may still fire in "
        "the other model; choose “Consistent only” as well to leave out those that its control prompts contradict.",
    )
    consistency = st.selectbox(
        "Consistency",
        list(CONSISTENCIES),
        key="consistency",
        format_func=lambda name: CONSISTENCIES[name],
        help="Inconsistent: exclusive in one model, but active on the other model’s control prompts (red border).",
    )
    return tuple(token_types), tuple(exclusivity), cast("Consistency", consistency)


def choose_filters(study: Study, labels: Labels) -> Filters:
    """Draw the filters' widgets."""
    token_types, exclusivity, consistency = choose_groups(study, labels)
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
        help="Only features with at most this q, in a model in which they are exclusive: of those that pass, about "
        f"this share is expected to be noise. {CAVEAT}",
    )
    try:
        wanted = parse_ids(ids or "")
    except DataError as error:
        show_error("The feature ids are not used.", error)
        wanted = ()
    return Filters(
        token_types,
        exclusivity,
        consistency,
        min_value,
        (search or "").strip(),
        wanted,
        max_q,
    )


def choose_stars() -> bool:
    """Draw the widgets of stars and notes, and return whether only starred features are wanted."""
    with st.expander("Stars and notes", icon=":material/star:"):
        st.caption(f"{plural(len(stars_here()), 'feature')} of this source starred.")
        only = st.toggle(
            "Starred only",
            key="starred",
            help="Narrows table, counts and downloads to the features that you starred in this source.",
        )
        st.download_button(
            "Download stars and notes",
            partial(stars_csv, dict(state["stars"])),  # a session's state cannot be read while a download is built
            "featurediff_stars.csv",
            "text/csv",
            key="download_stars",
            icon=":material/download:",
            on_click="ignore",
            disabled=not state["stars"],
            width="stretch",
            help="Of all sources of this session, as CSV. They are forgotten when you leave.",
        )
        st.file_uploader(
            "Bring stars and notes back (CSV)",
            type="csv",
            key="stars_file",
            on_change=import_stars,
            help="A file that was downloaded here; it is added to the stars you have.",
        )
        if state["stars_error"]:
            show_error("These stars are not used.", state["stars_error"])
    return only


def choose_thresholds(labels: Labels) -> Thresholds:
    """Draw the thresholds' widgets."""
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
                help="A feature is exclusive to a model that it is active in on at least so many target prompts, and "
                "on at most so many control prompts.",
            )
            for prompts, name, bound, value in zip(
                PROMPTS, ("min_target", "max_control"), ("At least", "At most"), (1.0, 0.0), strict=True
            )
        )
    try:
        return Thresholds(read_threshold(target, share), read_threshold(control, share))
    except DataError as error:
        show_error("These thresholds are not used.", error)
        return Thresholds()


def read_threshold(value: float, share: bool) -> Threshold:
    """Return what a number means: percent of the prompts, or whole prompts."""
    if not share and not value.is_integer():
        msg = f"A number of prompts is whole, but {value:g} was given. Count in percent for a share of them."
        raise DataError(msg)
    return Threshold.parse(f"{value:.15g}" + "%" * share)
