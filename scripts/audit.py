"""
Report installed packages with known weaknesses; fails nothing.

    python scripts/audit.py .venv/audit/bin/pip-audit

pip-audit says "No known vulnerabilities found" also of packages that it could not look up, and ends in a traceback
where the database cannot be reached. This says how many were looked up, and why the others were not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

SECONDS, IN_ALL = 15, 240
"""How long one request may take, and all of them."""


def ask(program: Path) -> tuple[list[dict[str, Any]], str]:
    """Return what pip-audit says of every installed package, or why it says nothing."""
    folder = sysconfig.get_path("purelib")
    command = [
        str(program),
        "--progress-spinner",
        "off",
        "--timeout",
        str(SECONDS),
        "--format",
        "json",
        "--path",
        folder,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=IN_ALL)
    except OSError as error:
        return [], f"{program} cannot be run ({error.strerror})"
    except subprocess.TimeoutExpired:
        return [], f"it took over {IN_ALL} seconds"
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except (ValueError, KeyError):
        return [], (done.stderr.strip().splitlines() or ["pip-audit says nothing"])[-1][:300]


def report(packages: list[dict[str, Any]]) -> list[str]:
    """Return the report's lines: a table of weaknesses, and what was not looked up."""
    known = [package for package in packages if "skip_reason" not in package]
    rows = [
        (package["name"], package["version"], fault["id"], ", ".join(fault.get("fix_versions", ())) or "none yet")
        for package in known
        for fault in package["vulns"]
    ]
    lines = [f"{len(known)} of {len(packages)} installed packages looked up, {len(rows)} known weaknesses."]
    if rows:
        rows.insert(0, ("package", "version", "weakness", "mended in"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
    whys = Counter(package["skip_reason"].partition(":")[0] for package in packages if "skip_reason" in package)
    return lines + [f"{count} not looked up: {why}." for why, count in whys.most_common()]


def main() -> None:
    """Run the program."""
    packages, why = ask(Path(sys.argv[1]))
    print("\n".join(report(packages)) if packages else f"No report on weaknesses of packages: {why}.")


if __name__ == "__main__":
    main()
