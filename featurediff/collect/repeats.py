"""Prompts that stand in both sets, or twice in one."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from featurediff.labels import PROMPTS
from featurediff.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurediff.collect.chat import Chats
    from featurediff.collect.prompts import Prompt, PromptFile
    from featurediff.labels import Prompts


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
                f"{plural(surplus, 'prompt')} of the {prompts} set stand there before, such as "
                f"{second.where(files[prompts].name)}, which is that of line {first.line}. Each counts."
            )
    shared = [key for key in found["target"] if key in found["control"]]
    if shared:
        target, control = (found[prompts][shared[0]][0] for prompts in PROMPTS)
        said.append(
            f"{plural(len(shared), 'prompt')} stand in both sets, such as {target.where(files['target'].name)} and "
            f"line {control.line} of `{files['control'].name}`. No feature that is active on them is active on target "
            "prompts only."
        )
    return tuple(said)


def _by_tokens(file: PromptFile, chats: Chats) -> dict[bytes, list[Prompt]]:
    """Return the prompts that were kept, by a digest of their tokens."""
    by_id = {prompt.prompt_id: prompt for prompt in file.prompts}
    found: dict[bytes, list[Prompt]] = {}
    starts = chats.ends - chats.lengths
    for prompt_id, start, end in zip(chats.prompt_ids.tolist(), starts.tolist(), chats.ends.tolist(), strict=True):
        digest = blake2b(chats.tokens[start:end].tobytes(), digest_size=16).digest()
        found.setdefault(digest, []).append(by_id[prompt_id])
    return found
