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
COPIED = ("bench", "featurediff", "scripts", "tests", "pyproject.toml", "streamlit_app.py")
MINUTES, ALL_MINUTES = 5, 30
"""A test run that takes longer has noticed: a mutant may loop. The second is for the run with nothing broken."""


class Mutant(NamedTuple):
    """One line, broken."""

    file: str
    """Its path below `featurediff/`, without `.py`."""

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
        return f"featurediff/{self.file}.py"


MUTANTS = (
    Mutant("features/table", ">= target.value", "> target.value", "table", "“at least K” is more than K"),
    Mutant("features/table", "> control.value", ">= control.value", "table", "“at most J” is fewer than J"),
    Mutant("features/table", "(chat & base_control[kept])", "(chat & chat_control[kept])", "table", "chat for base"),
    Mutant(
        "features/table",
        "metadata.num_control_prompts) >",
        "metadata.num_target_prompts) >",
        "table",
        "target for control",
    ),
    Mutant(
        "features/table", "difference=chat - base", "difference=base - chat", "table export", "the sign of a difference"
    ),
    Mutant(
        "features/table",
        "vectors = results.of(side).vectors[token_type]",
        "vectors = results.of(side).vectors[results.token_types[0]]",
        "table",
        "another token type",
    ),
    Mutant(
        "features/filters", "np.fmax(*values", "np.minimum(*values", "table", "the smaller value passes the minimum"
    ),
    Mutant(
        "features/filters",
        "question_q(table, question, metric) <= filters.max_q",
        "question_q(table, question, metric) < filters.max_q",
        "table evidence",
        "“q at most” is below",
    ),
    Mutant("sources/vectors", "counts.max() <= n", "counts.max() <= n + 1", "results", "one prompt too many passes"),
    Mutant(
        "sources/model_pair",
        '_kind(base) == "chat" or',
        '_kind(base) == "chat" and',
        "results",
        "swapped files pass",
    ),
    Mutant(
        "sources/vectors",
        "if counts.dtype == np.bool_:",
        "if counts.dtype == np.float64:",
        "results hostile_files",
        "booleans are counts",
    ),
    Mutant(
        "sources/notes",
        "if not (as_float32.view",
        "if (as_float32.view",
        "contradictions",
        "shares in bfloat16 are said to be wrong",
    ),
    Mutant(
        "sources/contradictions",
        "new(n * mean > k * most * (1 + slack))",
        "new(mean > most * (1 + slack))",
        "contradictions",
        "a mean that so few active prompts cannot have passes",
    ),
    Mutant(
        "sources/contradictions",
        "* n / max(n - 1, 1))",
        ")",
        "contradictions",
        "a standard deviation that divides by n − 1 is impossible",
    ),
    Mutant(
        "sources/metadata",
        'if prompts == "target" else',
        'if prompts != "target" else',
        "results",
        "control for target",
    ),
    Mutant("sources/pt_zip", " or zlib.crc32(record) != entry.CRC", "", "results", "a flipped bit passes"),
    Mutant(
        "sources/pt_zip",
        "directories != {directory}",
        "not directories",
        "hostile_files",
        "a hidden directory passes",
    ),
    Mutant(
        "sources/pt_archive",
        "if claimed > file_size:\n            msg",
        "if claimed > 10**15:\n            msg",
        "results hostile_files",
        "10^12 elements of a kilobyte pass",
    ),
    Mutant("sources/pt_pickle", '("REDUCE", "BUILD", "NEWOBJ")', '("BUILD", "NEWOBJ")', "pt_pickle", "a call passes"),
    Mutant(
        "sources/pt_pickle",
        "weight += stack.pop().weight",
        "weight += min(stack.pop().weight, 1)",
        "pt_pickle",
        "a pickle unfolds without end",
    ),
    Mutant(
        "features/exact_tests",
        "return np.cumsum(likely[::-1])[::-1]",
        "return np.cumsum(likely[::-1])[::-1] - likely",
        "exact_tests",
        "> for >= in a tail",
    ),
    Mutant(
        "features/exact_tests",
        "max(0, margin - num_second), min(margin, num_first)",
        "max(0, margin - num_first), min(margin, num_second)",
        "exact_tests",
        "control for target",
    ),
    Mutant("features/exact_tests", "2 * bdtr(", "bdtr(", "exact_tests", "one-sided for two-sided"),
    Mutant("features/evidence_columns", '("both", side)', '("both", "base")', "questions", "base for chat"),
    Mutant("features/evidence", "(target > 0) | (control > 0)", "target > 0", "evidence", "a smaller family"),
    Mutant(
        "features/families",
        "found[order] = smallest",
        "found = smallest",
        "families",
        "q of another feature",
    ),
    Mutant(
        "charts/points",
        "/{origin.num_prompts[side, prompts]}",
        "/{origin.num_prompts['base', prompts]}",
        "scatter",
        "n of the wrong model",
    ),
    Mutant(
        "charts/texts",
        "html.escape(visible(written), quote=False)",
        "written",
        "scatter hostile_pages",
        "a missing escape",
    ),
    Mutant("charts/texts", '.replace("<", "&lt;")', "", "scatter hostile_pages", "a missing escape"),
    Mutant("export", "{html.escape(v)}", "{v}", "export", "a missing escape"),
    Mutant("export", 'template).replace("<", "\\\\u003c")', "template)", "export", "a script that a template ends"),
    Mutant("app/dashboard/picture", '.replace(b"<", b"\\\\u003c")', "", "export", "a script that a text ends"),
    Mutant(
        "charts/scatter",
        'f"{labels.chat}: {name}"',
        'f"{labels.base}: {name}"',
        "scatter",
        "chat's axis called base",
    ),
    Mutant(
        "labels",
        'self.chat) if exclusivity == "base" else',
        'self.chat) if exclusivity == "chat" else',
        "labels",
        "base for chat",
    ),
    Mutant(
        "features/ranked",
        "chat * base_n - base * chat_n",
        "chat * chat_n - base * base_n",
        "ranking",
        "n of the wrong model",
    ),
    Mutant(
        "features/listing",
        "np.where(effect > 0, low, -high)",
        "np.where(effect > 0, high, -low)",
        "ranking",
        "by the end that is farther from 0",
    ),
    Mutant(
        "meaning/explanations", "is_last[:-1] = ids", "is_last[1:] = ids", "explanations", "the first of several texts"
    ),
    Mutant(
        "sources/walk",
        "self.folders(child, depth - 1, above | {here})",
        "self.folders(child, depth - 1, frozenset())",
        "tree",
        "links are followed in a circle",
    ),
    Mutant(
        "meaning/explained_csv",
        "if link:",
        "if link and False:",
        "explain",
        "explanations are written through a link",
    ),
    Mutant(
        "sources/walk",
        "if self.leave or not path.is_symlink() or",
        "if True or",
        "tree",
        "links that lead out of the tree are followed by a server",
    ),
    Mutant(
        "meaning/this_sae",
        "other=not is_page, this=is_page",
        "other=False, this=True",
        "this_sae",
        "the texts of another dictionary, by its page",
    ),
    Mutant(
        "meaning/this_sae",
        "None if layer is None else layer == sae.layer",
        "None if layer is None else True",
        "this_sae",
        "the texts of another layer",
    ),
    Mutant(
        "meaning/this_sae",
        "return (surely, sorted(unsure + silent), others) if others or unsure",
        "return (surely + silent, unsure, others) if others or unsure",
        "this_sae",
        "rows that name no SAE beside those of others",
    ),
    Mutant(
        "meaning/columns",
        "return all(_METHODS.match(value) for value in types)",
        "return True",
        "tables this_sae",
        "a kind of feature for the way a text was made",
    ),
    Mutant(
        "csv_files",
        "is_row = cell.endswith(_MARK) and last not in whole",
        "is_row = cell.endswith(_MARK)",
        "tables",
        "half an id of a growing file",
    ),
    Mutant(
        "csv_files",
        "else (frame[wanted].iloc[:-1], broken)",
        "else (frame[wanted], broken)",
        "tables",
        "a row that breaks off",
    ),
    Mutant(
        "loading",
        "return replace(study, unexplained=",
        "raise error from replace(study, unexplained=",
        "study hostile_files",
        "explanations that cannot be used take the statistics away",
    ),
    Mutant(
        "compare/overlap",
        "sizes[:, None] + sizes - shared",
        "sizes[:, None] + sizes",
        "overlap",
        "Jaccard's denominator",
    ),
    Mutant("csv_files", "[-=+@", "[-=+", "csv_files", "a cell that a spreadsheet runs"),
    Mutant("charts/scale", "PAD = 0.05", "PAD = 0.5", "scale scatter", "another range of the axes"),
    Mutant(
        "charts/scatter_places",
        '(table[f"{side}_{prompts}_num_active"].to_numpy() == 0)',
        '(table[f"chat_{prompts}_num_active"].to_numpy() == 0)',
        "packing",
        "base's gutter for what chat is silent on",
    ),
    Mutant(
        "compare/summary",
        "return self.q(asked) <= asked.alpha",
        "return self.q(asked) < asked.alpha",
        "summary overlap",
        "“q at most” is below",
    ),
    Mutant(
        "compare/naming",
        "(layers > 1) & (layers == sources)",
        "layers > 1",
        "summary",
        "a line over layers through two sources of one layer",
    ),
    Mutant(
        "compare/reading",
        'prompt_set=(source.prompt_set if source else None) or ""',
        'prompt_set=""',
        "summary",
        "prompt sets of one SAE in one line",
    ),
    Mutant(
        "compare/overlap",
        "one, other = (source.ids(asked, token_type, only_evidence=only_evidence)",
        "one, other = (source.ids(asked, token_type)",
        "overlap",
        "shared with what is not significant",
    ),
    Mutant(
        "compare/overlap",
        "one, other = (source.ids(asked, token_type, only_evidence=only_evidence)",
        "one, other = (source.ids(asked, only_evidence=only_evidence)",
        "overlap",
        "another position",
    ),
    Mutant(
        "compare/overlap",
        "possible = (is_kept @ is_active.T)",
        "possible = (is_kept @ is_kept.T)",
        "overlap",
        "what chance shares, out of what both keep",
    ),
    Mutant(
        "compare/evidence_cache",
        "if data[:_DIGEST] != _sign(key, data[_DIGEST:]):",
        "if len(data) < _DIGEST:",
        "evidence_cache",
        "a damaged file of the cache is read",
    ),
    Mutant(
        "compare/evidence",
        "if key and identify(study.source) == before:",
        "if key:",
        "evidence_cache",
        "evidence of a file that changed meanwhile is kept",
    ),
    Mutant(
        "compare/same_prompts",
        "if one.marks[prompts] & other.marks[prompts])",
        "if one.marks[prompts] == other.marks[prompts])",
        "same_prompts",
        "sources that say nothing of their prompts share them",
    ),
    Mutant(
        "compare/by_sae",
        "if all(source.sae.is_same(other.sae)",
        "if any(source.sae.is_same(other.sae)",
        "overlap",
        "an SAE is compared with one that it need not be",
    ),
    Mutant(
        "compare/overlap",
        "if not all(source.sae.is_same",
        "if not any(source.sae.is_same",
        "overlap",
        "SAEs that differ are compared",
    ),
    Mutant(
        "compare/same_sae",
        "self.num_features != other.num_features:",
        "self.num_features < other.num_features:",
        "summary",
        "SAEs of other widths are the same",
    ),
    Mutant(
        "compare/same_sae",
        "return ours == theirs",
        "if ours == theirs:\n                    return True",
        "summary",
        "another page, and yet the same",
    ),
    Mutant(
        "compare/same_sae",
        "page = page if filed or registered else None",
        "page = page",
        "summary",
        "a folder's name against what its files say",
    ),
    Mutant(
        "features/ranked", "-np.abs(effect), -near", "np.abs(effect), -near", "ranking", "the smallest change first"
    ),
    Mutant("features/ranked", "first = order[place <= top]", "first = order[place < top]", "ranking", "one too few"),
    Mutant("features/ranked", "order[np.abs(effect[order]) > 0]", "order", "ranking", "what does not change is ranked"),
    Mutant("features/ranked", '"base": base[first]', '"base": chat[first]', "ranking", "chat for base"),
    Mutant("charts/volcano_places", 'kept[f"{effect}_q"]', 'kept[f"{effect}_p"]', "volcano", "p for q"),
    Mutant(
        "charts/volcano_places",
        "change_of(kept, metric, origin)[2]",
        "change_of(kept, metric, origin)[1]",
        "volcano",
        "chat's value for the change",
    ),
    Mutant(
        "charts/volcano_places",
        "in_gutter = (evidence == 0)",
        "in_gutter = (evidence >= 0)",
        "volcano",
        "evidence in the strip for none",
    ),
    Mutant(
        "charts/volcano_places", 'q, side="left")', 'q, side="right")', "volcano", "a q at a line is drawn below it"
    ),
    Mutant("charts/volcano_places", "FARTHEST / np.sqrt(2)", "FARTHEST", "volcano", "a point far from its values"),
    Mutant("charts/scatter_places", "whole / 2 - towards", "-towards", "packing", "a point across the no-change line"),
    Mutant(
        "meaning/find_pages",
        "if folder.layer not in (None, sae.layer):",
        "if folder.layer is None:",
        "pages",
        "the page of another layer, by release and id",
    ),
    Mutant(
        "meaning/find_pages",
        "if folder.layer is not None and folder.layer not in",
        "if folder.layer is None and folder.layer not in",
        "pages",
        "the page of another layer, by Neuronpedia id",
    ),
    Mutant(
        "meaning/find_pages",
        "return page if num_features is None else",
        "return page if num_features else",
        "pages",
        "the page of an SAE of another width",
    ),
    Mutant(
        "meaning/registry",
        "// base**powers for base",
        "// base for base",
        "pages",
        "an SAE of a million features has no page",
    ),
    Mutant(
        "meaning/find_pages",
        "if not found or not all(found):",
        "if not found or all(found):",
        "pages",
        "metadata that contradict the folder are linked",
    ),
    Mutant(
        "meaning/find_pages",
        "    if all(differs):",
        "    if not differs:",
        "pages",
        "an id that its own SAE contradicts is linked",
    ),
    Mutant(
        "meaning/pages",
        '"index": str(int(feature_id))}',
        '"index": int(feature_id)}',
        "pages",
        "ids in a quick list as numbers, which shows an error",
    ),
    Mutant("meaning/pages", "(?i:https?)://", "(?i:[a-z]+)://", "pages hostile_pages", "links that are not http"),
    Mutant("meaning/registry", "if str(number) == l0), None)", "if number), None)", "pages", "the page of another L0"),
    Mutant(
        "meaning/folder_saes",
        'int(said["layer"]) != layer:',
        'int(said["layer"]) == layer:',
        "pages",
        "a trainer of another layer",
    ),
    Mutant("meaning/folder_saes", "if facts[fact] == value]", "if facts[fact]]", "pages", "the first SAE of a family"),
    Mutant(
        "sources/activations",
        "if count != expected:",
        "if count > expected:",
        "activations",
        "prompts of another run are listed",
    ),
    Mutant(
        "sources/activations",
        "if any((np.diff(prompt) == 0).any()",
        "if any((np.diff(prompt) == 0).all()",
        "activations",
        "the mean of two activations",
    ),
    Mutant(
        "sources/activations",
        "order = np.argsort(-values.max(axis=1)",
        "order = np.argsort(values.max(axis=1)",
        "activations",
        "the weakest prompt first",
    ),
    Mutant(
        "sources/activations",
        "differ = counts != expected",
        "differ = counts > expected",
        "activations",
        "pairs of another run are tested",
    ),
    Mutant(
        "app/dashboard/sorting",
        "ascending=not sort.falling",
        "ascending=sort.falling",
        "app_screen",
        "the smallest first where the largest is meant",
    ),
    Mutant("app/dashboard/table", "cells.index != at", "cells.index == at", "app_screen", "every row marked but one"),
    Mutant(
        "app/dashboard/kept",
        '"consistent": len(kept) - inconsistent',
        '"consistent": len(kept)',
        "app_screen",
        "inconsistent features counted as consistent too",
    ),
    Mutant(
        "app/dashboard/filters",
        "max_q=view.alpha if only_evidence else None",
        "max_q=None if only_evidence else view.alpha",
        "app_screen",
        "only evidence where all is asked for",
    ),
    Mutant(
        "features/filters",
        "enumerate(text.splitlines(), 1)",
        "enumerate(text.splitlines())",
        "app_screen",
        "the line before the one with the fault",
    ),
    Mutant("app/dashboard/stars", "guard(note)) for", "note) for", "csv_files stars", "a note that a spreadsheet runs"),
    Mutant(
        "app/dashboard/stars",
        "in read_small_csv(data, name, COLUMNS[:2], COLUMNS[2:])",
        "in reversed(list(read_small_csv(data, name, COLUMNS[:2], COLUMNS[2:])))",
        "stars",
        "the first of several notes",
    ),
    Mutant(
        "app/dashboard/stars",
        "len(note) > MAX_NOTE",
        "len(note) >= MAX_NOTE",
        "stars hostile_files",
        "a note of the full length",
    ),
    Mutant(
        "files",
        "if file_identity(path) == before and len(data) == before.size:",
        "if len(data) == before.size:",
        "results",
        "half of one file and half of the next",
    ),
    Mutant(
        "sources/state",
        "        if identify(source) == key:",
        "        if key:",
        "hostile_app",
        "files of two states, kept as of one",
    ),
    Mutant(
        "app/url",
        "found = [value for value in asked if value in options]",
        "found = asked",
        "app_links",
        "a value of the link that there is not",
    ),
    Mutant(
        "app/url",
        "least <= number <= most",
        "least < number < most",
        "hostile_links app_findings",
        "the largest number is refused",
    ),
    Mutant("app/safe_text", "([!-/:-@", "([#-/:-@", "app", "pictures of strangers in Markdown"),
    Mutant(
        "app/dashboard/starring",
        "if source == here.opened",
        "if source",
        "hostile_app app_findings",
        "stars of another source",
    ),
    Mutant(
        "app/dashboard/events",
        'order[chosen["cells"][0][0]]',
        'order[chosen["cells"][0][0] - 1]',
        "app",
        "the feature of another row",
    ),
    Mutant(
        "features/evidence",
        'family == "source"',
        'family == "nowhere"',
        "evidence",
        "all positions are counted as one",
    ),
    Mutant("features/evidence", "q_values(effect.p) for key", "effect.p for key", "evidence", "p for q"),
    Mutant(
        "features/evidence", "return active[0] | active[1]", "return active[0]", "evidence", "a family of base's alone"
    ),
    Mutant("features/evidence", 'if contrast == "specific":', "if contrast:", "evidence", "too large a family"),
    Mutant(
        "features/effects",
        'found["chat", prompts] - found["base", prompts]',
        'found["base", prompts] - found["chat", prompts]',
        "evidence questions",
        "the sign of an effect",
    ),
    Mutant(
        "features/effects",
        "sign_flips(d, family, groups), _named",
        "sign_flips(d, family), _named",
        "evidence",
        "prompts are flipped for groups",
    ),
    Mutant(
        "features/effects",
        'Sample(vectors[v][f"{p}_all_mean"]',
        'Sample(vectors[v][f"target_all_mean"]',
        "evidence",
        "target for control",
    ),
    Mutant("sources/pairs", "if shared:", "if len(shared) > 9:", "pairs", "a group in both prompt sets passes"),
    Mutant(
        "sources/pairs",
        "codes.max(initial=-1) + 1 + np.arange(alone.sum())",
        "codes.max(initial=-1) + 1",
        "pairs",
        "prompts without a group are one group",
    ),
    Mutant("sources/active", "(len(ids) + 1) + prompt", "(len(ids) + 1) - prompt", "activations", "rows mixed"),
    Mutant("features/table", "<< i", "<< (2 - i)", "questions", "the order of kept_by"),
    Mutant("features/table", "], [0, 1, 2], 3)", "], [0, 1, 2], 2)", "questions", "chat for neither"),
    Mutant("features/table", "q <= asked.alpha", "q < asked.alpha", "questions", "“q at most” is below"),
    Mutant("features/counts", "side: (control, target) for", "side: (target, control) for", "counts", "no mirror"),
    Mutant(
        "features/intervals",
        "np.where(np.abs(value) < _ROUNDING, 0.0, value)",
        "value",
        "evidence",
        "rounding is an increase",
    ),
)


def copy(folder: Path) -> None:
    """Copy what the tests need."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)


def check_list() -> None:
    """Say which of the lines no longer stand in the code once, or are to be noticed by tests that are not there."""
    for mutant in MUTANTS:
        times = (ROOT / mutant.path).read_text(encoding="utf-8").count(mutant.old)
        missing = [name for name in mutant.tests.split() if not list((ROOT / "tests").rglob(f"test_{name}.py"))]
        if times != 1 or missing:
            sys.exit(f"{mutant.path}: {mutant.old!r} stands there {times} times; missing tests: {missing}")


def failed_test(folder: Path, tests: str, minutes: float = MINUTES) -> str:
    """Run tests in a copy, and return the first that fails; empty where none does."""
    files = [str(found) for name in tests.split() for found in (folder / "tests").rglob(f"test_{name}.py")]
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
    check_list()
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
