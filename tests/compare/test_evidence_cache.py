"""Evidence is computed once for the same content, kept on disk, and never taken from a damaged or foreign file."""

import os
import shutil
import stat

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from builders import make_source
from paired import make_paired
from typer.testing import CliRunner

from featurediff import cli
from featurediff.compare import evidence, evidence_cache
from featurediff.compare.evidence import evidence_of, read_evidence
from featurediff.compare.evidence_cache import EvidenceCache
from featurediff.errors import DataError
from featurediff.features.evidence import assess_changes
from featurediff.loading import load
from featurediff.sources.state import identify
from featurediff.sources.tree import describe_source

KEY = "0" * 64


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Where evidence is kept: an empty cache of each test's own."""
    monkeypatch.setenv("FEATUREDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evidence"


@pytest.fixture
def tested(monkeypatch):
    """How often changes were computed."""
    calls = []

    def count(*args):
        calls.append(args)
        return assess_changes(*args)

    monkeypatch.setattr(evidence, "assess_changes", count)
    return calls


def table(*values):
    return pa.table({"x": np.array(values)})


def files(folder):
    return sorted(folder.iterdir()) if folder.exists() else []


def same(one, other):
    pd.testing.assert_frame_equal(one.table, other.table)
    assert (one.tests, one.groups, one.is_paired) == (other.tests, other.groups, other.is_paired)


# ----------------------------------------------------------------------------
# Of a source.


@pytest.mark.parametrize("make", [make_source, make_paired], ids=["counts", "pairs"])
def test_a_source_is_tested_once(tmp_path, tested, folder, make):
    source = make(tmp_path / "a")
    first = evidence_of(load(source))
    assert len(tested) == 1
    assert len(files(folder)) == 1
    same(evidence_of(load(source)), first)
    assert len(tested) == 1


def test_a_copy_elsewhere_is_the_same_source(tmp_path, tested):
    first = evidence_of(load(make_paired(tmp_path / "a")))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    same(evidence_of(load(tmp_path / "b")), first)
    assert len(tested) == 1


def test_each_family_is_kept_apart(tmp_path, tested):
    source = make_source(tmp_path / "a")
    evidence_of(load(source), "position")
    evidence_of(load(source), "source")
    assert [family for *_, family in tested] == ["position", "source"]


@pytest.mark.parametrize("name", ["base.pt", "chat.pt", "activations.parquet", "prompts.parquet"])
def test_a_file_of_other_content_is_tested_again(tmp_path, tested, name):
    """The time of the last change is put back: content alone tells the two apart."""
    source, other = make_paired(tmp_path / "a"), make_paired(tmp_path / "b", seed=1)
    evidence_of(load(source))
    before = (source / name).stat()
    shutil.copy(other / name, source / name)
    os.utime(source / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    evidence_of(load(source))
    assert len(tested) == 2


def test_other_code_tests_again(monkeypatch, tmp_path, tested):
    source = make_source(tmp_path / "a")
    evidence_of(load(source))
    monkeypatch.setattr(evidence_cache, "_code", lambda: "another version")
    evidence_of(load(source))
    assert len(tested) == 2


def test_what_changed_while_it_was_tested_is_not_kept(monkeypatch, tmp_path, folder):
    source = make_source(tmp_path / "a")

    def change(*args):
        os.utime(source / "chat.pt", ns=(1, 1))
        return assess_changes(*args)

    monkeypatch.setattr(evidence, "assess_changes", change)
    evidence_of(load(source))
    assert files(folder) == []


def test_an_unreadable_file_beside_the_results_is_no_obstacle(tmp_path, folder):
    """The tests are then unpaired, and nothing is kept, as the file may be readable again later."""
    source = make_paired(tmp_path / "a")
    study = load(source)
    (source / "activations.parquet").unlink()
    found = evidence_of(study)
    assert not found.is_paired
    assert files(folder) == []


def test_a_source_in_another_state_is_not_tested(tmp_path):
    source = describe_source(make_source(tmp_path / "a"))
    identity = identify(source)
    read_evidence(identity, source, "position")
    os.utime(source.folder / "base.pt", ns=(1, 1))
    with pytest.raises(DataError) as error:
        read_evidence(identity, source, "position")
    assert str(error.value) == f"`{source.folder}` changed while its features were tested."


# ----------------------------------------------------------------------------
# Files.


def test_what_was_put_comes_back(folder):
    cache = EvidenceCache(folder)
    assert cache.get(KEY) is None
    written = table(1.5, np.nan).replace_schema_metadata({"a": "b"})
    cache.put(KEY, written)
    found = cache.get(KEY)
    assert found.schema.metadata == {b"a": b"b"}
    np.testing.assert_array_equal(found["x"].to_numpy(), [1.5, np.nan])
    assert [file.name for file in files(folder)] == [f"{KEY}.evidence"]


@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", lambda data: data[:40], lambda data: data[:-1], lambda data: data + b"x", lambda _: b"x" * 99]
    + [lambda data, at=at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in (0, 31, 32, 60, -1 - 8)],
)
def test_a_damaged_file_is_missing(folder, damage):
    cache = EvidenceCache(folder)
    cache.put(KEY, table(1, 2))
    (file,) = files(folder)
    file.write_bytes(damage(file.read_bytes()))
    assert cache.get(KEY) is None
    cache.put(KEY, table(3))
    assert cache.get(KEY)["x"].to_pylist() == [3]


def test_a_damaged_file_is_computed_anew(tmp_path, tested, folder):
    source = make_source(tmp_path / "a")
    first = evidence_of(load(source))
    (file,) = files(folder)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    same(evidence_of(load(source)), first)
    assert len(tested) == 2
    assert file.read_bytes() == whole


def test_a_file_under_the_name_of_another_is_missing(folder):
    cache = EvidenceCache(folder)
    cache.put(KEY, table(1))
    files(folder)[0].rename(folder / f"{'1' * 64}.evidence")
    assert cache.get("1" * 64) is None


def test_a_folder_or_a_huge_file_in_its_place_is_missing(folder):
    cache = EvidenceCache(folder, most_bytes=100)
    (folder / f"{KEY}.evidence").mkdir(parents=True)
    assert cache.get(KEY) is None
    cache.put(KEY, table(1))  # cannot be written, and that is no error
    (folder / f"{KEY}.evidence").rmdir()
    (folder / f"{KEY}.evidence").write_bytes(b"x" * 101)
    assert cache.get(KEY) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_no_obstacle(tmp_path, folder):
    folder.mkdir(parents=True)
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    evidence_of(load(make_source(tmp_path / "a")))
    assert files(folder) == []


def test_a_file_where_the_folder_should_be_is_no_obstacle(tmp_path, folder):
    folder.parent.mkdir()
    folder.write_text("", encoding="utf-8")
    evidence_of(load(make_source(tmp_path / "a")))
    assert EvidenceCache(folder).size() == 0


def test_what_was_not_used_for_longest_goes_first(folder):
    cache = EvidenceCache(folder)
    for i in range(4):
        cache.put(str(i), table(i))
        os.utime(folder / f"{i}.evidence", ns=(i + 1, i + 1))
    size = cache.size() // 4
    assert cache.get("0") is not None, "and so it was used just now"
    bounded = EvidenceCache(folder, most_bytes=3 * size)
    bounded.put("4", table(4))
    assert [file.stem for file in files(folder)] == ["0", "3", "4"]
    assert bounded.size() <= 3 * size


def test_half_written_files_are_counted_and_go_too(folder):
    cache = EvidenceCache(folder)
    cache.put(KEY, table(1))
    size = cache.size()
    (folder / ".featurediff-left").write_bytes(b"x" * 50)
    (folder / "notes.txt").write_bytes(b"somebody's own")
    assert cache.size() == size + 50
    cache.clear()
    assert [file.name for file in files(folder)] == ["notes.txt"]


# ----------------------------------------------------------------------------
# The command.


def run(*words):
    result = CliRunner().invoke(cli.app, ["cache", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return [line.split() for line in result.stdout.splitlines()]


def test_the_command_says_what_is_kept_and_clears_it(tmp_path, folder):
    evidence_of(load(make_source(tmp_path / "a")))
    answers = folder.parent / "explanations" / "gemma-2-9b" / "20-a"
    answers.mkdir(parents=True)
    (answers / "one.json").write_text("x" * 2_000_000, encoding="utf-8")
    kept = f"{EvidenceCache(folder).size() / 1e3:,.0f}"
    assert run() == [
        ["what", "size", "folder"],
        ["evidence", "of", "sources", kept, "kB", str(folder)],
        ["explanations", "from", "Neuronpedia", "2", "MB", str(folder.parent / "explanations")],
    ]
    cleared = run("--clear")
    assert [row[-3:-1] for row in cleared[1:]] == [["0", "kB"], ["0", "kB"]]
    assert files(folder) == []
    assert files(answers) == []
    assert run() == cleared


def test_without_a_cache_there_is_nothing_to_clear():
    assert [row[-3:-1] for row in run("--clear")[1:]] == [["0", "kB"], ["0", "kB"]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_what_is_no_file_is_left_alone(folder):
    """A pipe in the place of a file was waited for without end, and a folder ended `featurediff cache --clear`."""
    cache, other = EvidenceCache.of_user(), folder.parent / "other"
    folder.mkdir(parents=True)
    other.write_text("somebody else's")
    (folder / f"{KEY}.evidence").mkdir()
    os.mkfifo(folder / f"{'1' * 64}.evidence")
    (folder / f"{'2' * 64}.evidence").symlink_to(other)
    for key in (KEY, "1" * 64):
        cache.put(key, table(1))
        assert cache.get(key) is None
    assert cache.get("2" * 64) is None
    assert cache.size() == 0
    cache.clear()
    assert len(files(folder)) == 3
    assert other.read_text() == "somebody else's"


def test_folder_of_another_user_stays(monkeypatch, folder):
    def refuse(*_args, **_kwargs):
        raise PermissionError

    EvidenceCache.of_user().put(KEY, table(1))
    monkeypatch.setattr(type(folder), "unlink", refuse)
    EvidenceCache.of_user().clear()
    assert len(files(folder)) == 1
