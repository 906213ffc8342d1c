"""Results and feature tables of any size, made in memory."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from featurediff.labels import EXCLUSIVITIES, PROMPTS, SIDES
from featurediff.sources.metadata import Metadata
from featurediff.sources.results import ModelResults, Results

SHARES = {"target": "target_sparsity", "control": "control_sparsity"}


def make_model(side, vectors, prompts):
    """One model's statistics; `vectors` maps token type and name to numbers, `prompts` is (target, control)."""
    arrays = {
        token_type: {
            name: np.asarray(cells, dtype=np.int64 if name.endswith("_num_active") else np.float32)
            for name, cells in named.items()
        }
        for token_type, named in vectors.items()
    }
    width = len(next(iter(next(iter(arrays.values())).values())))
    metadata = Metadata(
        source="toy",
        model_type="gemma",
        model_ver=side,
        sae_layer=20,
        sae_trainer="131k-l0-114",
        num_target_prompts=prompts[0],
        num_control_prompts=prompts[1],
        num_features=width,
        token_types=tuple(arrays),
        sae_release=None,
        sae_id=None,
        neuronpedia_id=None,
    )
    return ModelResults(f"{side}.pt", side, metadata, arrays)


def make_results(counts, prompts):
    """
    Results whose vectors are counts and shares.

    `counts` maps token type → version → prompt set → counts, `prompts` maps version → (target, control).
    """
    models = []
    for side in SIDES:
        vectors = {}
        for token_type, of_versions in counts.items():
            of_sets = dict(zip(PROMPTS, (of_versions[side][p] for p in PROMPTS), strict=True))
            vectors[token_type] = {f"{p}_num_active": cells for p, cells in of_sets.items()} | {
                SHARES[p]: np.array(cells) / n for (p, cells), n in zip(of_sets.items(), prompts[side], strict=True)
            }
        models.append(make_model(side, vectors, prompts[side]))
    return Results(*models)


def make_table(base, chat, *, metric="target_all_mean", silent=None, seed=0, token_types=("model", "newline")):
    """
    A feature table with one metric and what places need.

    `silent` maps version → where no prompt is active; left out, where the value is 0.
    """
    rng = np.random.default_rng(seed)
    n = len(base)
    prompts = metric.partition("_")[0]
    columns = {}
    for side, cells in (("base", base), ("chat", chat)):
        none = np.asarray(cells) == 0 if silent is None else silent[side]
        columns[f"{side}_{metric}"] = np.asarray(cells)
        columns[f"{side}_{prompts}_num_active"] = np.where(none, 0, rng.integers(1, 9, n))
    return pd.DataFrame(
        {
            "feature_id": rng.permutation(n).astype(np.int32),
            "token_type": pd.Categorical.from_codes(rng.integers(0, len(token_types), n), categories=token_types),
            "exclusivity": pd.Categorical.from_codes(rng.integers(0, 3, n), categories=EXCLUSIVITIES),
            "inconsistent": rng.random(n) < 0.3,
            **columns,
        }
    )


def check_golden(name, text):
    """Compare with a file of tests/golden, or write it where FEATUREDIFF_WRITE_GOLDEN is set."""
    path = Path(__file__).parent / "golden" / name
    if os.environ.get("FEATUREDIFF_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    assert path.read_text(encoding="utf-8") == text


def untested(table):
    """A feature table as it is where nothing is tested."""
    names = ("all_mean_change", "all_mean_specific", "sparsity_change", "sparsity_specific")
    numbers = {f"{name}{end}": np.nan for name in names for end in ("", "_low", "_high", "_p", "_q")}
    nothing = pd.Categorical([None] * len(table), categories=pd.Index([], dtype="str"))
    return table.assign(**numbers, **{f"{name}_test": nothing for name in names})
