"""Reruns take turns."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 5.0
"""Seconds after which a rerun goes ahead, so that no fault of another one, nor a large file, holds up a server."""

_turn = threading.Lock()
_within = threading.local()


@contextmanager
def turn() -> Iterator[None]:
    """
    Wait until no other session's rerun is in its turn; a part of a rerun has the turn of the whole.

    Python runs one thread at a time. Reruns that take its time from each other all end when the last one does, and
    switching costs half as much again: of fifty people, one in twenty waited five times as long.
    """
    if getattr(_within, "turn", False):
        yield
        return
    is_mine = _turn.acquire(timeout=PATIENCE)
    _within.turn = True
    try:
        yield
    finally:
        _within.turn = False
        if is_mine:
            _turn.release()
