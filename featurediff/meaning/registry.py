"""The SAELens registry: the Neuronpedia id of an SAE, by its names there or by what a folder calls it."""

from __future__ import annotations

import csv
import importlib.resources
import re
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from featurediff.wording import quoted

# How names other than Gemma Scope's say a width.
_WIDTHS = {"8x": "32k", "32x": "131k", "2pow12": "4k", "2pow14": "16k", "2pow16": "65k"}
_SITES = {
    "r": "res",
    "resid": "res",
    "resid-post": "res",
    "a": "att",
    "attn": "att",
    "m": "mlp",
    "transcoders": "transcoder",
}
_WORDS = {
    "res": "residual stream",
    "att": "attention",
    "mlp": "MLP",
    "transcoder": "transcoder",
    "canonical": "canonical L0",
}

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


def find(pattern: str, text: str) -> str | None:
    """Return the first group of the first match, or None."""
    match = re.search(pattern, text)
    return match[1] if match else None


def facts_of_name(release: str, sae_id: str) -> Facts:
    """Read what an SAE's names in the SAELens registry say of it."""
    width = find(r"width_([0-9]+[km])", sae_id)
    other = find(r"_(8x|32x)$", sae_id) or find(r"width-(2pow[0-9]+)", release)
    l0 = find(r"(?:_l0_|/(?=canonical))(\w+)$", sae_id)
    return {
        "layer": find(r"(?:layer_|blocks\.|^l)([0-9]+)", sae_id),
        "width": width or (_WIDTHS[other] if other else None),
        "L0": l0.replace("_", "-") if l0 else None,
        "trainer": find(r"_trainer_([0-9]+)", sae_id),
    }


def facts_of_page(neuronpedia_id: str) -> Facts:
    """Read what a Neuronpedia id, `modelId/layer-sourceSet`, says of its SAE."""
    model, _, source = neuronpedia_id.partition("/")
    return {
        "model": model,
        "site": find(r"-(res|att|mlp|transcoder)(?=-|$)", source),
        "layer": find(r"^([0-9]+)-", source) or "none",
        "width": find(r"-([0-9]+[km])(?=__|$)", source),
        "L0": find(r"__l0-([0-9]+)", source),
        "trainer": find(r"__trainer_([0-9]+)", source),
    }


def contradictions(facts: Facts, others: Facts) -> list[tuple[str, str, str]]:
    """List the facts on which two names disagree, with what the one and the other says."""
    both = [(fact, value, others.get(fact)) for fact, value in facts.items()]
    return [(fact, value, other) for fact, value, other in both if value and other and value != other]


# ----------------------------------------------------------------------------
# What folders call SAEs.


class _Naming(NamedTuple):
    """How folders name the SAEs of some families."""

    pattern: re.Pattern[str]
    """Of a whole trainer in lower case with hyphens; its groups are called as in `Facts`."""

    example: str


@dataclass(frozen=True)
class _Family:
    """SAEs that were trained and named alike, on one model."""

    name: str
    """For people."""

    pages: str
    """Model and beginning of the source set on Neuronpedia."""

    models: tuple[str, ...]
    """The model's names in folders; `_plain_model` makes their spellings the same."""

    naming: _Naming


_GEMMA = (
    r"(?:gemma-?scope-(?:2-)?)?(?:layer-(?P<layer>[0-9]{1,4})-)?"
    r"(?:(?P<site>res|resid|resid-post|att|attn|mlp|transcoders?)-)?(?:width-)?(?P<width>[0-9]{1,4}[km])"
)
_GEMMA_SCOPE = _Naming(
    re.compile(_GEMMA + r"(?:-(?:(?:average-)?l0-|(?=canonical))(?P<L0>[0-9]{1,6}|canonical))?"), "131k-l0-114"
)
_GEMMA_SCOPE_2 = _Naming(
    re.compile(_GEMMA + r"(?:-(?:l0-)?(?P<L0>(?:small|medium|big)(?:-affine)?))?"), "16k-l0-medium"
)
_LLAMA = (
    r"(?:llama-?scope-)?"
    r"(?:(?:lx|l(?P<layer>[0-9]{1,4}))?(?P<site>r|res|resid|resid-post|a|att|attn|m|mlp)-)?"
)
_LLAMA_SCOPE = _Naming(re.compile(_LLAMA + r"(?P<width>8x|32x)"), "32x")
_LLAMA_SCOPE_BY_WIDTH = _Naming(re.compile(_LLAMA + r"(?P<width>8x|32x|32k|131k)"), "32x")
_ANDYRDT = _Naming(
    re.compile(r"(?:resid-post-layer-(?P<layer>[0-9]{1,4})-)?(?:trainer-)?(?P<trainer>[0-9]{1,4})"), "trainer_1"
)
_GOODFIRE = _Naming(re.compile(r"(?:goodfire|gf|resid-post-gf)(?:-l(?:ayer-)?(?P<layer>[0-9]{1,4}))?"), "goodfire")

_LLAMAS = ("llama", "llama3.1-8b", "llama3.1-8b-it")
_FAMILIES = (
    # A folder may name the chat model that was read with the base model's SAE: followed where no other SAE is named so.
    _Family("Gemma Scope 2b", "gemma-2-2b/gemmascope", ("gemma-2-2b", "gemma-2-2b-it"), _GEMMA_SCOPE),
    _Family("Gemma Scope 9b", "gemma-2-9b/gemmascope", ("gemma", "gemma-2-9b"), _GEMMA_SCOPE),
    _Family("Gemma Scope 9b-it", "gemma-2-9b-it/gemmascope", ("gemma-2-9b-it",), _GEMMA_SCOPE),
    _Family("Gemma Scope 27b", "gemma-2-27b/gemmascope", ("gemma-2-27b", "gemma-2-27b-it"), _GEMMA_SCOPE),
    *(
        _Family(f"Gemma Scope 2 {size}", f"gemma-3-{size}/gemmascope-2", (f"gemma-3-{size}",), _GEMMA_SCOPE_2)
        for size in ("270m", "270m-it", "1b", "1b-it", "4b", "4b-it", "12b", "27b-it")
    ),
    # SAEs of other makers on the instruct model are 131k wide too, so there a width alone names none.
    _Family("Llama Scope 8B", "llama3.1-8b/llamascope", ("llama", "llama3.1-8b"), _LLAMA_SCOPE_BY_WIDTH),
    _Family("Llama Scope 8B", "llama3.1-8b/llamascope", ("llama3.1-8b-it",), _LLAMA_SCOPE),
    _Family("andyrdt Llama 3.1 8B", "llama3.1-8b-it/resid-post-aa", _LLAMAS, _ANDYRDT),
    _Family("andyrdt Qwen2.5 7B", "qwen2.5-7b-it/resid-post-aa", ("qwen", "qwen2.5-7b", "qwen2.5-7b-it"), _ANDYRDT),
    _Family("andyrdt gpt-oss 20b", "gpt-oss-20b/resid-post-aa", ("gpt-oss-20b",), _ANDYRDT),
    _Family("Goodfire Llama 3.1 8B", "llama3.1-8b-it/resid-post-gf", _LLAMAS, _GOODFIRE),
    _Family("Goodfire Llama 3.3 70B", "llama3.3-70b-it/resid-post-gf", ("llama3.3-70b", "llama3.3-70b-it"), _GOODFIRE),
)
_KNOWN = "Gemma 2 and 3, Llama 3.1 8B and 3.3 70B, Qwen2.5 7B and gpt-oss 20b"


def id_of_folder(model: str | None, trainer: str | None, layer: int | None) -> tuple[str | None, str]:
    """
    Return the Neuronpedia id of the SAE that a folder's name describes.

    Parameters
    ----------
    model, trainer : str or None
        Such as "gemma-2-9b" and "131k-l0-114"; what they leave open is not guessed.
    layer : int or None
        From 0.

    Returns
    -------
    tuple of (str or None, str)
        The id, and a sentence that says which SAE it is; or None, and a sentence that says why.
    """
    if not model:
        return None, "The model is not known."
    families = [family for family in _FAMILIES if _plain_model(model) in map(_plain_model, family.models)]
    if not families:
        return None, f"No Neuronpedia pages are known for the SAEs of model {quoted(model)}, only for {_KNOWN}."
    if not trainer or layer is None:
        return None, f"The {'layer' if trainer else 'trainer'} of the {quoted(model)} SAE is not known."
    plain = re.sub(r"[-_/\s]+", "-", trainer.lower())
    family, match = next(((f, match) for f in families if (match := f.naming.pattern.fullmatch(plain))), (None, None))
    if family is None or match is None:
        examples = " or ".join(f"{family.naming.example} ({family.name})" for family in families)
        return None, f"Trainer {quoted(trainer)} of {quoted(model)} is not understood. Expected one such as {examples}."
    said = match.groupdict("")
    if said.get("layer") and int(said["layer"]) != layer:
        return None, f"Trainer {quoted(trainer)} is of layer {int(said['layer'])}, not of layer {quoted(layer)}."
    site, width = said.get("site") or "res", said.get("width", "")
    said |= {"layer": quoted(layer), "site": _SITES.get(site, site), "width": _WIDTHS.get(width, width)}
    return _id_in_family(family, said, trainer)


@cache
def _saes(family: _Family) -> list[tuple[Sae, Facts]]:
    """Return the SAEs of a family that have a page, and what their names say of them."""
    model, _, source_set = family.pages.partition("/")
    page = re.compile(rf"{re.escape(model)}/[0-9]+-{source_set}(?:-|$)")
    return [(sae, sae.facts) for sae in table().values() if page.match(sae.neuronpedia_id)]


def _id_in_family(family: _Family, said: dict[str, str], trainer: str) -> tuple[str | None, str]:
    """Narrow a family down, fact by fact, until one SAE is left or none."""
    saes, named = _saes(family), family.name
    for fact in ("site", "layer", "width", "L0", "trainer"):
        values = {value for _, facts in saes if (value := facts[fact])}
        if not values:
            continue
        known = _listed([_WORDS.get(value, value) for value in sorted(values, key=_size)])
        value = said.get(fact)
        if not value:
            return None, f"Trainer {quoted(trainer)} does not say which {fact} is meant; {named} has pages for {known}."
        words = _WORDS.get(value, f"{fact} {value}")
        if value not in values:
            return None, f"{named} has no page for {words}, only for {known}."
        saes = [(sae, facts) for sae, facts in saes if facts[fact] == value]
        named = f"{named}, {words}"
    return saes[0][0].neuronpedia_id, f"{named}."


def _plain_model(model: str) -> str:
    """Make the spellings of a model's name the same: google/gemma-2-9b and Gemma-2-9B-pt, -Instruct and -it."""
    name = re.sub(r"[-_\s]", "", re.split(r"/|--|__", model.lower())[-1])
    name = re.sub(r"instruct$", "it", name)
    return re.sub(r"^meta(?=llama)|(?:pt|base)$", "", name)


def _size(value: str) -> tuple[int, str]:
    """Sort 16k before 131k before 1m, and words before numbers."""
    number = find(r"^([0-9]+)", value)
    return (int(number) * (1000 if value.endswith("m") else 1), value) if number else (-1, value)


def _listed(choices: list[str]) -> str:
    """Join at most five choices, and say how many more there are; of numbers in a row, the first and the last."""
    first, more = choices[0], len(choices) - 5
    if more > 0 and first.isdigit() and choices == [str(int(first) + step) for step in range(len(choices))]:
        return f"{first} to {choices[-1]}"
    return ", ".join(choices[:5]) + (f" and {more} more" if more > 0 else "")
