"""Shards of prompts → the features that are active at each position."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from featurediff.collect.models import Blocks, ModelInfo, describe_model
from featurediff.collect.saes import Sae, load_sae
from featurediff.collect.shards import ACTIVE
from featurediff.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from featurediff.collect.chat import Chats
    from featurediff.collect.shards import Shard

_TOKENS = {"cuda": 8192, "cpu": 1024}
"""Tokens in a batch, padding included, on each kind of device: enough to keep it busy."""

_MAX_ACTIVATIONS = 2**25
"""Activations that are computed at a time: 128 MiB in float32, whatever the SAE's width."""


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to know to make its encoder."""

    model: str
    """Hub id or local folder."""

    revision: str | None
    """Commit on the hub; None for a local folder."""

    sae: str
    """RELEASE:SAE_ID or local folder."""

    layer: int | None
    """Of the SAE, where it does not say."""

    dtype: str
    """Of the model."""

    batch_size: int | None
    """Prompts in a batch; None for as many as the device likes."""

    num_gpus: int
    """GPUs that one model is spread over."""

    def load(self) -> Encoder:
        """Load model and SAE."""
        sae = load_sae(self.sae, self.layer)
        return Encoder(describe_model(self.model, self.revision), sae, self)


class _Batch(NamedTuple):
    """Prompts that are run together."""

    shard: Shard
    """The shard they belong to."""

    chats: Chats
    """The prompts themselves."""

    is_last: bool
    """Whether the shard ends with them."""


class _Found(NamedTuple):
    """What a batch gave, in the host's memory."""

    rows: NDArray[np.int32]
    """Prompt of the batch × token types + token type; shape (active,), like the next two."""

    features: NDArray[np.int32]
    """Feature ids."""

    activations: NDArray[np.float32]
    """Their activations, none of them 0."""

    is_finite: NDArray[np.bool_]
    """Whether the model gave numbers; shape (prompts × token types,)."""


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
        sae.to(self.blocks.last_device)

    def warm_up(self, chats: Chats) -> None:
        """Run the batch of the longest prompts on a GPU, so that one which is too small says so at once."""
        if self.blocks.first_device.type == "cuda":
            self._finish(self._start(self.batches(chats)[-1]))

    def encode(
        self, shards: Iterable[Shard], advance: Callable[[int], None] = lambda _: None
    ) -> Iterator[tuple[Shard, pa.Table]]:
        """
        Yield each shard with its active features, a table of `ACTIVE`.

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
        tables: list[pa.Table] = []
        before: tuple[_Batch, _Found] | None = None
        for batch in chain(self._batches(shards), [None]):
            residual = self._start(batch.chats) if batch else None
            if before:
                done = before[0]
                tables.append(_to_table(*before))
                advance(len(done.chats))
                if done.is_last:
                    yield done.shard, pa.concat_tables(tables)
                    tables = []
            before = (batch, self._finish(residual)) if batch and residual is not None else None

    def batches(self, chats: Chats) -> list[Chats]:
        """Split prompts, best in order of length, into what is run together."""
        tokens = _TOKENS[self.blocks.first_device.type]
        size = self._batch_size or max(1, tokens // int(chats.lengths.max()))
        return [chats.take(which) for which in np.array_split(np.arange(len(chats)), -(-len(chats) // size))]

    def residual(self, chats: Chats) -> torch.Tensor:
        """Return the residual stream of a batch, shape (prompts, longest, width); the device may still be at it."""
        tokens, mask = (torch.from_numpy(array).to(self.blocks.first_device) for array in chats.padded())
        return self.blocks.residual(tokens, mask)

    def _batches(self, shards: Iterable[Shard]) -> Iterator[_Batch]:
        for shard in shards:
            *others, last = self.batches(shard.chats)
            yield from (_Batch(shard, chats, is_last=False) for chats in others)
            yield _Batch(shard, last, is_last=True)

    @torch.inference_mode()
    def _start(self, chats: Chats) -> torch.Tensor:
        """Return the residual stream at the positions, shape (prompts × token types, width), float32."""
        with _enough_memory(len(chats)):
            residual = self.residual(chats)
            at = torch.from_numpy(chats.positions).to(residual.device, torch.int64)
            wanted = residual.take_along_dim(at[:, :, None], dim=1)
            return wanted.reshape(-1, self._sae.width).to(torch.float32)

    @torch.inference_mode()
    def _finish(self, residual: torch.Tensor) -> _Found:
        """Encode a batch, wait for the device, and take from it what is active."""
        found = []
        step = max(1, _MAX_ACTIVATIONS // self._sae.num_features)
        with _enough_memory(len(residual)):
            for start in range(0, len(residual), step):
                acts = self._sae.encode(residual[start : start + step])
                at = acts.nonzero(as_tuple=True)
                parts = ((at[0] + start).to(torch.int32), at[1].to(torch.int32), acts[at])
                found.append([part.numpy(force=True) for part in parts])
            is_finite = residual.isfinite().all(dim=-1).numpy(force=True)
        rows, features, activations = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return _Found(rows, features, activations, is_finite)


def _to_table(batch: _Batch, found: _Found) -> pa.Table:
    num_types = batch.chats.positions.shape[1]
    if not found.is_finite.all():
        prompt = batch.chats.prompt_ids[found.is_finite.argmin() // num_types]
        msg = (
            f"The {batch.shard.side} model gives NaN or infinite values for {batch.shard.prompts} prompt {prompt}. "
            "Use --dtype bfloat16 or float32."
        )
        raise DataError(msg)
    prompts, token_types = np.divmod(found.rows, num_types)
    columns = [token_types.astype(np.int8), batch.chats.prompt_ids[prompts], found.features, found.activations]
    return pa.table(columns, schema=ACTIVE)


@contextlib.contextmanager
def _enough_memory(prompts: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        msg = f"The GPU has too little memory for a batch of {prompts} prompts. Give a smaller --batch-size."
        raise DataError(msg) from error
