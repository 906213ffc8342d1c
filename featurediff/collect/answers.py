"""What each model reads: the prompts, and the responses that a model generated for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from featurediff.collect.responses import with_responses
from featurediff.collect.shards import cut
from featurediff.errors import DataError
from featurediff.labels import PROMPTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from featurediff.collect.chat import Chats
    from featurediff.collect.planning import Plan
    from featurediff.collect.shards import Shard, Workshop
    from featurediff.labels import Prompts, Side

_Tokens = dict[int, "NDArray[np.int32]"]


@dataclass(frozen=True, eq=False)
class Answered:
    """What each model reads."""

    chats: Mapping[Side, Mapping[Prompts, Chats]]
    """Prompts with their responses, where there are any; of the same prompts for both models."""

    generated: Mapping[Side, Mapping[Prompts, _Tokens]] | None
    """Prompt id → tokens of the generated response that a model reads; None where none are generated."""

    notes: tuple[str, ...]
    """Why prompts were left out: a sentence each."""


def answer(plan: Plan, workshop: Workshop, work: Callable[[Workshop, Sequence[Shard]], None]) -> Answered:
    """
    Have the prompts answered, where that is asked for.

    Parameters
    ----------
    plan : Plan
        What to do.
    workshop : Workshop
        Where responses are kept: a run that goes on reads those of the run before.
    work : callable
        Does shards, and saves what comes of them.

    Raises
    ------
    DataError
        If a model answers nothing to a prompt, or writes a token that the other does not know.
    """
    settings = plan.settings
    if not settings.writers:
        return Answered(dict.fromkeys(SIDES, plan.chats), None, ())
    writers = settings.writers
    shards, kept = cut(dict.fromkeys(writers, plan.chats)), replace(workshop, stage="responses")
    work(kept, shards)
    written: dict[Side, dict[Prompts, _Tokens]] = {side: {prompts: {} for prompts in PROMPTS} for side in writers}
    for shard in shards:
        rows = kept.read(shard).to_pydict()
        written[shard.side][shard.prompts] |= {
            prompt_id: np.array(tokens, dtype=np.int32)
            for prompt_id, tokens in zip(rows["prompt_id"], rows["tokens"], strict=True)
        }
    silent, notes = _find_silent(plan, written)
    left = {prompts: _without(plan, prompts, silent[prompts]) for prompts in PROMPTS}
    read = {side: written[side if side in written else writers[0]] for side in SIDES}
    chats: dict[Side, dict[Prompts, Chats]] = {
        side: {prompts: with_responses(left[prompts], of_side[prompts], plan.positions) for prompts in PROMPTS}
        for side, of_side in read.items()
    }
    for side, model in plan.models.items():
        model.check_tokens(max(int(of_set.tokens.max()) for of_set in chats[side].values()))
    return Answered(chats, read, notes)


def _find_silent(
    plan: Plan, written: Mapping[Side, Mapping[Prompts, _Tokens]]
) -> tuple[dict[Prompts, set[int]], tuple[str, ...]]:
    """Return the prompts to which a model answers nothing, and a sentence on each."""
    silent: dict[Prompts, set[int]] = {prompts: set() for prompts in PROMPTS}
    notes = []
    for side, sets in written.items():
        for prompts, responses in sets.items():
            file = plan.files[prompts]
            for prompt in file.prompts:
                tokens = responses.get(prompt.prompt_id)
                if tokens is not None and not len(tokens):
                    silent[prompts].add(prompt.prompt_id)
                    notes.append(f"{prompt.where(file.name)}: the {side} model answers nothing.")
    if notes and not plan.settings.skip_bad:
        msg = f"{notes[0]} Mend it, or leave such prompts out with --skip-bad."
        raise DataError(msg)
    return silent, tuple(notes)


def _without(plan: Plan, prompts: Prompts, silent: set[int]) -> Chats:
    chats = plan.chats[prompts]
    which = np.flatnonzero(~np.isin(chats.prompt_ids, sorted(silent)))
    if len(which) < 2:
        name = plan.files[prompts].name
        msg = f"`{name}` has too few answered prompts ({len(which)}). Expected at least 2: the std needs as many."
        raise DataError(msg)
    return chats.take(which)
