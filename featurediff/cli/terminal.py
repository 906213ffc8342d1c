"""What commands print: texts of strangers, tables, progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from featurediff.sources.tree import search_tree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from featurediff.sources.tree import Source

out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)

_NO_TERMINAL = 10_000
"""Columns where no terminal says how many there are, so that a row stays a line for `grep`."""


def printable(text: str, style: str = "") -> Text:
    """Return what strangers wrote so that a terminal shows it as written: no markup, control characters as escapes."""
    return Text("".join(char if char.isprintable() else repr(char)[1:-1] for char in text), style)


def find_and_tell(results: Path) -> list[Source]:
    """Return the sources of a results tree, and print which of its folders could not be read."""
    tree = search_tree(results)
    for note in tree.notes:
        err.print(printable(f"Note: {note}", "yellow"))
    return tree.sources


def make_table(columns: Iterable[str]) -> Table:
    """Return a table without lines; what is too long for a column goes on in the next line."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table; a row stays a line where no terminal says how wide it is."""
    console = out if out.is_terminal else Console(width=_NO_TERMINAL)
    console.print(table)


def show_progress() -> Progress:
    """Return a progress bar on standard error."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=err
    )
