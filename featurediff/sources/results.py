"""`base.pt` and `chat.pt` → checked, typed arrays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from featurediff.errors import DataError
from featurediff.files import kind_of, read_whole
from featurediff.labels import Side
from featurediff.sources.metadata import Metadata, parse_metadata
from featurediff.sources.pt_archive import is_vector_name, load_archive, refuse, to_array
from featurediff.wording import MAX_NAME, is_name, listed, plural, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Vectors = dict[str, NDArray[np.generic]]

_PREFIXES: tuple[Literal["target", "control"], ...] = ("target", "control")
_COUNTS = tuple(f"{prompts}_num_active" for prompts in _PREFIXES)
_OLDER_KEYS = {"all_mean", "all_std", "max", "num_active", "sparsity"}
_BASE_VERSIONS = {"base"}
_CHAT_VERSIONS = {"chat", "instruct", "it"}
_SPARSITY_TOLERANCE = 1e-4

SYNTHETIC = "synthetic"
"""How `source` starts in the metadata of results that the demo made."""


@dataclass(frozen=True, eq=False)
class ModelResults:
    """Statistics of every SAE feature in one model."""

    name: str
    """File name as shown to people."""

    sha256: str
    """SHA-256 of the whole file, in hex."""

    metadata: Metadata
    """What the file says about itself."""

    vectors: Mapping[str, Mapping[str, NDArray[Any]]]
    """Token type → vector name → read-only array of shape (num_features,), finite. The two `*_num_active` are int64."""


@dataclass(frozen=True, eq=False)
class Results:
    """One source: the same SAE read in a base model and in the chat model tuned from it."""

    base: ModelResults
    """The base model."""

    chat: ModelResults
    """The chat model: the same token types, vectors and features as base."""

    def of(self, side: Side) -> ModelResults:
        """Return one model's statistics."""
        return self.base if side == "base" else self.chat

    @property
    def token_types(self) -> tuple[str, ...]:
        """Token types in the order of the base file's metadata."""
        return self.base.metadata.token_types

    @property
    def vector_names(self) -> tuple[str, ...]:
        """Names of the vectors, such as `target_all_mean`, in the order of the base file."""
        return tuple(self.base.vectors[self.token_types[0]])

    @property
    def metrics(self) -> tuple[str, ...]:
        """The vectors that can be drawn: all but the two `*_num_active`."""
        return tuple(name for name in self.vector_names if name not in _COUNTS)

    @property
    def num_features(self) -> int:
        """Width of the SAE."""
        return self.base.metadata.num_features


def read_results(folder: Path) -> Results:
    """
    Read `base.pt` and `chat.pt` of one source.

    Both are read whole into memory, and read again if they change meanwhile.

    Parameters
    ----------
    folder : Path
        The source.

    Returns
    -------
    Results
        The pair, checked.

    Raises
    ------
    DataError
        If a file is missing, keeps changing, or breaks the format; see `parse_results`.
    """
    paths = [folder / "base.pt", folder / "chat.pt"]
    missing = [path.name for path in paths if kind_of(path) is None]
    if missing:
        lacking = " and no ".join(f"`{name}`" for name in missing)
        msg = f"`{folder}` has no {lacking}. Expected a folder with `base.pt` and `chat.pt`."
        raise DataError(msg)
    with ThreadPoolExecutor(2) as pool:
        return _pair(*pool.map(lambda path: _parse_model(read_whole(path), path.name), paths))


def parse_results(base: bytes, chat: bytes, base_name: str = "base.pt", chat_name: str = "chat.pt") -> Results:
    """
    Check the two files of one source, as from an upload.

    Parameters
    ----------
    base, chat : bytes
        The whole files.
    base_name, chat_name : str
        What they are called in messages.

    Returns
    -------
    Results
        Both models, with the same token types, vectors and features.

    Raises
    ------
    DataError
        If a file is not what `torch.save` writes, breaks the format, or if the two do not belong together.
    """
    with ThreadPoolExecutor(2) as pool:
        return _pair(*pool.map(_parse_model, (base, chat), (base_name, chat_name)))


def notes(results: Results) -> list[str]:
    """
    Say what is odd about a source and yet no reason to refuse it.

    Parameters
    ----------
    results : Results
        The source.

    Returns
    -------
    list of str
        One sentence or two each: models named differently, prompt counts that differ between base and chat, and
        every `*_sparsity` that is not num_active / num_prompts, the share of prompts on which a feature is active.
    """
    base, chat = results.base, results.chat
    found = []
    if base.metadata.model_type != chat.metadata.model_type:
        found.append(
            f"`{base.name}` says model_type {quoted(base.metadata.model_type)}, "
            f"`{chat.name}` says {quoted(chat.metadata.model_type)}."
        )
    for prompts in _PREFIXES:
        base_n, chat_n = base.metadata.num_prompts(prompts), chat.metadata.num_prompts(prompts)
        if base_n != chat_n:
            found.append(
                f"`{base.name}` has {plural(base_n, f'{prompts} prompt')}, `{chat.name}` has {chat_n}: "
                "each rate is a share of its own model's prompts."
            )
    for model in (base, chat):
        for token_type in results.token_types:
            for prompts in _PREFIXES:
                found += _sparsity_notes(model, token_type, prompts)
    return found


def _sparsity_notes(model: ModelResults, token_type: str, prompts: Literal["target", "control"]) -> list[str]:
    sparsity = model.vectors[token_type].get(f"{prompts}_sparsity")
    if sparsity is None:
        return []
    where = f"`{model.name}`: token type {quoted(token_type)}, '{prompts}_sparsity'"
    rate = model.vectors[token_type][f"{prompts}_num_active"] / model.metadata.num_prompts(prompts)
    tolerance = _SPARSITY_TOLERANCE + _rounding(sparsity)
    is_wrong = np.abs(sparsity - rate) > tolerance
    if not is_wrong.any():
        return []
    if (np.abs(sparsity - (1 - rate)) <= tolerance).all():
        return [f"{where} is 1 − num_active / n, the share of prompts on which the feature is NOT active."]
    first = int(is_wrong.argmax())
    return [
        f"{where} is not num_active / n at {is_wrong.sum()} of {len(rate)} features, "
        f"the first is feature {first} with {sparsity[first]:.4g} instead of {rate[first]:.4g}."
    ]


def _rounding(shares: NDArray[Any]) -> float:
    """Return the largest rounding error of shares that are stored in half precision; 0 for those in full precision."""
    as_float32 = shares.astype(np.float32)
    with np.errstate(over="ignore"):  # what is beyond float16 is no share
        if (as_float32 == as_float32.astype(np.float16)).all():
            return 2.0**-11
    is_bfloat16 = not (as_float32.view(np.uint32) & 0xFFFF).any()
    return 2.0**-8 if is_bfloat16 else 0.0


def _parse_model(data: bytes, name: str) -> ModelResults:
    content = load_archive(data, name)
    _check_not_older(content, name)
    metadata = parse_metadata(content, name)
    found = [token_type for token_type in content if token_type != "metadata"]
    if set(found) != set(metadata.token_types):
        msg = (
            f"`{name}` has the token types {listed(found)}, but its metadata lists {listed(metadata.token_types)}. "
            "Expected the same ones."
        )
        raise DataError(msg)
    vectors = {
        token_type: _parse_vectors(content.pop(token_type), metadata, f"`{name}`: token type {quoted(token_type)}")
        for token_type in metadata.token_types
    }
    first_type, first = next(iter(vectors.items()))
    for token_type, arrays in vectors.items():
        for vector in sorted(set(first) ^ set(arrays)):
            has, lacks = (first_type, token_type) if vector in first else (token_type, first_type)
            msg = (
                f"`{name}`: token type {quoted(lacks)} has no {quoted(vector)}, but token type {quoted(has)} has. "
                "Expected the same vectors in every token type."
            )
            raise DataError(msg)
    return ModelResults(name, sha256(data).hexdigest(), metadata, vectors)


def _check_not_older(content: dict[Any, Any], name: str) -> None:
    for token_type, vectors in content.items():
        if token_type != "metadata" and isinstance(vectors, dict) and not any(is_vector_name(key) for key in vectors):
            older = [key for key in vectors if isinstance(key, str) and key in _OLDER_KEYS]
            if older:
                msg = (
                    f"`{name}`: token type {quoted(token_type)} is in the older format without a control half: it has "
                    f"{listed(older)}, but expected 'target_num_active', 'control_num_active' and so on. "
                    "Collect it again on target and control prompts."
                )
                raise DataError(msg)


def _parse_vectors(content: object, metadata: Metadata, where: str) -> dict[str, NDArray[Any]]:
    if not isinstance(content, dict):
        msg = f"{where} is {quoted(content)}, but expected a dict of vectors."
        raise DataError(msg)
    for count in _COUNTS:
        if count not in content:
            msg = f"{where} has no '{count}', but expected the number of prompts on which each feature is active."
            raise DataError(msg)
    named = {vector: tensor for vector, tensor in content.items() if is_vector_name(vector)}
    for vector in named:
        if not is_name(vector):
            msg = f"{where} has {quoted(vector)}, but expected a name of at most {MAX_NAME} Unicode characters."
            raise DataError(msg)
    vectors = {
        vector: to_array(tensor, metadata.num_features, f"{where}, {quoted(vector)}")
        for vector, tensor in named.items()
    }
    for prompts in _PREFIXES:
        count = f"{prompts}_num_active"
        vectors[count] = _whole_counts(vectors[count], metadata, prompts, f"{where}, '{count}'")
    return vectors


def _whole_counts(
    counts: NDArray[Any], metadata: Metadata, prompts: Literal["target", "control"], where: str
) -> NDArray[np.int64]:
    n = metadata.num_prompts(prompts)
    expected = f"Expected whole numbers from 0 to {n} (`num_{prompts}_prompts`)."
    if not (counts.min() >= 0 and counts.max() <= n):
        refuse(counts < 0, counts, where, "is negative", expected)
        refuse(counts > n, counts, where, "is above the number of prompts", expected)
    if counts.dtype.kind == "f":
        refuse(counts % 1 != 0, counts, where, "is not a whole number", expected)
        counts = counts.astype(np.int64)
        counts.setflags(write=False)
    return counts


def _pair(base: ModelResults, chat: ModelResults) -> Results:
    """Return two models as one source; refuse those that do not belong together."""
    _check_versions(base, chat)
    names = f"`{base.name}`", f"`{chat.name}`"
    ours, theirs = base.metadata, chat.metadata
    if ours.num_features != theirs.num_features:
        msg = (
            f"{names[1]} has {plural(theirs.num_features, 'feature')} but {names[0]} has {ours.num_features}. "
            "Were they made with the same SAE?"
        )
        raise DataError(msg)
    for field in ("sae_layer", "sae_trainer", "sae_release", "sae_id"):
        base_value, chat_value = getattr(ours, field), getattr(theirs, field)
        if base_value != chat_value and base_value is not None and chat_value is not None:
            msg = (
                f"{names[1]} says {field} {quoted(chat_value)} but {names[0]} says {quoted(base_value)}. "
                "Were they made with the same SAE?"
            )
            raise DataError(msg)
    if set(ours.token_types) != set(theirs.token_types):
        msg = (
            f"{names[1]} has the token types {listed(theirs.token_types)}, but {names[0]} has "
            f"{listed(ours.token_types)}. Expected the same ones: collect both at the same positions."
        )
        raise DataError(msg)
    base_vectors, chat_vectors = base.vectors[ours.token_types[0]], chat.vectors[ours.token_types[0]]
    for vector in sorted(base_vectors.keys() ^ chat_vectors.keys()):
        has, lacks = names if vector in base_vectors else names[::-1]
        msg = f"{lacks} has no {quoted(vector)}, but {has} has. Expected the same vectors in both."
        raise DataError(msg)
    return Results(base, chat)


def _check_versions(base: ModelResults, chat: ModelResults) -> None:
    if base.metadata == chat.metadata and base.sha256 == chat.sha256:
        msg = f"`{base.name}` and `{chat.name}` are the same file. Expected one of the base and one of the chat model."
        raise DataError(msg)
    base_version, chat_version = (model.metadata.model_ver.strip().casefold() for model in (base, chat))
    said = f"`{base.name}` says model_ver {quoted(base.metadata.model_ver)}, `{chat.name}` says"
    said = f"{said} {quoted(chat.metadata.model_ver)}"
    if base_version == chat_version:
        msg = f"{said}. Expected a base and a chat model. Is it the same model twice?"
        raise DataError(msg)
    if base_version in _CHAT_VERSIONS or chat_version in _BASE_VERSIONS:
        msg = f"{said}. Expected 'base' and then 'chat'. Were the two files swapped?"
        raise DataError(msg)


def is_synthetic(results: Results) -> bool:
    """Whether the demo made these results."""
    return results.base.metadata.source.startswith(SYNTHETIC)
