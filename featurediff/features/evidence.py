"""
Every test of a source: target over control within each model, and what changed from base to chat.

`docs/evidence.md` says what each test asks, where it is from, what it takes for granted and when not to believe it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from featurediff.features.distinct import per_pair
from featurediff.features.effects import Effect, paired_effects, unpaired_effects
from featurediff.features.exact_tests import fisher
from featurediff.features.exchange import exchange_rates
from featurediff.features.families import q_values
from featurediff.features.questions import CONTRASTS, EFFECTS, Contrast, Family
from featurediff.labels import PROMPTS, SIDES, Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from featurediff.sources.pairs import Pairs
    from featurediff.sources.results import Results

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

ALPHA = 0.05
"""The largest q that counts as significant where nobody says otherwise."""

CAVEAT = (
    "Every p and q takes prompts, or groups of prompts where the files name them, for independent samples. Prompts "
    "that are paraphrases of each other are not: without groups the evidence is then weaker than the numbers say."
)
"""What stands beside every p."""

NOT_CORRECTED = (
    "q corrects for the features of one position (or of all, if the family is the source), but not for asking several "
    "questions, nor for looking at mean and frequency."
)
"""What stands beside every total."""


@dataclass(frozen=True, eq=False)
class Tested:
    """p and q of the features of one position; NaN for those outside the family."""

    p: Floats
    """Shape (features,)."""

    q: Floats
    """After Benjamini and Hochberg; shape (features,)."""

    family: int
    """How many features were tested together."""

    test: str
    """Which test it was."""


@dataclass(frozen=True, eq=False)
class Exclusive:
    """At every position, the tests of target over control within each model."""

    features: Mapping[str, Counts]
    """Token type → the features that are active on any prompt in either model, ascending."""

    tested: Mapping[tuple[Side, str], Tested]
    """(side, token type) → the tests of these features."""


@dataclass(frozen=True, eq=False)
class TestedEffect:
    """One effect of the features of one position."""

    value: Floats
    """Chat − base on target prompts, or that minus (chat − base on control prompts); shape (features,)."""

    low: Floats
    """Lower end of its 95 % interval; NaN where nothing moves."""

    high: Floats
    """Upper end."""

    tested: Tested
    """Whether it is 0."""


@dataclass(frozen=True, eq=False)
class Changes:
    """At every position, the effects of base against chat."""

    features: Mapping[str, Counts]
    """As `Exclusive.features`."""

    effects: Mapping[tuple[str, str], TestedEffect]
    """(effect, token type) → its values and tests; the names are those of `questions.EFFECTS`."""

    family: Family
    """Which features were corrected for together."""


def assess_exclusive(results: Results, pairs: Pairs | None = None) -> Exclusive:
    """
    Test within each model whether features are active more often on target than on control prompts.

    Parameters
    ----------
    results : Results
        One source.
    pairs : Pairs, optional
        With groups of prompts, whole groups are exchanged; otherwise they are not needed.

    Returns
    -------
    Exclusive
        Fisher's exact test, one-sided, or with groups the exchange of whole groups. A family is the features that are
        active on a prompt of either set in that model, at one position.
    """
    features = {token_type: find_active(results, token_type) for token_type in results.token_types}
    tested = {}
    for token_type, ids in features.items():
        for side in SIDES:
            model = results.of(side)
            target, control = (model.vectors[token_type][f"{p}_num_active"][ids] for p in PROMPTS)
            family = (target > 0) | (control > 0)
            if pairs is None or all(group is None for group in pairs.groups.values()):
                sizes = (model.metadata.num_prompts(p) for p in PROMPTS)
                p, test = per_pair(fisher, target, control, *sizes), "fisher"
            else:
                p, test = _exchange_groups(pairs, token_type, side, int(family.sum())), "exchange-grouped"
            p = np.where(family, p, np.nan)
            tested[side, token_type] = Tested(p, q_values(p), int(family.sum()), test)
    return Exclusive(features, tested)


def _exchange_groups(pairs: Pairs, token_type: str, side: Side, family: int) -> Floats:
    """Return p of target over control in one model, exchanging whole groups."""
    at = pairs.positions[token_type]
    p = []
    for first, last in at.blocks():
        target, control = (at.activations(side, prompts, first, last) != 0 for prompts in PROMPTS)
        p.append(exchange_rates(target, control, family, pairs.groups["target"], pairs.groups["control"]))
    return np.concatenate(p)


def assess_changes(results: Results, pairs: Pairs | None = None, family: Family = "position") -> Changes:
    """
    Test what changed from base to chat, and what changed on target otherwise than on control prompts.

    Parameters
    ----------
    results : Results
        One source.
    pairs : Pairs, optional
        Which feature was how active on which prompt, in both models; without it the tests are weaker.
    family : {"position", "source"}
        Over which features q is corrected. Tested for `change`: those active on a target prompt in either model; for
        `specific`: on any prompt in either model.

    Returns
    -------
    Changes
    """
    features = {token_type: find_active(results, token_type) for token_type in results.token_types}
    members = {
        (contrast, token_type): _members(results, token_type, ids, contrast)
        for token_type, ids in features.items()
        for contrast in CONTRASTS
    }
    sizes = {key: int(mask.sum()) for key, mask in members.items()}
    if family == "source":
        whole = {c: sum(sizes[c, token_type] for token_type in features) for c in CONTRASTS}
        sizes = {(contrast, token_type): whole[contrast] for contrast, token_type in sizes}
    found: dict[tuple[str, str], Effect] = {}
    for token_type, ids in features.items():
        effects = (
            unpaired_effects(results, token_type, ids)
            if pairs is None
            else paired_effects(pairs, token_type, {c: sizes[c, token_type] for c in CONTRASTS})
        )
        for name, effect in effects.items():
            found[name, token_type] = effect.within(members[contrast_of(name), token_type])
    q = _correct(found, family)
    tested = {
        (name, token_type): TestedEffect(
            effect.value,
            effect.low,
            effect.high,
            Tested(effect.p, q[name, token_type], sizes[contrast_of(name), token_type], effect.test),
        )
        for (name, token_type), effect in found.items()
    }
    return Changes(features, tested, family)


def _correct(found: Mapping[tuple[str, str], Effect], family: Family) -> dict[tuple[str, str], Floats]:
    """Return q of every effect and position, corrected for the features of a position or of all positions."""
    if family == "position":
        return {key: q_values(effect.p) for key, effect in found.items()}
    q: dict[tuple[str, str], Floats] = {}
    for name in EFFECTS:
        keys = [key for key in found if key[0] == name]
        ends = np.cumsum([len(found[key].p) for key in keys])
        whole = q_values(np.concatenate([found[key].p for key in keys]))
        q |= dict(zip(keys, np.split(whole, ends[:-1]), strict=True))
    return q


def contrast_of(effect: str) -> Contrast:
    """Return which contrast an effect is of."""
    return "specific" if effect.endswith("_specific") else "change"


def find_active(results: Results, token_type: str) -> Counts:
    """Return the features that are active on any prompt in either model at one position, ascending."""
    counts = (results.of(side).vectors[token_type][f"{p}_num_active"] for side in SIDES for p in PROMPTS)
    return np.flatnonzero(reduce(np.logical_or, [vector > 0 for vector in counts]))


def _members(results: Results, token_type: str, ids: Counts, contrast: Contrast) -> Bools:
    """Return which of these features are tested together."""
    if contrast == "specific":
        return np.ones(len(ids), dtype=bool)
    active = [results.of(side).vectors[token_type]["target_num_active"][ids] > 0 for side in SIDES]
    return active[0] | active[1]
