"""Which SAE, where in the model it reads, and the SAE itself, through sae_lens."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurediff.collect.decoder import Decoder
from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.wording import quoted

if TYPE_CHECKING:
    import torch

_HOOK = re.compile(r"blocks\.(?P<post>[0-9]+)\.hook_resid_post|blocks\.(?P<pre>[0-9]+)\.hook_resid_pre")
_ENCODE_ALONE = ("standard", "jumprelu", "gated")
"""Architectures that use the encoder's weights only."""

_UNFOLDED = ("expected_average_only_in", "covariance_whitening")
"""Scalings of the input that sae_lens applies by folding them into the weights, and not when it encodes."""


@dataclass(frozen=True, eq=False)
class Sae:
    """An SAE that is ready to encode, on the CPU in float32."""

    module: Any
    """`sae_lens.SAE`."""

    layer: int
    """The layer that its configuration names, from 0."""

    block: int
    """The block whose output it reads: `layer`, or the one before where it reads what goes into the layer."""

    release: str | None
    """Name in SAELens; None for a local folder."""

    sae_id: str | None
    """Name within the release; None for a local folder."""

    neuronpedia_id: str | None
    """Model and SAE on Neuronpedia; None where the SAE does not say."""

    @property
    def width(self) -> int:
        """Residual dimensions that go in."""
        return int(self.module.cfg.d_in)

    @property
    def num_features(self) -> int:
        """Features that come out."""
        return int(self.module.cfg.d_sae)

    @property
    def decoder(self) -> Decoder | None:
        """What it decodes with; None where it gives back something else than it reads, as a transcoder does."""
        return Decoder.of(self.module)

    def to(self, device: torch.device, *, decodes: bool = True) -> None:
        """Move the SAE, perhaps without a decoder that is as large as the encoder and that it does not encode with."""
        if not decodes and self.module.cfg.architecture() in _ENCODE_ALONE and hasattr(self.module, "W_dec"):
            del self.module.W_dec
        self.module.to(device)

    def encode(self, residual: torch.Tensor) -> torch.Tensor:
        """Return activations of shape (…, features) of a residual stream of shape (…, width), both float32."""
        acts: torch.Tensor = self.module.encode(residual)
        return acts


def load_sae(name: str, layer: int | None = None) -> Sae:
    """
    Load an SAE as SAELens has it.

    Parameters
    ----------
    name : str
        RELEASE:SAE_ID, or a folder with `cfg.json` and `sae_weights.safetensors`.
    layer : int or None
        The layer to read, where the SAE's configuration does not say.

    Raises
    ------
    DataError
        If there is no such SAE; if it reads anything but the residual stream before or after a block, needs the tokens
        before, or wants its input scaled by a factor that is not known; or if its layer is another one, or unknown.
    """
    from sae_lens import SAE

    is_local = kind_of(Path(name)) == "folder"
    release, colon, sae_id = name.partition(":")
    if not is_local and not colon:
        msg = f"--sae {quoted(name)} is neither a folder nor RELEASE:SAE_ID as SAELens lists them."
        raise DataError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on how to load the model with TransformerLens, or as below
            if is_local:
                module: Any = SAE.load_from_disk(name, device="cpu", dtype="float32")
            else:
                module = SAE.from_pretrained(release, sae_id, device="cpu", dtype="float32")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        msg = f"The SAE {quoted(name)} cannot be loaded ({type(error).__name__}: {_first_line(error)})."
        raise DataError(msg) from error
    _check_kind(module, name)
    layer, block = _place(module.cfg.metadata.hook_name, layer, name)
    return Sae(
        module.eval().requires_grad_(requires_grad=False),
        layer,
        block,
        release=None if is_local else release,
        sae_id=None if is_local else sae_id,
        neuronpedia_id=module.cfg.metadata.neuronpedia_id,
    )


def _check_kind(module: Any, name: str) -> None:  # noqa: ANN401  sae_lens is imported late
    if module.cfg.architecture() == "temporal":
        msg = (
            f"The SAE {quoted(name)} is temporal: its features depend on all tokens before, but one is read at a time."
        )
        raise DataError(msg)
    if module.cfg.normalize_activations in _UNFOLDED:
        msg = (
            f"The SAE {quoted(name)} wants its input scaled ({module.cfg.normalize_activations}), but the factor is "
            "not known. Fold it into the weights with sae_lens and save the SAE again."
        )
        raise DataError(msg)


def _place(hook_name: str | None, layer: int | None, name: str) -> tuple[int, int]:
    """Return the layer of an SAE, and the block whose output it reads."""
    if hook_name is None:
        if layer is None:
            msg = f"The SAE {quoted(name)} does not say which layer it reads. Name it with --layer."
            raise DataError(msg)
        hook_name = f"blocks.{layer}.hook_resid_post"
    match = _HOOK.fullmatch(hook_name)
    block = -1 if match is None else int(match["post"]) if match["post"] else int(match["pre"]) - 1
    if match is None or block < 0:
        msg = (
            f"The SAE {quoted(name)} reads {quoted(hook_name)}, but expected the residual stream after a block, such "
            "as 'blocks.20.hook_resid_post'."
        )
        raise DataError(msg)
    own = int(match["post"] or match["pre"])
    if layer is not None and layer != own:
        msg = f"The SAE {quoted(name)} reads layer {own}, but --layer says {layer}. Leave --layer out."
        raise DataError(msg)
    return own, block


def _first_line(error: Exception) -> str:
    return quoted(str(error).strip().partition("\n")[0])
