"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurediff.errors import DataError
from featurediff.features.thresholds import Threshold, Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping

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


_WRITTEN = {
    "--csv": ("a table", (".csv",)),
    "--overlap-csv": ("a table", (".csv",)),
    "--html": ("a page", (".html", ".htm")),
    "--parquet": ("a table", (".parquet",)),
}
"""What an option writes, and how the name of such a file ends."""

_PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".pdf", ".webp", ".gif")
_OTHERS = (*_PICTURES, ".csv", ".tsv", ".html", ".htm", ".parquet", ".json", ".xlsx", ".xls", ".pt", ".md")


def check_outputs(outputs: Mapping[str, Path | None]) -> None:
    """
    Hold the names of files to what is written into them, and let no two be the same.

    Parameters
    ----------
    outputs : mapping
        Option → the file that it names. An ending that says nothing, such as `.txt`, is accepted.

    Raises
    ------
    DataError
        If a name has the ending of another kind of file, or two options name one file.
    """
    for option, path in outputs.items():
        if path is None:
            continue
        kind, endings = _WRITTEN[option]
        ending = path.suffix.lower()
        if ending in _OTHERS and ending not in endings:
            picture = " It has a button that saves a picture." if option == "--html" and ending in _PICTURES else ""
            better = path.with_suffix(endings[0])
            msg = f"{option} writes {kind}, but `{path}` ends in {path.suffix}. Call it `{better}`.{picture}"
            raise DataError(msg)
        other = next((name for name, same in outputs.items() if same == path and name != option), None)
        if other:
            msg = f"{option} and {other} name the same file. Give each its own."
            raise DataError(msg)


def read_thresholds(min_target: str, max_control: str) -> Thresholds:
    """
    Read the two thresholds of a command.

    Raises
    ------
    DataError
        If one of them is neither a count nor a share.
    """
    return Thresholds(Threshold.parse(min_target), Threshold.parse(max_control))
