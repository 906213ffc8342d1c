"""
Generated sources at any width, for the benchmarks.

    python bench/sources.py OUT --features 131072 --token-types 2 --prompts 40

Features behave as the demo's background does. A third of them has an explanation of 25 words.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from featurediff.labels import PROMPTS, SIDES
from featurediff.sources import demo_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOKEN_TYPES = ("model", "newline", "asst", "endheader")
LAYER = 20
TAIL = 9
"""See `demo_features._TAILS`."""

EXCLUSIVE = 0.8
"""Share of the active features that only target prompts activate."""

WORDS, PHRASES = 5, 5
"""An explanation is so many phrases of so many words."""

CHUNK = 1 << 19
"""Explanations written at once."""


@dataclass(frozen=True)
class Size:
    """How large a source is."""

    features: int
    """Width of the SAE."""

    token_types: int = 2
    """At most four."""

    prompts: int = 40
    """Target prompts; control prompts are as many."""

    points: int | None = None
    """Kept points, about; by default as many as so many prompts would find."""

    explained: bool = True
    """Whether there are explanations."""

    @property
    def active(self) -> int:
        """Number of features that fire at all at one token type: more prompts find more of them."""
        kept = 0.0343 * (self.prompts / 40) ** 0.24 * self.features
        if self.points is not None:
            kept = self.points / self.token_types
        return int(kept / EXCLUSIVE)

    @property
    def name(self) -> str:
        """Of the folder."""
        few = "" if self.points is None else f"_{self.points}points"
        return f"{self.features}x{self.token_types}x{self.prompts}{few}{'' if self.explained else '_unexplained'}"

    def __str__(self) -> str:
        types = f"{self.token_types} token type{'s' * (self.token_types > 1)}"
        return f"{self.features:,} features, {types}, {self.prompts:,} prompts"


SMALL = Size(131_072)
LARGE = Size(1_048_576, prompts=1_000)
"""The two sizes of the dashboard's promises: about 9,000 and 156,000 points."""


@dataclass(frozen=True)
class Made:
    """A generated source."""

    tree: Path
    """Holds `results/` and `explanations/`."""

    folder: Path
    """Holds `base.pt` and `chat.pt`."""

    explanations: Path
    """CSV with `feature_id` and `claude_desc`; not there when none were asked for."""


def make(size: Size, out: Path | None = None, seed: int = 0) -> Made:
    """
    Write a source, unless it is there already.

    Parameters
    ----------
    size : Size
        How large.
    out : Path, optional
        Where generated sources are kept; by default a folder of the system's temporary files.
    seed : int
        Another seed makes other numbers.
    """
    out = out or Path(tempfile.gettempdir()) / "featurediff-bench"
    tree = out / f"{size.name}_seed{seed}"
    sae = f"bench_trainer{size.features}_layer{LAYER}"
    made = Made(tree, tree / "results" / sae / f"{size.prompts}_prompts", tree / "explanations" / f"{sae}.csv")
    if tree.exists():
        return made
    # In a process of its own: one that a benchmark starts counts the memory of the benchmark as its own at first.
    process = get_context("spawn").Process(target=_write, args=(size, made, seed))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"The source {tree} could not be made.")
    return made


def _write(size: Size, made: Made, seed: int) -> None:
    part = made.tree.with_name(f".{made.tree.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    folder = part / made.folder.relative_to(made.tree)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    _write_models(rng, size, folder)
    if size.explained:
        file = part / made.explanations.relative_to(made.tree)
        file.parent.mkdir()
        _write_explanations(rng, size, file)
    part.rename(made.tree)


def _write_models(rng: np.random.Generator, size: Size, folder: Path) -> None:
    """Write `base.pt` and `chat.pt`; all but the active features are 0 everywhere."""
    import torch

    sizes: dict[str, int] = dict.fromkeys(PROMPTS, size.prompts)
    names = TOKEN_TYPES[: size.token_types]
    ids = {name: np.sort(rng.choice(size.features, size.active, replace=False)) for name in names}
    order = rng.permutation(size.active)
    counts = {name: demo_features.draw_counts(rng, size.active, order, sizes, TAIL) for name in names}
    for side in SIDES:
        content: dict[str, object] = {
            name: {
                vector: torch.from_numpy(_at(ids[name], values, size.features))
                for prompts in PROMPTS
                for vector, values in demo_features.make_statistics(
                    rng, counts[name][side, prompts], size.prompts, prompts
                ).items()
            }
            for name in names
        }
        content["metadata"] = {
            "source": f"bench, {side}",
            "model_type": "bench",
            "model_ver": side,
            "sae_layer": LAYER,
            "sae_trainer": str(size.features),
            "num_target_prompts": size.prompts,
            "num_control_prompts": size.prompts,
            "num_features": size.features,
            "token_types": list(names),
        }
        torch.save(content, folder / f"{side}.pt")


def _at(ids: NDArray[np.int64], values: NDArray[np.generic], width: int) -> NDArray[np.generic]:
    vector = np.zeros(width, values.dtype)
    vector[ids] = values
    return vector


def _write_explanations(rng: np.random.Generator, size: Size, file: Path) -> None:
    """Write texts of made-up words for a third of the features, in order of ids."""
    syllables = np.array([a + b + c for a in "bdfgklmnprstv" for b in "aeiou" for c in ("", "", "n", "r", "st")])
    words = np.char.add(rng.choice(syllables, 3000), rng.choice([*syllables, ""], 3000))
    pools = []
    for _ in range(PHRASES):
        phrases = np.char.add(rng.choice(words, 2000), "")
        for _ in range(WORDS - 1):
            phrases = np.char.add(np.char.add(phrases, " "), rng.choice(words, 2000))
        pools.append(pa.array(phrases.astype(object)))
    ids = np.sort(rng.choice(size.features, size.features // 3, replace=False))
    schema = pa.schema({"feature_id": pa.int64(), "claude_desc": pa.string()})
    with pyarrow.csv.CSVWriter(file, schema) as writer:
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            chosen = [pool.take(pa.array(rng.integers(0, len(pool), len(some)))) for pool in pools]
            writer.write_batch(
                pa.record_batch([pa.array(some), pc.binary_join_element_wise(*chosen, " ")], schema=schema)
            )


def main() -> None:
    """Write a source and print its folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--features", type=int, default=SMALL.features)
    parser.add_argument("--token-types", type=int, default=SMALL.token_types, choices=range(1, 1 + len(TOKEN_TYPES)))
    parser.add_argument("--prompts", type=int, default=SMALL.prompts)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(make(Size(args.features, args.token_types, args.prompts), args.out, args.seed).folder)


if __name__ == "__main__":
    main()
