"""The effects of a source: how much each feature changed, with intervals and the p of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurediff.features.distinct import per_pair
from featurediff.features.exact_tests import fisher_two_sided, mcnemar
from featurediff.features.exchange import exchange
from featurediff.features.groups import group_means
from featurediff.features.intervals import (
    Estimate,
    difference,
    mean_interval,
    newcombe,
    newcombe_paired,
    paired_mean,
    paired_means,
)
from featurediff.features.moments import Sample, combine, counts_specific, welch_change, welch_specific
from featurediff.features.sign_flips import sign_flips
from featurediff.features.switches import exchange_switches
from featurediff.labels import PROMPTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from featurediff.features.groups import Groups
    from featurediff.features.questions import Contrast
    from featurediff.labels import Prompts, Side
    from featurediff.sources.pairs import Pairs
    from featurediff.sources.results import Results

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


class Effect(NamedTuple):
    """One effect of some features at one position; chat − base, each array of shape (features,)."""

    value: Floats
    low: Floats
    high: Floats
    p: Floats
    test: str
    """What p comes from; "" where nothing is tested."""

    def within(self, family: Bools) -> Effect:
        """Return the effect with p and interval of a family's features alone."""
        low, high, p = (np.where(family, column, np.nan) for column in (self.low, self.high, self.p))
        return Effect(self.value, low, high, p, self.test)


def paired_effects(pairs: Pairs, token_type: str, sizes: Mapping[Contrast, int]) -> dict[str, Effect]:
    """
    Compute every effect at one position from base and chat on the same prompts.

    Parameters
    ----------
    pairs : Pairs
        From `sources.pairs.read_pairs`.
    token_type : str
        The position.
    sizes : mapping
        Contrast → how many features are tested together: it decides how many random signs or exchanges are drawn.

    Returns
    -------
    dict
        Name of an effect → values of `pairs.positions[token_type].features`.
    """
    at = pairs.positions[token_type]
    parts = [_paired_block(pairs, token_type, first, last, sizes) for first, last in at.blocks()]
    return {
        name: Effect(
            np.concatenate([part[name].value for part in parts]),
            np.concatenate([part[name].low for part in parts]),
            np.concatenate([part[name].high for part in parts]),
            np.concatenate([part[name].p for part in parts]),
            effect.test,
        )
        for name, effect in parts[0].items()
    }


def _paired_block(
    pairs: Pairs, token_type: str, first: int, last: int, sizes: Mapping[Contrast, int]
) -> dict[str, Effect]:
    at = pairs.positions[token_type]
    found = {(v, p): at.activations(v, p, first, last) for v in SIDES for p in PROMPTS}
    d = {prompts: found["chat", prompts] - found["base", prompts] for prompts in PROMPTS}
    active = {key: cells != 0 for key, cells in found.items()}
    switches = {p: active["chat", p].astype(np.float64) - active["base", p] for p in PROMPTS}
    return {
        "all_mean_change": _mean_change(d["target"], pairs.groups["target"], sizes["change"]),
        "all_mean_specific": _mean_specific(d, pairs.groups, sizes["specific"]),
        "sparsity_change": _frequency_change(active, switches["target"], pairs.groups["target"], sizes["change"]),
        "sparsity_specific": _frequency_specific(active, switches, pairs.groups, sizes["specific"]),
    }


def _mean_change(d: Floats, groups: Groups | None, family: int) -> Effect:
    """Return the effect on target prompts by flipping signs."""
    units = None if groups is None else group_means(d, groups)
    estimate = paired_mean(d, units).only(_moves(d))
    return Effect(*estimate, sign_flips(d, family, groups), _named("sign-flip", groups))


def _mean_specific(d: Mapping[Prompts, Floats], groups: Mapping[Prompts, Groups | None], family: int) -> Effect:
    """Return the effect on target less that on control by exchanging labels."""
    units = {p: None if groups[p] is None else group_means(d[p], groups[p]) for p in PROMPTS}
    moves = _moves(d["target"]) | _moves(d["control"])
    estimate = paired_means(d["target"], d["control"], units["target"], units["control"]).only(moves)
    p = exchange(d["target"], d["control"], family, groups["target"], groups["control"])
    return Effect(*estimate, p, _named("exchange", *groups.values()))


def _frequency_change(
    active: Mapping[tuple[Side, Prompts], Bools], switches: Floats, groups: Groups | None, family: int
) -> Effect:
    """Return the effect on the target frequency: McNemar's test, or with groups by flipping signs."""
    if groups is not None:
        return _mean_change(switches, groups, family)
    base, chat = active["base", "target"], active["chat", "target"]
    base_only, chat_only = (base & ~chat).sum(axis=0), (chat & ~base).sum(axis=0)
    p = per_pair(mcnemar, base_only, chat_only, len(base), len(base))
    return Effect(*_paired_share(base, chat).only(_moves(switches)), p, "mcnemar")


def _frequency_specific(
    active: Mapping[tuple[Side, Prompts], Bools],
    switches: Mapping[Prompts, Floats],
    groups: Mapping[Prompts, Groups | None],
    family: int,
) -> Effect:
    """Return the effect on the target frequency less that on the control frequency, by exchanging labels."""
    if any(group is not None for group in groups.values()):
        return _mean_specific(switches, groups, family)
    moves = _moves(switches["target"]) | _moves(switches["control"])
    on_target, on_control = (_paired_share(active["base", p], active["chat", p]) for p in PROMPTS)
    p = exchange_switches(switches["target"], switches["control"], family)
    return Effect(*difference(on_target, on_control).only(moves), p, "exchange")


def _moves(d: Floats) -> Bools:
    """Return which features differ between the models on any prompt."""
    moves: Bools = (d != 0).any(axis=0)
    return moves


def _paired_share(base: Bools, chat: Bools) -> Estimate:
    counts = ((base & chat).sum(axis=0), (base & ~chat).sum(axis=0), (chat & ~base).sum(axis=0))
    return newcombe_paired(*counts, len(base))


def _named(test: str, *groups: Groups | None) -> str:
    return test + "-grouped" * any(group is not None for group in groups)


def unpaired_effects(results: Results, token_type: str, features: NDArray[np.int64]) -> dict[str, Effect]:
    """
    Compute every effect at one position from counts, means and standard deviations.

    Parameters
    ----------
    results : Results
        One source.
    token_type : str
        The position.
    features : ndarray of shape (n,), int64
        The features.

    Returns
    -------
    dict
        Name of an effect → values of these features. Effects on the mean are not tested where the files have no mean
        or no standard deviation.
    """
    n = {(v, p): results.of(v).metadata.num_prompts(p) for v in SIDES for p in PROMPTS}
    vectors = {side: results.of(side).vectors[token_type] for side in SIDES}
    counts = {(v, p): vectors[v][f"{p}_num_active"][features] for v in SIDES for p in PROMPTS}
    base, chat = counts["base", "target"], counts["chat", "target"]
    sizes = n["base", "target"], n["chat", "target"]
    p = per_pair(fisher_two_sided, base, chat, *sizes)
    on_target, on_control = (
        newcombe(counts["base", p], counts["chat", p], n["base", p], n["chat", p]) for p in PROMPTS
    )
    keys = [(v, prompts) for prompts in PROMPTS for v in SIDES]
    specific_p = counts_specific([counts[key] for key in keys], [n[key] for key in keys])
    found = {
        "sparsity_change": Effect(*on_target, p, "fisher"),
        "sparsity_specific": Effect(*difference(on_target, on_control), specific_p, "counts"),
    }
    names = [f"{prompts}_{statistic}" for prompts in PROMPTS for statistic in ("all_mean", "all_std")]
    if not set(names) <= set(results.vector_names):
        unknown = np.full(len(features), np.nan)
        nothing = Effect(unknown, unknown, unknown, unknown, "")
        return {"all_mean_change": nothing, "all_mean_specific": nothing} | found
    samples = {
        (v, p): Sample(vectors[v][f"{p}_all_mean"][features], vectors[v][f"{p}_all_std"][features], n[v, p])
        for v, p in n
    }
    return _unpaired_means(samples) | found


def _unpaired_means(samples: Mapping[tuple[Side, Prompts], Sample]) -> dict[str, Effect]:
    base, chat = samples["base", "target"], samples["chat", "target"]
    on_control = samples["base", "control"], samples["chat", "control"]
    change = mean_interval(combine([chat], [base]))
    specific = mean_interval(combine([chat, on_control[0]], [base, on_control[1]]))
    return {
        "all_mean_change": Effect(*change, welch_change(base, chat), "welch"),
        "all_mean_specific": Effect(*specific, welch_specific(base, chat, *on_control), "welch"),
    }
