"""Exports where the disk is full: said in words, and nothing half-written."""

import signal
from contextlib import contextmanager

import pytest
from builders import make_explanations, make_source
from conftest import SAE_FOLDER
from typer.testing import CliRunner

from featurediff.cli import app
from featurediff.errors import DataError

resource = pytest.importorskip("resource")
WHY = "cannot be written (File too large). Is there room, and may you write there?"


@pytest.fixture
def results(tmp_path):
    make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv")
    make_source(tmp_path / "results" / SAE_FOLDER / "second")
    return make_source(tmp_path / "results" / SAE_FOLDER / "personal_40").parents[1]


@contextmanager
def full_disk():
    """No file may be longer than a few bytes, which is as near to a full disk as a test comes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


COMMANDS = {
    "csv": ("export {source} --csv {out}/t.csv", 1),
    "html": ("export {source} --html {out}/t.html", 1),
    "parquet": ("export {source} --parquet {out}/t.parquet", 1),
    "tree": ("export {results} --csv {out} --html {out} --parquet {out}", 2),
    "compare csv": ("compare {results} --csv {out}/t.csv --workers 1", 1),
    "compare html": ("compare {results} --html {out}/t.html --workers 1", 1),
    "demo": ("demo {out}", 1),
}


@pytest.mark.parametrize(("command", "times"), COMMANDS.values(), ids=COMMANDS)
def test_export_to_a_full_disk_is_said_and_leaves_nothing(results, tmp_path, command, times):
    out = tmp_path / "out"
    named = {"source": results / SAE_FOLDER / "personal_40", "results": results, "out": out}
    words = [word.format(**named) for word in command.split()]
    with full_disk():
        full = CliRunner().invoke(app, words)
    assert isinstance(full.exception, DataError), full.output
    assert f"{full.stderr}{full.exception}".count(WHY) == times
    assert not [path for path in out.rglob("*") if path.is_file()]
    assert CliRunner().invoke(app, words).exit_code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert before
    with full_disk():
        assert isinstance(CliRunner().invoke(app, words).exception, DataError)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before, "what was there stays"
