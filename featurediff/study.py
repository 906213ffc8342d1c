"""One source, loaded: its results, what its features mean, where their pages are; and a view of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from featurediff.charts.chart import make_chart
from featurediff.charts.finding import finding
from featurediff.charts.scale import Choice
from featurediff.charts.view import DEFAULT_METRIC, View, default_metric
from featurediff.errors import DataError
from featurediff.features.counts import chance_table, count_by_question
from featurediff.features.evidence import ALPHA, Changes, Exclusive, assess_changes, assess_exclusive
from featurediff.features.evidence_columns import with_evidence
from featurediff.features.filters import Filters, filter_table
from featurediff.features.one_feature import answer, counts_and_tests, effects_and_tests, statistics
from featurediff.features.questions import QUESTIONS, Asked, Family, Question, effect_of
from featurediff.features.rule_notes import rule_notes
from featurediff.features.sae_fit import SaeFit, fit_table
from featurediff.features.table import Thresholds, feature_table
from featurediff.files import file_identity, kind_of
from featurediff.labels import PROMPTS, SIDES, Labels
from featurediff.meaning.explanations import Explanations, read_explanations
from featurediff.meaning.hook_points import words_of_place
from featurediff.meaning.pages import FeaturePages, user_page
from featurediff.meaning.registry import nominal_l0
from featurediff.meaning.source_sae import page_of_source, sae_of_source
from featurediff.sources.activations import Activations, find_activations
from featurediff.sources.notes import notes
from featurediff.sources.origin import Origin
from featurediff.sources.pairs import Pairs, describe_pairs, read_pairs
from featurediff.sources.results import Results, read_results, words_of_models
from featurediff.sources.shares import read_shares
from featurediff.sources.tree import Source, describe_source, in_one_state
from featurediff.wording import plural, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    import plotly.graph_objects as go

    from featurediff.charts.plotly_json import Drawing
    from featurediff.meaning.this_sae import ThisSae


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
    """Why the explanations that are there cannot be used; None where they are, and where there are none."""

    activations: Activations | None = None
    """On which prompts each feature was active, where that is known."""

    _changes: dict[Family, Changes] = field(default_factory=dict, repr=False)
    """What `changes` has computed: copies with other pages or explanations share it."""

    @cached_property
    def exclusive(self) -> Exclusive:
        """Target over control within each model; the tests do not depend on thresholds or filters."""
        return assess_exclusive(self.results, self.pairs)

    def changes(self, family: Family = "position") -> Changes:
        """Return every test of base against chat, each computed once; paired where `pairs` are known."""
        if family not in self._changes:
            self._changes[family] = assess_changes(self.results, self.pairs, family)
        return self._changes[family]

    @property
    def pairs(self) -> Pairs | None:
        """Which feature was how active on which prompt, where that is known and fits the counts."""
        return self._paired[0]

    @cached_property
    def _paired(self) -> tuple[Pairs | None, str | None]:
        """The pairs, or why they cannot be used."""
        if self.activations is None:
            return None, None
        try:
            return read_pairs(self.activations, self.results), None
        except DataError as error:
            return None, f"{error} The tests use counts and means alone, which are weaker."

    @cached_property
    def sae_fit(self) -> SaeFit:
        """How well the SAE reads both models, and what its features carry of the difference between them."""
        meta = self.results.base.metadata
        faults = [fault for side in SIDES for fault in self.results.of(side).metadata.fit.faults]
        shares = None
        try:
            shares = read_shares(self.source.folder, self.results) if self.source else None
        except DataError as error:
            faults.append(f"{error} Shares of the difference are left out.")
        trainer = (self.source.trainer if self.source else None) or meta.sae_trainer
        l0 = nominal_l0(trainer, release=meta.sae_release, sae_id=meta.sae_id, page=meta.neuronpedia_id)
        return SaeFit(fit_table(self.results), shares, l0, tuple(faults))

    def reading_in_words(self, view: View) -> str:
        """Say in a line how much of both models the SAE explains, at a view's positions on target prompts."""
        return self.sae_fit.in_words(view.labels, view.filters.token_types)

    def sample(self) -> str:
        """Say what the evidence rests on: how many prompts, in how many groups, and what each model read of them."""
        own = any(self.results.of(side).metadata.fit.own_responses for side in SIDES)
        differ = "; each model read its own response, so that the texts differ too" if own else ""
        if self.pairs is not None:
            return describe_pairs(self.pairs) + differ
        sizes = {prompts: [self.origin.num_prompts[side, prompts] for side in SIDES] for prompts in PROMPTS}
        parts = [
            plural(n[0], f"{prompts} prompt") if n[0] == n[1] else f"{n[0]} and {n[1]} {prompts} prompts"
            for prompts, n in sizes.items()
        ]
        unpaired = "which feature was active on which prompt is not known, so tests are unpaired"
        return f"{' and '.join(parts)}; {unpaired}{differ}"

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
            If the template is none.
        """
        if template is None and explanation_type is None:
            return self
        pages = user_page(template) if template else self.pages
        explanations = self.explanations and self.explanations.preferring(explanation_type)
        return replace(self, explanations=explanations, pages=pages)

    def explained(self, read_texts: Callable[[ThisSae], Explanations]) -> Study:
        """
        Return the same results with explanations, or with the reason why they cannot be used.

        Parameters
        ----------
        read_texts : callable
            Reads the explanations; gets what the source calls its SAE.
        """
        sae = sae_of_source(self.results, self.source, self.pages.template)
        try:
            return replace(self, explanations=read_texts(sae), unexplained=None)
        except DataError as error:
            return replace(self, unexplained=f"{error} So features are shown without explanations.")

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
        if self.source and self.source.model is not None:
            meta, file = self.results.base.metadata, self.results.base.name
            for what, named, said in (
                ("layer", self.source.layer, meta.sae_layer),
                ("trainer", self.source.trainer, meta.sae_trainer),
            ):
                if named != said:
                    found.append(
                        f"The folder's name says {what} {quoted(named)}, `{file}` says {quoted(said)}: "
                        "links go by the folder's name unless the files name their page, the chart's title by the file."
                    )
        return found + self.explanation_notes() + rule_notes(self.origin, thresholds or Thresholds())

    def explanation_notes(self) -> list[str]:
        """Say which explanations are left out, and why: a sentence each."""
        if self.unexplained:
            return [self.unexplained]
        if self.explanations is None:
            return []
        name, found = self.explanations.name, list(self.explanations.left_out)
        if self.explanations.outside:
            count = plural(self.explanations.outside, "explanation")
            found.append(f"`{name}` has {count} of features that this SAE does not have: left out.")
        if self.explanations.skipped:
            count = plural(self.explanations.skipped, "row")
            found.append(f"`{name}` has {count} without a feature id: left out.")
        return found

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
        changes, asked = self.changes(family), Asked(question, metric, alpha)
        kept = feature_table(self.results, thresholds, self.explanations, self.pages, changes=changes, asked=asked)
        return self.sae_fit.add_to(with_evidence(kept, self.exclusive, changes))

    def table_of(self, view: View, *, with_changes: bool = True) -> pd.DataFrame:
        """Return the features that a view's question keeps; without changes only the published rule can be asked."""
        if with_changes:
            return self.table(
                view.thresholds, question=view.question, metric=view.metric, alpha=view.alpha, family=view.family
            )
        kept = feature_table(self.results, view.thresholds, self.explanations, self.pages)
        return self.sae_fit.add_to(with_evidence(kept, self.exclusive, None))

    def feature(self, feature_id: int, labels: Labels | None = None) -> pd.DataFrame:
        """Return everything the files say of one feature, as text for people; see `features.one_feature.statistics`."""
        return statistics(self.results, feature_id, labels or self.labels)

    def evidence_of(self, token_type: str, feature_id: int, labels: Labels | None = None) -> pd.DataFrame:
        """Return counts and tests of one feature at one position, as text; see `features.one_feature`."""
        return counts_and_tests(self.results, self.exclusive, token_type, feature_id, labels or self.labels)

    def effects_of(
        self, token_type: str, feature_id: int, labels: Labels | None = None, family: Family = "position"
    ) -> pd.DataFrame:
        """Return how one feature changed at one position, as text; see `features.one_feature.effects_and_tests`."""
        return effects_and_tests(self.changes(family), token_type, feature_id, labels or self.labels)

    def answer_of(self, token_type: str, feature_id: int, view: View, *, with_changes: bool = True) -> list[str]:
        """Return the evidence for a view's question about one feature, in sentences; see `features.one_feature`."""
        changes = self.changes(view.family) if with_changes else None
        picked = token_type, feature_id
        return answer(self.results, self.exclusive, changes, picked, view.asked, view.labels, view.thresholds)

    def explanation(self, feature_id: int) -> str | None:
        """Return what a feature means, or None where no file says so."""
        return self._explained(feature_id).get("explanation")

    def explained_by(self, feature_id: int) -> str:
        """Return type and model of a feature's explanation, as far as the file says them."""
        said = self._explained(feature_id)
        return ", ".join(said[name] for name in ("explanation_type", "explanation_model") if name in said)

    def _explained(self, feature_id: int) -> dict[str, str]:
        if self.explanations is None or feature_id not in self.explanations.chosen.index:
            return {}
        return {str(name): str(cell) for name, cell in self.explanations.chosen.loc[feature_id].dropna().items()}

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
            If the files have no such metric or token type, or a filter or the scale is none of its choices.
        """
        metric = default_metric(self.results) if metric is None else metric
        view = View(metric, thresholds or Thresholds(), filters or Filters(), labels or self.labels, scale, spread)
        view.check(self.results)
        import plotly.graph_objects as go

        # What is drawn is known to be valid: `test_figure_is_valid`. To have Plotly check it takes four times as long.
        return go.Figure(self.draw(self.table_of(view), view), _validate=False)

    def draw(self, kept: pd.DataFrame, view: View) -> Drawing:
        """
        Draw a view of the kept features, as for an exported page; `plotly.graph_objects.Figure` takes it.

        Raises
        ------
        DataError
            If it is a volcano, and the files do not hold what the tests need.
        """
        if view.chart == "volcano" and not len(kept[f"{effect_of(view.question, view.metric)}_test"].cat.categories):
            msg = (
                f"There is no volcano of {quoted(view.metric)}: its changes cannot be tested, as the files hold no "
                "means with standard deviations. Choose another chart or metric."
            )
            raise DataError(msg)
        return make_chart(kept, view, self.origin).draw(
            filter_table(kept, view.filters, view.metric, view.question), view
        )


def load(folder: str | Path, explanations: str | Path | None = None, *, template: str | None = None) -> Study:
    """
    Load one source.

    Parameters
    ----------
    folder : str or Path
        With `base.pt` and `chat.pt`.
    explanations : str or Path, optional
        Table with a feature's id and a text, or a folder of delphi's; by default the one found beside or inside the
        results tree. One that cannot be used is left out, and `notes` says why.
    template : str, optional
        URL of a feature's page with `{feature_id}` in it, instead of the Neuronpedia page that is known for the SAE.

    Returns
    -------
    Study
        Its `table()` is the feature table, its `scatter(metric)` the figure.

    Raises
    ------
    DataError
        If the results break the format, there is no such explanations file, or the template is none.
    """
    return load_source(describe_source(Path(folder)), Path(explanations) if explanations else None, template)


def load_source(source: Source, explanations: Path | None = None, template: str | None = None) -> Study:
    """
    Load a source that was found; see `load`.

    Raises
    ------
    DataError
        If the results break the format, there is no such explanations file, or the template is none.
    """
    if explanations and kind_of(explanations) is None:
        file_identity(explanations)  # says why it cannot be read: a name that was given and is wrong is not optional
    file = explanations or source.explanations
    return in_one_state(source, lambda _key: read(source, file, template))[1]


def read(source: Source, explanations: Path | None, template: str | None = None) -> Study:
    """
    Read a source's files; explanations that cannot be used are left out.

    Raises
    ------
    DataError
        If the results break the format, or the template is none.
    """
    study = assemble(read_results(source.folder), source, None, template)
    if explanations is None:
        return study
    return study.explained(lambda sae: read_explanations(explanations, sae.num_features, sae))


def assemble(
    results: Results, source: Source | None, explanations: Explanations | None, template: str | None = None
) -> Study:
    """
    Find the pages and activations of loaded files; the folder's names count before the metadata's.

    Raises
    ------
    DataError
        If the template is none.
    """
    pages = page_of_source(results, source) if template is None else user_page(template)
    activations = find_activations(source.folder) if source else None
    return Study(source, results, explanations, pages, activations=activations)
