"""Encoded shards → a source folder: `base.pt`, `chat.pt`, `activations.parquet`, `prompts.parquet`."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import product
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurediff.collect.difference import Means, compare
from featurediff.collect.fit import Fit
from featurediff.collect.shards import Encoded
from featurediff.collect.statistics import Statistics
from featurediff.labels import PROMPTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    from featurediff.collect.decoder import Decoder
    from featurediff.collect.shape import Shape
    from featurediff.collect.shards import Shard, Workshop
    from featurediff.labels import Prompts, Side

_WORD = pa.dictionary(pa.int8(), pa.string())

ACTIVATIONS = pa.schema(
    [
        ("model", _WORD),
        ("prompt_set", _WORD),
        ("token_type", _WORD),
        ("prompt_id", pa.int32()),
        ("feature_id", pa.int32()),
        ("activation", pa.float32()),
    ]
)
"""`activations.parquet`: a row for each feature that is active on a prompt; "base" or "chat", "target" or "control"."""

_REPEATED = ["model", "prompt_set", "token_type", "prompt_id"]


class _Merged:
    """What is known of one model and prompt set, from the shards so far."""

    def __init__(self) -> None:
        self.statistics: list[Statistics] = []
        """Of each position."""
        self.fit: Fit | None = None
        """How well the SAE reads the model; None where that is not known."""
        self._sums: NDArray[np.float64] | None = None
        self._count = 0

    def add(self, encoded: Encoded, count: int, shape: Shape) -> None:
        """Merge a shard of so many prompts."""
        parts, old = _statistics(encoded.active, count, shape), self.statistics
        self.statistics = [reduce(add, pair) for pair in zip(old, parts, strict=True)] if old else parts
        self._count += count
        if encoded.fit:
            self.fit = self.fit + encoded.fit if self.fit else encoded.fit
            sums = _sums_in_units(encoded.active, parts)
            self._sums = sums if self._sums is None else self._sums + sums

    @property
    def means(self) -> Means | None:
        """What the model does on average; None where that is not known either."""
        if self.fit is None or self._sums is None:
            return None
        return Means(self.fit.levels / self._count, self._sums / self._count)


class SourceWriter:
    """
    Writes a source's result files, activations and difference; each shard as soon as it is its turn.

    A shard is merged while a GPU is at the next one. Its activations are written in a thread, its statistics are not:
    Python's lock would keep the thread that feeds the GPU waiting. Shards are merged in one order, whatever the order
    in which they are done, and two at most are in memory.

    Parameters
    ----------
    folder : Path
        An empty folder.
    workshop : Workshop
        Where every shard is once it is done.
    shards : sequence of Shard
        In the order in which they are merged.
    shape : Shape
        Positions and features.
    """

    def __init__(self, folder: Path, workshop: Workshop, shards: Sequence[Shard], shape: Shape) -> None:
        self._folder, self._workshop, self._shape = folder, workshop, shape
        self._shards = shards
        self._next = 0
        self._done: set[str] = set()
        self._found: dict[tuple[Side, Prompts], _Merged] = {key: _Merged() for key in product(SIDES, PROMPTS)}
        self._thread = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None
        self._activations = pq.ParquetWriter(
            folder / "activations.parquet", ACTIVATIONS, compression="zstd", use_dictionary=_REPEATED
        )

    def __enter__(self) -> SourceWriter:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the thread and the file, also where they are not done."""
        self._thread.shutdown()
        with contextlib.suppress(OSError):  # where it matters, `finish` has closed it
            self._activations.close()

    def add(self, shard: Shard) -> None:
        """Take a shard that is done, at any time."""
        self._done.add(shard.name)
        while self._next < len(self._shards) and self._shards[self._next].name in self._done:
            self._merge(self._shards[self._next])
            self._next += 1

    def _merge(self, shard: Shard) -> None:
        encoded = Encoded.from_table(self._workshop.read(shard), len(self._shape.token_types))
        self._wait()
        named = _named(encoded.active, shard, self._shape.token_types)
        self._written = self._thread.submit(self._activations.write_table, named)
        self._found[shard.side, shard.prompts].add(encoded, len(shard.chats), self._shape)

    def _wait(self) -> None:
        """Wait until the shard before is written."""
        if self._written:
            self._written.result()

    def finish(self, decoder: Decoder | None, metadata: Mapping[Side, dict[str, Any]]) -> None:
        """
        Write the rest, once every shard was added.

        Parameters
        ----------
        decoder : Decoder or None
            Of the SAE; None where how well it reads the models is not said.
        metadata : mapping
            Of each model's result file.
        """
        import torch

        self._wait()
        self._activations.close()
        shape, found = self._shape, self._found
        differs = _write_difference(self._folder / "difference.parquet", found, decoder, shape) if decoder else {}
        for side in SIDES:
            content: dict[str, dict[str, Any]] = {token_type: {} for token_type in shape.token_types}
            fits: dict[str, dict[str, Any]] = {token_type: {} for token_type in shape.token_types}
            for prompts in PROMPTS:
                for token_type, statistics in zip(shape.token_types, found[side, prompts].statistics, strict=True):
                    for name, vector in statistics.vectors(prompts).items():
                        content[token_type][name] = torch.from_numpy(vector)
                if fit := found[side, prompts].fit:
                    for token_type, of_type in zip(shape.token_types, fit.describe(), strict=True):
                        fits[token_type][prompts] = of_type
            said: dict[str, Any] = {"fit": fits, **differs} if decoder else {}
            if any(how != "no" for how in shape.pooled):
                said["pool_tokens"] = _count_tokens([shard for shard in self._shards if shard.side == side], shape)
            torch.save({**content, "metadata": {**metadata[side], **said}}, self._folder / f"{side}.pt")


def _sums_in_units(active: pa.Table, statistics: Sequence[Statistics]) -> NDArray[np.float64]:
    """Return the sum of each feature's activations in the residual's units; shape (token types, features)."""
    sums = np.array([of_type.mean * of_type.count for of_type in statistics])
    if "in_units" not in active.column_names:
        return sums
    token_types, features, values = (active[name].to_numpy() for name in ("token_type", "feature_id", "in_units"))
    at = token_types * np.int64(sums.shape[1]) + features
    return np.bincount(at, values, sums.size).astype(np.float64).reshape(sums.shape)


def _count_tokens(shards: Sequence[Shard], shape: Shape) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean number of tokens per prompt of each pool and prompt set."""
    said: dict[str, dict[str, dict[str, float]]] = {}
    for index, (token_type, how) in enumerate(zip(shape.token_types, shape.pooled, strict=True)):
        if how != "no":
            said[token_type] = {}
            for prompts in PROMPTS:
                counts = [shard.chats.counts[:, index] for shard in shards if shard.prompts == prompts]
                said[token_type][prompts] = {"mean": float(np.concatenate(counts).mean())}
    return said


def _write_difference(
    path: Path, found: Mapping[tuple[Side, Prompts], _Merged], decoder: Decoder, shape: Shape
) -> dict[str, Any]:
    """Write each feature's share of what differs between the models, and return what the metadata say of it."""
    said: dict[str, dict[str, Any]] = {token_type: {} for token_type in shape.token_types}
    tables = []
    for prompts in PROMPTS:
        base, chat = (found[side, prompts].means for side in SIDES)
        if base and chat:
            of_set, table = compare(base, chat, decoder, shape, prompts)
            tables.append(table)
            for token_type, of_type in of_set.items():
                said[token_type][prompts] = of_type
    pq.write_table(pa.concat_tables(tables).unify_dictionaries(), path, compression="zstd")
    return {"difference": said}


def _statistics(active: pa.Table, count: int, shape: Shape) -> list[Statistics]:
    """Return the statistics of one shard at each position."""
    token_types, features, activations = (
        active[name].to_numpy() for name in ("token_type", "feature_id", "activation")
    )
    return [
        Statistics.of(features[here], activations[here], count, shape.num_features)
        for here in (token_types == index for index in range(len(shape.token_types)))
    ]


def _named(active: pa.Table, shard: Shard, token_types: Sequence[str]) -> pa.Table:
    """Return a shard as rows of `ACTIVATIONS`."""
    of_type = active["token_type"].combine_chunks()
    words = [
        pa.DictionaryArray.from_arrays(np.zeros(len(active), dtype=np.int8), [shard.side]),
        pa.DictionaryArray.from_arrays(np.zeros(len(active), dtype=np.int8), [shard.prompts]),
        pa.DictionaryArray.from_arrays(of_type, list(token_types)),
    ]
    return pa.table([*words, active["prompt_id"], active["feature_id"], active["activation"]], schema=ACTIVATIONS)
