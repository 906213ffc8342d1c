"""Encoded shards → a source folder: `base.pt`, `chat.pt`, `activations.parquet`, `prompts.parquet`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurediff.collect.statistics import Statistics
from featurediff.labels import PROMPTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from featurediff.collect.chat import Chats
    from featurediff.collect.prompts import PromptFile
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

PROMPT_TEXTS = pa.schema(
    [("prompt_set", pa.string()), ("prompt_id", pa.int32()), ("content", pa.string()), ("label", pa.string())]
)
"""`prompts.parquet`: a row for each prompt that was run; `label` is missing where the prompt file has none."""


class Shape(NamedTuple):
    """The size of what is written."""

    token_types: tuple[str, ...]
    """Names of the positions."""

    num_features: int
    """Width of the SAE."""


def write_files(
    folder: Path, workshop: Workshop, shards: Sequence[Shard], shape: Shape, metadata: Mapping[Side, dict[str, Any]]
) -> None:
    """
    Write the two result files and the activations, one shard in memory at a time.

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
    metadata : mapping
        Of each model's result file.
    """
    import torch

    path = folder / "activations.parquet"
    with (
        pq.ParquetWriter(path, ACTIVATIONS, compression="zstd", use_dictionary=_REPEATED) as writer,
        ThreadPoolExecutor(1) as pool,
    ):
        for side in SIDES:
            content: dict[str, dict[str, Any]] = {token_type: {} for token_type in shape.token_types}
            for prompts in PROMPTS:
                merged: list[Statistics] = []
                for shard in shards:
                    if (shard.side, shard.prompts) == (side, prompts):
                        active = workshop.read(shard)
                        written = pool.submit(writer.write_table, _named(active, shard, shape.token_types))
                        parts = _statistics(active, len(shard.chats), shape)
                        merged = [reduce(add, pair) for pair in zip(merged, parts, strict=True)] if merged else parts
                        written.result()
                for token_type, statistics in zip(shape.token_types, merged, strict=True):
                    for name, vector in statistics.vectors(prompts).items():
                        content[token_type][name] = torch.from_numpy(vector)
            torch.save({**content, "metadata": metadata[side]}, folder / f"{side}.pt")


def write_prompts(path: Path, files: Mapping[Prompts, PromptFile], chats: Mapping[Prompts, Chats]) -> None:
    """Write the texts of the prompts that were run."""
    rows: list[dict[str, Any]] = []
    for of in PROMPTS:
        texts = {prompt.prompt_id: prompt for prompt in files[of].prompts}
        of_set = [texts[prompt_id] for prompt_id in chats[of].prompt_ids.tolist()]
        rows += [{"prompt_set": of, "prompt_id": p.prompt_id, "content": p.content, "label": p.label} for p in of_set]
    pq.write_table(pa.Table.from_pylist(rows, schema=PROMPT_TEXTS), path)


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
