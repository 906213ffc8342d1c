"""The progress bar of `featurediff collect`."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from featurediff.cli.collect import COLUMNS


@pytest.mark.parametrize("width", [50, 60, 80])
def test_a_narrow_terminal_shortens_the_path_and_not_the_numbers(width):
    """In a narrow terminal the numbers were cut or wrapped, and the path stood in full."""
    screen = io.StringIO()
    bar = Progress(*COLUMNS, console=Console(file=screen, width=width, force_terminal=False))
    bar.add_task("Running /models/of/a/very/long/path/to/a/folder/gemma-2-9b-it", total=8000, completed=4000)
    bar.console.print(bar.get_renderable())
    (line,) = [line for line in screen.getvalue().split("\n") if line.strip()]
    assert "4000/8000" in line
    assert "-:--:--" in line
    assert line.startswith("Run")
    assert "…" in line
