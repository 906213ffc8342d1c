"""`base.pt` and `chat.pt` → checked, typed arrays."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from featurediff.errors import DataError
from featurediff.files import kind_of, read_whole
from featurediff.labels import SIDES, Side
from featurediff.sources.metadata import Metadata, parse_metadata
from featurediff.sources.pt_archive import is_vector_name, load_archive
from featurediff.sources.vectors import COUNTS, parse_vectors
from featurediff.wording import legible, listed, plural, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_OLDER_KEYS = ("all_mean", "all_std", "max", "num_active", "sparsity")
_BASE, _CHAT = {"base"}, {"chat", "instruct", "it"}
"""`model_ver` of the models as they are called without more words; any other word becomes a label."""

_BASE_WORDS = _BASE | {"pretrained", "pretrain", "pt", "untuned", "original"}
_CHAT_WORDS = _CHAT | {"instruction", "tuned", "finetuned", "finetune", "ft", "sft", "dpo", "rlhf", "lora"}
_MOST = 40

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
    """
    Token type → vector name → read-only array of shape (num_features,). The two `*_num_active` are int64; in others NaN
    is where the file has no finite number. None is infinite.
    """

    rounding: Mapping[str, float] = field(default_factory=dict)
    """Vector name → the largest relative error of its numbers as they were stored; only where narrower than float32."""

    left_out: frozenset[str] = frozenset()
    """Vectors of the file that are not in `vectors`."""

    remarks: tuple[str, ...] = ()
    """What of the file is left out or blank, and why, a sentence or two each."""


@dataclass(frozen=True, eq=False)
class Results:
    """One source: the same SAE read in a base model and in the chat model tuned from it."""

    base: ModelResults
    """The base model."""

    chat: ModelResults
    """The chat model: the same token types, vectors and features as base."""

    remarks: tuple[str, ...] = ()
    """What is left out as only one of the files has it, a sentence or two each."""

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
        return tuple(name for name in self.vector_names if name not in COUNTS)

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
    if kind_of(folder) == "file":
        msg = f"`{folder}` is a file, but expected the folder with `base.pt` and `chat.pt`: give `{folder.parent}`."
        raise DataError(msg)
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


def _parse_model(data: bytes, name: str) -> ModelResults:
    content = load_archive(data, name)
    _check_not_older(content, name)
    metadata, remarks = parse_metadata(content, name)
    others = _beside_token_types(content, metadata, name)
    if others:
        remarks.append(f"`{name}` has {listed(others)} beside its token types: left out.")
    vectors = parse_vectors(content, metadata, name)
    remarks += [*vectors.left_out.values(), *vectors.remarks]
    return ModelResults(
        name,
        sha256(data).hexdigest(),
        metadata,
        vectors.arrays,
        rounding=vectors.rounding,
        left_out=frozenset(vectors.left_out),
        remarks=tuple(remarks),
    )


def _beside_token_types(content: dict[Any, Any], metadata: Metadata, name: str) -> list[object]:
    """List what a file holds beside its token types; refuse other token types than the metadata lists."""
    others = [key for key in content if key not in ("metadata", *metadata.token_types)]
    unlisted = [key for key in others if isinstance(content[key], dict) and any(map(is_vector_name, content[key]))]
    if unlisted or not all(token_type in content for token_type in metadata.token_types):
        found = [key for key in content if key in metadata.token_types or key in unlisted]
        msg = (
            f"`{name}` has the token types {listed(found)}, but its metadata lists {listed(metadata.token_types)}. "
            "Expected the same ones."
        )
        raise DataError(msg)
    return others


def _check_not_older(content: dict[Any, Any], name: str) -> None:
    for token_type, vectors in content.items():
        if token_type != "metadata" and isinstance(vectors, dict) and not any(is_vector_name(key) for key in vectors):
            older = [key for key in vectors if key in _OLDER_KEYS and hasattr(vectors[key], "dtype")]
            if older:
                msg = (
                    f"`{name}`: token type {quoted(token_type)} is in the older format without a control half: it has "
                    f"{listed(older)}, but expected 'target_num_active', 'control_num_active' and so on. "
                    "Collect it again on target and control prompts."
                )
                raise DataError(msg)


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
    if None not in (ours.pair_id, theirs.pair_id) and ours.pair_id != theirs.pair_id:
        msg = (
            f"{names[1]} says pair_id {quoted(theirs.pair_id)} but {names[0]} says {quoted(ours.pair_id)}. "
            "They are of two runs: was one of them replaced? Write both again."
        )
        raise DataError(msg)
    for said in ("sae_layer", "sae_trainer", "sae_release", "sae_id"):
        base_value, chat_value = getattr(ours, said), getattr(theirs, said)
        if base_value != chat_value and base_value is not None and chat_value is not None:
            msg = (
                f"{names[1]} says {said} {quoted(chat_value)} but {names[0]} says {quoted(base_value)}. "
                "Were they made with the same SAE?"
            )
            raise DataError(msg)
    if set(ours.token_types) != set(theirs.token_types):
        msg = (
            f"{names[1]} has the token types {listed(theirs.token_types)}, but {names[0]} has "
            f"{listed(ours.token_types)}. Expected the same ones: collect both at the same positions."
        )
        raise DataError(msg)
    return _with_same_vectors(base, chat)


def _with_same_vectors(base: ModelResults, chat: ModelResults) -> Results:
    """Return two models without the vectors that only one of them has."""
    remarks: list[str] = []
    models: list[ModelResults] = []
    for model, other in ((base, chat), (chat, base)):
        mine, theirs = (next(iter(one.vectors.values())) for one in (model, other))
        remarks += [
            f"`{other.name}` has no {quoted(vector)}, but `{model.name}` has. It is left out."
            for vector in mine
            if vector not in theirs and vector not in other.left_out
        ]
        shared = {
            token_type: {vector: array for vector, array in vectors.items() if vector in theirs}
            for token_type, vectors in model.vectors.items()
        }
        models.append(replace(model, vectors=shared))
    return Results(models[0], models[1], tuple(remarks))


def _check_versions(base: ModelResults, chat: ModelResults) -> None:
    if base.metadata == chat.metadata and base.sha256 == chat.sha256:
        msg = f"`{base.name}` and `{chat.name}` are the same file. Expected one of the base and one of the chat model."
        raise DataError(msg)
    said = f"`{base.name}` says model_ver {quoted(base.metadata.model_ver)}, `{chat.name}` says"
    said = f"{said} {quoted(chat.metadata.model_ver)}"
    if base.metadata.model_ver.strip().casefold() == chat.metadata.model_ver.strip().casefold():
        msg = f"{said}. Expected a base and a chat model. Is it the same model twice?"
        raise DataError(msg)
    is_base = chat.metadata.model_ver.strip().casefold() in _BASE
    if _kind(chat) == "base" and (_kind(base) == "chat" or (is_base and _kind(base) != "base")):
        msg = f"{said}. Expected 'base' and then 'chat'. Were the two files swapped?"
        raise DataError(msg)


def _kind(model: ModelResults) -> Side | None:
    """Return which of the two models a file's `model_ver` says that it is, by a word in it; None where it does not."""
    words = set(re.split(r"[^a-z0-9]+", model.metadata.model_ver.casefold()))
    return "chat" if words & _CHAT_WORDS else "base" if words & _BASE_WORDS else None


def words_of_models(results: Results) -> dict[Side, str]:
    """
    Return what the files call the two models, where that is more than base, or chat and its synonyms.

    Chat's word is left out only if base's is, too. Of a long word the first 40 characters, and of lines one.
    """
    said = {side: " ".join(legible(results.of(side).metadata.model_ver).split()) for side in SIDES}
    words = {side: word if len(word) <= _MOST else f"{word[: _MOST - 1]}…" for side, word in said.items()}
    is_usual = {"base": words["base"].casefold() in {"", *_BASE}, "chat": words["chat"].casefold() in {"", *_CHAT}}
    is_usual["chat"] &= is_usual["base"] or not words["chat"]
    return {side: word for side, word in words.items() if not is_usual[side]}


def is_synthetic(results: Results) -> bool:
    """Whether the demo made these results."""
    return results.base.metadata.source.startswith(SYNTHETIC)
