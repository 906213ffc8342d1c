"""Explanations of an SAE's features, got from Neuronpedia."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd

from featurediff.errors import DataError
from featurediff.meaning.neuronpedia_api import Text, bulk_files, read_bulk, read_feature
from featurediff.meaning.neuronpedia_cache import Cache
from featurediff.meaning.neuronpedia_server import API, COME_BACK, Servers
from featurediff.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from featurediff.meaning.pages import FeaturePages

Via = Literal["auto", "bulk", "api"]
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
    """What Neuronpedia says of some features."""

    rows: pd.DataFrame
    """
    A row per text, by feature: `feature_id`, `explanation`, `type`, `model` and `url`. A feature's preferred text is
    its last. Type and model are missing where Neuronpedia does not name them.
    """

    wanted: int
    """Number of features whose explanations were wanted."""

    unasked: int
    """Number of them that have no explanation in the bulk files, and that the API was not asked for."""

    not_kept: str | None = None
    """Why not all answers are kept on disk; None where they are."""

    @property
    def explained(self) -> int:
        """Number of features with an explanation."""
        return int(self.rows["feature_id"].nunique())


def explain(
    pages: FeaturePages,
    feature_ids: Iterable[int],
    *,
    types: Sequence[str] = (),
    via: Via = "auto",
    servers: Servers | None = None,
    track: Callable[[list[Step]], Iterable[Step]] = iter,
) -> Explained:
    """
    Get the explanations of some features of an SAE from Neuronpedia.

    Every answer is kept on disk, by SAE, so that only missing ones are asked for. Where it cannot be kept, it is used
    all the same, and `Explained.not_kept` says why.

    Parameters
    ----------
    pages : FeaturePages
        Where Neuronpedia has the SAE's features.
    feature_ids : iterable of int
        The features; each counts once.
    types : sequence of str
        Types of explanation to take, the preferred first; none for all, the most frequent preferred.
    via : {"auto", "bulk", "api"}
        "bulk" reads the files that Neuronpedia gives away: all explanations of the SAE, but some weeks old. "api" asks
        for each feature. "auto" takes the way of fewer requests: the API where no files are there, or where fewer
        features are missing than files.
    servers : Servers, optional
        By default Neuronpedia's own.
    track : callable
        Passes the steps on, one by one, and may show how many are done.

    Returns
    -------
    Explained

    Raises
    ------
    DataError
        If no Neuronpedia page is known for the SAE, a server gives no answer, or no explanation has one of the types.
    """
    source = source_of(pages)
    cache = Cache.of(source)
    wanted = sorted(set(feature_ids))
    try:
        for step in track(plan(_missing(wanted, cache, cache.texts()), cache, source, via, servers or Servers.at())):
            cache.put(step.name, step.read())
    except DataError as error:
        if cache.fault is None:
            raise
        msg = str(error).replace(COME_BACK, f"What was received is lost: {cache.fault}")
        raise DataError(msg) from error
    texts = cache.texts()
    rows = _ordered(texts[texts["feature_id"].isin(wanted)], types)
    rows = rows.assign(url=pages.urls(rows["feature_id"].to_numpy("int32")))
    return Explained(rows, len(wanted), len(_missing(wanted, cache, texts)), cache.fault)


def source_of(pages: FeaturePages) -> str:
    """
    Return Neuronpedia's `modelId/sourceId` of the SAE that has these pages.

    Raises
    ------
    DataError
        If no page is known, or the pages are elsewhere.
    """
    if pages.template is None:
        msg = f"No Neuronpedia page is known for this SAE, so there are no explanations to get. {pages.reason}"
        raise DataError(msg)
    match = _PAGE.fullmatch(pages.template)
    if match is None:
        msg = f"Explanations come from {API}/modelId/sourceId/{{feature_id}}, but the SAE's page is {pages.template}."
        raise DataError(msg)
    return match[1]


def plan(missing: Sequence[int], cache: Cache, source: str, via: Via, servers: Servers) -> list[Step]:
    """
    List what to ask for, so that the missing features get their explanations; `explain` says what `via` means.

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


def _missing(wanted: Sequence[int], cache: Cache, texts: pd.DataFrame) -> list[int]:
    """Return the features that have no text, and that the API was not asked for."""
    explained = set(texts["feature_id"])
    return [feature for feature in wanted if feature not in explained and not cache.has(f"feature-{feature}")]


def _ordered(texts: pd.DataFrame, types: Sequence[str]) -> pd.DataFrame:
    """Return the texts of these types, by feature; of a feature's texts the first type's is the last."""
    occurring = texts["type"].value_counts().index
    unknown = [name for name in types if name not in occurring]
    if unknown:
        msg = f"None of these features has an explanation of type {listed(unknown)}. There are: {listed(occurring)}."
        raise DataError(msg)
    if types:
        texts = texts[texts["type"].isin(types)]
    order = {name: -rank for rank, name in enumerate(types or occurring)}
    rank = texts["type"].map(order).fillna(-len(order))
    return texts.assign(rank=rank).sort_values(["feature_id", "rank"], kind="stable").drop(columns="rank")
