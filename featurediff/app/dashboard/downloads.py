"""What is shown, as files."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from featurediff import export
from featurediff.app.dashboard.kept import say_finding
from featurediff.app.safe_text import show_error
from featurediff.app.session import STARRED, session
from featurediff.errors import DataError
from featurediff.features.listing import list_features
from featurediff.features.ranked import rank, ranking_csv

if TYPE_CHECKING:
    from collections.abc import Callable

    from featurediff.app.dashboard.figure import OnScreen

    Build = Callable[[], str | bytes]


def show_downloads(screen: OnScreen) -> None:
    """Offer what is shown as files, which are made on click; a failure is reported at the next rerun."""
    failures = session().failures
    for kind, message in failures.items():
        show_error(f"The {kind} file could not be made.", DataError(message))
    failures.clear()
    stem = re.sub(r"[^\w.-]+", "_", f"{screen.opened.name}_{screen.view.metric}")
    with st.popover("Download", icon=":material/download:", help="What is shown, as files.", key="downloads"):
        for kind, (ending, mime, build, help_text) in builders(screen).items():
            st.download_button(
                f"{kind}: {help_text}",
                guarded(kind, build, failures),
                f"{stem}.{ending}",
                mime,
                key=f"download_{kind}",
                icon=":material/download:",
                on_click="ignore",
                disabled=not screen.opened.tested,
                help=None if screen.opened.tested else "As soon as it is tested what changed.",
            )


def show_no_downloads() -> None:
    """Stand where the downloads are while there is nothing to take away."""
    st.popover("Download", icon=":material/download:", help="Nothing is shown.", key="downloads", disabled=True)


def builders(screen: OnScreen) -> dict[str, tuple[str, str, Build, str]]:
    """Return what can be downloaded: kind → end of the file’s name, media type, what makes it, help text."""
    shown, view = screen.shown, screen.view
    found: dict[str, tuple[str, str, Build, str]] = {
        "CSV": (
            "csv",
            "text/csv",
            lambda: export.csv_text(list_features(shown.rows(), view.asked, view.by), view.metric),
            "All columns of the features shown.",
        ),
        "HTML": (
            "html",
            "text/html",
            partial(build_page, screen, narrowings()),
            "The chart as a page that works offline; a click on a point opens its page.",
        ),
        "Parquet": (
            "parquet",
            "application/vnd.apache.parquet",
            lambda: export.parquet_bytes(list_features(shown.rows(), view.asked, view.by), view.metric),
            "The same columns as the CSV, with their types.",
        ),
    }
    if view.chart == "ranking":
        found["Ranking"] = (
            "ranking.csv",
            "text/csv",
            lambda: ranking_csv(
                rank(shown.rows(), view.asked, screen.opened.study.origin, view.top, by_share=view.by_share), view.asked
            ),
            "The ranking of the features shown, as CSV.",
        )
    return found


def guarded(kind: str, build: Build, failures: dict[str, str]) -> Build:
    """Return a function that makes a file; where that fails, the file says why, and so do the failures."""

    def run() -> str | bytes:
        try:
            return build()
        except (DataError, OSError, MemoryError, ValueError) as error:
            failures[kind] = str(error) or type(error).__name__
            return f"The file could not be made: {failures[kind]}\n"

    return run


def narrowings() -> list[tuple[str, str]]:
    """Say what narrows the features beside the filters, for an exported page."""
    box = [("Box", "only features inside a box on the chart")] * bool(session().subset)
    return box + [("Stars", "only features that were starred by hand")] * bool(st.session_state[STARRED])


def build_page(screen: OnScreen, more: list[tuple[str, str]]) -> bytes:
    """Return the chart as a page of its own; a session’s state, and so the box, cannot be read while it is built."""
    shown, view, study = screen.shown, screen.view, screen.opened.study
    provenance = export.provenance(study, view, len(shown.at), len(shown.kept))
    provenance = export.Provenance((*provenance.facts, *more))
    drawing, title = screen.chart.draw(shown.rows(), view), export.title(study, view)
    return export.html_page(drawing, study.pages, provenance, title, lead=say_finding(screen.opened, view))
