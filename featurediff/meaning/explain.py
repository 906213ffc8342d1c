"""Explanations of a source's kept features, got from Neuronpedia and kept for the next time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd

from featurediff.csv_files import parse_csv, to_csv, unguarded
from featurediff.errors import DataError
from featurediff.features.table import feature_table
from featurediff.files import read_whole, write_whole
from featurediff.meaning.neuronpedia_api import API, Servers, Text, bulk_files, read_bulk, read_feature
from featurediff.meaning.neuronpedia_cache import Cache
from featurediff.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from featurediff.features.table import Thresholds
    from featurediff.meaning.pages import FeaturePages
    from featurediff.study import Study

Via = Literal["auto", "bulk", "api"]
_HEADER = b"feature_id,explanation,type,model,url"
_ID = "[A-Za-z0-9][A-Za-z0-9._-]*"
_PAGE = re.compile(rf"https?://(?:www\.)?neuronpedia\.org/({_ID}/{_ID})/\{{feature_id\}}")


class Step(NamedTuple):
    """One thing to ask Neuronpedia for."""

    name: str
    """Under which the answer is kept."""

    read: Callable[[], list[Text]]
    """Gets the answer."""


@dataclass(frozen=True, eq=False)
class Explained:
    """What Neuronpedia says of the kept features of a source."""

    rows: pd.DataFrame
    """
    A row per text with `feature_id`, `explanation`, `type`, `model` and `url`; missing is missing. By feature, and
    within a feature the one that counts is the last.
    """

    kept: int
    """Number of kept features."""

    unasked: int
    """Number of them that have no explanation in the bulk files, and that the API was not asked for."""

    @property
    def explained(self) -> int:
        """Number of kept features with an explanation."""
        return int(self.rows["feature_id"].nunique())


def explain(
    study: Study,
    thresholds: Thresholds | None = None,
    *,
    types: Sequence[str] = (),
    via: Via = "auto",
    servers: Servers | None = None,
    track: Callable[[list[Step]], Iterable[Step]] = iter,
) -> Explained:
    """
    Get the explanations of a source's kept features from Neuronpedia.

    What was got is kept on disk per SAE, step by step, so that only what is missing is asked for.

    Parameters
    ----------
    study : Study
        The source.
    thresholds : Thresholds, optional
        What counts as kept.
    types : sequence of str
        Types of explanation to take, the preferred first; none for all, the most frequent preferred.
    via : {"auto", "bulk", "api"}
        "bulk" reads the files that Neuronpedia gives away: all explanations of the SAE, but some weeks old. "api" asks
        for each feature. "auto" takes the way of fewer requests: "bulk" unless there are fewer features to ask for than
        files left to read, or no files.
    servers : Servers, optional
        By default Neuronpedia's own.
    track : callable
        Goes through the steps, and may show how far it is.

    Returns
    -------
    Explained

    Raises
    ------
    DataError
        If no Neuronpedia page is known for the SAE, a server gives no answer, or no text is of one of the types.
    """
    source = source_of(study.page)
    cache = Cache.of(source)
    kept = pd.Index(feature_table(study.results, thresholds)["feature_id"].unique()).sort_values()
    for step in track(plan(_missing(kept, cache, cache.texts()), cache, source, via, servers or Servers.at())):
        cache.put(step.name, step.read())
    texts = cache.texts()
    rows = _ordered(texts[texts["feature_id"].isin(kept)], types)
    rows = rows.assign(url=study.page.urls(rows["feature_id"].to_numpy("int32")))
    return Explained(rows, len(kept), len(_missing(kept, cache, texts)))


def source_of(page: FeaturePages) -> str:
    """
    Return Neuronpedia's `modelId/sourceId` of the SAE that has these pages.

    Raises
    ------
    DataError
        If no page is known, or the pages are elsewhere.
    """
    if page.template is None:
        msg = f"No Neuronpedia page is known for this SAE, so there are no explanations to get. {page.reason}"
        raise DataError(msg)
    match = _PAGE.fullmatch(page.template)
    if match is None:
        msg = f"Explanations come from {API}/modelId/sourceId/{{feature_id}}, but the SAE's page is {page.template}."
        raise DataError(msg)
    return match[1]


def plan(missing: Sequence[int], cache: Cache, source: str, via: Via, servers: Servers) -> list[Step]:
    """
    List what to ask for, so that the missing features are explained; see `explain` for the ways.

    Raises
    ------
    DataError
        If the bulk files cannot be listed, or "bulk" was asked for and the source has none.
    """
    if not missing:
        return []
    if via != "api":
        files = bulk_files(servers.exports, source)
        if not files and via == "bulk":
            msg = f"Neuronpedia has no bulk files of explanations for {source}. Leave out --via, or say --via api."
            raise DataError(msg)
        left = [file for file in files if not cache.has(file.name)]
        if via == "bulk" or (files and len(left) <= len(missing)):
            cache.forget_bulk({file.name for file in files})
            return [Step(file.name, partial(read_bulk, servers.exports, file)) for file in left]
    return [Step(f"feature-{feature}", partial(read_feature, servers.api, source, feature)) for feature in missing]


def _missing(kept: pd.Index[int], cache: Cache, texts: pd.DataFrame) -> list[int]:
    """Return the features that have no text, and that the API was not asked for."""
    return [feature for feature in kept[~kept.isin(texts["feature_id"])] if not cache.has(f"feature-{feature}")]


def _ordered(texts: pd.DataFrame, types: Sequence[str]) -> pd.DataFrame:
    """Return the texts of these types by feature, the type that comes first as the last of its feature."""
    occurring = texts["type"].value_counts().index
    unknown = [name for name in types if name not in occurring]
    if unknown:
        msg = f"No kept feature has an explanation of type {listed(unknown)}. There are: {listed(occurring)}."
        raise DataError(msg)
    if types:
        texts = texts[texts["type"].isin(types)]
    order = {name: -rank for rank, name in enumerate(types or occurring)}
    rank = texts["type"].map(order).fillna(-len(order))
    return texts.assign(rank=rank).sort_values(["feature_id", "rank"], kind="stable").drop(columns="rank")


def written_rows(path: Path) -> pd.DataFrame | None:
    """
    Return the rows that an earlier run wrote, as text; None where there is no file.

    Raises
    ------
    DataError
        If something else wrote the file.
    """
    if not path.is_file():
        return None
    data = read_whole(path)
    if data.partition(b"\n")[0].replace(b'"', b"") != _HEADER:
        msg = (
            f"`{path}` is there already, and was not written by `featurediff explain`. "
            "Name another file with --out, or replace it with --force."
        )
        raise DataError(msg)
    rows = unguarded(parse_csv(data, path.name))
    return rows.mask(rows == "")  # so that what is missing stays missing when it is written again


def write_rows(path: Path, explained: Explained, written: pd.DataFrame | None) -> None:
    """
    Write an explanation file, and keep the rows that it had of other features.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    rows = explained.rows.astype({"feature_id": "str"})
    if written is not None:
        rows = pd.concat([written[~written["feature_id"].isin(rows["feature_id"])], rows])
        rows = rows.iloc[pd.to_numeric(rows["feature_id"], errors="coerce").to_numpy().argsort(kind="stable")]
    write_whole(path, to_csv(rows))
