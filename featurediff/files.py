"""Read and write whole files, also while others write them, and notice when a file changes."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from featurediff.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = ".featurediff-"
"""How a file is called until it is written whole."""

OLD = 24 * 60 * 60
"""Seconds after which such a file is swept: the run that wrote it was killed."""

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


_KINDS = {
    b"\x1f\x8b": "compressed with gzip: unpack it first",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"PAR1": "a Parquet file",
}
"""How files of other kinds begin."""


def other_kind(data: bytes) -> str | None:
    """Say what a file is that is handed in by mistake, as it follows "it is"; None where that is not known."""
    if data.startswith(b"PK\x03\x04") and b"[Content_Types].xml" in data[:2000]:
        return "an Excel file"
    return next((kind for start, kind in _KINDS.items() if data.startswith(start)), None)


def kind_of(path: Path) -> Literal["file", "folder"] | None:
    """Return whether a path is a file or a folder; None where there is neither, or where it may not be looked at."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return "folder" if stat.S_ISDIR(mode) else "file"


def is_stream(path: Path) -> bool:
    """Tell whether a path is a device or a pipe, such as `/dev/stdout`."""
    return kind_of(path) == "file" and not path.is_file()


def may_access(path: Path, mode: int) -> bool:
    """Tell whether a file or folder may be read, written to or entered: `mode` is made of `os.R_OK` and the like."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


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
    with _writing(path):
        if is_stream(path):
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        made = _put_aside(path.parent, data)
        try:
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """
    Write files that belong together, so that nobody ever finds a new one beside an old one.

    A run that is killed leaves the old files, the new ones, or some of them missing, which is noticed.

    Parameters
    ----------
    folder : Path
        Where they go; other files in it stay.
    files : mapping
        Name → content.

    Raises
    ------
    DataError
        If the folder cannot be made or a file cannot be written; the old files then stay.
    """
    made: dict[str, Path] = {}
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, data in files.items():
                made[name] = _put_aside(folder, data, lasts=True)
            for name in list(files)[1:]:
                (folder / name).unlink(missing_ok=True)
            for name, path in made.items():
                path.replace(folder / name)
        finally:
            for path in made.values():
                path.unlink(missing_ok=True)


def _put_aside(folder: Path, data: bytes, *, lasts: bool = False) -> Path:
    """Write a file of a temporary name; one that lasts is on the disk before it gets its own name."""
    _sweep(folder)
    handle, name = tempfile.mkstemp(prefix=PREFIX, dir=folder)
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if lasts:
                file.flush()
                os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        made.chmod(0o666 & ~umask)
    except OSError:
        made.unlink(missing_ok=True)
        raise
    return made


@cache
def _sweep(folder: Path) -> None:
    """Remove what runs that were killed left in a folder, once for each folder and process."""
    sweep(folder, PREFIX)


def sweep(folder: Path, prefix: str) -> None:
    """Remove files and folders that start with a prefix and were last changed over a day ago."""
    for path in folder.glob(f"{prefix}*"):
        try:
            if time.time() - path.lstat().st_mtime < OLD:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError:  # another run sweeps too, or it is somebody else's
            continue


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"`{path}` cannot be written ({error.strerror}). Is there room, and may you write there?"
        raise DataError(msg) from error
