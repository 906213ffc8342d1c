"""Read and write whole files, also while others write them, and notice when a file changes."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from featurediff.errors import DataError

MAX_READS = 3
"""How often a file is read that changes each time, before it is given up."""


@dataclass(frozen=True)
class FileIdentity:
    """
    What changes when a file is written or replaced: a cache key.

    `tar --overwrite`, `cp -p`, and `rm` and `tar` may leave size, mtime and inode as they were. Only ctime tells then.
    """

    path: Path
    """As given."""

    size: int
    """Bytes."""

    mtime_ns: int
    """Time of the last change of its bytes, in ns since the epoch; whoever writes the file can set it."""

    ctime_ns: int
    """Time at which anything about it changed, in ns since the epoch; nobody can set it."""

    device: int
    """Which file system it is on."""

    inode: int
    """Which file of that file system it is; a file that was deleted may leave its number to the next one."""


def kind_of(path: Path) -> Literal["file", "folder"] | None:
    """Return whether a path is a file or a folder; None where there is neither, or where it may not be looked at."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return "folder" if stat.S_ISDIR(mode) else "file"


def file_identity(path: Path) -> FileIdentity:
    """
    Return what changes when a file changes, without reading it.

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
    return FileIdentity(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)


def read_whole(path: Path) -> bytes:
    """
    Read a whole file into memory, and read it again if it changed meanwhile.

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


def sync(path: Path) -> None:
    """
    Wait until a file, or the list of names in a folder, is on the disk, so that a loss of power does not take it.

    Raises
    ------
    OSError
        If the disk fails.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: str | bytes) -> None:
    """
    Write a file under a temporary name and rename it, so that it appears whole or not at all.

    A device or a pipe, such as `/dev/stdout`, is written to as it is.

    Raises
    ------
    DataError
        If the folder cannot be made or the file cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    made = None
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".featurediff-", dir=path.parent)
        made = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        made.chmod(0o666 & ~umask)
        made.replace(path)
    except OSError as error:
        msg = f"`{path}` cannot be written ({error.strerror}). Is there room, and may you write there?"
        raise DataError(msg) from error
    finally:
        if made:
            made.unlink(missing_ok=True)
