"""
Measure a rerun of the dashboard: server time after a change that is new to the session, and bytes for the browser.

    python bench/app.py                              both sizes, and a cold start
    python bench/app.py --sizes small --profile      what a rerun spends its time on

Driven by Streamlit's AppTest, which compiles the script anew at every run; here it keeps what it compiled, as a server
does. The time is that of AppTest's run, from the change to the parsed answer.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import logging
import os
import pstats
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from charts import Weight, weigh
from processes import run
from report import publish, table
from server import APP, Session, running, wait_for
from sources import LARGE, SMALL, Size, make
from streamlit.runtime.scriptrunner import ScriptRunner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import AppTest, app_test, local_script_runner

if TYPE_CHECKING:
    from collections.abc import Iterator

Change = tuple[str, Any]

METRICS = ("target_sparsity", "target_max", "target_all_std", "control_all_mean", "control_sparsity", "control_max")
FILTERS: tuple[Change, ...] = (
    ("consistency", ["consistent"]),
    ("token_types", ["model"]),
    ("token_types", []),
    ("exclusivity", ["chat"]),
    ("exclusivity", []),
    ("min_value", 0.02),
    ("min_value", None),
    ("search", "nor"),
    ("evidence", True),
)
"""Set one after the other, the metric changed after each while there are any, so that no view comes twice."""

OTHERS: tuple[Change, ...] = (
    ("search", ""),
    ("scale", "linear"),
    ("min_target", 2.0),
    ("spread", False),
    ("chart", "volcano"),
    ("chart", "ranking"),
)
TO_REACH = {SMALL: 50, LARGE: 250}
"""Milliseconds, median of metrics and filters."""

EMPTY = "import streamlit as st\n\nst.write('Nothing')\n"


class Dashboard:
    """The dashboard on the source that FEATUREDIFF_RESULTS names, in this process."""

    def __init__(self) -> None:
        compiled = ScriptCache()
        for module in (app_test, local_script_runner):
            module.ScriptCache = lambda: compiled  # type: ignore[assignment,attr-defined]
        self.took = 0.0
        run_script = ScriptRunner._run_script

        def timed(runner: ScriptRunner, *args: Any) -> None:  # noqa: ANN401  Streamlit's own
            began = time.perf_counter()
            try:
                run_script(runner, *args)
            finally:
                self.took = 1000 * (time.perf_counter() - began)

        ScriptRunner._run_script = timed  # type: ignore[assignment,method-assign]
        self.at = AppTest.from_file(str(APP), default_timeout=600)
        self.at.run()

    def change(self, key: str, value: object) -> float:
        """Set a widget and return the milliseconds that the app's script ran; AppTest's own work does not count."""
        self.at.session_state[key] = value
        return self.rerun(f"{key}={value}")

    def pick(self, key: tuple[str, int] | None) -> float:
        """Pick a feature, or none, and return the milliseconds of the rerun."""
        self.at.session_state["session"].picked = key
        return self.rerun(f"picking {key}")

    def rerun(self, what: str) -> float:
        """Run the script once more, and return its milliseconds."""
        self.at.run()
        if self.at.exception or self.at.error:
            sys.exit(f"{what}: the app shows an error: {[*self.at.exception, *self.at.error]}")
        return self.took

    def figure(self) -> str:
        """Return the chart as the browser gets it, JSON."""
        (chart,) = self.at.get("plotly_chart")
        spec: str = chart.proto.spec
        return spec

    def chart_message(self) -> bytes:
        """Return the chart's whole message: Streamlit sends no message of 10 kB that the browser has already."""
        (chart,) = self.at.get("plotly_chart")
        message: bytes = chart.proto.SerializeToString(deterministic=True)
        return message

    def table(self) -> tuple[int, int, int]:
        """Return bytes, rows and columns of the large table."""
        frame = max(self.at.dataframe, key=lambda frame: frame.proto.ByteSize())
        return frame.proto.ByteSize(), *frame.value.shape


@dataclass(frozen=True)
class Found:
    """What was measured at one size."""

    took: dict[str, list[float]]
    """Kind of change → milliseconds of each."""

    chart: Weight
    """Of the first chart."""

    table: tuple[int, int, int]
    """Bytes, rows and columns."""

    same: bool
    """Whether the chart's message stays the same when a feature is picked."""


def views() -> Iterator[Change]:
    """Return changes of metric and filters, each of which leads to a view that was not shown before."""
    metrics = iter(METRICS)
    for change in FILTERS:
        yield change
        if metric := next(metrics, None):
            yield "metric", metric


def measure(size: Size, folder: Path | None) -> Found:
    """Change one widget after the other, at one size."""
    os.environ["FEATUREDIFF_RESULTS"] = str(make(size, folder).tree)
    dashboard = Dashboard()
    weight, message = weigh(dashboard.figure()), dashboard.chart_message()
    row = dashboard.at.dataframe[0].value.iloc[0]
    rows = dashboard.table()
    took: dict[str, list[float]] = {}
    for _ in range(5):
        took.setdefault("nothing", []).append(dashboard.rerun("nothing"))
    took["pick"] = [dashboard.pick((str(row["token_type"]), int(row["feature_id"])))]
    same = dashboard.chart_message() == message
    dashboard.pick(None)
    for key, value in views():
        took.setdefault("metric" if key == "metric" else "filter", []).append(dashboard.change(key, value))
    for key, value in OTHERS:
        took.setdefault(key, []).append(dashboard.change(key, value))
    return Found(took, weight, rows, same)


def profile(size: Size, folder: Path | None) -> None:
    """Print what metric and filter changes spend their time on, by function."""
    profiler = cProfile.Profile()
    run_script = ScriptRunner._run_script

    def profiled(self: ScriptRunner, *args: Any) -> None:  # noqa: ANN401  Streamlit's own
        profiler.runcall(run_script, self, *args)

    os.environ["FEATUREDIFF_RESULTS"] = str(make(size, folder).tree)
    dashboard = Dashboard()
    ScriptRunner._run_script = profiled  # type: ignore[assignment,method-assign]
    changes = list(views())
    for key, value in changes:
        dashboard.change(key, value)
    ScriptRunner._run_script = run_script  # type: ignore[method-assign]
    print(f"{size}: {len(changes)} changes, all together")
    pstats.Stats(profiler).sort_stats("cumulative").print_stats("featurediff|streamlit_app", 40)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


async def first_chart(script: Path, *, chart: bool) -> float:
    """Return the seconds from starting a server to the first chart, or to the end of the first run."""
    began = time.perf_counter()
    with running(script=script) as server:
        wait_for(server)
        session = await Session.open(server)
        before = time.perf_counter() - began
        answer = await session.run()
        await session.close()
        return before + ((answer.chart_after if chart else None) or answer.seconds)


def cold_start(runs: int) -> str:
    """Return what the first chart of the demo takes in a fresh process, against what cannot be helped."""
    imports = "import time; t = time.perf_counter(); import torch, pandas; print(time.perf_counter() - t)"
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        ours, bare, imported = [], [], []
        for _ in range(runs):
            ours.append(asyncio.run(first_chart(APP, chart=True)))
            bare.append(asyncio.run(first_chart(empty, chart=False)))
            imported.append(float(run([sys.executable, "-c", imports]).output))
    rows = [
        ["the dashboard on its demo, from process start to the first chart's message", f"{median(ours):.2f}"],
        ["an empty Streamlit app, from process start to the end of its run", f"{median(bare):.2f}"],
        ["`import torch, pandas`", f"{median(imported):.2f}"],
        ["to reach: the last two and one second", f"≤ {median(bare) + median(imported) + 1:.2f}"],
    ]
    return f"Cold start, medians of {runs} fresh servers:\n\n" + table(["", "s"], rows)


def times(found: dict[Size, Found]) -> str:
    """Return the table of times."""
    rows = []
    for size, one in found.items():
        both = one.took["metric"] + one.took["filter"]
        for kind, took in {"metric or filter": both, **one.took}.items():
            reach = f"≤ {TO_REACH[size]}" if kind == "metric or filter" and size in TO_REACH else ""
            late = f"{quantiles(took, n=20)[-1]:,.0f}" if len(took) > 1 else ""
            rows.append([f"{size}: {kind}", str(len(took)), f"{median(took):,.0f}", late, reach])
    return table(["change", "changes", "median ms", "p95 ms", "to reach"], rows)


def weights(found: dict[Size, Found]) -> str:
    """Return the table of bytes."""
    rows = []
    for size, one in found.items():
        table_bytes, table_rows, columns = one.table
        rows.append(
            [
                str(size),
                f"{one.chart.points:,}",
                f"{one.chart.size / 1e6:.2f}",
                f"{one.chart.each:.0f}",
                "nothing" if one.same else "all again",
                f"{table_bytes / 1e6:.2f}",
                f"{table_rows:,} × {columns}",
            ]
        )
    header = ["", "points", "chart MB", "bytes a point", "sent of the chart after a pick", "table MB", "table"]
    return table(header, rows)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--sizes", choices=("small", "large", "both"), default="both")
    parser.add_argument("--runs", type=int, default=5, help="of the cold start")
    parser.add_argument("--folder", type=Path, help="where generated sources are kept")
    parser.add_argument("--profile", action="store_true", help="print what takes the time instead")
    parser.add_argument("--no-write", action="store_true", help="leave bench/README.md alone")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # AppTest runs without a server, which Streamlit remarks on at every run
    sizes = {"small": [SMALL], "large": [LARGE], "both": [SMALL, LARGE]}[args.sizes]
    for size in sizes:
        make(size, args.folder)  # before AppTest leaves the app's script as `__main__`, which other processes would run
    if args.profile:
        for size in sizes:
            profile(size, args.folder)
        return
    found = {size: measure(size, args.folder) for size in sizes}
    text = (
        "`python bench/app.py`: time of a script run in AppTest, each change leading to a view that the session had "
        "not shown; “nothing” is a rerun without any change. Bytes a point are those of the chart without "
        "explanations; nothing is sent of a chart whose message stays the same, only a reference to it. AppTest "
        "leaves out what a server adds, which `load.py` counts, and runs the whole page for a pick, where a browser "
        "asks for a part of it.\n\n"
        f"{times(found)}\n\n{weights(found)}\n\n{cold_start(args.runs)}"
    )
    publish("app", "A rerun of the dashboard", text, write=not args.no_write)


if __name__ == "__main__":
    main()
