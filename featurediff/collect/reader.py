"""Residual streams of tokens → the features that are active, each group of tokens pooled into one, and the fit."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from featurediff.collect.decoder import Active, measure
from featurediff.collect.fit import Fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from featurediff.collect.decoder import Decoder
    from featurediff.collect.pools import Pooled
    from featurediff.collect.saes import Sae

_MAX_ACTIVATIONS = 2**25
"""Activations that are computed at a time: 128 MiB in float32, whatever the SAE's width."""

_ROWS = 1024
"""Tokens that are made float64 at a time."""


class Read(NamedTuple):
    """What was read of a batch, in the host's memory; a group is a prompt × token types + a token type."""

    groups: NDArray[np.int32]
    """Shape (active,), like the next three."""

    features: NDArray[np.int32]
    """Feature ids; one stands at most once in a group."""

    activations: NDArray[np.float32]
    """Their activations, none of them 0."""

    in_units: NDArray[np.float32] | None
    """Activations times what undoes the SAE's scaling of the token; None where it does not scale."""

    is_finite: NDArray[np.bool_]
    """Whether the model gave numbers; shape (groups,)."""

    fit: Fit | None
    """How well the SAE reads the model; None where it is not asked for."""


def to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Copy an array to a device, without waiting for what a GPU is at: from memory that may move, torch waits."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class Reading:
    """
    What is being copied into the host's memory, so that a GPU need not wait before it is given the next batch.

    Parameters
    ----------
    finite : Tensor of shape (groups,)
        1 where the model gave numbers.
    columns : sequence of Tensor
        Groups, features and activations, and those in the residual's units where the SAE scales tokens.
    sums : sequence of Tensor
        The fields of `Fit`; none where the fit is not asked for.
    """

    def __init__(self, finite: torch.Tensor, columns: Sequence[torch.Tensor], sums: Sequence[torch.Tensor]) -> None:
        self._finite, *copies = (part.to("cpu", non_blocking=True) for part in (finite, *columns, *sums))
        self._columns, self._sums = copies[: len(columns)], copies[len(columns) :]
        self._arrived = torch.cuda.current_stream(finite.device).record_event() if finite.is_cuda else None

    def wait(self) -> Read:
        """Return it once it is there."""
        if self._arrived:
            self._arrived.synchronize()
        groups, features, activations, *in_units = (column.numpy() for column in self._columns)
        return Read(
            groups.astype(np.int32),
            features.astype(np.int32),
            activations,
            in_units[0] if in_units else None,
            self._finite.numpy().astype(bool),
            Fit(*(part.numpy() for part in self._sums)) if self._sums else None,
        )


class Reader:
    """
    Encodes tokens, and says how well the SAE reads them.

    Parameters
    ----------
    sae : Sae
        On the device of the tokens.
    decoder : Decoder or None
        Of the SAE; None where the fit is not asked for.
    pooled : sequence of {"no", "max", "mean"}
        How the tokens of each token type become one.
    tf32 : bool
        Whether a GPU multiplies in TF32, whose products are right to about 3 digits.
    """

    def __init__(self, sae: Sae, decoder: Decoder | None, pooled: Sequence[Pooled], *, tf32: bool) -> None:
        self._sae, self._decoder, self._pooled, self._tf32 = sae, decoder, pooled, tf32

    def read(self, tokens: torch.Tensor, counts: NDArray[np.int32]) -> Reading:
        """
        Read tokens; returns when it is known how many features are active, while the rest is still on its way.

        Parameters
        ----------
        tokens : Tensor of shape (tokens, width), float32
            Their residual streams, in the order of prompts, then of token types.
        counts : ndarray of shape (prompts, token types)
            How many tokens each of these groups has.
        """
        sizes = to_device(counts.reshape(-1).astype(np.int64), tokens.device)
        groups = torch.repeat_interleave(torch.arange(len(sizes), device=tokens.device), sizes, output_size=len(tokens))
        found, measured = [], []
        step = max(1, _MAX_ACTIVATIONS // self._sae.num_features)
        for start in range(0, len(tokens), step):
            some = tokens[start : start + step]
            with _multiplying(tf32=self._tf32 and some.is_cuda):
                acts = self._sae.encode(some)
            at = acts.nonzero(as_tuple=True)
            active = Active(at[0], at[1], acts[at])
            parts = [groups[active.rows + start], active.features, active.activations]
            if self._decoder:
                measured.append(measure(some, self._decoder.decode(active, len(some)), active))
                if self._decoder.scales_tokens:
                    parts.append(active.activations * self._decoder.scale()[active.rows, 0])
            found.append(parts)
        columns = [torch.cat(parts) for parts in zip(*found, strict=True)]
        if any(how != "no" for how in self._pooled):
            columns = self._pool(columns, sizes)
        finite = torch.ones_like(sizes).scatter_reduce(0, groups, tokens.isfinite().all(dim=-1).to(sizes.dtype), "amin")
        sums = _sum_up(tokens, torch.cat(measured), counts) if measured else []
        return Reading(finite, columns, sums)

    def _pool(self, columns: list[torch.Tensor], sizes: torch.Tensor) -> list[torch.Tensor]:
        """
        Make one activation of those of a feature on the tokens of a group.

        Tokens on which a feature is silent count as 0: the mean is over all tokens of the group, and a maximum of 0 is
        none. Sorting keeps the order of tokens, so that sums do not depend on the device's mood.
        """
        groups, features, *values = columns
        keys, order = torch.sort(groups * self._sae.num_features + features, stable=True)
        keys, lengths = torch.unique_consecutive(keys, return_counts=True)
        of_group = keys // self._sae.num_features
        how = np.array([("no", "max", "mean").index(name) for name in self._pooled])
        kind = to_device(how, keys.device)[of_group % len(how)]
        pooled = []
        for value in (value[order] for value in values):
            largest, total = (
                torch.segment_reduce(value, name, lengths=lengths, unsafe=True) for name in ("max", "sum")
            )
            pooled.append(torch.where(kind == 1, largest, torch.where(kind == 2, total / sizes[of_group], total)))
        is_active = torch.where(kind == 1, pooled[0] > 0, pooled[0] != 0)
        return [column[is_active] for column in (of_group, keys % self._sae.num_features, *pooled)]


@contextlib.contextmanager
def _multiplying(*, tf32: bool) -> Iterator[None]:
    """Multiply in TF32 or in float32, whatever was said before."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _sum_up(tokens: torch.Tensor, measured: torch.Tensor, counts: NDArray[np.int32]) -> list[torch.Tensor]:
    """Add up what was measured of the tokens of each token type, to the fields of `Fit`."""
    token_types = counts.shape[1]
    of_type = np.repeat(np.tile(np.arange(token_types), len(counts)), counts.reshape(-1))
    weights = np.repeat(1 / np.maximum(counts, 1).reshape(-1), counts.reshape(-1))
    parts = []
    for token_type in range(token_types):
        which = np.flatnonzero(of_type == token_type)
        here, weight = (to_device(array, tokens.device) for array in (which, weights[which]))
        chosen = tokens if len(which) == len(tokens) else tokens[here]
        mean = chosen.sum(dim=0, dtype=torch.float64) / max(len(which), 1)
        squares, level = mean.new_zeros(()), torch.zeros_like(mean)
        for start in range(0, len(which), _ROWS):
            exact = chosen[start : start + _ROWS].to(torch.float64)
            squares += (exact - mean).square().sum()
            level += weight[start : start + _ROWS] @ exact
        count = torch.full((), len(which), dtype=torch.float64, device=tokens.device)
        parts.append([count, mean, squares, measured[here].sum(dim=0), level])
    return [torch.stack(column) for column in zip(*parts, strict=True)]
