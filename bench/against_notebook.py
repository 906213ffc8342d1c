"""
Measure load to finished HTML against the notebook that featurediff replaces, imports left out on both sides.

    python bench/against_notebook.py --notebook run_notebook.py

The notebook's runner is called as `RUNNER SOURCE_DIR EXPLANATIONS.csv OUT.html --metric METRIC` and prints a line of
JSON last: `load_s`, `compute_s`, `figure_s`, `html_s`, `points`, `bytes`, `peak_mb`. The two take turns, each run in a
process of its own; medians are shown.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from charts import weigh
from processes import run
from report import publish, table
from sources import LARGE, SMALL, Made, Size, make

METRIC = "target_all_mean"
PHASES = ("load_s", "compute_s", "figure_s", "html_s")
TO_REACH = {SMALL: (8, 100, None), LARGE: (20, 100, 1000)}
"""Times faster, bytes a point, peak MB."""

Measured = dict[str, float]


def export_once(folder: Path, explanations: Path, out: Path) -> Measured:
    """Export in this process, and return seconds of each phase, points, and bytes."""
    import featurediff

    for module in pkgutil.iter_modules(featurediff.__path__):
        if module.name not in ("__main__", "collect"):
            importlib.import_module(f"featurediff.{module.name}")
    for late in ("pyarrow.pandas_compat", "pyarrow.parquet", "scipy.stats"):
        importlib.import_module(late)
    from featurediff.charts.plotly_json import to_json
    from featurediff.charts.view import View
    from featurediff.export import html_page, provenance, title

    view = View(METRIC)
    at = [time.perf_counter()]
    study = featurediff.load(folder, explanations)
    at.append(time.perf_counter())
    kept = study.table()
    at.append(time.perf_counter())
    drawing = study.draw(kept, view)
    at.append(time.perf_counter())
    out.write_bytes(html_page(drawing, study.pages, provenance(study, view, len(kept), len(kept)), title(study, view)))
    at.append(time.perf_counter())
    from plotly.offline import get_plotlyjs

    size = out.stat().st_size - len(get_plotlyjs().encode())
    took = {name: end - start for name, start, end in zip(PHASES, at, at[1:], strict=False)}
    return took | {"points": len(kept), "bytes": size, "explained_bytes": weigh(to_json(drawing)).explained}


def compare(notebook: Path, size: Size, made: Made, runs: int) -> tuple[list[Measured], list[Measured]]:
    """Run both in turns, and return what each run measured: the notebook's, featurediff's."""
    theirs: list[Measured] = []
    ours: list[Measured] = []
    with tempfile.TemporaryDirectory() as out:
        given = (made.folder, made.explanations, Path(out) / "page.html")
        for turn in range(runs):
            print(f"{size}: run {turn + 1} of {runs}", file=sys.stderr, flush=True)
            for found, before, after in (
                (theirs, [notebook], ["--metric", METRIC]),
                (ours, [Path(__file__), "--child"], []),
            ):
                ran = run([sys.executable, *before, *given, *after])
                found.append(json.loads(ran.output.splitlines()[-1]) | {"peak_mb": ran.peak})
    return theirs, ours


def middle(runs: list[Measured], name: str) -> float:
    """Return the median of one measurement; "total_s" is that of all phases together."""
    if name == "total_s":
        return median(sum(run[phase] for phase in PHASES) for run in runs)
    return median(run[name] for run in runs)


def rows(size: Size, theirs: list[Measured], ours: list[Measured]) -> list[list[str]]:
    """Return the rows of one size: notebook, featurediff, and the ratios."""
    found = []
    for name, runs in (("notebook", theirs), ("featurediff", ours)):
        seconds = [f"{middle(runs, phase):.3f}" for phase in (*PHASES, "total_s")]
        beside = ""
        if "explained_bytes" in runs[0]:
            beside = f"{(middle(runs, 'bytes') - middle(runs, 'explained_bytes')) / middle(runs, 'points'):.0f}"
        size_mb = f"{middle(runs, 'bytes') / 1e6:.1f}"
        found.append(
            [f"{size}: {name}", f"{runs[0]['points']:,}", *seconds, size_mb, beside, f"{middle(runs, 'peak_mb'):,.0f}"]
        )
    ratios = [f"{middle(theirs, name) / middle(ours, name):.1f}×" for name in (*PHASES, "total_s", "bytes")]
    found.append(
        ["notebook / featurediff", "", *ratios, "", f"{middle(theirs, 'peak_mb') / middle(ours, 'peak_mb'):.1f}×"]
    )
    if size in TO_REACH:
        times, per_point, peak = TO_REACH[size]
        found.append(
            ["to reach", "", "", "", "", "", f"≥ {times}×", "", f"≤ {per_point}", f"≤ {peak:,}" if peak else ""]
        )
    return found


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--notebook", type=Path, help="the notebook's runner, a Python file")
    parser.add_argument("--sizes", choices=("small", "large", "both"), default="both")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where generated sources are kept")
    parser.add_argument("--no-write", action="store_true", help="leave bench/README.md alone")
    parser.add_argument("--child", nargs=3, type=Path, metavar=("SOURCE", "CSV", "OUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(export_once(*args.child)))
        return
    if args.notebook is None:
        parser.error("--notebook is needed")
    sizes = {"small": [SMALL], "large": [LARGE], "both": [SMALL, LARGE]}[args.sizes]
    lines = [
        line for size in sizes for line in rows(size, *compare(args.notebook, size, make(size, args.folder), args.runs))
    ]
    header = ["", "points", "load s", "table s", "figure s", "HTML s", "total s", "MB", "bytes a point", "peak MB"]
    text = (
        f"`python bench/against_notebook.py --notebook PATH`: medians of {args.runs} runs in turns, each a process of "
        "its own; seconds without imports. MB is the page without plotly.js; bytes a point are those of the page "
        "without plotly.js and explanations. Peak MB is of the whole process, imports included.\n\n"
        f"{table(header, lines)}"
    )
    publish("against_notebook", "Against the notebook", text, write=not args.no_write)


if __name__ == "__main__":
    main()
