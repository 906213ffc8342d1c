"""Files that others may be writing: told apart by identity, and read whole."""

from __future__ import annotations

import stat
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from featurediff.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

MAX_READS = 3
"""After so many changes meanwhile, a file is not read."""
LARGE = 1 << 20
"""Bytes from which another thread pays: hashes, checksums and comparisons hold nobody up."""


@dataclass(frozen=True)
class FileIdentity:
    """What changes when a file is written or replaced: a cache key."""

    path: Path
    """As given."""

    size: int
    """Bytes."""

    mtime_ns: int
    """Time of the last change, in ns since the epoch."""

    inode: int
    """Differs when a file was replaced by another one of the same name."""


def kind_of(path: Path) -> Literal["file", "folder"] | None:
    """Tell a file from a folder; None where there is neither, or where one may not look."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return "folder" if stat.S_ISDIR(mode) else "file"


def file_identity(path: Path) -> FileIdentity:
    """
    Tell one state of a file from another without reading it.

    Parameters
    ----------
    path : Path
        The file; a link is followed.

    Returns
    -------
    FileIdentity
        Equal as long as the file is neither written nor replaced.

    Raises
    ------
    DataError
        If there is no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        msg = f"`{path}` cannot be found ({error.strerror}). Does it exist, and may you read it?"
        raise DataError(msg) from error
    if not stat.S_ISREG(status.st_mode):
        msg = f"`{path}` is not a file, but expected one here."
        raise DataError(msg)
    return FileIdentity(path, status.st_size, status.st_mtime_ns, status.st_ino)


def start_hash(data: bytes) -> Future[str]:
    """
    Hash a file's bytes while others go on with them.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    Future
        SHA-256 in hex; of a small file it is there at once.
    """
    if len(data) < LARGE:
        done: Future[str] = Future()
        done.set_result(sha256(data).hexdigest())
        return done
    pool = ThreadPoolExecutor(1)
    started = pool.submit(lambda: sha256(data).hexdigest())
    pool.shutdown(wait=False)
    return started


def read_whole(path: Path) -> bytes:
    """
    Read a file in one state: never memory-mapped, and again when it changed meanwhile.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bytes
        All of it.

    Raises
    ------
    DataError
        If there is no such file, it cannot be read, or it changes each time.
    """
    for _ in range(MAX_READS):
        before = file_identity(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            msg = f"`{path}` cannot be read ({error.strerror}). May you read it?"
            raise DataError(msg) from error
        if file_identity(path) == before and len(data) == before.size:
            return data
    msg = f"`{path}` changed each of the {MAX_READS} times it was read. Try again when it is written completely."
    raise DataError(msg)
