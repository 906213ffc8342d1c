"""Prompts → token sequences in the chat model's template, and where to read each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurediff.errors import DataError
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from featurediff.collect.positions import Positions
    from featurediff.collect.prompts import Prompt, PromptFile

_AT_A_TIME = 1024


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


def tokenise(
    tokenizer: Any,  # noqa: ANN401  transformers is imported late
    file: PromptFile,
    positions: Positions,
    *,
    longest: int,
    skip_bad: bool = False,
) -> tuple[Chats, tuple[str, ...]]:
    """
    Put each prompt into the chat template as a user's turn, followed by the header of the assistant's.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The chat model's. It adds no special tokens: those that the template writes are all, so that there is one BOS.
    file : PromptFile
        The prompts.
    positions : Positions
        What to look for in each sequence.
    longest : int
        Tokens that both models can read.
    skip_bad : bool
        Leave out prompts without the header or with too many tokens, and say so, instead of refusing them.

    Returns
    -------
    chats : Chats
        The prompts that are left, in the file's order.
    skipped : tuple of str
        Why each other one was left out: a sentence each.

    Raises
    ------
    DataError
        If the tokenizer has no chat template, a prompt is bad, or fewer than two are left.
    """
    if not tokenizer.chat_template:
        msg = f"The tokenizer of {quoted(tokenizer.name_or_path)} has no chat template. Is --chat the chat model?"
        raise DataError(msg)
    header = tokenizer(positions.header, add_special_tokens=False)["input_ids"]
    kept: list[tuple[int, NDArray[np.int32], list[int]]] = []
    skipped: list[str] = []
    for prompt, tokens in _sequences(tokenizer, file):
        found = positions.find(tokens, header)
        if len(tokens) > longest:
            found = f"{len(tokens)} tokens in the chat template, but the models read {longest} at most."
        if not isinstance(found, str):
            kept.append((prompt.prompt_id, np.array(tokens, dtype=np.int32), found))
            continue
        skipped.append(f"{prompt.where(file.name)}: {found}")
        if not skip_bad:
            msg = f"{skipped[-1]} Mend it, or leave such prompts out with --skip-bad."
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
    return chats, tuple(skipped)


def _sequences(tokenizer: Any, file: PromptFile) -> Iterator[tuple[Prompt, list[int]]]:  # noqa: ANN401  as above
    """Yield each prompt with its tokens; only some at a time are in the tokenizer's wasteful form."""
    for start in range(0, len(file.prompts), _AT_A_TIME):
        prompts = file.prompts[start : start + _AT_A_TIME]
        texts = [_format(tokenizer, prompt, file.name) for prompt in prompts]
        yield from zip(prompts, tokenizer(texts, add_special_tokens=False)["input_ids"], strict=True)


def _format(tokenizer: Any, prompt: Prompt, file: str) -> str:  # noqa: ANN401  as above
    from jinja2.exceptions import TemplateError

    try:
        return str(tokenizer.apply_chat_template(prompt.messages, add_generation_prompt=True, tokenize=False))
    except TemplateError as error:
        msg = f"{prompt.where(file)}: the chat template of the chat model refuses it: {error}."
        raise DataError(msg) from error
