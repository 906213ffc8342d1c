"""One source, loaded: its results, what its features mean, where their pages are; and a view of it."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pandas as pd

from featurediff.charts.chart import make_chart
from featurediff.charts.scale import Choice
from featurediff.charts.view import DEFAULT_METRIC, Kind, View, heading
from featurediff.errors import DataError
from featurediff.export import Provenance
from featurediff.features.evidence import CAVEAT, Evidence, assess, with_evidence
from featurediff.features.filters import Consistency, Filters, filter_table
from featurediff.features.one_feature import counts_and_tests, statistics
from featurediff.features.table import Thresholds, feature_table
from featurediff.labels import EXCLUSIVITIES, Labels
from featurediff.meaning.explanations import Explanations, read_explanations
from featurediff.meaning.pages import FeaturePages, find_page
from featurediff.sources.activations import Activations, find_activations
from featurediff.sources.origin import Origin
from featurediff.sources.results import Results, notes, read_results
from featurediff.sources.tree import Source, describe_source, in_one_state
from featurediff.version import package_version
from featurediff.wording import listed, plural, quoted

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from featurediff.charts.plotly_json import Drawing
    from featurediff.features.evidence import Discordant


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

    activations: Activations | None = None
    """On which prompts each feature was active, where that is known."""

    @cached_property
    def evidence(self) -> Evidence:
        """
        Every test of the source; paired where the activations are known and fit the counts.

        The tests do not depend on thresholds or filters.
        """
        return assess(self.results, self._paired[0])

    @cached_property
    def _paired(self) -> tuple[Discordant | None, str | None]:
        """The discordant prompts, or why they cannot be used."""
        if self.activations is None:
            return None, None
        try:
            return self.activations.discordant(self.results), None
        except DataError as error:
            return None, f"{error} The change is tested without pairs."

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
        pages = find_page(model=None, trainer=None, layer=None, template=template) if template else self.pages
        explanations = self.explanations and self.explanations.preferring(explanation_type)
        return replace(self, explanations=explanations, pages=pages)

    @property
    def origin(self) -> Origin:
        """What the chart says of where its numbers come from."""
        return Origin.of(self.results, (self.source.prompt_set or "") if self.source else "")

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file that went in, by name; uploads may be called the same."""
        base, chat = self.results.base, self.results.chat
        mark = (" (base)", " (chat)") if base.name == chat.name else ("", "")
        read = {base.name + mark[0]: base.sha256, chat.name + mark[1]: chat.sha256}
        return read | ({self.explanations.name: self.explanations.sha256} if self.explanations else {})

    def notes(self) -> list[str]:
        """Say what is odd about the files and yet no reason to refuse them."""
        found = notes(self.results)
        if self._paired[1]:
            found.append(self._paired[1])
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
        if self.explanations and self.explanations.outside:
            count = plural(self.explanations.outside, "explanation")
            found.append(f"`{self.explanations.name}` has {count} of features that this SAE does not have: left out.")
        if self.explanations and self.explanations.skipped:
            count = plural(self.explanations.skipped, "row")
            found.append(f"`{self.explanations.name}` has {count} without a feature id: left out.")
        return found

    def table(self, thresholds: Thresholds | None = None) -> pd.DataFrame:
        """Return the feature table with its tests; see `features.evidence.with_evidence`."""
        return with_evidence(feature_table(self.results, thresholds, self.explanations, self.pages), self.evidence)

    def feature(self, feature_id: int, labels: Labels | None = None) -> pd.DataFrame:
        """Return everything the files say of one feature, as text for people; see `feature.statistics`."""
        return statistics(self.results, feature_id, labels or Labels())

    def evidence_of(self, token_type: str, feature_id: int, labels: Labels | None = None) -> pd.DataFrame:
        """Return what the prompts say of one feature at one position, as text; see `feature.counts_and_tests`."""
        return counts_and_tests(self.results, self.evidence, token_type, feature_id, labels or Labels())

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

    def check(self, view: View) -> None:
        """
        Hold a view against the source.

        Raises
        ------
        DataError
            If the view names a metric or a token type that the files do not have, a choice that there is not, or two
            things by one label.
        """
        if view.labels.are_alike:
            msg = f"Two of the labels are the same: {listed(('Both', *astuple(view.labels)))}. Give each its own."
            raise DataError(msg)
        on = view.filters
        for what, given, choices, where in (
            ("metric", (view.metric,), self.results.metrics, "in the files. They have"),
            ("token type", on.token_types, self.results.token_types, "in the files. They have"),
            ("exclusivity", on.exclusivity, EXCLUSIVITIES, "to choose. There are"),
            ("consistency", (on.consistency,), get_args(Consistency), "to choose. There are"),
            ("scale", (view.scale,), get_args(Choice), "to choose. There are"),
            ("chart", (view.chart,), get_args(Kind), "to choose. There are"),
        ):
            unknown = [name for name in given if name not in choices]
            if unknown:
                msg = f"There is no {what} {listed(unknown)} {where} {listed(choices)}."
                raise DataError(msg)

    def scatter(
        self,
        metric: str = DEFAULT_METRIC,
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
        metric : str
            A vector of the files, such as "target_all_mean".
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
            See `figures.scatter`.

        Raises
        ------
        DataError
            If the files have no such metric or token type, or a filter or the scale is none of its choices.
        """
        view = View(metric, thresholds or Thresholds(), filters or Filters(), labels or Labels(), scale, spread)
        self.check(view)
        import plotly.graph_objects as go

        # What is drawn is known to be valid: `test_figure_is_valid`. To have Plotly check it takes four times as long.
        return go.Figure(self.draw(self.table(view.thresholds), view), _validate=False)

    def draw(self, kept: pd.DataFrame, view: View) -> Drawing:
        """Draw a view of the kept features, as for an exported page; `plotly.graph_objects.Figure` takes it."""
        return make_chart(kept, view, self.origin).draw(filter_table(kept, view.filters, view.metric), view)

    def title(self, view: View) -> str:
        """Return the chart's title, plain text."""
        return f"{heading(view.metric, view.labels)} · {self.origin.caption}"

    def citation(self, view: View, link: str) -> str:
        """Return a text that says what a view shows, of which files, and where; `link` opens it."""
        made = datetime.now(UTC).strftime("%Y-%m-%d")
        filters = "; ".join(view.filters_in_words()) or "no filter"
        files = "\n".join(f"{name}: SHA-256 {digest}" for name, digest in self.files.items())
        return (
            f"{self.title(view)}. featurediff {package_version()}, {made}.\n{link}\n"
            f"Exclusive means {view.rule()}; {filters}.\n{files}"
        )

    def provenance(self, view: View, rows: int, kept: int) -> Provenance:
        """Return what an exported page says of itself: `rows` shown of `kept`."""
        labels = view.labels
        shown_words = "; ".join(view.filters_in_words()) or "no filter"
        return Provenance(
            (
                *((name, f"SHA-256 {digest}") for name, digest in self.files.items()),
                ("Exclusive means", view.rule()),
                ("Shown", f"{rows:,} of {kept:,} kept features: {shown_words}"),
                ("Metric", f"{labels.metric(view.metric)} ({view.metric})"),
                (
                    "Labels",
                    f"base: {labels.base}, chat: {labels.chat}, target: {labels.target}, control: {labels.control}",
                ),
                ("Evidence", CAVEAT),
                ("Neuronpedia", self.pages.reason),
            )
        )


def load(folder: str | Path, explanations: str | Path | None = None, *, template: str | None = None) -> Study:
    """
    Load one source.

    Parameters
    ----------
    folder : str or Path
        With `base.pt` and `chat.pt`.
    explanations : str or Path, optional
        CSV with `feature_id` and a text; by default the one found beside or inside the results tree.
    template : str, optional
        URL of a feature's page with `{feature_id}` in it, instead of the Neuronpedia page that is known for the SAE.

    Returns
    -------
    Study
        Its `table()` is the feature table, its `scatter(metric)` the figure.

    Raises
    ------
    DataError
        If the files break the format, or the template is none.
    """
    source = describe_source(Path(folder))
    file = Path(explanations) if explanations else source.explanations

    return in_one_state(source, lambda _key: read(source, file, template))[1]


def read(source: Source, explanations: Path | None, template: str | None = None) -> Study:
    """
    Read a source's files, its explanations beside its results.

    Raises
    ------
    DataError
        If the files break the format, or the template is none; what is wrong with the results is said first.
    """
    results = read_results(source.folder)
    known = read_explanations(explanations, results.num_features) if explanations else None
    return assemble(results, source, known, template)


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
    meta, other = results.base.metadata, results.chat.metadata
    activations = find_activations(source.folder) if source else None
    if template is None and meta.neuronpedia_id and other.neuronpedia_id not in (None, "", meta.neuronpedia_id):
        said = f"`{results.base.name}` says neuronpedia_id {quoted(meta.neuronpedia_id)}"
        pages = FeaturePages(None, f"{said}, but `{results.chat.name}` says {quoted(other.neuronpedia_id)}.")
        return Study(source, results, explanations, pages, activations)
    named = source is not None and source.model is not None
    pages = find_page(
        model=source.model if source and named else meta.model_type,
        trainer=source.trainer if source and named else meta.sae_trainer,
        layer=source.layer if source and named else meta.sae_layer,
        neuronpedia_id=meta.neuronpedia_id or other.neuronpedia_id,
        sae_release=meta.sae_release or other.sae_release,
        sae_id=meta.sae_id or other.sae_id,
        template=template,
    )
    return Study(source, results, explanations, pages, activations)
