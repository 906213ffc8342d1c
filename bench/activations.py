"""A source with millions of activations beside its statistics, as a benchmark's tree has it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sources import LAYER, Size

from featurediff.labels import PROMPTS, SIDES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from featurediff.labels import Prompts, Side

PROMPTS_EACH = 1_000
ACTIVE = 2_500
"""Features that are drawn for a prompt at a position in one model; some are drawn twice."""

TOKEN_TYPES = ("model", "newline")
_WORD = pa.dictionary(pa.int8(), pa.string())
_SCHEMA = pa.schema(
    [
        *((name, _WORD) for name in ("model", "prompt_set", "token_type")),
        ("prompt_id", pa.int32()),
        ("feature_id", pa.int32()),
        ("activation", pa.float32()),
    ]
)


def add_activations(tree: Path, size: Size, prompts: int = PROMPTS_EACH) -> str:
    """Write a source of the same width into a results tree, unless it is there, and return its name in the URL."""
    name = f"clicked_trainer{size.features}_layer{LAYER}/{prompts}_prompts"
    folder = tree / "results" / name
    if not folder.exists():
        part = tree / ".part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _write(part, size.features, prompts)
        folder.parent.mkdir(parents=True, exist_ok=True)
        part.rename(folder)
    return name


def _write(folder: Path, width: int, prompts: int) -> None:
    import torch

    rng = np.random.default_rng(0)
    with pq.ParquetWriter(folder / "activations.parquet", _SCHEMA, compression="zstd") as writer:
        for side in SIDES:
            content = {token_type: _draw(rng, writer, width, prompts, (side, token_type)) for token_type in TOKEN_TYPES}
            metadata = {
                "source": "bench, with activations",
                "model_type": "clicked",
                "model_ver": side,
                "sae_layer": LAYER,
                "sae_trainer": str(width),
                "num_target_prompts": prompts,
                "num_control_prompts": prompts,
                "num_features": width,
                "token_types": list(TOKEN_TYPES),
            }
            torch.save({**content, "metadata": metadata}, folder / f"{side}.pt")


def _draw(
    rng: np.random.Generator, writer: pq.ParquetWriter, width: int, prompts: int, at: tuple[Side, str]
) -> dict[str, object]:
    """Write the activations of a model at a position, a hundred prompts at a time, and return its vectors."""
    import torch

    vectors: dict[str, NDArray[np.generic]] = {}
    for of in PROMPTS:
        counts, sums = np.zeros(width, np.int64), np.zeros(width)
        for first in range(0, prompts, 100):
            drawn = [np.unique((width * rng.random(ACTIVE) ** 1.5).astype(np.int32)) for _ in range(100)]
            feature = np.concatenate(drawn)
            prompt = np.repeat(np.arange(first, first + 100, dtype=np.int32), [len(each) for each in drawn])
            activation = (3 + rng.exponential(1, len(feature))).astype(np.float32)
            counts += np.bincount(feature, minlength=width)
            sums += np.bincount(feature, activation, width)
            writer.write_table(_rows(at, of, prompt, feature, activation))
        vectors |= {
            f"{of}_num_active": counts,
            f"{of}_all_mean": (sums / prompts).astype(np.float32),
            f"{of}_sparsity": (counts / prompts).astype(np.float32),
        }
    return {name: torch.from_numpy(vector) for name, vector in vectors.items()}


def _rows(
    at: tuple[Side, str],
    of: Prompts,
    prompt: NDArray[np.int32],
    feature: NDArray[np.int32],
    activation: NDArray[np.float32],
) -> pa.Table:
    zeros = np.zeros(len(feature), np.int8)
    words = [pa.DictionaryArray.from_arrays(zeros, [word]) for word in (at[0], of, at[1])]
    return pa.table([*words, prompt, feature, activation], schema=_SCHEMA)
