"""Which sources were made with the same prompts: they share the noise of these prompts, so they agree by themselves."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.labels import PROMPTS, SIDES, Labels, Prompts
from featurediff.sources.parquet import read_parquet
from featurediff.sources.tree import BESIDE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from featurediff.compare.summary import Summary
    from featurediff.study import Study

Marks = frozenset[str]
"""What identifies a prompt set: SHA-256 of its file, of its texts, or of both; empty where neither is known."""

SHARED_NOISE = (
    "Sources with the same prompts share the noise of these prompts: their features agree more than those of "
    "independent samples."
)
"""What sharing prompts means."""


def find_marks(study: Study) -> dict[Prompts, Marks]:
    """
    Identify the prompts of a source.

    Parameters
    ----------
    study : Study
        The source.

    Returns
    -------
    dict
        Prompt set → its marks: the SHA-256 of the prompt file that either model's metadata names (`prompt_files`), and
        that of all texts in `prompts.parquet`, whatever their order.
    """
    files = {p: {study.results.of(v).metadata.prompt_files.get(p) for v in SIDES} - {None} for p in PROMPTS}
    texts = _hash_texts(study)
    return {prompts: frozenset(f"file {digest}" for digest in files[prompts]) | texts[prompts] for prompts in PROMPTS}


def _hash_texts(study: Study) -> dict[Prompts, Marks]:
    path = study.source.folder / BESIDE[1] if study.source else None
    try:
        rows = read_parquet(path, ("prompt_set", "content")) if path and kind_of(path) == "file" else None
    except DataError:  # the source says so itself where it uses them
        rows = None
    if rows is None:
        return dict.fromkeys(PROMPTS, frozenset())
    found = {}
    for prompts in PROMPTS:
        texts = sorted(rows["content"][(rows["prompt_set"] == prompts).to_numpy()])
        digests = (sha256(str(content).encode(errors="surrogatepass")).hexdigest() for content in texts)
        found[prompts] = frozenset({f"texts {sha256(' '.join(digests).encode()).hexdigest()}"} if texts else ())
    return found


def share_prompts(one: Summary, other: Summary) -> tuple[Prompts, ...]:
    """Return which prompt sets two sources certainly have in common."""
    return tuple(prompts for prompts in PROMPTS if one.marks[prompts] & other.marks[prompts])


def number_prompts(sources: Sequence[Summary]) -> list[dict[Prompts, int | None]]:
    """
    Give a number to each prompt set; equal numbers are the same prompts.

    Parameters
    ----------
    sources : sequence of Summary
        To compare.

    Returns
    -------
    list of dict
        For each source, prompt set → its number, from 1 in the order of the sources; None where no file says which
        prompts they were. Target and control are numbered apart.
    """
    numbers: list[dict[Prompts, int | None]] = [{} for _ in sources]
    for prompts in PROMPTS:
        groups: list[set[str]] = []
        for source in sources:  # a source that has marks of two groups makes them one
            marks = set(source.marks[prompts])
            joined = [group for group in groups if group & marks]
            groups = [group for group in groups if not group & marks]
            if marks:
                groups.append(marks.union(*joined))
        known: dict[int, int] = {}
        for number, source in zip(numbers, sources, strict=True):
            at = next((i for i, group in enumerate(groups) if group & source.marks[prompts]), None)
            number[prompts] = None if at is None else known.setdefault(at, len(known) + 1)
    return numbers


def sharing_in_words(sources: Sequence[Summary], names: Mapping[str, str], labels: Labels | None = None) -> list[str]:
    """
    Say which sources were made with the same prompts.

    Parameters
    ----------
    sources : sequence of Summary
        To compare.
    names : mapping
        Source → what it is called.
    labels : Labels, optional
        What prompt sets are called.

    Returns
    -------
    list of str
        A sentence for each prompt set that several sources have in common.
    """
    labels, numbers = labels or Labels(), number_prompts(sources)
    together: dict[tuple[str, ...], list[Prompts]] = {}
    for prompts in PROMPTS:
        groups: dict[int, list[str]] = {}
        for source, number in zip(sources, numbers, strict=True):
            if (which := number[prompts]) is not None:
                groups.setdefault(which, []).append(source.name)
        for group in groups.values():
            if len(group) > 1:
                together.setdefault(tuple(group), []).append(prompts)
    said = []
    for members, sets in together.items():
        same = f"the same {' and '.join(map(labels.of, sets))} prompts"
        who = "All sources" if len(members) == len(sources) else ", ".join(names[name] for name in members)
        said.append(f"{who} have {same}.")
    return said
