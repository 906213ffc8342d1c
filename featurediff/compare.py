"""Several sources beside each other: what is kept and significant in each, also over the layers of a model."""

from __future__ import annotations

import os
import re
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.features.evidence import ALPHA, evidence_counts, evidence_q
from featurediff.labels import EXCLUSIVITIES
from featurediff.sae import SaeNames
from featurediff.sources.results import is_synthetic
from featurediff.study import Study, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from featurediff.features.table import Thresholds
    from featurediff.meaning.pages import Page
    from featurediff.sources.tree import Source

_COLUMNS = ["feature_id", "token_type", "exclusivity", "base_q", "chat_q", "explanation"]
_ABOUT = ["source", "model", "trainer", "layer", "prompt_set", "num_features", "token_type"]
_L0 = re.compile(r"[-_](l0[-_]?[0-9]+|canonical)$", re.IGNORECASE)
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

    page: Page
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
    named = source is not None and source.model is not None
    return Summary(
        name=source.name if source else meta.source,
        model=(source.model if source and named else None) or meta.model_type,
        trainer=(source.trainer if source and named else None) or meta.sae_trainer,
        layer=source.layer if source and named and source.layer is not None else meta.sae_layer,
        prompt_set=(source.prompt_set if source else None) or "",
        token_types=study.results.token_types,
        sae=SaeNames.of(study),
        page=study.page,
        files=study.files,
        is_synthetic=is_synthetic(study.results),
        kept=study.table(thresholds)[_COLUMNS].copy(),
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


def counts(sources: Sequence[Summary], max_q: float = ALPHA) -> pd.DataFrame:
    """
    Count kept and significant features.

    Parameters
    ----------
    sources : sequence of Summary
        In the order of the rows.
    max_q : float
        The largest `evidence_q` that counts as significant.

    Returns
    -------
    DataFrame with a row per (source, token_type, exclusivity), also where there is no feature
        `source`, `model`, `trainer`, `layer`, `prompt_set`, `num_features`, `token_type`, `exclusivity`, and `kept`
        and `significant` (int64). A feature counts once per token type.
    """
    frames = [
        evidence_counts(source.kept, max_q)
        .reset_index()
        .astype({"token_type": "str", "exclusivity": "str"})
        .assign(
            source=source.name,
            model=source.model,
            trainer=source.trainer,
            layer=source.layer,
            prompt_set=source.prompt_set,
            num_features=source.sae.num_features,
        )
        for source in sources
    ]
    columns = [*_ABOUT, "exclusivity", "kept", "significant"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def table(tidy: pd.DataFrame) -> pd.DataFrame:
    """
    Set the counts side by side.

    Parameters
    ----------
    tidy : DataFrame
        From `counts`.

    Returns
    -------
    DataFrame with a row per (source, token_type), in the order of `tidy`
        `source`, `model`, `trainer`, `layer`, `prompt_set`, `num_features`, `token_type`, and `both_kept`,
        `both_significant`, `base_kept` and so on to `all_significant`.
    """
    columns = {
        f"{exclusivity}_{value}": tidy.loc[tidy["exclusivity"] == exclusivity, value].to_numpy()
        for exclusivity in EXCLUSIVITIES
        for value in ("kept", "significant")
    }
    for value in ("kept", "significant"):
        columns[f"all_{value}"] = np.sum([columns[f"{exclusivity}_{value}"] for exclusivity in EXCLUSIVITIES], axis=0)
    return tidy[_ABOUT].drop_duplicates().reset_index(drop=True).assign(**columns)


def layer_series(tidy: pd.DataFrame) -> pd.DataFrame:
    """
    Find the counts that can be drawn over layers.

    Parameters
    ----------
    tidy : DataFrame
        From `counts`.

    Returns
    -------
    DataFrame
        Rows of `tidy` whose model, family of SAEs and prompt set were read at two layers or more, after a column
        `series` that names these three; in the order of the series and, within one, of layers. SAEs that differ in
        their L0 alone are of one family, unless two of them are of one layer.
    """

    def name(trainer: pd.Series) -> pd.Series:
        return (tidy["model"] + " · SAE " + trainer + " · " + tidy["prompt_set"]).str.removesuffix(" · ")

    series = name(tidy["trainer"].str.replace(_L0, "", regex=True))
    is_twice = tidy.groupby([series, tidy["layer"]])["source"].transform("nunique") > 1
    series = series.where(~series.isin(series[is_twice]), name(tidy["trainer"]))
    per_series = tidy.groupby(series)
    layers, sources = per_series["layer"].transform("nunique"), per_series["source"].transform("nunique")
    rows = tidy[(layers > 1) & (layers == sources)]
    rows.insert(0, "series", series[rows.index])
    first = rows.groupby("series", sort=False).ngroup()
    return rows.assign(first=first).sort_values(["first", "layer"], kind="stable").drop(columns="first")


def short_names(sources: Sequence[Summary]) -> list[str]:
    """
    Name sources by what tells them apart.

    Parameters
    ----------
    sources : sequence of Summary
        To be drawn in one chart.

    Returns
    -------
    list of str
        Such as "layer 12 · personal_40" where only layers and prompt sets differ; the whole names where that would give
        one name twice.
    """
    parts = [(source.model, f"SAE {source.trainer}", f"layer {source.layer}", source.prompt_set) for source in sources]
    differ = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    names = [" · ".join(part for part, tells in zip(row, differ, strict=True) if tells and part) for row in parts]
    return names if len(set(names)) == len(names) and all(names) else [source.name for source in sources]


def all_token_types(sources: Sequence[Summary]) -> tuple[str, ...]:
    """Return every token type of the sources, in the order in which they first occur."""
    return tuple(dict.fromkeys(chain.from_iterable(source.token_types for source in sources)))
