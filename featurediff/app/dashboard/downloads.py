"""What is shown, as files, as a link and as a citation."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from featurediff import export
from featurediff.app.dashboard.cache import MOST_IDS
from featurediff.app.dashboard.counts import state
from featurediff.app.dashboard.shown import Opened
from featurediff.app.safe_text import escape_markdown, show_error
from featurediff.errors import DataError
from featurediff.features.changes import rank, ranking_csv
from featurediff.features.filters import by_difference
from featurediff.meaning.pages import MOST_LISTED, quick_list_url
from featurediff.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from featurediff.app.dashboard.shown import Shown
    from featurediff.charts.chart import Chart
    from featurediff.charts.view import View
    from featurediff.study import Study


def narrowings() -> list[tuple[str, str]]:
    """Say what narrows the features beside the filters, for an exported page."""
    box = [("Box", "only features inside a box on the chart")] * bool(state["subset"])
    return box + [("Stars", "only features that were starred by hand")] * bool(state["starred"])


def build_page(chart: Chart, shown: Shown, study: Study, view: View, more: list[tuple[str, str]]) -> str:
    """Return the chart of what is shown as a page of its own; a session's state cannot be read while it is built."""
    provenance = study.provenance(view, len(shown.at), len(shown.kept))
    provenance = export.Provenance((*provenance.facts, *more))
    return export.html_page(chart.draw(shown.rows(), view), study.pages, provenance, study.title(view))


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
            lambda: ranking_csv(rank(shown.rows(), view.metric, study.origin, view.top)),
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
        url = quick_list_url(study.pages, listed_ids, study.title(view)) if listed_ids else None
        if url:
            which = f"the {MOST_LISTED} of largest |difference|" if len(ids) > MOST_LISTED else "all of them"
            st.link_button("Quick list on Neuronpedia", url, icon=":material/open_in_new:", help=f"Shows {which}.")
        else:
            st.caption("There is no list on Neuronpedia: " + escape_markdown(study.pages.reason))
