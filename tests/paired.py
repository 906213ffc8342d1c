"""Sources of which it is known which feature was how active on which prompt."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from builders import TOKEN_TYPES, model_data
from hypothesis import strategies as st
from tables import make_model

from featurediff.labels import PROMPTS, SIDES
from featurediff.sources.pairs import PairedCells, Pairs, PairsAt
from featurediff.sources.results import Results

STRENGTHS = np.array([0, 0, 0.25, 0.5, 1, 1.75, 3])


@st.composite
def sources(draw, *, most=5, may_group=True):
    """Activations at two positions, and perhaps groups in one set or in both."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = {prompts: draw(st.integers(2, most)) for prompts in PROMPTS}
    width = draw(st.integers(1, 6))
    cells = {
        token_type: {
            side: {p: rng.choice(STRENGTHS, (n, width)) * rng.integers(0, 2, width) for p, n in sizes.items()}
            for side in SIDES
        }
        for token_type in ("model", "newline")
    }
    groups = {p: draw_groups(draw, n) if may_group and draw(st.booleans()) else None for p, n in sizes.items()}
    return cells, groups


def draw_groups(draw, n):
    """Numbers from 0 without a gap, fewer than there are prompts; None where that cannot be."""
    found = np.unique(draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n)), return_inverse=True)[1]
    return found if found.max() + 1 < n else None


def from_activations(cells, groups=None):
    """
    Results, and the pairs behind them.

    `cells` maps token type → version → prompt set → activations, shape (prompts, features); `groups` maps a prompt set
    to the group of each prompt, as whole numbers from 0.
    """
    models, sizes = [], {}
    for side in SIDES:
        vectors = {}
        for token_type, of_versions in cells.items():
            vectors[token_type] = {}
            for prompts in PROMPTS:
                values = np.asarray(of_versions[side][prompts], dtype=np.float64)
                sizes[prompts] = len(values)
                active = (values != 0).sum(axis=0)
                vectors[token_type] |= {
                    f"{prompts}_num_active": active,
                    f"{prompts}_sparsity": active / len(values),
                    f"{prompts}_all_mean": values.mean(axis=0),
                    f"{prompts}_all_std": values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(active)),
                }
        models.append(make_model(side, vectors, (sizes["target"], sizes["control"])))
    positions = {}
    for token_type, of_versions in cells.items():
        whole = {(v, p): np.asarray(of_versions[v][p], dtype=np.float64) for v in SIDES for p in PROMPTS}
        features = np.flatnonzero(np.logical_or.reduce([(values != 0).any(axis=0) for values in whole.values()]))
        listed = {}
        for key, values in whole.items():
            feature, prompt = np.nonzero(values[:, features].T)
            listed[key] = PairedCells(prompt, feature, values[prompt, features[feature]])
        positions[token_type] = PairsAt(features, listed, sizes)
    known = {
        prompts: None if groups is None or groups[prompts] is None else np.array(groups[prompts]) for prompts in PROMPTS
    }
    return Results(*models), Pairs(positions, known, None)


def make_paired(folder, seed=0, *, sizes=None, texts="prompt {}", **metadata):
    """Write a source with activations and prompts, each cell at random; chat is stronger on the first features."""
    rng, folder = np.random.default_rng(seed), Path(folder)
    sizes = sizes or {"target": 9, "control": 8}
    folder.mkdir(parents=True, exist_ok=True)
    rows, width = [], 24
    for side in SIDES:
        data = {}
        for token_type in TOKEN_TYPES:
            data[token_type] = {}
            for prompts, n in sizes.items():
                values = rng.choice(STRENGTHS, (n, width)) * (rng.random((n, width)) < 0.5)
                if (side, prompts) == ("chat", "target"):
                    values[:, :6] += 2
                if prompts == "control":
                    values[:, 12:] = 0
                data[token_type] |= {
                    f"{prompts}_num_active": torch.tensor((values != 0).sum(axis=0)),
                    f"{prompts}_all_mean": torch.tensor(values.mean(axis=0), dtype=torch.float32),
                    f"{prompts}_all_std": torch.tensor(values.std(axis=0, ddof=1), dtype=torch.float32),
                    f"{prompts}_sparsity": torch.tensor((values != 0).mean(axis=0), dtype=torch.float32),
                }
                for prompt, feature in zip(*np.nonzero(values), strict=True):
                    rows.append((side, prompts, token_type, prompt, feature, values[prompt, feature]))
        fields = {f"num_{prompts}_prompts": n for prompts, n in sizes.items()} | metadata
        make = model_data(side, TOKEN_TYPES, width, **fields)["metadata"]
        torch.save({**data, "metadata": make}, folder / f"{side}.pt")
    names = ["model", "prompt_set", "token_type", "prompt_id", "feature_id", "activation"]
    frame = pd.DataFrame(rows, columns=names).astype({"prompt_id": "int32", "feature_id": "int32"})
    frame.to_parquet(folder / "activations.parquet", index=False)
    listed = [(prompts, i, texts.format(f"{prompts} {i}")) for prompts, n in sizes.items() for i in range(n)]
    written = pd.DataFrame(listed, columns=["prompt_set", "prompt_id", "content"]).assign(seed=seed)
    written.to_parquet(folder / "prompts.parquet", index=False)
    return folder


def write_source(folder, cells, groups=None, *, with_activations=True):
    """Write the two files of activations as in `from_activations`, and the activations and groups beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    results, _ = from_activations(cells)
    rows = []
    for side in SIDES:
        model = results.of(side)
        metadata = {name: value for name, value in asdict(model.metadata).items() if value is not None}
        metadata["token_types"] = list(model.metadata.token_types)
        tensors = {
            token_type: {name: torch.tensor(cells) for name, cells in vectors.items()}
            for token_type, vectors in model.vectors.items()
        }
        torch.save(tensors | {"metadata": metadata}, folder / f"{side}.pt")
        for token_type, of_sides in cells.items():
            for prompts, values in of_sides[side].items():
                rows += [
                    (side, prompts, token_type, int(i), int(feature), float(values[i][feature]))
                    for i, feature in zip(*np.nonzero(values), strict=True)
                ]
    names = ["model", "prompt_set", "token_type", "prompt_id", "feature_id", "activation"]
    if with_activations:
        pd.DataFrame(rows, columns=names).to_parquet(folder / "activations.parquet")
    if groups:
        texts = [
            (prompts, i, f"prompt {i}", f"{prompts} {g}") for prompts in PROMPTS for i, g in enumerate(groups[prompts])
        ]
        columns = ["prompt_set", "prompt_id", "content", "group"]
        pd.DataFrame(texts, columns=columns).to_parquet(folder / "prompts.parquet")
    return folder
