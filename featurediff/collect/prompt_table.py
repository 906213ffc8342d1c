"""`prompts.parquet`: what was asked, what was answered, and how many tokens were read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurediff.labels import PROMPTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from featurediff.collect.answers import Answered
    from featurediff.collect.planning import Plan
    from featurediff.labels import Side

PROMPT_TEXTS = pa.schema(
    [("prompt_set", pa.string()), ("prompt_id", pa.int32()), ("content", pa.string()), ("label", pa.string())]
)
"""A row for each prompt that was run; `label` is missing where the prompt file has none."""


def write_prompts(path: Path, plan: Plan, answered: Answered) -> None:
    """
    Write the prompts that were run.

    Besides the columns of `PROMPT_TEXTS` there may be `group`; `response`, and of every pool `tokens_NAME`, each as
    `base_…` and `chat_…` where the models differ in it.
    """
    chats = answered.chats["base"]
    asked = {of: {prompt.prompt_id: prompt for prompt in plan.files[of].prompts} for of in PROMPTS}
    rows = [(of, asked[of][prompt_id]) for of in PROMPTS for prompt_id in chats[of].prompt_ids.tolist()]
    columns: dict[str, Any] = {
        "prompt_set": [of for of, _ in rows],
        "prompt_id": [prompt.prompt_id for _, prompt in rows],
        "content": [prompt.content for _, prompt in rows],
        "label": [prompt.label for _, prompt in rows],
    }
    schema = PROMPT_TEXTS
    if plan.settings.group is not None:
        columns["group"] = [prompt.group for _, prompt in rows]
        schema = schema.append(pa.field("group", pa.string()))
    for name, kind, values in [*_responses(plan, answered), *_numbers_of_tokens(plan, answered)]:
        columns[name] = values
        schema = schema.append(pa.field(name, kind))
    pq.write_table(pa.table(columns, schema=schema), path)


def _responses(plan: Plan, answered: Answered) -> list[tuple[str, pa.DataType, list[Any]]]:
    """Return the columns of responses."""
    if plan.settings.response_column:
        texts = {of: {prompt.prompt_id: prompt.response for prompt in plan.files[of].prompts} for of in PROMPTS}
        given = [texts[of][prompt_id] for of in PROMPTS for prompt_id in answered.chats["base"][of].prompt_ids.tolist()]
        return [("response", pa.string(), given)]
    if answered.generated is None:
        return []
    from featurediff.collect.models import load_tokenizer

    tokenizer = load_tokenizer(plan.models["chat"])
    written: dict[Side, list[str]] = {
        side: [
            tokenizer.decode(answered.generated[side][of][prompt_id], skip_special_tokens=True)
            for of in PROMPTS
            for prompt_id in answered.chats[side][of].prompt_ids.tolist()
        ]
        for side in SIDES
    }
    names = _by_side("response", written, differ=plan.settings.generate_by == "each")
    return [(name, pa.string(), written[side]) for name, side in names.items()]


def _numbers_of_tokens(plan: Plan, answered: Answered) -> list[tuple[str, pa.DataType, list[Any]]]:
    """Return the columns that say how many tokens each pool has read."""
    columns: list[tuple[str, pa.DataType, list[Any]]] = []
    for index, pool in enumerate(plan.positions.pools, start=len(plan.positions.offsets)):
        counts = {
            side: np.concatenate([answered.chats[side][of].counts[:, index] for of in PROMPTS]).tolist()
            for side in SIDES
        }
        names = _by_side(f"tokens_{pool.name}", counts, differ=counts["base"] != counts["chat"])
        columns += [(name, pa.int32(), counts[side]) for name, side in names.items()]
    return columns


def _by_side(name: str, columns: Mapping[Side, Any], *, differ: bool) -> dict[str, Side]:
    """Return names of columns and the model that each is of: one for both, where they do not differ."""
    return {f"{side}_{name}": side for side in columns} if differ else {name: "base"}
