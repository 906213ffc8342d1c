"""Prompts → token sequences in the chat model's template, and where to read each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from featurediff.collect.positions import PRESETS, find_last
from featurediff.collect.templates import Refused, fill_in
from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from featurediff.collect.positions import Positions
    from featurediff.collect.prompts import Prompt, PromptFile
    from featurediff.collect.templates import Template

_AT_A_TIME = 1024

_TAIL = 120
"""Characters from the end of a prompt in the chat template that a message shows."""


@dataclass(frozen=True, eq=False)
class Chats:
    """Prompts as the models read them."""

    prompt_ids: NDArray[np.int32]
    """Shape (prompts,)."""

    tokens: NDArray[np.int32]
    """Shape (tokens,): all sequences, one after the other."""

    ends: NDArray[np.int64]
    """Shape (prompts,): where in `tokens` each sequence ends."""

    positions: NDArray[np.int32]
    """Shape (prompts, token types): indices within the sequence."""

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.prompt_ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each prompt; shape (prompts,)."""
        return np.diff(self.ends, prepend=0)

    def take(self, which: NDArray[np.int64]) -> Chats:
        """Return some of the prompts, in the order given."""
        lengths = self.lengths[which]
        sequences = [self.tokens[end - length : end] for end, length in zip(self.ends[which], lengths, strict=True)]
        return Chats(self.prompt_ids[which], np.concatenate(sequences), np.cumsum(lengths), self.positions[which])

    def padded(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """
        Return the sequences side by side, padded on the right.

        Returns
        -------
        tokens, mask : ndarray of shape (prompts, longest), int64
            Token ids, 0 where there is none; and 1 for a token, 0 for padding. Padding comes after the last token, so
            that it neither shifts a position nor is seen by a token before it.
        """
        mask = np.arange(self.lengths.max()) < self.lengths[:, None]
        tokens = np.zeros(mask.shape, dtype=np.int64)
        tokens[mask] = self.tokens
        return tokens, mask.astype(np.int64)


class Tokenised(NamedTuple):
    """A prompt file as the models read it."""

    chats: Chats
    """The prompts that are left, in the file's order."""

    skipped: tuple[str, ...]
    """Why each other one was left out: a sentence each."""

    example: str
    """The first prompt in the chat template."""


def tokenise(
    tokenizer: Any,  # noqa: ANN401  transformers is imported late
    file: PromptFile,
    template: Template,
    positions: Positions,
    *,
    longest: int,
    skip_bad: bool = False,
) -> Tokenised:
    """
    Put each prompt into the chat template, followed by the header of the assistant's turn, and find its positions.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The chat model's. It adds no special tokens: those that the template writes are all, so that there is one BOS.
    file : PromptFile
        The prompts.
    template : Template
        The tokenizer's own.
    positions : Positions
        What to look for in each sequence.
    longest : int
        Tokens that both models can read.
    skip_bad : bool
        Leave out prompts that the template refuses, without the header or with too many tokens, and say so, instead of
        refusing them.

    Raises
    ------
    DataError
        If no prompt has the header, a prompt is bad, or fewer than two are left.
    """
    header = tokenizer(positions.header, add_special_tokens=False)["input_ids"]
    kept: list[tuple[int, NDArray[np.int32], list[int]]] = []
    skipped: list[str] = []
    example = ""
    for prompt, text, tokens in _sequences(tokenizer, file, template):
        found = positions.find(tokens, header) if isinstance(text, str) else text.reason
        if len(tokens) > longest:
            found = f"{len(tokens)} tokens in the chat template, but the models read {longest} at most."
        if isinstance(found, str):
            skipped.append(f"{prompt.where(file.name)}: {found}")
        else:
            kept.append((prompt.prompt_id, np.array(tokens, dtype=np.int32), found))
            example = example or str(text)
    if not kept:
        _check_header(tokenizer, file, template, positions.header)
    if skipped and not skip_bad:
        msg = f"{skipped[0]} Mend it, or leave such prompts out with --skip-bad."
        raise DataError(msg)
    if len(kept) < 2:
        msg = f"`{file.name}` has too few usable prompts ({len(kept)}). Expected at least 2: the std needs as many."
        raise DataError(msg)
    ids, sequences, found_at = zip(*kept, strict=True)
    chats = Chats(
        prompt_ids=np.array(ids, dtype=np.int32),
        tokens=np.concatenate(sequences),
        ends=np.cumsum([len(tokens) for tokens in sequences]),
        positions=np.array(found_at, dtype=np.int32),
    )
    return Tokenised(chats, tuple(skipped), example)


def _sequences(
    tokenizer: Any,  # noqa: ANN401  as above
    file: PromptFile,
    template: Template,
) -> Iterator[tuple[Prompt, str | Refused, list[int]]]:
    """Yield each prompt with its text and tokens; only some at a time are in the tokenizer's wasteful form."""
    answers = zip(file.prompts, fill_in(template, file.prompts), strict=True)
    while some := list(islice(answers, _AT_A_TIME)):
        texts = [answer if isinstance(answer, str) else "" for _, answer in some]
        tokens = tokenizer(texts, add_special_tokens=False)["input_ids"]
        yield from ((prompt, answer, found) for (prompt, answer), found in zip(some, tokens, strict=True))


def _check_header(
    tokenizer: Any,  # noqa: ANN401  as above
    file: PromptFile,
    template: Template,
    header: str,
) -> None:
    """Refuse a header that is in none of the prompts: it is not the template's, and no prompt is to blame."""
    wanted = tokenizer(header, add_special_tokens=False)["input_ids"]
    example = None
    for _, text, tokens in _sequences(tokenizer, file, template):
        if find_last(tokens, wanted) is not None:
            return
        example = example or (text if isinstance(text, str) else None)
    if example is not None:
        fitting = [name for name, preset in PRESETS.items() if preset.positions.header in example[-_TAIL:]]
        hint = f" Of the presets, {listed(fitting)} may fit." if fitting else ""
        msg = (
            f"None of the prompts of `{file.name}` has the header {quoted(header)} in the chat template of "
            f"{quoted(template.model)}. One ends in {example[-_TAIL:]!r}. Give the text that opens the assistant's "
            f"turn with --header, and the tokens to read with --position NAME=OFFSET.{hint}"
        )
        raise DataError(msg)
