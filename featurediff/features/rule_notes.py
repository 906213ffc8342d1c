"""Where numbers of prompts decide what the published rule keeps: said with numbers, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurediff.features.by_chance import rule
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.labels import PROMPTS, SIDES
from featurediff.wording import number

if TYPE_CHECKING:
    from featurediff.features.by_chance import Rule
    from featurediff.labels import Side
    from featurediff.sources.origin import Origin

SHARES = Thresholds(Threshold(0.05, share=True), Threshold(0.02, share=True))
"""Shares of prompts to suggest."""

RARE, COMMON = 0.01, 0.05
"""Shares of prompts on which the features fire that are taken as examples."""

EMPTY = 0.05
"""A rule that a feature of the share `RARE` passes with a smaller probability is nearly empty."""

TINY = 1e-6
"""Smaller probabilities have an exponent."""

USUAL = 40
"""Control prompts to compare with."""

UNEQUAL = 1.5
"""Numbers of prompts are said to matter where they change a probability by this factor or more."""


def rule_notes(origin: Origin, thresholds: Thresholds) -> list[str]:
    """
    Say where the published rule keeps, hides or invents features by numbers of prompts alone.

    Parameters
    ----------
    origin : Origin
        For the numbers of prompts of each model.
    thresholds : Thresholds
        In force. Two shares of prompts have no notes.

    Returns
    -------
    list of str
        Probabilities are binomial, of a feature that fires on each prompt independently with the same probability.
    """
    if thresholds.min_target.share and thresholds.max_control.share:
        return []
    sizes = {side: (origin.num_prompts[side, "target"], origin.num_prompts[side, "control"]) for side in SIDES}
    found = [
        *_many_control_prompts(sizes["base"][1], sizes["chat"][1], thresholds),
        *_unequal_sets(sizes, thresholds),
        *_unequal_models(sizes, thresholds),
    ]
    if found:
        found.append(
            f"Thresholds as shares, such as --min-target {SHARES.min_target.value:g} --max-control "
            f"{SHARES.max_control.value:g}, depend less on numbers of prompts; the questions `changed` and `specific` "
            "do not go by this rule."
        )
    return found


def _many_control_prompts(base: int, chat: int, thresholds: Thresholds) -> list[str]:
    """Say that hardly any feature is on so few of so many control prompts."""
    n = max(base, chat)
    chance, usual, share = (
        _within(rule(limits, 1, number), RARE) for limits, number in ((thresholds, n), (thresholds, USUAL), (SHARES, n))
    )
    if chance >= EMPTY or thresholds.max_control.share:
        return []
    return [
        f"{n:,} control prompts are many for the published rule: a feature that fires on {_percent(RARE)} of control "
        f"prompts passes “{_few(thresholds)}” with probability {_number(chance)}; with {USUAL} control prompts it "
        f"would be {_number(usual)}. So the rule hides features; with shares it would be {_number(share)}."
    ]


def _unequal_sets(sizes: dict[Side, tuple[int, int]], thresholds: Thresholds) -> list[str]:
    """Say what unequal numbers of target and control prompts do, of both models at once where they are the same."""
    notes = []
    for size in dict.fromkeys(sizes.values()):
        target, control = size
        invents = target > control
        rate, chance_of = (COMMON, _keeps) if invents else (RARE, _within)
        chance, equal, share = (
            chance_of(rule(limits, *numbers), rate)
            for limits, numbers in ((thresholds, size), (thresholds, (target, target)), (SHARES, size))
        )
        is_said = not invents and chance < EMPTY  # as there are many control prompts
        if is_said or not _differ(chance, equal):
            continue
        models = " and ".join(side for side, other in sizes.items() if other == size)
        passes = "of both is exclusive" if invents else f"of control prompts passes “{_few(thresholds)}”"
        notes.append(
            f"{target:,} target prompts against {control:,} control prompts ({models}): a feature that fires on "
            f"{_percent(rate)} {passes} with probability {_number(chance)}; with {target:,} of each it would be "
            f"{_number(equal)}. So the rule {'invents' if invents else 'hides'} features; with shares it would be "
            f"{_number(share)}."
        )
    return notes


def _unequal_models(sizes: dict[Side, tuple[int, int]], thresholds: Thresholds) -> list[str]:
    """Say what unequal numbers of prompts of base and chat do."""
    base, chat = sizes["base"], sizes["chat"]
    chances, shares = (
        [_keeps(rule(limits, *size), COMMON) for size in (base, chat)] for limits in (thresholds, SHARES)
    )
    if not _differ(*chances):
        return []
    unequal = [
        f"{base[i]:,} {prompts} prompts in base and {chat[i]:,} in chat"
        for i, prompts in enumerate(PROMPTS)
        if base[i] != chat[i]
    ]
    return [
        f"{', '.join(unequal)}: a feature that fires on {_percent(COMMON)} of the prompts of both models alike is "
        f"exclusive with probability {_number(chances[0])} in base and {_number(chances[1])} in chat. So the rule "
        f"invents differences between the models; with shares it would be {_number(shares[0])} and "
        f"{_number(shares[1])}."
    ]


def _differ(one: float, other: float) -> bool:
    return max(one, other) >= UNEQUAL * min(one, other) and one != other


def _few(thresholds: Thresholds) -> str:
    """Say what the rule asks of control prompts."""
    most = str(thresholds.max_control)
    return "on no control prompt" if most == "0" else f"on at most {most} of them"


def _within(limits: Rule, rate: float) -> float:
    """Return the probability that a feature of this rate is active on few enough control prompts."""
    from scipy.special import bdtr

    return float(bdtr(limits.most, limits.num_control, rate))


def _keeps(limits: Rule, rate: float) -> float:
    """Return the probability that a feature that fires with this rate on all prompts is exclusive."""
    from scipy.special import bdtrc

    return float(bdtrc(limits.least - 1, limits.num_target, rate)) * _within(limits, rate)


def _number(chance: float) -> str:
    """Write a probability with two digits, or with three near 1."""
    return number(chance, 3 if chance > 0.99 else 2)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
