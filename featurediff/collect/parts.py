"""Which tokens of a chat are the user's own, without those of the template and special tokens."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from featurediff.collect.templates import fill_in
from featurediff.errors import DataError
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from featurediff.collect.prompts import Prompt
    from featurediff.collect.templates import Template

_MARK = "featurediff"
"""A text that stands in for the user's, to see what the template writes before and after it."""

_AT_A_TIME = 1024


def find_own(tokenizer: Any, template: Template, prompts: Sequence[Prompt]) -> Iterator[list[int] | str]:  # noqa: ANN401
    """
    Find the tokens of what the user says last.

    A token counts if all of its characters are the user's, and it is no special one.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The chat model's.
    template : Template
        Its chat template.
    prompts : sequence of Prompt
        Which ones.

    Yields
    ------
    list of int or str
        For each prompt indices into its tokens, or why there are none, as the rest of a sentence.

    Raises
    ------
    DataError
        If the tokenizer does not say where its tokens stand.
    """
    if not tokenizer.is_fast:
        msg = f"The tokenizer of {quoted(tokenizer.name_or_path)} does not say where tokens stand. Leave --pool out."
        raise DataError(msg)
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    marked = [replace(prompt, content=_MARK) for prompt in prompts]
    texts = zip(fill_in(template, prompts), fill_in(template, marked), strict=True)
    while some := list(islice(texts, _AT_A_TIME)):
        whole = [text if isinstance(text, str) else "" for text, _ in some]
        encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        for (text, mark), tokens, spans in zip(some, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            around = (text, mark) if isinstance(text, str) and isinstance(mark, str) else None
            start, end = _between(*around) if around else (0, 0)
            own = [
                index
                for index, (token, (first, last)) in enumerate(zip(tokens, spans, strict=True))
                if token not in special and start <= first < last <= end
            ]
            yield own or "what the user says has no token, but --pool reads those."


def _between(text: str, marked: str) -> tuple[int, int]:
    """Return where the user's words begin and end in a text, given the same with a mark in their place."""
    before, _, after = marked.rpartition(_MARK)
    is_around = text.startswith(before) and text.endswith(after) and len(before) + len(after) <= len(text)
    return (len(before), len(text) - len(after)) if is_around else (0, 0)
