"""What the published rule would keep if target and control prompts were the same kind of prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurediff.features.exact_tests import fisher, least_significant
from featurediff.features.groups import group_sums
from featurediff.features.resampling import MOST_LISTED, TIE, Exchanges, blocks
from featurediff.labels import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from featurediff.features.groups import Groups
    from featurediff.features.thresholds import Thresholds
    from featurediff.labels import Side

    Bools = NDArray[np.bool_]
    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

_SAME = 1 + 1e-9
"""A p that exceeds the cutoff by less than this factor is the cutoff, computed in another order."""

_FEATURES = 64
"""Features whose exchanges are counted together: with 2^14 exchanges a table of them takes 8 MB."""


class Rule(NamedTuple):
    """The published rule in one model, as whole numbers of prompts."""

    least: int
    """Active on at least so many target prompts."""

    most: int
    """Active on at most so many control prompts."""

    num_target: int
    """How many target prompts there are."""

    num_control: int
    """How many control prompts there are."""

    def keeps(self, target: Counts, control: Counts) -> Bools:
        """Return which features with these counts are kept."""
        kept: Bools = (target >= self.least) & (control <= self.most)
        return kept


class NumKept(NamedTuple):
    """How many features are kept."""

    base: float
    """By the rule in base."""

    chat: float
    """By the rule in chat."""

    either: float
    """In at least one of them, which is the total that is shown."""


def rule(thresholds: Thresholds, num_target: int, num_control: int) -> Rule:
    """
    Turn thresholds, which may be shares, into whole numbers of one model's prompts.

    Parameters
    ----------
    thresholds : Thresholds
        In force.
    num_target, num_control : int
        How many prompts of each set the model saw; swapped for the mirror.

    Returns
    -------
    Rule
        `least` is num_target + 1 where no count reaches the threshold.
    """
    reaches = thresholds.min_target.measure(np.arange(num_target + 1), num_target) >= thresholds.min_target.value
    within = thresholds.max_control.measure(np.arange(num_control + 1), num_control) <= thresholds.max_control.value
    return Rule(int(num_target + 1 - reaches.sum()), int(within.sum() - 1), num_target, num_control)


def largest_significant(p: Floats, q: Floats, alpha: float) -> float:
    """Return the largest p whose q is at most alpha: a cutoff for the functions below; 0 where there is none."""
    return float(np.max(p[q <= alpha], initial=0.0))


def count_kept(counts: Mapping[Side, tuple[Counts, Counts]], rules: Mapping[Side, Rule]) -> NumKept:
    """
    Count the features that the rule keeps.

    Parameters
    ----------
    counts : mapping
        Model → on how many target and on how many control prompts each feature is active, shape (features,) each.
    rules : mapping
        Model → its rule.

    Returns
    -------
    NumKept
        To count the mirror, the features that the same thresholds would call exclusive to the control prompts, pass
        counts and rules with target and control swapped.
    """
    base, chat = (rules[side].keeps(*counts[side]) for side in SIDES)
    return NumKept(int(base.sum()), int(chat.sum()), int((base | chat).sum()))


def chances(target: Counts, control: Counts, rule: Rule, cutoff: float | None = None) -> Floats:
    """
    Return the probability that a feature is kept in one model by chance.

    Parameters
    ----------
    target, control : ndarray of shape (features,), int
        On how many prompts of either set it is active. Only their sum counts: the margin.
    rule : Rule
        Of the model.
    cutoff : float, optional
        Only where Fisher's one-sided p is at most this, too.

    Returns
    -------
    ndarray of shape (features,), float64
        P(target ≥ least, control ≤ most, p ≤ cutoff | margin), hypergeometric; 0 for a feature that never fires. Their
        sum is the expected number of kept features.
    """
    margins, which = np.unique(target + control, return_inverse=True)
    least = _least(margins, rule, cutoff)
    can_be = least <= margins.clip(max=rule.num_target)
    at = np.where(can_be, least, margins.clip(max=rule.num_target))
    tail = fisher(at, margins - at, rule.num_target, rule.num_control)
    found: Floats = np.where(can_be, tail, 0.0)[which]
    return found


def expected_at_least(
    counts: Mapping[Side, tuple[Counts, Counts]],
    rules: Mapping[Side, Rule],
    cutoffs: Mapping[Side, float] | None = None,
) -> NumKept:
    """
    Return how many features the rule would keep by chance, from counts alone.

    Parameters
    ----------
    counts : mapping
        Model → on how many target and on how many control prompts each feature is active, shape (features,) each.
    rules : mapping
        Model → its rule.
    cutoffs : mapping, optional
        Model → count only what is significant, too: the largest p that is.

    Returns
    -------
    NumKept
        `either` is what is expected at least, the larger of the two models' probabilities summed over features: how
        often both models keep the same feature is not in the counts.
    """
    base, chat = (chances(*counts[v], rules[v], cutoffs[v] if cutoffs else None) for v in SIDES)
    return NumKept(float(base.sum()), float(chat.sum()), float(np.maximum(base, chat).sum()))


def expected_exactly(
    counts: Mapping[Side, tuple[Counts, Counts]],
    in_both: Counts,
    rules: Mapping[Side, Rule],
    cutoffs: Mapping[Side, float] | None = None,
) -> NumKept:
    """
    Return how many features a rule that bears no control prompt would keep by chance, over all exchanges.

    Parameters
    ----------
    counts, rules, cutoffs : mapping
        As for `expected_at_least`; `most` of each rule is 0.
    in_both : ndarray of shape (features,), int
        On how many prompts of either set both models have each feature.

    Returns
    -------
    NumKept
        A model keeps a feature if its prompts all are target. Both models do if all prompts of either are, which is
        hypergeometric, too; so `either` is the sum of the models' less that.
    """
    margins = {side: target + control for side, (target, control) in counts.items()}
    together = margins["base"] + margins["chat"] - in_both
    kept, can_be = [], np.ones(len(in_both), dtype=bool)
    for side in SIDES:
        cutoff = cutoffs[side] if cutoffs else None
        kept.append(chances(*counts[side], rules[side], cutoff))
        can_be &= kept[-1] > 0
    whole = rules["base"]._replace(least=0)
    both = np.where(can_be, chances(together, np.zeros_like(together), whole), 0.0)
    base, chat = (float(p.sum()) for p in kept)
    return NumKept(base, chat, base + chat - float(both.sum()))


def expected(
    active: Mapping[Side, tuple[Bools, Bools]],
    rules: Mapping[Side, Rule],
    cutoffs: Mapping[Side, float] | None = None,
    target_groups: Groups | None = None,
    control_groups: Groups | None = None,
) -> NumKept:
    """
    Return how many features the rule would keep by chance, with the labels of prompts exchanged in both models at once.

    Parameters
    ----------
    active : mapping
        Model → whether each feature is active on each target and on each control prompt, shape (prompts, features)
        each. Both models saw the same prompts.
    rules : mapping
        Model → its rule.
    cutoffs : mapping, optional
        Model → count only what is significant, too: the largest p that is.
    target_groups, control_groups : ndarray of shape (prompts,), optional
        Which prompts belong together. Whole groups change sides then; where groups differ in size, so does the number
        of target prompts, but the rule's whole numbers stay.

    Returns
    -------
    NumKept
        The mean over all exchanges, or over the first `BLOCK` random ones that `exchange` uses. Without groups `base`
        and `chat` are exact, from `chances`. With groups and a cutoff, p is the share of these exchanges with at least
        such a difference of the groups' mean rates. If exchanges are random, p cannot fall below 1 / BLOCK, so a
        smaller cutoff finds nothing.
    """
    groups = target_groups, control_groups
    sizes = [group_sums(np.ones((len(on), 1)), g) for on, g in zip(active["base"], groups, strict=True)]
    exchanges, units = Exchanges(*map(len, sizes)), np.concatenate(sizes)
    patterns = exchanges.listed() if exchanges.number <= MOST_LISTED else next(blocks(exchanges, 0, 1))
    kept = np.zeros(3)
    for start in range(0, active["base"][0].shape[1], _FEATURES):
        here = slice(start, start + _FEATURES)
        found = []
        for v in SIDES:
            counts = [group_sums(on[:, here].astype(np.float64), g) for on, g in zip(active[v], groups, strict=True)]
            found.append(_kept(patterns, np.concatenate(counts), units, rules[v], cutoffs[v] if cutoffs else None))
        base, chat = found
        kept += base.sum(), chat.sum(), (base | chat).sum()
    mean = NumKept(*(kept / len(patterns)).tolist())
    if (units > 1).any():
        return mean
    exact = expected_at_least({v: (on[0].sum(axis=0), on[1].sum(axis=0)) for v, on in active.items()}, rules, cutoffs)
    return exact._replace(either=mean.either)


def _kept(patterns: Floats, counts: Floats, sizes: Floats, rule: Rule, cutoff: float | None) -> Bools:
    """Return which features one model keeps under each pattern, from their counts in each unit."""
    is_grouped = bool((sizes > 1).any())
    least = _least(counts.sum(axis=0).astype(np.int64), rule, None if is_grouped else cutoff)
    kept: Bools = patterns @ counts >= least
    return kept & _is_significant(patterns, counts / sizes, cutoff) if is_grouped and cutoff is not None else kept


def _least(margins: Counts, rule: Rule, cutoff: float | None) -> Counts:
    """Return on how many target prompts a feature must be active to be kept, given on how many it is in all."""
    least: Counts = np.maximum(rule.least, margins - min(rule.most, rule.num_control))
    if cutoff is None:
        return least
    return least.clip(min=least_significant(margins, rule.num_target, rule.num_control, cutoff * _SAME))


def _is_significant(patterns: Floats, rates: Floats, cutoff: float) -> Bools:
    """Return for each pattern and feature whether at most a share `cutoff` of all patterns is as extreme."""
    rates = rates - rates.mean(axis=0)
    reached = patterns @ rates
    tie = TIE * np.abs(rates).sum(axis=0)
    others = len(patterns) - int(cutoff * _SAME * len(patterns))
    if others <= 0:
        return np.ones(reached.shape, dtype=bool)
    found: Bools = reached > np.partition(reached, others - 1, axis=0)[others - 1] + tie
    return found
