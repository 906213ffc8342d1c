"""Which SAE, where in the model it reads, and the SAE itself, through sae_lens."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from featurediff.collect import dictionary_learning
from featurediff.collect.decoder import Decoder
from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOOK = re.compile(
    r"blocks\.(?P<post>[0-9]+)\.hook_resid_post"
    r"|blocks\.(?P<pre>[0-9]+)\.hook_resid_pre"
    r"|(?:(?:base_model|model|language_model|text_model|transformer|gpt_neox|decoder)\.)*(?:layers|h)\.(?P<block>[0-9]+)(?:\.output)?"
)
"""Names of the residual stream: TransformerLens's, and a block's own path in transformers, which means its output."""

_ENCODE_ALONE = ("standard", "jumprelu", "gated")
"""Architectures that use the encoder's weights only."""

_HARMLESS = ("dtype", "torch_dtype", "device", "device_map", "n_devices")
"""Ways to load a model that leave its residual stream as it is."""

_SAE_LENS = ("sae_weights.safetensors", "cfg.json")

_LONGEST_CONFIG = 100_000
"""Characters of a configuration that a source keeps."""

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

    config: dict[str, Any] | None
    """What SAELens knows of it, in plain Python values; None where that is too long to keep."""

    def remarks(self, models: Sequence[str]) -> tuple[str, ...]:
        """Say where the SAE was trained on another model than these, or on one that was loaded in another way."""
        said = []
        trained_on = self.module.cfg.metadata.get("model_name")
        if isinstance(trained_on, str) and _last_part(trained_on) not in map(_last_part, models):
            others = listed(dict.fromkeys(models))
            said.append(
                f"The SAE was trained on {quoted(trained_on)}, and the models are {others}. If neither was made from "
                "it, the features mean nothing."
            )
        loaded_with = self.module.cfg.metadata.get("model_from_pretrained_kwargs")
        ways = {key: value for key, value in (loaded_with or {}).items() if value and key not in _HARMLESS}
        if ways:
            how = ", ".join(f"{key[:80]}={quoted(value)}" for key, value in list(ways.items())[:5])
            said.append(f"The SAE was trained on a model that was loaded with {how}, and featurediff loads it without.")
        return tuple(said)

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
        RELEASE:SAE_ID, or a folder of SAELens or dictionary_learning.
    layer : int or None
        The layer to read, where the SAE's configuration does not say.

    Raises
    ------
    DataError
        If there is no such SAE, or it is damaged; if it reads anything but the residual stream before or after a block,
        needs the tokens before, wants its input scaled by a factor that is not known, or the model's weights centred;
        or if its layer is another one, or unknown.
    """
    module = _load(name)
    _check_kind(module, name)
    _check_weights(module, name)
    is_local = kind_of(Path(name)) == "folder"
    release, _, sae_id = name.partition(":")
    layer, block = _place(module.cfg.metadata, layer, name)
    return Sae(
        module.eval().requires_grad_(requires_grad=False),
        layer,
        block,
        release=None if is_local else release,
        sae_id=None if is_local else sae_id,
        neuronpedia_id=module.cfg.metadata.neuronpedia_id,
        config=_config(module),
    )


def _load(name: str) -> Any:  # noqa: ANN401  sae_lens is imported late
    """Return the SAE of a folder or a release."""
    from sae_lens import SAE

    release, colon, sae_id = name.partition(":")
    is_local = kind_of(Path(name)) is not None
    if not is_local and not colon:
        msg = f"--sae {quoted(name)} is neither a folder nor RELEASE:SAE_ID as SAELens lists them."
        raise DataError(msg)
    converter = _find_converter(Path(name)) if is_local else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on how to load the model, which `remarks` says too
            if converter:
                return SAE.load_from_disk(name, device="cpu", dtype="float32", converter=converter)
            return SAE.from_pretrained(release, sae_id, device="cpu", dtype="float32")
    except DataError:
        raise
    except Exception as error:  # as with `torch.load`, foreign files make it raise anything
        reason = quoted(" ".join(str(error).split()))
        msg = f"The SAE {quoted(name)} cannot be loaded ({type(error).__name__}: {reason})."
        raise DataError(msg) from error


def _find_converter(folder: Path) -> Any:  # noqa: ANN401  as above
    """Return what reads a folder, by the files in it."""
    from sae_lens.loading.pretrained_sae_loaders import sae_lens_disk_loader

    if kind_of(folder / _SAE_LENS[1]) == "file":
        return sae_lens_disk_loader
    if all(kind_of(folder / name) == "file" for name in dictionary_learning.FILES):
        return dictionary_learning.load
    msg = (
        f"The SAE {quoted(str(folder))} is not a folder with {' and '.join(_SAE_LENS)}, as SAELens saves it, or with "
        f"{' and '.join(dictionary_learning.FILES)}, as dictionary_learning does."
    )
    raise DataError(msg)


def _check_weights(module: Any, name: str) -> None:  # noqa: ANN401  as above
    """Refuse weights that are no numbers; a threshold may be infinite, where a feature was turned off."""
    for key, weights in module.named_parameters():
        found = weights.detach()
        if found.isnan().any() if key == "threshold" else not found.sum(dtype=torch.float64).isfinite():
            msg = f"The SAE {quoted(name)} has NaN or infinite numbers among its weights {key!r}. Is it whole?"
            raise DataError(msg)


def _config(module: Any) -> dict[str, Any] | None:  # noqa: ANN401  as above
    text = json.dumps(module.cfg.to_dict(), default=str)
    if len(text) > _LONGEST_CONFIG:
        return None
    config: dict[str, Any] = json.loads(text)
    return {key: value for key, value in config.items() if key not in ("device", "dtype")}  # those are ours


def _last_part(model: str) -> str:
    """Return a model's name without whose it is."""
    return model.rstrip("/").rpartition("/")[2].lower()


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
    loaded_with = module.cfg.metadata.get("model_from_pretrained_kwargs") or {}
    if not isinstance(loaded_with, dict) or loaded_with.get("center_writing_weights"):
        msg = (
            f"The SAE {quoted(name)} reads a model whose weights were centred first (model_from_pretrained_kwargs: "
            "center_writing_weights), and featurediff reads models as they are. If the model normalises by RMS, as "
            "Gemma, Llama and Qwen do, nothing was centred: take the entry out of the SAE's configuration."
        )
        raise DataError(msg)


def _place(metadata: Any, layer: int | None, name: str) -> tuple[int, int]:  # noqa: ANN401  as above
    """Return the layer of an SAE, and the block whose output it reads."""
    hook_name = metadata.get("hook_name") or metadata.get("hf_hook_name")
    if hook_name is None:
        if layer is None:
            msg = f"The SAE {quoted(name)} does not say which layer it reads. Name it with --layer."
            raise DataError(msg)
        hook_name = f"blocks.{layer}.hook_resid_post"
    match = _HOOK.fullmatch(hook_name) if isinstance(hook_name, str) and len(hook_name) < 200 else None
    own = int(next(filter(None, match.groups()))) if match else -1
    block = own - 1 if match and match["pre"] else own
    if block < 0:
        msg = (
            f"The SAE {quoted(name)} reads {quoted(hook_name)}, but expected the residual stream after a block, such "
            "as 'blocks.20.hook_resid_post' or 'model.layers.20'."
        )
        raise DataError(msg)
    if layer is not None and layer != own:
        msg = f"The SAE {quoted(name)} reads layer {own}, but --layer says {layer}. Leave --layer out."
        raise DataError(msg)
    return own, block
