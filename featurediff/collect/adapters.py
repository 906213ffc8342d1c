"""LoRA adapters: the model that one was trained on, and the weights of both merged."""

from __future__ import annotations

import importlib.util
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils import extract_commit_hash
from transformers.utils.peft_utils import find_adapter_config_file

from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.wording import listed, quoted

_CONFIG = "adapter_config.json"
_WHOLE = ("model*.safetensors", "pytorch_model*.bin")
"""Weights of a model that needs no other."""


@dataclass(frozen=True)
class Adapter:
    """What an adapter says of itself."""

    name: str
    """Hub id or local folder."""

    revision: str | None
    """Commit on the hub; None for a local folder."""

    base: str
    """The model that it was trained on, and is merged into: hub id or local folder."""

    base_revision: str | None
    """Commit on the hub that it names; None for the newest."""


def find_adapter(name: str, revision: str | None) -> Adapter | None:
    """
    Read what an adapter is of.

    Parameters
    ----------
    name : str
        Hub id or local folder of an adapter or a model.
    revision : str or None
        Commit on the hub; None for the newest.

    Returns
    -------
    Adapter or None
        None for a model that is no adapter.

    Raises
    ------
    DataError
        If it is no LoRA, names no base, lies beside a whole model, or peft is not installed.
    """
    found = find_adapter_config_file(name, revision=revision)
    if found is None:
        return None
    where = f"The adapter {quoted(name)}"
    if kind_of(Path(name)) and any(any(Path(name).glob(pattern)) for pattern in _WHOLE):
        msg = f"{where} lies in one folder with a whole model. Move {_CONFIG} away if the model holds it already."
        raise DataError(msg)
    try:
        config = json.loads(Path(found).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{where} has an {_CONFIG} that cannot be read ({type(error).__name__})."
        raise DataError(msg) from error
    said: dict[str, Any] = config if isinstance(config, dict) else {}
    kind, base, base_revision = (said.get(key) for key in ("peft_type", "base_model_name_or_path", "revision"))
    if kind != "LORA" or said.get("alora_invocation_tokens") or said.get("megatron_config"):
        msg = f"{where} is of type {quoted(kind)}, but expected LORA, which can be merged into its base."
        raise DataError(msg)
    if not isinstance(base, str) or not base or base == name or not isinstance(base_revision, str | None):
        msg = f"{where} names {quoted(base)} as its base. Write the base's folder or hub id into {_CONFIG}."
        raise DataError(msg)
    if importlib.util.find_spec("peft") is None:
        msg = f"{where} needs peft, not installed here: pip install 'featurediff[collect]'"
        raise DataError(msg)
    return Adapter(name, extract_commit_hash(found, None), base, base_revision)


def merge(model: Any, adapter: Adapter) -> Any:  # noqa: ANN401  no stubs
    """
    Merge an adapter into its base, of which later blocks may be missing.

    Parameters
    ----------
    model : PreTrainedModel
        The base with its head, as adapters are trained; it is changed.
    adapter : Adapter
        What to merge.

    Returns
    -------
    PreTrainedModel
        The merged model, without its head.

    Raises
    ------
    DataError
        If the adapter lacks weights that it should have for these blocks.
    """
    from peft import PeftConfig, PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # on later blocks, which are not there, and on names that change in transformers
        config = PeftConfig.from_pretrained(adapter.name, revision=adapter.revision)
        config.inference_mode = True
        wrapped = PeftModel(model, config)
        loaded = wrapped.load_adapter(adapter.name, "default", is_trainable=False, revision=adapter.revision)
    if loaded.missing_keys:
        msg = (
            f"The adapter {quoted(adapter.name)} lacks weights for {quoted(adapter.base)}: "
            f"{listed(sorted(loaded.missing_keys))}. Was it trained on that model?"
        )
        raise DataError(msg)
    return wrapped.merge_and_unload(safe_merge=True).base_model
