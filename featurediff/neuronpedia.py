"""Which Neuronpedia page belongs to an SAE and a feature; no link rather than a wrong one."""

from __future__ import annotations

import csv
import importlib.resources
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from featurediff.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pandas.api.extensions import ExtensionArray

_FIELD = "{feature_id}"
_EXAMPLE = f"https://www.neuronpedia.org/gemma-2-9b/20-gemmascope-res-131k/{_FIELD}"

# Ids that SAELens 6.54.12 gives to SAEs of another L0 or layer, so that files written with it may carry them.
_WRONG_IN_SAELENS = {"gemma-2-9b/20-gemmascope-res-131k__l0-12", "gemma-2-9b/20-gemmascope-res-131k__l0-10"}

_FAMILIES = {
    "gemma": "gemma",
    "gemma-2-9b": "gemma",
    "llama": "llama",
    "llama-3.1-8b": "llama",
    "llama3.1-8b": "llama",
}
"""Model names in folders and metadata, in lower case, and the family of SAEs that each stands for."""


@dataclass(frozen=True)
class Page:
    """The Neuronpedia pages of one SAE, or why it has none."""

    template: str | None
    """URL of a feature's page, with `{feature_id}` where the id goes; None if there is no known page."""

    reason: str
    """How the page was found, or why there is none: one sentence of plain text."""

    def url(self, feature_id: int) -> str | None:
        """Return the page of one feature, or None where there is none."""
        return None if self.template is None else self.template.replace(_FIELD, str(int(feature_id)))

    def urls(self, feature_ids: NDArray[np.int32]) -> ExtensionArray:
        """
        Return the page of each feature.

        Parameters
        ----------
        feature_ids : ndarray of shape (n,), int32

        Returns
        -------
        pandas array of shape (n,), dtype str
            All missing where the SAE has no page. An array and not a Series, so that it is assigned to a frame by
            position, whatever the frame's index.
        """
        if self.template is None:
            return pd.array(np.full(len(feature_ids), None), dtype="str")
        before, _, after = self.template.partition(_FIELD)
        digits = pd.Series(feature_ids).astype("str")
        return (before + digits + after).array


class _Sae(NamedTuple):
    """One row of the shipped table: a name in the SAELens registry and its Neuronpedia id."""

    release: str
    sae_id: str
    layer: int
    width: str
    l0: int | None
    neuronpedia_id: str


@cache
def _registry() -> dict[tuple[str, str], _Sae]:
    """Read the shipped table, by release and SAE id."""
    text = importlib.resources.files("featurediff").joinpath("data/neuronpedia.tsv").read_text(encoding="utf-8")
    rows = csv.reader(text.splitlines()[2:], delimiter="\t")
    return {
        (release, sae_id): _Sae(release, sae_id, int(layer), width, int(l0) if l0 else None, neuronpedia_id)
        for release, sae_id, layer, width, l0, neuronpedia_id in rows
    }


def find_page(
    *,
    model: str | None,
    trainer: str | None,
    layer: int | None,
    neuronpedia_id: str | None = None,
    sae_release: str | None = None,
    sae_id: str | None = None,
    template: str | None = None,
) -> Page:
    """
    Find the Neuronpedia pages of an SAE.

    The first of these that is given decides, also where it gives no page: the user's own template, the metadata's
    Neuronpedia id, its SAELens release and SAE id, and last the model, trainer and layer that folder names carry.
    Only an id that SAELens is known to give by mistake is passed over.

    Parameters
    ----------
    model, trainer : str or None
        As in the folder name: "gemma" is Gemma Scope on gemma-2-9b (residual stream, base model) with trainers such
        as "131k-l0-114"; "llama" is Llama Scope on Llama 3.1 8B (residual stream) with trainers "8x" and "32x".
    layer : int or None
        The SAE's layer, counted from 0. A page of another layer is never returned.
    neuronpedia_id : str or None
        `modelId/sourceId`, such as "gemma-2-9b/20-gemmascope-res-131k".
    sae_release, sae_id : str or None
        Names in the SAELens registry.
    template : str or None
        URL with `{feature_id}` where the id goes; trusted as it is.

    Returns
    -------
    Page
        Without a template where no page is known, and then with the reason.

    Raises
    ------
    DataError
        If `template` is not a URL with `{feature_id}` exactly once.
    """
    if template is not None:
        return Page(_checked_template(template), "The template given by the user.")
    if neuronpedia_id and neuronpedia_id not in _WRONG_IN_SAELENS:
        return _page_of_id(neuronpedia_id, layer)
    if sae_release or sae_id:
        return _page_of_sae(sae_release, sae_id, layer)
    return _page_of_folder(model, trainer, layer)


def _checked_template(template: str) -> str:
    """Return the template, or raise DataError if it cannot be a feature's URL."""
    fault = None
    if template.count(_FIELD) != 1:
        fault = f"holds {_FIELD} {template.count(_FIELD)} times instead of once"
    elif re.search(r"[{}]", template.replace(_FIELD, "")):
        fault = f"holds braces other than {_FIELD}"
    elif re.search(r'[\s\x00-\x1f\x7f"<>\\^`|]', template):
        fault = "holds a character that a URL cannot hold"
    elif not re.match(r"(?i:https?)://[^/?#{]+[/?#]", template):
        fault = "does not start with http:// or https:// and a host"
    if fault:
        msg = f"The Neuronpedia template {template!r} {fault}. Give one like {_EXAMPLE}."
        raise DataError(msg)
    return template


def _linked(neuronpedia_id: str, reason: str) -> Page:
    return Page(f"https://www.neuronpedia.org/{neuronpedia_id}/{_FIELD}", reason)


def _page_of_id(neuronpedia_id: str, layer: int | None) -> Page:
    """Return the page that the metadata names, unless its form or its layer is wrong."""
    match = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*/(0|[1-9][0-9]{0,3})-[A-Za-z0-9][A-Za-z0-9._-]*", neuronpedia_id)
    if match is None:
        return Page(
            None,
            f"The metadata's neuronpedia_id {neuronpedia_id!r} does not have the form "
            "modelId/layer-sourceSet, such as gemma-2-9b/20-gemmascope-res-131k.",
        )
    # One source of gpt2-small is filed under the index after its layer, so the table is asked first.
    layers = {sae.layer for sae in _registry().values() if sae.neuronpedia_id == neuronpedia_id} or {int(match[1])}
    if layer is not None and layer not in layers:
        return Page(None, f"The metadata's neuronpedia_id {neuronpedia_id!r} is not of layer {layer}.")
    return _linked(neuronpedia_id, f"The metadata's neuronpedia_id {neuronpedia_id!r}.")


def _page_of_sae(release: str | None, sae_id: str | None, layer: int | None) -> Page:
    """Return the page of an SAE named as in the SAELens registry."""
    if not release or not sae_id:
        given, missing = ("sae_release", "sae_id") if release else ("sae_id", "sae_release")
        return Page(None, f"The metadata has {given} {release or sae_id!r} but no {missing}, and both are needed.")
    sae = _registry().get((release, sae_id))
    if sae is None:
        return Page(None, f"The SAELens registry has no Neuronpedia page for {sae_id!r} of release {release!r}.")
    if layer is not None and layer != sae.layer:
        return Page(None, f"The metadata's sae_id {sae_id!r} of release {release!r} is not of layer {layer}.")
    return _linked(sae.neuronpedia_id, f"The SAELens registry's page for {sae_id!r} of release {release!r}.")


def _page_of_folder(model: str | None, trainer: str | None, layer: int | None) -> Page:
    """Return the page of the SAE that a folder's name describes."""
    if not model:
        return Page(None, "The model is not known.")
    family = _FAMILIES.get(model.lower())
    if family is None:
        return Page(None, f"No Neuronpedia pages are known for the SAEs of model {model!r}, only for gemma and llama.")
    if not trainer:
        return Page(None, f"The trainer of the {family} SAE is not known.")
    if layer is None:
        return Page(None, f"The layer of the {family} SAE is not known.")
    return (_gemma_scope if family == "gemma" else _llama_scope)(trainer, layer)


def _gemma_scope(trainer: str, layer: int) -> Page:
    """Return the page of a residual-stream SAE of Gemma Scope 9b, of which one layer and width has many."""
    match = re.fullmatch(r"([0-9]{1,4}[km])(?:[-_](?:l0[-_]([0-9]{1,6})|(canonical)))?", trainer, re.IGNORECASE)
    if match is None:
        return Page(None, f"Trainer {trainer!r} is not understood as one of Gemma Scope's, such as 131k-l0-114.")
    saes = [sae for sae in _registry().values() if sae.release == "gemma-scope-9b-pt-res"]
    if layer not in (layers := {sae.layer for sae in saes}):
        return _no_layer("Gemma Scope 9b", layer, layers)
    width = match[1].lower()
    here = [sae for sae in saes if sae.layer == layer]
    place = f"Gemma Scope 9b, layer {layer}, width {width}"
    by_l0 = {sae.l0: sae for sae in here if sae.width == width and sae.l0 is not None}
    if not by_l0:
        widths = sorted({sae.width for sae in here}, key=lambda text: int(text[:-1]) * (1000 if text[-1] == "m" else 1))
        return Page(None, f"{place} has no page; at this layer there are pages for width {_listed(widths)}.")
    # The canonical SAE of a layer and width is the one whose id needs no `__l0-…`.
    canonical = next((l0 for l0, sae in by_l0.items() if "__" not in sae.neuronpedia_id), None)
    l0 = int(match[2]) if match[2] else canonical if match[3] else None
    if l0 in by_l0:
        word = "canonical L0" if l0 == canonical else "L0"
        return _linked(by_l0[l0].neuronpedia_id, f"{place}, {word} {l0}.")
    nearest = sorted(by_l0, key=lambda known: abs(known - (l0 or 0)))
    known = f"{place} has pages for L0 {_listed(nearest)}"
    if l0 is None:
        return Page(None, f"Trainer {trainer!r} does not say which L0 is meant; {known}.")
    return Page(None, f"{known}, not for L0 {l0}.")


def _llama_scope(trainer: str, layer: int) -> Page:
    """Return the page of a residual-stream SAE of Llama Scope, of which one layer and width has exactly one."""
    match = re.fullmatch(
        r"(?:llama[-_]?scope[-_])?(?:(?:lxr|res|l([0-9]{1,2})r)[-_])?(8x|32x|32k|131k)", trainer, re.IGNORECASE
    )
    if match is None:
        return Page(None, f"Trainer {trainer!r} is not understood as one of Llama Scope's, such as 8x or 32x.")
    if match[1] and int(match[1]) != layer:
        return Page(None, f"Trainer {trainer!r} is of layer {int(match[1])}, not of layer {layer}.")
    expansion = {"32k": "8x", "131k": "32x"}.get(match[2].lower(), match[2].lower())
    release = f"llama_scope_lxr_{expansion}"
    sae = _registry().get((release, f"l{layer}r_{expansion}"))
    if sae is None:
        return _no_layer("Llama Scope", layer, {sae.layer for sae in _registry().values() if sae.release == release})
    return _linked(sae.neuronpedia_id, f"Llama Scope 3.1 8B, layer {layer}, width {sae.width} ({expansion}).")


def _no_layer(name: str, layer: int, layers: set[int]) -> Page:
    return Page(None, f"{name} has no page for layer {layer}; its layers are {min(layers)} to {max(layers)}.")


def _listed(choices: Sequence[object]) -> str:
    """Join at most five choices, and say how many more there are."""
    more = len(choices) - 5
    return ", ".join(map(str, choices[:5])) + (f" and {more} more" if more > 0 else "")
