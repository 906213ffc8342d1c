"""What a person reads on the screen: names of models, prompt sets, categories and metrics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

Side = Literal["base", "chat"]
Prompts = Literal["target", "control"]
Exclusivity = Literal["both", "base", "chat", "neither"]

SIDES: tuple[Side, ...] = ("base", "chat")
PROMPTS: tuple[Prompts, ...] = ("target", "control")
"""
The sets of prompts: the column `prompt_set` of the Parquet files. In code they are `prompts`; the `prompt_set` of a
source is its folder.
"""
EXCLUSIVITIES: tuple[Exclusivity, ...] = ("both", "base", "chat", "neither")
"""In which models a feature is active on target prompts only; `neither` is kept by another question."""

EXCLUSIVE = EXCLUSIVITIES[:3]
"""Those that the published rule keeps."""

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
        return len({"Both", "Neither", self.base, self.chat}) < 4 or self.target == self.control

    def calling(self, words: Mapping[Side, str]) -> Labels:
        """Return labels with the files' own words for models whose label is the default; not where two are alike."""
        usual = Labels()
        named = {side: word for side, word in words.items() if self.of(side) == usual.of(side)}
        labels = replace(self, **named)
        return self if labels.are_alike else labels

    def of(self, name: Side | Prompts) -> str:
        """Return the label of a model or of a prompt set."""
        return str(getattr(self, name))

    def models(self, exclusivity: str) -> str:
        """Name the models in which a feature is exclusive, within a sentence."""
        return {"both": "both models", "neither": "neither model"}.get(exclusivity) or self.of(
            cast("Side", exclusivity)
        )

    def short_category(self, exclusivity: str) -> str:
        """Name the models in which a feature is exclusive, as a choice or in a table."""
        return {"both": "Both", "neither": "Neither"}.get(exclusivity) or self.of(cast("Side", exclusivity))

    def category(self, exclusivity: str, inconsistent: bool = False) -> str:
        """Name a category of features, such as "Base Introspective + Instruct Control"."""
        if exclusivity == "neither":
            return "Neither exclusive"
        if exclusivity == "both":
            return f"Both {self.target}"
        own, other = (self.base, self.chat) if exclusivity == "base" else (self.chat, self.base)
        return f"{own} {self.target}" + (f" + {other} {self.control}" if inconsistent else "")

    def explain(self, exclusivity: str) -> str:
        """Say in words what an exclusivity means."""
        if exclusivity == "neither":
            return f"Not {self.target} prompt-exclusive in either model"
        return f"{self.target} prompt-exclusive feature for {self.models(exclusivity)}"

    def explain_inconsistent(self, exclusivity: str) -> str:
        """Say in words what the inconsistency of an exclusivity means; only `base` and `chat` can have one."""
        other = self.chat if exclusivity == "base" else self.base
        return f"This feature is also active on the {other} model’s {self.control} prompts"

    def explain_change(self, sign: int) -> str:
        """Say in words how a feature changed that is exclusive in a model, though that model does not use it more."""
        how = {1: "more than", 0: "as much as", -1: "less than"}[sign]
        return f"Exclusive, but {self.chat} uses it {how} {self.base} on {self.target} prompts"

    def explain_on_control(self) -> str:
        """Say in words that a feature's effect is one of the control prompts rather than of the target prompts."""
        return f"It changed more on {self.control} than on {self.target} prompts"

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

    def question(self, name: str) -> str:
        """Name a choice of the question, such as "Changed on Target"."""
        return {
            "exclusive": f"Active on {self.target} only",
            "changed": f"Changed on {self.target}",
            "specific": f"Changed on {self.target} more than on {self.control}",
            "any": "Any of these",
        }[name]

    def effect(self, name: str) -> str:
        """Name an effect, such as "Change of mean activation on Target more than on Control"."""
        quantity, _, contrast = name.rpartition("_")
        metric = self.metric(f"target_{quantity}")
        more = f" more than on {self.control}" if contrast == "specific" else ""
        return f"Change of {metric[:1].lower()}{metric[1:]} on {self.target}{more}"

    def short_effect(self, name: str) -> str:
        """Name an effect above a column: "Change", or "Change vs Control" for one that is more than on Control."""
        return f"Change vs {self.control}" if name.endswith("_specific") else "Change"

    def explain_effect(self, name: str) -> str:
        """Say in words what the column of an effect holds."""
        minus = f": the change on {self.target} minus that on {self.control}" if name.endswith("_specific") else ""
        return f"{self.effect(name)}{minus}, with its 95 % interval."


_TESTS = {
    "sign-flip": "sign-flip test",
    "mcnemar": "McNemar’s exact test",
    "exchange": "exchange test",
    "fisher": "Fisher’s exact test",
    "welch": "Welch’s test",
    "counts": "test of four frequencies",
}


def test_in_words(name: str) -> str:
    """Name a test for people, such as "sign-flip test of groups" for `sign-flip-grouped`."""
    test = name.removesuffix("-grouped")
    return _TESTS[test] + " of groups" * (test != name)


def is_share(metric: str) -> bool:
    """Whether a metric is a share of prompts, so between 0 and 1."""
    return metric.endswith("_sparsity")
