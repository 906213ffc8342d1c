"""
A folder of the library dictionary_learning, `ae.pt` and `config.json`, as SAELens reads it.

SAELens has such a loader for repositories of the Hugging Face Hub, and none for folders; this one says the same of each
class, and refuses what was not trained on the residual stream.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    import torch

FILES = ("ae.pt", "config.json")


class _Class(NamedTuple):
    """What a class of the library is in SAELens."""

    architecture: str
    """Name of the architecture."""

    subtracts_bias: bool
    """Whether the decoder's bias is subtracted before encoding."""

    keys: dict[str, str]
    """Names of the weights in SAELens, and in the file."""


_LINEAR = {"W_enc": "encoder.weight", "W_dec": "decoder.weight"}
_BATCH = _LINEAR | {"b_enc": "encoder.bias", "b_dec": "b_dec", "threshold": "threshold"}
_PLAIN = {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")}

_CLASSES = {
    "AutoEncoder": _Class("standard", True, _LINEAR | {"b_enc": "encoder.bias", "b_dec": "bias"}),
    "AutoEncoderNew": _Class("standard", False, _LINEAR | {"b_enc": "encoder.bias", "b_dec": "decoder.bias"}),
    "AutoEncoderTopK": _Class("topk", True, _LINEAR | {"b_enc": "encoder.bias", "b_dec": "b_dec"}),
    "BatchTopKSAE": _Class("jumprelu", True, _BATCH),
    "MatryoshkaBatchTopKSAE": _Class("jumprelu", True, _PLAIN),
    "JumpReluAutoEncoder": _Class("jumprelu", False, _PLAIN),
    "GatedAutoEncoder": _Class(
        "gated",
        True,
        _LINEAR | {"b_dec": "decoder_bias", "b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag"},
    ),
}
"""By `dict_class`, as the library's `dictionary.py` and `trainers/` define them."""


def load(
    path: str | Path, device: str = "cpu", cfg_overrides: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """
    Read such a folder: a converter for `SAE.load_from_disk`.

    Parameters
    ----------
    path : str or Path
        The folder.
    device : str
        Where the weights go.
    cfg_overrides : dict or None
        What the configuration is to say instead.

    Returns
    -------
    cfg_dict, state_dict : dict
        As SAELens names their parts; weights are float32.

    Raises
    ------
    DataError
        If the class is unknown, or `ae.pt` has other weights than its class.
    """
    import torch

    weights, config = (Path(path) / name for name in FILES)
    trainer, buffer = _read_config(config)
    name = trainer.get("dict_class")
    if name not in _CLASSES:
        msg = f"`{config}`: dict_class is {quoted(name)}, but expected one of {listed(_CLASSES)}."
        raise DataError(msg)
    kind = _CLASSES[name]
    found = torch.load(weights, map_location=device, weights_only=True)
    missing = [key for key in kind.keys.values() if key not in found]
    if missing:
        msg = f"`{weights}` lacks {listed(missing)}, which an {name} has. Does `config.json` belong to it?"
        raise DataError(msg)
    state = {ours: found[theirs].to(torch.float32) for ours, theirs in kind.keys.items()}
    for ours, theirs in kind.keys.items():
        if theirs in _LINEAR.values():
            state[ours] = state[ours].T.contiguous()
    d_in, d_sae = state["W_enc"].shape
    if "threshold" in state:
        state["threshold"] = state["threshold"].expand(d_sae).contiguous()
    said = {
        "architecture": kind.architecture,
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "float32",
        "device": device,
        "apply_b_dec_to_input": kind.subtracts_bias,
        "normalize_activations": "none",
        "model_name": trainer.get("lm_name"),
        "hook_name": _hook_name(trainer, buffer),
        "context_size": buffer.get("ctx_len"),
    }
    if kind.architecture == "topk":
        said["k"] = int(trainer["k"])
    return said | (cfg_overrides or {}), state


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the configuration says of the training and of its data."""
    content = json.loads(path.read_bytes())
    parts = tuple(content.get(name) or {} for name in ("trainer", "buffer")) if isinstance(content, dict) else ()
    if len(parts) != 2 or not parts[0] or not all(isinstance(part, dict) for part in parts):
        msg = f"`{path}` has no `trainer` in it, as dictionary_learning writes it."
        raise DataError(msg)
    return parts[0], parts[1]


def _hook_name(trainer: dict[str, Any], buffer: dict[str, Any]) -> str | None:
    """Return what the SAE reads, in the words of TransformerLens where it is the residual stream."""
    layer, module, side = trainer.get("layer"), trainer.get("submodule_name"), buffer.get("io") or "out"
    named = re.fullmatch(r"resid_post(?:_layer)?_([0-9]+)", module) if isinstance(module, str) else None
    if module is not None and (named is None or (layer is not None and str(layer) != named[1])):
        return str(module)
    layer = named[1] if named else layer
    if layer is None:
        return None
    return f"blocks.{layer}.hook_resid_{'post' if side == 'out' else 'pre' if side == 'in' else side}"
