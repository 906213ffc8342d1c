"""The command line."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from featurediff import export as files
from featurediff.charts.scale import Choice
from featurediff.charts.view import DEFAULT_METRIC, Kind, View
from featurediff.collect.command import CollectCommand, collect
from featurediff.csv_files import to_csv
from featurediff.errors import DataError
from featurediff.features.changes import rank, ranking_csv
from featurediff.features.evidence import ALPHA, CAVEAT, evidence_counts
from featurediff.features.filters import Consistency, Filters, blocking_filter, filter_table, parse_ids
from featurediff.features.table import Threshold, Thresholds
from featurediff.files import kind_of, write_whole
from featurediff.labels import EXCLUSIVITIES, VERSIONS, Labels
from featurediff.meaning.explain import Via, explain, write_rows, written_rows
from featurediff.meaning.neuronpedia_api import API, EXPORTS, Servers
from featurediff.sources.demo import is_planted
from featurediff.sources.results import is_synthetic, read_results
from featurediff.sources.tree import Source, describe_source, find_sources, place_for_explanations
from featurediff.study import Study, assemble, load
from featurediff.wording import plural

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Show which SAE features a chat model uses differently from its base model.",
)
out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
_NO_TERMINAL = 10_000
"""Columns where no terminal says how many there are, so that a row stays a line for `grep`."""


class Which(StrEnum):
    """An exclusivity, as typer can offer it in a list."""

    BOTH = "both"
    BASE = "base"
    CHAT = "chat"


@dataclass(frozen=True)
class Outputs:
    """Where to write what; for a results tree these are folders."""

    csv: Path | None
    """The table."""

    html: Path | None
    """The page."""

    parquet: Path | None
    """The table."""

    def below(self, name: str) -> Outputs:
        """Return the files of one source of a tree."""
        made = (folder and folder / f"{name}{ending}" for folder, ending in zip(self.paths, _ENDINGS, strict=True))
        return Outputs(*made)

    @property
    def paths(self) -> tuple[Path | None, Path | None, Path | None]:
        """All three, in the order of `_ENDINGS`."""
        return self.csv, self.html, self.parquet


_ENDINGS = (".csv", ".html", ".parquet")

app.command("collect", cls=CollectCommand)(collect)

SourceDir = Annotated[Path, typer.Argument(metavar="SOURCE_DIR", help="A folder with base.pt and chat.pt.")]


@app.command("list")
def list_sources(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results tree.")],
) -> None:
    """List the sources of a results tree."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("source", "model", "SAE", "layer", "prompts", "explanations", "missing"):
        table.add_column(name, overflow="fold")
    for source in find_sources(results):
        layer = "–" if source.layer is None else str(source.layer)
        explanations = source.explanations.name if source.explanations else "–"
        cells = (source.name, source.model or "–", source.trainer or "–", layer, source.prompt_set or "–", explanations)
        table.add_row(*map(plain, (*cells, ", ".join(source.missing))))
    _print_table(table)


@app.command("export")
def export_sources(
    source_dir: Annotated[
        Path, typer.Argument(metavar="SOURCE_DIR", help="A folder with base.pt and chat.pt, or a tree of them.")
    ],
    metric: Annotated[str, typer.Option(help="Which vector of the files the axes show.")] = DEFAULT_METRIC,
    explanations: Annotated[
        Path | None, typer.Option(help="CSV with feature_id and a text column, or a folder of delphi's.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table here (a folder, for a tree).")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the chart as a page here (a folder, for a tree).")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the table here (a folder, for a tree).")] = None,
    offline: Annotated[bool, typer.Option("--offline/--cdn", help="Whether plotly.js is inside the page.")] = True,
    token_type: Annotated[list[str] | None, typer.Option(help="Only this position; may be repeated.")] = None,
    exclusivity: Annotated[list[Which] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    consistency: Annotated[Consistency, typer.Option(help="Only features like this.")] = "all",
    min_target: Annotated[str, typer.Option(metavar="K", help="Exclusive: at least K target prompts, or 25%.")] = "1",
    max_control: Annotated[str, typer.Option(metavar="J", help="Exclusive: at most J control prompts, or 5%.")] = "0",
    min_value: Annotated[float | None, typer.Option(metavar="V", help="The larger value is at least V.")] = None,
    max_q: Annotated[
        float | None,
        typer.Option(metavar="Q", min=0, max=1, help="Only features whose target-over-control q is at most Q."),
    ] = None,
    search: Annotated[str, typer.Option(help="Only features whose explanation contains this.")] = "",
    ids: Annotated[str, typer.Option(metavar="1,2,3", help="Only these features.")] = "",
    chart: Annotated[Kind, typer.Option(help="What --html draws; with ranking, --csv is the ranking.")] = "scatter",
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Increases and decreases in a ranking.")] = View.top,
    scale: Annotated[Choice, typer.Option(help="Of both axes; auto is linear with --no-spread.")] = "auto",
    spread: Annotated[bool, typer.Option(help="Whether points that coincide get places of their own.")] = True,
    base_label: Annotated[str, typer.Option()] = Labels.base,
    chat_label: Annotated[str, typer.Option()] = Labels.chat,
    target_label: Annotated[str, typer.Option()] = Labels.target,
    control_label: Annotated[str, typer.Option()] = Labels.control,
    neuronpedia_template: Annotated[
        str | None, typer.Option(metavar="https://…/{feature_id}", help="Page of a feature, instead of the known one.")
    ] = None,
) -> None:
    """Write the features of one source, or of every source of a tree, as CSV, HTML or Parquet."""
    outputs = Outputs(csv, html, parquet)
    if not any(outputs.paths):
        msg = "Nothing to write: name at least one of --csv, --html and --parquet."
        raise DataError(msg)
    named = [path for path in outputs.paths if path]
    if len(set(named)) < len(named) and len(describe_source(source_dir).missing) < 2:
        msg = "Two of --csv, --html and --parquet name the same file. Give each its own."
        raise DataError(msg)
    view = View(
        metric=metric,
        thresholds=Thresholds(Threshold.parse(min_target), Threshold.parse(max_control)),
        filters=Filters(
            token_types=tuple(token_type or ()),
            exclusivity=tuple(which.value for which in exclusivity or ()),
            consistency=consistency,
            min_value=min_value,
            search=search,
            ids=parse_ids(ids),
            max_q=max_q,
        ),
        labels=Labels(base_label, chat_label, target_label, control_label),
        scale=scale,
        spread=spread,
        chart=chart,
        top=top,
    )

    def export(source: Source, outputs: Outputs) -> None:
        study = load(source.folder, explanations, template=neuronpedia_template)
        study.check(view)
        _write(study, view, outputs, offline=offline)

    alone = describe_source(source_dir)
    if len(alone.missing) < 2 or kind_of(source_dir) != "folder":
        export(alone, outputs)
        return
    failed = 0
    with _progress() as progress:
        for source in progress.track(find_sources(source_dir), description="Exporting"):
            try:
                export(source, outputs.below(source.name))
            except DataError as error:
                failed += 1
                err.print(plain(f"{source.name}: {error}", "red"))
    if failed:
        msg = f"{failed} of the sources could not be exported; the others are written."
        raise DataError(msg)


@app.command("explain")
def explain_source(
    source_dir: SourceDir,
    file: Annotated[
        Path | None, typer.Option("--out", help="Write the CSV here, not where the dashboard finds it.")
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type; may be repeated, the preferred first.")
    ] = None,
    via: Annotated[
        Via, typer.Option(help="Bulk files, or feature by feature; auto is what takes fewer requests.")
    ] = "auto",
    min_target: Annotated[str, typer.Option(metavar="K", help="Kept: at least K target prompts, or 25%.")] = "1",
    max_control: Annotated[str, typer.Option(metavar="J", help="Kept: at most J control prompts, or 5%.")] = "0",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there, whatever is in it.")] = False,
    neuronpedia_template: Annotated[
        str | None, typer.Option(metavar="https://…/{feature_id}", help="Page of a feature, instead of the known one.")
    ] = None,
    api: Annotated[str, typer.Option(hidden=True)] = API,
    exports: Annotated[str, typer.Option(hidden=True)] = EXPORTS,
) -> None:
    """Get the explanations of a source's kept features from Neuronpedia."""
    source = describe_source(source_dir)
    thresholds = Thresholds(Threshold.parse(min_target), Threshold.parse(max_control))
    study = assemble(read_results(source.folder), source, None, neuronpedia_template)
    path = file or place_for_explanations(source)
    if path is None:
        msg = (
            f"`{source_dir}` is in no folder called {{model}}_trainer{{trainer}}_layer{{layer}}, so it has no place "
            "for explanations. Name a file with --out."
        )
        raise DataError(msg)
    written = None if force else written_rows(path)
    servers = Servers.at(api, exports)
    with _progress() as progress:
        track = partial(progress.track, description="Getting explanations")
        explained = explain(study, thresholds, types=types or (), via=via, servers=servers, track=track)
    write_rows(path, explained, written)
    err.print(plain(f"{path}: {plural(len(explained.rows), 'explanation')}"))
    err.print(f"{explained.explained:,} of {explained.kept:,} kept features have an explanation.")
    if explained.unasked:
        err.print(f"The API may know {explained.unasked:,} that the bulk files lack: --via api asks for each.")


@app.command("compare")
def compare_sources(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results tree.")],
    csv: Annotated[Path | None, typer.Option(help="Write the counts here, a row per source, position, group.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write charts, counts and overlaps as a page here.")] = None,
    offline: Annotated[bool, typer.Option("--offline/--cdn", help="Whether plotly.js is inside the page.")] = True,
    max_q: Annotated[float, typer.Option(min=0, max=1, metavar="Q", help="Significant: q is at most Q.")] = ALPHA,
    min_target: Annotated[str, typer.Option(metavar="K", help="Exclusive: at least K target prompts, or 25%.")] = "1",
    max_control: Annotated[str, typer.Option(metavar="J", help="Exclusive: at most J control prompts, or 5%.")] = "0",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; each holds a whole source.")] = None,
) -> None:
    """Count kept and significant features of every source of a tree, and what sources of one SAE share."""
    from featurediff.compare.counts import counts
    from featurediff.compare.page import comparison_page
    from featurediff.compare.summary import Fault, Summary, read_all

    if csv and csv == html:
        msg = "--csv and --html name the same file. Give each its own."
        raise DataError(msg)
    thresholds = Thresholds(Threshold.parse(min_target), Threshold.parse(max_control))
    sources = find_sources(results)
    with _progress() as progress:
        found = read_all(sources, thresholds, workers)
        read = list(progress.track(found, total=len(sources), description="Reading"))
    faults = [one for one in read if isinstance(one, Fault)]
    good = [one for one in read if isinstance(one, Summary)]
    for fault in faults:
        err.print(plain(f"{fault.name}: {fault.message}", "red"))
    if not good:
        msg = "None of the sources could be read."
        raise DataError(msg)
    tidy = counts(good, max_q)
    _print_table(_counts(tidy))
    out.print(plain(f"kept → significant, that is q at most {max_q:g}. {CAVEAT}"))
    if csv:
        write_whole(csv, to_csv(tidy).encode(errors="backslashreplace"))
    if html:
        page = comparison_page(good, faults, thresholds, max_q, offline=offline)
        write_whole(html, page.encode(errors="backslashreplace"))
    if faults:
        msg = f"{len(faults)} of the sources could not be read; the others are compared."
        raise DataError(msg)


@app.command("demo")
def make_demo(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="A folder to write results/ and explanations/ into.")],
    features: Annotated[int, typer.Option(help="Width of the SAE.")] = 16_384,
    prompts: Annotated[int, typer.Option(help="Target prompts; control prompts are three fewer.")] = 40,
    seed: Annotated[int, typer.Option(help="Another seed makes other numbers.")] = 0,
    layers: Annotated[int, typer.Option(help="More than one, to compare; the middle one has three prompt sets.")] = 1,
) -> None:
    """Write a synthetic source with planted features, or several to compare."""
    from featurediff.sources import demo

    for made in demo.make_demos(layers, features, prompts, seed):
        out.print(plain(str(made.write(folder))))


@app.command("check")
def check_source(source_dir: SourceDir) -> None:
    """Read a source, and say what is in it and what is odd about it."""
    study = load(source_dir)
    results, table = study.results, study.table()
    facts = Table.grid(padding=(0, 2))
    facts.add_row("source", plain(study.run.caption))
    facts.add_row("features", f"{results.num_features:,}")
    for model in (results.base, results.chat):
        meta = model.metadata
        said = f"{meta.model_ver}: {meta.num_target_prompts} target and {meta.num_control_prompts} control prompts"
        facts.add_row(plain(model.name), plain(said))
    facts.add_row("metrics", plain(", ".join(results.metrics)))
    for version in VERSIONS:
        families = (f"{study.evidence.exclusive[version, name].family:,} at {name}" for name in results.token_types)
        facts.add_row(f"tested in {version}", plain(", ".join(families)))
    inconsistent = (
        f"{n:,} at {name}" for name, n in table.groupby("token_type", observed=False)["inconsistent"].sum().items()
    )
    facts.add_row("inconsistent", plain(", ".join(inconsistent)))
    facts.add_row("explained", plain(_coverage(study, table)))
    facts.add_row("Neuronpedia", plain(study.page.reason))
    _print_table(facts)
    out.print()
    _print_table(_evidence(study, table))
    out.print(plain(CAVEAT))
    for note in study.notes():
        out.print(plain(f"Note: {note}", "yellow"))


def plain(text: str, style: str = "") -> Text:
    """Return what strangers wrote so that a terminal shows it as written: no markup, control characters as escapes."""
    return Text("".join(char if char.isprintable() else repr(char)[1:-1] for char in text), style)


def main() -> None:
    """Run the command line; an error that a user can fix is printed, and the exit code is 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names need not fit a terminal's encoding
    try:
        app(standalone_mode=True)
    except DataError as error:
        err.print(plain(str(error), "red"))
        sys.exit(2)


def _write(study: Study, view: View, outputs: Outputs, *, offline: bool) -> None:
    kept = study.table(view.thresholds)
    rows = filter_table(kept, view.filters, view.metric)
    if rows.empty:
        err.print(plain(f"Note: {study.title(view)}: {_why_empty(kept, view)}", "yellow"))
    written = dict.fromkeys(filter(None, outputs.paths), len(rows))
    if outputs.csv and view.chart == "ranking":
        ranked = rank(rows, view.metric, study.run, view.top)
        write_whole(outputs.csv, ranking_csv(ranked))
        written[outputs.csv] = len(ranked)
    elif outputs.csv:
        write_whole(outputs.csv, files.csv_text(rows, view.metric))
    if outputs.parquet:
        write_whole(outputs.parquet, files.parquet_bytes(rows, view.metric))
    if outputs.html:
        provenance = study.provenance(view, len(rows), len(kept))
        drawing = study.draw(kept, view)
        page = files.html_bytes(drawing, study.page, provenance, study.title(view), offline=offline)
        write_whole(outputs.html, page)
    for path, number in written.items():
        err.print(plain(f"{path}: {plural(number, 'row')}"))


def _why_empty(kept: pd.DataFrame, view: View) -> str:
    if kept.empty:
        return f"no feature is exclusive, that is {view.rule()}."
    return f"no feature is left by the filter on {blocking_filter(kept, view.filters, view.metric)}."


def _coverage(study: Study, table: pd.DataFrame) -> str:
    ids = table.drop_duplicates("feature_id")["explanation"]
    name = study.explanations.name if study.explanations else "no explanations file"
    return f"{ids.notna().sum():,} of {len(ids):,} kept features ({name})"


def _evidence(study: Study, kept: pd.DataFrame) -> Table:
    """Return how many features are kept and significant; of the demo also how many of the planted ones are found."""
    counts = evidence_counts(kept)
    columns = ["position", "exclusive in", "kept", f"significant (q at most {ALPHA})"]
    if is_synthetic(study.results):
        planted = evidence_counts(kept[is_planted(kept["explanation"])])
        counts = counts.assign(planted=planted["kept"], found=planted["significant"])
        columns += ["planted", "planted and significant"]
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for token_type, exclusivity, *numbers in counts.reset_index().itertuples(index=False):
        table.add_row(*map(plain, (token_type, exclusivity, *(f"{n:,}" for n in numbers))))
    table.add_row("all", "", *(f"{n:,}" for n in counts.sum()))
    return table


def _counts(tidy: pd.DataFrame) -> Table:
    """Return kept and significant features with a row per source and position."""
    from featurediff.compare.counts import table as side_by_side

    names = (*EXCLUSIVITIES, "all")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("source", "position", *names):
        table.add_column(name, overflow="fold")
    for row in side_by_side(tidy).to_dict("records"):
        cells = (f"{row[f'{name}_kept']:,} → {row[f'{name}_significant']:,}" for name in names)
        table.add_row(*map(plain, (row["source"], row["token_type"], *cells)))
    return table


def _print_table(table: Table) -> None:
    console = out if out.is_terminal else Console(width=_NO_TERMINAL)
    console.print(table)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=err
    )
