"""
Reruns take turns.

Python runs one thread at a time. Reruns that share its time all end when the last one does, and each hands it over
hundreds of times: with fifty people, one change in twenty took over a second instead of a quarter.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 1.0
"""Seconds after which a rerun goes ahead without its turn, so that no other one holds up a server."""

_lock = threading.Lock()


class _Mine(threading.local):
    """Of the thread that runs a script, or a part of it."""

    is_inside = False
    """Whether it is in its turn, or was: a part of a rerun does not wait once more."""

    holds = False
    """Whether others wait for it."""


_mine = _Mine()


@contextmanager
def turn() -> Iterator[None]:
    """Wait until no other session's rerun is in its turn, or for `PATIENCE` seconds."""
    if _mine.is_inside:
        yield
        return
    _mine.is_inside, _mine.holds = True, _lock.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        let_others()
        _mine.is_inside = False


def let_others() -> None:
    """End the turn of this thread, if it has one: before it waits for something that takes long."""
    if _mine.holds:
        _mine.holds = False
        _lock.release()
