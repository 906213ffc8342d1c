"""One source, loaded: its results, what its features mean, where their pages are; and a view of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from featurediff.charts.chart import draw_chart
from featurediff.charts.finding import finding
from featurediff.charts.scale import Choice
from featurediff.charts.view import DEFAULT_METRIC, View, default_metric
from featurediff.features.counts import chance_table, count_by_question
from featurediff.features.evidence import ALPHA, Changes, Exclusive, assess_changes, assess_exclusive
from featurediff.features.evidence_columns import with_evidence
from featurediff.features.filters import Filters
from featurediff.features.one_feature import answer
from featurediff.features.questions import QUESTIONS, Asked, Family, Question
from featurediff.features.rule_notes import rule_notes
from featurediff.features.sae_fit import SaeFit, read_sae_fit
from featurediff.features.table import feature_table
from featurediff.features.thresholds import Thresholds
from featurediff.labels import Labels
from featurediff.meaning.explanations import Explanations
from featurediff.meaning.hook_points import words_of_place
from featurediff.meaning.pages import FeaturePages, user_page
from featurediff.once import Once
from featurediff.sources.activations import Activations
from featurediff.sources.model_pair import words_of_models
from featurediff.sources.notes import naming_notes, notes
from featurediff.sources.origin import Origin
from featurediff.sources.pairs import Pairs, describe_sample, pairs_or_reason
from featurediff.sources.results import Results
from featurediff.sources.tree import Source

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from featurediff.charts.plotly_json import Drawing


@dataclass(frozen=True, eq=False)
class Study:
    """One source, loaded."""

    source: Source | None
    """Its folder; None for uploaded files."""

    results: Results
    """Statistics of both models."""

    explanations: Explanations | None
    """What features mean, where a file says so."""

    pages: FeaturePages
    """Where features have their pages."""

    unexplained: str | None = None
    """Why an explanations file cannot be used; None where it is used, and where there is no file."""

    activations: Activations | None = None
    """On which prompts each feature was active, where that is known."""

    _once: Once = field(default_factory=Once, repr=False)
    """Pairs and tests: copies with other pages or explanations share them."""

    @property
    def exclusive(self) -> Exclusive:
        """Target over control within each model; the tests do not depend on thresholds or filters."""
        return self._once.get("exclusive", lambda: assess_exclusive(self.results, self.pairs))

    def changes(self, family: Family = "position") -> Changes:
        """Return every test of base against chat, each computed once; paired where `pairs` are known."""
        return self._once.get(family, lambda: assess_changes(self.results, self.pairs, family))

    def take_changes(self, changes: Changes) -> None:
        """Take the tests of base against chat that another process has computed of the same files."""
        self._once.put(changes.family, changes)

    @property
    def pairs(self) -> Pairs | None:
        """Which feature was how active on which prompt, where that is known and fits the counts."""
        return self._paired[0]

    @property
    def _paired(self) -> tuple[Pairs | None, str | None]:
        """The pairs, or why they cannot be used."""
        return self._once.get("pairs", lambda: pairs_or_reason(self.activations, self.results))

    @cached_property
    def sae_fit(self) -> SaeFit:
        """How well the SAE reads both models, and what its features carry of the difference between them."""
        return read_sae_fit(self.results, self.source)

    def reading_in_words(self, view: View) -> str:
        """Say in a line how much of both models the SAE explains, at a view's positions on target prompts."""
        return self.sae_fit.in_words(view.labels, view.filters.token_types)

    def sample(self) -> str:
        """Say what the evidence rests on; see `sources.pairs.describe_sample`."""
        return describe_sample(self.results, self.pairs)

    def finding(self, view: View, kept: pd.DataFrame | None = None) -> str:
        """Say in words what a view's question finds, given `table_of` where it is at hand; see `charts.finding`."""
        kept = self.table_of(view) if kept is None else kept
        exclusive = kept if view.question == "exclusive" else self.table(view.thresholds, metric=view.metric)
        return finding(view, kept, exclusive, self.by_chance(view.thresholds, view.alpha), self.changes(view.family))

    def by_chance(self, thresholds: Thresholds | None = None, alpha: float = ALPHA) -> pd.DataFrame:
        """Return what the published rule keeps at each position, beside what chance alone would; see `chance_table`."""
        return chance_table(self.results, self.exclusive, self.pairs, thresholds or Thresholds(), alpha)

    def counts_by_question(
        self,
        thresholds: Thresholds | None = None,
        *,
        metric: str = DEFAULT_METRIC,
        alpha: float = ALPHA,
        family: Family = "position",
    ) -> pd.DataFrame:
        """Count what each question finds at each position, by direction; see `features.counts.count_by_question`."""
        tables = {
            question: self.table(thresholds, question=question, metric=metric, alpha=alpha, family=family)
            for question in QUESTIONS
        }
        chance = self.by_chance(thresholds, alpha)
        return count_by_question(
            tables, self.changes(family), self.pairs, self.origin, chance, Asked(metric=metric, alpha=alpha)
        )

    def referring(self, template: str | None, explanation_type: str | None) -> Study:
        """
        Return the same results with other references.

        Parameters
        ----------
        template : str or None
            URL of a feature's page with `{feature_id}` in it; None leaves the page.
        explanation_type : str or None
            Type of explanation that is preferred; None leaves the explanations.

        Raises
        ------
        DataError
            If the template is not a valid URL with `{feature_id}` in it.
        """
        if template is None and explanation_type is None:
            return self
        pages = user_page(template) if template else self.pages
        explanations = self.explanations and self.explanations.preferring(explanation_type)
        return replace(self, explanations=explanations, pages=pages)

    @property
    def labels(self) -> Labels:
        """What models and prompt sets are called where nobody says it: models as the files call them."""
        return self.labelled(Labels())

    def labelled(self, labels: Labels) -> Labels:
        """Return labels with the files' words for models that have the default label."""
        return labels.calling(words_of_models(self.results))

    @cached_property
    def origin(self) -> Origin:
        """What the chart says of where its numbers come from."""
        place = words_of_place(self.results.base.metadata, self.results.chat.metadata, self.source)
        return Origin.of(self.results, (self.source.prompt_set or "") if self.source else "", place)

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file that went in, by name; uploads may be called the same."""
        base, chat = self.results.base, self.results.chat
        mark = (" (base)", " (chat)") if base.name == chat.name else ("", "")
        read = {base.name + mark[0]: base.sha256, chat.name + mark[1]: chat.sha256}
        return read | ({self.explanations.name: self.explanations.sha256} if self.explanations else {})

    def notes(self, thresholds: Thresholds | None = None) -> list[str]:
        """Say what is odd about the files, and what their numbers of prompts do to the published rule."""
        found = notes(self.results)
        if self._paired[1]:
            found.append(self._paired[1])
        found += self.sae_fit.notes()
        found += naming_notes(self.source, self.results) if self.source else []
        return found + self.explanation_notes() + rule_notes(self.origin, thresholds or Thresholds())

    def explanation_notes(self) -> list[str]:
        """Say which explanations are left out, and why: a sentence each."""
        if self.unexplained:
            return [self.unexplained]
        return self.explanations.notes() if self.explanations else []

    def table(
        self,
        thresholds: Thresholds | None = None,
        *,
        question: Question = "exclusive",
        metric: str = DEFAULT_METRIC,
        alpha: float = ALPHA,
        family: Family = "position",
    ) -> pd.DataFrame:
        """
        Return the features that a question keeps, with every test.

        Parameters
        ----------
        thresholds : Thresholds, optional
            What counts as exclusive.
        question : {"exclusive", "changed", "specific", "any"}
            Which features are kept.
        metric : str
            Decides whether `changed` and `specific` are about the frequency or the mean.
        alpha : float
            Their largest q.
        family : {"position", "source"}
            What is corrected for together.

        Returns
        -------
        DataFrame
            See `features.table.feature_table` and `features.evidence_columns.with_evidence`.
        """
        return self._table(thresholds, Asked(question, metric, alpha), self.changes(family))

    def table_of(self, view: View, *, with_changes: bool = True) -> pd.DataFrame:
        """Return the features that a view's question keeps; without changes only the published rule can be asked."""
        return self._table(view.thresholds, view.asked, self.changes(view.family) if with_changes else None)

    def _table(self, thresholds: Thresholds | None, asked: Asked, changes: Changes | None) -> pd.DataFrame:
        kept = feature_table(self.results, thresholds, self.explanations, self.pages, changes=changes, asked=asked)
        return self.sae_fit.add_to(with_evidence(kept, self.exclusive, changes))

    def answer_of(self, token_type: str, feature_id: int, view: View, *, with_changes: bool = True) -> list[str]:
        """Return the evidence for a view's question about one feature, in sentences; see `features.one_feature`."""
        changes = self.changes(view.family) if with_changes else None
        picked = token_type, feature_id
        return answer(self.results, self.exclusive, changes, picked, view.asked, view.labels, view.thresholds)

    def explanation(self, feature_id: int) -> str | None:
        """Return what a feature means, or None where no file says so."""
        return self.explanations.cells_of(feature_id).get("explanation") if self.explanations else None

    def explained_by(self, feature_id: int) -> str:
        """Return type and model of a feature's explanation, as far as the file says them."""
        cells = self.explanations.cells_of(feature_id) if self.explanations else {}
        return ", ".join(cells[name] for name in ("explanation_type", "explanation_model") if name in cells)

    def scatter(
        self,
        metric: str | None = None,
        *,
        thresholds: Thresholds | None = None,
        filters: Filters | None = None,
        labels: Labels | None = None,
        scale: Choice = "auto",
        spread: bool = True,
    ) -> go.Figure:
        """
        Draw base against chat.

        Parameters
        ----------
        metric : str, optional
            A vector of the files; by default "target_all_mean", or "target_sparsity" where they have no mean.
        thresholds : Thresholds, optional
            What counts as exclusive; by default active on at least one target prompt and on no control prompt.
        filters : Filters, optional
            Which features to show; by default all that are kept.
        labels : Labels, optional
            What models and prompt sets are called.
        scale : {"auto", "linear", "sqrt", "symlog"}
            The axes' scale.
        spread : bool
            Whether coincident points get places of their own.

        Returns
        -------
        Figure
            See `charts.scatter.scatter`.

        Raises
        ------
        DataError
            If the files have no such metric or token type, or a filter or the scale is not one of its choices.
        """
        metric = default_metric(self.results) if metric is None else metric
        view = View(metric, thresholds or Thresholds(), filters or Filters(), labels or self.labels, scale, spread)
        view.check(self.results)
        import plotly.graph_objects as go

        # What is drawn is known to be valid: `test_figure_is_valid`. To have Plotly check it takes four times as long.
        return go.Figure(self.draw(self.table_of(view), view), _validate=False)

    def draw(self, kept: pd.DataFrame, view: View) -> Drawing:
        """Draw a view of the features from `table_of`, as for an exported page; see `charts.chart.draw_chart`."""
        return draw_chart(kept, view, self.origin)
