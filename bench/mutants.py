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
COPIED = ("bench", "featurediff", "pages", "scripts", "tests", "pyproject.toml", "streamlit_app.py")
MINUTES, ALL_MINUTES = 5, 30
"""A test run that takes longer has noticed: a mutant may loop. The second is for the run with nothing broken."""


class Mutant(NamedTuple):
    """One line, broken."""

    file: str
    """In `featurediff/`; of the app, the path from the project's folder, with a slash."""

    old: str
    """What stands there, once in the file."""

    new: str
    """What is put in its place."""

    tests: str
    """Which files of tests should notice: what comes after `test_`, one after the other."""

    why: str
    """What would be wrong."""

    @property
    def path(self) -> str:
        """From the project's folder."""
        return f"{self.file}.py" if "/" in self.file else f"featurediff/{self.file}.py"


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
    Mutant("results", "counts.max() <= n", "counts.max() <= n + 1", "results", "one prompt too many passes"),
    Mutant("results", "base_version in _CHAT_VERSIONS or", "base_version in _CHAT_VERSIONS and", "results",
           "swapped files pass"),
    Mutant("metadata", 'if prompts == "target" else', 'if prompts != "target" else', "results", "control for target"),
    Mutant("archive", " or zlib.crc32(record) != entry.CRC", "", "results", "a flipped bit passes"),
    Mutant("archive", "directories != {directory}", "not directories", "hostile", "a hidden directory passes"),
    Mutant("archive", "if claimed > file_size:\n            msg", "if claimed > 10**15:\n            msg",
           "results hostile", "10^12 elements of a kilobyte pass"),
    Mutant("pickles", '("REDUCE", "BUILD", "NEWOBJ")', '("BUILD", "NEWOBJ")', "pickles", "a call passes"),
    Mutant("pickles", "weight += stack.pop().weight", "weight += min(stack.pop().weight, 1)", "pickles",
           "a pickle unfolds without end"),
    Mutant("significance", "hypergeom.sf(target - 1,", "hypergeom.sf(target,", "significance", "> for >= in a tail"),
    Mutant("significance", "target + control, num_target)", "target + control, num_control)", "significance",
           "control for target"),
    Mutant("significance", "2 * binom.cdf", "binom.cdf", "significance", "one-sided for two-sided"),
    Mutant("significance", '("both", version)', '("both", "base")', "significance", "base for chat"),
    Mutant("significance", "(target > 0) | (control > 0)", "target > 0", "significance", "a smaller family"),
    Mutant("significance", "/ np.cumsum(numbers[order])", "/ np.arange(1, len(order) + 1)", "significance",
           "q of another pair"),
    Mutant("points", "{count}/{run.num_prompts[version, prompts]}", "{count}/{run.num_prompts['base', prompts]}",
           "figures", "n of the wrong model"),
    Mutant("points", "sizes = [run.num_prompts[v, p]", 'sizes = [run.num_prompts[v, "target"]', "figures",
           "n of the wrong prompts"),
    Mutant("points", "html.escape(legible(written), quote=False)", "written", "figures hostile_pages",
           "a missing escape"),
    Mutant("points", '.replace("<", "&lt;")', "", "figures hostile_pages", "a missing escape"),
    Mutant("export", "{html.escape(v)}", "{v}", "export", "a missing escape"),
    Mutant("export", 'template).replace("<", "\\\\u003c")', "template)", "export", "a script that a template ends"),
    Mutant("export", '.replace(b"<", b"\\\\u003c")', "", "export", "a script that a text ends"),
    Mutant("figures", '{"text": f"{text(labels.chat)}: {name}"}', '{"text": f"{text(labels.base)}: {name}"}',
           "figures", "chat's axis called base"),
    Mutant("labels", 'self.chat) if exclusivity == "base" else', 'self.chat) if exclusivity == "chat" else', "labels",
           "base for chat"),
    Mutant("changes", "chat * base_n - base * chat_n", "chat * chat_n - base * base_n", "ranking",
           "n of the wrong model"),
    Mutant("changes", "n = run.num_prompts[version, prompts]", 'n = run.num_prompts["base", prompts]', "ranking",
           "n of the wrong model"),
    Mutant("explanations", "is_last[:-1] = ids", "is_last[1:] = ids", "explanations",
           "the first of several texts"),
    Mutant("overlap", "sizes[:, None] + sizes - shared", "sizes[:, None] + sizes", "overlap", "Jaccard's denominator"),
    Mutant("activations", "alone.append(counts - both)", "alone.append(counts)", "activations",
           "prompts of both models counted as of one"),
    Mutant("spreadsheet", "[-=+@", "[-=+", "spreadsheet", "a cell that a spreadsheet runs"),
    Mutant("scales", "PAD = 0.05", "PAD = 0.5", "scales figures", "another range of the axes"),
    Mutant("spread", 'no_base = (table[f"base_{prompts}', 'no_base = (table[f"chat_{prompts}', "spread",
           "base's gutter for what chat is silent on"),
    Mutant("compare", "evidence_q(self.kept) <= max_q", "evidence_q(self.kept) < max_q", "compare overlap",
           "“q at most” is below"),
    Mutant("compare", "(layers > 1) & (layers == sources)", "layers > 1", "compare",
           "a line over layers through two sources of one layer"),
    Mutant("compare", 'prompt_set=(source.prompt_set if source else None) or ""', 'prompt_set=""', "compare",
           "prompt sets of one SAE in one line"),
    Mutant("overlap", "second.ids(token_type, max_q))", "second.ids(token_type))", "overlap",
           "shared with what is not significant"),
    Mutant("overlap", "second.ids(token_type, max_q))", "second.ids(None, max_q))", "overlap", "another position"),
    Mutant("overlap", "if all(source.sae.is_same(other.sae)", "if any(source.sae.is_same(other.sae)", "overlap",
           "an SAE is compared with one that it need not be"),
    Mutant("overlap", "if not all(source.sae.is_same", "if not any(source.sae.is_same", "overlap",
           "SAEs that differ are compared"),
    Mutant("sae", "self.num_features != other.num_features:", "self.num_features < other.num_features:", "compare",
           "SAEs of other widths are the same"),
    Mutant("sae", "return ours == theirs", "if ours == theirs:\n                    return True", "compare",
           "another page, and yet the same"),
    Mutant("sae", "                page = None", "                page = page", "compare",
           "a folder's name against what its files say"),
    Mutant("changes", "        -np.abs(change),", "        np.abs(change),", "ranking", "the smallest change first"),
    Mutant("changes", 'found[found["rank"] <= top]', 'found[found["rank"] < top]', "ranking", "one too few"),
    Mutant("changes", "order[change[order] != 0]", "order", "ranking", "what does not change is ranked"),
    Mutant("changes", '"base": base,', '"base": chat,', "ranking", "chat for base"),
    Mutant("volcano", 'kept["change_q"].to_numpy()', 'kept["change_p"].to_numpy()', "volcano", "p for q"),
    Mutant("volcano", "change_of(kept, metric, run)[2]", "change_of(kept, metric, run)[1]", "volcano",
           "chat's value for the change"),
    Mutant("volcano", "in_gutter = (evidence == 0)", "in_gutter = (evidence >= 0)", "volcano",
           "evidence in the strip for none"),
    Mutant("neuronpedia", "if layer not in (None, sae.layer):", "if layer is None:", "neuronpedia",
           "the page of another layer, by release and id"),
    Mutant("neuronpedia", "if layer is not None and layer not in", "if layer is None and layer not in", "neuronpedia",
           "the page of another layer, by Neuronpedia id"),
    Mutant("neuronpedia", "    if all(differs):", "    if not differs:", "neuronpedia",
           "an id that its own SAE contradicts is linked"),
    Mutant("neuronpedia", '"index": str(int(feature_id))}', '"index": int(feature_id)}', "neuronpedia",
           "ids in a quick list as numbers, which shows an error"),
    Mutant("neuronpedia", "(?i:https?)://", "(?i:[a-z]+)://", "neuronpedia hostile_pages", "links that are not http"),
    Mutant("registry", "if str(number) == l0), None)", "if number), None)", "neuronpedia", "the page of another L0"),
    Mutant("registry", 'int(said["layer"]) != layer:', 'int(said["layer"]) == layer:', "neuronpedia",
           "a trainer of another layer"),
    Mutant("registry", "if facts[fact] == value]", "if facts[fact]]", "neuronpedia", "the first SAE of a family"),
    Mutant("activations", "if count != expected:", "if count > expected:", "activations",
           "prompts of another run are listed"),
    Mutant("activations", 'rows.duplicated(["model", "prompt_set", "prompt_id"]).any()',
           'rows.duplicated(["model", "prompt_set", "prompt_id"]).all()', "activations", "the mean of two activations"),
    Mutant("activations", "ascending=[True, False, True]", "ascending=[True, True, True]", "activations",
           "the weakest prompt first"),
    Mutant("activations", "differ = counts != expected", "differ = counts > expected", "activations",
           "pairs of another run are tested"),
    Mutant("stars", "guard(note)) for", "note) for", "spreadsheet stars", "a note that a spreadsheet runs"),
    Mutant("stars", 'stars[unguard(row["source"] or ""), int(feature_id)] = note',
           'stars.setdefault((unguard(row["source"] or ""), int(feature_id)), note)', "stars",
           "the first of several notes"),
    Mutant("stars", "len(note) > MAX_NOTE", "len(note) >= MAX_NOTE", "stars hostile", "a note of the full length"),
    Mutant("files", "if file_identity(path) == before and len(data) == before.size:", "if len(data) == before.size:",
           "results", "half of one file and half of the next"),
    Mutant("sources", "        if identify(source) == key:", "        if key:", "hostile_app",
           "files of two states, kept as of one"),
    Mutant("sources", "not child.is_symlink() and", "", "sources", "links out of the results tree are followed"),
    Mutant("pages/__init__", "found = [value for value in asked if value in options]", "found = asked", "app_links",
           "a value of the link that there is not"),
    Mutant("pages/__init__", "least <= number <= most", "least < number < most", "hostile_links app_findings",
           "the largest number is refused"),
    Mutant("pages/__init__", "([!-/:-@", "([#-/:-@", "app", "pictures of strangers in Markdown"),
    Mutant("pages/dashboard/picking", 'if source == state["opened"]', "if source", "hostile_app app_findings",
           "stars of another source"),
    Mutant("pages/dashboard/picking", 'order[rows[0]] if rows', 'order[rows[-1] - 1] if rows', "app",
           "the feature of another row"),
)  # fmt: skip


def copy(folder: Path) -> None:
    """Copy what the tests need."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)


def failed_test(folder: Path, tests: str, minutes: float = MINUTES) -> str:
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
            timeout=60 * minutes,
        )
    except subprocess.TimeoutExpired:
        return "a hang"
    if done.returncode not in (0, 1, 2):
        sys.exit(done.stdout + done.stderr)
    said = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    name = said[0].split(" ")[1].partition("[")[0].rpartition("/")[2] if said else "no test collected"
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
        if broken := failed_test(folder, every, ALL_MINUTES):
            sys.exit(f"{broken} fails with nothing broken.")
        for mutant in chosen:
            path = folder / mutant.path
            whole = path.read_text(encoding="utf-8")
            path.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
            began = time.perf_counter()
            killer = failed_test(folder, mutant.tests)
            path.write_text(whole, encoding="utf-8")
            survivors += not killer
            noticed = f"`{killer}`" if killer else "**survived**"
            rows.append([f"`{mutant.file}.py`: {mutant.why}", noticed, f"{time.perf_counter() - began:.0f} s"])
            print(*rows[-1], sep=" | ", flush=True)
    killed = f"{len(rows) - survivors} of {len(rows)} lines that were broken on purpose were noticed by the tests."
    text = f"{killed}\n\n{table(('broken', 'first test that failed', 'after'), rows)}"
    publish("mutants", "Broken lines", text, write=not given.no_write)
    sys.exit(survivors > 0)


if __name__ == "__main__":
    main()
