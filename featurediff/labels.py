"""What a person reads on the screen: names of models, prompt sets, categories and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Side = Literal["base", "chat"]
Prompts = Literal["target", "control"]
Exclusivity = Literal["both", "base", "chat"]

SIDES: tuple[Side, ...] = ("base", "chat")
PROMPTS: tuple[Prompts, ...] = ("target", "control")
EXCLUSIVITIES: tuple[Exclusivity, ...] = ("both", "base", "chat")

_METRICS = {
    "all_mean": "Mean activation",
    "all_std": "Activation std",
    "max": "Maximum activation",
    "sparsity": "Activation frequency",
    "num_active": "Active prompts",
}


@dataclass(frozen=True)
class Labels:
    """The four words that a reader's own experiment gives to the models and the prompt sets."""

    base: str = "Base"
    """The model before tuning."""

    chat: str = "Instruct"
    """The model after tuning."""

    target: str = "Target"
    """The prompts with the behaviour under study."""

    control: str = "Control"
    """All other prompts."""

    @property
    def are_alike(self) -> bool:
        """Whether two of what they name would be called the same."""
        return len({"Both", self.base, self.chat}) < 3 or self.target == self.control

    def of(self, name: Side | Prompts) -> str:
        """Return the label of a model or of a prompt set."""
        return str(getattr(self, name))

    def category(self, exclusivity: str, inconsistent: bool = False) -> str:
        """Name a category of features, such as "Base Introspective + Instruct Control"."""
        if exclusivity == "both":
            return f"Both {self.target}"
        own, other = (self.base, self.chat) if exclusivity == "base" else (self.chat, self.base)
        return f"{own} {self.target}" + (f" + {other} {self.control}" if inconsistent else "")

    def explain(self, exclusivity: str) -> str:
        """Say in words what an exclusivity means."""
        whose = {"both": "both models", "base": self.base, "chat": self.chat}[exclusivity]
        return f"{self.target} prompt-exclusive feature for {whose}"

    def explain_inconsistent(self, exclusivity: str) -> str:
        """Say in words what the inconsistency of an exclusivity means; only `base` and `chat` can have one."""
        other = self.chat if exclusivity == "base" else self.base
        return f"This feature is also active on the {other} model’s {self.control} prompts"

    def statistic(self, name: str) -> str:
        """Name a vector with its prompt set first, such as "Control: mean activation"."""
        prompts, _, statistic = name.partition("_")
        label = _METRICS.get(statistic, statistic.replace("_", " "))
        return f"{self.of('target' if prompts == 'target' else 'control')}: {label[:1].lower()}{label[1:]}"

    def metric(self, name: str) -> str:
        """Name a metric, such as "Activation frequency" for `target_sparsity`; an unknown one by its own name."""
        prompts, _, statistic = name.partition("_")
        label = _METRICS.get(statistic, statistic.replace("_", " "))
        return label if prompts == "target" else f"{label} on {self.control} prompts"


def is_share(metric: str) -> bool:
    """Whether a metric is a share of prompts, so between 0 and 1."""
    return metric.endswith("_sparsity")
