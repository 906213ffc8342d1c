"""
The zip archive that a `.pt` file is, checked before anything takes it apart.

This guards against what torch does not look at: flipped bits, as torch takes no notice of checksums, and entries that
are compressed, hidden or marked as folders.

`tests/sources/test_hostile_files.py` holds each check to a file that it refuses. To go back to torch alone, let
`load_archive` in `pt_archive` take what `_load` returns, without a call of `read_records`; what torch does not look at
then passes.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from featurediff.errors import DataError
from featurediff.files import other_kind
from featurediff.sources.pt_pickle import check_pickles
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZIP_START, _ZIP_ENTRY, _ZIP_END, _ZIP_WIDE = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x07"
_HEADER_SIZE = 30  # of the fixed part in front of an entry
_WRITER = 0x31E, 45  # versions that made and that can read the archive
_FLAGS = 0x808  # names are UTF-8, and sizes are also behind an entry
_FULL = 2**32 - 1  # stands where a number has 64 bits
_MANY = 2**16 - 1  # the same for 32 bits
_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number that torch.save pickled before 1.6
_DOS_FOLDER = 0x10  # torch leaves the memory of an entry with this attribute as it was: random numbers
MAX_ENTRIES = 2**17
"""Entries of an archive: one for each vector, and a few more; 100 positions with 1,002 vectors each are 100,200."""


def read_records(data: bytes, name: str) -> tuple[dict[str, memoryview], bool]:
    """
    Take the archive apart.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        What the file is called in messages.

    Returns
    -------
    tuple of dict and bool
        The bytes of each entry by its name, and whether the archive is as torch's writer makes it.

    Raises
    ------
    DataError
        If the bytes are not a whole, undamaged, uncompressed torch file, or if its pickle is refused.
    """
    if not data:
        msg = f"`{name}` is empty, but expected a file written by torch.save. Was the upload or copy cut short?"
        raise DataError(msg)
    if data.startswith(_LEGACY_START):
        msg = f"`{name}` is in the torch format from before 1.6. Load it and re-save it with today's torch.save."
        raise DataError(msg)
    if kind := other_kind(data):
        msg = f"`{name}` is not a torch file: it is {kind}. Expected what torch.save writes."
        raise DataError(msg)
    if not data.startswith(_ZIP_START):
        msg = f"`{name}` is not a torch file: it starts with {quoted(data[:8])}, but expected what torch.save writes."
        raise DataError(msg)
    many = data.count(_ZIP_ENTRY)  # zipfile makes an object of each, before anything can be asked of it
    if many > MAX_ENTRIES:
        msg = f"`{name}` has {many:,} archive entries, but expected at most {MAX_ENTRIES:,}: one for each vector."
        raise DataError(msg)
    with _refusing_damage(name):
        archive = zipfile.ZipFile(io.BytesIO(data))
    entries = archive.infolist()
    _check_end(data, archive.start_dir, name)
    _check_entries(entries, len(data), name)
    with _refusing_damage(name):
        records = {entry.filename: _record(archive, entry, memoryview(data)) for entry in entries}
        is_usual = _is_usual(data, entries, archive.start_dir)
    for entry in entries:
        record = records[entry.filename]
        if record is None or zlib.crc32(record) != entry.CRC:
            which = f"the checksum of its entry {quoted(entry.filename)} is wrong"
            msg = f"`{name}` is damaged: {which}. Copy or write it again."
            raise DataError(msg)
    whole = {path: record for path, record in records.items() if record is not None}
    # Torch takes no notice of upper and lower case.
    check_pickles([bytes(record) for path, record in whole.items() if path.lower().endswith(".pkl")], name)
    return whole, is_usual


@contextmanager
def _refusing_damage(name: str) -> Iterator[None]:
    """Refuse an archive that zipfile cannot read, whatever it raises."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, ValueError, OverflowError, NotImplementedError, RuntimeError) as error:
        msg = f"`{name}` is cut short or damaged: its zip archive cannot be read. Copy or write it again."
        raise DataError(msg) from error


def _record(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, data: memoryview) -> memoryview | None:
    """Return the bytes of an entry; None where another entry is in its place."""
    try:
        archive.open(entry).close()  # goes through the header in front of the bytes
    except zipfile.BadZipFile:
        return None
    header = entry.header_offset
    lengths = (int.from_bytes(data[header + at : header + at + 2], "little") for at in (26, 28))
    start = header + _HEADER_SIZE + sum(lengths)
    return data[start : start + entry.file_size]


def _is_usual(data: bytes, entries: list[zipfile.ZipInfo], start: int) -> bool:
    """Whether the directory at `start` is, byte for byte, what torch's writer makes of the entries."""
    if len(data) > _FULL:
        return False
    directory = bytearray()
    for entry in entries:
        name = entry.filename.encode()
        sizes = entry.CRC, entry.file_size, entry.file_size, len(name), 0, 0, 0, 0, 0, entry.header_offset
        directory += struct.pack("<4s6H3I5H2I", _ZIP_ENTRY, 0, 0, _FLAGS, 0, 0, 0, *sizes) + name
    count, size = len(entries), len(directory)
    directory += struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, *_WRITER, 0, 0, count, count, size, start)
    directory += struct.pack("<4sIQI", _ZIP_WIDE, 0, start + size, 1)
    directory += struct.pack("<4s4H2IH", _ZIP_END, 0, 0, *(min(count, _MANY),) * 2, size, start, 0)
    return data[start:] == directory


def _check_end(data: bytes, directory: int, name: str) -> None:
    """Refuse an archive whose end names another directory than zipfile has found: torch would read that one."""
    named = int.from_bytes(data[-6:-2], "little")
    wide = len(data) - 98  # where torch's writer puts the record of 64-bit numbers, and 56 bytes on a pointer to it
    if data[-42:-38] == _ZIP_WIDE:
        is_there = int.from_bytes(data[-34:-26], "little") == wide
        directories = {int.from_bytes(data[wide + 48 : wide + 56], "little"), directory if named == _FULL else named}
    else:
        is_there, directories = True, {named}
    if data[-22:-18] != _ZIP_END or not is_there or directories != {directory}:
        msg = f"`{name}` is damaged: its archive does not end with its one directory. Copy or write it again."
        raise DataError(msg)


def _check_entries(entries: list[zipfile.ZipInfo], file_size: int, name: str) -> None:
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            msg = (
                f"`{name}`: the archive entry {quoted(entry.filename)} is compressed or encrypted, but torch.save "
                "stores entries as they are. Write the file again with torch.save."
            )
            raise DataError(msg)
        if entry.external_attr & _DOS_FOLDER or entry.filename.endswith("/"):  # is_dir() fails on an empty name
            which = f"its archive entry {quoted(entry.filename)} is marked as a folder"
            msg = f"`{name}` is damaged: {which}. Write it again."
            raise DataError(msg)
    claimed = sum(entry.file_size for entry in entries)
    if claimed > file_size:
        msg = f"`{name}` is damaged: its archive entries claim {claimed} bytes, but the file has {file_size}."
        raise DataError(msg)
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        msg = f"`{name}` is damaged: its archive has two entries of the same name. Write it again with torch.save."
        raise DataError(msg)
    if not any(entry.endswith("/data.pkl") for entry in names):
        msg = f"`{name}` is a zip archive but not a torch file: it has no data.pkl. Write it with torch.save."
        raise DataError(msg)
