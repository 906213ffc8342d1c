"""`featurediff app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurediff.app.config import LOCAL
from featurediff.cli.options import Template
from featurediff.cli.terminal import out, printable
from featurediff.errors import DataError
from featurediff.files import kind_of


def open_app(
    results: Annotated[
        Path | None,
        typer.Argument(
            metavar="RESULTS", envvar="FEATUREDIFF_RESULTS", help="A results tree. Without it the demo is shown."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, metavar="N", help="By default the first free one from 8501.")
    ] = None,
    address: Annotated[str, typer.Option(metavar="A", help="Where to listen; 0.0.0.0 lets other machines in.")] = LOCAL[
        0
    ],
    max_upload: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, metavar="MB", help="Largest upload; 500 for this machine alone, 64 where it is shared."
        ),
    ] = None,
    follow_links: Annotated[
        bool,
        typer.Option(
            "--follow-links", envvar="FEATUREDIFF_FOLLOW_LINKS", help="Follow links that lead out of RESULTS."
        ),
    ] = False,
    neuronpedia_template: Template = None,
) -> None:
    """Open the dashboard in a browser."""
    if results is not None and kind_of(results) != "folder":
        msg = f"`{results}` is not a folder. Expected a results tree, or nothing for the demo."
        raise DataError(msg)
    if address in LOCAL:
        out.print(printable("Only this machine can open the dashboard. To share it, add --address 0.0.0.0"))
    from featurediff.app.server import serve

    arguments = [f"--results={results.absolute()}"] if results else []
    arguments += [f"--neuronpedia-template={neuronpedia_template}"] if neuronpedia_template else []
    arguments += ["--follow-links"] if follow_links else []
    serve(arguments, address, port, max_upload)
