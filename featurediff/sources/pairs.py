"""`activations.parquet`, `prompts.parquet` → base and chat on the same prompts, and which of these belong together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.labels import PROMPTS, SIDES, Prompts, Side
from featurediff.sources import active
from featurediff.wording import plural, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from featurediff.sources.activations import Activations
    from featurediff.sources.active import Active
    from featurediff.sources.results import Results

FEWEST_GROUPS = 6
"""With g groups the smallest two-sided p of flipped signs is 2^(1 − g), which is above 0.05 for fewer."""

MAX_PROMPTS = 20_000
"""Of both sets, that are tested one by one: signs and labels are drawn for each, 160 MB for so many."""

_CELLS = 1 << 22
"""Prompts × features of a block."""

_NOTHING = active.Cells(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0))


@dataclass(frozen=True, eq=False)
class PairedCells:
    """The activations of one model on one prompt set at one position; all others are 0."""

    prompt: NDArray[np.integer]
    """Row of each in the prompt set; shape (active,)."""

    feature: NDArray[np.integer]
    """For each activation, the index of its feature in `PairsAt.features`; ascending, shape (active,)."""

    activation: NDArray[np.floating]
    """Shape (active,)."""


@dataclass(frozen=True, eq=False)
class PairsAt:
    """Base and chat on the same prompts, at one position."""

    features: NDArray[np.int64]
    """Features that are active on a prompt of either set in either model, ascending."""

    cells: Mapping[tuple[Side, Prompts], PairedCells]
    """Their activations."""

    num_prompts: Mapping[Prompts, int]
    """How many prompts each set has."""

    def activations(self, side: Side, prompts: Prompts, first: int, last: int) -> NDArray[np.float64]:
        """Return the activations of `features[first:last]`, shape (prompts, last − first)."""
        cells, width = self.cells[side, prompts], last - first
        start, stop = np.searchsorted(cells.feature, [first, last])
        at = cells.prompt[start:stop].astype(np.intp) * width + cells.feature[start:stop] - first
        whole = np.zeros(self.num_prompts[prompts] * width)
        whole[at] = cells.activation[start:stop]
        return whole.reshape(self.num_prompts[prompts], width)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first and last of blocks of features, at least one, whose activations take 32 MB."""
        step = max(1, _CELLS // max(1, sum(self.num_prompts.values())))
        yield from ((first, min(first + step, len(self.features))) for first in range(0, len(self.features) or 1, step))

    def in_both(self) -> NDArray[np.int64]:
        """Count the prompts of either set on which a feature is active in both models, shape (features,)."""
        total = np.zeros(len(self.features), np.int64)
        for prompts, n in self.num_prompts.items():
            base, chat = (
                cells.feature.astype(np.int64) * n + cells.prompt
                for cells in (self.cells[side, prompts] for side in SIDES)
            )
            shared = np.intersect1d(base, chat, assume_unique=True)
            total += np.bincount(shared // n, minlength=len(total))
        return total


@dataclass(frozen=True, eq=False)
class Pairs:
    """Base and chat on the same prompts."""

    positions: Mapping[str, PairsAt]
    """By token type."""

    groups: Mapping[Prompts, NDArray[np.intp] | None]
    """Which prompts belong together, shape (prompts,); None where no two prompts of a set do."""

    alike: int | None
    """Prompts that are the same as another one but for case, spaces and punctuation; None where no texts are known."""

    def num_prompts(self, prompts: Prompts) -> int:
        """Return how many prompts a set has."""
        return next(iter(self.positions.values())).num_prompts[prompts]

    def num_groups(self, prompts: Prompts) -> int | None:
        """Return how many groups a prompt set has; None where it has none."""
        groups = self.groups[prompts]
        return None if groups is None else int(groups.max()) + 1


def read_pairs(activations: Activations, results: Results) -> Pairs:
    """
    Read which feature was how active on which prompt.

    Parameters
    ----------
    activations : Activations
        The files.
    results : Results
        The two files beside them.

    Returns
    -------
    Pairs
        Prompts in the order of their ids; a prompt on which nothing is active, and that no file names, comes last.

    Raises
    ------
    DataError
        If a file cannot be read or lacks a column, counts otherwise than the results do, has a group in both prompt
        sets, or if the two models have not seen the same numbers of prompts.
    """
    sizes = _check_sizes(activations, results)
    known, name = activations.active, activations.path.name
    _check_features(known, results, name)
    texts = known.texts
    ids = {prompts: _prompt_ids(known, prompts, sizes[prompts], name) for prompts in PROMPTS}
    rows = {prompts: np.searchsorted(ids[prompts], known.ids[prompts]) for prompts in PROMPTS}
    at = {}
    for token_type in results.token_types:
        found = {(side, of): known.cells.get((token_type, side, of), _NOTHING) for side in SIDES for of in PROMPTS}
        features = np.unique(np.concatenate([np.unique(cells.feature) for cells in found.values()])).astype(np.int64)
        for (side, prompts), cells in found.items():
            activations.compare_counts(cells.feature, results, side, prompts, token_type)
        cells_of = {(side, of): _cells(cells, rows[of], features, name) for (side, of), cells in found.items()}
        at[token_type] = PairsAt(features, cells_of, sizes)
    groups: dict[Prompts, NDArray[np.intp] | None] = dict.fromkeys(PROMPTS)
    if texts is not None and "group" in texts and activations.prompts:
        groups = _groups(texts, ids, sizes, activations.prompts.name)
    return Pairs(at, groups, None if texts is None else _count_alike(texts))


def pairs_or_reason(activations: Activations | None, results: Results) -> tuple[Pairs | None, str | None]:
    """Return the pairs, None where there are no activations; or None and a sentence on why they cannot be used."""
    if activations is None:
        return None, None
    try:
        return read_pairs(activations, results), None
    except DataError as error:
        return None, f"{error} The tests use counts and means alone, which are weaker."


def _check_sizes(activations: Activations, results: Results) -> dict[Prompts, int]:
    """Return how many prompts both models have seen of each set."""
    base, chat = results.base.metadata, results.chat.metadata
    for prompts in PROMPTS:
        n = base.num_prompts(prompts), chat.num_prompts(prompts)
        if n[0] != n[1]:
            msg = f"`{activations.path.name}` cannot pair {n[0]} {prompts} prompts in base with {n[1]} in chat."
            raise DataError(msg)
    sizes: dict[Prompts, int] = {prompts: base.num_prompts(prompts) for prompts in PROMPTS}
    if (total := sum(sizes.values())) > MAX_PROMPTS:
        msg = f"`{activations.path.name}` is of {total:,} prompts, but at most {MAX_PROMPTS:,} are tested one by one."
        raise DataError(msg)
    return sizes


def _check_features(known: Active, results: Results, name: str) -> None:
    outside = [_outside(cells.feature, results.num_features) for cells in known.cells.values()]
    found = np.concatenate([*outside, np.empty(0, np.int64)])
    if len(found):
        msg = (
            f"`{name}` has feature {found[0]}, but the SAE's features run from 0 to {results.num_features - 1} "
            f"({len(found)} such rows). Was it made with the same SAE?"
        )
        raise DataError(msg)


def _outside(features: NDArray[np.integer], num_features: int) -> NDArray[np.integer]:
    """Return the features that an SAE does not have, of ascending ones."""
    start, stop = np.searchsorted(features, [0, num_features])
    return np.concatenate([features[:start], features[stop:]])


def _prompt_ids(known: Active, prompts: Prompts, size: int, name: str) -> NDArray[np.int64]:
    """Return the ids of a prompt set, ascending, as far as they are known."""
    ids = known.ids[prompts]
    if len(ids) > size:
        msg = f"`{name}` has {len(ids)} {prompts} prompts, but the results have {size}. Were they made together?"
        raise DataError(msg)
    named = known.contents[prompts].index.to_numpy(np.int64) if prompts in known.contents else np.empty(0, np.int64)
    both = np.union1d(ids, named)
    return both if len(both) <= size else ids


def _cells(found: active.Cells, rows: NDArray[np.intp], features: NDArray[np.int64], name: str) -> PairedCells:
    """Return the activations of one model on one prompt set, given the row of each of `Active.ids`."""
    if ((np.diff(found.prompt) == 0) & (np.diff(found.feature) == 0)).any():
        msg = f"`{name}` has two activations of one feature on one prompt in one model. Expected one."
        raise DataError(msg)
    feature = np.searchsorted(features, found.feature).astype(np.int32)
    is_same = np.array_equal(rows, np.arange(len(rows)))
    return PairedCells(found.prompt if is_same else rows[found.prompt].astype(np.int32), feature, found.activation)


def _groups(
    texts: pd.DataFrame, ids: Mapping[Prompts, NDArray[np.int64]], sizes: Mapping[Prompts, int], name: str
) -> dict[Prompts, NDArray[np.intp] | None]:
    """Return the group of each prompt as a number; a prompt without one is a group of its own."""
    named = {prompts: texts[(texts["prompt_set"] == prompts).to_numpy()] for prompts in PROMPTS}
    shared = set(named["target"]["group"].dropna()) & set(named["control"]["group"].dropna())
    if shared:
        msg = (
            f"`{name}` has the group {quoted(min(shared, key=str))} in target and in control ({len(shared)} such), but "
            "a group's prompts must be of one set, as they are exchanged together."
        )
        raise DataError(msg)
    found: dict[Prompts, NDArray[np.intp] | None] = {}
    for prompts in PROMPTS:
        group = named[prompts].set_index("prompt_id")["group"].reindex(ids[prompts])
        codes = np.full(sizes[prompts], -1, dtype=np.intp)
        codes[: len(group)] = pd.factorize(group)[0]
        alone = codes < 0
        codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
        found[prompts] = codes if codes.max(initial=-1) + 1 < len(codes) else None
    return found


def _count_alike(texts: pd.DataFrame) -> int:
    """Return how many prompts of a set have the words of another one of it, in their order."""
    words = texts["content"].map(lambda content: " ".join(re.findall(r"\w+", content.casefold())))
    return int(pd.DataFrame({"prompt_set": texts["prompt_set"], "words": words}).duplicated(keep=False).sum())


def describe_sample(results: Results, pairs: Pairs | None) -> str:
    """Say how many prompts a source has, if tests can pair them, and if both models read the same texts."""
    own = any(results.of(side).metadata.fit.own_responses for side in SIDES)
    differ = "; each model read its own response, so that the texts differ too" if own else ""
    if pairs is not None:
        return describe_pairs(pairs) + differ
    sizes = [[results.of(side).metadata.num_prompts(prompts) for side in SIDES] for prompts in PROMPTS]
    if all(base == chat for base, chat in sizes):
        said = _sizes_in_words(sizes[0][0], sizes[1][0])
    else:
        said = " and ".join(
            f"{base if base == chat else f'{base} and {chat}'} {prompts} prompts"
            for prompts, (base, chat) in zip(PROMPTS, sizes, strict=True)
        )
    return f"{said}; unpaired tests{differ}"


def _sizes_in_words(target: int, control: int) -> str:
    return f"{target} target and {plural(control, 'control prompt')}"


def describe_pairs(pairs: Pairs) -> str:
    """Say how many prompts were seen, in how many groups, and what that means for the evidence."""
    groups = {prompts: pairs.num_groups(prompts) for prompts in PROMPTS}
    if any(number is not None for number in groups.values()):
        parts = [
            plural(pairs.num_prompts(prompts), f"{prompts} prompt")
            + ("" if number is None else f" in {plural(number, 'group')}")
            for prompts, number in groups.items()
        ]
        is_small = groups["target"] is not None and groups["target"] < FEWEST_GROUPS
        return " and ".join(parts) + f"; fewer than {FEWEST_GROUPS} groups can show no change" * is_small
    said = _sizes_in_words(pairs.num_prompts("target"), pairs.num_prompts("control"))
    if not pairs.alike:
        return said
    return (
        f"{said}; {pairs.alike} prompts are the same as another but for case, spaces and punctuation: say with `group` "
        "which belong together"
    )
