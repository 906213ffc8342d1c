"""What a worker needs to know: which model, how it is run, and what is read of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurediff.collect.models import ModelInfo
    from featurediff.collect.pools import Pooled
    from featurediff.collect.settings import Settings


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to know to make its encoder."""

    model: str
    """Hub id or local folder."""

    revision: str | None
    """Commit on the hub; None for a local folder."""

    sae: str
    """RELEASE:SAE_ID or local folder."""

    layer: int | None
    """Of the SAE, where it does not say."""

    dtype: str
    """Of the model."""

    batch_size: int | None
    """Prompts in a batch; None for as many as the device likes."""

    num_gpus: int
    """GPUs that one model is spread over."""

    pooled: tuple[Pooled, ...]
    """How the tokens of each token type become one."""

    fit: bool = True
    """Whether to say how well the SAE reads the model."""

    tf32: bool = False
    """Whether a GPU multiplies with the SAE in TF32."""

    generate: int | None = None
    """New tokens to generate for each prompt; None to read prompts."""

    @classmethod
    def of(
        cls, settings: Settings, model: ModelInfo, pooled: tuple[Pooled, ...], dtype: str, *, generates: bool
    ) -> Recipe:
        """Return what a worker needs to know to run a model as was asked for, or to have it generate responses."""
        return cls(
            model=model.name,
            revision=model.revision,
            sae=settings.sae,
            layer=settings.layer,
            dtype=dtype,
            batch_size=settings.batch_size,
            num_gpus=settings.gpus_per_model,
            pooled=pooled,
            fit=settings.fit,
            tf32=settings.tf32,
            generate=settings.generate if generates else None,
        )
