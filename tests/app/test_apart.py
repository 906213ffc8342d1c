"""Long work in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest
from builders import make_source
from conftest import SAE_FOLDER
from dashboard import count, finding, open_app, said
from paired import make_paired

from featurediff import load
from featurediff.app import apart
from featurediff.app.apart import Started, in_turn, run_apart, takes_long
from featurediff.app.comparison import compared
from featurediff.app.dashboard import opened
from featurediff.charts.view import View
from featurediff.compare.evidence import evidence_of, read_evidence
from featurediff.errors import DataError
from featurediff.files import read_whole
from featurediff.loading import load_changes
from featurediff.sources.active import read_active
from featurediff.sources.state import identify
from featurediff.sources.tree import describe_source


def test_result_comes_from_another_process():
    assert run_apart(os.getpid) not in (os.getpid(), None)
    assert run_apart(sorted, [3, 1, 2]) == [1, 2, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="priorities are others there")
def test_it_has_the_lowest_priority():
    assert run_apart(os.getpriority, os.PRIO_PROCESS, 0) == 19
    if sys.platform == "linux":
        assert run_apart(os.sched_getscheduler, 0) == os.SCHED_IDLE


def test_what_is_printed_is_no_answer(capfd):
    assert run_apart(print, "on the way") is None
    assert "on the way" in capfd.readouterr().err


def test_refusal_comes_with_its_words(tmp_path):
    with pytest.raises(DataError) as here:
        read_whole(tmp_path / "none")
    with pytest.raises(DataError) as there:
        run_apart(read_whole, tmp_path / "none")
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize("how", [(os._exit, 0), (os._exit, 3), (signal.raise_signal, signal.SIGKILL), (int, "a bug")])
def test_process_that_dies_is_said(how, capfd):
    with pytest.raises(DataError) as raised:
        run_apart(*how)
    assert str(raised.value) == apart.DIED
    assert ("ValueError" in capfd.readouterr().err) == (how[0] is int)


def test_one_at_a_time():
    gate, order = Event(), []
    first = in_turn(lambda: gate.wait(30) and order.append("first"))
    second = in_turn(lambda: order.append("second"))
    assert not second.done()
    gate.set()
    second.result(30)
    assert (first.result(30), order) == (None, ["first", "second"])
    with pytest.raises(DataError, match=r"^no$"):
        in_turn(refuse).result(30)


def refuse(*_):
    msg = "no"
    raise DataError(msg)


def test_it_ends_with_the_server(tmp_path):
    """A server that is killed leaves nothing at work behind it."""
    started = tmp_path / "pid"
    work = f"import os, pathlib, time; pathlib.Path({str(started)!r}).write_text(str(os.getpid())); time.sleep(120)"
    serve = f"from featurediff.app.apart import run_apart; run_apart(exec, {work!r})"
    with subprocess.Popen([sys.executable, "-c", serve], cwd=Path(apart.__file__).parents[2]) as server:
        pid = int(wait_for(lambda: started.exists() and started.read_text()))
        server.kill()
    wait_for(lambda: not is_running(pid))


def wait_for(condition):
    ends = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return found


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nobody_waits_twice():
    """Each click waited two seconds, as long as the tests of a large source ran."""
    assert Started(None, time.monotonic() - 5).left(1) == 0
    assert 0 < Started.now(None).left(1000) <= 1000


def test_which_source_takes_long(tmp_path):
    source = describe_source(make_source(tmp_path / "source"))
    assert not takes_long(source, 10**6, 10**4), "which feature was active on which prompt is not known"
    (source.folder / "activations.parquet").touch()
    assert takes_long(source, 2**10, 2**10 + 1)
    assert not takes_long(source, 2**10, 2**10)
    assert not takes_long(None, 10**6, 10**4)


# ----------------------------------------------------------------------------
# Sources.


@pytest.fixture
def large(monkeypatch, tmp_path):
    """A source that counts as a large one."""
    folder = tmp_path / "results" / SAE_FOLDER / "personal_9"
    make_paired(folder)
    monkeypatch.setattr(apart, "SHORT", 0)
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "results"))
    return folder


def never(*_):
    pytest.fail("the server tests a large source by itself")


def test_large_source_is_tested_elsewhere_and_shown_alike(monkeypatch, large):
    study, view = load(large), View(question="changed")
    wanted = study.finding(view), f"{len(study.table_of(view))} features"
    monkeypatch.setattr("featurediff.study.assess_changes", never)
    at = open_app(question="changed")
    assert not at.exception
    assert (finding(at), count(at)) == wanted
    opened.read_study.clear()
    at.run()
    assert not at.exception, "another copy of the source takes the same tests"


def test_large_activations_are_read_elsewhere(monkeypatch, large):
    """Their first read took both cores of a server with fifty people, and a gigabyte."""
    wanted = load(large).activations.of_feature(3, "model")
    assert len(wanted) > 1
    calls = []
    monkeypatch.setattr(apart, "SMALL", 0)
    monkeypatch.setattr(apart, "run_apart", lambda *given: calls.append(given) or run_apart(*given))
    study = opened._read(describe_source(large))
    assert study.activations.of_feature(3, "model").equals(wanted)
    assert calls == [(read_active, *(large / f"{name}.parquet" for name in ("activations", "prompts")))]


@pytest.mark.usefixtures("large")
def test_process_that_dies_over_activations_leaves_the_counts(monkeypatch):
    """A hostile file ends the process that reads it, but not the server."""
    monkeypatch.setattr(apart, "SMALL", 0)
    monkeypatch.setattr(apart, "run_apart", lambda *_: run_apart(os._exit, 1))
    at = open_app()
    assert not at.exception
    assert f"{apart.DIED} The tests use counts and means alone, which are weaker." in said(at)


def test_tests_that_die_leave_the_published_rule(monkeypatch, large):
    study = load(large)
    monkeypatch.setattr(opened, "run_apart", refuse)
    at = open_app()
    assert not at.exception
    assert count(at) == f"{len(study.table())} features"
    assert "What changed could not be tested." in said(at)
    at = open_app(question="changed")
    assert not at.exception
    assert "What changed could not be tested." in said(at)


def test_changes_are_of_the_files_that_are_asked_for(large):
    source = describe_source(large)
    before = identify(source)
    found = load_changes(before, source, "position").effects
    for key, effect in load(large).changes().effects.items():
        assert found[key].tested.q.tolist() == pytest.approx(effect.tested.q.tolist(), nan_ok=True)
    make_paired(large, seed=1)
    with pytest.raises(DataError) as raised:
        load_changes(before, source, "position")
    assert str(raised.value) == f"`{large}` changed while its features were tested."


def test_large_source_of_a_comparison_is_tested_elsewhere(monkeypatch, large, tmp_path):
    monkeypatch.setenv("FEATUREDIFF_CACHE", str(tmp_path / "cache"))
    calls = []
    monkeypatch.setattr(compared, "run_apart", lambda *given: calls.append(given) or given[0](*given[1:]))
    monkeypatch.setattr(compared, "PATIENCE", 60)
    source = describe_source(large)
    found = compared.read_sources({"one": source}, View().thresholds, "position")
    assert [function for function, *_ in calls] == [read_evidence]
    assert not found.waiting
    assert found.sources[0].evidence.table.equals(evidence_of(load(large)).table)
