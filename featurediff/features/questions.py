"""The questions that a reader asks of a source, and which tested effect answers which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Question = Literal["exclusive", "changed", "specific", "any"]
QUESTIONS: tuple[Question, ...] = ("exclusive", "changed", "specific", "any")
"""
Active on target prompts only, by the published rule; changed on target prompts; changed on target prompts otherwise
than on control prompts; at least one of these.
"""

Quantity = Literal["all_mean", "sparsity"]
QUANTITIES: tuple[Quantity, ...] = ("all_mean", "sparsity")
"""What is tested: the mean activation over all prompts, and the share of prompts on which a feature is active."""

Contrast = Literal["change", "specific"]
CONTRASTS: tuple[Contrast, ...] = ("change", "specific")
"""Chat − base on target prompts; and that minus (chat − base on control prompts)."""

Family = Literal["position", "source"]
"""Which features are corrected for together: those of one position, or of all positions of a source."""

Direction = Literal["increase", "decrease", "none"]
DIRECTIONS: tuple[Direction, ...] = ("increase", "decrease", "none")
"""The sign of an effect."""

EFFECTS = tuple(f"{quantity}_{contrast}" for quantity in QUANTITIES for contrast in CONTRASTS)
"""Names of the tested effects: columns of the feature table."""


def is_tested(metric: str) -> bool:
    """Whether a metric's changes are tested: means of all prompts and shares of prompts are, on the target prompts."""
    return metric in {f"target_{quantity}" for quantity in QUANTITIES}


def quantity_of(metric: str) -> Quantity:
    """Return the tested quantity that goes with a metric: frequency with itself, the mean with all others."""
    return "sparsity" if metric.endswith("_sparsity") else "all_mean"


def effect_of(question: Question, metric: str) -> str:
    """Return the effect that a question is about: `specific` its own, all others the change."""
    return f"{quantity_of(metric)}_{'specific' if question == 'specific' else 'change'}"


@dataclass(frozen=True)
class Asked:
    """A question as it is put to the feature table."""

    question: Question = "exclusive"
    """Which one."""

    metric: str = "target_all_mean"
    """The metric shown: it selects mean or frequency for `changed` and `specific`."""

    alpha: float = 0.05
    """`changed` and `specific` keep features with at most this q."""

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities whose changes keep a feature: that of the metric, and both for `any`."""
        return QUANTITIES if self.question == "any" else (quantity_of(self.metric),)
