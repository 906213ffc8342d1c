"""Evidence of sources, kept on disk under the content of their files, so that no source is tested twice."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featurediff.cache_folder import cache_folder
from featurediff.errors import DataError
from featurediff.files import is_stream, kind_of, read_whole, write_whole
from featurediff.version import package_version

if TYPE_CHECKING:
    import pyarrow as pa

    from featurediff.features.questions import Family
    from featurediff.study import Study

MOST_BYTES = 512 * 2**20
"""The most that the cache takes on the disk; beyond it, what was not used for longest goes."""

_DIGEST = 32
"""Bytes at the start of a file: the SHA-256 of its key and of the rest."""

_ENDING = ".evidence"


@dataclass(frozen=True)
class EvidenceCache:
    """Evidence of sources, each in a file that is there whole or not at all; a damaged one counts as missing."""

    folder: Path
    """Only for evidence; may not exist yet."""

    most_bytes: int = MOST_BYTES
    """The most that all files take together."""

    @classmethod
    def of_user(cls) -> EvidenceCache:
        """Return the cache in the user's cache folder, or in the one that `FEATUREDIFF_CACHE` names."""
        return cls(cache_folder() / "evidence")

    def get(self, key: str) -> pa.Table | None:
        """
        Return what is kept under a key, and mark it as used.

        Parameters
        ----------
        key : str
            From `evidence_key`.

        Returns
        -------
        pyarrow.Table or None
            None where nothing is kept, or where it cannot be read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self._file(key)
        try:
            if kind_of(file) != "file" or file.stat().st_size > self.most_bytes:
                return None
            data = read_whole(file)
            os.utime(file)
        except (DataError, OSError):
            return None
        if data[:_DIGEST] != _sign(key, data[_DIGEST:]):
            return None
        return pq.read_table(pa.BufferReader(data[_DIGEST:]))

    def put(self, key: str, table: pa.Table) -> None:
        """Keep a table under a key, if there is a place for it in the folder; then drop what is too much."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self._file(key)
        if is_stream(file):
            return
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        data = buffer.getvalue().to_pybytes()
        try:
            write_whole(file, _sign(key, data) + data)
        except DataError:
            return  # without a cache the same is computed again
        self._drop(self.most_bytes)

    def size(self) -> int:
        """Return how many bytes all files take."""
        return sum(size for _, size, _ in self._files())

    def clear(self) -> None:
        """Delete all files."""
        self._drop(0)

    def _drop(self, most: int) -> None:
        """Delete the files that were not used for longest, until the others take at most so many bytes."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, file in files:
            if total <= most:
                return
            try:
                file.unlink(missing_ok=True)
            except OSError:  # the folder is another user's
                continue
            total -= size

    def _files(self) -> list[tuple[int, int, Path]]:
        """Return time of last use, size and path of each file, no folder or pipe; half-written ones of others count."""
        found = []
        for file in [*self.folder.glob(f"*{_ENDING}"), *self.folder.glob(".featurediff-*")]:
            try:
                status = file.lstat()
            except OSError:  # another process has dropped it
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            found.append((status.st_mtime_ns, status.st_size, file))
        return found

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}{_ENDING}"


def evidence_key(study: Study, family: Family) -> str | None:
    """
    Identify a source's evidence: by the content of every file that goes into the tests, and the code that tests.

    Parameters
    ----------
    study : Study
        A source, loaded.
    family : {"position", "source"}
        What q is corrected for together.

    Returns
    -------
    str or None
        64 hexadecimal digits; explanations, thresholds and the largest q do not count. None where a file beside the
        results cannot be read.
    """
    parts = [_code(), family, study.results.base.sha256, study.results.chat.sha256]
    if study.activations is not None:
        for path in (study.activations.path, study.activations.prompts):
            try:
                parts.append(_digest(path) if path else "")
            except OSError:
                return None
    return sha256("\n".join(parts).encode()).hexdigest()


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, without holding all of it."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@cache
def _code() -> str:
    """Identify the code that computes evidence: another version of it may find something else in the same files."""
    package = Path(__file__).parents[1]
    modules = sorted(path for stage in ("sources", "features", "compare") for path in (package / stage).glob("*.py"))
    digest = sha256(f"{package_version()} {np.__version__}".encode())
    for module in modules:
        digest.update(module.read_bytes())
    return digest.hexdigest()


def _sign(key: str, data: bytes | memoryview) -> bytes:
    """Return what a file starts with: it cannot be damaged, or be another source's, without differing from this."""
    return sha256(key.encode() + data).digest()
