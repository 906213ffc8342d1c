"""Whether two sources read the same SAE, which is assumed only where it is certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurediff.study import Study

SAME_SAE = (
    "Two sources read the same SAE if it has as many features in both, and the same Neuronpedia page; where one of "
    "them has no page, the same SAELens release and id; and where one has neither, the same model, trainer and layer "
    "in the folder’s name, which its files must not contradict."
)
"""The rule of `SaeNames.is_same`, in words."""


@dataclass(frozen=True)
class SaeNames:
    """What a source calls the SAE that it reads; None where it does not say."""

    num_features: int
    """Width of the SAE."""

    page: str | None = None
    """Neuronpedia's `modelId/sourceId`; None also where a folder's name alone gives it, and the files contradict it."""

    registered: tuple[str, str] | None = None
    """Release and id in SAELens."""

    folder: tuple[str, str, int] | None = None
    """Model, trainer and layer of the folder's name; None also where the files contradict it."""

    @classmethod
    def of(cls, study: Study) -> SaeNames:
        """Read the names from a source's files, its folder and the pages that are known."""
        meta, other, source = study.results.base.metadata, study.results.chat.metadata, study.source
        release, sae_id = meta.sae_release or other.sae_release, meta.sae_id or other.sae_id
        registered = (release, sae_id) if release and sae_id else None
        filed = meta.neuronpedia_id or other.neuronpedia_id
        page, folder = study.pages.source, None
        if source and source.sae:
            is_refuted = bool(filed) and study.pages.template is None  # by the page in the files, or by its width
            if source.sae[1:] != (meta.sae_trainer, meta.sae_layer):
                page = page if filed or registered else None  # it was found by a name that the files contradict
            elif not is_refuted:
                folder = source.sae
        return cls(study.results.num_features, page, registered, folder)

    def is_same(self, other: SaeNames) -> bool:
        """Whether it is certain that both names are of one SAE; the rule is `SAME_SAE`."""
        if self.num_features != other.num_features:
            return False
        for ours, theirs in (
            (self.page, other.page),
            (self.registered, other.registered),
            (self.folder, other.folder),
        ):
            if ours is not None and theirs is not None:
                return ours == theirs
        return False
