"""A view of a source: everything that a reader chose to see."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from featurediff.charts.scale import Choice
from featurediff.errors import DataError
from featurediff.features.evidence import ALPHA
from featurediff.features.filters import Consistency, Filters
from featurediff.features.listing import By
from featurediff.features.questions import QUESTIONS, Asked, Family, Question, is_tested
from featurediff.features.ranked import TOP
from featurediff.features.thresholds import Thresholds
from featurediff.labels import EXCLUSIVITIES, Labels
from featurediff.wording import listed, number, plural, quoted, visible

if TYPE_CHECKING:
    from featurediff.sources.origin import Origin
    from featurediff.sources.results import Results

DEFAULT_METRIC = "target_all_mean"
Kind = Literal["scatter", "volcano", "ranking"]


@dataclass(frozen=True)
class View:
    """Everything that a reader chose to see; a scalar, so it can key a cache."""

    metric: str = DEFAULT_METRIC
    """A vector of the files, on both axes."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    """What counts as exclusive."""

    filters: Filters = field(default_factory=Filters)
    """Which of the kept features are shown."""

    labels: Labels = field(default_factory=Labels)
    """What models and prompt sets are called."""

    scale: Choice = "auto"
    """The axes' scale."""

    spread: bool = True
    """Whether coincident points get places of their own."""

    chart: Kind = "scatter"
    """What is drawn."""

    question: Question = "exclusive"
    """Which features are kept."""

    alpha: float = ALPHA
    """The largest q that the questions `changed` and `specific` keep."""

    family: Family = "position"
    """What is corrected for together."""

    top: int = TOP
    """Of a ranking, how many increases and how many decreases of each token type."""

    by_share: bool = False
    """Whether a ranking goes by the shares of what differs between the models, where a file says them."""

    by: By = "position"
    """Whether table and files have a row for each position at which a feature is kept, or one for its best."""

    @property
    def asked(self) -> Asked:
        """The question as it is put to the feature table."""
        return Asked(self.question, self.metric, self.alpha)

    def rule(self) -> str:
        """Say in words what counts as exclusive."""
        target, control = self.thresholds.min_target, self.thresholds.max_control
        words = self.labels
        return (
            f"active on at least {target} of a model’s {words.target} prompts and on at most {control} "
            f"of its {words.control} prompts"
        )

    def filter_phrases(self) -> dict[str, str]:
        """Say in words which filters are on: field of `Filters` → a phrase."""
        on = self.filters
        phrases = {
            "token_types": on.token_types and f"position {', '.join(map(visible, on.token_types))}",
            "exclusivity": on.exclusivity and f"exclusive in {', '.join(map(self.labels.models, on.exclusivity))}",
            "consistency": on.consistency != "all" and f"{on.consistency} only",
            "min_value": on.min_value is not None
            and f"{self.labels.metric(self.metric)} at least {number(on.min_value)}",
            "max_q": on.max_q is not None and f"q at most {number(on.max_q)}",
            "search": on.search
            and f"{'id or explanation has' if on.searched_ids else 'explanation contains'} “{on.search}”",
            "ids": on.ids and f"{plural(len(on.ids), 'feature id')}",
        }
        return {name: phrase for name, phrase in phrases.items() if phrase}

    def filters_in_words(self) -> list[str]:
        """Say in words which filters are on, one phrase each."""
        return list(self.filter_phrases().values())

    def check(self, results: Results) -> None:
        """
        Hold the view against a source.

        Raises
        ------
        DataError
            If it names a metric or a token type that the files do not have, an unknown choice, two things by one
            label, or a volcano of a metric that nothing tests.
        """
        if self.labels.are_alike:
            msg = f"Two of the labels are the same: {listed(('Both', *astuple(self.labels)))}. Give each its own."
            raise DataError(msg)
        on = self.filters
        for what, given, choices, where in (
            ("metric", (self.metric,), results.metrics, "in the files. They have"),
            ("token type", on.token_types, results.token_types, "in the files. They have"),
            ("exclusivity", on.exclusivity, EXCLUSIVITIES, "to choose. There are"),
            ("consistency", (on.consistency,), get_args(Consistency), "to choose. There are"),
            ("scale", (self.scale,), get_args(Choice), "to choose. There are"),
            ("chart", (self.chart,), get_args(Kind), "to choose. There are"),
            ("question", (self.question,), QUESTIONS, "to choose. There are"),
            ("family", (self.family,), get_args(Family), "to choose. There are"),
            ("listing by", (self.by,), get_args(By), "to choose. There are"),
        ):
            unknown = [name for name in given if name not in choices]
            if unknown:
                msg = f"There is no {what} {listed(unknown)} {where} {listed(choices)}."
                raise DataError(msg)
        if self.chart == "volcano" and not is_tested(self.metric):
            tested = [name for name in results.metrics if is_tested(name)]
            msg = (
                f"There is no volcano of {quoted(self.metric)}: nothing tests its changes. Choose another chart, or a "
                f"metric whose changes are tested: {listed(tested)}."
            )
            raise DataError(msg)


def default_metric(results: Results) -> str:
    """Return what is shown where nobody chose: the mean activation, or the frequency where the files have no mean."""
    return DEFAULT_METRIC if DEFAULT_METRIC in results.metrics else "target_sparsity"


def heading(question: Question, labels: Labels) -> str:
    """Return the title of a chart, plain text: the question that it answers."""
    return {
        "exclusive": f"Active on {labels.target} only",
        "changed": f"What changed from {labels.base} to {labels.chat} on {labels.target}",
        "specific": f"What changed on {labels.target} more than on {labels.control}",
        "any": f"Active on {labels.target} only, or changed from {labels.base} to {labels.chat}",
    }[question]


def caption(metric: str, labels: Labels, origin: Origin) -> str:
    """Return what stands below the title of a chart: metric, models and source."""
    return f"{labels.metric(metric)}, {labels.base} → {labels.chat} · {origin.caption}"


def nothing_kept(view: View) -> str:
    """Say in words that a view's question keeps no feature."""
    return {
        "exclusive": f"no feature is exclusive, that is {view.rule()}",
        "changed": f"no feature changed on {view.labels.target} prompts (q at most {number(view.alpha)})",
        "specific": f"no feature changed on {view.labels.target} prompts otherwise than on {view.labels.control} "
        f"prompts (q at most {number(view.alpha)})",
        "any": "no question keeps a feature",
    }[view.question]
