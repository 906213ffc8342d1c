"""Where a source's numbers come from: model, SAE, prompt set, positions and numbers of prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from featurediff.labels import PROMPTS, SIDES, Prompts, Side

if TYPE_CHECKING:
    from featurediff.sources.results import Results


@dataclass(frozen=True)
class Origin:
    """What the chart says of where its numbers come from."""

    model: str
    """The model, as the result files name it."""

    layer: int
    """The SAE's layer."""

    trainer: str
    """The SAE, as the result files name it."""

    prompt_set: str = ""
    """The folder of the source; empty where files were given alone."""

    token_types: tuple[str, ...] = ()
    """All positions, in the files' order: what colours go by."""

    num_prompts: dict[tuple[Side, Prompts], int] = field(default_factory=dict)
    """Number of prompts of each (side, target or control)."""

    place: str = ""
    """What the SAE reads, in words, such as "residual stream after layer 20"; empty where that is not known."""

    @classmethod
    def of(cls, results: Results, prompt_set: str = "", place: str = "") -> Origin:
        """Describe results."""
        meta = results.base.metadata
        return cls(
            model=meta.model_type,
            layer=meta.sae_layer,
            trainer=meta.sae_trainer,
            prompt_set=prompt_set,
            token_types=results.token_types,
            num_prompts={(v, p): results.of(v).metadata.num_prompts(p) for v in SIDES for p in PROMPTS},
            place=place,
        )

    @property
    def caption(self) -> str:
        """One line that names model, SAE, what it reads, and prompt set."""
        parts = (self.model, f"SAE {self.trainer}", self.place or f"layer {self.layer}", self.prompt_set)
        return " · ".join(part for part in parts if part)
