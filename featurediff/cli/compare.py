"""`featurediff compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
import typer
from rich.table import Table

from featurediff.cli.options import MaxControl, MinTarget, Offline, ResultsDir, check_outputs, read_thresholds
from featurediff.cli.terminal import err, find_and_tell, make_table, out, print_table, printable, show_progress
from featurediff.compare.count_words import (
    fit_in_words,
    groups_in_words,
    number_or_dash,
    parts_shown,
    prompts_in_words,
    question_of,
    values_of,
)
from featurediff.csv_files import to_csv
from featurediff.errors import DataError
from featurediff.features.evidence import ALPHA, CAVEAT, NOT_CORRECTED
from featurediff.features.questions import QUESTIONS, Asked, Family, Question
from featurediff.files import write_whole
from featurediff.labels import Labels
from featurediff.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from featurediff.compare.summary import Summary
    from featurediff.features.thresholds import Thresholds

Metric = Literal["target_all_mean", "target_sparsity"]

_MOST_PAIRS = 20
"""Of more pairs of sources than these the terminal shows only these; the CSV and the page have all."""


def compare_sources(
    results: ResultsDir,
    question: Annotated[
        Question | None, typer.Option(help="Which features are counted and drawn; by default every question’s.")
    ] = None,
    max_q: Annotated[float, typer.Option(min=0, max=1, metavar="Q", help="Evidence: q is at most Q.")] = ALPHA,
    family: Annotated[Family, typer.Option(help="Correct q over each position, or over all positions.")] = "position",
    metric: Annotated[Metric, typer.Option(help="What changed: the mean, or the frequency.")] = "target_all_mean",
    csv: Annotated[
        Path | None, typer.Option(help="Write the counts here, a row per source, position, question and part.")
    ] = None,
    overlap_csv: Annotated[Path | None, typer.Option(help="Write here what each two sources of one SAE share.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write charts, counts and overlaps as a page here.")] = None,
    offline: Offline = True,
    min_target: MinTarget = "1",
    max_control: MaxControl = "0",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; each holds a whole source.")] = None,
) -> None:
    """Count what every source of a tree keeps, and what sources of one SAE share."""
    from featurediff.compare.counts import counts
    from featurediff.compare.overlap import list_pairs, overlaps_of
    from featurediff.compare.page import comparison_page
    from featurediff.compare.reading import read_all
    from featurediff.compare.summary import Fault, Summary
    from featurediff.compare.words import what_is_shared

    check_outputs({"--csv": csv, "--overlap-csv": overlap_csv, "--html": html})
    thresholds = read_thresholds(min_target, max_control)
    sources = find_and_tell(results)
    with show_progress() as progress:
        found = read_all(sources, thresholds, workers, family)
        read = list(progress.track(found, total=len(sources), description="Reading"))
    faults = [one for one in read if isinstance(one, Fault)]
    good = [one for one in read if isinstance(one, Summary)]
    for fault in faults:
        err.print(printable(f"{fault.name}: {fault.message}", "red"))
    for one in good:
        for note in one.left_out:
            err.print(printable(f"{one.name}: Note: {note}", "yellow"))
    if not good:
        msg = "None of the sources could be read."
        raise DataError(msg)
    asked = Asked(question or "exclusive", metric, max_q)
    tidy = counts(good, max_q, metric, [question] if question else QUESTIONS)
    print_table(_parts(tidy) if question else _questions(tidy))
    _remark(good, thresholds, asked, question)
    overlaps = overlaps_of(good, asked)
    pairs = list_pairs(list(overlaps))
    _print_pairs(pairs, dict.fromkeys(what_is_shared(shown, asked, Labels()) for shown in overlaps.values()))
    if csv:
        write_whole(csv, to_csv(tidy).encode(errors="backslashreplace"))
    if overlap_csv:
        write_whole(overlap_csv, to_csv(pairs).encode(errors="backslashreplace"))
    if html:
        page = comparison_page(good, faults, thresholds, asked, family, offline=offline)
        write_whole(html, page.encode(errors="backslashreplace"))
    if faults:
        msg = f"{len(faults)} of the sources could not be read; the others are compared."
        raise DataError(msg)


_ROW = ("source", "position", "prompts", "groups", "fit")
"""The first columns of every table of counts."""


def _row(row: Mapping[Any, Any]) -> list[str]:
    """Return the cells of the columns `_ROW`."""
    return [row["source"], row["token_type"], prompts_in_words(row), groups_in_words(row), fit_in_words(row)]


def _questions(tidy: pd.DataFrame) -> Table:
    """Return the counts of all questions, a row per source and position."""
    from featurediff.compare.counts import side_by_side

    table = make_table((*_ROW, *QUESTIONS))
    for row in side_by_side(tidy).to_dict("records"):
        found = {name: number_or_dash(cell) for name, cell in row.items() if str(name).startswith(QUESTIONS)}
        ways = [
            f"{found[f'{name}_kept']}: {found[f'{name}_increase']} ↑ {found[f'{name}_decrease']} ↓"
            for name in ("changed", "specific")
        ]
        exclusive = f"{found['exclusive_kept']} → {found['exclusive_significant']}"
        table.add_row(*map(printable, (*_row(row), exclusive, *ways, found["any_kept"])))
    return table


def _parts(tidy: pd.DataFrame) -> Table:
    """Return the counts of one question by its parts, a row per source and position."""
    parts, values = parts_shown(tidy), values_of(question_of(tidy))
    table = make_table((*_ROW, *parts, "all"))
    for _, rows in tidy[tidy["part"].isin(parts)].groupby(["source", "token_type"], sort=False):
        numbers = [[row[value] for value in values] for row in rows.to_dict("records")]
        numbers.append([rows[value].sum(min_count=1) for value in values])
        cells = (" → ".join(map(number_or_dash, part)) for part in numbers)
        table.add_row(*map(printable, (*_row(rows.iloc[0].to_dict()), *cells)))
    return table


def _remark(sources: Sequence[Summary], thresholds: Thresholds, asked: Asked, question: Question | None) -> None:
    """Say below the counts what they are, and what must be known of the prompts."""
    from featurediff.compare.same_prompts import SHARED_NOISE, sharing_in_words
    from featurediff.compare.words import unequal_prompts, what_is_kept

    labels = Labels()
    for one in [question] if question else QUESTIONS:
        said = f"{one}: {what_is_kept(Asked(one, asked.metric, asked.alpha), thresholds, labels)}"
        arrow = f"; kept → with evidence, that is q at most {number(asked.alpha)}" * (one == "exclusive")
        out.print(printable(f"{said}{arrow}."))
    out.print(printable(f"{CAVEAT} {NOT_CORRECTED}"))
    for said in (
        unequal_prompts(sources, thresholds, labels),
        " ".join(sharing_in_words(sources, {source.name: source.name for source in sources})),
    ):
        if said:
            out.print(printable(said))
    if said:
        out.print(printable(SHARED_NOISE))


def _print_pairs(pairs: pd.DataFrame, said: Iterable[str]) -> None:
    """Print what each two sources of one SAE share."""
    if pairs.empty:
        return
    out.print()
    for sentence in said:
        out.print(printable(sentence))
    table = make_table(("first", "second", "features", "shared", "by chance", "Jaccard", "same prompts"))
    for row in pairs.head(_MOST_PAIRS).to_dict("records"):
        table.add_row(
            printable(row["first"]),
            printable(row["second"]),
            f"{row['first_kept']:,} and {row['second_kept']:,}",
            f"{row['shared']:,}",
            number_or_dash(row["expected"], ",.1f"),
            number_or_dash(row["jaccard"], ".2f"),
            row["same_prompts"].replace(";", ", ") or "–",
        )
    print_table(table)
    if len(pairs) > _MOST_PAIRS:
        out.print(printable(f"{len(pairs) - _MOST_PAIRS} more pairs are in --overlap-csv and --html."))
