"""
Plain vectors written as `torch.save` writes them, without torch.

It saves 1.2 s of each start on the demo and 200 MB of its server, as torch is not imported. `pt_plain` and torch read
what it writes; `tests/sources/test_pt_write.py` holds it to that. To go back to torch, call `torch.save` in
`demo._pack`, and delete this module.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

_STORAGES = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<i4": "IntStorage", "<i8": "LongStorage"}
_ALIGNMENT = 64
"""Bytes: the numbers of each vector begin at a multiple of it."""

_FLAGS = 0x808
"""Names are UTF-8, and sizes are also behind an entry."""


def write_plain(content: Mapping[str, Any]) -> bytes:
    """
    Return a file with dicts of vectors and with metadata.

    Parameters
    ----------
    content : mapping
        Dicts, lists, strings, whole numbers of 32 bits, and arrays of shape (n,) of a dtype in `_STORAGES`.
    """
    vectors: list[bytes] = []
    pickle = b"\x80\x02" + _pickled(content, vectors) + b"."
    records = {"data.pkl": pickle, ".format_version": b"1", ".storage_alignment": b"64", "byteorder": b"little"}
    records |= {f"data/{i}": vector for i, vector in enumerate(vectors)}
    return _zipped(records | {"version": b"3\n"})


def _pickled(value: object, vectors: list[bytes]) -> bytes:
    """Return the opcodes that put a value on the stack; the bytes of a vector are added to `vectors`."""
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(_pickled(member, vectors) for member in value) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_pickled(part, vectors) for item in value.items() for part in item) + b"u"
    vector = np.asarray(value)
    dtype = vector.dtype.newbyteorder("<")
    vectors.append(np.ascontiguousarray(vector, dtype).tobytes())
    storage = [_pickled("storage", vectors), f"ctorch\n{_STORAGES[dtype.str]}\n".encode()]
    storage += [_pickled(part, vectors) for part in (str(len(vectors) - 1), "cpu", len(vector))]
    start, size, stride = (_pickled(number, vectors) for number in (0, len(vector), 1))
    # The storage, where the vector starts in it, its shape and strides, no gradient, and no hooks.
    arguments = [
        b"(",
        *storage,
        b"tQ",
        start,
        size,
        b"\x85",
        stride,
        b"\x85",
        b"\x89",
        b"ccollections\nOrderedDict\n)R",
    ]
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + b"".join(arguments) + b"tR"


def _zipped(records: Mapping[str, bytes]) -> bytes:
    """Return an archive of entries, none of them compressed."""
    file, directory = io.BytesIO(), bytearray()
    for path, record in records.items():
        name, start, size = f"archive/{path}".encode(), file.tell(), len(record)
        crc = zlib.crc32(record)
        padding = -(start + 30 + len(name) + 4) % _ALIGNMENT
        file.write(struct.pack("<4s5H3I2H", b"PK\x03\x04", 0, _FLAGS, 0, 0, 0, 0, 0, 0, len(name), padding + 4))
        file.write(name + struct.pack("<2sH", b"FB", padding) + b"Z" * padding)
        file.write(record + struct.pack("<4s3I", b"PK\x07\x08", crc, size, size))
        sizes = crc, size, size, len(name), 0, 0, 0, 0, 0, start
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 0, 0, _FLAGS, 0, 0, 0, *sizes) + name
    start, size, count = file.tell(), len(directory), len(records)
    file.write(directory)
    file.write(struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 0x31E, 45, 0, 0, count, count, size, start))
    file.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, start + size, 1))
    file.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, size, start, 0))
    return file.getvalue()
