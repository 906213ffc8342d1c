"""Kept and significant features of several sources, also over the layers of a model."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.compare.summary import Summary
from featurediff.features.evidence import ALPHA
from featurediff.features.evidence_columns import count_evidence
from featurediff.labels import EXCLUSIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

_ABOUT = ["source", "model", "trainer", "layer", "prompt_set", "num_features", "token_type"]

_L0 = re.compile(r"[-_](l0[-_]?[0-9]+|canonical)$", re.IGNORECASE)


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
        count_evidence(source.kept, max_q)
        .drop(index="neither", level="exclusivity")
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


def side_by_side(tidy: pd.DataFrame) -> pd.DataFrame:
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
        for exclusivity in EXCLUSIVE
        for value in ("kept", "significant")
    }
    for value in ("kept", "significant"):
        columns[f"all_{value}"] = np.sum([columns[f"{exclusivity}_{value}"] for exclusivity in EXCLUSIVE], axis=0)
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
