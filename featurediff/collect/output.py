"""Encoded shards → a source folder: `base.pt`, `chat.pt`, `activations.parquet`, `prompts.parquet`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
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
    from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True, eq=False)
class Summary:
    """What is written of one model and prompt set."""

    statistics: list[Statistics]
    """Of each position."""

    fit: Fit | None
    """How well the SAE reads the model; None where that is not known."""

    means: Means | None
    """What the model does on average; None where that is not known either."""


def write_files(
    folder: Path,
    workshop: Workshop,
    shards: Sequence[Shard],
    shape: Shape,
    decoder: Decoder | None,
    metadata: Mapping[Side, dict[str, Any]],
) -> None:
    """
    Write the two result files, the activations and the difference, one shard in memory at a time.

    Parameters
    ----------
    folder : Path
        An empty folder.
    workshop : Workshop
        Where every shard is.
    shards : sequence of Shard
        In the order in which they are merged, which is the same whatever the order they were encoded in.
    shape : Shape
        Positions and features.
    decoder : Decoder or None
        Of the SAE; None where how well it reads the models is not said.
    metadata : mapping
        Of each model's result file.
    """
    import torch

    path = folder / "activations.parquet"
    found: dict[tuple[Side, Prompts], Summary] = {}
    with (
        pq.ParquetWriter(path, ACTIVATIONS, compression="zstd", use_dictionary=_REPEATED) as writer,
        ThreadPoolExecutor(1) as pool,
    ):
        write = partial(pool.submit, writer.write_table)
        for side, prompts in product(SIDES, PROMPTS):
            of_set = [shard for shard in shards if (shard.side, shard.prompts) == (side, prompts)]
            found[side, prompts] = _summarise(of_set, workshop, shape, write)
    differs = _write_difference(folder / "difference.parquet", found, decoder, shape) if decoder else {}
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
            said["pool_tokens"] = _count_tokens([shard for shard in shards if shard.side == side], shape)
        torch.save({**content, "metadata": {**metadata[side], **said}}, folder / f"{side}.pt")


def _summarise(
    shards: Sequence[Shard], workshop: Workshop, shape: Shape, write: Callable[[pa.Table], Future[None]]
) -> Summary:
    """Merge the shards of one model and prompt set, and write their rows meanwhile."""
    merged: list[Statistics] = []
    fits: list[Fit] = []
    sums = np.zeros((len(shape.token_types), shape.num_features))
    for shard in shards:
        encoded = Encoded.from_table(workshop.read(shard), len(shape.token_types))
        written = write(_named(encoded.active, shard, shape.token_types))
        parts = _statistics(encoded.active, len(shard.chats), shape)
        merged = [reduce(add, pair) for pair in zip(merged, parts, strict=True)] if merged else parts
        if encoded.fit:
            fits.append(encoded.fit)
            sums += _sums_in_units(encoded.active, parts)
        written.result()
    if not fits:
        return Summary(merged, None, None)
    fit, count = Fit.merge(fits), sum(len(shard.chats) for shard in shards)
    return Summary(merged, fit, Means(fit.levels / count, sums / count))


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
    path: Path, found: Mapping[tuple[Side, Prompts], Summary], decoder: Decoder, shape: Shape
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
