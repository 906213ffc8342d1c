"""Tiny sources in the documented format, every cell different where features are active."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch

TOKEN_TYPES = ("model", "newline")
NUM_FEATURES = 8
NUM_PROMPTS = {"base": {"target": 8, "control": 7}, "chat": {"target": 9, "control": 6}}

# Per feature: in both, base only, base only but inconsistent, chat only, chat only but inconsistent, neither (active
# on control prompts everywhere), silent everywhere, in both on every prompt.
COUNTS = {
    "base": {"target": [3, 2, 4, 0, 5, 6, 0, 8], "control": [0, 0, 0, 0, 2, 1, 0, 0]},
    "chat": {"target": [5, 0, 6, 7, 4, 3, 0, 9], "control": [0, 0, 3, 0, 0, 2, 0, 0]},
}


def num_active(model, prompts, token_type_index=0, num_features=NUM_FEATURES):
    """Counts of one vector: COUNTS repeated to the length, and rolled by one feature per token type."""
    return np.roll(np.resize(COUNTS[model][prompts], num_features), token_type_index)


def std_and_max(means, counts, n):
    """What features have that are active on some of n prompts, on each a bit stronger than on the one before."""
    found = np.zeros((2, len(means)))
    for feature in np.flatnonzero(counts):
        acts = 1 + np.arange(counts[feature]) / 16
        acts *= means[feature] * n / acts.sum()
        variance = ((acts**2).sum() - n * means[feature] ** 2) / max(n - 1, 1)
        found[:, feature] = np.sqrt(max(variance, 0)), acts.max()
    return found


def model_vectors(model, token_type_index=0, num_features=NUM_FEATURES, num_prompts=None):
    """The ten tensors of one token type; active cells are all different, silent cells are 0."""
    vectors = {}
    for set_index, prompts in enumerate(("target", "control")):
        counts = num_active(model, prompts, token_type_index, num_features)
        block = 1 + 100 * (("base", "chat").index(model) + 2 * set_index + 4 * token_type_index)
        means = np.where(counts > 0, block + np.arange(num_features) / num_features, 0)
        stds, largest = std_and_max(means, counts, (num_prompts or NUM_PROMPTS[model])[prompts])
        for stat, cells in (("all_mean", means), ("all_std", stds), ("max", largest)):
            vectors[f"{prompts}_{stat}"] = torch.tensor(cells, dtype=torch.float32)
        vectors[f"{prompts}_num_active"] = torch.tensor(counts, dtype=torch.int64)
        share = counts / NUM_PROMPTS[model][prompts]
        vectors[f"{prompts}_sparsity"] = torch.tensor(share, dtype=torch.float32)
    return vectors


def model_data(model, token_types=TOKEN_TYPES, num_features=NUM_FEATURES, **metadata):
    """What one file holds; keywords change fields of the metadata, and None takes a field out."""
    fields = {
        "source": f"gemma_trainer131k-l0-114_layer20_{model}",
        "model_type": "gemma",
        "model_ver": model,
        "sae_layer": 20,
        "sae_trainer": "131k-l0-114",
        "num_target_prompts": NUM_PROMPTS[model]["target"],
        "num_control_prompts": NUM_PROMPTS[model]["control"],
        "num_features": num_features,
        "token_types": list(token_types),
    } | metadata
    sizes = {prompts: fields[f"num_{prompts}_prompts"] for prompts in ("target", "control")}
    sizes = sizes if all(type(n) is int and n > 0 for n in sizes.values()) else None
    data = {name: model_vectors(model, index, num_features, sizes) for index, name in enumerate(token_types)}
    return data | {"metadata": {field: value for field, value in fields.items() if value is not None}}


def make_source(folder, *, token_types=TOKEN_TYPES, num_features=NUM_FEATURES, base=None, chat=None, **metadata):
    """Write base.pt and chat.pt into the folder and return it; `base` and `chat` replace what a file holds."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for model, data in (("base", base), ("chat", chat)):
        whole = model_data(model, token_types, num_features, **metadata) if data is None else data
        torch.save(whole, folder / f"{model}.pt")
    return folder


def activation_rows(study, shift=0):
    """Activations that fire as often as the files say: in base on the first prompts, in chat on those after `shift`."""
    rows = []
    for model, part in (("base", study.results.base), ("chat", study.results.chat)):
        for token_type, vectors in part.vectors.items():
            for prompts in ("target", "control"):
                n = part.metadata.num_prompts(prompts)
                for feature_id, count in enumerate(vectors[f"{prompts}_num_active"]):
                    start = shift if model == "chat" else 0
                    rows += [
                        (model, prompts, token_type, (start + i) % n, feature_id, 1 + i + feature_id / 10)
                        for i in range(count)
                    ]
    return pd.DataFrame(rows, columns=["model", "prompt_set", "token_type", "prompt_id", "feature_id", "activation"])


def make_prompts(folder, text="What is {}?"):
    """Write prompts.parquet with the text of every prompt."""
    rows = [(prompts, i, text.replace("{}", f"{prompts} {i}")) for prompts in ("target", "control") for i in range(9)]
    path = Path(folder) / "prompts.parquet"
    pd.DataFrame(rows, columns=["prompt_set", "prompt_id", "content"]).to_parquet(path)
    return path


def make_explanations(path, rows=(("0", "the first feature"), ("2", "commas, and more"), ("3", ""))):
    """Write an explanation file of (feature_id, claude_desc) and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'{feature_id},https://example.org/{feature_id},"{text}"' for feature_id, text in rows]
    path.write_text("\n".join(["feature_id,link,claude_desc", *lines, ""]), encoding="utf-8")
    return path


@contextlib.contextmanager
def as_nobody():
    """Root may read and write everything: be somebody else meanwhile."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
