"""The features of the demo: on how many prompts each one fires in which model, which are planted, what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.labels import PROMPTS, SIDES, Prompts, Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = dict[str, NDArray[np.generic]]

Key = tuple[Side, Prompts]

TOKEN_TYPES = ("model", "newline")
PLANTED_EACH = 6
"""Planted features of each category and token type."""

_PLANTED = "Planted: "
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


def draw_features(
    rng: np.random.Generator, num_features: int, active: int, sizes: dict[str, int]
) -> tuple[dict[Side, dict[str, Vectors]], dict[int, str], bytes]:
    """
    Draw every feature of a source of the demo.

    Parameters
    ----------
    rng : Generator
        Where all numbers are drawn from.
    num_features : int
        Width of the SAE.
    active : int
        How many of the features that are not planted fire at each token type.
    sizes : dict
        Prompt set → number of prompts.

    Returns
    -------
    content : dict
        Side → token type → name → vector of shape (num_features,), as the result files have them.
    texts : dict
        Planted feature → its explanation.
    explanations : bytes
        CSV with `feature_id` and `explanation`, of the planted features and of most others.
    """
    content: dict[Side, dict[str, Vectors]] = {side: {} for side in SIDES}
    texts: dict[int, str] = {}
    each = PLANTED_EACH * len(_CATEGORIES)
    *plots, free = np.split(rng.permutation(num_features), each * np.arange(1, 1 + len(TOKEN_TYPES)))
    for token_type, planted in zip(TOKEN_TYPES, plots, strict=True):
        counts = draw_counts(rng, num_features, rng.choice(free, active, replace=False), sizes, _TAILS[token_type])
        texts |= _plant(rng, planted, token_type, counts, sizes)
        for side in SIDES:
            content[side][token_type] = {
                name: vector
                for prompts in PROMPTS
                for name, vector in make_statistics(rng, counts[side, prompts], sizes[prompts], prompts).items()
            }
    described = rng.choice(free, size=int(0.8 * len(free)), replace=False)
    return content, texts, _explain(rng, described, texts)


def draw_counts(
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


def make_statistics(
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


def _explain(rng: np.random.Generator, ids: NDArray[np.int64], texts: dict[int, str]) -> bytes:
    """Return the explanations as CSV: made-up ones for the background, in order of ids."""
    subjects, contexts = (rng.choice(words.split("|"), len(ids)) for words in (_SUBJECTS, _CONTEXTS))
    made_up = pd.Series(subjects).str.capitalize() + " in " + pd.Series(contexts) + " (synthetic, not planted)."
    both = pd.concat([pd.Series(made_up.array, index=ids), pd.Series(texts)]).sort_index()
    text: str = both.rename("explanation").rename_axis("feature_id").to_csv(lineterminator="\n")
    return text.encode()


def is_planted(explanations: pd.Series) -> pd.Series:
    """Tell which of the demo's features were planted, by their explanations; shape (rows,), bool."""
    return explanations.str.startswith(_PLANTED, na=False).astype(bool)
