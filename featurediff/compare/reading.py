"""Sources → summaries, in parallel processes where that pays."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.compare.evidence import evidence_of
from featurediff.compare.same_prompts import find_marks
from featurediff.compare.same_sae import SaeNames
from featurediff.compare.summary import Fault, Summary
from featurediff.errors import DataError
from featurediff.features.evidence import find_active
from featurediff.features.sae_fit import fit_table
from featurediff.features.table import exclusivities
from featurediff.features.thresholds import Thresholds
from featurediff.labels import EXCLUSIVITIES
from featurediff.loading import load_source
from featurediff.meaning.source_sae import names_of_sae
from featurediff.sources.results import is_synthetic
from featurediff.study import Study

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from featurediff.features.questions import Family
    from featurediff.sources.tree import Source

_MAX_WORKERS = 4
_WORTH_A_PROCESS = 4
"""Sources that take about as long to read as a process takes to start."""


def summarise(study: Study, thresholds: Thresholds | None = None) -> Summary:
    """
    Keep of a loaded source what a comparison needs before the source is tested.

    Parameters
    ----------
    study : Study
        The source.
    thresholds : Thresholds, optional
        What counts as exclusive.
    """
    results, source = study.results, study.source
    model, trainer, layer = names_of_sae(results.base.metadata, source)
    active = _find_active(study, thresholds or Thresholds())
    return Summary(
        name=source.name if source else results.base.metadata.source,
        model=model,
        trainer=trainer,
        layer=layer,
        prompt_set=(source.prompt_set if source else None) or "",
        token_types=results.token_types,
        sae=SaeNames.of(study),
        pages=study.pages,
        files=study.files,
        is_synthetic=is_synthetic(results),
        num_prompts=study.origin.num_prompts,
        marks=find_marks(study),
        active=active,
        texts=_texts(study, active["feature_id"].to_numpy()),
        left_out=tuple(study.explanation_notes()),
        fit=fit_table(results),
    )


def _find_active(study: Study, thresholds: Thresholds) -> pd.DataFrame:
    """Return the columns of `Summary.active`."""
    results = study.results
    ids = [find_active(results, token_type) for token_type in results.token_types]
    which = np.repeat(np.arange(len(ids)), [len(found) for found in ids])
    codes = [
        exclusivities(results, token_type, thresholds)[found]
        for token_type, found in zip(results.token_types, ids, strict=True)
    ]
    return pd.DataFrame(
        {
            "feature_id": np.concatenate(ids).astype(np.int32),
            "token_type": pd.Categorical.from_codes(which, categories=pd.Index(results.token_types)),
            "exclusivity": pd.Categorical.from_codes(np.concatenate(codes), categories=pd.Index(EXCLUSIVITIES)),
        }
    )


def _texts(study: Study, ids: NDArray[np.int32]) -> pd.Series:
    """Return the explanations of features, by id."""
    if study.explanations is None:
        return pd.Series([], index=pd.Index([], dtype=np.int32), dtype="str")
    known = study.explanations.chosen["explanation"]
    return known[known.index.isin(ids)].dropna()


def read(source: Source, thresholds: Thresholds | None = None, family: Family | None = "position") -> Summary:
    """
    Load a source, and keep what a comparison needs.

    Parameters
    ----------
    source : Source
        From `sources.tree.find_sources`.
    thresholds : Thresholds, optional
        What counts as exclusive.
    family : {"position", "source"}, optional
        What q is corrected for together; None leaves the source untested.

    Raises
    ------
    DataError
        If its files break the format.
    """
    study = load_source(source)
    found = summarise(study, thresholds)
    return found if family is None else replace(found, evidence=evidence_of(study, family))


def read_all(
    sources: Sequence[Source],
    thresholds: Thresholds | None = None,
    workers: int | None = None,
    family: Family | None = "position",
) -> Iterator[Summary | Fault]:
    """
    Read sources in parallel processes; one that cannot be read does not stop the others.

    Parameters
    ----------
    sources : sequence of Source
        From `sources.tree.find_sources`.
    thresholds : Thresholds, optional
        What counts as exclusive.
    workers : int, optional
        How many processes; by default one a core, at most four, as each holds a whole source, and no more than pay for
        their start. One is this process. Others start from nothing, so that a script which calls this needs
        `if __name__ == "__main__":`.
    family : {"position", "source"}, optional
        As for `read`.

    Yields
    ------
    Summary or Fault
        One for each source, in their order.
    """
    usual = min(os.cpu_count() or 1, _MAX_WORKERS, len(sources) // _WORTH_A_PROCESS)
    count = min(usual if workers is None else workers, len(sources))
    if count <= 1:
        yield from (try_read(source, thresholds, family) for source in sources)
        return
    done = 0
    with ProcessPoolExecutor(count, get_context("spawn")) as pool:
        try:
            for found in pool.map(partial(try_read, thresholds=thresholds, family=family), sources):
                yield found
                done += 1
        except BrokenProcessPool:
            why = "A process that read the sources has died, perhaps for want of memory. Read with fewer at a time."
            yield from (Fault(source.name, why) for source in sources[done:])


def try_read(
    source: Source, thresholds: Thresholds | None = None, family: Family | None = "position"
) -> Summary | Fault:
    """Load a source as `read` does, or say what is wrong with it."""
    try:
        return read(source, thresholds, family)
    except DataError as error:
        return Fault(source.name, str(error))
