"""
Break lines that matter, one at a time, in a copy of the project, and see whether the tests notice.

    python bench/mutants.py --only significance

A mutant that survives is a line that could be wrong without anybody seeing it. The copy lies in a temporary folder; the
tests are run there, on one core, first with nothing broken.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from report import publish, table

ROOT = Path(__file__).parents[1]
COPIED = ("bench", "featurediff", "pages", "tests", "pyproject.toml", "streamlit_app.py")
MINUTES = 2
"""A test run that takes longer has noticed: a mutant may loop."""


class Mutant(NamedTuple):
    """One line, broken."""

    file: str
    """In `featurediff/`."""

    old: str
    """What stands there, once in the file."""

    new: str
    """What is put in its place."""

    tests: str
    """Which files of tests should notice: what comes after `test_`, one after the other."""

    why: str
    """What would be wrong."""


MUTANTS = (
    Mutant("diff", ">= target.value", "> target.value", "diff", "“at least K” is more than K"),
    Mutant("diff", "> control.value", ">= control.value", "diff", "“at most J” is fewer than J"),
    Mutant("diff", "(chat & base_control[kept])", "(chat & chat_control[kept])", "diff", "chat for base"),
    Mutant("diff", "metadata.num_control_prompts) >", "metadata.num_target_prompts) >", "diff", "target for control"),
    Mutant("diff", "difference=chat - base", "difference=base - chat", "diff export", "the sign of a difference"),
    Mutant("diff", "vectors = getattr(results, version).vectors[token_type]",
           "vectors = getattr(results, version).vectors[results.token_types[0]]", "diff", "another token type"),
    Mutant("diff", "np.maximum(*values", "np.minimum(*values", "diff", "the smaller value passes the minimum"),
    Mutant("diff", "evidence_q(table) <= filters.max_q", "evidence_q(table) < filters.max_q", "diff significance",
           "“q at most” is below"),
    Mutant("results", "refuse(counts > n,", "refuse(counts >= n,", "results", "a feature on every prompt is refused"),
    Mutant("results", "base_version in _CHAT_VERSIONS or", "base_version in _CHAT_VERSIONS and", "results",
           "swapped files pass"),
    Mutant("metadata", 'if prompts == "target" else', 'if prompts != "target" else', "results", "control for target"),
    Mutant("archive", "damaged = archive.testzip()", "damaged = None", "results", "a flipped bit passes"),
    Mutant("archive", "directories != {directory}", "not directories", "hostile", "a hidden directory passes"),
    Mutant("archive", "if claimed > file_size:\n                msg", "if claimed > 10**15:\n                msg",
           "results hostile", "10^12 elements of a kilobyte pass"),
    Mutant("pickles", '("REDUCE", "BUILD", "NEWOBJ")', '("BUILD", "NEWOBJ")', "pickles", "a call passes"),
    Mutant("pickles", "weight += stack.pop().weight", "weight += min(stack.pop().weight, 1)", "pickles",
           "a pickle unfolds without end"),
    Mutant("significance", "hypergeom.sf(target - 1,", "hypergeom.sf(target,", "significance", "> for >= in a tail"),
    Mutant("significance", "target + control, num_target)", "target + control, num_control)", "significance",
           "control for target"),
    Mutant("significance", "2 * binom.cdf", "binom.cdf", "significance", "one-sided for two-sided"),
    Mutant("significance", 'isin(["both", version])', 'isin(["both", "base"])', "significance", "base for chat"),
    Mutant("significance", "(target > 0) | (control > 0)", "target > 0", "significance", "a smaller family"),
    Mutant("significance", "np.cumsum(numbers[order]) - 1", "np.arange(len(order))", "significance",
           "q of another pair"),
    Mutant("points", "{count}/{run.num_prompts[version, prompts]}", "{count}/{run.num_prompts['base', prompts]}",
           "figures", "n of the wrong model"),
    Mutant("points", "sizes = [run.num_prompts[v, p]", 'sizes = [run.num_prompts[v, "target"]', "figures",
           "n of the wrong prompts"),
    Mutant("points", "html.escape(written, quote=False)", "written", "figures hostile_pages", "a missing escape"),
    Mutant("points", '.str.replace("<", "&lt;", regex=False)\n', "\n", "figures hostile_pages", "a missing escape"),
    Mutant("export", "{html.escape(v)}", "{v}", "export", "a missing escape"),
    Mutant("export", '.replace("<", "\\\\u003c")', "", "export", "a script that a template ends"),
    Mutant("figures", '{"title": f"{text(labels.chat)}: {name}"}', '{"title": f"{text(labels.base)}: {name}"}',
           "figures", "chat's axis called base"),
    Mutant("labels", 'self.chat) if exclusivity == "base" else', 'self.chat) if exclusivity == "chat" else', "labels",
           "base for chat"),
    Mutant("changes", "chat * base_n - base * chat_n", "chat * chat_n - base * base_n", "ranking",
           "n of the wrong model"),
    Mutant("changes", "n = run.num_prompts[version, prompts]", 'n = run.num_prompts["base", prompts]', "ranking",
           "n of the wrong model"),
    Mutant("explanations", 'index.duplicated(keep="last")', 'index.duplicated(keep="first")', "explanations",
           "the first of several texts"),
    Mutant("overlap", "sizes[:, None] + sizes - shared", "sizes[:, None] + sizes", "overlap", "Jaccard's denominator"),
    Mutant("activations", "alone.append(counts - both)", "alone.append(counts)", "activations",
           "prompts of both models counted as of one"),
    Mutant("spreadsheet", "[-=+@", "[-=+", "spreadsheet", "a cell that a spreadsheet runs"),
    Mutant("scales", "PAD = 0.05", "PAD = 0.5", "scales figures", "another range of the axes"),
    Mutant("spread", 'no_base = (table[f"base_{prompts}', 'no_base = (table[f"chat_{prompts}', "spread",
           "base's gutter for what chat is silent on"),
)  # fmt: skip


def copy(folder: Path) -> None:
    """Copy what the tests need."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)


def failed_test(folder: Path, tests: str) -> str:
    """Run tests in a copy, and return the first that fails; empty where none does."""
    files = [f"tests/test_{name}.py" for name in tests.split()]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:rerunfailures",
    ]
    # No .pyc files: a mutant of the same length, made within the same second, would not be compiled.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            [*command, *files],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60 * MINUTES,
        )
    except subprocess.TimeoutExpired:
        return "a hang"
    if done.returncode not in (0, 1, 2):
        sys.exit(done.stdout + done.stderr)
    said = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    name = said[0].split(" ")[1].rpartition("/")[2] if said else "no test collected"
    return name if done.returncode else ""


def main() -> None:
    """Run the program; the exit code is 1 where a mutant survives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="FILE", help="the lines of one file")
    parser.add_argument("--no-write", action="store_true", help="leave bench/README.md alone")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.only in (None, mutant.file)]
    rows, survivors = [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy(folder)
        every = " ".join(dict.fromkeys(test for mutant in chosen for test in mutant.tests.split()))
        if broken := failed_test(folder, every):
            sys.exit(f"{broken} fails with nothing broken.")
        for mutant in chosen:
            path = folder / "featurediff" / f"{mutant.file}.py"
            whole = path.read_text(encoding="utf-8")
            path.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
            began = time.perf_counter()
            killer = failed_test(folder, mutant.tests)
            path.write_text(whole, encoding="utf-8")
            survivors += not killer
            noticed = f"`{killer.partition('[')[0]}`" if killer else "**survived**"
            rows.append([f"`{mutant.file}.py`: {mutant.why}", noticed, f"{time.perf_counter() - began:.0f} s"])
            print(*rows[-1], sep=" | ", flush=True)
    killed = f"{len(rows) - survivors} of {len(rows)} lines that were broken on purpose were noticed by the tests."
    text = f"{killed}\n\n{table(('broken', 'first test that failed', 'after'), rows)}"
    publish("mutants", "Broken lines", text, write=not given.no_write)
    sys.exit(survivors > 0)


if __name__ == "__main__":
    main()
