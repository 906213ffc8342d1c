"""What could not be read, kept like what could: a broken file is not read again at every rerun."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from featurediff.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Refusal(NamedTuple):
    """Why files cannot be used: the words alone, because an error keeps alive all that was read before it."""

    message: str
    """Of the DataError."""


def try_to(read: Callable[[], T]) -> T | Refusal:
    """
    Return what was read, or why it was refused, so that a cache keeps either.

    Raises
    ------
    DataError
        If the system could not read a file: nothing about the file need change for the next try to succeed.
    """
    try:
        return read()
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return Refusal(str(error))


def accept(found: T | Refusal) -> T:
    """
    Return what was read.

    Raises
    ------
    DataError
        If it was refused, with the words of that time.
    """
    if isinstance(found, Refusal):
        raise DataError(found.message)
    return found
