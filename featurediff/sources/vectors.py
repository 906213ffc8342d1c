"""
What a `.pt` file holds at its token types → read-only arrays.

The two `*_num_active` are what a source is: they are refused where anything is wrong with them. Every other vector is
left out where it cannot be used, and blank (NaN) where it is not finite, with a remark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurediff.errors import DataError
from featurediff.sources.pt_archive import Stored, is_vector_name
from featurediff.wording import MAX_NAME, is_name, listed, plural, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from featurediff.sources.metadata import Metadata

    Array = NDArray[Any]

COUNTS = ("target_num_active", "control_num_active")
LARGEST = 2**53
"""Up to it a float64 holds every integer, so differences of counts are exact; larger values are not activations."""

_NO_NAME = f"is no name of at most {MAX_NAME} Unicode characters"
_ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float8_e4m3": 2.0**-4, "float8": 2.0**-3}


@dataclass(frozen=True, eq=False)
class Vectors:
    """The vectors of one file."""

    arrays: dict[str, dict[str, Array]]
    """Token type → name → array of shape (num_features,); the same names at each token type, `*_sparsity` always."""

    rounding: dict[str, float]
    """Name → the largest relative error of its numbers as they were stored; only where narrower than float32."""

    left_out: dict[str, str]
    """Name of a vector that is not in `arrays` → why, a sentence."""

    remarks: list[str]
    """What else is blank or left out, a sentence each."""


def parse_vectors(content: Mapping[Any, Any], metadata: Metadata, name: str) -> Vectors:
    """
    Check the vectors of one file.

    Parameters
    ----------
    content : mapping
        From `load_archive`; it has every token type of the metadata.
    metadata : Metadata
        Of the same file.
    name : str
        What the file is called in messages.

    Returns
    -------
    Vectors
        Counts are int64; float64 and float32 as they are, narrower floats as float32, integers and bool as int64.

    Raises
    ------
    DataError
        If a token type is not a dict, or its counts are missing or impossible.
    """
    arrays: dict[str, dict[str, Array]] = {}
    rounding: dict[str, float] = {}
    faults: dict[str, list[str]] = {}
    others: dict[object, None] = {}
    for token_type in metadata.token_types:
        where = f"`{name}`: token type {quoted(token_type)}"
        part = _checked_part(content[token_type], where)
        arrays[token_type] = {}
        for vector, stored in part.items():
            if not is_vector_name(vector):
                others[vector] = None
                continue
            numbers = _numbers(stored, metadata.num_features) if is_name(vector) else _NO_NAME
            if vector in COUNTS:
                arrays[token_type][vector] = _whole_counts(numbers, metadata, vector, f"{where}, '{vector}'")
            elif isinstance(numbers, str):
                faults.setdefault(vector, []).append(f"{where}, {quoted(vector)} {numbers}")
            else:
                arrays[token_type][vector] = _metric(numbers)
                rounding[vector] = max(rounding.get(vector, 0.0), _rounding_of(stored.dtype))
    left_out = _leave_out(arrays, faults, name)
    _add_shares(arrays, metadata)
    remarks = _blanks(arrays, metadata, name)
    if others:
        remarks.append(f"`{name}` has {listed(others)} beside the vectors of its token types: left out.")
    return Vectors(arrays, {vector: error for vector, error in rounding.items() if error}, left_out, remarks)


def refuse(is_bad: NDArray[np.bool_], array: Array, where: str, fault: str, expected: str) -> None:
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


def _checked_part(part: object, where: str) -> dict[Any, Any]:
    """Return what a token type holds: a dict with both counts."""
    if not isinstance(part, dict):
        msg = f"{where} is {quoted(part)}, but expected a dict of vectors."
        raise DataError(msg)
    for count in COUNTS:
        if count not in part:
            msg = f"{where} has no '{count}', but expected the number of prompts on which each feature is active."
            raise DataError(msg)
    return part


def _numbers(stored: object, num_features: int) -> Array | str:
    """Return the numbers of a vector; or why it cannot be used, as it follows its place in a message."""
    if not isinstance(stored, Stored):
        return f"is {quoted(stored)}, but expected a tensor of {plural(num_features, 'number')}"
    if stored.numbers is None:
        return f"is a tensor that is {stored.kind}, but expected a dense tensor of real numbers"
    if stored.numbers.ndim != 1:
        dimensions = plural(stored.numbers.ndim, "dimension")
        return f"has {dimensions}, but expected 1: a number for each of {plural(num_features, 'feature')}"
    if len(stored.numbers) != num_features:
        length = plural(len(stored.numbers), "feature")
        return f"has {length}, but `num_features` in the metadata is {num_features}"
    return np.require(stored.numbers, None, "A")


def _whole_counts(counts: Array | str, metadata: Metadata, vector: str, where: str) -> NDArray[np.int64]:
    if isinstance(counts, str):
        msg = f"{where} {counts}."
        raise DataError(msg)
    prompts = f"num_{vector.partition('_')[0]}_prompts"
    n: int = getattr(metadata, prompts)
    if counts.dtype == np.bool_:
        msg = (
            f"{where} holds booleans, but expected on how many of {plural(n, 'prompt')} each feature is active. "
            "Count them with (a > 0).sum(0), not with .any(0)."
        )
        raise DataError(msg)
    expected = f"Expected whole numbers from 0 to {n} (`{prompts}`)."
    if not (counts.min() >= 0 and counts.max() <= n):
        refuse(~np.isfinite(counts), counts, where, "is NaN or infinite", expected)
        refuse(counts < 0, counts, where, "is negative", expected)
        refuse(counts > n, counts, where, "is above the number of prompts", expected)
    if counts.dtype.kind == "f":
        refuse(counts % 1 != 0, counts, where, "is not a whole number", expected)
    return _read_only(counts.astype(np.int64, copy=False))


def _metric(numbers: Array) -> Array:
    """Return numbers as they are shown: NaN where they are not finite or beyond 2^53."""
    array: Array = numbers.astype(np.float32) if numbers.dtype == np.float16 else numbers
    if not (array.min() >= -LARGEST and array.max() <= LARGEST):
        within = (array >= -LARGEST) & (array <= LARGEST)
        array = np.where(within, array, np.nan).astype(array.dtype if array.dtype.kind == "f" else np.float64)
    return _read_only(array if array.dtype.kind == "f" else array.astype(np.int64, copy=False))


def _read_only(array: Array) -> Array:
    array.setflags(write=False)
    return array


def _rounding_of(dtype: str) -> float:
    return next((error for start, error in _ROUNDING.items() if dtype.startswith(start)), 0.0)


def _blanks(arrays: Mapping[str, Mapping[str, Array]], metadata: Metadata, name: str) -> list[str]:
    """Say where vectors are blank."""
    found: dict[str, list[str]] = {}
    for token_type, vectors in arrays.items():
        for vector, array in vectors.items():
            if array.dtype.kind == "f" and np.isnan(array.sum()):  # no other number is infinite
                count = f"{np.isnan(array).sum()} of {len(array)}"
                found.setdefault(vector, []).append(f"{count} at {quoted(token_type)}")
    return [_blank(vector, places, metadata, name) for vector, places in found.items()]


def _blank(vector: str, places: list[str], metadata: Metadata, name: str) -> str:
    prompts = vector.partition("_")[0]
    is_std_of_one = vector.endswith("_std") and getattr(metadata, f"num_{prompts}_prompts") == 1
    why = " A standard deviation needs two prompts, and there is one." if is_std_of_one else ""
    more = f" and {len(places) - 3} more token types" if len(places) > 3 else ""
    return (
        f"`{name}`: {quoted(vector)} is NaN, infinite or beyond 2^53 at these features: "
        f"{', '.join(places[:3])}{more}. It is blank there.{why}"
    )


def _leave_out(
    arrays: Mapping[str, dict[str, Array]], faults: Mapping[str, Sequence[str]], name: str
) -> dict[str, str]:
    """Take vectors out that not every token type has, and say why."""
    left_out = {}
    for vector in _in_order((*arrays.values(), faults)):
        if said := faults.get(vector):
            more = f" (so at {len(said)} token types)" if len(said) > 1 else ""
            left_out[vector] = f"{said[0]}{more}. {_instead(vector)}"
        elif lacks := [token_type for token_type, vectors in arrays.items() if vector not in vectors]:
            has = next(token_type for token_type, vectors in arrays.items() if vector in vectors)
            left_out[vector] = (
                f"`{name}`: token type {quoted(lacks[0])} has no {quoted(vector)}, but token type {quoted(has)} has. "
                f"{_instead(vector)}"
            )
        else:
            continue
        for vectors in arrays.values():
            vectors.pop(vector, None)
    return left_out


def _instead(vector: str) -> str:
    is_share = vector in ("target_sparsity", "control_sparsity")
    return "It is left out: num_active / n is shown." if is_share else "It is left out."


def _add_shares(arrays: Mapping[str, dict[str, Array]], metadata: Metadata) -> None:
    """Give every token type the shares of prompts, which counts alone say, where the file has none."""
    for vectors in arrays.values():
        for prompts, n in (("target", metadata.num_target_prompts), ("control", metadata.num_control_prompts)):
            if f"{prompts}_sparsity" not in vectors:
                vectors[f"{prompts}_sparsity"] = _read_only(vectors[f"{prompts}_num_active"] / n)


def _in_order(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    """List the keys of mappings, each once, in the order in which they come."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
