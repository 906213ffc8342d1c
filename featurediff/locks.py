"""One process at a time: a lock that ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
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
        if sys.platform == "win32":  # which keeps a file that is open
            os.close(handle)
            with contextlib.suppress(PermissionError):
                lock.unlink(missing_ok=True)
        else:
            lock.unlink(missing_ok=True)
            os.close(handle)


def _take(lock: Path, what: str, *, wait: bool) -> int:
    """Lock the file, and write into it who holds it; return its open handle."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)  # which no child inherits
        try:
            _lock(handle, wait=wait)
        except BlockingIOError as error:
            since = datetime.fromtimestamp(os.fstat(handle).st_mtime).astimezone()
            who = os.read(handle, 200).decode(errors="replace")
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
            os.truncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
        os.close(handle)  # whoever held it removed it meanwhile


if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 30
    """The byte that is locked: nobody could read who holds the file if it were one of those."""

    def _lock(handle: int, *, wait: bool) -> None:
        """Lock an open file; raise BlockingIOError where another process has it and is not waited for."""
        while True:
            os.lseek(handle, _BEYOND, os.SEEK_SET)
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            except PermissionError as error:
                if not wait:
                    os.lseek(handle, 0, os.SEEK_SET)
                    raise BlockingIOError from error
                time.sleep(0.1)
            else:
                return

else:
    import fcntl

    def _lock(handle: int, *, wait: bool) -> None:
        """Lock an open file; raise BlockingIOError where another process has it and is not waited for."""
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_there(lock: Path, handle: int) -> bool:
    """Tell whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), lock.stat())
    except FileNotFoundError:
        return False
