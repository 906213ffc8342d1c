"""The size of what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from featurediff.collect.pools import Pooled


class Shape(NamedTuple):
    """The size of what is written."""

    token_types: tuple[str, ...]
    """Names of the positions."""

    num_features: int
    """Width of the SAE."""

    pooled: tuple[Pooled, ...]
    """How the tokens of each position become one."""
