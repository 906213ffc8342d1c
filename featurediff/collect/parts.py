"""Which tokens of a chat are the user's own, without those of the template and special tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from featurediff.errors import DataError
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurediff.collect.prompts import Prompt
    from featurediff.collect.templates import Refused

_MARK = "featurediff"
"""A text that stands in for the user's, to see what the template writes before and after it."""


def mark(prompt: Prompt) -> Prompt:
    """Return a prompt with the mark in place of what the user says last."""
    return replace(prompt, content=_MARK)


def find_special(tokenizer: Any) -> set[int]:  # noqa: ANN401  transformers is imported late
    """
    Return the special tokens, which are nobody's words.

    Raises
    ------
    DataError
        If the tokenizer does not say where its tokens stand, without which `find_own` has nothing to go by.
    """
    if not tokenizer.is_fast:
        msg = f"The tokenizer of {quoted(tokenizer.name_or_path)} does not say where tokens stand. Leave --pool out."
        raise DataError(msg)
    return {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}


def find_own(
    text: str | Refused,
    marked: str | Refused,
    tokens: Sequence[int],
    spans: Sequence[tuple[int, int]],
    special: set[int],
) -> list[int] | str:
    """
    Find the tokens of what the user says last.

    A token counts if all of its characters are the user's, and it is no special one.

    Parameters
    ----------
    text : str or Refused
        A prompt in the chat template.
    marked : str or Refused
        The same of `mark(prompt)`.
    tokens : sequence of int
        Of the text.
    spans : sequence of (int, int)
        The characters of each token: the first, and the one after the last.
    special : set of int
        Tokens that are nobody's words.

    Returns
    -------
    list of int or str
        Indices of tokens, or why there are none, as the rest of a sentence.
    """
    around = (text, marked) if isinstance(text, str) and isinstance(marked, str) else None
    start, end = _between(*around) if around else (0, 0)
    own = [
        index
        for index, (token, (first, last)) in enumerate(zip(tokens, spans, strict=True))
        if token not in special and start <= first < last <= end
    ]
    return own or "what the user says has no token, but --pool reads those."


def _between(text: str, marked: str) -> tuple[int, int]:
    """Return where the user's words begin and end in a text, given the same with a mark in their place."""
    before, _, after = marked.rpartition(_MARK)
    is_around = text.startswith(before) and text.endswith(after) and len(before) + len(after) <= len(text)
    return (len(before), len(text) - len(after)) if is_around else (0, 0)
