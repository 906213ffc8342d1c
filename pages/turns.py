"""Reruns take turns."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 5.0
"""Seconds after which a rerun goes ahead: longer than others take, so that no fault of one holds up a server."""

_turn = threading.RLock()


@contextmanager
def turn() -> Iterator[None]:
    """
    Wait until no other session's rerun is in its turn.

    Python runs one thread at a time. Reruns that take its time from each other all end when the last one does, and
    switching costs half as much again: of fifty people, one in twenty waited five times as long.
    """
    is_mine = _turn.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if is_mine:
            _turn.release()
