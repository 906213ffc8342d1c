"""
Measure the dashboard in Chromium, each figure beside its floor: what the same takes with 10 points, or without us.

    python bench/browser.py                       all parts, some 15 minutes
    python bench/browser.py --only open click     these parts

Each part writes its own section of `bench/README.md`. What is compared takes turns, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from chromium import chromium, new_page, open_chart, points, seconds_to_chart, seconds_to_heading, settle
from processes import resident
from report import publish, table
from server import APP, running, wait_for
from sources import LARGE, SMALL, Size, make

from featurediff.app.sources import DEMO
from featurediff.labels import Labels
from featurediff.sources.tree import find_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from playwright.sync_api import Browser, Page

Took = dict[str, list[float]]
"""What was measured → its seconds, or MB. The first is the floor."""

FEW = Size(4_096, points=10)
USUAL = Size(16_384, points=1_230)
"""As many points as the published run has."""

METRICS = ("target_sparsity", "target_max", "target_all_std", "control_all_mean", "control_max")
FLOOR = "10 points"
MANY = "9,000 points (131,072 features)"
LARGEST = "156,000 points (1,048,576 features)"
OPEN_AT_ONCE = 4
SEVERAL = f"{OPEN_AT_ONCE} sources of 131,072 features"

BARE = """\
import plotly.graph_objects as go
import streamlit as st

st.plotly_chart(go.Figure(go.Scatter(x=list(range(10)), y=list(range(10)), mode="markers")))
"""
"""An app that has only a chart of 10 points."""


@dataclass(frozen=True)
class Part:
    """A part of the benchmark."""

    title: str
    """Heading of its section."""

    what: str
    """What is measured."""

    measure: Callable[[Browser, int, Path | None], Took]
    """Measures, given how often at least, and the folder of generated sources."""

    reach: Mapping[str, str]
    """What is to be reached."""

    unit: str = "s"

    def report(self, took: Took) -> str:
        """Return the table of what was measured: the first is the floor."""
        floor, digits = median(next(iter(took.values()))), 0 if self.unit == "MB" else 2
        rows = []
        for name, values in took.items():
            low, middle, high = quantiles(values, n=4) if len(values) > 1 else values * 3
            numbers = [f"{number:,.{digits}f}" for number in (middle, low, high, max(values))]
            rows.append([name, str(len(values)), *numbers, f"{middle / floor:.2f}", self.reach.get(name, "")])
        header = [
            "",
            "n",
            f"median {self.unit}",
            "quarter below",
            "quarter above",
            "most",
            "times the first",
            "to reach",
        ]
        return table(header, rows)


def change_metric(page: Page, metric: str) -> float:
    """Choose a metric, and return the seconds until the chart shows it."""
    labels = Labels()
    page.locator(".st-key-metric input").click()
    option = page.get_by_role("option", name=labels.metric(metric), exact=True)
    option.wait_for()
    page.wait_for_timeout(300)
    option.click(no_wait_after=True)
    seconds = seconds_to_chart(page, f"{labels.base}: {labels.metric(metric)}")
    page.wait_for_timeout(1_000)  # the rest of the page comes to rest
    return seconds


def measure_changes(browser: Browser, rounds: int, folder: Path | None) -> Took:
    """Change the metric, each time to a chart that the server has not drawn yet."""
    sizes = {FLOOR: FEW, "1,230 points": USUAL, MANY: SMALL}
    took: Took = {name: [] for name in sizes}
    for _ in range(-(-rounds // len(METRICS))):
        for name, size in sizes.items():
            with running(make(size, folder).tree) as server:
                wait_for(server)
                page = new_page(browser)
                open_chart(page, server)
                settle(page)
                took[name] += [change_metric(page, metric) for metric in METRICS]
                page.context.close()
    return took


def measure_opening(browser: Browser, rounds: int, folder: Path | None) -> Took:
    """Open a source that the server has not read yet; it has shown the demo before."""
    sizes = {FLOOR: FEW, LARGEST: LARGE}
    took: Took = {name: [] for name in sizes}
    for _ in range(rounds):
        for name, size in sizes.items():
            with running(make(size, folder).tree) as server:
                wait_for(server)
                page = new_page(browser)
                open_chart(page, server, source=DEMO)
                settle(page)
                page.context.close()
                page = new_page(browser)
                took[name].append(open_chart(page, server))
                page.context.close()
    return took


def measure_clicks(browser: Browser, rounds: int, folder: Path | None) -> Took:
    """Click points of the chart, each a feature that was not shown before."""
    sizes = {FLOOR: FEW, LARGEST: LARGE}
    took: Took = {name: [] for name in sizes}
    with ExitStack() as stack:
        pages = {}
        for name, size in sizes.items():
            server = stack.enter_context(running(make(size, folder).tree))
            wait_for(server)
            pages[name] = new_page(browser)
            open_chart(pages[name], server)
            pages[name].get_by_text("still being tested").wait_for(state="detached")
            settle(pages[name])
        for i in range(rounds):
            for name, page in pages.items():
                took[name].append(click(page, i, rounds))
        for page in pages.values():
            page.context.close()
    return took


def click(page: Page, number: int, rounds: int) -> float:
    """Click a point, and return the seconds until its details have its name."""
    page.bring_to_front()
    found = points(page, rounds)
    token_type, feature, x, y = found[number % len(found)]
    page.mouse.move(x + 1, y)
    page.mouse.move(x, y)
    page.wait_for_timeout(400)
    page.mouse.click(x, y)
    seconds = seconds_to_heading(page, f"Feature {feature} at {token_type}")
    page.wait_for_timeout(600)
    return seconds


def measure_start(browser: Browser, rounds: int, folder: Path | None) -> Took:
    """Start a server, and open its page at once."""
    del folder
    took: Took = {"an empty app with a chart of 10 points": [], "the dashboard on its demo": []}
    with tempfile.TemporaryDirectory() as place:
        bare = Path(place) / "bare.py"
        bare.write_text(BARE, encoding="utf-8")
        for _ in range(rounds):
            for name, script in zip(took, (bare, APP), strict=True):
                page = new_page(browser)
                began = time.perf_counter()
                with running(script=script) as server:
                    wait_for(server)
                    open_chart(page, server)
                    took[name].append(time.perf_counter() - began)
                page.context.close()
    return took


def measure_memory(browser: Browser, rounds: int, folder: Path | None) -> Took:
    """Open several sources in as many pages, all tested, and read the resident memory of their server."""
    took: Took = {"an empty app with a chart of 10 points": [], "one source of 131,072 features": []}
    took[SEVERAL] = []
    empty, one, all_of_them = took.values()
    with tempfile.TemporaryDirectory() as place:
        bare = Path(place) / "bare.py"
        bare.write_text(BARE, encoding="utf-8")
        tree = gather_sources(Path(place) / "tree", folder)
        names = list(find_sources(tree))
        for _ in range(rounds):
            with running(script=bare) as server:
                wait_for(server)
                open_chart(page := new_page(browser), server)
                settle(page)
                empty.append(resident(server.pid))
                page.context.close()
            with running(tree) as server:
                wait_for(server)
                for i, source in enumerate(names):
                    open_chart(page := new_page(browser), server, source=source.name)
                    settle(page)
                    if not i:
                        one.append(resident(server.pid))
                all_of_them.append(resident(server.pid))
                for context in browser.contexts:
                    context.close()
    return took


def gather_sources(tree: Path, folder: Path | None) -> Path:
    """Make a results tree of several sources, a layer each."""
    for seed in range(OPEN_AT_ONCE):
        made = make(SMALL, folder, seed)
        sae = made.folder.parent.name.replace("_layer20", f"_layer{20 + seed}")
        there = tree / "results" / sae / made.folder.name
        there.mkdir(parents=True)
        (tree / "explanations").mkdir(exist_ok=True)
        for file, copy in (
            *((file, there / file.name) for file in made.folder.iterdir()),
            (made.explanations, tree / "explanations" / f"{sae}.csv"),
        ):
            try:
                os.link(file, copy)
            except OSError:  # on another file system
                copy.write_bytes(file.read_bytes())
    return tree


PARTS = {
    "change": Part(
        "Another metric in the browser",
        "from the click on another metric to the redrawn chart; each chart is drawn for the first time",
        measure_changes,
        reach={"1,230 points": "≤ 1.2 times", MANY: "≤ 1.5 times"},
    ),
    "open": Part(
        "Opening a large source in the browser",
        "from opening the page to the drawn chart; the server has shown the demo and not this source",
        measure_opening,
        reach={LARGEST: "≤ 3 s"},
    ),
    "click": Part(
        "A click to its details",
        "from the click on a point to the heading of its details",
        measure_clicks,
        reach={LARGEST: "≤ 0.25 s"},
    ),
    "start": Part(
        "Cold start in the browser",
        "from starting the server’s process to the drawn chart",
        measure_start,
        reach={"the dashboard on its demo": "≤ 2 times"},
    ),
    "memory": Part(
        "Memory with several sources open",
        "resident memory of the server, each source open in a page of its own and tested",
        measure_memory,
        reach={SEVERAL: "≤ 350 MB"},
        unit="MB",
    ),
}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="the parts to measure")
    parser.add_argument("--rounds", type=int, default=10, help="how often each figure is measured, at least")
    parser.add_argument("--folder", type=Path, help="where generated sources are kept")
    parser.add_argument("--no-write", action="store_true", help="leave bench/README.md alone")
    args = parser.parse_args()
    with chromium() as browser:
        for name in args.only:
            part = PARTS[name]
            took = part.measure(browser, args.rounds, args.folder)
            text = f"`python bench/browser.py --only {name}`: {part.what}.\n\n{part.report(took)}"
            publish(f"browser {name}", part.title, text, write=not args.no_write)


if __name__ == "__main__":
    main()
