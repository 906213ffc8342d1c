"""The first blocks of a model, and the residual stream that leaves them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import cached_file

from featurediff.collect.adapters import Adapter, find_adapter, merge
from featurediff.collect.foreign import quietly, refusing
from featurediff.errors import DataError
from featurediff.wording import listed, quoted

_NEEDED = ("num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings")
"""What the configuration of a language model says, in whole numbers."""


@dataclass(frozen=True, eq=False)
class ModelInfo:
    """A model before its weights are loaded."""

    name: str
    """Hub id or local folder."""

    revision: str | None
    """Commit on the hub; None for a local folder."""

    config: Any
    """`PretrainedConfig`; of an adapter's base."""

    adapter: Adapter | None
    """Where this is a LoRA adapter: what it is of; None for a whole model."""

    @property
    def weights(self) -> tuple[str, str | None]:
        """Name and commit of the model that holds most weights: the adapter's base, or the model itself."""
        return (self.adapter.base, self.adapter.base_revision) if self.adapter else (self.name, self.revision)

    @property
    def text(self) -> Any:  # noqa: ANN401  no stubs
        """The part of the configuration that describes the language model."""
        return self.config.get_text_config()

    @property
    def names(self) -> tuple[str, ...]:
        """What was asked for, and the base of an adapter."""
        return (self.name, self.adapter.base) if self.adapter else (self.name,)

    def check_size(self, *, block: int, width: int) -> None:
        """
        Refuse a model that an SAE cannot read.

        Raises
        ------
        DataError
            If the model has too few blocks, or another width than the SAE.
        """
        where = f"The model {quoted(self.name)}"
        if block >= self.text.num_hidden_layers:
            msg = f"{where} has {self.text.num_hidden_layers} blocks, but the SAE reads the output of block {block}."
            raise DataError(msg)
        if self.text.hidden_size != width:
            msg = f"{where} is {self.text.hidden_size} wide, but the SAE reads {width}. Was it trained on this model?"
            raise DataError(msg)

    def check_tokens(self, largest: int) -> None:
        """
        Refuse a model that does not know all tokens.

        Raises
        ------
        DataError
            If its vocabulary ends before the largest.
        """
        if largest >= self.text.vocab_size:
            msg = (
                f"The model {quoted(self.name)} knows {self.text.vocab_size} tokens, but the chat model's tokenizer "
                f"wrote token {largest}. Do --base and --chat belong together?"
            )
            raise DataError(msg)


def describe_model(name: str, revision: str | None = None) -> ModelInfo:
    """
    Read a model's configuration.

    Parameters
    ----------
    name : str
        Hub id or local folder.
    revision : str or None
        Commit on the hub; None for the newest.

    Raises
    ------
    DataError
        If there is no such model.
    """
    with refusing("model", name):
        adapter = find_adapter(name, revision)
    source, commit = (adapter.base, adapter.base_revision) if adapter else (name, revision)
    of = f"base of {quoted(name)}," if adapter else "model"
    with refusing(of, source):
        config = AutoConfig.from_pretrained(source, revision=commit or "main", trust_remote_code=False)
        text = config.get_text_config()
        lacking = [key for key in _NEEDED if type(getattr(text, key, None)) is not int]
    if lacking:
        msg = (
            f"The {of} {quoted(source)} is no language model that featurediff knows: it does not say {listed(lacking)}."
        )
        raise DataError(msg)
    commit = getattr(config, "_commit_hash", None)
    if adapter:
        return ModelInfo(name, adapter.revision, config, replace(adapter, base_revision=commit))
    return ModelInfo(name, commit, config, None)


def load_tokenizer(model: ModelInfo) -> Any:  # noqa: ANN401  no stubs
    """
    Load a model's tokenizer; an adapter may have its own, or else has its base's.

    Raises
    ------
    DataError
        If it has none.
    """
    name, revision = model.name, model.revision
    if model.adapter:
        own = "tokenizer_config.json"
        with refusing("tokenizer of", name):
            is_there = cached_file(name, own, revision=revision, _raise_exceptions_for_missing_entries=False)
        name, revision = (name, revision) if is_there else model.weights
    with refusing("tokenizer of", name):
        return AutoTokenizer.from_pretrained(name, revision=revision or "main", trust_remote_code=False)


def load_whole(model: ModelInfo, dtype: str, num_gpus: int = 1) -> Any:  # noqa: ANN401  no stubs
    """
    Load a whole model with its output layer, to generate text; see `Blocks` for the parameters.

    Raises
    ------
    DataError
        If it cannot be loaded, or there are too few GPUs.
    """
    name, revision = model.weights
    with refusing("model", name), quietly():
        loaded = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision or "main",
            dtype=getattr(torch, dtype),
            trust_remote_code=False,
            attn_implementation=_attention(model.text),
            **_devices(num_gpus),
        )
    if model.adapter:
        with refusing("adapter", model.name):
            merge(loaded, model.adapter)  # in place; what it returns lacks the output layer
    return loaded.eval()


class Blocks:
    """
    A model up to one block, which gives the residual stream that leaves it.

    Neither later blocks nor the output layer are loaded.

    Parameters
    ----------
    model : ModelInfo
        Which one.
    block : int
        The last block, from 0.
    dtype : str
        Of the weights: "bfloat16", "float16" or "float32".
    num_gpus : int
        GPUs that the model is spread over, through accelerate; where there is no GPU, the model is on the CPU.

    Raises
    ------
    DataError
        If weights are missing, there are too few GPUs, or the model's blocks cannot be found.
    """

    def __init__(self, model: ModelInfo, block: int, dtype: str, num_gpus: int = 1) -> None:
        config = type(model.config).from_dict(model.config.to_dict())
        _cut(config.get_text_config(), block + 1)
        devices = _devices(num_gpus)
        name, revision = model.weights
        of_class = AutoModelForCausalLM if model.adapter else AutoModel
        with refusing("model", name), quietly():
            self._model, info = of_class.from_pretrained(
                name,
                config=config,
                revision=revision or "main",
                dtype=getattr(torch, dtype),
                output_loading_info=True,
                trust_remote_code=False,
                attn_implementation=_attention(config.get_text_config()),
                **devices,
            )
        if info["missing_keys"]:
            msg = f"The model {quoted(name)} lacks weights: {listed(sorted(info['missing_keys']))}."
            raise DataError(msg)
        if model.adapter:
            with refusing("adapter", model.name):
                self._model = merge(self._model, model.adapter)
        self._model.eval()
        self._last = _find_blocks(self._model, block + 1, model.name)[block]
        self._last.register_forward_hook(self._keep)
        self.first_device = next(self._model.parameters()).device
        self.last_device = next(self._last.parameters()).device

    def residual(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """
        Run the blocks.

        Parameters
        ----------
        tokens, mask : Tensor of shape (prompts, longest), int64
            Padded on the right; on `first_device`.

        Returns
        -------
        Tensor of shape (prompts, longest, width)
            What leaves the last block, before any final norm; on `last_device`, in the model's dtype.
        """
        self._model(input_ids=tokens, attention_mask=mask, use_cache=False)
        return self._kept

    def _keep(self, _module: object, _inputs: object, output: Any) -> None:  # noqa: ANN401  a tensor, or a tuple of it
        self._kept: torch.Tensor = output[0] if isinstance(output, tuple) else output


def _cut(text: Any, depth: int) -> None:  # noqa: ANN401  no stubs
    """Shorten a configuration, and every list in it that has an entry for each block."""
    before = text.num_hidden_layers
    for key in ("layer_types", "mlp_layer_types"):
        if len(getattr(text, key, None) or ()) == before:
            setattr(text, key, getattr(text, key)[:depth])
    text.num_hidden_layers = depth


def _attention(text: Any) -> str | None:  # noqa: ANN401  no stubs
    """Return the attention to ask for: some releases of transformers leave Gemma 2's soft cap out of the faster one."""
    return "eager" if getattr(text, "attn_logit_softcapping", None) else None


def _find_blocks(model: torch.nn.Module, depth: int, name: str) -> torch.nn.ModuleList:
    lists = [
        module
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == depth and path.split(".")[-1] in ("layers", "h")
    ]
    if len(lists) != 1:
        msg = (
            f"The model {quoted(name)} is built in a way that featurediff does not know: {len(lists)} lists of blocks."
        )
        raise DataError(msg)
    return lists[0]


def _devices(num_gpus: int) -> dict[str, Any]:
    found = torch.cuda.device_count()
    if num_gpus <= 1:
        return {"device_map": "cuda:0" if found else "cpu"}
    if found < num_gpus:
        msg = f"--gpus-per-model {num_gpus} needs as many GPUs, but {found} can be seen."
        raise DataError(msg)
    from accelerate.utils import get_max_memory

    memory = get_max_memory()
    return {"device_map": "auto", "max_memory": {gpu: memory[gpu] for gpu in range(num_gpus)}}
