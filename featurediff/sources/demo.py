"""Synthetic sources: distributed as real runs are, with planted features, so that a reader knows what is true."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from featurediff.errors import DataError
from featurediff.files import write_together, write_whole
from featurediff.labels import SIDES, Side
from featurediff.sources.demo_features import TOKEN_TYPES, draw_features
from featurediff.sources.pt_write import write_plain
from featurediff.sources.results import SYNTHETIC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from featurediff.sources.demo_features import Vectors

MODEL, TRAINER, LAYER, PROMPT_SET = "demo", "16k", 12, "synthetic_40"
MOST_LAYERS = 7
PROMPT_SETS = {PROMPT_SET: 1.0, "related_40": 0.7, "distant_40": 0.2}
"""Each prompt set, and the share of features that behave as in the first one; planted features always do."""

_ACTIVE = 0.026
"""Share of all features that are active at the middle layer, besides the planted ones."""

_STEP = 4
"""Layers from one source to the next."""

_THINNING = 0.15
"""The share of active features that is lost with each step away from the middle layer."""


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
    content, texts, explanations = draw_features(rng, num_features, active, sizes)
    if prompt_set != PROMPT_SET:
        rng = np.random.default_rng((seed, layer, list(PROMPT_SETS).index(prompt_set)))
        other, planted, _ = draw_features(rng, num_features, active, sizes)
        is_alike = rng.random(num_features) < PROMPT_SETS[prompt_set]
        is_alike[[*texts, *planted]] = True
        for side, token_type, name in ((v, t, n) for v in SIDES for t in TOKEN_TYPES for n in content[v][t]):
            vectors = content[side][token_type]
            vectors[name] = np.where(is_alike, vectors[name], other[side][token_type][name])
    pair_id = _identify(content)
    base, chat = (_pack(content[side], side, num_features, sizes, seed, layer, pair_id) for side in SIDES)
    return Demo(base, chat, explanations, layer, prompt_set)


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
    """Return a file as `torch.save` writes it."""
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
    return write_plain({**content, "metadata": metadata})
