"""The SAELens registry: the Neuronpedia id of an SAE by its names there, and what names say of an SAE."""

from __future__ import annotations

import csv
import importlib.resources
import re
from functools import cache
from typing import NamedTuple

WIDTHS = {"8x": "32k", "32x": "131k", "2pow12": "4k", "2pow14": "16k", "2pow16": "65k"}
"""How names other than Gemma Scope's say a width."""

Facts = dict[str, str | None]
"""What a name says of an SAE: its model, site, layer, width, L0 and trainer; None or absent where it says nothing."""


class Sae(NamedTuple):
    """One row of the shipped table: a name in the SAELens registry and its Neuronpedia id."""

    release: str
    sae_id: str
    layer: int
    width: str
    l0: int | None
    neuronpedia_id: str

    @property
    def facts(self) -> Facts:
        """What the SAE's names and its page's id say of it; where they differ, the names count."""
        own = facts_of_name(self.release, self.sae_id)
        return facts_of_page(self.neuronpedia_id) | {fact: value for fact, value in own.items() if value}


@cache
def table() -> dict[tuple[str, str], Sae]:
    """Read the shipped table, by release and SAE id."""
    text = importlib.resources.files("featurediff.meaning").joinpath("neuronpedia.tsv").read_text(encoding="utf-8")
    rows = csv.reader(text.splitlines()[2:], delimiter="\t")
    return {
        (release, sae_id): Sae(release, sae_id, int(layer), width, int(l0) if l0 else None, neuronpedia_id)
        for release, sae_id, layer, width, l0, neuronpedia_id in rows
    }


@cache
def _by_page() -> dict[str, list[Sae]]:
    """Return the SAEs of each Neuronpedia id."""
    pages: dict[str, list[Sae]] = {}
    for sae in table().values():
        pages.setdefault(sae.neuronpedia_id, []).append(sae)
    return pages


def saes_of_page(neuronpedia_id: str) -> list[Sae]:
    """Return the SAEs that the registry files under a Neuronpedia id; one may have several names."""
    return _by_page().get(neuronpedia_id, [])


def canonical(neuronpedia_id: str) -> str | None:
    """
    Return the Neuronpedia id that the registry has for the SAE of a given Neuronpedia id.

    SAELens 6.54.12 gives some SAEs a second id, `…__l0-69`, and two SAEs an id of an L0 that no SAE has.

    Returns
    -------
    str or None
        The canonical id of the same weights. It is the given id where that is canonical, and where the registry has no
        SAE of its model, layer and source set. None if the registry has such SAEs, but none with this L0.
    """
    stem, mark, l0 = neuronpedia_id.partition("__l0-")
    filed = {s.neuronpedia_id: s.l0 for s in table().values() if s.neuronpedia_id.partition("__l0-")[0] == stem}
    if not mark or not filed or neuronpedia_id in filed:
        return neuronpedia_id
    return next((known for known, number in filed.items() if str(number) == l0), None)


# ----------------------------------------------------------------------------
# What names say.


def first_group(pattern: str, text: str) -> str | None:
    """Return the first group of the first match, or None."""
    match = re.search(pattern, text)
    return match[1] if match else None


def facts_of_name(release: str, sae_id: str) -> Facts:
    """Read what an SAE's names in the SAELens registry say of it."""
    width = first_group(r"width_([0-9]+[km])", sae_id)
    other = first_group(r"_(8x|32x)$", sae_id) or first_group(r"width-(2pow[0-9]+)", release)
    l0 = first_group(r"(?:_l0_|/(?=canonical))(\w+)$", sae_id)
    return {
        "layer": first_group(r"(?:layer_|blocks\.|^l)([0-9]+)", sae_id),
        "width": width or (WIDTHS[other] if other else None),
        "L0": l0.replace("_", "-") if l0 else None,
        "trainer": first_group(r"_trainer_([0-9]+)", sae_id),
    }


def facts_of_page(neuronpedia_id: str) -> Facts:
    """Read what a Neuronpedia id, `modelId/layer-sourceSet`, says of its SAE."""
    model, _, source = neuronpedia_id.partition("/")
    return {
        "model": model,
        "site": first_group(r"-(res|att|mlp|transcoder)(?:id-(?:pre|mid|post))?(?=[-_]|$)", source),
        "layer": first_group(r"^([0-9]+)-", source) or "none",
        "width": first_group(r"-([0-9]+[km])(?=__|$)", source),
        "L0": first_group(r"__l0-([0-9]+)", source),
        "trainer": first_group(r"__trainer_([0-9]+)", source),
    }


def plain_model(model: str) -> str:
    """Make the spellings of a model's name the same: google/gemma-2-9b and Gemma-2-9B-pt, -Instruct and -it."""
    name = re.sub(r"[-_\s]", "", re.split(r"/|--|__", model.lower())[-1])
    name = re.sub(r"instruct$", "it", name)
    return re.sub(r"^meta(?=llama)|(?:pt|base)$", "", name)


def is_other_model(model: str, other: str) -> bool:
    """Tell whether two names are of different models that the registry knows; an instruct model is its base model."""
    plain = {plain_model(name).removesuffix("it") for name in (model, other)}
    return len(plain) == 2 and plain <= {plain_model(known).removesuffix("it") for known in models()}


@cache
def models() -> set[str]:
    """Return the models of all Neuronpedia ids."""
    return {sae.neuronpedia_id.partition("/")[0] for sae in table().values()}


def width_of_page(neuronpedia_id: str) -> str | None:
    """
    Return how wide the SAE of a Neuronpedia page is, as its names say it.

    Returns
    -------
    str or None
        Such as "131k", or all digits. None where neither the page's id nor the registry says it.
    """
    source = neuronpedia_id.partition("/")[2]
    spelt = first_group(r"[-_]([0-9]+[km])(?=[-_]|$)", source) or first_group(r"_fs([0-9]{4,9})-", source)
    return (
        facts_of_page(neuronpedia_id)["width"]
        or spelt
        or next((sae.width for sae in saes_of_page(neuronpedia_id)), None)
        or None
    )


def is_width(width: str, num_features: int) -> bool:
    """Tell whether an SAE called "16k" or "1m" wide may have so many features: k is 1,000 or 1,024."""
    digits = width.rstrip("km")
    powers = {"k": 1, "m": 2}.get(width[-1], 0)
    return int(digits) in {num_features // base**powers for base in (1000, 1024)}


def nominal_l0(trainer: str, *, release: str | None, sae_id: str | None, page: str | None) -> str | None:
    """
    Return the L0 that the registry gives an SAE, or else one that its names say.

    Parameters
    ----------
    trainer : str
        Such as "131k-l0-114".
    release, sae_id : str or None
        Names in the registry.
    page : str or None
        Its Neuronpedia id.
    """
    known = table().get((release or "", sae_id or ""))
    if known and known.l0 is not None:
        return str(known.l0)
    said = (
        first_group(r"(?i)(?:^|[-_/])l0[-_]?([0-9]{1,6})(?![0-9])", name) for name in (trainer, sae_id, page) if name
    )
    return next((l0 for l0 in said if l0), None)


def disagreements(facts: Facts, others: Facts) -> list[tuple[str, str, str]]:
    """List the facts on which two names disagree, with what the one and the other says."""
    both = [(fact, value, others.get(fact)) for fact, value in facts.items()]
    return [(fact, value, other) for fact, value, other in both if value and other and value != other]
