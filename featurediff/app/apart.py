"""
Long work in a process of its own, so that no other session waits for it.

To test 131,072 features on 2,000 prompts takes minutes and all cores, to read their 20 million activations 5 seconds
and a gigabyte. The process has the lowest priority. As it takes memory, there is one at a time that tests, and one that
reads. It ends when the server does.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, BinaryIO, Generic, NamedTuple, TypeVar, cast

from featurediff.errors import DataError
from featurediff.sources.activations import find_activations
from featurediff.sources.active import Active, read_active
from featurediff.sources.parquet import refusing_parquet

if TYPE_CHECKING:
    from collections.abc import Callable

    from featurediff.sources.tree import Source

T = TypeVar("T")

DIED = "A process of the server has died, perhaps for want of memory. The terminal of the server may say more."

SHORT = 2**20
"""Features × prompts that are tested in the server: it takes a second or two, as does the start of a process."""

_ROOT = Path(__file__).parents[2]
_START = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from featurediff.app import apart; apart.serve()"
_TESTING, _READING = Lock(), Lock()

SMALL = 2**22
"""Bytes of activations that the server reads by itself: about half a million of them."""


class Started(NamedTuple, Generic[T]):
    """Work that somebody may wait for, but nobody twice."""

    future: Future[T]
    """What comes of it."""

    since: float
    """When it was started, by the clock of `time.monotonic`."""

    @classmethod
    def now(cls, future: Future[T]) -> Started[T]:
        """Return what was started just now."""
        return cls(future, time.monotonic())

    def left(self, patience: float) -> float:
        """Return how many of the first `patience` seconds are left."""
        return max(0.0, self.since + patience - time.monotonic())


def takes_long(source: Source | None, num_features: int, num_prompts: int) -> bool:
    """Whether a source is tested prompt by prompt, and has many of them: `num_features` are active, at any position."""
    is_large = num_features * num_prompts > SHORT
    return is_large and source is not None and find_activations(source.folder) is not None


def in_turn(work: Callable[[], T]) -> Future[T]:
    """Start work in a thread, once what was started before is done; the server can end meanwhile."""
    future: Future[T] = Future()
    Thread(target=_settle, args=(future, work), daemon=True).start()
    return future


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    try:
        with _TESTING:
            future.set_result(work())
    except Exception as error:  # noqa: BLE001  whoever asks for the result gets it
        future.set_exception(error)


def read_apart(path: Path, prompts: Path | None) -> Active:
    """
    Read activations, large ones in a process of their own.

    Raises
    ------
    DataError
        As `read_active`, or if the process dies.
    """
    with refusing_parquet(path):
        is_small = path.stat().st_size <= SMALL
    if is_small:
        return read_active(path, prompts)
    with _READING:
        return run_apart(read_active, path, prompts)


def run_apart(function: Callable[..., T], *arguments: object) -> T:
    """
    Call a function of this package in a process of its own.

    Parameters
    ----------
    function : callable
        Of a module; not of one that imports Streamlit, which takes a second.
    *arguments : object
        These and the result are pickled.

    Raises
    ------
    DataError
        If the function raises it, or if the process dies.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        given, answered = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
        given.write(pickle.dumps((function, arguments)))
        given.flush()
        try:
            is_done, found = pickle.load(answered)
        except (EOFError, pickle.UnpicklingError):
            is_done, found = False, DIED
        process.wait()
    if not is_done:
        raise DataError(found)
    return cast("T", found)


def serve() -> None:
    """Be that process: read what to call from standard input, and write what comes of it to standard output."""
    if sys.platform != "win32":
        os.setpriority(os.PRIO_PROCESS, 0, 19)
    if sys.platform == "linux":  # 19 still takes a share of a processor that others want
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed on the way is no answer
    function, arguments = pickle.load(sys.stdin.buffer)
    Thread(target=_end_with_the_server, daemon=True).start()
    try:
        found = True, function(*arguments)
    except DataError as error:
        found = False, str(error)
    with answer:
        pickle.dump(found, answer, pickle.HIGHEST_PROTOCOL)


def _end_with_the_server() -> None:
    """Wait for the end of the input, which the server holds open until it has the answer."""
    os.read(0, 1)  # a thread that waits in sys.stdin would fail the end of the interpreter
    os._exit(1)
