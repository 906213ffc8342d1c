"""What a prompt file says of one prompt, whatever its format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

CONVERSATIONS = ("messages", "conversation", "conversations")
"""Keys under which people keep a whole conversation; the first that is there is read where there is no prompt."""

_DEFAULT_COLUMN = "content"


class Bad(NamedTuple):
    """A record that is no prompt."""

    line: int
    """Where it begins in the file, from 1."""

    reason: str
    """What is wrong and what was expected, as the rest of a sentence."""


class Record(NamedTuple):
    """What a file says of one prompt."""

    line: int
    """Where it begins in the file, from 1."""

    fields: dict[str, Any]
    """By name; a line of text and a bare JSON string stand under the column that was asked for."""


def prompt_key(names: Iterable[str], column: str) -> str | None:
    """Return the key that holds the prompt or a conversation; None if there is neither."""
    names = tuple(names)
    others = CONVERSATIONS if column == _DEFAULT_COLUMN else ()
    return next((name for name in (column, *others) if name in names), None)
