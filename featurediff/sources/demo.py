"""Synthetic sources: distributed as real runs are, with planted features, so that a reader knows what is true."""

from __future__ import annotations

import io
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.files import write_together, write_whole
from featurediff.labels import PROMPTS, SIDES, Prompts, Side
from featurediff.sources.results import SYNTHETIC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Vectors = dict[str, NDArray[np.generic]]

Key = tuple[Side, Prompts]

TOKEN_TYPES = ("model", "newline")
MODEL, TRAINER, LAYER, PROMPT_SET = "demo", "16k", 12, "synthetic_40"
MOST_LAYERS = 7
PROMPT_SETS = {PROMPT_SET: 1.0, "related_40": 0.7, "distant_40": 0.2}
"""Each prompt set, and the share of features that behave as in the first one; planted features always do."""

PLANTED_EACH = 6
"""Planted features of each category and token type."""

_PLANTED = "Planted: "
_ACTIVE = 0.026
_THINNING = 0.15
"""The share of active features that is lost with each step away from the middle layer."""

_STEP = 4
_EXCLUSIVE = 0.8
"""Share of the background's active features that are exclusive; the others fire on control prompts as well."""

_CATEGORIES = ("both", "base", "base + chat control", "chat", "chat + base control")
_SHARES = (0.004, 0.14, 0.003, 0.84, 0.013)
"""How the background's exclusive features fall into categories; close to a published run."""

_TAILS = {"model": 7, "newline": 12}
"""
A feature that fires on more than one prompt fires on about num_prompts divided by this number; on a third of that where
it is exclusive in base.
"""

_SAID = {
    "both": "exclusive in both models",
    "base": "exclusive in base",
    "base + chat control": "exclusive in base, but active on control prompts in chat",
    "chat": "exclusive in chat",
    "chat + base control": "exclusive in chat, but active on control prompts in base",
}

_SUBJECTS = "names of places|dates|numbered lists|names of people|quoted speech|file names|units|closing brackets|verbs"
_CONTEXTS = (
    "news articles|program code|recipes|letters|legal text|forum posts|abstracts|fiction|tables|dialogue|headlines"
)


@dataclass(frozen=True)
class Demo:
    """The two files of the demo and what its features mean, as bytes."""

    base: bytes
    """`base.pt`."""

    chat: bytes
    """`chat.pt`."""

    explanations: bytes
    """CSV with `feature_id` and `explanation`; planted features begin with "Planted:"."""

    layer: int = LAYER
    """Of the SAE."""

    prompt_set: str = PROMPT_SET
    """One of `PROMPT_SETS`."""

    def write(self, out: Path) -> Path:
        """Write a results tree below `out` and return the source's folder."""
        folder = folder_of(out, self.layer, self.prompt_set)
        write_together(folder, {"base.pt": self.base, "chat.pt": self.chat})
        write_whole(out / "explanations" / f"{folder.parent.name}.csv", self.explanations)
        return folder


def folder_of(out: Path, layer: int, prompt_set: str) -> Path:
    """Return the folder that a source of the demo has in a results tree below `out`."""
    return out / "results" / f"{MODEL}_trainer{TRAINER}_layer{layer}" / prompt_set


def is_planted(explanations: pd.Series) -> pd.Series:
    """Tell which of the demo's features were planted, by their explanations; shape (rows,), bool."""
    return explanations.str.startswith(_PLANTED, na=False).astype(bool)


def plan(layers: int) -> list[tuple[int, str]]:
    """
    Return layer and prompt set of each source of `make_demos`.

    Raises
    ------
    DataError
        If there are too many layers or none.
    """
    if not 1 <= layers <= MOST_LAYERS:
        msg = f"The demo has 1 to {MOST_LAYERS} layers, but {layers} were asked for."
        raise DataError(msg)
    steps = range(-(layers // 2), layers - layers // 2)
    return [
        (LAYER + _STEP * step, prompt_set)
        for step in steps
        for prompt_set in (PROMPT_SETS if step == 0 and layers > 1 else [PROMPT_SET])
    ]


def make_demos(layers: int, num_features: int = 16_384, num_prompts: int = 40, seed: int = 0) -> Iterator[Demo]:
    """
    Make sources to compare: several layers, and at the middle one every prompt set.

    Parameters
    ----------
    layers : int
        How many, from 1 to `MOST_LAYERS`; a single one has a single prompt set.
    num_features, num_prompts, seed : int
        See `make_demo`.

    Yields
    ------
    Demo
        One for each source. Fewer features are active the farther a layer is from the middle one.

    Raises
    ------
    DataError
        If there are too many layers or none, or `make_demo` refuses the other numbers.
    """
    for layer, prompt_set in plan(layers):
        yield make_demo(num_features, num_prompts, seed, layer, prompt_set)


def make_demo(
    num_features: int = 16_384,
    num_prompts: int = 40,
    seed: int = 0,
    layer: int = LAYER,
    prompt_set: str = PROMPT_SET,
) -> Demo:
    """
    Make the demo.

    Some 3 % of all features are active. Of those that are exclusive, most are silent in one model and half fire on a
    single prompt; activations have a floor of about 3, as a JumpReLU SAE's do, and grow with the number of prompts.

    Parameters
    ----------
    num_features : int
        Width of the SAE; at least 600.
    num_prompts : int
        Target prompts; control prompts are three fewer, so that the two denominators differ. At least 10.
    seed : int
        Another seed makes other numbers; at least 0.
    layer : int
        Another layer has another SAE, so other planted features.
    prompt_set : str
        One of `PROMPT_SETS`; all have the same planted features.

    Returns
    -------
    Demo
        `PLANTED_EACH` planted features for each of five categories and each token type, silent at the other token type.

    Raises
    ------
    DataError
        If there is no room for the planted features, too few prompts, or a negative seed.
    """
    if num_features < 600 or num_prompts < 10:
        msg = (
            "The demo needs at least 600 features and 10 prompts to plant its features, "
            f"but {num_features} features and {num_prompts} prompts were asked for."
        )
        raise DataError(msg)
    if seed < 0:
        msg = f"The demo's seed must be 0 or more, but is {seed}."
        raise DataError(msg)
    sizes = {"target": num_prompts, "control": num_prompts - 3}
    active = int(_ACTIVE * num_features * (1 - _THINNING * abs(layer - LAYER) / _STEP))
    rng = np.random.default_rng(seed if layer == LAYER else (seed, layer))
    content, texts, explanations = _draw(rng, num_features, active, sizes)
    if prompt_set != PROMPT_SET:
        rng = np.random.default_rng((seed, layer, list(PROMPT_SETS).index(prompt_set)))
        other, planted, _ = _draw(rng, num_features, active, sizes)
        is_alike = rng.random(num_features) < PROMPT_SETS[prompt_set]
        is_alike[[*texts, *planted]] = True
        for side, token_type, name in ((v, t, n) for v in SIDES for t in TOKEN_TYPES for n in content[v][t]):
            vectors = content[side][token_type]
            vectors[name] = np.where(is_alike, vectors[name], other[side][token_type][name])
    pair_id = _identify(content)
    base, chat = (_pack(content[side], side, num_features, sizes, seed, layer, pair_id) for side in SIDES)
    return Demo(base, chat, explanations, layer, prompt_set)


def _draw(
    rng: np.random.Generator, num_features: int, active: int, sizes: dict[str, int]
) -> tuple[dict[Side, dict[str, Vectors]], dict[int, str], bytes]:
    """Return the vectors by side and token type, the planted features with their texts, and all explanations."""
    content: dict[Side, dict[str, Vectors]] = {side: {} for side in SIDES}
    texts: dict[int, str] = {}
    each = PLANTED_EACH * len(_CATEGORIES)
    *plots, free = np.split(rng.permutation(num_features), each * np.arange(1, 1 + len(TOKEN_TYPES)))
    for token_type, planted in zip(TOKEN_TYPES, plots, strict=True):
        counts = _background(rng, num_features, rng.choice(free, active, replace=False), sizes, _TAILS[token_type])
        texts |= _plant(rng, planted, token_type, counts, sizes)
        for side in SIDES:
            content[side][token_type] = {
                name: vector
                for prompts in PROMPTS
                for name, vector in _statistics(rng, counts[side, prompts], sizes[prompts], prompts).items()
            }
    described = rng.choice(free, size=int(0.8 * len(free)), replace=False)
    return content, texts, _explain(rng, described, texts)


def _background(
    rng: np.random.Generator, num_features: int, active: NDArray[np.int64], sizes: dict[str, int], tail: int
) -> dict[Key, NDArray[np.int64]]:
    """Return how many prompts each feature fires on, by (side, prompts): only `active` features do."""
    counts: dict[Key, NDArray[np.int64]] = {
        (v, p): np.zeros(num_features, dtype=np.int64) for v in SIDES for p in PROMPTS
    }
    exclusive, shared = np.split(active, [int(_EXCLUSIVE * len(active))])
    for (_, prompts), of_set in counts.items():
        of_set[shared] = rng.integers(1 if prompts == "control" else 0, sizes[prompts] + 1, len(shared))
    category = rng.choice(len(_CATEGORIES), size=len(exclusive), p=_SHARES)
    for index, name in enumerate(_CATEGORIES):
        ids = exclusive[category == index]
        mean = sizes["target"] / (3 * tail if name.startswith("base") else tail)
        _set_category(rng, ids, name, _few(rng, len(ids), sizes["target"], mean), counts, sizes)
    return counts


def _few(rng: np.random.Generator, size: int, most: int, mean: float) -> NDArray[np.int64]:
    """Return numbers of prompts: nearly half of them 1, the others with a long tail."""
    tail = 1 + np.floor(rng.exponential(mean, size)).astype(np.int64)
    return np.where(rng.random(size) < 0.4, 1, np.minimum(tail, most))


def _set_category(
    rng: np.random.Generator,
    ids: NDArray[np.int64],
    category: str,
    target: NDArray[np.int64],
    counts: dict[Key, NDArray[np.int64]],
    sizes: dict[str, int],
) -> None:
    """Set the counts of features so that they fall into a category."""
    own, _, other = category.partition(" + ")
    for side in SIDES:
        for prompts in PROMPTS:
            counts[side, prompts][ids] = 0
    for side in SIDES:
        if own == side:
            counts[side, "target"][ids] = target
        if own == "both":
            fewer = rng.integers(1, target + 1) if side == "base" else target
            counts[side, "target"][ids] = fewer
        if other.startswith(side):
            counts[side, "control"][ids] = rng.integers(1, 1 + sizes["control"] // 3, len(ids))
            counts[side, "target"][ids] = np.maximum(0, rng.integers(-6, 4, len(ids)))


def _plant(
    rng: np.random.Generator,
    planted: NDArray[np.int64],
    token_type: str,
    counts: dict[Key, NDArray[np.int64]],
    sizes: dict[str, int],
) -> dict[int, str]:
    """Give the planted features their counts, and return what each one's explanation says of it."""
    texts = {}
    for category, ids in zip(_CATEGORIES, np.split(planted, len(_CATEGORIES)), strict=True):
        strong = rng.integers(sizes["target"] // 3, sizes["target"] + 1, len(ids))
        _set_category(rng, ids, category, strong, counts, sizes)
        for i in ids.tolist():
            said = ", ".join(
                f"{side} {prompts} {counts[side, prompts][i]} of {sizes[prompts]}"
                for side in SIDES
                for prompts in PROMPTS
            )
            texts[i] = f"{_PLANTED}{_SAID[category]} at {token_type}. Fires on {said}."
    return texts


def _statistics(
    rng: np.random.Generator, active: NDArray[np.int64], n: int, prompts: str
) -> dict[str, NDArray[np.generic]]:
    """Return the vectors of one prompt set; mean over all n prompts, zeros included, std unbiased."""
    some = np.maximum(active, 1)
    level = 3.2 + rng.gamma(1.4, 0.5, len(active)) * (1 + 2 * active / n)
    within = np.where(active > 1, level * rng.uniform(0.05, 0.25, len(active)), 0)
    mean = active * level / n
    squares = active * level**2 + (active - 1).clip(0) * within**2
    peak = np.where(active > 0, level + within * np.sqrt(2 * np.log(some)), 0)
    return {
        f"{prompts}_all_mean": mean.astype(np.float32),
        f"{prompts}_all_std": np.sqrt((squares - n * mean**2).clip(0) / (n - 1)).astype(np.float32),
        f"{prompts}_max": peak.astype(np.float32),
        f"{prompts}_num_active": active,
        f"{prompts}_sparsity": (active / n).astype(np.float32),
    }


def _identify(content: dict[Side, dict[str, Vectors]]) -> str:
    """Return an id of both models' numbers together."""
    digest = sha256()
    for side in SIDES:
        for vectors in content[side].values():
            for vector in vectors.values():
                digest.update(vector.tobytes())
    return digest.hexdigest()[:16]


def _pack(
    content: dict[str, Vectors],
    side: str,
    num_features: int,
    sizes: dict[str, int],
    seed: int,
    layer: int,
    pair_id: str,
) -> bytes:
    """Return what `torch.save` writes."""
    import torch

    metadata = {
        "source": f"{SYNTHETIC} demo, seed {seed}, {side}",
        "model_type": MODEL,
        "model_ver": side,
        "sae_layer": layer,
        "sae_trainer": TRAINER,
        "hook_name": f"blocks.{layer}.hook_resid_post",
        "num_target_prompts": sizes["target"],
        "num_control_prompts": sizes["control"],
        "num_features": num_features,
        "token_types": list(content),
        "pair_id": pair_id,
    }
    tensors = {
        token_type: {name: torch.from_numpy(vector) for name, vector in vectors.items()}
        for token_type, vectors in content.items()
    }
    file = io.BytesIO()
    torch.save({**tensors, "metadata": metadata}, file)
    return file.getvalue()


def _explain(rng: np.random.Generator, ids: NDArray[np.int64], texts: dict[int, str]) -> bytes:
    """Return the explanations as CSV: made-up ones for the background, in order of ids."""
    subjects, contexts = (rng.choice(words.split("|"), len(ids)) for words in (_SUBJECTS, _CONTEXTS))
    made_up = pd.Series(subjects).str.capitalize() + " in " + pd.Series(contexts) + " (synthetic, not planted)."
    both = pd.concat([pd.Series(made_up.array, index=ids), pd.Series(texts)]).sort_index()
    text: str = both.rename("explanation").rename_axis("feature_id").to_csv(lineterminator="\n")
    return text.encode()
