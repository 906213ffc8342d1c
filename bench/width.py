"""
Measure `featurediff export` at growing widths: whole processes, imports included.

    python bench/width.py

Sources have one token type and 40 prompts. The widest takes 3 GB of disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from processes import Ran, run
from report import publish, table
from sources import Made, Size, make

WIDTHS = (2**17, 2**20, 2**22, 2**24)
TO_REACH = {2**24: (20, 6000)}
"""Seconds and MB."""

STEEPER = 1.5
"""A cost is called linear while a feature costs less than so many times as much at the widest as below it."""


def export(made: Made) -> Ran:
    """Write CSV and HTML, in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        targets = [part for kind in ("csv", "html") for part in (f"--{kind}", f"{out}/out.{kind}")]
        return run([sys.executable, "-m", "featurediff", "export", made.folder, *targets])


def rows(title: str, found: dict[int, list[Ran]]) -> list[list[str]]:
    """Return a row per width, with what each million of features added since the last one costs."""
    lines = []
    last: tuple[int, float, float] | None = None
    for width, runs in found.items():
        seconds, peak = median(ran.seconds for ran in runs), median(ran.peak for ran in runs)
        added = ["", ""]
        if last:
            millions = (width - last[0]) / 1e6
            added = [f"{(seconds - last[1]) / millions:.2f}", f"{(peak - last[2]) / millions:.0f}"]
        reach = "≤ {} s, ≤ {:,} MB".format(*TO_REACH[width]) if width in TO_REACH else ""
        lines.append([f"{width:,} features{title}", f"{seconds:.2f}", f"{peak:,.0f}", *added, reach])
        last = width, seconds, peak
    return lines


def verdict(found: dict[int, list[Ran]]) -> str:
    """Say whether cost grows linearly with features."""
    points = [(width, median(ran.seconds for ran in runs)) for width, runs in found.items()]
    if len(points) < 3:
        return "too few widths to tell how cost grows."
    first, last_but_one, last = points[0], *points[-2:]
    before, after = ((b[1] - a[1]) / (b[0] - a[0]) for a, b in ((first, last_but_one), (last_but_one, last)))
    word = "linearly" if after < STEEPER * before else "faster than linearly"
    ratio = f"{after / before:.2f} times"
    return f"seconds grow {word}; beyond {last_but_one[0]:,}, a feature costs {ratio} what one below costs."


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where generated sources are kept")
    parser.add_argument("--no-write", action="store_true", help="leave bench/README.md alone")
    args = parser.parse_args()
    lines, verdicts = [], []
    for explained, title in ((True, ", a third explained"), (False, ", no explanations")):
        found: dict[int, list[Ran]] = {}
        for width in sorted(args.widths):
            made = make(Size(width, token_types=1, explained=explained), args.folder)
            found[width] = []
            for turn in range(args.runs):
                print(f"{width:,} features{title}: run {turn + 1} of {args.runs}", file=sys.stderr, flush=True)
                found[width].append(export(made))
        lines += rows(title, found)
        verdicts.append(f"{title[2:].capitalize()}: {verdict(found)}")
    header = ["one token type", "s", "peak MB", "s an added million", "MB an added million", "to reach"]
    text = (
        f"`python bench/width.py`: `featurediff export --csv … --html …` as a whole process, imports included, medians "
        f"of {args.runs} runs.\n\n{table(header, lines)}\n\n" + "\n\n".join(verdicts)
    )
    publish("width", "Export at growing widths", text, write=not args.no_write)


if __name__ == "__main__":
    main()
