"""What a source calls the SAE that it reads, and which pages its features have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurediff.meaning.find_pages import find_page
from featurediff.meaning.pages import FeaturePages
from featurediff.meaning.this_sae import ThisSae
from featurediff.wording import quoted

if TYPE_CHECKING:
    from featurediff.sources.metadata import Metadata
    from featurediff.sources.results import Results
    from featurediff.sources.tree import Source


def page_of_source(results: Results, source: Source | None) -> FeaturePages:
    """Find the pages of a source's features; the folder's names count before the metadata's."""
    meta, other = results.base.metadata, results.chat.metadata
    if meta.neuronpedia_id and other.neuronpedia_id not in (None, "", meta.neuronpedia_id):
        said = f"`{results.base.name}` says neuronpedia_id {quoted(meta.neuronpedia_id)}"
        return FeaturePages(None, f"{said}, but `{results.chat.name}` says {quoted(other.neuronpedia_id)}.")
    model, trainer, layer = names_of_sae(results.base.metadata, source)
    return find_page(
        model=model,
        trainer=trainer,
        layer=layer,
        neuronpedia_id=meta.neuronpedia_id or other.neuronpedia_id,
        sae_release=meta.sae_release or other.sae_release,
        sae_id=meta.sae_id or other.sae_id,
        num_features=results.num_features,
    )


def sae_of_source(results: Results, source: Source | None, template: str | None) -> ThisSae:
    """Collect what a source's folder and files call its SAE; `template` is the URL of its features' pages."""
    page = page_of_source(results, source).source
    model, trainer, layer = names_of_sae(results.base.metadata, source)
    names, models, trainers = [], [model], [trainer]
    for meta in (results.base.metadata, results.chat.metadata):
        models.append(meta.model_type)
        trainers.append(meta.sae_trainer)
        names += [meta.source, meta.neuronpedia_id, f"{meta.sae_release or ''} {meta.sae_id or ''}".strip()]
    if page:
        models.append(page.partition("/")[0])
    if source:
        names += [source.name, f"{source.model}_trainer{source.trainer}_layer{source.layer}"]
    return ThisSae(
        num_features=results.num_features,
        models=tuple(dict.fromkeys(models)),
        trainers=tuple(dict.fromkeys(trainers)),
        layer=layer,
        page=page,
        template=template,
        names=tuple(name for name in names if name),
    )


def names_of_sae(metadata: Metadata, source: Source | None) -> tuple[str, str, int]:
    """Return model, trainer and layer as the folder's name says them, or else the metadata of base."""
    return (source and source.sae) or (metadata.model_type, metadata.sae_trainer, metadata.sae_layer)
