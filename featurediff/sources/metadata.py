"""The `metadata` of a `.pt` file, checked field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

from featurediff.errors import DataError
from featurediff.labels import PROMPTS, Prompts
from featurediff.sources.fit import Fit, parse_fit
from featurediff.wording import MAX_NAME, is_name, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHA256 = re.compile(r"[0-9a-f]{64}")
_STRINGS = ("source", "model_type", "model_ver")
_INTEGERS = {
    "sae_layer": (0, 10_000),
    "num_target_prompts": (1, 1_000_000),
    "num_control_prompts": (1, 1_000_000),
    "num_features": (1, 2**31 - 1),
}
"""Least and largest value; an exact test takes memory for every prompt, and feature ids are int32."""

_TEXT = f"a string of at most {MAX_NAME} Unicode characters"
MAX_TOKEN_TYPES = 1000
"""Positions of a file at most."""

_OPTIONAL = ("sae_release", "sae_id", "neuronpedia_id", "pair_id")
_HOOKS = ("hook_name", "hf_hook_name", "hook_point", "hookpoint", "sae_hook_name", "submodule_name")
_CONFIGS = ("sae_config", "sae_cfg", "config", "cfg")
"""What the configuration of the SAE may be called, in which the hook's name stands, perhaps in its `metadata`."""


@dataclass(frozen=True)
class Metadata:
    """What a result file says about itself."""

    source: str
    """Name that the writer gave to the file."""

    model_type: str
    """Model family, such as "gemma"."""

    model_ver: str
    """Which of the two models: "base", or "chat" and its synonyms."""

    sae_layer: int
    """Layer of the model that the SAE reads, from 0."""

    sae_trainer: str
    """Which SAE of that layer; an integer in the file becomes its digits."""

    num_target_prompts: int
    """Denominator of every `target_*` rate of this model; at least 1."""

    num_control_prompts: int
    """Denominator of every `control_*` rate of this model; at least 1."""

    num_features: int
    """Width of the SAE: the length of every vector."""

    token_types: tuple[str, ...]
    """Positions in the chat template that were read, in the writer's order."""

    sae_release: str | None
    """Release of the SAE in SAELens; None when the file does not say."""

    sae_id: str | None
    """Id of the SAE within its release; None when the file does not say."""

    neuronpedia_id: str | None
    """Model and SAE on Neuronpedia, "model/sae"; None when the file does not say."""

    pair_id: str | None = None
    """The same in both files of one run; None when the file does not say."""

    hook_name: str | None = None
    """Where the SAE reads the model, as its library calls it; None when the file does not say."""

    fit: Fit = field(default_factory=Fit)
    """How well the SAE reads the model, as far as the file says."""

    prompt_files: Mapping[str, str] = field(default_factory=dict)
    """"target" and "control" → SHA-256 of the file that the prompts came from; empty when the file does not say."""

    def num_prompts(self, prompts: Prompts) -> int:
        """Return the number of prompts of one set, the denominator of its rates."""
        return self.num_target_prompts if prompts == "target" else self.num_control_prompts


def parse_metadata(content: Mapping[Any, Any], name: str) -> tuple[Metadata, list[str]]:
    """
    Check the metadata of one file.

    Parameters
    ----------
    content : mapping
        The whole dict of the file.
    name : str
        What the file is called in messages.

    Returns
    -------
    tuple of Metadata and list of str
        Every field of the right type and in range; and a sentence on each optional field that is left out.

    Raises
    ------
    DataError
        If there is no metadata, or a field that is required is missing, of the wrong type or out of range.
    """
    if "metadata" not in content:
        msg = f"`{name}` has no `metadata`: expected a dict of model, SAE and prompt counts under that key."
        raise DataError(msg)
    fields = content["metadata"]
    if not isinstance(fields, dict):
        msg = f"`{name}`: `metadata` is {quoted(fields)}, but expected a dict."
        raise DataError(msg)
    token_types = _token_types(fields, name)
    unusable = [field for field in _OPTIONAL if not (fields.get(field) is None or is_name(fields[field]))]
    metadata = Metadata(
        **{field: _string(fields, field, name) for field in _STRINGS},
        **{field: _integer(fields, field, *limits, name) for field, limits in _INTEGERS.items()},
        **_optional(fields, unusable),
        sae_trainer=_trainer(fields, name),
        token_types=token_types,
        hook_name=_hook_name(fields),
        fit=parse_fit(fields, token_types, name),
        prompt_files=_prompt_files(fields),
    )
    return metadata, [
        f"`{name}`: `{field}` in the metadata is {quoted(fields[field])}, but expected {_TEXT}. It is left out."
        for field in unusable
    ]


def _required(fields: dict[Any, Any], field: str, expected: str, name: str) -> object:
    if field not in fields:
        msg = f"`{name}`: `metadata` has no `{field}`, but expected {expected}."
        raise DataError(msg)
    value: object = fields[field]
    return value


def _expect(is_right: bool, field: str, value: object, expected: str, name: str) -> None:
    if not is_right:
        msg = f"`{name}`: `{field}` in the metadata is {quoted(value)}, but expected {expected}."
        raise DataError(msg)


def _string(fields: dict[Any, Any], field: str, name: str) -> Any:  # noqa: ANN401  spread over fields by the caller
    value = _required(fields, field, _TEXT, name)
    _expect(is_name(value), field, value, _TEXT, name)
    return value


def _integer(fields: dict[Any, Any], field: str, lowest: int, largest: int, name: str) -> Any:  # noqa: ANN401  as above
    expected = f"an integer from {lowest} to {largest}"
    value = _required(fields, field, expected, name)
    _expect(_is_integer(value) and lowest <= value <= largest, field, value, expected, name)
    return value


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _optional(fields: dict[Any, Any], unusable: list[str]) -> Any:  # noqa: ANN401  as in _string
    return {field: None if field in unusable else fields.get(field) for field in _OPTIONAL}


def _hook_name(fields: dict[Any, Any]) -> str | None:
    """Return the first hook name in the metadata, or in the SAE's configuration there."""
    places: list[Any] = [fields]
    for config in (fields.get(key) for key in _CONFIGS):
        if isinstance(config, dict):
            places += [config, config.get("metadata")]
    named = (place.get(key) for place in places if isinstance(place, dict) for key in _HOOKS)
    return next((name for name in named if is_name(name) and name.strip()), None)


def _trainer(fields: dict[Any, Any], name: str) -> str:
    expected = f"{_TEXT} or an integer"
    value = _required(fields, "sae_trainer", expected, name)
    _expect(is_name(value) or _is_integer(value), "sae_trainer", value, expected, name)
    return value if isinstance(value, str) else quoted(value)


def _token_types(fields: dict[Any, Any], name: str) -> tuple[str, ...]:
    of_list = f"different, non-empty strings of at most {MAX_NAME} Unicode characters"
    expected = f"a list of {of_list}"
    value: Any = _required(fields, "token_types", expected, name)
    _expect(isinstance(value, list | tuple), "token_types", value, expected, name)
    if not value:
        msg = f"`{name}`: `token_types` in the metadata is empty, but expected {expected}."
        raise DataError(msg)
    if len(value) > MAX_TOKEN_TYPES:
        many = f"{len(value)} names, but expected at most {MAX_TOKEN_TYPES}"
        msg = f"`{name}`: `token_types` in the metadata has {many}."
        raise DataError(msg)
    seen: set[str] = set()
    for position, token_type in enumerate(value):
        is_new = is_name(token_type) and token_type != "" and token_type not in seen
        _expect(is_new, f"token_types[{position}]", token_type, of_list, name)
        seen.add(token_type)
    return tuple(value)


def _prompt_files(fields: dict[Any, Any]) -> dict[str, str]:
    """Return the SHA-256 of each prompt file, as `featurediff collect` writes it; anything else is left out."""
    files = fields.get("prompt_files")
    said = {key: files.get(key) for key in PROMPTS} if isinstance(files, dict) else {}
    digests = {key: file.get("sha256") for key, file in said.items() if isinstance(file, dict)}
    return {key: value for key, value in digests.items() if isinstance(value, str) and _SHA256.fullmatch(value)}
