"""
Bytes of a `.pt` file, which a stranger may have written → a dict of arrays that are safe to touch.

This guards against what torch does not look at: flipped bits, as torch takes no notice of checksums; entries that are
compressed, hidden or marked as folders; and tensors that claim more elements than the file has bytes for. Most files
are then read by `pt_plain`, without torch, and the others by `torch.load`.

`tests/sources/test_hostile_files.py` holds each check to a file that it refuses, and `test_results.py` holds what is
read to what was saved. To go back to torch alone, let `load_archive` take what `_load` returns, without a call of
`_check_zip`; what torch does not look at then passes.
"""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from featurediff.errors import DataError
from featurediff.sources.pt_pickle import check_pickles
from featurediff.sources.pt_plain import read_plain
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_ZIP_START, _ZIP_ENTRY, _ZIP_END, _ZIP_WIDE = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x07"
_HEADER_SIZE = 30  # of the fixed part in front of an entry
_WRITER = 0x31E, 45  # versions that made and that can read the archive
_FLAGS = 0x808  # names are UTF-8, and sizes are also behind an entry
_FULL = 2**32 - 1  # stands where a number has 64 bits
_MANY = 2**16 - 1  # the same for 32 bits
_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number that torch.save pickled before 1.6
_FLOATS = ("float8", "float16", "bfloat16", "float32", "float64")
_INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DOS_FOLDER = 0x10  # torch leaves the memory of an entry with this attribute as it was: random numbers
_LARGEST = 2**53
MAX_ENTRIES = 2**17
"""Entries of an archive: one for each vector, and a few more; 100 positions with 1,002 vectors each are 100,200."""

_MAX_EXPANSION = 8  # tensors may share bytes or be repeated; a file a thousand times larger than itself is an attack


def load_archive(data: bytes, name: str) -> dict[str, Any]:
    """
    Load the dict that `torch.save` wrote, on the CPU and without running code from it.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        What the file is called in messages.

    Returns
    -------
    dict
        As saved; all keys are strings. Every vector that is a tensor is dense and real, claims no more elements than
        the file has bytes for, and is an array here: a view of `data` where that is possible.

    Raises
    ------
    DataError
        If the bytes are not a whole, undamaged, uncompressed torch file, if its pickle wants code, if it holds
        anything but a dict, or if a vector is of another kind or claims more than the file can hold.
    """
    records, is_usual = _check_zip(data, name)
    content: object = read_plain(records) if is_usual else None
    is_plain = content is not None
    if not is_plain:
        content = _load(data, name)
    if not isinstance(content, dict):
        msg = f"`{name}` holds {quoted(content)}, but expected a dict of token types and `metadata`."
        raise DataError(msg)
    other = [key for key in content if not isinstance(key, str)]
    if other:
        msg = f"`{name}` has the keys {listed(other)}, but expected token types, which are strings, and `metadata`."
        raise DataError(msg)
    vectors = list(_vectors(content, is_plain=is_plain))
    _check_claims(vectors, len(data), name)
    if not is_plain:
        for token_type, key, tensor in vectors:
            content[token_type][key] = _to_array(tensor)
    return content


def is_vector_name(key: object) -> bool:
    """Tell whether a key of a token type names a vector: `target_…` or `control_…`; others are ignored."""
    return isinstance(key, str) and key.startswith(("target_", "control_"))


def to_array(tensor: object, num_features: int, where: str) -> NDArray[Any]:
    """
    Turn one saved vector into a read-only array.

    Parameters
    ----------
    tensor : object
        What `load_archive` gave at this place.
    num_features : int
        The length that it must have.
    where : str
        File, token type and name of the vector, for messages.

    Returns
    -------
    ndarray of shape (num_features,)
        float64 and float32 as they are, narrower floats as float32, integers and bool as int64. All are finite and at
        most 2^53, so that differences are finite too, and those of integers are exact.

    Raises
    ------
    DataError
        If it is not a 1-D tensor of that length, or holds NaN, infinite or larger values.
    """
    if not isinstance(tensor, np.ndarray):
        msg = f"{where} is {quoted(tensor)}, but expected a tensor of {num_features} numbers."
        raise DataError(msg)
    if tensor.ndim != 1:
        msg = f"{where} has {tensor.ndim} dimensions, but expected 1: a number for each of {num_features} features."
        raise DataError(msg)
    if len(tensor) != num_features:
        msg = f"{where} has {len(tensor)} features, but `num_features` in the metadata is {num_features}."
        raise DataError(msg)
    array: NDArray[Any] = tensor.astype(np.float32) if tensor.dtype == np.float16 else np.require(tensor, None, "A")
    if not (array.min() >= -_LARGEST and array.max() <= _LARGEST):
        refuse(~np.isfinite(array), array, where, "is NaN or infinite", "Expected finite numbers.")
        too_large = (array < -_LARGEST) | (array > _LARGEST)
        refuse(too_large, array, where, f"is beyond {_LARGEST}", "Expected activations, shares or counts.")
    if array.dtype.kind != "f":
        array = array.astype(np.int64, copy=False)
    array.setflags(write=False)
    return array


def refuse(is_bad: NDArray[np.bool_], array: NDArray[Any], where: str, fault: str, expected: str) -> None:
    """
    Refuse a vector of which any value is bad, saying how many and the first one.

    Parameters
    ----------
    is_bad, array : ndarray of shape (num_features,)
        Which values are bad, and the values.
    where, fault, expected : str
        Where this is, what is wrong with the values (a verb in the singular), and a sentence on what should be there.

    Raises
    ------
    DataError
        If any value is bad.
    """
    if is_bad.any():
        first = int(is_bad.argmax())
        msg = (
            f"{where} {fault} at {is_bad.sum()} of {len(array)} features, "
            f"the first is feature {first} with {array[first]}. {expected}"
        )
        raise DataError(msg)


def _check_zip(data: bytes, name: str) -> tuple[dict[str, memoryview], bool]:
    """Return the bytes of each entry by its name, and whether the archive is as torch's writer makes it."""
    if not data:
        msg = f"`{name}` is empty, but expected a file written by torch.save. Was the upload or copy cut short?"
        raise DataError(msg)
    if data.startswith(_LEGACY_START):
        msg = f"`{name}` is in the torch format from before 1.6. Load it and re-save it with today's torch.save."
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


def _load(data: bytes, name: str) -> object:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of sparse and legacy tensors, which are refused later by name
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:  # the one broad except: torch raises nine kinds of error on foreign files
        reason = str(error).rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0]
        msg = f"`{name}` cannot be read by torch.load: {type(error).__name__}, {quoted(reason)}."
        raise DataError(msg) from error


def _vectors(content: dict[str, Any], *, is_plain: bool) -> Iterator[tuple[str, str, Any]]:
    """Give token type, name and tensor of every vector that is a tensor, or in plain files an array."""
    kind: type = np.ndarray
    if not is_plain:
        import torch

        kind = torch.Tensor
    for token_type, vectors in content.items():
        for key, tensor in vectors.items() if isinstance(vectors, dict) else ():
            if is_vector_name(key) and isinstance(tensor, kind):
                yield token_type, key, tensor


def _check_claims(vectors: list[tuple[str, str, Any]], file_size: int, name: str) -> None:
    total = 0
    for token_type, key, tensor in vectors:
        where = f"`{name}`: token type {quoted(token_type)}, {quoted(key)}"
        if not isinstance(tensor, np.ndarray):
            _check_kind(tensor, where)
        claimed = tensor.nbytes
        total += claimed
        if claimed > file_size:
            msg = (
                f"{where} claims {claimed // tensor.itemsize} elements, {claimed} bytes, but the whole file has "
                f"{file_size}. Write it again with torch.save."
            )
            raise DataError(msg)
    if total > _MAX_EXPANSION * file_size:
        msg = (
            f"`{name}`: its tensors claim {total} bytes together, more than {_MAX_EXPANSION} times "
            f"the {file_size} bytes of the file. Write each vector out with .clone() before torch.save."
        )
        raise DataError(msg)


def _check_kind(tensor: Any, where: str) -> None:  # noqa: ANN401  torch is imported late
    dtype = str(tensor.dtype).removeprefix("torch.")
    kinds = {
        "without data (on the meta device)": tensor.is_meta,
        "complex": tensor.is_complex(),
        f"of dtype {dtype}": not (dtype in _INTEGERS or dtype.startswith(_FLOATS)),
    }
    for kind, found in kinds.items():
        if found:
            msg = f"{where} is a tensor that is {kind}, but expected a dense tensor of real numbers."
            raise DataError(msg)


def _to_array(tensor: Any) -> NDArray[Any]:  # noqa: ANN401  as above
    """Return a tensor's numbers: float64 and integers as they are, other floats as float32."""
    import torch

    tensor = tensor.detach().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype != torch.float64:
        tensor = tensor.to(torch.float32)
    return np.asarray(tensor.contiguous().numpy())
