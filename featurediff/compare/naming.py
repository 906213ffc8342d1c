"""What tells sources apart: short names, series over layers, positions."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from featurediff.compare.summary import Summary

_L0 = re.compile(r"[-_](l0[-_]?[0-9]+|canonical)$", re.IGNORECASE)


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


def shorten(name: str, longest: int = 46) -> str:
    """Cut the middle of a name that would take the room of the chart."""
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"
