"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurediff.features.table import Threshold, Thresholds

SourceDir = Annotated[Path, typer.Argument(metavar="SOURCE_DIR", help="A folder with base.pt and chat.pt.")]
ResultsDir = Annotated[Path, typer.Argument(metavar="RESULTS", help="A results tree.")]
MinTarget = Annotated[str, typer.Option(metavar="K", help="Exclusive: at least K target prompts, or 25%.")]
MaxControl = Annotated[str, typer.Option(metavar="J", help="Exclusive: at most J control prompts, or 5%.")]
Offline = Annotated[bool, typer.Option("--offline/--cdn", help="Whether plotly.js is inside the page.")]
Template = Annotated[
    str | None,
    typer.Option(
        "--neuronpedia-template", metavar="https://…/{feature_id}", help="Page of a feature, instead of the known one."
    ),
]


def read_thresholds(min_target: str, max_control: str) -> Thresholds:
    """
    Read the two thresholds of a command.

    Raises
    ------
    DataError
        If one of them is neither a count nor a share.
    """
    return Thresholds(Threshold.parse(min_target), Threshold.parse(max_control))
