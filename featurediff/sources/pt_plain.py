"""
What `torch.save` writes of plain vectors, read without torch.

It saves 1.2 s and 190 MB in every command, and 210 MB in the server: torch is not imported, and the arrays are views of
the file's bytes. Files that are not plain are left to torch, so that a file is read here as torch reads it, or not at
all: `tests/sources/test_pt_plain.py` holds it to that. To go back to torch, delete this module, `_is_usual` in
`pt_zip`, and what is about `is_usual` in `load_archive` of `pt_archive`.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_DTYPES = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "ByteStorage": "<u1",
    "CharStorage": "<i1",
    "ShortStorage": "<i2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}
_OPCODES = re.compile(
    "PROTO|STOP|MARK|NONE|NEW(TRUE|FALSE)|BININT[12]?|LONG1|BINFLOAT|BINUNICODE|(EMPTY_)?TUPLE|TUPLE[123]|EMPTY_LIST"
    "|APPENDS?|EMPTY_DICT|SETITEMS?|GLOBAL|REDUCE|BINPERSID|(LONG_)?BIN(PUT|GET)"
)
"""Those that `torch.save` writes; Python's and torch's own unpickler do the same with them."""


def read_plain(records: Mapping[str, memoryview]) -> dict[Any, Any] | None:
    """
    Read a file whose tensors are all plain: dense, contiguous vectors of a dtype that numpy has, without gradient.

    Parameters
    ----------
    records : mapping
        Bytes of each entry of the archive, checksums checked, by its name. `check_pickles` has passed its pickle.

    Returns
    -------
    dict or None
        What `torch.load` returns, with a read-only array of shape (n,) for each tensor; all of them are in the dicts
        of token types. None where anything is not plain, or where torch may read it otherwise.
    """
    prefix = next(iter(records)).partition("/")[0]
    given = {name.removeprefix(f"{prefix}/"): record for name, record in records.items() if name.startswith(prefix)}
    is_usual = len(given) == len(records) and "version" in given and "constants.pkl" not in given
    if not is_usual or given.get("byteorder", b"little") != b"little" or "data.pkl" not in given:
        return None
    written = bytes(given["data.pkl"])
    if not all(_is_usual(opcode.name, argument, len(written)) for opcode, argument, _ in pickletools.genops(written)):
        return None
    unpickler = _Unpickler(written, given)
    try:
        content = unpickler.load()
    except (pickle.UnpicklingError, AttributeError, EOFError, LookupError, TypeError, ValueError):
        return None  # torch has its own words for what is wrong
    finally:
        unpickler.memo.clear()  # it holds `rebuild`, and so the unpickler, the file and its arrays hold each other
    if not isinstance(content, dict):
        return None
    parts = [part for key, part in content.items() if key != "metadata" and isinstance(part, dict)]
    placed = {id(leaf) for part in parts for leaf in part.values() if isinstance(leaf, np.ndarray)}
    return content if placed == {id(array) for array in unpickler.made} else None


def _is_usual(opcode: str, argument: object, size: int) -> bool:
    """Whether torch writes this; a memo with a place beyond the pickle's size would take memory."""
    if opcode in ("BINPUT", "LONG_BINPUT"):
        return isinstance(argument, int) and argument < size
    return _OPCODES.fullmatch(opcode) is not None and (opcode != "PROTO" or argument == 2)


class _Unpickler(pickle.Unpickler):
    """Calls nothing but `_Unpickler.rebuild` and `OrderedDict`, whatever the pickle says."""

    def __init__(self, written: bytes, records: Mapping[str, memoryview]) -> None:
        super().__init__(io.BytesIO(written))
        self.records = records
        self.made: list[NDArray[Any]] = []

    def find_class(self, module: str, name: str) -> object:
        """Return what stands for a name in the pickle."""
        if module == "torch" and name in _DTYPES:
            return np.dtype(_DTYPES[name])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        msg = f"{module}.{name} is not plain"
        raise pickle.UnpicklingError(msg)

    def persistent_load(self, pid: object) -> NDArray[Any]:
        """Return a storage: one record of the archive, as long as the pickle says."""
        kind, dtype, key, location, size = _expect(pid, str, np.dtype, str, str, int)
        record = self.records[f"data/{key}"]
        if kind != "storage" or not location or size < 1 or len(record) != size * dtype.itemsize:
            msg = f"data/{key} is not plain"
            raise pickle.UnpicklingError(msg)
        return np.frombuffer(record, dtype)

    def rebuild(self, *arguments: object) -> NDArray[Any]:
        """Return a part of a storage, as torch's function of that name."""
        storage, start, shape, strides, grad, _ = _expect(arguments, np.ndarray, int, tuple, tuple, bool, OrderedDict)
        (size,) = _expect(shape, int)
        array: NDArray[Any] = storage[start : start + size]
        if strides != (1,) or grad or start < 0 or size < 1 or len(array) != size:
            msg = "a tensor that is not plain"
            raise pickle.UnpicklingError(msg)
        self.made.append(array)
        return array


def _expect(values: object, *types: type) -> tuple[Any, ...]:
    """Return a tuple whose members are of exactly these types, where a dtype's is one of numpy's."""
    if not isinstance(values, tuple) or len(values) != len(types):
        msg = "another number of arguments"
        raise pickle.UnpicklingError(msg)
    for value, expected in zip(values, types, strict=True):
        if type(value) is not expected and not (expected is np.dtype and isinstance(value, np.dtype)):
            msg = f"{type(value).__name__} instead of {expected.__name__}"
            raise pickle.UnpicklingError(msg)
    return values
