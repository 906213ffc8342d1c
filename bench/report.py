"""What the benchmarks write: Markdown tables, each program in its own section of `bench/README.md`."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

README = Path(__file__).parent / "README.md"

LIBRARIES = ("numpy", "pandas", "plotly", "streamlit", "torch")
"""Those that matter for the speed of the dashboard."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine(libraries: Sequence[str] = LIBRARIES) -> str:
    """Return date, processor, memory, and the versions that matter for speed."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (named := re.search(r"model name\s*: (.+)", info.read_text())):
        cpu = named[1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"{day}, {os.cpu_count()} × {cpu}, {memory:.0f} GB, Python {platform.python_version()}, {versions}"


def publish(name: str, title: str, text: str, *, libraries: Sequence[str] = LIBRARIES, write: bool = True) -> None:
    """
    Print a result, and put it in place of the program's last one.

    Parameters
    ----------
    name : str
        Of the program: marks its section.
    title, text : str
        Heading and Markdown below it; date and machine are put between them.
    libraries : sequence of str
        Whose versions matter.
    write : bool
        Whether to write `bench/README.md`; a trial at small sizes does not.
    """
    section = f"## {title}\n\n{machine(libraries)}\n\n{text.strip()}\n"
    print(section)
    if not write:
        return
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    page = README.read_text(encoding="utf-8") if README.exists() else ""
    before, found, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    page = before + begin + section + end + after if found else f"{page}\n{begin}{section}{end}"
    README.write_text(page, encoding="utf-8")
