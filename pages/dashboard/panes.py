"""Counts, chart, table, downloads and notes of the source that is shown."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import streamlit as st

from featurediff import export
from featurediff.charts.view import heading
from featurediff.errors import DataError
from featurediff.features.changes import rank, ranking_csv
from featurediff.features.evidence import ALPHA, CAVEAT
from featurediff.features.filters import by_difference
from featurediff.labels import VERSIONS, Labels
from featurediff.meaning.pages import MOST_LISTED, quick_list_url
from featurediff.wording import plural
from pages import DATA, plain, show_error
from pages.dashboard.choices import CHARTS
from pages.dashboard.picking import on_box, on_picked, on_row, on_view, zoomed_to
from pages.dashboard.reading import (
    MOST_IDS,
    Drawn,
    Opened,
    cache_key,
    count_explained,
    draw,
    find_notes,
    of_figure,
    placing,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from featurediff.charts.chart import Chart
    from featurediff.charts.view import View
    from featurediff.study import Study
    from pages.dashboard.reading import Picture, Shown

CHART_LINK = st.components.v2.component("featurediff_chart_link", js=(DATA / "chart_link.js").read_text("utf-8"))
state = st.session_state

DETAIL_WIDTH = 560
"""Pixels: beside the chart in a window of 1,880 and more. One that stretches would get 150 of a laptop's window."""


def show_counts(shown: Shown, study: Study, view: View) -> None:
    """Show how many features there are and how many are significant, in all and by position; filters count."""
    labels = view.labels
    max_q = ALPHA if view.filters.max_q is None else view.filters.max_q
    counts = shown.counts
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
    total = counts.sum(axis=(0, 1))
    tiles = [
        (
            "Shown",
            f"{len(shown.at):,}",
            f"of {len(shown.kept):,} kept, {study.results.num_features:,} in the SAE",
            note,
        ),
        ("Kept → significant", f"{total[0]:,} → {total[1]:,}", f"q at most {max_q:g}", plain(tested)),
    ]
    # In the order of `EXCLUSIVITIES`, as the counts are.
    legend = f"★ exclusive in both models, ● in {plain(labels.base)} only, ■ in {plain(labels.chat)} only"
    for token_type, of_type in zip(study.results.token_types, counts, strict=True):
        kept, significant = of_type.sum(axis=0)
        parts = (f"{symbol} {number:,}" for symbol, number in zip("★●■", of_type[:, 0], strict=True))
        value = f"{kept:,} → {significant:,}"
        tiles.append((f"At {plain(token_type)}", value, "  ".join(parts), legend))
    with st.container(horizontal=True, gap="large"):
        for name, value, below, help_text in tiles:
            st.metric(name, value, below, delta_color="off", delta_arrow="off", help=help_text, width="content")


def q_column(name: str, meaning: str) -> Any:  # noqa: ANN401  Streamlit's own type is not public
    """Return the column of a q-value."""
    return st.column_config.NumberColumn(name, format="%.2g", width=75, help=f"{meaning} {CAVEAT}")


def describe_columns(metric: str, study: Study, labels: Labels) -> dict[str, Any]:
    """Say what the table's columns are called, and how they look."""
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
        "explanation_type": st.column_config.TextColumn("Type", width=110),
    }
    for (version, which), number in study.run.num_prompts.items():
        columns[f"{version}_{which}_num_active"] = st.column_config.NumberColumn(
            f"{labels.of(version)} {labels.of(which)}", format=f"%d/{number}", width=105
        )
    return columns


def show_table(shown: Shown, opened: Opened, view: View) -> None:
    """Show the features as a table; a click on a row picks one."""
    looks = describe_columns(view.metric, opened.study, view.labels)
    st.dataframe(
        shown.cells,
        key=f"table_{state['round']}",
        on_select=partial(on_row, shown.order),
        selection_mode="single-row",
        hide_index=True,
        column_config={name: looks[name] for name in shown.cells.column_names},
        height=min(36 + 33 * (len(shown.order) + 1), 430),
        placeholder="",
    )


def show_chart(chart: Chart, shown: Shown, opened: Opened, view: View) -> Picture:
    """Show the chart, zoomed as the one before; zoom and box do not redraw it."""
    axes = str(hash(cache_key(opened.key, view if view.chart == "ranking" else placing(view))))
    identity = hash(cache_key(opened.key, of_figure(view, shown), state["cleared"]))
    at = zoomed_to(axes)
    drawn: Drawn | None = state.get("drawn")
    if drawn is None or drawn.figure != identity:
        drawn = Drawn(identity, axes, at if drawn and drawn.axes == axes else None, state["subset"])
    elif drawn.zoom and not at:
        drawn = replace(drawn, zoom=None)
    state["drawn"] = drawn
    fig = draw(opened, view, drawn, state["cleared"], chart, shown)
    st.plotly_chart(
        fig,
        key="scatter",
        on_select=on_box,
        selection_mode=("box", "lasso"),
        config=export.PLOT_CONFIG,
        alt=f"{CHARTS[view.chart]}, {heading(view.metric, view.labels)}: {len(shown.passing)} features.",
    )
    return fig


def link_chart(fig: Picture, chart: Chart, shown: Shown, opened: Opened, view: View) -> None:
    """Show a ring round the picked feature, and be told of clicks and zoom; none of it redraws the chart."""
    ranked = view.chart == "ranking"
    picked = state["picked"]
    CHART_LINK(
        key="chart_link",
        data={
            "axes": state["drawn"].axes,
            "whole": fig.to_dict()["layout"]["meta"][1:],
            "begin": state["drawn"].zoom,
            "ring": chart.place(shown.drawn() if ranked else shown.find(picked[1]), picked) if picked else None,
            "page": opened.study.page.template if state["open"] else None,
        },
        on_picked_change=on_picked,
        on_view_change=on_view,
        height=1,
    )


def narrowings() -> list[tuple[str, str]]:
    """Say what narrows the features beside the filters, for an exported page."""
    box = [("Box", "only features inside a box on the chart")] * bool(state["subset"])
    return box + [("Stars", "only features that were starred by hand")] * bool(state["starred"])


def build_page(chart: Chart, shown: Shown, study: Study, view: View, more: list[tuple[str, str]]) -> str:
    """Return the chart of what is shown as a page of its own; a session's state cannot be read while it is built."""
    provenance = study.provenance(view, len(shown.at), len(shown.kept))
    provenance = export.Provenance((*provenance.facts, *more))
    return export.html_page(chart.draw(shown.rows(), view), study.page, provenance, study.title(view))


def show_downloads(chart: Chart, shown: Shown, opened: Opened, view: View) -> None:
    """Offer what is shown as files, built on click; a failure is told in words at the next rerun."""
    study = opened.study
    page = partial(build_page, chart, shown, study, view, narrowings())
    failures: dict[str, str] = state.setdefault("failures", {})
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

    stem = re.sub(r"[^\w.-]+", "_", f"{opened.name}_{view.metric}")
    builders: dict[str, tuple[str, Callable[[], str | bytes], str]] = {
        "CSV": (
            "text/csv",
            lambda: export.csv_text(by_difference(shown.rows(), view.metric), view.metric),
            "All columns of the features shown.",
        ),
        "HTML": ("text/html", page, "The chart as a page that works offline; a click on a point opens its page."),
        "Parquet": (
            "application/vnd.apache.parquet",
            lambda: export.parquet_bytes(by_difference(shown.rows(), view.metric), view.metric),
            "The same columns as the CSV, with their types.",
        ),
    }
    if view.chart == "ranking":
        builders["Ranking"] = (
            "text/csv",
            lambda: ranking_csv(rank(shown.rows(), view.metric, study.run, view.top)),
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


def show_share(shown: Shown, study: Study, view: View) -> None:
    """Offer the view as a link and as a citation, and its features as ids and as a list on Neuronpedia."""
    help_text = "Link, citation, ids and a list on Neuronpedia."
    box = st.popover("Share", icon=":material/ios_share:", help=help_text, key="share", on_change="rerun")
    if not box.open:  # what nobody sees is a tenth of a rerun
        return
    ids = list(shown.ids)
    query = urlencode([(name, value) for name in st.query_params for value in st.query_params.get_all(name)])
    link = f"{st.context.url or ''}?{query}"
    with box:
        st.markdown("**Link to this view** (without box and stars)")
        st.code(link, language=None, wrap_lines=True)
        st.markdown("**Cite this view**")
        st.code(study.citation(view, link), language=None, wrap_lines=True)
        first = f"the first {MOST_IDS:,} by |difference|" if len(shown.at) > MOST_IDS else plural(len(ids), "feature")
        st.markdown(f"**Feature ids** ({first})")
        st.code(", ".join(map(str, ids)), language=None, wrap_lines=True)
        listed_ids = ids[:MOST_LISTED]
        url = quick_list_url(study.page, listed_ids, study.title(view)) if listed_ids else None
        if url:
            which = f"the {MOST_LISTED} of largest |difference|" if len(ids) > MOST_LISTED else "all of them"
            st.link_button("Quick list on Neuronpedia", url, icon=":material/open_in_new:", help=f"Shows {which}.")
        else:
            st.caption("There is no list on Neuronpedia: " + plain(study.page.reason))


def show_about(kept: pd.DataFrame, opened: Opened, view: View) -> None:
    """Show what is odd about the files, what was done with them, and which files they are."""
    study = opened.study
    explained, features = count_explained(opened, view.thresholds, kept)
    notes = find_notes(key=opened.key, _study=study)
    found = set(kept["token_type"].unique())
    lines = [
        *notes,
        f"Exclusive means {view.rule()}.",
        f"{explained:,} of {features:,} kept features have an explanation.",
        *(f"No feature is exclusive at {name}." for name in study.results.token_types if name not in found),
        f"Neuronpedia: {study.page.reason}",
        *(f"{name}  SHA-256 {digest}" for name, digest in study.files.items()),
    ]
    with st.expander(f"About this source ({plural(len(notes), 'note')})", icon=":material/info:"):
        st.text("\n\n".join(lines))  # at once: each element takes a server a thirtieth of a rerun
