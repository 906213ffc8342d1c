"""What the folders of a results tree call an SAE, and which SAE of the registry that is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from featurediff.meaning import registry
from featurediff.wording import quoted

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
    """The model's names in folders; `registry.plain_model` makes their spellings the same."""

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
    families = _families_of(model)
    if not families:
        return None, f"No Neuronpedia pages are known for the SAEs of model {quoted(model)}, only for {_KNOWN}."
    if not trainer or layer is None:
        return None, f"The {'layer' if trainer else 'trainer'} of the {quoted(model)} SAE is not known."
    family, said = next(((f, said) for f in families if (said := _read_trainer(f.naming, trainer))), (None, None))
    if family is None or said is None:
        examples = " or ".join(f"{family.naming.example} ({family.name})" for family in families)
        return None, f"Trainer {quoted(trainer)} of {quoted(model)} is not understood. Expected one such as {examples}."
    if said.get("layer") and int(said["layer"]) != layer:
        return None, f"Trainer {quoted(trainer)} is of layer {int(said['layer'])}, not of layer {quoted(layer)}."
    return _id_in_family(family, said | {"layer": quoted(layer)}, trainer)


def readings(model: str | None, trainer: str | None) -> list[registry.Facts]:
    """
    Return what a folder's model and trainer say of its SAE, once for each family of SAEs that may be meant.

    Parameters
    ----------
    model, trainer : str or None
        As in `id_of_folder`.

    Returns
    -------
    list of Facts
        Without the layer; `model` is Neuronpedia's. Of a model that no family is known for, what a trainer such as
        "16k" says by itself. Empty where nothing is understood.
    """
    families = _families_of(model or "")
    understood = [(family, said) for family in families if (said := _read_trainer(family.naming, trainer or ""))]
    if understood or families:
        chosen = understood or [(family, {}) for family in families]
        return [{"model": family.pages.partition("/")[0], **said, "layer": None} for family, said in chosen]
    said = _read_trainer(_GEMMA_SCOPE, trainer or "")
    return [{"width": said["width"]}] if said else []


def models_on_neuronpedia(model: str) -> set[str]:
    """Return what Neuronpedia calls a model that a folder names; empty for one that has no SAEs there."""
    name = registry.plain_model(model)
    same = {found for found in registry.models() if registry.plain_model(found) == name}
    return same | {family.pages.partition("/")[0] for family in _families_of(model)}


def is_model(one: str, other: str) -> bool | None:
    """Tell whether two texts name one model; None where one may be short for the other."""
    if registry.plain_model(one) == registry.plain_model(other):
        return True
    ours, theirs = models_on_neuronpedia(one), models_on_neuronpedia(other)
    if ours and theirs:
        return not ours.isdisjoint(theirs)
    short, long = sorted((registry.plain_model(one), registry.plain_model(other)), key=len)
    return None if short and short in long else False


def _families_of(model: str) -> list[_Family]:
    return [family for family in _FAMILIES if registry.plain_model(model) in map(registry.plain_model, family.models)]


def _read_trainer(naming: _Naming, trainer: str) -> dict[str, str] | None:
    """Return what a trainer says, as `Facts` say it and with "" for what it leaves open; None if not understood."""
    match = naming.pattern.fullmatch(re.sub(r"[-_/\s]+", "-", trainer.lower()))
    if match is None:
        return None
    said = match.groupdict("")
    site, width = said.get("site") or "res", said.get("width", "")
    return said | {"site": _SITES.get(site, site), "width": registry.WIDTHS.get(width, width)}


@cache
def _saes(family: _Family) -> list[tuple[registry.Sae, registry.Facts]]:
    """Return the SAEs of a family that have a page, and what their names say of them."""
    model, _, source_set = family.pages.partition("/")
    page = re.compile(rf"{re.escape(model)}/[0-9]+-{source_set}(?:-|$)")
    return [(sae, sae.facts) for sae in registry.table().values() if page.match(sae.neuronpedia_id)]


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


def _size(value: str) -> tuple[int, str]:
    """Sort 16k before 131k before 1m, and words before numbers."""
    number = registry.first_group(r"^([0-9]+)", value)
    return (int(number) * (1000 if value.endswith("m") else 1), value) if number else (-1, value)


def _listed(choices: list[str]) -> str:
    """Join at most five choices, and say how many more there are; of numbers in a row, the first and the last."""
    first, more = choices[0], len(choices) - 5
    if more > 0 and first.isdigit() and choices == [str(int(first) + step) for step in range(len(choices))]:
        return f"{first} to {choices[-1]}"
    return ", ".join(choices[:5]) + (f" and {more} more" if more > 0 else "")
