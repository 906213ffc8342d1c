"""
Spoil small valid files at random, and read each in a process that may be killed.

    python bench/fuzz.py --count 2500 --seed 0

Each must be refused or read right. A fault is any exception but `DataError`, a wrong result, more than 10 seconds, more
than 2 GB of memory, or a process that dies. The same seed and number give the same file: `--show KIND NUMBER` writes it
to standard output.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from report import publish, table

sys.path.append(str(Path(__file__).parents[1] / "tests"))

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

SECONDS = 10
"""The longest that one file may take."""

MEGABYTES = 2000
"""The most memory that the process may come to."""


class Read(NamedTuple):
    """What came of one file."""

    outcome: str
    """ "refused", "right" or "fault"."""

    detail: str
    """What went wrong, of a fault."""

    seconds: float
    """How long it took."""

    peak: float
    """Largest resident memory of the process up to now, MB."""


def read(kind: str, seed: int, number: int) -> tuple[str, str]:
    """Read a spoilt file, and return the outcome and what went wrong."""
    import fuzzing

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="error"):
        try:
            return fuzzing.outcome(kind, fuzzing.spoilt(kind, seed, number), Path(folder)), ""
        except Exception as error:  # noqa: BLE001  whatever it is, it is what this program looks for
            return "fault", f"{type(error).__name__}: {str(error).strip()[:200]}"


def serve(connection: Connection, reader: Callable[[str, int, int], tuple[str, str]]) -> None:
    """Read what is asked for until None is."""
    import fuzzing  # noqa: F401  before the limit, so that the limit is on the files alone

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEGABYTES * 10**6,) * 2)
    connection.send(None)
    while (asked := connection.recv()) is not None:
        began = time.perf_counter()
        outcome, detail = reader(*asked)
        peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
        connection.send(Read(outcome, detail, time.perf_counter() - began, peak))


class Readers:
    """One process at a time that reads files; another one after it has died or hung."""

    def __init__(self, reader: Callable[[str, int, int], tuple[str, str]] = read, seconds: float = SECONDS) -> None:
        self.reader, self.seconds = reader, seconds
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.reader), daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()

    def ask(self, kind: str, seed: int, number: int) -> Read:
        """Read one file."""
        self.connection.send((kind, seed, number))
        try:
            if self.connection.poll(self.seconds):
                found: Read = self.connection.recv()
                if found.peak > MEGABYTES:
                    return found._replace(outcome="fault", detail=f"the process came to {found.peak:.0f} MB")
                return found
            detail = f"over {self.seconds:g} seconds"
        except EOFError:
            self.process.join()
            detail = f"the process died, exit code {self.process.exitcode}"
        self.close()
        self._start()
        return Read("fault", detail, self.seconds, 0)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def run(kind: str, seed: int, count: int) -> Iterator[Read]:
    """Read files of one kind; faults are printed as they come."""
    readers = Readers()
    for number in range(count):
        found = readers.ask(kind, seed, number)
        if found.outcome == "fault":
            print(f"{kind} {number}: {found.detail}", file=sys.stderr)
        yield found
    readers.close()


def row(kind: str, reads: list[Read]) -> list[str]:
    """Return a line of the table."""
    outcomes = Counter(found.outcome for found in reads)
    counts = [f"{outcomes[outcome]:,}" for outcome in ("refused", "right", "fault")]
    slowest = max(found.seconds for found in reads)
    peak = max(found.peak for found in reads)
    return [f"`{kind}`", f"{len(reads):,}", *counts, f"{slowest:.2f} s", f"{peak:.0f} MB"]


def main() -> None:
    """Run the program; the exit code is 1 where there was a fault."""
    import fuzzing

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2500, help="files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=fuzzing.KINDS, help="one kind")
    parser.add_argument("--show", nargs=2, metavar=("KIND", "NUMBER"), help="write one file to standard output")
    parser.add_argument("--no-write", action="store_true", help="leave bench/README.md alone")
    given = parser.parse_args()
    if given.show:
        sys.stdout.buffer.write(fuzzing.spoilt(given.show[0], given.seed, int(given.show[1])))
        return
    kinds = [kind for kind in fuzzing.KINDS if given.only in (None, kind)]
    reads = {kind: list(run(kind, given.seed, given.count)) for kind in kinds}
    header = ("file", "spoilt", "refused", "read right", "faults", "slowest", "peak memory")
    text = (
        f"Small valid files with bytes, directories, opcodes, cells or columns changed, seed {given.seed}. "
        "*Read right* is read as torch, Python's `csv` or pyarrow read it, and shown. Memory is the process's: "
        "Python with torch and pandas is most of it.\n\n" + table(header, (row(*each) for each in reads.items()))
    )
    publish("fuzz", "Spoilt files", text, write=not given.no_write)
    sys.exit(any(found.outcome == "fault" for each in reads.values() for found in each))


if __name__ == "__main__":
    main()
