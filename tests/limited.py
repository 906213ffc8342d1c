"""Let a function meet hostile input in a process of its own, under a limit of memory and of time."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import pytest

from featurediff.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection


class Outcome(NamedTuple):
    """What came of it."""

    said: str
    """The message of the DataError, the name of another exception, or what the function returned, as text."""

    seconds: float
    """How long it took."""

    megabytes: float
    """By how much the most memory that the process ever had grew."""


@contextmanager
def bare_main() -> Iterator[None]:
    """Spawn without a main module: AppTest leaves the dashboard's script there, and a new process would run it."""
    ours = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = ours


def under_limit(
    function: Callable[..., object], *arguments: object, megabytes: int = 1000, seconds: int = 60
) -> Outcome:
    """
    Call a function of a test's module in a new process, and print the memory that it came to.

    `megabytes` is what it may take on top of what the process has before; `seconds` is how long it is waited for.
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("how much memory a process has is only known on Linux")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_call, args=(theirs, megabytes, function, arguments), daemon=True)
    with bare_main():
        process.start()
    theirs.close()
    try:
        ours.recv()  # it is up, and has imported what the function needs
        if not ours.poll(seconds):
            raise TimeoutError(seconds)
        found: Outcome = ours.recv()
    except EOFError:
        process.join()
        found = Outcome(f"the process died, exit code {process.exitcode}", 0, 0)
    finally:
        process.kill()
        process.join()
    name = f"{function.__name__}{str(arguments)[:60]}"
    sys.stdout.write(f"{name}: {found.seconds:.2f} s, {found.megabytes:.0f} MB more\n")
    return found


def _call(connection: Connection, megabytes: int, function: Callable[..., object], arguments: tuple) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + megabytes * 10**6,) * 2)
    connection.send(None)
    began, before = time.perf_counter(), _peak()
    try:
        said = str(function(*arguments))
    except DataError as error:
        said = str(error)
    except Exception as error:  # noqa: BLE001  told apart from what is refused
        said = f"{type(error).__name__}: {error}"
    connection.send(Outcome(said[:2000], time.perf_counter() - began, _peak() - before))


def _peak() -> float:
    """Return the largest resident memory of this process up to now, MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
