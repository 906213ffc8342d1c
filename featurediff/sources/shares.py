"""`difference.parquet` beside a source's two files → each feature's share of what differs between the models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featurediff.errors import DataError
from featurediff.labels import PROMPTS, Prompts
from featurediff.sources.parquet import read_parquet
from featurediff.wording import listed, plural, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.sources.results import Results

NAME = "difference.parquet"
_KEYS = ["token_type", "prompt_set", "feature_id"]


@dataclass(frozen=True, eq=False)
class SharesAt:
    """The features whose mean differs between the models, at one position on one prompt set."""

    features: NDArray[np.int64]
    """Ascending; shape (features,)."""

    share: NDArray[np.float64]
    """Of the difference of the mean residuals; below 0 where the feature moves against it."""

    cosine: NDArray[np.float64]
    """Of the feature's direction and that difference."""

    def of(self, ids: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return share and cosine of some features, each of shape (ids,): 0 and NaN where the mean does not differ."""
        at = np.searchsorted(self.features, ids).clip(max=max(len(self.features) - 1, 0))
        if not len(self.features):
            return np.full(len(ids), np.nan), np.full(len(ids), np.nan)
        is_there = self.features[at] == ids
        return np.where(is_there, self.share[at], 0.0), np.where(is_there, self.cosine[at], np.nan)


Shares = dict[tuple[str, Prompts], SharesAt]
"""By token type and prompt set."""


def read_shares(folder: Path, results: Results) -> Shares | None:
    """
    Read the shares beside a source's files.

    Parameters
    ----------
    folder : Path
        The source.
    results : Results
        Its two files.

    Returns
    -------
    dict or None
        For every position and prompt set; None where there is no such file.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or names an unknown position, prompt set or feature, or a feature
        twice.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    rows = read_parquet(path, [*_KEYS, "share", "cosine"])
    _check(rows, {"token_type": results.token_types, "prompt_set": PROMPTS}, results.num_features)
    rows = rows.sort_values("feature_id", kind="stable")
    return {
        (token_type, prompts): _at(rows[(rows["token_type"] == token_type) & (rows["prompt_set"] == prompts)])
        for token_type in results.token_types
        for prompts in PROMPTS
    }


def _at(rows: pd.DataFrame) -> SharesAt:
    share, cosine = (rows[name].to_numpy(dtype=np.float64) for name in ("share", "cosine"))
    return SharesAt(rows["feature_id"].to_numpy(dtype=np.int64), share, cosine)


def _check(rows: pd.DataFrame, choices: Mapping[str, tuple[str, ...]], num_features: int) -> None:
    for column, known in choices.items():
        odd = rows[column][~rows[column].isin(known)]
        if len(odd):
            count = plural(len(odd), "row")
            msg = f"`{NAME}`: `{column}` is {quoted(odd.iloc[0])} in {count}, but expected {listed(known)}."
            raise DataError(msg)
    outside = rows["feature_id"][~rows["feature_id"].between(0, num_features - 1)]
    if len(outside):
        msg = f"`{NAME}`: feature {outside.iloc[0]} is not one of the SAE's {num_features}. Were they made together?"
        raise DataError(msg)
    if rows.duplicated(_KEYS).any():
        first = rows[rows.duplicated(_KEYS)].iloc[0]
        msg = (
            f"`{NAME}` has feature {first['feature_id']} twice at {quoted(str(first['token_type']))}. Expected it once."
        )
        raise DataError(msg)
