"""Which Neuronpedia page belongs to an SAE: by its names, unless they contradict each other or the files."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from featurediff.meaning import folder_saes, registry
from featurediff.meaning.pages import FIELD, HOST, FeaturePages, user_page
from featurediff.wording import quoted


def find_page(
    *,
    model: str | None,
    trainer: str | None,
    layer: int | None,
    neuronpedia_id: str | None = None,
    sae_release: str | None = None,
    sae_id: str | None = None,
    template: str | None = None,
    num_features: int | None = None,
) -> FeaturePages:
    """
    Find the Neuronpedia pages of an SAE.

    The first of these that is given decides, even if it leads to no page: the user's own template, a SAELens release
    and SAE id that the registry has a page for, the Neuronpedia id, an unknown release and SAE id, and last the model,
    trainer and layer that the folder's name says. Where a Neuronpedia id disagrees with the registry, the registry's
    canonical page is preferred, and the reason says so. There is no page where release and SAE id, or the Neuronpedia
    id, contradict model and trainer, and none where the SAE of the page is of another width than the files.

    Parameters
    ----------
    model, trainer : str or None
        As in the folder name: "gemma" is gemma-2-9b and "llama" Llama 3.1 8B, with trainers such as "131k-l0-114" and
        "32x" for the residual stream, "mlp-16k-canonical" and "lxa_8x" for MLP and attention. An instruct model stands
        for its base model's SAEs only where no SAEs of its own are named so.
    layer : int or None
        The SAE's layer, counted from 0. A page of another layer is never returned.
    neuronpedia_id : str or None
        `modelId/sourceId`, such as "gemma-2-9b/20-gemmascope-res-131k".
    sae_release, sae_id : str or None
        Names in the SAELens registry.
    template : str or None
        URL with `{feature_id}` where the id goes; trusted as it is.
    num_features : int, optional
        How many features the files have.

    Returns
    -------
    FeaturePages
        Without a template where no page is known, and then with the reason.

    Raises
    ------
    DataError
        If `template` is not a URL with `{feature_id}` exactly once.
    """
    if template is not None:
        return user_page(template)
    names = _Names(model, trainer, layer)
    if sae := registry.table().get((sae_release or "", sae_id or "")):
        page = _page_of_sae(sae, names, neuronpedia_id)
    else:
        page = _page_of_names(names, neuronpedia_id, sae_release, sae_id)
    return page if num_features is None else _of_width(page, num_features)


class _Names(NamedTuple):
    """What the folder calls the SAE, or else the files."""

    model: str | None
    trainer: str | None
    layer: int | None


def _page_of_names(names: _Names, neuronpedia_id: str | None, release: str | None, sae_id: str | None) -> FeaturePages:
    """Return the page of an SAE that the SAELens registry does not know by release and id."""
    unused = ""
    if neuronpedia_id:
        if page := _page_of_id(neuronpedia_id, names, release, sae_id):
            return page
        unused = (
            f" The metadata's neuronpedia_id {quoted(neuronpedia_id)} is not used: "
            "the SAELens registry has no SAE of this layer, width and L0."
        )
    if release or sae_id:
        page = FeaturePages(None, _why_unknown(release, sae_id))
    else:
        found, words = folder_saes.id_of_folder(*names)
        page = _linked(found, f"Found by model, trainer and layer: {words}") if found else FeaturePages(None, words)
    return replace(page, reason=page.reason + unused)


def _of_width(page: FeaturePages, num_features: int) -> FeaturePages:
    """Return a page, or none where its SAE cannot have so many features."""
    width = page.source and registry.width_of_page(page.source)
    if not width or registry.is_width(width, num_features):
        return page
    return FeaturePages(
        None,
        f"The files have {num_features:,} features, but the SAE of {page.source} is {width} wide.",
    )


def _linked(neuronpedia_id: str, reason: str) -> FeaturePages:
    return FeaturePages(f"{HOST}/{neuronpedia_id}/{FIELD}", reason, neuronpedia_id)


def _page_of_sae(sae: registry.Sae, folder: _Names, neuronpedia_id: str | None) -> FeaturePages:
    """Return the page of an SAE that the SAELens registry knows; another Neuronpedia id in the metadata is not used."""
    names = f"sae_id {quoted(sae.sae_id)} of release {quoted(sae.release)}"
    if folder.layer not in (None, sae.layer):
        return FeaturePages(None, f"The metadata's {names} is not of layer {quoted(folder.layer)}.")
    if against := _against_folder(folder, _readings(sae)):
        return FeaturePages(None, f"The metadata's {names} disagrees with {against}.")
    reason = f"Found in the SAELens registry by the metadata's {names}."
    if neuronpedia_id and neuronpedia_id != sae.neuronpedia_id:
        is_same = registry.canonical(neuronpedia_id) == sae.neuronpedia_id
        differs = "" if is_same else _differences(sae.facts, registry.facts_of_page(neuronpedia_id))
        fault = f"says {differs}" if differs else "is not the canonical page of these weights"
        reason += f" Preferred to the metadata's neuronpedia_id {quoted(neuronpedia_id)}, which {fault}."
    return _linked(sae.neuronpedia_id, reason)


def _page_of_id(neuronpedia_id: str, folder: _Names, release: str | None, sae_id: str | None) -> FeaturePages | None:
    """Return the page that the metadata names, or why it cannot be right; None for an L0 that the registry lacks."""
    name = f"The metadata's neuronpedia_id {quoted(neuronpedia_id)}"
    match = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*/(0|[1-9][0-9]{0,3})-[A-Za-z0-9][A-Za-z0-9._-]*", neuronpedia_id)
    if match is None:
        return FeaturePages(
            None,
            f"{name} does not have the form modelId/layer-sourceSet, such as gemma-2-9b/20-gemmascope-res-131k.",
        )
    page = registry.canonical(neuronpedia_id)
    if page is None:
        return None
    # One source of gpt2-small is filed under the index after its layer, so the table is asked first.
    saes = registry.saes_of_page(page)
    facts = [facts for sae in saes for facts in _readings(sae)] or [registry.facts_of_page(page)]
    if folder.layer is not None and folder.layer not in ({sae.layer for sae in saes} or {int(match[1])}):
        return FeaturePages(None, f"{name} is not of layer {quoted(folder.layer)}.")
    if against := _against_folder(folder, facts):
        return FeaturePages(None, f"{name} disagrees with {against}.")
    said = registry.facts_of_name(release or "", sae_id or "")
    differs = [_differences(said, facts) for facts in [s.facts for s in saes] or [registry.facts_of_page(page)]]
    if all(differs):
        return FeaturePages(None, f"{name} disagrees with its sae_id {quoted(sae_id)}: it says {differs[0]}.")
    is_canonical = "" if page == neuronpedia_id else ": the canonical page of the same weights"
    return _linked(page, f"Found by the metadata's neuronpedia_id {quoted(neuronpedia_id)}{is_canonical}.")


def _against_folder(folder: _Names, page: list[registry.Facts]) -> str:
    """Write what a page says otherwise than the folder does; empty where the same SAE may be meant."""
    found = [
        _differences({fact: said for fact, said in own.items() if fact != "model" or is_other}, facts)
        for own in folder_saes.readings(folder.model, folder.trainer)
        for facts in page
        for is_other in [registry.is_other_model(own.get("model") or "", facts["model"] or "")]
    ]
    if not found or not all(found):
        return ""
    return f"model {quoted(folder.model)} and trainer {quoted(folder.trainer)}: it says {found[-1]}"


def _readings(sae: registry.Sae) -> list[registry.Facts]:
    """Return what an SAE's names say: with its L0 as they call it, and as the registry counts it."""
    return [sae.facts, *([sae.facts | {"L0": str(sae.l0)}] if sae.l0 else [])]


def _differences(said: registry.Facts, other: registry.Facts) -> str:
    """Write where other facts contradict what was said: "layer 20 instead of 2"; empty where they don't."""
    pairs = registry.disagreements(said, other)
    return ", ".join(f"{fact} {found} instead of {expected}" for fact, expected, found in pairs)


def _why_unknown(release: str | None, sae_id: str | None) -> str:
    if release and sae_id:
        return f"The SAELens registry has no Neuronpedia page for {quoted(sae_id)} of release {quoted(release)}."
    given, missing = ("sae_release", "sae_id") if release else ("sae_id", "sae_release")
    return f"The metadata has {given} {quoted(release or sae_id)} but no {missing}, and both are needed."
