"""One process at a time: a lock that ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from datetime import datetime
from typing import TYPE_CHECKING

from featurediff.errors import DataError
from featurediff.wording import legible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def alone(lock: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """
    Hold a lock file, which is there as long as somebody is at work; a file that a killed process left is taken over.

    Where the disk knows no locks, as some network disks do, this does nothing.

    Parameters
    ----------
    lock : Path
        The lock file; its folder is made.
    what : str
        What only one process may do at a time, such as "run of collect".
    wait : bool
        Whether to wait for another process, instead of refusing: for what takes a moment.

    Raises
    ------
    DataError
        If another process holds the lock and is not waited for, or the file cannot be written.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = _take(lock, what, wait=wait)
    except OSError as error:
        msg = f"`{lock}` cannot be written ({error.strerror}). Is there room, and may you write there?"
        raise DataError(msg) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _take(lock: Path, what: str, *, wait: bool) -> int:
    """Lock the file, and write into it who holds it; return its open handle."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            since = datetime.fromtimestamp(os.fstat(handle).st_mtime).astimezone()
            who = os.pread(handle, 200, 0).decode(errors="replace")
            os.close(handle)
            msg = (
                f"Another {what} is at work in `{lock.parent}`, since {since:%Y-%m-%d %H:%M} ({legible(who)}). Wait "
                "until it is done, or end it."
            )
            raise DataError(msg) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                os.close(handle)
                raise
        if _is_there(lock, handle):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            return handle
        os.close(handle)  # whoever held it removed it meanwhile


def _is_there(lock: Path, handle: int) -> bool:
    """Tell whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), lock.stat())
    except FileNotFoundError:
        return False
