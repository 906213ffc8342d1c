"""The command line, a module a command."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from featurediff.cli.app import open_app
from featurediff.cli.cache import show_cache
from featurediff.cli.check import check_source
from featurediff.cli.collect import CollectCommand, collect
from featurediff.cli.compare import compare_sources
from featurediff.cli.explain import explain_source
from featurediff.cli.export import export_sources
from featurediff.cli.sources import list_sources, make_demo
from featurediff.cli.terminal import err, out, printable
from featurediff.errors import DataError
from featurediff.version import package_version

_INTERRUPTED = 130
"""The exit code that typer makes of Ctrl-C."""

STOPPED = "Stopped. Run the same command again: collect and explain go on from what they keep, the others begin anew."

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Show which SAE features a chat model uses differently from its base model.",
)


def print_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        out.print(package_version(), highlight=False)
        raise typer.Exit


@app.callback()
def run(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version and leave.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


app.command("app")(open_app)
app.command("collect", cls=CollectCommand)(collect)
app.command("list")(list_sources)
app.command("check")(check_source)
app.command("export")(export_sources)
app.command("explain")(explain_source)
app.command("compare")(compare_sources)
app.command("demo")(make_demo)
app.command("cache")(show_cache)


def main() -> None:
    """
    Run the command line.

    An error that a user can fix is printed, and the exit code is 2. Where Ctrl-C stopped a command, a sentence says how
    to go on, and the exit code is 130.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names need not fit a terminal's encoding
    try:
        app(standalone_mode=True)
    except DataError as error:
        err.print(printable(str(error), "red"))
        sys.exit(2)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            err.print(STOPPED)
        raise
