"""Shards of prompts → the features that are active at each position."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from featurediff.collect.decoder import Active, measure
from featurediff.collect.fit import Fit
from featurediff.collect.models import Blocks, ModelInfo, describe_model
from featurediff.collect.saes import Sae, load_sae
from featurediff.collect.shards import ACTIVE, SCALED, Encoded
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

    fit: bool = True
    """Whether to say how well the SAE reads the model."""

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

    in_units: NDArray[np.float32] | None
    """Activations times what undoes the SAE's scaling of the token; None where it does not scale."""

    is_finite: NDArray[np.bool_]
    """Whether the model gave numbers; shape (prompts × token types,)."""

    fit: Fit | None
    """How well the SAE reads the model; None where it is not asked for."""


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
        self._decoder = sae.decoder if recipe.fit else None
        sae.to(self.blocks.last_device, decodes=self._decoder is not None)

    def warm_up(self, chats: Chats) -> None:
        """Run the batch of the longest prompts on a GPU, so that one which is too small says so at once."""
        if self.blocks.first_device.type == "cuda":
            longest = self.batches(chats)[-1]
            self._finish(longest, self._start(longest))

    def encode(
        self, shards: Iterable[Shard], advance: Callable[[int], None] = lambda _: None
    ) -> Iterator[tuple[Shard, Encoded]]:
        """
        Yield each shard with its active features.

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
        before: tuple[_Batch, _Found] | None = None
        for batch in chain(self._batches(shards), [None]):
            residual = self._start(batch.chats) if batch else None
            if before:
                done = before[0]
                parts.append(_to_encoded(*before))
                advance(len(done.chats))
                if done.is_last:
                    yield done.shard, Encoded.merge(parts)
                    parts = []
            before = (batch, self._finish(batch.chats, residual)) if batch and residual is not None else None

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
    def _finish(self, chats: Chats, residual: torch.Tensor) -> _Found:
        """Encode a batch, wait for the device, and take from it what is active."""
        found, measured = [], []
        step = max(1, _MAX_ACTIVATIONS // self._sae.num_features)
        with _enough_memory(len(chats)):
            for start in range(0, len(residual), step):
                tokens = residual[start : start + step]
                acts = self._sae.encode(tokens)
                at = acts.nonzero(as_tuple=True)
                active = Active(at[0], at[1], acts[at])
                parts = [(active.rows + start).to(torch.int32), active.features.to(torch.int32), active.activations]
                if self._decoder:
                    measured.append(measure(tokens, self._decoder.decode(active, len(tokens)), active))
                    if self._decoder.scales_tokens:
                        parts.append(active.activations * self._decoder.scale()[active.rows, 0])
                found.append([part.numpy(force=True) for part in parts])
            is_finite = residual.isfinite().all(dim=-1).numpy(force=True)
            fit = _sum_up(residual, torch.cat(measured), chats.positions.shape[1]) if measured else None
        rows, features, activations, *more = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return _Found(rows, features, activations, more[0] if more else None, is_finite, fit)


def _sum_up(residual: torch.Tensor, measured: torch.Tensor, token_types: int) -> Fit:
    """Add up what was measured of the tokens of a batch, which are in the order of prompts, then of positions."""
    exact = residual.reshape(-1, token_types, residual.shape[-1]).to(torch.float64)
    mean = exact.mean(dim=0)
    squares = (exact - mean).square().sum(dim=(0, 2))
    sums = measured.reshape(-1, token_types, measured.shape[-1]).sum(dim=0)
    count = np.full(token_types, len(exact), dtype=np.float64)
    return Fit(count, *(part.numpy(force=True) for part in (mean, squares, sums)))


def _to_encoded(batch: _Batch, found: _Found) -> Encoded:
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
    if found.in_units is None:
        return Encoded(pa.table(columns, schema=ACTIVE), found.fit)
    return Encoded(pa.table([*columns, found.in_units], schema=SCALED), found.fit)


@contextlib.contextmanager
def _enough_memory(prompts: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        msg = f"The GPU has too little memory for a batch of {prompts} prompts. Give a smaller --batch-size."
        raise DataError(msg) from error
