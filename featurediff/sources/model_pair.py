"""Do two files belong together: of base and of chat, of one SAE and of one run."""

from __future__ import annotations

import re
from dataclasses import replace

from featurediff.errors import DataError
from featurediff.labels import SIDES, Side
from featurediff.sources.results import ModelResults, Results
from featurediff.wording import legible, listed, plural, quoted

_BASE, _CHAT = {"base"}, {"chat", "instruct", "it"}
"""`model_ver` of the models as they are called without more words; any other word becomes a label."""

_BASE_WORDS = _BASE | {"pretrained", "pretrain", "pt", "untuned", "original"}
_CHAT_WORDS = _CHAT | {"instruction", "tuned", "finetuned", "finetune", "ft", "sft", "dpo", "rlhf", "lora"}
_LONGEST = 40
"""Characters of a word that becomes a label."""


def pair(base: ModelResults, chat: ModelResults) -> Results:
    """
    Return two models as one source.

    Raises
    ------
    DataError
        If they are the same file or model, in the other order, or of different SAEs, runs or token types.
    """
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
    words = {side: word if len(word) <= _LONGEST else f"{word[: _LONGEST - 1]}…" for side, word in said.items()}
    is_usual = {"base": words["base"].casefold() in {"", *_BASE}, "chat": words["chat"].casefold() in {"", *_CHAT}}
    is_usual["chat"] &= is_usual["base"] or not words["chat"]
    return {side: word for side, word in words.items() if not is_usual[side]}
