"""`featurediff compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from featurediff.cli.options import MaxControl, MinTarget, Offline, ResultsDir, read_thresholds
from featurediff.cli.terminal import err, out, print_table, printable, show_progress
from featurediff.csv_files import to_csv
from featurediff.errors import DataError
from featurediff.features.evidence import ALPHA, CAVEAT
from featurediff.files import write_whole
from featurediff.labels import EXCLUSIVE
from featurediff.sources.tree import find_sources

if TYPE_CHECKING:
    import pandas as pd


def compare_sources(
    results: ResultsDir,
    csv: Annotated[Path | None, typer.Option(help="Write the counts here, a row per source, position, group.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write charts, counts and overlaps as a page here.")] = None,
    offline: Offline = True,
    max_q: Annotated[float, typer.Option(min=0, max=1, metavar="Q", help="Significant: q is at most Q.")] = ALPHA,
    min_target: MinTarget = "1",
    max_control: MaxControl = "0",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; each holds a whole source.")] = None,
) -> None:
    """Count kept and significant features of every source of a tree, and what sources of one SAE share."""
    from featurediff.compare.counts import counts
    from featurediff.compare.page import comparison_page
    from featurediff.compare.summary import Fault, Summary, read_all

    if csv and csv == html:
        msg = "--csv and --html name the same file. Give each its own."
        raise DataError(msg)
    thresholds = read_thresholds(min_target, max_control)
    sources = find_sources(results)
    with show_progress() as progress:
        found = read_all(sources, thresholds, workers)
        read = list(progress.track(found, total=len(sources), description="Reading"))
    faults = [one for one in read if isinstance(one, Fault)]
    good = [one for one in read if isinstance(one, Summary)]
    for fault in faults:
        err.print(printable(f"{fault.name}: {fault.message}", "red"))
    if not good:
        msg = "None of the sources could be read."
        raise DataError(msg)
    tidy = counts(good, max_q)
    print_table(_counts(tidy))
    out.print(printable(f"kept → significant, that is q at most {max_q:g}. {CAVEAT}"))
    if csv:
        write_whole(csv, to_csv(tidy).encode(errors="backslashreplace"))
    if html:
        page = comparison_page(good, faults, thresholds, max_q, offline=offline)
        write_whole(html, page.encode(errors="backslashreplace"))
    if faults:
        msg = f"{len(faults)} of the sources could not be read; the others are compared."
        raise DataError(msg)


def _counts(tidy: pd.DataFrame) -> Table:
    """Return kept and significant features with a row per source and position."""
    from featurediff.compare.counts import side_by_side

    names = (*EXCLUSIVE, "all")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("source", "position", *names):
        table.add_column(name, overflow="fold")
    for row in side_by_side(tidy).to_dict("records"):
        cells = (f"{row[f'{name}_kept']:,} → {row[f'{name}_significant']:,}" for name in names)
        table.add_row(*map(printable, (row["source"], row["token_type"], *cells)))
    return table
