"""Statistics of every SAE feature in a base and a chat model: what the rest is computed from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from featurediff.labels import Side
from featurediff.sources.metadata import Metadata
from featurediff.sources.vectors import COUNTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


SYNTHETIC = "synthetic"
"""How `source` starts in the metadata of results that the demo made."""


@dataclass(frozen=True, eq=False)
class ModelResults:
    """Statistics of every SAE feature in one model."""

    name: str
    """File name as shown to people."""

    sha256: str
    """SHA-256 of the whole file, in hex."""

    metadata: Metadata
    """What the file says about itself."""

    vectors: Mapping[str, Mapping[str, NDArray[Any]]]
    """
    Token type → vector name → read-only array of shape (num_features,). The two `*_num_active` are int64; in others NaN
    is where the file has no finite number. None is infinite.
    """

    rounding: Mapping[str, float] = field(default_factory=dict)
    """Vector name → the largest relative error of its numbers as they were stored; only where narrower than float32."""

    left_out: frozenset[str] = frozenset()
    """Vectors of the file that are not in `vectors`."""

    remarks: tuple[str, ...] = ()
    """What of the file is left out or blank, and why, a sentence or two each."""


@dataclass(frozen=True, eq=False)
class Results:
    """One source: the same SAE read in a base model and in the chat model tuned from it."""

    base: ModelResults
    """The base model."""

    chat: ModelResults
    """The chat model: the same token types, vectors and features as base."""

    remarks: tuple[str, ...] = ()
    """What is left out as only one of the files has it, a sentence or two each."""

    def of(self, side: Side) -> ModelResults:
        """Return one model's statistics."""
        return self.base if side == "base" else self.chat

    @property
    def token_types(self) -> tuple[str, ...]:
        """Token types in the order of the base file's metadata."""
        return self.base.metadata.token_types

    @property
    def vector_names(self) -> tuple[str, ...]:
        """Names of the vectors, such as `target_all_mean`, in the order of the base file."""
        return tuple(self.base.vectors[self.token_types[0]])

    @property
    def metrics(self) -> tuple[str, ...]:
        """The vectors that can be drawn: all but the two `*_num_active`."""
        return tuple(name for name in self.vector_names if name not in COUNTS)

    @property
    def num_features(self) -> int:
        """Width of the SAE."""
        return self.base.metadata.num_features


def is_synthetic(results: Results) -> bool:
    """Whether the demo made these results."""
    return results.base.metadata.source.startswith(SYNTHETIC)
