"""Responses that a model generates, and prompts with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from transformers import GenerationConfig

from featurediff.collect.chat import Chats
from featurediff.collect.encoder import enough_memory, split
from featurediff.collect.models import load_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from featurediff.collect.models import ModelInfo
    from featurediff.collect.positions import Positions
    from featurediff.collect.recipe import Recipe
    from featurediff.collect.shards import Shard

RESPONSES = pa.schema([("prompt_id", pa.int32()), ("tokens", pa.list_(pa.int32()))])
"""A row for each prompt of a shard: the tokens that the model wrote, without the one that ends them."""


class Writer:
    """
    A whole model that answers prompts, greedily.

    Parameters
    ----------
    model : ModelInfo
        Which one.
    recipe : Recipe
        How to run it, and how many tokens it may write.
    """

    def __init__(self, model: ModelInfo, recipe: Recipe) -> None:
        self._model = load_whole(model, recipe.dtype, recipe.num_gpus)
        self._device = next(self._model.parameters()).device
        self._batch_size = recipe.batch_size
        own = self._model.generation_config
        ends = own.eos_token_id if own.eos_token_id is not None else model.text.eos_token_id
        self._ends = np.atleast_1d([] if ends is None else ends)
        # A configuration of its own: the model's may ask for sampling, or for a penalty on what was said before.
        self._model.generation_config = GenerationConfig(
            max_new_tokens=recipe.generate, do_sample=False, eos_token_id=ends, pad_token_id=0, use_cache=True
        )
        self._new_tokens = recipe.generate or 0

    def work(
        self, shards: Iterable[Shard], advance: Callable[[int], None] = lambda _: None
    ) -> Iterator[tuple[Shard, pa.Table]]:
        """
        Yield each shard with the model's responses, a table of `RESPONSES`.

        Parameters
        ----------
        shards : iterable of Shard
            For this model.
        advance : callable
            Is told the number of prompts of each batch that is done.
        """
        for shard in shards:
            written: list[list[int]] = []
            for chats in split(shard.chats, self._batch_size, self._device.type, self._new_tokens):
                written += self._answer(chats)
                advance(len(chats))
            yield shard, pa.table([shard.chats.prompt_ids, written], schema=RESPONSES)

    @torch.inference_mode()
    def _answer(self, chats: Chats) -> list[list[int]]:
        """Return the tokens that the model writes after each prompt, up to the one that ends them."""
        tokens, mask = _pad_left(chats)
        with enough_memory(len(chats)):
            found = self._model.generate(
                torch.from_numpy(tokens).to(self._device), attention_mask=torch.from_numpy(mask).to(self._device)
            )
        new = found[:, tokens.shape[1] :].numpy(force=True)
        is_end = np.isin(new, self._ends)
        lengths = np.where(is_end.any(axis=1), is_end.argmax(axis=1), new.shape[1])
        return [row[:length].tolist() for row, length in zip(new, lengths, strict=True)]


def _pad_left(chats: Chats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sequences side by side with padding before them, and a mask that is 0 there."""
    longest = chats.lengths.max()
    mask = np.arange(longest) >= longest - chats.lengths[:, None]
    tokens = np.zeros(mask.shape, dtype=np.int64)
    tokens[mask] = chats.tokens
    return tokens, mask.astype(np.int64)


def with_responses(chats: Chats, responses: Mapping[int, NDArray[np.int32]], positions: Positions) -> Chats:
    """
    Return prompts with what a model has answered, which pools of responses then read.

    Parameters
    ----------
    chats : Chats
        The prompts.
    responses : mapping
        Prompt id → tokens.
    positions : Positions
        What is read of each.
    """
    reads_response = [False] * len(positions.offsets) + [pool.part == "response" for pool in positions.pools]
    sequences, found = [], []
    starts, at = chats.ends - chats.lengths, 0
    for prompt_id, start, end, counts in zip(chats.prompt_ids.tolist(), starts, chats.ends, chats.counts, strict=True):
        response = responses[prompt_id]
        length = int(end - start)
        of_types = []
        for count, is_response in zip(counts.tolist(), reads_response, strict=True):
            own = chats.places[at : at + count].tolist()
            of_types.append(list(range(length, length + len(response))) if is_response else own)
            at += count
        sequences.append(np.concatenate([chats.tokens[start:end], response]).astype(np.int32))
        found.append(of_types)
    return Chats.of(chats.prompt_ids.tolist(), sequences, found)
