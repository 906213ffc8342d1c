"""What a worker needs to know: which model, how it is run, and what is read of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from featurediff.collect.encoder import Encoder
from featurediff.collect.models import describe_model
from featurediff.collect.responses import Writer
from featurediff.collect.saes import load_sae

if TYPE_CHECKING:
    from featurediff.collect.pools import Pooled
    from featurediff.collect.saes import Sae


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

    generate: int | None = None
    """New tokens to generate for each prompt; None to read prompts."""

    def load(self, sae: Sae | None = None) -> Encoder | Writer:
        """Load the model, and the SAE where it is needed and not given."""
        model = describe_model(self.model, self.revision)
        if self.generate:
            return Writer(model, self)
        return Encoder(model, sae or load_sae(self.sae, self.layer), self)
