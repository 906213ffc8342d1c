"""
Bytes of a `.pt` file, which a stranger may have written → a dict of arrays that are safe to touch.

`pt_zip` takes the archive apart. Most files are then read by `pt_plain`, without torch, and the others by
`torch.load`. Here are refused tensors that claim more elements than the file has bytes for.

`tests/sources/test_hostile_files.py` holds each check to a file that it refuses, and `test_results.py` holds what is
read to what was saved.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurediff.errors import DataError
from featurediff.sources.pt_cures import OTHER_PROTOCOL
from featurediff.sources.pt_plain import read_plain
from featurediff.sources.pt_zip import read_records
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FLOATS = ("float8", "float16", "bfloat16", "float32", "float64")
_INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_MAX_EXPANSION = 8  # tensors may share bytes or be repeated; a file a thousand times larger than itself is an attack


@dataclass(frozen=True, eq=False)
class Stored:
    """One tensor of a file."""

    dtype: str
    """As torch calls it, such as "bfloat16"."""

    numbers: NDArray[Any] | None
    """Its numbers, of any shape, bfloat16 and float8 as float32; None where it has no dense real ones."""

    kind: str = ""
    """What it is where it has no dense real numbers, such as "complex"."""


def load_archive(data: bytes, name: str) -> dict[Any, Any]:
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
        As saved, but every vector that is a tensor is `Stored`. It claims no more elements than the file has bytes for,
        and its numbers are a view of `data` where that is possible.

    Raises
    ------
    DataError
        If the bytes are not a whole, undamaged, uncompressed torch file, if its pickle wants code, if it holds
        anything but a dict, or if a vector claims more than the file can hold.
    """
    records, is_usual = read_records(data, name)
    content: object = read_plain(records) if is_usual else None
    if content is None:
        content = _load(data, name)
    if not isinstance(content, dict):
        msg = f"`{name}` holds {quoted(content)}, but expected a dict of token types and `metadata`."
        raise DataError(msg)
    vectors = [(part, key, tensor, _kind_of(tensor)) for part, key, tensor in _tensors(content)]
    _check_claims([(part, key, tensor) for part, key, tensor, kind in vectors if not kind], len(data), name)
    for part, key, tensor, kind in vectors:
        dtype = str(tensor.dtype).removeprefix("torch.")
        content[part][key] = Stored(dtype, None if kind else _to_array(tensor), kind)
    return content


def is_vector_name(key: object) -> bool:
    """Tell whether a key of a token type names a vector: `target_…` or `control_…`; others are ignored."""
    return isinstance(key, str) and key.startswith(("target_", "control_"))


def _load(data: bytes, name: str) -> object:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of sparse and legacy tensors, which are refused later by name
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:  # the one broad except: torch raises nine kinds of error on foreign files
        reason = str(error).rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0]
        if reason.startswith("Unsupported operand"):
            msg = f"`{name}`{OTHER_PROTOCOL}"
            raise DataError(msg) from error
        msg = f"`{name}` cannot be read by torch.load: {type(error).__name__}, {quoted(reason)}."
        raise DataError(msg) from error


def _tensors(content: dict[Any, Any]) -> Iterator[tuple[Any, str, Any]]:
    """Give token type, name and tensor of every vector that is a tensor, or in plain files an array."""
    for part, vectors in content.items():
        for key, tensor in vectors.items() if isinstance(vectors, dict) else ():
            if is_vector_name(key) and hasattr(tensor, "dtype"):
                yield part, key, tensor


def _check_claims(vectors: list[tuple[Any, str, Any]], file_size: int, name: str) -> None:
    total = 0
    for part, key, tensor in vectors:
        claimed = tensor.nbytes
        total += claimed
        if claimed > file_size:
            msg = (
                f"`{name}`: token type {quoted(part)}, {quoted(key)} claims {claimed // tensor.itemsize} elements, "
                f"{claimed} bytes, but the whole file has {file_size}. Write it again with torch.save."
            )
            raise DataError(msg)
    if total > _MAX_EXPANSION * file_size:
        msg = (
            f"`{name}`: its tensors claim {total} bytes together, more than {_MAX_EXPANSION} times "
            f"the {file_size} bytes of the file. Write each vector out with .clone() before torch.save."
        )
        raise DataError(msg)


def _kind_of(tensor: Any) -> str:  # noqa: ANN401  torch is imported late
    """Return what a tensor is where it has no dense real numbers; empty where it has."""
    if isinstance(tensor, np.ndarray):
        return ""
    dtype = str(tensor.dtype).removeprefix("torch.")
    kinds = {
        "without data (on the meta device)": tensor.is_meta,
        "complex": tensor.is_complex(),
        f"of dtype {dtype}": not (dtype in _INTEGERS or dtype.startswith(_FLOATS)),
    }
    return next((kind for kind, found in kinds.items() if found), "")


def _to_array(tensor: Any) -> NDArray[Any]:  # noqa: ANN401  as above
    """Return a tensor's numbers: float64, float16 and integers as they are, other floats as float32."""
    if isinstance(tensor, np.ndarray):
        return tensor
    tensor = tensor.detach().resolve_neg()
    dtype = str(tensor.dtype)
    if tensor.is_floating_point() and dtype not in ("torch.float64", "torch.float16"):
        tensor = tensor.float()
    return np.asarray(tensor.contiguous().numpy())
