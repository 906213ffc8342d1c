"""Files that are written while others write, that belong together, or that a killed run left."""

import fcntl
import multiprocessing
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from limited import bare_main

from featurediff import files
from featurediff.cli import main
from featurediff.errors import DataError
from featurediff.files import OLD, sweep, write_together, write_whole
from featurediff.locks import alone
from featurediff.meaning.explain import Explained
from featurediff.meaning.explained_csv import add_rows, write_rows
from featurediff.meaning.explanation_files import read_explanations
from featurediff.sources.demo import make_demo
from featurediff.sources.result_files import parse_results, read_results


def explained(*ids, text="text"):
    columns = {"feature_id": list(ids), "explanation": text, "type": "t", "model": "m", "url": "https://x"}
    return Explained(pd.DataFrame(columns), wanted=len(ids), unasked=0)


# One at a time


def add(path, start, first):
    """What a run of `explain` does at its end, many times."""
    start.wait()
    for number in range(15):
        add_rows(Path(path), explained(first + number))


def test_two_runs_of_explain_lose_no_row(tmp_path):
    """Each wrote its rows and those that it had read at its start: the other one's were lost."""
    path = tmp_path / "e.csv"
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    runs = [context.Process(target=add, args=(str(path), start, first)) for first in (0, 100)]
    with bare_main():
        for run in runs:
            run.start()
    for run in runs:
        run.join()
        assert run.exitcode == 0
    assert read_explanations(path).texts.index.tolist() == [*range(15), *range(100, 115)]
    assert [file.name for file in tmp_path.iterdir()] == ["e.csv"]


def test_row_that_was_added_by_hand_meanwhile_stays(tmp_path):
    path = tmp_path / "e.csv"
    write_rows(path, explained(1), None)
    with path.open("a") as file:
        file.write('"7","by hand","t","m","https://x"\n')
    add_rows(path, explained(1, 2, text="new"))
    assert read_explanations(path).texts.to_dict() == {1: "new", 2: "new", 7: "by hand"}


def test_rows_replace_what_is_there_only_where_that_is_asked_for(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("mine,not,yours\n")
    with pytest.raises(DataError, match="was not written by `featurediff explain`"):
        add_rows(path, explained(1))
    assert path.read_text() == "mine,not,yours\n"
    add_rows(path, explained(1), replace=True)
    assert read_explanations(path).texts.to_dict() == {1: "text"}


def test_lock_that_is_waited_for(tmp_path):
    lock = tmp_path / ".e.csv.lock"
    with ThreadPoolExecutor(1) as pool:
        with alone(lock, "run", wait=True):
            (at,) = tmp_path.iterdir()
            waiting = pool.submit(hold, lock)
            with at.open("a") as other, pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert not waiting.done()
        waiting.result(timeout=60)
    assert list(tmp_path.iterdir()) == []


def hold(lock):
    with alone(lock, "run", wait=True):
        pass


# Pairs


class Killed(BaseException):
    """The run ends here."""


@pytest.mark.parametrize("step", range(5))
def test_killed_run_leaves_no_mixed_pair(tmp_path, monkeypatch, step):
    """`demo` killed while it wrote over another demo left a new `base.pt` beside an old `chat.pt`, which passed."""
    old, new = (make_demo(num_features=600, num_prompts=10, seed=seed) for seed in (0, 1))
    folder = old.write(tmp_path)
    done = []

    def counted(act):
        def step_or_end(self, *arguments, **options):
            if self.parent == folder or (arguments and Path(arguments[0]).parent == folder):
                if len(done) == step:
                    raise Killed
                done.append(act)
            return act(self, *arguments, **options)

        return step_or_end

    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    with pytest.raises(Killed):
        write_together(folder, {"base.pt": new.base, "chat.pt": new.chat})
    monkeypatch.undo()
    there = {name: (folder / name).read_bytes() for name in ("base.pt", "chat.pt") if (folder / name).exists()}
    assert set(there.values()) <= {old.base, old.chat} or set(there.values()) <= {new.base, new.chat}
    new.write(tmp_path)
    assert read_results(folder).base.metadata.source.startswith("synthetic demo, seed 1")


def test_other_files_of_the_folder_stay(tmp_path):
    (tmp_path / "prompts.parquet").write_text("mine")
    write_together(tmp_path, {"base.pt": b"1", "chat.pt": b"2"})
    write_together(tmp_path, {"base.pt": b"3", "chat.pt": b"4"})
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "base.pt": b"3",
        "chat.pt": b"4",
        "prompts.parquet": b"mine",
    }


def test_pair_of_two_runs_is_refused(tmp_path, capsys):
    """Both are of one SAE and of as many prompts: nothing else tells them apart."""
    one, other = (make_demo(num_features=600, num_prompts=10, seed=seed) for seed in (0, 1))
    ids = [parse_results(demo.base, demo.chat).base.metadata.pair_id for demo in (one, other)]
    assert len(set(ids)) == 2
    folder = one.write(tmp_path)
    (folder / "base.pt").write_bytes(other.base)
    message = (
        f"`chat.pt` says pair_id {ids[0]!r} but `base.pt` says {ids[1]!r}. They are of two runs: was one of them "
        "replaced? Write both again."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_results(folder)
    monkey = pytest.MonkeyPatch()
    monkey.setattr("sys.argv", ["featurediff", "check", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    monkey.undo()
    assert ended.value.code == 2
    assert "They are of two runs" in " ".join(capsys.readouterr().err.split())


# Leftovers


def test_what_killed_runs_left_is_swept_when_it_is_old(tmp_path):
    old, new = tmp_path / ".featurediff-old", tmp_path / ".featurediff-new"
    for file in (old, new, tmp_path / "other"):
        file.write_text("half")
    folder = tmp_path / ".featurediff-folder"
    folder.mkdir()
    (folder / "base.pt").write_text("half")
    for path in (old, folder, tmp_path / "other"):
        os.utime(path, (time.time() - OLD - 60,) * 2)
    write_whole(tmp_path / "t.csv", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {".featurediff-new", "other", "t.csv"}


def test_link_is_swept_and_not_what_it_leads_to(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    folder = tmp_path / "tmp"
    folder.mkdir()
    (folder / "featurediff-demo-x").symlink_to(kept)
    os.utime(folder / "featurediff-demo-x", (0, 0), follow_symlinks=False)
    sweep(folder, "featurediff-demo-")
    assert list(folder.iterdir()) == []
    assert (kept / "file").read_text() == "mine"


def test_folder_is_swept_once(tmp_path):
    """Thousands of answers are written to one folder."""
    write_whole(tmp_path / "a", "1")
    before = files._sweep.cache_info().hits
    write_whole(tmp_path / "b", "2")
    assert files._sweep.cache_info().hits == before + 1
