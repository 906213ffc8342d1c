"""The bounds that `docs/reliability.md` lists are those of the code."""

import importlib
import re
from pathlib import Path

import pytest

from featurediff.app.config import CONFIG

PAGE = (Path(__file__).parents[1] / "docs" / "reliability.md").read_text("utf-8")
ROWS = re.findall(r"^\| (.+) \| ([0-9,]+) \| `([\w.]+)\.(\w+)` \|$", PAGE, re.MULTILINE)
PACKAGE = Path(__file__).parents[1] / "featurediff"


def test_there_is_a_table():
    assert len(ROWS) > 20
    assert len({row[2:] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("what", "bound", "module", "name"), ROWS, ids=lambda cell: cell.replace(" ", "_"))
def test_bound_is_the_codes(what, bound, module, name):
    assert getattr(importlib.import_module(module), name) == int(bound.replace(",", "")), what


def test_every_public_bound_of_a_reader_is_listed():
    """A bound that is added is on the page too."""
    listed = {f"{module}.{name}" for _, _, module, name in ROWS}
    readers = (
        "csv_files",
        "sources/parquet",
        "sources/pairs",
        "sources/pt_pickle",
        "sources/pt_zip",
        "app/uploads",
        "app/dashboard/stars",
        "app/dashboard/small_csv",
        "app/dashboard/groups",
        "app/browser",
        "compare/evidence_cache",
    )
    readers = (*readers, "meaning/neuronpedia_api", "meaning/neuronpedia_server", "meaning/neuronpedia_cache")
    for reader in readers:
        text = (PACKAGE / f"{reader}.py").read_text("utf-8")
        names = re.findall(r"^(MAX_\w+|MOST\w*|PATIENCE) = ", text, re.MULTILINE)
        assert names
        assert {f"featurediff.{reader.replace('/', '.')}.{name}" for name in names} <= listed


def test_shared_uploads_are_as_small_as_is_said():
    assert f"and {CONFIG['server.maxUploadSize']} MB for an upload where others can open the dashboard" in PAGE


def test_page_and_bench_tell_of_the_same_spoilt_files():
    table = (PACKAGE.parent / "bench" / "README.md").read_text("utf-8").partition("<!-- begin fuzz -->")[2]
    rows = re.findall(
        r"^\| `[^|]+` \| (.+) \| ([\d.]+) s \| \d+ MB \|$", table.partition("<!-- end fuzz -->")[0], re.MULTILINE
    )
    counts = [[int(cell.replace(",", "")) for cell in counts.split(" | ")] for counts, _ in rows]
    spoilt, refused, right, faults = map(sum, zip(*counts, strict=True))
    slowest = max(float(seconds) for _, seconds in rows)
    said = (
        f"{spoilt:,} files, of which {refused:,} were refused and {right:,} read right, with {faults} faults; the "
        f"slowest took {slowest:g} s."
    )
    assert said in " ".join(PAGE.split())
