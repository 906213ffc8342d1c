"""Values that are each computed once, also where several threads ask for them."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class Once:
    """
    Values by name.

    Who asks for a value that is being computed waits for it, and nobody else does. `functools.cached_property` of
    Python 3.11 has one lock for all objects of a class: who opened another source would wait, too.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, object] = {}
        self._locks: dict[Hashable, RLock] = {}

    def get(self, name: Hashable, compute: Callable[[], T]) -> T:
        """Return a value, computed if nobody has asked for it before."""
        with self._locks.setdefault(name, RLock()):
            if name not in self._values:
                self._values[name] = compute()
            return cast("T", self._values[name])

    def put(self, name: Hashable, value: object) -> None:
        """Give a value that was computed elsewhere."""
        with self._locks.setdefault(name, RLock()):
            self._values.setdefault(name, value)
