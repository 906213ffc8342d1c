"""Dashboard: which SAE features a chat model uses differently from its base model."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import streamlit as st

from featurediff import demo, export
from featurediff.changes import rank, ranking_csv
from featurediff.charts import make_chart
from featurediff.cli import parse_ids
from featurediff.diff import (
    Filters,
    Threshold,
    Thresholds,
    blocking_filter,
    by_difference,
    filter_table,
    rows_of,
)
from featurediff.errors import DataError
from featurediff.explanations import Explanations, parse_explanations, read_explanations
from featurediff.figures import Run, heading, mark
from featurediff.files import FileIdentity
from featurediff.labels import EXCLUSIVITIES, PROMPTS, VERSIONS, Labels
from featurediff.neuronpedia import MOST_LISTED, quick_list_url
from featurediff.results import parse_results, read_results
from featurediff.significance import ALPHA, CAVEAT, evidence_counts
from featurediff.sources import Source
from featurediff.stars import MAX_NOTE, Key, parse_stars, stars_csv
from featurediff.study import DEFAULT_METRIC, Study, View, assemble
from featurediff.wording import plural
from pages import (
    COMPARISON,
    DASHBOARD,
    DEMO,
    UPLOAD,
    bad_numbers,
    demo_sources,
    identify,
    list_sources,
    open_page,
    plain,
    settings,
    settle,
    show_error,
    write_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import plotly.graph_objects as go

    from featurediff.activations import Activations
    from featurediff.charts import Chart, Kind
    from featurediff.diff import Consistency
    from featurediff.scales import Choice

DATA = Path(__file__).parent / "featurediff" / "data"
MOST_ROWS = 20_000
MOST_IDS = 1_000
SCALES = {"auto": "Auto", "linear": "Linear", "sqrt": "√", "symlog": "Log"}
CONSISTENCIES = {"all": "All", "consistent": "Consistent only", "inconsistent": "Inconsistent only"}
CHARTS = {"scatter": "Scatter", "volcano": "Volcano", "ranking": "Ranking"}
CHART_WIDTH, CHART_HEIGHT = 880, 560

st.set_page_config(page_title="featurediff", page_icon=str(DATA / "icon.png"), layout="wide")

dashboard, comparison = st.Page(DASHBOARD, default=True), st.Page(COMPARISON)
left = st.session_state.setdefault("left", {})
if st.navigation([dashboard, comparison], position="hidden") is comparison:
    for name in ("picked", "subset", "drawn"):
        st.session_state.pop(name, None)  # back on the dashboard, its URL says what is shown
    comparison.run()
    st.stop()
if "source" not in st.query_params and DASHBOARD in left:  # the browser’s way back leads to an address without one
    st.switch_page(DASHBOARD, query_params=left.pop(DASHBOARD))

# ----------------------------------------------------------------------------
# Set things up.

CHART_LINK = st.components.v2.component("featurediff_chart_link", js=(DATA / "chart_link.js").read_text("utf-8"))


@dataclass(frozen=True)
class Drawn:
    """What the chart was drawn for, and how it began; a box or zoom made since then is in the browser alone."""

    figure: int
    """Identifies everything that the figure shows."""

    axes: str
    """Identifies what its axes mean: a zoom is carried over only to the same ones."""

    zoom: tuple[float, float, float, float] | None
    """Left, right, lower and upper end in drawn units; None for the whole range."""

    marked: tuple[tuple[str, int], ...]
    """Features of a box that an earlier figure showed: this one dims the others."""


@st.cache_resource(max_entries=8, show_spinner=False)
def refer(key: tuple[str, ...], template: str, preferred: str | None, _study: Study) -> Study:
    """Return a study with another page and another preferred type of explanation; `key` is that of its files."""
    del key
    return _study.referring(template or None, preferred)


@st.cache_resource(max_entries=4, show_spinner="Reading the results…")
def read_study(identity: tuple[FileIdentity, ...], _source: Source) -> Study:
    """Read a source; `identity` is that of its files, so that a replaced file is read again."""
    del identity
    results = read_results(_source.folder)
    file = _source.explanations
    return assemble(results, _source, read_explanations(file, results.num_features) if file else None)


@st.cache_resource(max_entries=2, ttl="2h", show_spinner="Reading the uploaded files…")
def parse_study(ids: tuple[str, ...], _files: Sequence[Any]) -> Study:
    """Check uploaded files; `ids` are the upload's own."""
    del ids
    base, chat, texts = _files
    results = parse_results(base.getvalue(), chat.getvalue(), base.name, chat.name)
    explanations: Explanations | None = None
    if texts:
        explanations = parse_explanations(texts.getvalue(), texts.name, results.num_features)
    return assemble(results, None, explanations)


@st.cache_resource(max_entries=8, show_spinner=False)
def keep(key: tuple[str, ...], thresholds: Thresholds, _study: Study) -> pd.DataFrame:
    """Return the feature table; `key` is that of the files and of the pages."""
    del key
    return _study.table(thresholds)


@st.cache_resource(max_entries=32, show_spinner=False)
def list_prompts(key: tuple[str, ...], feature_id: int, token_type: str, _study: Study) -> pd.DataFrame:
    """Return the prompts on which a feature is active; `_study` has activations."""
    del key
    return cast("Activations", _study.activations).of_feature(feature_id, token_type)


@st.cache_resource(max_entries=8, show_spinner=False)
def find_notes(key: tuple[str, ...], _study: Study) -> list[str]:
    """Return what is odd about the files."""
    del key
    return _study.notes()


@st.cache_resource(max_entries=16, show_spinner=False)
def place(key: tuple[str, ...], view: View, _kept: pd.DataFrame, _run: Run) -> Chart:
    """Return where all kept features stand; the view is one without filters and labels."""
    del key
    return make_chart(_kept, view, _run)


@st.cache_resource(max_entries=16, show_spinner=False)
def draw(key: tuple[str, ...], view: View, drawn: Drawn, cleared: int, _chart: Chart, _rows: pd.DataFrame) -> go.Figure:
    """
    Return the chart of a view as it is to begin; another number of `cleared` boxes makes the browser draw anew.

    Its `meta` has that number, and left, right, lower and upper end of the whole axes.
    """
    del key
    fig = _chart.draw(_rows, view, titled=False)
    whole = [cleared, *fig.layout.xaxis.range, *fig.layout.yaxis.range]
    fig.update_layout(height=fig.layout.height or CHART_HEIGHT, meta=whole)
    if drawn.marked:
        mark(fig, drawn.marked)
    if drawn.zoom:
        fig.update_xaxes(range=drawn.zoom[:2])
        fig.update_yaxes(range=drawn.zoom[2:])
    return fig


def key_of(text: str) -> tuple[str, int] | None:
    """Read the `feature` of a URL, such as `12@newline`."""
    feature_id, _, token_type = text.partition("@")
    return (token_type, int(feature_id)) if re.fullmatch(r"[0-9]{1,9}", feature_id) and token_type else None


def on_picked() -> None:
    """Pick the feature that was clicked in the chart."""
    picked = st.session_state["chart_link"].get("picked")
    if picked:
        pick((str(picked["token_type"]), int(picked["feature_id"])))


def on_row(order: list[tuple[str, int]]) -> None:
    """Pick the feature that stood in the row when it was clicked: a row's number changes with the data."""
    rows = st.session_state[f"table_{st.session_state['round']}"]["selection"]["rows"]
    st.session_state["picked"] = order[rows[0]] if rows else None


def stars_here() -> dict[int, str]:
    """Return the stars of the source that is shown: feature id → note."""
    stars: dict[Key, str] = st.session_state["stars"]
    return {feature_id: note for (source, feature_id), note in stars.items() if source == st.session_state["source"]}


def switch_star(key: Key) -> None:
    """Star a feature, or take its star and note away."""
    if key in st.session_state["stars"]:
        del st.session_state["stars"][key]
        st.session_state["imports"] += 1  # so that the note's box is empty again
    else:
        st.session_state["stars"][key] = ""


def write_note(key: Key, widget: str) -> None:
    """Keep a note, which stars its feature."""
    st.session_state["stars"][key] = st.session_state[widget]


def import_stars() -> None:
    """Add the stars of an uploaded file to those of the session; the file's notes count."""
    file = st.session_state["stars_file"]
    if file is None:
        return
    try:
        st.session_state["stars"] |= parse_stars(file.getvalue(), file.name)
        st.session_state["stars_error"] = None
    except DataError as error:
        st.session_state["stars_error"] = error
    st.session_state["imports"] += 1


def pick(key: tuple[str, int] | None) -> None:
    """Make a feature the one whose details are shown; a new table forgets the row that was marked."""
    table = st.session_state.get(f"table_{st.session_state['round']}")
    st.session_state["picked"] = key
    st.session_state["round"] += bool(table and table["selection"]["rows"])


def on_box() -> None:
    """Keep the features that a box or lasso caught; they survive a redraw of the chart, the drawn box does not."""
    points = st.session_state["scatter"]["selection"]["points"]
    found = ((str(p["legendgroup"]), first_of(p["customdata"])) for p in points if "customdata" in p)
    st.session_state["subset"] = tuple(dict.fromkeys(found))


def first_of(customdata: Any) -> int:  # noqa: ANN401  a scalar, a list or a dict, depending on how it was sent
    """Return the feature id of a point, whichever way the browser sends it."""
    if isinstance(customdata, dict):
        customdata = customdata["0"]
    return int(customdata[0] if isinstance(customdata, list) else customdata)


def forget() -> None:
    """Forget what belongs to the source that was shown."""
    st.session_state["subset"] = ()
    st.session_state["picked"] = None
    st.session_state["url_faults"] = []


def clear_box() -> None:
    """Show all features again, and draw the chart anew: a drawn box cannot be taken back from here."""
    st.session_state["cleared"] += bool(st.session_state["subset"])
    st.session_state["subset"] = ()


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


def reset() -> None:
    """Set every filter and threshold to its default."""
    st.session_state.update(FILTERS)
    clear_box()
    st.session_state["url_faults"] = []


def bad_values() -> list[str]:
    """Say which numbers and switches of the URL are none; Streamlit drops them without a word."""
    faults = bad_numbers(NUMBERS)
    for name in ("spread", "open", "in_place"):
        values = st.query_params.get_all(name)
        faults += [f"{name}={v[:60]} is neither true nor false" for v in values if v.lower() not in ("true", "false")]
    return faults


def show_counts(kept: pd.DataFrame, shown: pd.DataFrame, study: Study, view: View) -> None:
    """Show how many features there are and how many are significant, in all and by position; filters count."""
    labels = view.labels
    max_q = ALPHA if view.filters.max_q is None else view.filters.max_q
    counts = evidence_counts(shown, max_q)
    note = "Kept: exclusive to the target prompts in at least one model. A feature counts once per position."
    families = "; ".join(
        f"{labels.of(version)} at {name}: {study.evidence.exclusive[version, name].family:,}"
        for name in study.results.token_types
        for version in VERSIONS
    )
    tested = (
        f"Significant: q at most {max_q:g} in a model in which the feature is exclusive. q is Fisher’s exact test of "
        f"target over control, corrected for the number of features tested together ({families}). {CAVEAT}"
    )
    total = counts.sum()
    tiles = [
        ("Shown", f"{len(shown):,}", f"of {len(kept):,} kept, {study.results.num_features:,} in the SAE", note),
        ("Kept → significant", f"{total['kept']:,} → {total['significant']:,}", f"q at most {max_q:g}", plain(tested)),
    ]
    symbols = dict(zip(EXCLUSIVITIES, "★●■", strict=True))
    legend = f"★ exclusive in both models, ● in {plain(labels.base)} only, ■ in {plain(labels.chat)} only"
    for token_type in study.results.token_types:
        of_type = counts.loc[token_type]
        parts = (f"{symbol} {of_type['kept'][which]:,}" for which, symbol in symbols.items())
        value = f"{of_type['kept'].sum():,} → {of_type['significant'].sum():,}"
        tiles.append((f"At {plain(token_type)}", value, "  ".join(parts), legend))
    with st.container(horizontal=True, gap="large"):
        for name, value, below, help_text in tiles:
            st.metric(name, value, below, delta_color="off", delta_arrow="off", help=help_text, width="content")


def q_column(name: str, meaning: str) -> Any:  # noqa: ANN401  Streamlit's own type is not public
    """Return the column of a q-value."""
    return st.column_config.NumberColumn(name, format="%.2g", width=75, help=f"{meaning} {CAVEAT}")


def show_table(shown: pd.DataFrame, order: list[tuple[str, int]], metric: str, study: Study, labels: Labels) -> None:
    """Show the features as a table; a click on a row picks one."""
    prompts = study.run.num_prompts
    named = {"both": "Both", "base": labels.base, "chat": labels.chat}
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
            "Difference", format="%+.4g", width=85, help=f"{plain(labels.chat)} − {plain(labels.base)}"
        ),
        "explanation": st.column_config.TextColumn("Explanation", width=420),
        "exclusive_positions": st.column_config.NumberColumn(
            "Positions", width=75, help="At how many positions the feature is kept."
        ),
        "base_q": q_column(f"q {labels.base}", "Target over control in this model."),
        "chat_q": q_column(f"q {labels.chat}", "Target over control in this model."),
        "change_q": q_column("q change", "Activation frequency on target prompts, chat against base."),
    }
    if study.explanations and len(study.explanations.types) > 1:
        columns["explanation_type"] = st.column_config.TextColumn("Type", width=110)
    for (version, which), number in prompts.items():
        columns[f"{version}_{which}_num_active"] = st.column_config.NumberColumn(
            f"{labels.of(version)} {labels.of(which)}", format=f"%d/{number}", width=105
        )
    if not study.page.template:
        del columns["neuronpedia_url"]
    stars = set(stars_here())
    cells = shown.assign(
        exclusivity=shown["exclusivity"].astype("str").map(named),
        star=np.where(shown["feature_id"].isin(stars), "★", ""),
    )
    st.dataframe(
        cells[list(columns)],
        key=f"table_{state['round']}",
        on_select=partial(on_row, order),
        selection_mode="single-row",
        hide_index=True,
        column_config=columns,
        height=min(36 + 33 * (len(shown) + 1), 430),
        placeholder="",
    )


def show_feature(picked: tuple[str, int], order: list[tuple[str, int]], study: Study, labels: Labels) -> None:
    """Show everything about one feature, with steps to its neighbours in the table's order."""
    token_type, feature_id = picked
    at = order.index(picked) if picked in order else None
    before, title, star, after, close = st.columns([1, 5, 1, 1, 1], vertical_alignment="center")
    title.markdown(f"#### Feature {feature_id} at {plain(token_type)}")
    last = len(order) - 1
    for column, step, icon, text in ((before, -1, "chevron_left", "Previous"), (after, 1, "chevron_right", "Next")):
        target = None if at is None or not 0 <= at + step <= last else order[at + step]
        column.button(
            "",
            key=f"step{step}",
            icon=f":material/{icon}:",
            help=f"{text} in the table",
            disabled=target is None,
            on_click=pick,
            args=(target,),
        )
    close.button("", key="close", icon=":material/close:", help="Close", on_click=pick, args=(None,))
    if at is None:
        st.caption("Not in the table below.")
    with star:
        show_star((source_name, feature_id))
    show_note((source_name, feature_id))
    st.text(study.explanation(feature_id) or "No explanation available.")
    if kind := study.explained_by(feature_id):
        st.caption(plain(f"Explanation: {kind}"))
    show_evidence(picked, study, labels)
    show_page(feature_id, study)
    values = study.feature(feature_id, labels)
    widths = {name: st.column_config.TextColumn(name, width=85) for name in values.columns}
    widths["statistic"] = st.column_config.TextColumn("", width=200)
    st.dataframe(values, key="feature_table", height="content", column_config=widths)
    if study.activations:
        show_prompts(picked, study, labels)


def show_star(key: Key) -> None:
    """Offer to keep a feature."""
    is_starred = key in state["stars"]
    st.button(
        "",
        key="star",
        icon=":material/star:",
        type="primary" if is_starred else "secondary",
        help="Take star and note away" if is_starred else "Star this feature",
        on_click=switch_star,
        args=(key,),
    )


def show_note(key: Key) -> None:
    """Offer a line on a feature."""
    widget = f"note_{state['imports']}_{key[1]}_{key[0]}"
    st.text_input(
        "Note",
        state["stars"].get(key, ""),
        key=widget,
        max_chars=MAX_NOTE,
        placeholder="A note on this feature, which stars it",
        label_visibility="collapsed",
        help="It stays with the feature's star, until you leave; download stars and notes in the sidebar.",
        on_change=write_note,
        args=(key, widget),
    )


def show_evidence(picked: tuple[str, int], study: Study, labels: Labels) -> None:
    """Show counts with intervals, and every test of the feature at its position."""
    test = {"fisher": "Fisher’s exact test", "mcnemar": "McNemar’s exact test on the same prompts"}
    rows = study.evidence_of(*picked, labels)
    widths = {name: st.column_config.TextColumn(name, width=130) for name in rows.columns[:2]}
    widths |= {name: st.column_config.TextColumn(name, width=60) for name in rows.columns[2:]}
    st.dataframe(rows, key="evidence", height="content", column_config=widths)
    st.caption(
        plain(
            "Prompts on which it is active, with 95 % Wilson intervals. In each model: target over control, one-sided "
            f"Fisher’s exact test. The last row: {test[study.evidence.change_test]}, two-sided. q corrects p for the "
            f"features tested together. {CAVEAT}"
        )
    )


def show_page(feature_id: int, study: Study) -> None:
    """Link to the feature's page, say how it was found, and show it in place."""
    url = study.page.url(feature_id)
    if url:
        st.link_button("Open its Neuronpedia page", url, icon=":material/open_in_new:")
    st.caption(plain(" ".join(filter(None, (study.page.reason, study.page.describes)))))
    embedded = study.page.embed_url(feature_id)
    if embedded and state["in_place"]:
        st.iframe(embedded, height=420)
        st.caption(
            "Where the frame stays grey, the site could not be reached or does not let itself be shown here: use the "
            "button above. “Labels and links” in the sidebar turns the frame off."
        )


def show_prompts(picked: tuple[str, int], study: Study, labels: Labels) -> None:
    """List the prompts on which the feature is active."""
    token_type, feature_id = picked
    try:
        prompts = list_prompts(study_key, feature_id, token_type, study)
    except DataError as error:
        show_error("The prompts cannot be listed.", error)
        return
    st.markdown(f"##### Active on {plural(len(prompts), 'prompt')}")
    st.dataframe(
        prompts.assign(prompt_set=prompts["prompt_set"].map({name: labels.of(name) for name in PROMPTS})),
        key="prompts",
        hide_index=True,
        height=min(36 + 35 * len(prompts), 300),
        column_order=["prompt_set", "base", "chat", "content"],
        column_config={
            "prompt_set": st.column_config.TextColumn("Prompts", width=80),
            "base": st.column_config.NumberColumn(labels.base, format="%.4g", width=75),
            "chat": st.column_config.NumberColumn(labels.chat, format="%.4g", width=75),
            "content": st.column_config.TextColumn("Text", width=420),
        },
    )


def choose_view(study: Study) -> View:
    """Draw the sidebar's widgets for a source, and return what they say; all of it lives in the URL."""
    if "spread" not in state:
        state["url_faults"] += bad_values()
    above, below = st.sidebar.container(), st.sidebar.container()
    with below:
        labels = choose_labels(study)
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
    return View(metric, thresholds, filters, labels, scale, spread, kind, top)


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


def choose_labels(study: Study) -> Labels:
    """Draw the widgets of labels, and those of page and explanations, which are read before they are drawn."""
    with st.expander("Labels and links", icon=":material/label:"):
        words = {
            name: st.text_input(
                text,
                getattr(Labels, name),
                key=f"{name}_label",
                bind="query-params",
                max_chars=40,
                help="What charts, table and exported pages call it. Empty: the default.",
            )
            for name, text in (
                ("base", "Base model"),
                ("chat", "Chat model"),
                ("target", "Target prompts"),
                ("control", "Control prompts"),
            )
        }
        types = study.explanations.types if study.explanations else ()
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
            config.neuronpedia_template,
            key="neuronpedia_template",
            placeholder="https://…/{feature_id}",
            help="Opens this page instead of the Neuronpedia page that is known for the SAE.",
        )
    labels = Labels(**{name: word.strip() or getattr(Labels, name) for name, word in words.items()})
    if len({"Both", labels.base, labels.chat}) < 3 or labels.target == labels.control:
        st.warning("Two labels are the same, so the default ones are used.", icon=":material/label_off:")
        return Labels()
    return labels


def choose_groups(study: Study, labels: Labels) -> tuple[tuple[str, ...], tuple[str, ...], Consistency]:
    """Draw the widgets of the filters by position, exclusivity and consistency."""
    named = {"both": "Both", "base": labels.base, "chat": labels.chat}
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
        format_func=plain,
        help="Token of the chat template at which the SAE was read. None chosen: all.",
    )
    exclusivity = st.pills(
        "Exclusive in",
        EXCLUSIVITIES,
        selection_mode="multi",
        key="exclusivity",
        format_func=lambda which: plain(named[which]),
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
                f"{bound} {'% of ' if share else ''}{plain(labels.of(prompts))} prompts",
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


def show_chart(chart: Chart, shown: pd.DataFrame, study: Study, view: View) -> None:
    """Show the chart, with a ring round the picked feature; zoom, box and ring do not redraw it."""
    axes = str(hash((study_key, view if view.chart == "ranking" else placing(view))))
    identity = hash((study_key, view, state["cleared"]))
    seen = (state.get("chart_link") or {}).get("view") or {}
    at = tuple(seen["at"]) if seen.get("axes") == axes and seen.get("at") else None
    drawn: Drawn | None = state.get("drawn")
    if drawn is None or drawn.figure != identity:
        drawn = Drawn(identity, axes, at if drawn and drawn.axes == axes else None, state["subset"])
    elif drawn.zoom and not at:
        drawn = replace(drawn, zoom=None)
    state["drawn"] = drawn
    fig = draw(study_key, view, drawn, state["cleared"], chart, shown)
    st.plotly_chart(
        fig,
        key="scatter",
        on_select=on_box,
        selection_mode=("box", "lasso"),
        config=export.PLOT_CONFIG,
        alt=f"{CHARTS[view.chart]}, {heading(view.metric, view.labels)}: {len(shown)} features.",
    )
    CHART_LINK(
        key="chart_link",
        data={
            "axes": axes,
            "whole": fig.layout.meta[1:],
            "begin": drawn.zoom,
            "ring": chart.place(shown, state["picked"]) if state["picked"] else None,
            "page": study.page.template if state["open"] else None,
        },
        on_picked_change=on_picked,
        on_view_change=lambda: None,
        height=1,
    )


def placing(view: View) -> View:
    """Return the part of a view that tells where features stand."""
    return replace(view, filters=Filters(), labels=Labels())


def build_page(chart: Chart, shown: pd.DataFrame, kept: pd.DataFrame, study: Study, view: View) -> str:
    """Return the chart of what is shown as a page of its own."""
    provenance = study.provenance(view, len(shown), len(kept))
    more = [("Box", "only features inside a box on the chart")] * bool(state["subset"])
    more += [("Stars", "only features that were starred by hand")] * bool(state["starred"])
    provenance = export.Provenance((*provenance.facts, *more))
    return export.html_page(chart.draw(shown, view), study.page, provenance, study.title(view))


def show_downloads(chart: Chart, shown: pd.DataFrame, kept: pd.DataFrame, study: Study, view: View) -> None:
    """Offer what is shown as files, built on click; a failure is told in words at the next rerun."""
    page = partial(build_page, chart, shown, kept, study, view)
    failures: dict[str, str] = st.session_state.setdefault("failures", {})
    for kind, message in failures.items():
        show_error(f"The {kind} file could not be made.", DataError(message))
    failures.clear()

    def guarded(kind: str, build: Callable[[], str | bytes]) -> Callable[[], str | bytes]:
        def run() -> str | bytes:
            try:
                return build()
            except (DataError, OSError, MemoryError, ValueError) as error:
                failures[kind] = str(error) or type(error).__name__
                return f"The file could not be made: {failures[kind]}\n"

        return run

    stem = re.sub(r"[^\w.-]+", "_", f"{source_name}_{view.metric}")
    builders: dict[str, tuple[str, Callable[[], str | bytes], str]] = {
        "CSV": (
            "text/csv",
            lambda: export.csv_text(by_difference(shown, view.metric), view.metric),
            "All columns of the features shown.",
        ),
        "HTML": ("text/html", page, "The chart as a page that works offline; a click on a point opens its page."),
        "Parquet": (
            "application/vnd.apache.parquet",
            lambda: export.parquet_bytes(by_difference(shown, view.metric), view.metric),
            "The same columns as the CSV, with their types.",
        ),
    }
    if view.chart == "ranking":
        builders["Ranking"] = (
            "text/csv",
            lambda: ranking_csv(rank(shown, view.metric, study.run, view.top)),
            "The ranking of the features shown, as CSV.",
        )
    for kind, (mime, build, help_text) in builders.items():
        ending = "ranking.csv" if kind == "Ranking" else kind.lower()
        st.download_button(
            kind,
            guarded(kind, build),
            f"{stem}.{ending}",
            mime,
            key=f"download_{kind}",
            icon=":material/download:",
            on_click="ignore",
            help=help_text,
        )


def show_share(shown: pd.DataFrame, study: Study, view: View) -> None:
    """Offer the view as a link and as a citation, and its features as ids and as a list on Neuronpedia."""
    ids = list(dict.fromkeys(by_difference(shown, view.metric, MOST_IDS)["feature_id"].tolist()))
    query = urlencode([(name, value) for name in st.query_params for value in st.query_params.get_all(name)])
    link = f"{st.context.url or ''}?{query}"
    with st.popover("Share", icon=":material/ios_share:", help="Link, citation, ids and a list on Neuronpedia."):
        st.markdown("**Link to this view** (without box and stars)")
        st.code(link, language=None, wrap_lines=True)
        st.markdown("**Cite this view**")
        st.code(study.citation(view, link), language=None, wrap_lines=True)
        first = f"the first {MOST_IDS:,} by |difference|" if len(shown) > MOST_IDS else plural(len(ids), "feature")
        st.markdown(f"**Feature ids** ({first})")
        st.code(", ".join(map(str, ids)), language=None, wrap_lines=True)
        listed_ids = ids[:MOST_LISTED]
        url = quick_list_url(study.page, listed_ids, study.title(view)) if listed_ids else None
        if url:
            which = f"the {MOST_LISTED} of largest |difference|" if len(ids) > MOST_LISTED else "all of them"
            st.link_button("Quick list on Neuronpedia", url, icon=":material/open_in_new:", help=f"Shows {which}.")
        else:
            st.caption("There is no list on Neuronpedia: " + plain(study.page.reason))


def show_about(kept: pd.DataFrame, study: Study, view: View) -> None:
    """Show what is odd about the files, what was done with them, and which files they are."""
    explained = kept.drop_duplicates("feature_id")["explanation"]
    notes = find_notes(study_key, study)
    with st.expander(f"About this source ({plural(len(notes), 'note')})", icon=":material/info:"):
        for note in notes:
            st.text(note)
        st.text(f"Exclusive means {view.rule()}.")
        st.text(f"{explained.notna().sum():,} of {len(explained):,} kept features have an explanation.")
        for token_type in study.results.token_types:
            if not (kept["token_type"] == token_type).any():
                st.text(f"No feature is exclusive at {token_type}.")
        st.text(f"Neuronpedia: {study.page.reason}")
        for name, digest in study.files.items():
            st.text(f"{name}  SHA-256 {digest}")


# ----------------------------------------------------------------------------
# Draw the UI.

state = st.session_state
state.setdefault("subset", ())
state.setdefault("round", 0)
state.setdefault("cleared", 0)
state.setdefault("stars", {})
state.setdefault("stars_error", None)
state.setdefault("imports", 0)
if "picked" not in state:
    asked = st.query_params.get("feature", "")
    state["picked"] = key_of(asked)
    is_garbage = bool(asked) and not state["picked"]
    state["url_faults"] = [f"feature={asked[:60]} is not written like 12@newline"] if is_garbage else []

config = settings()
sidebar = st.sidebar
try:
    sources = list_sources(config.results)
except DataError as error:
    show_error("The results folder cannot be shown.", error)
    sources = {}
source_names = list(dict.fromkeys([*([] if config.results else [DEMO]), *sources, DEMO, UPLOAD]))
NAMED = {DEMO: "Demo (synthetic)", UPLOAD: "Upload files…"}
if state.get("source", st.query_params.get("source", source_names[0])) not in source_names:
    forget()
    lost = st.query_params.get_all("feature")
    state["url_faults"] += [f"feature={value[:60]} is of a source that is not here" for value in lost]
settle("source", source_names, default_in_url=True)

with sidebar:
    if st.button(
        "Compare sources",
        key="compare",
        icon=":material/compare_arrows:",
        width="stretch",
        help="Several sources beside each other: counts, layers, and the features that those of one SAE share.",
    ):
        words = {name: st.query_params.get_all(f"{name}_label") for name in ("base", "chat", "target", "control")}
        open_page(DASHBOARD, COMPARISON, words)
    source_name = st.selectbox(
        "Source",
        source_names,
        key="source",
        format_func=lambda name: NAMED.get(name, name),
        on_change=forget,
        help="A folder with base.pt and chat.pt: one model pair, one SAE, one prompt set.",
    )
    uploads: list[Any] = []
    if source_name == UPLOAD:
        uploads = [
            st.file_uploader(name, type=kind, key=f"upload_{key}", help=help_text)
            for name, kind, key, help_text in (
                ("base.pt", "pt", "base", "Statistics of the base model, as `torch.save` wrote them."),
                ("chat.pt", "pt", "chat", "Statistics of the chat model on the same SAE."),
                ("Explanations (CSV, optional)", "csv", "explanations", "Columns `feature_id` and `explanation`."),
            )
        ]

if source_name == UPLOAD and not all(uploads[:2]):
    st.title("featurediff")
    st.info(
        "Upload a base.pt and a chat.pt in the sidebar. They are forgotten when you leave.", icon=":material/upload:"
    )
    st.stop()

try:
    if source_name == UPLOAD:
        study_key = tuple(file.file_id for file in uploads if file)
        study = parse_study(study_key, uploads)
    else:
        source = sources.get(source_name) or demo_sources()[DEMO]
        identity = identify(source)
        study_key = tuple(map(str, identity))
        study = read_study(identity, source)
except DataError as error:
    show_error("This source cannot be shown.", error)
    st.stop()
results = study.results
page_template = state.get("neuronpedia_template", config.neuronpedia_template).strip()
settle("explanation_type", ["", *(study.explanations.types if study.explanations else ())])
preferred = state["explanation_type"] or None
try:
    study = refer(study_key, page_template, preferred, study)
    study_key += (page_template, preferred or "")
except DataError as error:
    show_error("The page of a feature is not used.", error)

view = choose_view(study)
with sidebar:
    only_starred = choose_stars()
labels = view.labels
kept = keep(study_key, view.thresholds, study)
passing = filter_table(kept, view.filters, view.metric)
shown = rows_of(passing, state["subset"]) if state["subset"] else passing
if only_starred:
    shown = shown[shown["feature_id"].isin(stars_here())]
if state["picked"]:
    token_type, feature_id = state["picked"]
    if token_type not in results.token_types or feature_id >= results.num_features:
        state["url_faults"].append(f"feature={feature_id}@{token_type[:60]} is not in this source")
        state["picked"] = None
write_url("feature", ["{1}@{0}".format(*state["picked"])] if state["picked"] else [])

with st.container(horizontal=True, vertical_alignment="center"):
    st.subheader(plain(heading(view.metric, labels)), width="content", anchor=False)
    if demo.is_synthetic(results):
        st.badge("synthetic demo data", icon=":material/science:", color="orange")
st.caption(plain(study.run.caption))
for fault in state["url_faults"]:
    st.warning(plain(f"Not used: {fault}."), icon=":material/link_off:")

show_counts(kept, shown, study, view)
phrases = view.shown() + ["inside a box or lasso"] * bool(state["subset"]) + ["starred"] * only_starred
if view.thresholds != Thresholds():
    phrases.append(f"exclusive means {view.rule()}")
if phrases:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(":material/filter_alt: " + plain(" · ".join(phrases)), width="content")
        if state["subset"]:
            st.button(
                "Clear the box",
                key="clear",
                help="Show the features outside it again.",
                icon=":material/close:",
                type="tertiary",
                on_click=clear_box,
            )
if passing.empty:
    blocking = blocking_filter(kept, view.filters, view.metric)
    nothing = f"No feature is {plain(view.rule())}."
    if not kept.empty:
        nothing = f"The filter “{blocking}” leaves nothing of {len(kept):,} kept features."
    st.info(nothing, icon=":material/filter_alt_off:")
    if state["picked"]:
        show_feature(state["picked"], [], study, labels)
    show_about(kept, study, view)
    st.stop()

listed = by_difference(shown, view.metric, MOST_ROWS)
order = list(zip(listed["token_type"].tolist(), listed["feature_id"].tolist(), strict=True))
with st.container(horizontal=True):
    with st.container(width=CHART_WIDTH):
        chart = place(study_key, placing(view), kept, study.run)
        show_chart(chart, passing, study, view)
    with st.container(width="stretch"):
        if state["picked"]:
            show_feature(state["picked"], order, study, labels)
        else:
            st.caption(
                "Click a point or a table row to see what a feature is. Draw a box or a lasso to narrow the table."
            )

with st.container(horizontal=True, vertical_alignment="center"):
    st.markdown(f"#### {len(shown):,} feature{'s' * (len(shown) != 1)}", width="content")
    st.space("stretch")
    show_share(shown, study, view)
    show_downloads(chart, shown, kept, study, view)
if only_starred and shown.empty:
    st.info("None of these features is starred.", icon=":material/star:")
if len(shown) > MOST_ROWS:
    st.caption(f"The table shows the {MOST_ROWS:,} of largest |difference|; downloads have all {len(shown):,}.")
show_table(listed, order, view.metric, study, labels)

show_about(kept, study, view)
