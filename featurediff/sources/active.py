"""
`activations.parquet` and `prompts.parquet`, read once and sorted by feature.

Whoever asks for one feature gets its prompts in a millisecond, also of 20 million activations, and the tests get base
and chat on the same prompts. An activation takes 12 bytes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.labels import PROMPTS, SIDES, Prompts, Side
from featurediff.sources.metadata import MAX_TOKEN_TYPES
from featurediff.sources.parquet import check_missing, count_missing, read_batches, read_parquet, refusing_parquet
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

_WORDS = ("model", "prompt_set", "token_type")
_NUMBERS = ("prompt_id", "feature_id", "activation")
_CHOICES = {"model": SIDES, "prompt_set": PROMPTS}


class Cells(NamedTuple):
    """The activations of one model on one prompt set at one position; all others are 0. Sorted by feature, prompt."""

    feature: NDArray[np.integer]
    """Feature id of each; shape (active,)."""

    prompt: NDArray[np.integer]
    """For each activation, the index of its prompt in `Active.ids`; shape (active,)."""

    activation: NDArray[np.floating]
    """Shape (active,)."""


@dataclass(frozen=True, eq=False)
class Active:
    """Which feature was how active on which prompt."""

    cells: Mapping[tuple[str, Side, Prompts], Cells]
    """Token type, model and prompt set → activations."""

    ids: Mapping[Prompts, NDArray[np.int64]]
    """The ids of prompts on which anything is active, ascending; shape (prompts,)."""

    texts: pd.DataFrame | None
    """`prompt_set`, `prompt_id`, `content` and, where there is one, `group` of every prompt; None without texts."""

    contents: Mapping[Prompts, pd.Series]
    """The text of each prompt by its id; empty without texts."""

    def of_feature(
        self, feature_id: int, token_type: str, side: Side, prompts: Prompts
    ) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
        """Return on which prompts a feature is active, as indices in `ids` that ascend, and how active it is there."""
        cells = self.cells.get((token_type, side, prompts))
        if cells is None:
            return np.empty(0, np.intp), np.empty(0)
        wanted = cells.feature.dtype.type(feature_id)  # of another type, all would be converted
        here = slice(*(np.searchsorted(cells.feature, wanted, end) for end in ("left", "right")))
        return cells.prompt[here].astype(np.intp), cells.activation[here]

    def texts_of(self, prompts: Prompts, ids: NDArray[np.int64]) -> pd.Series:
        """Return the texts of prompts, missing where they are not known."""
        known = self.contents.get(prompts)
        if known is None:
            return pd.Series(np.nan, range(len(ids)), dtype="str")
        return known.reindex(ids).astype("str").reset_index(drop=True)


def read_active(path: Path, prompts_path: Path | None) -> Active:
    """
    Read both files.

    Parameters
    ----------
    path, prompts_path : Path
        `activations.parquet` and `prompts.parquet`; the second may be None.

    Raises
    ------
    DataError
        If a file cannot be read, lacks a column, names another model or prompt set than there are, or says a prompt's
        text twice.
    """
    names, groups, columns = _read_rows(path)
    texts = _read_texts(prompts_path)
    order = np.argsort(groups, kind="stable")  # of 16 bits, so that it takes no time
    ends = np.searchsorted(groups[order], np.arange(len(names) + 1))
    places = [order[start:stop] for start, stop in pairwise(ends)]
    ids, cells = {}, {}
    for prompts in PROMPTS:
        parts = [columns["prompt_id"][at] for at, name in zip(places, names, strict=True) if name[2] == prompts]
        ids[prompts] = np.unique(np.concatenate([*map(np.unique, parts), np.empty(0, np.int64)])).astype(np.int64)
    for at, name in zip(places, names, strict=True):
        cells[name] = _sorted(at, columns, ids[name[2]])
    contents = {}
    if texts is not None:
        for prompts in PROMPTS:
            contents[prompts] = texts[(texts["prompt_set"] == prompts).to_numpy()].set_index("prompt_id")["content"]
    return Active(cells, ids, texts, contents)


def _sorted(at: NDArray[np.intp], columns: Mapping[str, NDArray[Any]], ids: NDArray[np.int64]) -> Cells:
    """Return the activations of some rows, by feature and prompt."""
    feature = columns["feature_id"][at]
    prompt = np.searchsorted(ids, columns["prompt_id"][at]).astype(np.int32)
    if feature.dtype == np.int32:
        order = np.argsort(feature.astype(np.int64) * (len(ids) + 1) + prompt)
    else:
        order = np.lexsort([prompt, feature])
    return Cells(feature[order], prompt[order], columns["activation"][at[order]])


def _read_rows(
    path: Path,
) -> tuple[list[tuple[str, Side, Prompts]], NDArray[np.int16], dict[str, NDArray[Any]]]:
    """
    Read all rows of `activations.parquet`.

    Returns
    -------
    names : list of (token type, model, prompt set)
        Those that occur.
    groups : ndarray of shape (rows,)
        For each row the index of its name.
    columns : dict
        The numbers of all rows.
    """
    codes: dict[tuple[str, ...], int] = {}
    missing: Counter[str] = Counter()
    odd: dict[str, Counter[str]] = {name: Counter() for name in _CHOICES}
    groups: list[NDArray[np.int16]] = []
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _NUMBERS}
    for batch in read_batches(path, (*_WORDS, *_NUMBERS)):
        with refusing_parquet(path):
            for name in batch.schema.names:
                missing[name] += count_missing(batch[name], name)
            if missing.total():
                continue  # only counted from here on
            for name, choices in _CHOICES.items():
                for value in batch[name].value_counts():
                    if (word := value["values"].as_py()) not in choices:
                        odd[name][word] += value["counts"].as_py()
            groups.append(_group(batch, codes, path.name))
            for name in _NUMBERS:
                parts[name].append(_narrow(batch[name].to_numpy(zero_copy_only=False)))
    for name in (*_WORDS, *_NUMBERS):
        check_missing(path, name, missing[name])
    for name, words in odd.items():
        if words:
            first = next(iter(words))
            expected = listed(_CHOICES[name])
            msg = f"`{path.name}`: `{name}` is {quoted(first)} in {words.total()} rows, but expected {expected}."
            raise DataError(msg)
    named = cast("list[tuple[str, Side, Prompts]]", [(word[2], word[0], word[1]) for word in codes])
    return named, np.concatenate(groups), {name: np.concatenate(some) for name, some in parts.items()}


def _group(batch: pa.RecordBatch, codes: dict[tuple[str, ...], int], name: str) -> NDArray[np.int16]:
    """Return for each row the number of its model, prompt set and token type; new ones get the next number."""
    words = [column.dictionary.to_pylist() for column in map(batch.column, _WORDS)]
    sizes = [max(1, len(some)) for some in words]
    if max(sizes) > MAX_TOKEN_TYPES:
        msg = f"`{name}` has more than {MAX_TOKEN_TYPES} token types, models or prompt sets."
        raise DataError(msg)
    packed = np.ravel_multi_index([batch[column].indices.to_numpy().astype(np.int64) for column in _WORDS], sizes)
    found, inverse = np.unique(packed, return_inverse=True)
    numbers = [
        codes.setdefault(tuple(word[i] for word, i in zip(words, at, strict=True)), len(codes))
        for at in zip(*np.unravel_index(found, sizes), strict=True)
    ]
    if len(codes) > len(SIDES) * len(PROMPTS) * MAX_TOKEN_TYPES:
        msg = f"`{name}` has more than {MAX_TOKEN_TYPES} token types, models or prompt sets."
        raise DataError(msg)
    return np.array(numbers, dtype=np.int16)[inverse]


def _narrow(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers with 32 bits where these hold them; others, and fractions, as they are."""
    if numbers.dtype.kind == "f":
        return numbers
    bounds = np.iinfo(np.int32)
    fits = not len(numbers) or (numbers.min() >= bounds.min and numbers.max() <= bounds.max)
    return numbers.astype(np.int32 if fits else np.int64)


def _read_texts(path: Path | None) -> pd.DataFrame | None:
    """Return `prompt_set`, `prompt_id`, `content` and, where there is one, `group` of every prompt."""
    if path is None:
        return None
    texts = read_parquet(path, ("prompt_set", "prompt_id", "content"), optional=("group",))
    if texts.duplicated(["prompt_set", "prompt_id"]).any():
        msg = f"`{path.name}` has two texts of one prompt. Expected one."
        raise DataError(msg)
    return texts
