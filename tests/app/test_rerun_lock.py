"""Reruns of many sessions take turns, and nobody waits for ever."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from builders import make_source
from conftest import SAE_FOLDER
from dashboard import open_app, tiles

from featurediff.app import rerun_lock as turns


@pytest.fixture(autouse=True)
def _source(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    make_source(tmp_path / "results" / SAE_FOLDER / "personal_40")


def is_free():
    """Whether another thread could take its turn now."""

    def ask():
        if found := turns._turn.acquire(blocking=False):
            turns._turn.release()
        return found

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result()


def test_rerun_waits_for_the_one_before():
    """Fifty people's reruns took Python's time from each other, and all of them ended late."""
    with ThreadPoolExecutor(1) as pool:
        with turns.turn():
            waiting = pool.submit(open_app)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=2)
        assert tiles(waiting.result(timeout=60))["Shown"] == "12"


def test_rerun_goes_ahead_when_the_one_before_never_ends(monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 0.1)
    with ThreadPoolExecutor(1) as pool, turns.turn():
        assert tiles(pool.submit(open_app).result(timeout=60))["Shown"] == "12"


def test_part_of_a_rerun_does_not_wait_once_more(monkeypatch):
    """A rerun that went ahead without its turn waited as long again for the part that a pick runs."""
    monkeypatch.setattr(turns, "PATIENCE", 0.2)
    waits = []
    lock = turns._turn

    class Counted:
        def acquire(self, **how):
            waits.append(how)
            return lock.acquire(**how)

        def release(self):
            lock.release()

    monkeypatch.setattr(turns, "_turn", Counted())
    with ThreadPoolExecutor(1) as pool, turns.turn():
        assert not pool.submit(open_app).result(timeout=60).exception
    assert waits == [{"timeout": 0.2}] * 2, "of the test itself, and of the app"
    assert is_free()


@pytest.mark.parametrize(
    "link", [{}, {"search": "nowhere"}, {"ids": "x"}, {"source": "upload"}, {"feature": "2@model"}]
)
def test_turn_ends_however_the_rerun_does(link):
    at = open_app(**link)
    assert not at.exception
    assert is_free()


def test_turn_of_a_rerun_that_fails_ends():
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    assert is_free()


def test_part_of_a_rerun_has_the_turn_of_the_whole():
    with turns.turn():
        with turns.turn():
            pass
        assert not is_free()
    assert is_free()
