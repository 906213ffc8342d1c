"""Prompts → token sequences in the chat model's template, and where to read each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from featurediff.collect.parts import find_own, find_special, mark
from featurediff.collect.positions import PRESETS, find_last
from featurediff.collect.templates import Refused, fill_in
from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from featurediff.collect.positions import Positions
    from featurediff.collect.prompts import Prompt, PromptFile
    from featurediff.collect.templates import Template

Found = list[list[int]]
"""For each token type, the tokens of a sequence that are read."""

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

    places: NDArray[np.int32]
    """Shape (reads,): indices within the sequence of the tokens that are read; prompt by prompt, then by token type."""

    counts: NDArray[np.int32]
    """Shape (prompts, token types): how many of them belong to each: 1 at a position, more where they are pooled."""

    @classmethod
    def of(cls, prompt_ids: Sequence[int], tokens: Sequence[NDArray[np.int32]], found: Sequence[Found]) -> Chats:
        """Put prompts together: their ids, their sequences, and for each token type which tokens are read."""
        places = [place for of_prompt in found for of_type in of_prompt for place in of_type]
        return cls(
            prompt_ids=np.array(prompt_ids, dtype=np.int32),
            tokens=np.concatenate(tokens),
            ends=np.cumsum([len(sequence) for sequence in tokens]),
            places=np.array(places, dtype=np.int32),
            counts=np.array([[len(of_type) for of_type in of_prompt] for of_prompt in found], dtype=np.int32),
        )

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.prompt_ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each prompt; shape (prompts,)."""
        return np.diff(self.ends, prepend=0)

    def take(self, which: NDArray[np.int64]) -> Chats:
        """Return some of the prompts, in the order given."""
        reads = self.counts.sum(axis=1, dtype=np.int64)
        return Chats(
            self.prompt_ids[which],
            _pieces(self.tokens, self.lengths, which),
            np.cumsum(self.lengths[which]),
            _pieces(self.places, reads, which),
            self.counts[which],
        )

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


def _pieces(values: NDArray[np.int32], lengths: NDArray[np.int64], which: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return some pieces of an array, in the order given, one after the other."""
    ends = np.cumsum(lengths)
    return np.concatenate([values[ends[i] - lengths[i] : ends[i]] for i in which])


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
        Tokens that both models can read, less those that are still to be generated.
    skip_bad : bool
        Leave out prompts that the template refuses, without the header or with too many tokens, and say so, instead of
        refusing them.

    Raises
    ------
    DataError
        If no prompt has the header, a prompt is bad, or fewer than two are left.
    """
    header = tokenizer(positions.header, add_special_tokens=False)["input_ids"]
    pools_own = any(pool.part == "prompt" for pool in positions.pools)
    kept: list[tuple[int, NDArray[np.int32], Found]] = []
    skipped: list[str] = []
    example = ""
    for prompt, text, tokens, own in _sequences(tokenizer, file, template, pools_own=pools_own):
        response = _tokenise_response(tokenizer, prompt)
        length = len(tokens) + len(response)
        found = _find(positions, tokens, header, own, length) if isinstance(text, str) else text.reason
        if length > longest:
            with_response = " with its response" * bool(response)
            found = f"{length} tokens in the chat template{with_response}, but the models read {longest} at most."
        if isinstance(found, str):
            skipped.append(f"{prompt.where(file.name)}: {found}")
        else:
            kept.append((prompt.prompt_id, np.array([*tokens, *response], dtype=np.int32), found))
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
    return Tokenised(Chats.of(ids, sequences, found_at), tuple(skipped), example)


class _Sequence(NamedTuple):
    """A prompt in the chat template."""

    prompt: Prompt
    text: str | Refused
    tokens: list[int]
    own: list[int] | str
    """The user's own tokens, or why there are none; empty where they are not asked for."""


def _sequences(
    tokenizer: Any,  # noqa: ANN401  as above
    file: PromptFile,
    template: Template,
    *,
    pools_own: bool,
) -> Iterator[_Sequence]:
    """Yield each prompt in the template; only some at a time are in the tokenizer's wasteful form."""
    special = find_special(tokenizer) if pools_own else set()
    asked = [each for prompt in file.prompts for each in ((prompt, mark(prompt)) if pools_own else (prompt,))]
    answers = fill_in(template, asked)
    prompts = iter(file.prompts)
    while some := list(islice(prompts, _AT_A_TIME)):
        filled = [(next(answers), next(answers) if pools_own else "") for _ in some]
        texts = [text if isinstance(text, str) else "" for text, _ in filled]
        encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=pools_own)
        spans = encoded["offset_mapping"] if pools_own else [[]] * len(some)
        for prompt, (text, marked), tokens, of_tokens in zip(some, filled, encoded["input_ids"], spans, strict=True):
            own = find_own(text, marked, tokens, of_tokens, special) if pools_own else []
            yield _Sequence(prompt, text, tokens, own)


def _find(positions: Positions, tokens: list[int], header: list[int], own: list[int] | str, length: int) -> Found | str:
    """Find what is read of a prompt with its response, `length` tokens together; or say why there is nothing."""
    places = positions.find(tokens, header)
    if isinstance(places, str) or isinstance(own, str):
        return places if isinstance(places, str) else str(own)
    parts = {"prompt": own, "response": list(range(len(tokens), length))}
    return [[place] for place in places] + [parts[pool.part] for pool in positions.pools]


def _tokenise_response(tokenizer: Any, prompt: Prompt) -> list[int]:  # noqa: ANN401  as above
    """Return the tokens of a given response, as if the model had written them after the header."""
    if prompt.response is None:
        return []
    tokens: list[int] = tokenizer(prompt.response, add_special_tokens=False)["input_ids"]
    return tokens


def _check_header(
    tokenizer: Any,  # noqa: ANN401  as above
    file: PromptFile,
    template: Template,
    header: str,
) -> None:
    """Refuse a header that is in none of the prompts: it is not the template's, and no prompt is to blame."""
    wanted = tokenizer(header, add_special_tokens=False)["input_ids"]
    example = None
    for _, text, tokens, _ in _sequences(tokenizer, file, template, pools_own=False):
        if find_last(tokens, wanted) is not None:
            return
        example = example or (text if isinstance(text, str) else None)
    if example is not None:
        tail = example[-_TAIL:]
        fitting = [name for name, preset in PRESETS.items() if preset.positions.header in tail and not preset.options]
        hint = f" Of the presets, {listed(fitting)} may fit." if fitting else ""
        msg = (
            f"None of the prompts of `{file.name}` has the header {quoted(header)} in the chat template of "
            f"{quoted(template.model)}. One ends in {tail!r}. Give the text that opens the assistant's "
            f"turn with --header, and the tokens to read with --position NAME=OFFSET.{hint}"
        )
        raise DataError(msg)
