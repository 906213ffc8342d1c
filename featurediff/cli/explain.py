"""`featurediff explain`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from featurediff.cli.options import MaxControl, MinTarget, SourceDir, Template, read_thresholds
from featurediff.cli.terminal import err, printable, show_progress
from featurediff.errors import DataError
from featurediff.features.table import feature_table
from featurediff.loading import assemble
from featurediff.meaning.explain import Via, explain
from featurediff.meaning.explained_csv import add_rows, check_place, written_rows
from featurediff.meaning.neuronpedia_server import API, EXPORTS, Servers
from featurediff.sources.result_files import read_results
from featurediff.sources.tree import describe_source, place_for_explanations
from featurediff.wording import plural


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
    min_target: MinTarget = "1",
    max_control: MaxControl = "0",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there, whatever is in it.")] = False,
    neuronpedia_template: Template = None,
    api: Annotated[str, typer.Option(hidden=True)] = API,
    exports: Annotated[str, typer.Option(hidden=True)] = EXPORTS,
) -> None:
    """Get the explanations of a source's kept features from Neuronpedia."""
    source = describe_source(source_dir)
    thresholds = read_thresholds(min_target, max_control)
    results = read_results(source.folder)
    pages = assemble(results, source, None, neuronpedia_template).pages
    kept = feature_table(results, thresholds)["feature_id"].tolist()
    path = file or place_for_explanations(source)
    if path is None:
        msg = (
            f"`{source_dir}` is in no folder called {{model}}_trainer{{trainer}}_layer{{layer}}, so it has no place "
            "for explanations. Name a file with --out."
        )
        raise DataError(msg)
    check_place(path)
    if not force:
        written_rows(path)  # refuses a file that another program wrote, before anything is asked for
    servers = Servers.at(api, exports)
    with show_progress() as progress:
        track = partial(progress.track, description="Getting explanations")
        explained = explain(pages, kept, types=types or (), via=via, servers=servers, track=track)
    add_rows(path, explained, replace=force)
    err.print(printable(f"{path}: {plural(len(explained.rows), 'explanation')}"))
    err.print(f"{explained.explained:,} of {explained.wanted:,} kept features have an explanation.")
    if explained.not_kept:
        err.print(printable(f"Note: the answers are not kept for the next run. {explained.not_kept}", "yellow"))
    if explained.unasked:
        err.print(f"The API may know {explained.unasked:,} that the bulk files lack: --via api asks for each.")
