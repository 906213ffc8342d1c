"""
Reruns take turns.

Python runs one thread at a time. Reruns that run at once all end when the last one does, and each waits hundreds of
times until it may go on: with fifty people, one change in twenty took over a second instead of a quarter.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 1.0
"""Seconds after which a rerun goes ahead without its turn, or takes that of one that has had it so long."""


class _Turns:
    """Which rerun is in its turn."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._thread: int | None = None
        self._since = 0.0

    def is_free(self) -> bool:
        """Return whether the next one need not wait: nobody is in a turn, or somebody is for too long."""
        return self._thread is None or time.monotonic() - self._since >= PATIENCE

    def begin(self) -> None:
        """Begin the turn of this thread, once it is free; without a turn after `PATIENCE` seconds."""
        with self._changed:
            if self._changed.wait_for(self.is_free, PATIENCE):
                self._thread, self._since = threading.get_ident(), time.monotonic()

    def end(self) -> None:
        """End the turn of this thread, unless it has none, or another rerun has taken it."""
        with self._changed:
            if self._thread == threading.get_ident():
                self._thread = None
                self._changed.notify()


_turns = _Turns()


class _Mine(threading.local):
    """Of the thread that runs a script, or a part of it."""

    is_inside = False
    """Whether it is in its turn, or was: a part of a rerun does not wait once more."""


_mine = _Mine()


@contextmanager
def turn() -> Iterator[None]:
    """Wait until no other session's rerun is in its turn, or for `PATIENCE` seconds."""
    if _mine.is_inside:
        yield
        return
    _mine.is_inside = True
    _turns.begin()
    try:
        yield
    finally:
        let_others()
        _mine.is_inside = False


def let_others() -> None:
    """End the turn of this thread, if it has one: before it waits for something that takes long."""
    _turns.end()
