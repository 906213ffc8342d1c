"""Read one source's files, find its pages and explanations, and put them together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from featurediff.errors import DataError
from featurediff.files import file_identity, kind_of
from featurediff.meaning.explanation_files import read_explanations
from featurediff.meaning.explanations import Explanations
from featurediff.meaning.pages import user_page
from featurediff.meaning.source_sae import page_of_source, sae_of_source
from featurediff.sources.activations import find_activations
from featurediff.sources.result_files import read_results
from featurediff.sources.results import Results
from featurediff.sources.state import in_one_state, in_state
from featurediff.sources.tree import Source, describe_source
from featurediff.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable

    from featurediff.features.evidence import Changes
    from featurediff.features.questions import Family
    from featurediff.meaning.this_sae import ThisSae


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
        If the results break the format, there is no such explanations file, or the template is not valid.
    """
    return load_source(describe_source(Path(folder)), Path(explanations) if explanations else None, template)


def load_source(source: Source, explanations: Path | None = None, template: str | None = None) -> Study:
    """
    Load a source that was found; see `load`.

    Raises
    ------
    DataError
        If the results break the format, there is no such explanations file, or the template is not valid.
    """
    if explanations and kind_of(explanations) is None:
        file_identity(explanations)  # says why it cannot be read: a name that was given and is wrong is not optional
    file = explanations or source.explanations
    return in_one_state(source, lambda _key: read(source, file, template))[1]


def load_changes(identity: tuple[str, ...], source: Source, family: Family) -> Changes:
    """
    Load a source, and test what changed from base to chat.

    Parameters
    ----------
    identity : tuple of str
        From `sources.state.identify`: the state of the files that is asked for.
    source, family : Source, Family
        What to test.

    Raises
    ------
    DataError
        If the files break the format, or are no longer in that state.
    """
    return in_state(identity, source, lambda: read(source, None).changes(family))


def read(source: Source, explanations: Path | None, template: str | None = None) -> Study:
    """
    Read a source's files; explanations that cannot be used are left out.

    Raises
    ------
    DataError
        If the results break the format, or the template is not valid.
    """
    study = assemble(read_results(source.folder), source, None, template)
    if explanations is None:
        return study
    return explain(study, lambda sae: read_explanations(explanations, sae.num_features, sae))


def assemble(
    results: Results, source: Source | None, explanations: Explanations | None, template: str | None = None
) -> Study:
    """
    Find the pages and activations of loaded files; the folder's names count before the metadata's.

    Raises
    ------
    DataError
        If the template is not a valid URL with `{feature_id}` in it.
    """
    pages = page_of_source(results, source) if template is None else user_page(template)
    activations = find_activations(source.folder) if source else None
    return Study(source, results, explanations, pages, activations=activations)


def explain(study: Study, read_texts: Callable[[ThisSae], Explanations]) -> Study:
    """
    Return a study with explanations, or with the reason why they cannot be used.

    Parameters
    ----------
    study : Study
        A loaded source.
    read_texts : callable
        Reads the explanations; gets what the source calls its SAE.
    """
    sae = sae_of_source(study.results, study.source, study.pages.template)
    try:
        return replace(study, explanations=read_texts(sae), unexplained=None)
    except DataError as error:
        return replace(study, unexplained=f"{error} So features are shown without explanations.")
