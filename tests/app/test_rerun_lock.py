"""Reruns of many sessions take turns, and nobody waits for ever."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest
from builders import make_source
from conftest import SAE_FOLDER
from dashboard import count, open_app, open_compare
from paired import make_paired

from featurediff.app import rerun_lock
from featurediff.app.apart import Started
from featurediff.app.dashboard import opened
from featurediff.app.dashboard.opened import are_tested
from featurediff.app.rerun_lock import let_others, turn
from featurediff.sources.active import read_active


@pytest.fixture(autouse=True)
def source(monkeypatch, tmp_path):
    """A results tree with one source."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    return make_source(tmp_path / SAE_FOLDER / "personal_40")


def is_free():
    """Whether another thread could have its turn now."""
    return rerun_lock._turns.is_free()


def test_rerun_waits_for_the_one_before(monkeypatch):
    """Reruns of fifty people took Python's time from each other: one in twenty took over a second."""
    monkeypatch.setattr(rerun_lock, "PATIENCE", 60)
    open_app()  # what is read once is read
    with ThreadPoolExecutor(1) as pool:
        with turn():
            waiting = pool.submit(open_app)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=2)
        assert count(waiting.result(timeout=60)) == "12 features"


def test_rerun_goes_ahead_when_the_one_before_never_ends(monkeypatch):
    monkeypatch.setattr(rerun_lock, "PATIENCE", 0.1)
    with ThreadPoolExecutor(1) as pool, turn():
        assert count(pool.submit(open_app).result(timeout=60)) == "12 features"


def test_turn_that_does_not_end_is_taken_away(monkeypatch):
    """Each rerun waited a second, as long as one computed what chance keeps among 20 million activations."""
    monkeypatch.setattr(rerun_lock, "PATIENCE", 0.1)
    taken, ends = Event(), Event()

    def take_over():
        with turn():
            taken.set()
            assert ends.wait(60)

    with ThreadPoolExecutor(1) as pool:
        with turn():
            other = pool.submit(take_over)
            assert taken.wait(60)
            monkeypatch.setattr(rerun_lock, "PATIENCE", 60)
        assert not is_free(), "who lost the turn does not end that of another"
        ends.set()
        other.result(timeout=60)
    assert is_free()


def test_nobody_waits_for_a_turn_that_has_lasted_too_long(monkeypatch):
    monkeypatch.setattr(rerun_lock, "PATIENCE", 0)
    with ThreadPoolExecutor(1) as pool, turn():
        assert is_free()
        pool.submit(rerun_lock._turns.begin).result(timeout=60)
        let_others()
        monkeypatch.setattr(rerun_lock, "PATIENCE", 60)
        assert not is_free(), "it is the other thread's"
        pool.submit(rerun_lock._turns.end).result(timeout=60)
        assert is_free()


def test_part_of_a_rerun_does_not_wait_once_more(monkeypatch):
    """A rerun that went ahead without its turn waited as long again for the part that a pick runs."""
    monkeypatch.setattr(rerun_lock, "PATIENCE", 0.2)
    begun = []
    begin = rerun_lock._turns.begin
    monkeypatch.setattr(rerun_lock._turns, "begin", lambda: begun.append(None) or begin())
    with ThreadPoolExecutor(1) as pool, turn():
        assert not pool.submit(open_app).result(timeout=60).exception
    assert len(begun) == 2, "of the test itself, and of the app"
    assert is_free()


@pytest.mark.parametrize(
    "link", [{}, {"search": "nowhere"}, {"ids": "x"}, {"source": "upload"}, {"feature": "2@model"}]
)
@pytest.mark.parametrize("page", [open_app, open_compare])
def test_turn_ends_however_the_rerun_does(page, link):
    assert not page(**link).exception
    assert is_free()


def test_turn_of_a_rerun_that_fails_ends():
    with pytest.raises(ZeroDivisionError), turn():
        raise ZeroDivisionError
    assert is_free()


def test_who_lets_others_has_no_turn_to_end():
    with turn():
        let_others()
        assert is_free()
        with turn():  # a part of it
            assert is_free()
        let_others()
    assert is_free()
    with turn():
        assert not is_free()


def test_who_waits_for_tests_lets_others():
    """What took long was waited for within the turn, and others waited with it."""
    done = Future()
    done.set_result(None)
    with turn():
        assert are_tested(Started.now(done), 0)
        assert not is_free()
        assert not are_tested(Started.now(Future()), 0)
        assert is_free()


def test_who_opens_a_large_source_lets_others(source, monkeypatch):
    """Who opened 20 million activations had the turn for the ten seconds in which they were read."""
    make_paired(source)
    reads, goes_on = Event(), Event()

    def read_slowly(*files):
        reads.set()
        assert goes_on.wait(60)
        return read_active(*files)

    monkeypatch.setattr(opened, "read_apart", read_slowly)
    with ThreadPoolExecutor(1) as pool:
        at = pool.submit(open_app, question="changed")
        assert reads.wait(60)
        with pytest.raises(TimeoutError):
            at.result(timeout=1)
        assert is_free()
        goes_on.set()
        assert not at.result(timeout=60).exception
