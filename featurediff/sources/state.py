"""The state of a source's files, and reading all of them as they were at one time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from featurediff.errors import DataError
from featurediff.files import MAX_READS, file_identity, is_stream, kind_of
from featurediff.sources.tree import BESIDE, FILES, Source

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def identify(source: Source) -> tuple[str, ...]:
    """
    Return the state of a source's files: a key for what is read from them, equal until one of them changes.

    A pipe or a device has no state, and is read by nobody.

    Raises
    ------
    DataError
        If a file disappears meanwhile.
    """
    files = [source.folder / name for name in (*FILES, *BESIDE)] + [source.explanations]
    return tuple(str(file_identity(file)) for file in files if file and kind_of(file) == "file" and not is_stream(file))


def in_one_state(
    source: Source, read: Callable[[tuple[str, ...]], T], forget: Callable[[tuple[str, ...]], None] | None = None
) -> tuple[tuple[str, ...], T]:
    """
    Read the files of a source as they were at one time: they are read again if one of them changed meanwhile.

    Parameters
    ----------
    source : Source
        What is read.
    read : callable
        Reads the source; gets the key from `identify`.
    forget : callable, optional
        Called with the key of a reading that is thrown away, as it may mix two states.

    Returns
    -------
    tuple of str, and what was read
        The key, from `identify`.

    Raises
    ------
    DataError
        If it changes each time, or `read` raises.
    """
    for _ in range(MAX_READS):
        key = identify(source)
        found = read(key)
        if identify(source) == key:
            return key, found
        if forget:
            forget(key)
    msg = (
        f"`{source.folder}` changed each of the {MAX_READS} times it was read. Try again when it is written completely."
    )
    raise DataError(msg)


def in_state(identity: tuple[str, ...], source: Source, read: Callable[[], T]) -> T:
    """
    Read the files of a source that must still be in the state that somebody has seen.

    Parameters
    ----------
    identity : tuple of str
        From `identify`.
    source : Source
        What is read.
    read : callable
        Reads the source.

    Raises
    ------
    DataError
        If they are not in that state, change each time, or `read` raises.
    """
    now, found = in_one_state(source, lambda _key: read())
    if now != identity:
        msg = f"`{source.folder}` changed while its features were tested."
        raise DataError(msg)
    return found
