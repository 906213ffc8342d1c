"""What is odd about prompts and models, and not refused."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from featurediff.labels import PROMPTS
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurediff.collect.chat import Chats
    from featurediff.collect.models import ModelInfo
    from featurediff.collect.prompts import Prompt, PromptFile
    from featurediff.labels import Prompts, Side


def say_repeats(files: Mapping[Prompts, PromptFile], chats: Mapping[Prompts, Chats]) -> tuple[str, ...]:
    """
    Say which prompts are the same to the models, token by token.

    Parameters
    ----------
    files, chats : mapping
        Both prompt sets, as they are in the files and as the models read them.

    Returns
    -------
    tuple of str
        A sentence for each set with repeated prompts, and one for prompts in both sets.
    """
    said = []
    found = {prompts: _by_tokens(files[prompts], chats[prompts]) for prompts in PROMPTS}
    for prompts, of_set in found.items():
        repeated = [same for same in of_set.values() if len(same) > 1]
        if repeated:
            first, second = repeated[0][:2]
            surplus = sum(len(same) - 1 for same in repeated)
            said.append(
                f"Prompts of the {prompts} set that repeat one before: {surplus}, such as "
                f"{second.where(files[prompts].name)}, which is that of line {first.line}. Each counts."
            )
    shared = [key for key in found["target"] if key in found["control"]]
    if shared:
        target, control = (found[prompts][shared[0]][0] for prompts in PROMPTS)
        said.append(
            f"Prompts in both sets: {len(shared)}, such as {target.where(files['target'].name)} and "
            f"line {control.line} of `{files['control'].name}`. No feature that is active on them is active on target "
            "prompts only."
        )
    return tuple(said)


def say_context(files: Mapping[Prompts, PromptFile], system: str | None) -> tuple[str, ...]:
    """
    Say how many prompts have a system prompt of their own, or stand in a conversation.

    Parameters
    ----------
    files : mapping
        Both prompt sets.
    system : str or None
        The system prompt that was asked for, which is not said.

    Returns
    -------
    tuple of str
        A sentence for each set with such prompts.
    """
    said = []
    for prompts, file in files.items():
        roles = [
            [role for role, text in prompt.before if (role, text) != ("system", system)] for prompt in file.prompts
        ]
        own = sum("system" in of_prompt for of_prompt in roles)
        talks = sum(any(role != "system" for role in of_prompt) for of_prompt in roles)
        if own or talks:
            said.append(
                f"Of the {len(roles)} prompts of the {prompts} set, {own} have a system prompt of their own, and "
                f"{talks} come after other turns."
            )
    return tuple(said)


def say_adapters(models: Mapping[Side, ModelInfo]) -> tuple[str, ...]:
    """Say where the chat model is an adapter of another model than the base model."""
    base, adapter = models["base"], models["chat"].adapter
    if adapter is None or adapter.base in base.names:
        return ()
    return (
        f"The adapter {quoted(adapter.name)} was trained on {quoted(adapter.base)}, and --base is {quoted(base.name)}. "
        "What differs may be the two models, and not the tuning.",
    )


def _by_tokens(file: PromptFile, chats: Chats) -> dict[bytes, list[Prompt]]:
    """Return the prompts that were kept, by a digest of their tokens."""
    by_id = {prompt.prompt_id: prompt for prompt in file.prompts}
    found: dict[bytes, list[Prompt]] = {}
    starts = chats.ends - chats.lengths
    for prompt_id, start, end in zip(chats.prompt_ids.tolist(), starts.tolist(), chats.ends.tolist(), strict=True):
        digest = blake2b(chats.tokens[start:end].tobytes(), digest_size=16).digest()
        found.setdefault(digest, []).append(by_id[prompt_id])
    return found
