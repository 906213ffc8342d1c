"""What the comparison says beside its charts, on its page and in the command alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurediff.charts.view import View
from featurediff.features.evidence import CAVEAT
from featurediff.features.questions import quantity_of
from featurediff.labels import PROMPTS, SIDES, Labels
from featurediff.wording import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurediff.compare.summary import Summary
    from featurediff.features.questions import Asked
    from featurediff.features.thresholds import Thresholds

HOW_TO_READ_CELLS = (
    "A cell has the number of features that two sources share; below it Jaccard’s index, their share of the features "
    "in either; and below that how many they would share by chance, if of the features that are active in both, each "
    "source kept its own number independently. Features that fire often are found more easily in both, so a little "
    "more than that is usual. The diagonal has the number of each source’s own. A star marks sources with the same "
    "prompts, which share their noise."
)

UNEQUAL = 1.25
"""Numbers of prompts that differ by less than this factor change the published rule’s counts too little to say so."""

_ENOUGH = "in a model in which the feature is exclusive"


def what_is_kept(asked: Asked, thresholds: Thresholds, labels: Labels) -> str:
    """Say in words which features a question keeps."""
    words = labels
    quantity = {"all_mean": "mean activation", "sparsity": "activation frequency"}[quantity_of(asked.metric)]
    change = f"features whose {quantity} changed from {words.base} to {words.chat} on {words.target} prompts"
    return {
        "exclusive": f"features that are {View(thresholds=thresholds, labels=labels).rule()}",
        "changed": f"{change} (q at most {number(asked.alpha)})",
        "specific": f"{change} otherwise than on {words.control} prompts (q at most {number(asked.alpha)})",
        "any": "features that are kept by the published rule, or whose mean activation or activation frequency "
        f"changed (q at most {number(asked.alpha)}); nothing corrects for asking several questions",
    }[asked.question]


def how_to_read(asked: Asked) -> str:
    """Say what the bars and lines of a question are."""
    if asked.question in ("changed", "specific"):
        return f"The share is of the features that were tested at the position. {CAVEAT}"
    where = f" for target over control {_ENOUGH}" if asked.question == "exclusive" else " of any of the tests"
    evidence = f"evidence, that is q at most {number(asked.alpha)}{where}"
    return f"Pale or dotted: kept. Solid: those of them with {evidence}. {CAVEAT}"


def what_is_shared(shown: Asked, asked: Asked, labels: Labels) -> str:
    """
    Say which features an overlap is about, and why.

    Parameters
    ----------
    shown, asked : Asked
        From `overlap.asked_of_overlap`, and what that was given.
    labels : Labels
        What models and prompt sets are called.
    """
    at = "at any position"
    if shown.question == "exclusive":
        why = "not every source has tests of base and chat on the same prompts (activations.parquet)"
        return f"Features that the published rule keeps {at}, as {why}."
    than = f" more than on {labels.control}" * (shown.question == "specific")
    said = f"Features that changed on {labels.target}{than} {at} (q at most {number(shown.alpha)})"
    many = "; of those that the published rule keeps, many are there by chance" * (asked.question != shown.question)
    return f"{said}{many}."


def unequal_prompts(sources: Sequence[Summary], thresholds: Thresholds, labels: Labels) -> str:
    """
    Warn where numbers of prompts differ much, between sources, models or prompt sets, and thresholds are counts.

    Returns
    -------
    str
        One or two sentences; "" where all numbers are equal, or where both thresholds are shares above 0.
    """
    limits = thresholds.min_target, thresholds.max_control
    if all(limit.share and limit.value > 0 for limit in limits):
        return ""
    numbers = {p: sorted({source.num_prompts[v, p] for source in sources for v in SIDES}) for p in PROMPTS}
    every = [number for found in numbers.values() for number in found]
    if max(every) < UNEQUAL * min(every):
        return ""
    said = "; ".join(f"{labels.of(p)}: {_listed(found)}" for p, found in numbers.items())
    return (
        f"Numbers of prompts differ ({said}), and the published rule goes by counts: fewer control prompts, or more "
        "target prompts, make more features exclusive by themselves. Thresholds that are shares of the prompts, such "
        "as at least 10 % and at most 5 %, compare more fairly."
    )


def _listed(numbers: Sequence[int]) -> str:
    few = ", ".join(map(str, numbers[:5]))
    return few if len(numbers) <= 5 else f"{few} and more, up to {numbers[-1]}"
