"""Comparison: several sources beside each other, over layers, and what those of one SAE share."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.app.sources import list_sources, settings, written
from featurediff.app.url import COMPARISON, DASHBOARD, MOST_LABEL, bad_numbers, beside_the_point, go_to, settle
from featurediff.charts.view import View
from featurediff.compare.counts import all_token_types, counts, layer_series, short_names, side_by_side
from featurediff.compare.figures import count_bars, layer_lines, overlap_map
from featurediff.compare.overlap import group_by_sae, overlap, shared_features
from featurediff.compare.page import HOW_TO_READ, HOW_TO_READ_CELLS
from featurediff.compare.summary import Fault, Summary, try_read
from featurediff.csv_files import to_csv
from featurediff.errors import DataError
from featurediff.export import PLOT_CONFIG
from featurediff.features.evidence import ALPHA, CAVEAT
from featurediff.features.table import Threshold, Thresholds
from featurediff.labels import EXCLUSIVE, PROMPTS, SIDES, Labels
from featurediff.sources.tree import in_one_state
from featurediff.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import plotly.graph_objects as go
    from streamlit.delta_generator import DeltaGenerator

    from featurediff.sources.tree import Source

MOST_SOURCES = 12
MOST_ROWS = 20_000
MOST_THRESHOLD = 12
LENGTHS = dict.fromkeys((*SIDES, *PROMPTS), MOST_LABEL) | dict.fromkeys(("at_least", "at_most"), MOST_THRESHOLD)
AMONG = {"kept": "Kept", "significant": "Significant"}

# ----------------------------------------------------------------------------
# Set things up.


@st.cache_resource(max_entries=128, show_spinner="Reading the sources…")
def summarise(identity: tuple[str, ...], thresholds: Thresholds, _source: Source) -> Summary | Fault:
    """Read a source, or say what is wrong with it; `identity` is that of its files."""
    del identity
    return try_read(_source, thresholds)


def read_sources(
    sources: dict[str, Source], thresholds: Thresholds
) -> tuple[list[Summary], tuple[object, ...], list[Fault]]:
    """Read sources, named as in the URL; return those that could be read with a key, and those that could not."""
    good: list[Summary] = []
    faults: list[Fault] = []
    key: list[object] = [thresholds]
    for name, listed in sources.items():
        try:
            source = written(listed)
            named = replace(source, name=name)
            identity, found = in_one_state(
                source,
                partial(summarise, thresholds=thresholds, _source=named),
                partial(summarise.clear, thresholds=thresholds, _source=named),
            )
        except DataError as error:
            found = Fault(name, str(error))
        if isinstance(found, Summary):
            good.append(found)
            key += [name, identity]
        else:
            faults.append(found)
    return good, tuple(key), faults


@st.cache_resource(max_entries=16, show_spinner=False)
def count(key: tuple[object, ...], max_q: float, _sources: list[Summary]) -> pd.DataFrame:
    """Return the counts of sources; `key` is theirs."""
    del key
    return counts(_sources, max_q)


@st.cache_resource(max_entries=16, show_spinner=False)
def draw(
    key: tuple[object, ...], max_q: float, labels: Labels, _sources: list[Summary], _series: pd.DataFrame
) -> tuple[go.Figure, go.Figure | None]:
    """Return the bars of all sources and the lines over layers, where there are any."""
    names = dict(zip((source.name for source in _sources), short_names(_sources), strict=True))
    bars = count_bars(count(key, max_q, _sources), names, labels)
    return bars, None if _series.empty else layer_lines(_series, labels)


def choose_thresholds(labels: Labels) -> Thresholds:
    """Draw the thresholds' widgets."""
    with st.expander("What counts as exclusive", icon=":material/rule:"):
        target, control = (
            st.text_input(
                f"{bound} {escape_markdown(labels.of(prompts))} prompts",
                default,
                key=key,
                bind="query-params",
                max_chars=MOST_THRESHOLD,
                help="A number of prompts such as 3, or a share of each model’s own such as 7.5%.",
            )
            for prompts, bound, default, key in zip(
                PROMPTS, ("At least", "At most"), ("1", "0"), ("at_least", "at_most"), strict=True
            )
        )
    try:
        return Thresholds(Threshold.parse(target), Threshold.parse(control))
    except DataError as error:
        show_error("These thresholds are not used.", error)
        return Thresholds()


def show_faults(container: DeltaGenerator) -> None:
    """Say what the link asked for in vain."""
    for fault in st.session_state["url_faults"]:
        container.warning(escape_markdown(f"Not used: {fault}."), icon=":material/link_off:")


def on_cell(names: Sequence[str]) -> None:
    """Pick the two sources of the cell that was clicked."""
    points = st.session_state["overlap"]["selection"]["points"]
    if points:
        cell = points[0]["customdata"]  # a list or a dict, depending on how it was sent
        row, column = cell.values() if isinstance(cell, dict) else cell
        st.session_state["first"], st.session_state["second"] = names[int(row)], names[int(column)]


def choose_group(groups: Sequence[tuple[Summary, ...]], max_q: float) -> tuple[Summary, ...]:
    """Draw the widgets of what is compared, and return the sources of the SAE."""
    by_name = {group[0].name: group for group in groups}
    settle("sae", list(by_name))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sae = st.selectbox(
            "SAE",
            list(by_name),
            key="sae",
            format_func=lambda name: f"{by_name[name][0].label} ({plural(len(by_name[name]), 'source')})",
            width=360,
            help="Sources that read the same SAE are compared feature by feature.",
        )
        positions = ["", *all_token_types(by_name[sae])]
        settle("position", positions)
        st.selectbox(
            "Position",
            positions,
            key="position",
            format_func=lambda name: name or "Any",
            width=180,
            help="Where features are kept. Any: at one position in one source, perhaps at another in the other.",
        )
        settle("among", tuple(AMONG))
        st.segmented_control(
            "Features",
            list(AMONG),
            required=True,
            key="among",
            format_func=lambda name: AMONG[name],
            help=f"All kept features, or those with q at most {max_q:g}.",
        )
    return by_name[sae]


def show_overlap(group: tuple[Summary, ...], max_q: float, labels: Labels) -> None:
    """Show the heat map of the sources of one SAE, and the features that two of them share."""
    names = [source.name for source in group]
    short = dict(zip(names, short_names(group), strict=True))
    settle("first", names)
    settle("second", names[1:] + names[:1])
    places = names.index(state["first"]), names.index(state["second"])
    position, only_q = state["position"] or None, max_q if state["among"] == "significant" else None
    with st.container(horizontal=True, gap="large"):
        with st.container(width="content"):
            st.plotly_chart(
                overlap_map(
                    overlap(group, position, only_q),
                    list(short.values()),
                    picked=places,
                    hint="<br>Click to list them.",
                ),
                key="overlap",
                on_select=partial(on_cell, names),
                selection_mode="points",
                width="content",
                config={"displayModeBar": False},
                alt="Heat map: which share of their features each two sources have in common.",
            )
        with st.container(width="stretch"):
            for column, key, text in zip(st.columns(2), ("first", "second"), ("Features of", "shared by"), strict=True):
                column.selectbox(
                    text, names, key=key, format_func=lambda name: short[name], help="A click on a cell picks both."
                )
            first, second = (group[at] for at in places)
            show_shared(first, second, short, shared_features(first, second, position, only_q), labels)


def show_shared(first: Summary, second: Summary, short: dict[str, str], shared: pd.DataFrame, labels: Labels) -> None:
    """Show the features that two sources share as a table."""
    number = shared["feature_id"].nunique()
    title = f"{number:,} shared feature{'s' * (number != 1)}" if first is not second else plural(number, "feature")
    st.markdown(f"#### {title}")
    if shared.empty:
        st.caption("These two sources share none.")
        return
    named = {which: labels.short_category(which) for which in EXCLUSIVE}
    columns: dict[str, Any] = {
        "feature_id": st.column_config.NumberColumn("Feature", format="%d", pinned=True, width=70),
        "neuronpedia_url": st.column_config.LinkColumn("Page", display_text="open ↗", width=65),
        "token_type": st.column_config.TextColumn("Position", width=80),
    }
    sides = {"first": short[first.name], "second": short[second.name]}
    for side, name in sides.items():
        columns[f"{side}_exclusivity"] = st.column_config.TextColumn(
            name, width=110, help="The model in which the feature is exclusive at this position; –: it is not kept."
        )
    columns["explanation"] = st.column_config.TextColumn("Explanation", width=420)
    for side, name in sides.items():
        columns[f"{side}_q"] = st.column_config.NumberColumn(f"q in {name}", format="%.2g", width=110)
    if shared["neuronpedia_url"].isna().all():
        del columns["neuronpedia_url"]
    words = {f"{side}_exclusivity": shared[f"{side}_exclusivity"].map(named).fillna("–") for side in sides}
    st.dataframe(
        shared.assign(**words)[list(columns)].head(MOST_ROWS),
        key="shared",
        placeholder="",
        hide_index=True,
        column_config=columns,
        height="content" if len(shared) < 10 else 360,
    )
    st.download_button(
        "CSV",
        partial(to_csv, shared),
        "shared_features.csv",
        "text/csv",
        key="download_shared",
        icon=":material/download:",
        on_click="ignore",
        help="The shared features, with exclusivity and q in both sources.",
    )


def show_counts(rows: pd.DataFrame, short: dict[str, str], labels: Labels) -> None:
    """Show all counts as a table; a source's name opens it in the dashboard."""
    named = {which: labels.short_category(which) for which in EXCLUSIVE} | {"all": "All"}
    columns: dict[str, Any] = {
        "source": st.column_config.ButtonColumn(
            "Source", type="tertiary", alignment="left", key="open_source", width=240, help="Opens it in the dashboard."
        ),
        "token_type": st.column_config.TextColumn("Position", width=80),
    }
    for exclusivity, name in named.items():
        for value, heading in (("kept", name), ("significant", f"{name} sig.")):
            columns[f"{exclusivity}_{value}"] = st.column_config.NumberColumn(
                heading, format="localized", width=80, help=f"{escape_markdown(name)}: {value} features."
            )
    st.dataframe(
        rows[list(columns)].assign(source=":material/arrow_forward: " + rows["source"].map(short)),
        key="counts",
        hide_index=True,
        column_config=columns,
        height="content" if len(rows) < 20 else 660,
    )


# ----------------------------------------------------------------------------
# Draw the UI.

state = st.session_state
state.setdefault("url_faults", [])
words = {name: st.query_params.get(name, "").strip()[:MOST_LABEL] for name in (*SIDES, *PROMPTS)}
labels = Labels(**{name: word or getattr(Labels, name) for name, word in words.items()})
if labels.are_alike:
    state["url_faults"] += ["labels of which two are the same"] * ("q" not in state)
    labels = Labels()

with st.sidebar:
    if st.button(
        "Dashboard",
        key="back",
        icon=":material/arrow_back:",
        width="stretch",
        help="One source at a time, as it was when you left it.",
    ):
        go_to(COMPARISON, DASHBOARD)
try:
    offered = list_sources(settings().results)
except DataError as error:
    show_error("The results folder cannot be shown.", error)
    st.stop()

if "q" not in state:
    state["url_faults"] += beside_the_point(("sources",), LENGTHS) + bad_numbers({"q": (0, 1)})
settle("sources", list(offered), many=True)
with st.sidebar:
    chosen = st.multiselect(
        "Sources",
        list(offered),
        key="sources",
        placeholder=f"The first {MOST_SOURCES}" if len(offered) > MOST_SOURCES else "All",
        help=f"Folders with base.pt and chat.pt. None chosen: all, but no more than the first {MOST_SOURCES}.",
    )
    max_q = st.number_input(
        "Significant: q at most",
        min_value=0.0,
        max_value=1.0,
        value=ALPHA,
        step=0.01,
        key="q",
        bind="query-params",
        format="%g",
        help=f"In a model in which the feature is exclusive. {CAVEAT}",
    )
    thresholds = choose_thresholds(labels)

names = chosen or list(offered)[:MOST_SOURCES]
sources, key, faults = read_sources({name: offered[name] for name in names}, thresholds)
with st.container(horizontal=True, vertical_alignment="center"):
    st.subheader(f"Comparison of {plural(len(sources), 'source')}", width="content", anchor=False)
    if any(source.is_synthetic for source in sources):
        st.badge("synthetic demo data", icon=":material/science:", color="orange")
view = View(thresholds=thresholds, labels=labels)
st.caption(escape_markdown(f"Kept: exclusive in a model, that is {view.rule()}. A feature counts once per position."))
warnings = st.container()  # filled at the end: some choices of the link are held against what is shown
for broken in faults:
    show_error(escape_markdown(f"{broken.name} cannot be shown."), DataError(broken.message))
if not sources:
    show_faults(warnings)
    st.stop()

tidy = count(key, max_q, sources)
rows = side_by_side(tidy)
series = layer_series(tidy)
bars, lines = draw(key, max_q, labels, sources, series)
if click := state.get("open_source"):
    go_to(COMPARISON, DASHBOARD, {"source": state["listed"][click["row"]], "feature": []})
state["listed"] = rows["source"].tolist()  # what stands in the row that is clicked next
st.plotly_chart(
    bars,
    key="bars",
    config=PLOT_CONFIG | {"scrollZoom": False},
    alt="Bars: kept and significant features of each source, by position and exclusivity.",
)
st.caption(f"{HOW_TO_READ}: q at most {max_q:g} in a model in which the feature is exclusive. {CAVEAT}")

st.markdown("#### Over the layers")
if lines is None:
    st.caption("No two of these sources are of the same model, family of SAEs and prompt set at different layers.")
else:
    st.caption(escape_markdown("; ".join(series["series"].unique())))
    st.plotly_chart(
        lines,
        key="lines",
        config=PLOT_CONFIG | {"scrollZoom": False},
        alt="Lines: kept and significant features over the layers of a model, by position and exclusivity.",
    )

groups = group_by_sae(sources)
st.markdown("#### Shared features")
if groups.shared:
    show_overlap(choose_group(groups.shared, max_q), max_q, labels)
    st.caption(HOW_TO_READ_CELLS)
    if groups.reason:
        with st.expander(f"Not compared: {plural(len(groups.alone), 'source')}", icon=":material/block:"):
            st.text(groups.reason)
else:
    st.caption(escape_markdown(groups.reason))

with st.container(horizontal=True, vertical_alignment="center"):
    st.markdown("#### All counts", width="content")
    st.space("stretch")
    st.download_button(
        "CSV",
        partial(to_csv, tidy),
        "comparison.csv",
        "text/csv",
        key="download_counts",
        icon=":material/download:",
        on_click="ignore",
        help="A row per source, position and exclusivity.",
    )
show_counts(rows, dict(zip((source.name for source in sources), short_names(sources), strict=True)), labels)
show_faults(warnings)
