"""Shards of prompts → the features that are active at each position."""

from __future__ import annotations

import contextlib
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from featurediff.collect.models import Blocks, ModelInfo
from featurediff.collect.reader import Read, Reader, Reading, to_device
from featurediff.collect.saes import Sae
from featurediff.collect.shards import ACTIVE, SCALED, Encoded
from featurediff.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from featurediff.collect.chat import Chats
    from featurediff.collect.recipe import Recipe
    from featurediff.collect.shards import Shard

_TOKENS = {"cuda": 8192, "cpu": 1024}
"""Tokens in a batch, padding included, on each kind of device: enough to keep it busy."""


class _Batch(NamedTuple):
    """Prompts that are run together."""

    shard: Shard
    """The shard they belong to."""

    chats: Chats
    """The prompts themselves."""

    is_last: bool
    """Whether the shard ends with them."""


class Encoder:
    """
    A model's first blocks and an SAE, on the first GPU or, where there is none, the CPU.

    Parameters
    ----------
    model : ModelInfo
        Which model.
    sae : Sae
        Which SAE; it is moved to where the last block is.
    recipe : Recipe
        How to run them.
    """

    def __init__(self, model: ModelInfo, sae: Sae, recipe: Recipe) -> None:
        self.blocks = Blocks(model, sae.block, recipe.dtype, recipe.num_gpus)
        self._sae = sae
        self._batch_size = recipe.batch_size
        decoder = sae.decoder if recipe.fit else None
        sae.to(self.blocks.last_device, decodes=decoder is not None)
        self._reader = Reader(sae, decoder, recipe.pooled, tf32=recipe.tf32)

    def warm_up(self, chats: Chats) -> None:
        """Run the batch of the longest prompts on a GPU, so that one which is too small says so at once."""
        if self.blocks.first_device.type == "cuda":
            longest = self.batches(chats)[-1]
            self._read(longest, self._start(longest)).wait()

    def work(
        self, shards: Iterable[Shard], advance: Callable[[int], None] = lambda _: None
    ) -> Iterator[tuple[Shard, pa.Table]]:
        """
        Yield each shard with its active features, as `Encoded.to_table` writes them.

        While a GPU works on one batch, the host deals with what came of the one before; nothing but active features
        leaves the GPU.

        Parameters
        ----------
        shards : iterable of Shard
            For this model.
        advance : callable
            Is told the number of prompts of each batch that is done.

        Raises
        ------
        DataError
            If the GPU runs out of memory, or the model gives NaN or infinite values.
        """
        parts: list[Encoded] = []
        before: tuple[_Batch, Reading] | None = None
        for batch in chain(self._batches(shards), [None]):
            tokens = self._start(batch.chats) if batch else None
            if before:
                done = before[0]
                parts.append(_to_encoded(done, before[1].wait()))
                advance(len(done.chats))
                if done.is_last:
                    yield done.shard, Encoded.merge(parts).to_table()
                    parts = []
            before = (batch, self._read(batch.chats, tokens)) if batch and tokens is not None else None

    def batches(self, chats: Chats) -> list[Chats]:
        """Split prompts, best in order of length, into what is run together."""
        return split(chats, self._batch_size, self.blocks.first_device.type)

    def residual(self, chats: Chats) -> torch.Tensor:
        """Return the residual stream of a batch, shape (prompts, longest, width); the device may still be at it."""
        tokens, mask = (to_device(array, self.blocks.first_device) for array in chats.padded())
        return self.blocks.residual(tokens, mask)

    def _batches(self, shards: Iterable[Shard]) -> Iterator[_Batch]:
        for shard in shards:
            *others, last = self.batches(shard.chats)
            yield from (_Batch(shard, chats, is_last=False) for chats in others)
            yield _Batch(shard, last, is_last=True)

    @torch.inference_mode()
    def _start(self, chats: Chats) -> torch.Tensor:
        """Return the residual stream of the tokens that are read, shape (reads, width), float32; a GPU may be at it."""
        with enough_memory(len(chats)):
            residual = self.residual(chats)
            prompts = np.repeat(np.arange(len(chats)), chats.counts.sum(axis=1))
            at = (to_device(which, residual.device) for which in (prompts, chats.places.astype(np.int64)))
            return residual[tuple(at)].to(torch.float32)

    @torch.inference_mode()
    def _read(self, chats: Chats, tokens: torch.Tensor) -> Reading:
        """Encode a batch, as soon as the device has its tokens."""
        with enough_memory(len(chats)):
            return self._reader.read(tokens, chats.counts)


def _to_encoded(batch: _Batch, found: Read) -> Encoded:
    num_types = batch.chats.counts.shape[1]
    if not found.is_finite.all():
        prompt = batch.chats.prompt_ids[found.is_finite.argmin() // num_types]
        msg = (
            f"The {batch.shard.side} model gives NaN or infinite values for {batch.shard.prompts} prompt {prompt}. "
            "Use --dtype bfloat16 or float32."
        )
        raise DataError(msg)
    prompts, token_types = np.divmod(found.groups, num_types)
    columns = [token_types.astype(np.int8), batch.chats.prompt_ids[prompts], found.features, found.activations]
    if found.in_units is None:
        return Encoded(pa.table(columns, schema=ACTIVE), found.fit)
    return Encoded(pa.table([*columns, found.in_units], schema=SCALED), found.fit)


def split(chats: Chats, batch_size: int | None, device: str, new_tokens: int = 0) -> list[Chats]:
    """
    Split prompts, best in order of length, into what is run together.

    Parameters
    ----------
    chats : Chats
        The prompts.
    batch_size : int or None
        How many; None for as many as keep the device busy.
    device : str
        "cuda" or "cpu".
    new_tokens : int
        Tokens that come after each.
    """
    size = batch_size or max(1, _TOKENS[device] // (int(chats.lengths.max()) + new_tokens))
    return [chats.take(which) for which in np.array_split(np.arange(len(chats)), -(-len(chats) // size))]


@contextlib.contextmanager
def enough_memory(prompts: int) -> Iterator[None]:
    """Refuse a batch of so many prompts that a GPU has too little memory for."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        msg = f"The GPU has too little memory for a batch of {prompts} prompts. Give a smaller --batch-size."
        raise DataError(msg) from error
