"""Values that are each computed once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from featurediff.once import Once


def test_value_is_computed_once():
    once, calls = Once(), []
    assert [once.get("a", lambda: calls.append(1) or 7) for _ in range(3)] == [7, 7, 7]
    assert len(calls) == 1
    once.put("a", 8)
    once.put("b", 9)
    assert (once.get("a", list), once.get("b", list)) == (7, 9), "what is known stays"


def test_only_who_asks_for_the_same_waits():
    """With `functools.cached_property` of Python 3.11, who opened another source waited for a large one, too."""
    first, second, started, gate = Once(), Once(), Event(), Event()

    def slow():
        started.set()
        assert gate.wait(30)
        return "slow"

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(first.get, "pairs", slow)
        assert started.wait(30)
        same = pool.submit(first.get, "pairs", lambda: "computed twice")
        assert first.get("other", lambda: "at once") == "at once"
        assert second.get("pairs", lambda: "at once") == "at once"
        assert not same.done()
        gate.set()
        assert (waiting.result(), same.result()) == ("slow", "slow")


def test_value_may_need_another_one():
    once = Once()
    assert once.get("tests", lambda: once.get("pairs", lambda: 1) + 1) == 2
