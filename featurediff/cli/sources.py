"""`featurediff list` and `featurediff demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurediff.cli.options import ResultsDir
from featurediff.cli.terminal import find_and_tell, make_table, out, print_table, printable


def list_sources(results: ResultsDir) -> None:
    """List the sources of a results tree."""
    table = make_table(("source", "model", "SAE", "layer", "prompts", "explanations", "missing"))
    for source in find_and_tell(results):
        layer = "–" if source.layer is None else str(source.layer)
        explanations = source.explanations.name if source.explanations else "–"
        cells = (source.name, source.model or "–", source.trainer or "–", layer, source.prompt_set or "–", explanations)
        table.add_row(*map(printable, (*cells, ", ".join(source.missing))))
    print_table(table)


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
        out.print(printable(str(made.write(folder))))
