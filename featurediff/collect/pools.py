"""Token types that are several tokens in one: `--pool NAME=PART:max|mean`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from featurediff.errors import DataError
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Part = Literal["prompt", "response"]
Pooled = Literal["no", "max", "mean"]
"""How tokens become one: "no" where a token type is one token."""


@dataclass(frozen=True)
class Pool:
    """A part of each chat that is read as one."""

    name: str
    """The token type."""

    part: Part
    """The user's own tokens, or those of the response."""

    how: Pooled
    """The largest or the mean activation of each feature."""


def parse_pools(texts: Sequence[str], taken: Collection[str]) -> tuple[Pool, ...]:
    """
    Read `--pool NAME=PART:max|mean`.

    Parameters
    ----------
    texts : sequence of str
        What was given.
    taken : collection of str
        Names of positions.

    Raises
    ------
    DataError
        If one is no such text, or its name is taken.
    """
    pools: dict[str, Pool] = {}
    for text in texts:
        name, _, rest = (part.strip() for part in text.rpartition("="))
        part, _, how = rest.partition(":")
        is_new = name not in ("", "metadata", *taken, *pools)
        if not is_new or part not in get_args(Part) or how not in ("max", "mean"):
            msg = f"--pool is a new name, a part and how, such as said=response:max, but {quoted(text)} was given."
            raise DataError(msg)
        pools[name] = Pool(name, cast("Part", part), cast("Pooled", how))
    return tuple(pools.values())
