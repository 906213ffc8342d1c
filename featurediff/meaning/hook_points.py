"""What an SAE reads, by what the files and the registry say of it; never a guess."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from featurediff.meaning import registry
from featurediff.meaning.folder_saes import id_of_folder
from featurediff.meaning.source_sae import names_of_sae
from featurediff.sources.hooks import Place, place_of
from featurediff.wording import quoted

if TYPE_CHECKING:
    from featurediff.sources.metadata import Metadata
    from featurediff.sources.tree import Source

_LETTERS = {"r": "resid_post", "m": "mlp_out", "a": "attn_out", "tc": "transcoder"}
"""How Llama Scope names what an SAE reads: l20r_8x, lxm_32x."""

_SAYS = (
    (re.compile(r"transcoder"), "transcoder"),
    (re.compile(r"resid[-_]pre"), "resid_pre"),
    (re.compile(r"resid[-_]mid"), "resid_mid"),
    (re.compile(r"resid[-_]post|(?:gemma|llama)-?scope[-_].*res(?![a-z])"), "resid_post"),
    (re.compile(r"(?:^|[-_/])(?:att|attn|attention)(?=[-_/0-9]|$)|hook[-_]z"), "attn_out"),
    (re.compile(r"(?:^|[-_/])mlp(?=[-_/0-9]|$)"), "mlp_out"),
    (re.compile(r"(?:^|[-_/])res(?:id)?(?=[-_/0-9]|$)"), "resid"),
)
"""What a name says of what an SAE reads, the first that is found."""


def words_of_place(base: Metadata, chat: Metadata, source: Source | None = None) -> str:
    """
    Say what an SAE reads.

    The first of these that says it decides: the metadata's hook name, its SAE id and release, its Neuronpedia id, the
    SAE that the registry has under the folder's names, or else the file's, and the trainer.

    Parameters
    ----------
    base, chat : Metadata
        Of the two files.
    source : Source, optional
        Their folder.

    Returns
    -------
    str
        Such as "residual stream after layer 20" or "MLP output of layer 5"; "layer 20" where nothing says more.
    """
    if hook_name := base.hook_name or chat.hook_name:
        return str(place_of(hook_name) or f"hook point {quoted(hook_name)}")
    layer, neuronpedia_id = base.sae_layer, base.neuronpedia_id or chat.neuronpedia_id or ""
    release, sae_id = base.sae_release or chat.sae_release or "", base.sae_id or chat.sae_id or ""
    named = names_of_sae(base, source)
    by_folder = _place_of_page(id_of_folder(*named)[0] or "", layer)
    return str(
        _place_of_names(release, sae_id, layer)
        or _place_of_page(neuronpedia_id, layer)
        or (by_folder and by_folder._replace(layer=layer))  # where they differ, `notes` says so
        or _place_of_names(named[1], "", layer)
        or f"layer {layer}"
    )


def _place_of_page(neuronpedia_id: str, layer: int) -> Place | None:
    """Return what the SAE of a page reads, by its names in the registry, or else by the page's."""
    for sae in registry.saes_of_page(neuronpedia_id):
        if place := _place_of_names(sae.release, sae.sae_id, layer):
            return place
    return _place_of_names(neuronpedia_id.partition("/")[2], "", layer)


def _place_of_names(release: str, sae_id: str, layer: int) -> Place | None:
    """Return what the names of an SAE say of what it reads; a full hook name says its layer, too."""
    if place := place_of(sae_id):
        return place
    if letters := re.match(r"l(?:[0-9]+|x)(r|m|a|tc)(?=[-_])", sae_id or release):
        return Place(_LETTERS[letters[1]], layer)
    names = f"{release}/{sae_id}".lower()
    return next((Place(site, layer) for pattern, site in _SAYS if pattern.search(names)), None)
