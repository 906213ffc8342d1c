"""The work cut into pieces, and the hidden folder where finished pieces wait for the others."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurediff.collect.fit import Fit
from featurediff.errors import DataError
from featurediff.files import sync
from featurediff.labels import PROMPTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from featurediff.collect.chat import Chats
    from featurediff.labels import Prompts, Side

_SIZE = 512
"""Prompts in a shard: what a crash can cost."""

ACTIVE = pa.schema(
    [
        pa.field("token_type", pa.int8(), nullable=False),
        pa.field("prompt_id", pa.int32(), nullable=False),
        pa.field("feature_id", pa.int32(), nullable=False),
        pa.field("activation", pa.float32(), nullable=False),
    ]
)
"""A row for each active feature of a shard; `token_type` counts the positions."""

SCALED = ACTIVE.append(pa.field("in_units", pa.float32(), nullable=False))
"""The same where the SAE scales each token: `in_units` is the activation times what undoes that."""

_FIT = b"featurediff fit"

_BROKEN = (OSError, ValueError, KeyError, pa.ArrowException)
"""What reading a damaged shard raises."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """What is known of a shard once it is encoded."""

    active: pa.Table
    """Of `ACTIVE` or `SCALED`."""

    fit: Fit | None
    """How well the SAE reads the model on these prompts; None where it does not decode."""

    def to_table(self) -> pa.Table:
        """Return one table, the fit in the metadata of its schema."""
        return self.active.replace_schema_metadata({_FIT: self.fit.to_bytes()} if self.fit else None)

    @staticmethod
    def merge(parts: Sequence[Encoded]) -> Encoded:
        """Put together what is known of several batches, in the order given."""
        fits = [part.fit for part in parts if part.fit]
        return Encoded(pa.concat_tables([part.active for part in parts]), Fit.merge(fits) if fits else None)

    @classmethod
    def from_table(cls, table: pa.Table, token_types: int) -> Encoded:
        """Take such a table apart."""
        fit = (table.schema.metadata or {}).get(_FIT)
        return cls(table.replace_schema_metadata(), Fit.from_bytes(fit, token_types) if fit else None)


@dataclass(frozen=True, eq=False)
class Shard:
    """Some prompts of one set, for one model."""

    side: Side
    """Which model."""

    prompts: Prompts
    """Which prompt set."""

    number: int
    """Its place among the shards of this model and set."""

    chats: Chats
    """The prompts, in order of length."""

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.side}-{self.prompts}-{self.number:06}.parquet"


def cut(chats: Mapping[Side, Mapping[Prompts, Chats]]) -> list[Shard]:
    """
    Cut what each model reads of both prompt sets into shards.

    Prompts of a similar length come together, so that little is padded. What is in a shard depends on the prompts only.
    """
    shards = []
    for side, sets in chats.items():
        for prompts, of_set in sets.items():
            order = np.argsort(of_set.lengths, kind="stable")
            pieces = np.array_split(order, -(-len(order) // _SIZE))
            shards += [Shard(side, prompts, i, of_set.take(piece)) for i, piece in enumerate(pieces)]
    return sorted(shards, key=lambda shard: shard.name)


def fingerprint(facts: Mapping[str, Any], chats: Mapping[Prompts, Chats]) -> str:
    """Return a short name of everything that a result depends on."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for prompts in PROMPTS:
        of_set = chats[prompts]
        for array in (of_set.prompt_ids, of_set.tokens, of_set.ends, of_set.places, of_set.counts):
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Workshop:
    """A hidden folder beside the results, which outlives a run that is killed; a shard is there whole or not at all."""

    folder: Path
    """Named by the fingerprint, so that only a run with the same result goes on from it."""

    stage: str = ""
    """What shards are there for: "responses" or, by itself, what is read."""

    def has(self, shard: Shard) -> bool:
        """Tell whether a shard is done and whole; one that a loss of power or a full disk cut is made again."""
        try:
            self._read(shard)
        except _BROKEN:
            return False
        return True

    def save(self, shard: Shard, table: pa.Table) -> None:
        """Keep what came of a shard; saving it twice is the same as once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(shard)
        made = path.with_name(f"{path.name}.{os.getpid()}")
        pq.write_table(table, made, compression="none", use_dictionary=False, write_page_checksum=True)
        sync(made)
        made.replace(path)

    def read(self, shard: Shard) -> pa.Table:
        """
        Return what was saved.

        Raises
        ------
        DataError
            If the file is damaged or gone.
        """
        try:
            return self._read(shard)
        except _BROKEN as error:
            msg = f"`{self._path(shard)}` is damaged or gone. Run this again: what is missing is made anew."
            raise DataError(msg) from error

    def _read(self, shard: Shard) -> pa.Table:
        return pq.read_table(self._path(shard), page_checksum_verification=True, partitioning=None)

    def _path(self, shard: Shard) -> Path:
        return self.folder / f"{self.stage}{'-' * bool(self.stage)}{shard.name}"
