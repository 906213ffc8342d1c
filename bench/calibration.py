"""Do the tests keep their level, what do they find, and do intervals cover? Simulated sources, as Markdown tables."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featurediff.features.exact_tests import fisher, fisher_two_sided, mcnemar
from featurediff.features.exchange import exchange, exchange_rates
from featurediff.features.families import q_values
from featurediff.features.groups import group_means
from featurediff.features.intervals import (
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from featurediff.features.intervals import Estimate

    Floats = NDArray[np.float64]

ALPHA = 0.05
PROMPTS = 40
"""Of each set."""

FEATURES = 400
CHANGED = 40
"""Features with a planted change."""

_SHARED = 0.95
"""Of the latent variance, what base and chat have in common."""

GROUPS = np.repeat(np.arange(8), 5)


@dataclass(frozen=True, eq=False)
class Source:
    """Activations of both models, each of shape (prompts, features); 0 where a feature is not active."""

    base_target: Floats
    chat_target: Floats
    base_control: Floats
    chat_control: Floats


@dataclass(frozen=True)
class World:
    """What prompts have in common, and what was planted."""

    strength: float = 0.0
    """Standard deviation of what a prompt adds to all features, and to their change."""

    block: int = 1
    """Features that share all that is random."""

    within: float | None = None
    """Intra-class correlation of the prompts of a group, in 8 groups of 5."""

    planted: str = ""
    """frequency, mean or specific; empty: nothing changed."""


def simulate(world: World, rng: np.random.Generator) -> Source:
    """
    Draw a source.

    A feature is active where a latent value passes a threshold of its own, and is then as strong as the latent value is
    above it. Base and chat share 0.95 of the latent variance. Nothing changed: chat differs from base by noise that is
    as likely up as down. Planted in the first `CHANGED` features: chat's latent value is higher on target prompts
    (frequency, and with it the mean), chat's activation is stronger by half on all prompts (mean), or chat's latent
    value is higher on target and lower on control prompts (specific).
    """
    from scipy.special import ndtri

    threshold = -ndtri(rng.beta(0.8, 2.4, FEATURES // world.block).repeat(world.block).clip(0.01, 0.9))
    changed = np.arange(FEATURES) < (CHANGED if world.planted else 0)
    parts = []
    for up in (1.0, -1.0 if world.planted == "specific" else 0.0):
        shared, own = _noise(world, rng), [_noise(world, rng), _noise(world, rng)]
        prompt = world.strength * rng.normal(size=(PROMPTS, 1))
        shift = world.strength * rng.normal(size=(PROMPTS, 1))
        moved = 0.8 * up * changed if world.planted in ("frequency", "specific") else 0.0
        scale = np.where(changed, 1.5, 1.0) if world.planted == "mean" else 1.0
        for noise, here, factor, sign in ((own[0], 0.0, 1.0, -1), (own[1], moved, scale, 1)):
            latent = np.sqrt(_SHARED) * shared + np.sqrt(1 - _SHARED) * noise + prompt + 0.3 * sign * shift + here
            parts.append((latent - threshold).clip(min=0) * factor)
    return Source(*parts)


def _noise(world: World, rng: np.random.Generator) -> Floats:
    """Draw standard normal values of shape (prompts, features)."""
    shape = PROMPTS, FEATURES // world.block
    values = rng.normal(size=shape)
    if world.within is not None:
        common = rng.normal(size=(GROUPS[-1] + 1, shape[1]))[GROUPS]
        values = np.sqrt(world.within) * common + np.sqrt(1 - world.within) * values
    return values.repeat(world.block, axis=1)


def counts(source: Source) -> dict[str, NDArray[np.int64]]:
    """Count active prompts."""
    return {name: (values > 0).sum(axis=0) for name, values in vars(source).items()}


def paired(source: Source, groups: NDArray[np.int64] | None) -> dict[str, Floats]:
    """Return p of every test that knows which prompt is which."""
    target, control = source.chat_target - source.base_target, source.chat_control - source.base_control
    on = {name: (values > 0).astype(np.float64) for name, values in vars(source).items()}
    switched, elsewhere = on["chat_target"] - on["base_target"], on["chat_control"] - on["base_control"]
    families = _families(source)
    mark = "" if groups is None else "-grouped"
    found = {
        f"mean: change, sign-flip{mark}": sign_flips(target, families[0].sum(), groups),
        f"mean: specific, exchange{mark}": exchange(target, control, families[1].sum(), groups, groups),
    }
    if groups is None:
        found["frequency: change, mcnemar"] = mcnemar((switched < 0).sum(axis=0), (switched > 0).sum(axis=0))
        found["frequency: specific, exchange"] = exchange_switches(switched, elsewhere, families[1].sum())
        number = counts(source)
        found["chat: target over control, fisher"] = fisher(
            number["chat_target"], number["chat_control"], PROMPTS, PROMPTS
        )
    else:
        found["frequency: change, sign-flip-grouped"] = sign_flips(switched, families[0].sum(), groups)
        found["frequency: specific, exchange-grouped"] = exchange(
            switched, elsewhere, families[1].sum(), groups, groups
        )
        active = (source.chat_target > 0, source.chat_control > 0)
        found["chat: target over control, exchange-grouped"] = exchange_rates(*active, None, groups, groups)
    return found


def summaries(source: Source) -> dict[str, Floats]:
    """Return p of every test that knows means, standard deviations and counts only."""
    samples = [Sample.of(values) for values in vars(source).values()]
    number = list(counts(source).values())
    return {
        "mean: change, welch": welch_change(*samples[:2]),
        "mean: specific, welch": welch_specific(*samples),
        "frequency: change, fisher": fisher_two_sided(*number[:2], PROMPTS, PROMPTS),
        "frequency: specific, counts": counts_specific(number, (PROMPTS,) * 4),
    }


def _families(source: Source) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which features are tested: active on target for a change, on any prompt for what is specific."""
    on = [(values > 0).any(axis=0) for values in vars(source).values()]
    return on[0] | on[1], on[0] | on[1] | on[2] | on[3]


def significant(source: Source, tests: Mapping[str, Floats]) -> dict[str, NDArray[np.bool_]]:
    """Return which features each test calls changed."""
    change, anywhere = _families(source)
    return {
        name: q_values(np.where(change if "change" in name else anywhere, p, np.nan)) <= ALPHA
        for name, p in tests.items()
    }


def both(source: Source) -> dict[str, Floats]:
    """Return p of every test without groups."""
    return paired(source, None) | summaries(source)


def grouped(source: Source) -> dict[str, Floats]:
    """Return p of every test with groups."""
    return paired(source, GROUPS)


NULLS: dict[str, tuple[World, Callable[[Source], dict[str, Floats]]]] = {
    "independent prompts": (World(), both),
    "prompts differ in strength": (World(strength=0.7), both),
    "features in blocks of 20": (World(block=20), both),
    **{
        f"8 groups of 5, ICC {icc:g}, {name}": (World(within=icc), tests)
        for icc in (0.25, 0.64, 1.0)
        for name, tests in (("groups not used", both), ("groups used", grouped))
    },
}


def print_level(runs: int) -> None:
    """Print the share of runs with a false finding; nothing changed in any."""
    print(f"\nNothing changed: share of {runs} runs in which a test has any q ≤ {ALPHA}.\n")
    print("| Source | Test | Runs with a finding |\n|---|---|--:|")
    for number, (name, (world, tests)) in enumerate(NULLS.items()):
        rng = np.random.default_rng([1, number])
        found: dict[str, int] = defaultdict(int)
        for _ in range(runs):
            source = simulate(world, rng)
            for test, is_found in significant(source, tests(source)).items():
                found[test] += int(is_found.any())
        for test, hits in found.items():
            print(f"| {name} | {test} | {hits / runs:.1%} |", flush=True)


def print_power(runs: int) -> None:
    """Print what is found of planted changes, and how much of what is found was not planted."""
    print(f"\nPlanted in {CHANGED} of {FEATURES} features: means over {runs} runs.\n")
    print("| Planted | Test | False among the found | Found of the planted |\n|---|---|--:|--:|")
    for number, kind in enumerate(("frequency", "mean", "specific")):
        rng = np.random.default_rng([2, number])
        shares: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for _ in range(runs):
            source = simulate(World(planted=kind), rng)
            for test, is_found in significant(source, both(source)).items():
                if not test.startswith("chat"):
                    is_true = kind != "mean" or "specific" not in test  # stronger on all prompts is not specific
                    planted = np.arange(FEATURES) < CHANGED * is_true
                    false = (is_found & ~planted).sum() / max(is_found.sum(), 1)
                    shares[test].append((false, is_found[planted].mean() if is_true else np.nan))
        for test, found in shares.items():
            false, power = np.mean(found, axis=0)
            print(f"| {kind} | {test} | {false:.1%} | {'–' if np.isnan(power) else f'{power:.0%}'} |", flush=True)


def intervals(source: Source, groups: NDArray[np.int64] | None) -> dict[str, Estimate]:
    """Return every interval; with groups those that know them."""
    d = source.chat_target - source.base_target, source.chat_control - source.base_control
    on = {name: (values > 0).astype(np.float64) for name, values in vars(source).items()}
    switched = on["chat_target"] - on["base_target"], on["chat_control"] - on["base_control"]
    if groups is not None:
        return {
            "mean, change: t of groups": paired_mean(d[0], group_means(d[0], groups)),
            "mean, specific: Welch of groups": paired_means(*d, *(group_means(x, groups) for x in d)),
            "frequency, change: t of groups": paired_mean(switched[0], group_means(switched[0], groups)),
            "frequency, specific: Welch of groups": paired_means(
                *switched, *(group_means(x, groups) for x in switched)
            ),
        }
    samples = [Sample.of(values) for values in vars(source).values()]
    number = list(counts(source).values())
    pairs = []
    for base, chat in ((on["base_target"], on["chat_target"]), (on["base_control"], on["chat_control"])):
        cells = (base * chat, base * (1 - chat), (1 - base) * chat)
        pairs.append(newcombe_paired(*(cell.sum(axis=0).astype(np.int64) for cell in cells), PROMPTS))
    unpaired = [newcombe(*number[i : i + 2], PROMPTS, PROMPTS) for i in (0, 2)]
    moves = [x.any(axis=0) for x in switched]
    return {
        "mean, change: t": paired_mean(d[0]),
        "mean, specific: Welch": paired_means(*d),
        "mean, change: Welch, unpaired": mean_interval(combine([samples[1]], [samples[0]])),
        "mean, specific: Welch, unpaired": mean_interval(combine([samples[1], samples[2]], [samples[0], samples[3]])),
        "frequency, change: Newcombe, paired": pairs[0].only(moves[0]),
        "frequency, specific: MOVER, paired": difference(*pairs).only(moves[0] | moves[1]),
        "frequency, change: Newcombe, unpaired": unpaired[0].only(number[0] + number[1] > 0),
        "frequency, specific: MOVER, unpaired": difference(*unpaired).only(sum(number) > 0),
    }


def print_coverage(runs: int) -> None:
    """Print how often intervals hold the truth, by how rare a feature is."""
    print(f"\nHow often the 95 % interval holds the truth, where there is one ({runs} runs, {FEATURES} features).\n")
    print("| Prompts | Interval | Active on < 10 % | 10 to 50 % | more |\n|---|---|--:|--:|--:|")
    for name, icc, groups in (
        ("independent", None, None),
        ("8 groups of 5, ICC 0.64, groups not used", 0.64, None),
        ("8 groups of 5, ICC 0.64, groups used", 0.64, GROUPS),
    ):
        for kind, (hits, total) in _coverage(World(within=icc), groups, runs).items():
            shares = " | ".join(f"{h / max(t, 1):.1%}" for h, t in zip(hits, total, strict=True))
            print(f"| {name} | {kind} | {shares} |", flush=True)


def _coverage(
    world: World, groups: NDArray[np.int64] | None, runs: int
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Count intervals that hold the truth, and all, by how rare the feature is."""
    from scipy.special import ndtr

    found: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    rng, draws = np.random.default_rng(3), np.random.default_rng(4)
    for _ in range(runs):
        source, threshold = _simulate_changed(world, rng, draws)
        density = np.exp(-(threshold**2) / 2) / np.sqrt(2 * np.pi)
        rate, mean = ndtr(-threshold), density - threshold * ndtr(-threshold)
        higher = ndtr(_SHIFT - threshold)
        stronger = np.exp(-((threshold - _SHIFT) ** 2) / 2) / np.sqrt(2 * np.pi) - (threshold - _SHIFT) * higher
        truths = {"mean": stronger - mean, "frequency": higher - rate}
        bands = np.digitize(rate, [0.1, 0.5])
        for kind, estimate in intervals(source, groups).items():
            truth = truths[kind.partition(",")[0]]
            known = ~np.isnan(estimate.low)
            holds = known & (estimate.low <= truth) & (truth <= estimate.high)
            hits, total = found.setdefault(kind, (np.zeros(3, np.int64), np.zeros(3, np.int64)))
            hits += np.bincount(bands[holds], minlength=3)
            total += np.bincount(bands[known], minlength=3)
    return found


_SHIFT = 0.5
"""How much higher chat's latent values are on target prompts where coverage is measured."""


def _simulate_changed(world: World, rng: np.random.Generator, draws: np.random.Generator) -> tuple[Source, Floats]:
    """Draw a source in which every feature changes on target prompts, and the thresholds of its features."""
    from scipy.special import ndtri

    threshold = -ndtri(draws.beta(0.8, 2.4, FEATURES).clip(0.02, 0.9))
    parts = []
    for shift in (_SHIFT, 0.0):
        shared = _noise(world, rng)
        for here in (0.0, shift):
            latent = np.sqrt(_SHARED) * shared + np.sqrt(1 - _SHARED) * _noise(world, rng) + here
            parts.append((latent - threshold).clip(min=0))
    return Source(*parts), threshold


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="sources with nothing changed, of each kind")
    parser.add_argument("--planted-runs", type=int, default=60, help="sources with planted changes, of each kind")
    options = parser.parse_args()
    began = time.perf_counter()
    print(f"{PROMPTS} + {PROMPTS} prompts, {FEATURES} features.")
    print_level(options.runs)
    print_power(options.planted_runs)
    print_coverage(options.planted_runs)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
