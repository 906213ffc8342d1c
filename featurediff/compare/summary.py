"""Several sources beside each other: what is kept and significant in each, also over the layers of a model."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from featurediff.charts.view import View
from featurediff.compare.same_sae import SaeNames
from featurediff.errors import DataError
from featurediff.features.evidence_columns import evidence_q
from featurediff.features.table import Thresholds
from featurediff.sources.results import is_synthetic
from featurediff.study import Study, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from featurediff.meaning.pages import FeaturePages
    from featurediff.sources.tree import Source

_COLUMNS = ["feature_id", "token_type", "exclusivity", "base_q", "chat_q", "explanation"]
_MAX_WORKERS = 4
_WORTH_A_PROCESS = 4
"""Sources that take about as long to read as a process takes to start."""


@dataclass(frozen=True, eq=False)
class Summary:
    """What a comparison needs of one source: no vectors, so that many fit into memory and travel between processes."""

    name: str
    """Of the source, as in its results tree."""

    model: str
    """The model, as the folder or else the files name it; like `trainer` and `layer`."""

    trainer: str
    """The SAE."""

    layer: int
    """The layer that it reads."""

    prompt_set: str
    """Empty where no folder says."""

    token_types: tuple[str, ...]
    """All positions, in the files' order."""

    sae: SaeNames
    """Which SAE it is."""

    pages: FeaturePages
    """Where features have their pages."""

    files: dict[str, str]
    """SHA-256 of every file that went in, by name."""

    is_synthetic: bool
    """Whether the demo made it."""

    kept: pd.DataFrame
    """The feature table, reduced to `_COLUMNS`."""

    @property
    def label(self) -> str:
        """What a reader calls the SAE."""
        return f"{self.model} · SAE {self.trainer} · layer {self.layer}"

    def ids(self, token_type: str | None = None, max_q: float | None = None) -> NDArray[np.int32]:
        """
        Return the kept features.

        Parameters
        ----------
        token_type : str, optional
            Only those kept at this position; by default at any.
        max_q : float, optional
            Only those with at most this `evidence_q`, at that position.

        Returns
        -------
        ndarray of shape (n,), int32
            Feature ids, ascending, each once.
        """
        keep = np.ones(len(self.kept), dtype=bool)
        if token_type is not None:
            keep &= (self.kept["token_type"] == token_type).to_numpy()
        if max_q is not None:
            keep &= evidence_q(self.kept) <= max_q
        return np.unique(self.kept["feature_id"].to_numpy()[keep])


class Fault(NamedTuple):
    """A source that could not be read."""

    name: str
    """Of the source."""

    message: str
    """What is wrong with it."""


def summarise(study: Study, thresholds: Thresholds | None = None) -> Summary:
    """
    Keep of a loaded source what a comparison needs.

    Parameters
    ----------
    study : Study
        The source.
    thresholds : Thresholds, optional
        What counts as exclusive.
    """
    meta, source = study.results.base.metadata, study.source
    view = View(thresholds=thresholds or Thresholds())
    named = source is not None and source.model is not None
    return Summary(
        name=source.name if source else meta.source,
        model=(source.model if source and named else None) or meta.model_type,
        trainer=(source.trainer if source and named else None) or meta.sae_trainer,
        layer=source.layer if source and named and source.layer is not None else meta.sae_layer,
        prompt_set=(source.prompt_set if source else None) or "",
        token_types=study.results.token_types,
        sae=SaeNames.of(study),
        pages=study.pages,
        files=study.files,
        is_synthetic=is_synthetic(study.results),
        kept=study.table_of(view, with_changes=False)[_COLUMNS].copy(),
    )


def read(source: Source, thresholds: Thresholds | None = None) -> Summary:
    """
    Load a source, and keep what a comparison needs.

    Raises
    ------
    DataError
        If its files break the format.
    """
    return summarise(replace(load(source.folder), source=source), thresholds)  # its name is the tree's


def read_all(
    sources: Sequence[Source], thresholds: Thresholds | None = None, workers: int | None = None
) -> Iterator[Summary | Fault]:
    """
    Read sources in parallel processes; one that cannot be read does not stop the others.

    Parameters
    ----------
    sources : sequence of Source
        From `sources.find_sources`.
    thresholds : Thresholds, optional
        What counts as exclusive.
    workers : int, optional
        How many processes; by default one a core, at most four, as each holds a whole source, and no more than pay for
        their start. One is this process. Others start from nothing, so that a script which calls this needs
        `if __name__ == "__main__":`.

    Yields
    ------
    Summary or Fault
        One for each source, in their order.
    """
    usual = min(os.cpu_count() or 1, _MAX_WORKERS, len(sources) // _WORTH_A_PROCESS)
    count = min(usual if workers is None else workers, len(sources))
    if count <= 1:
        yield from (try_read(source, thresholds) for source in sources)
        return
    done = 0
    with ProcessPoolExecutor(count, get_context("spawn")) as pool:
        try:
            for found in pool.map(partial(try_read, thresholds=thresholds), sources):
                yield found
                done += 1
        except BrokenProcessPool:
            why = "A process that read the sources has died, perhaps for want of memory. Read with fewer at a time."
            yield from (Fault(source.name, why) for source in sources[done:])


def try_read(source: Source, thresholds: Thresholds | None = None) -> Summary | Fault:
    """Load a source as `read` does, or say what is wrong with it."""
    try:
        return read(source, thresholds)
    except DataError as error:
        return Fault(source.name, str(error))
