"""The source that is open, and what a view shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from featurediff.study import Study

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Opened:
    """The source that is shown."""

    name: str
    """Beside stars: as in the URL, and of uploads what tells them from others."""

    files: tuple[str, ...]
    """Identifies its files; see `sources.identify`."""

    key: str
    """Identifies its files, its pages and the explanations preferred: what caches go by."""

    study: Study
    """What was read."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What a view leaves of the kept features, and what the page says of them."""

    kept: pd.DataFrame
    """The whole feature table."""

    passing: NDArray[np.intp]
    """Rows of `kept` that pass the filters: those in the chart."""

    digest: str
    """Identifies them: filters that leave the same rows make the same figure."""

    at: NDArray[np.intp]
    """Rows of `kept` that are also in the box and starred, where that is asked for: those in table and downloads."""

    counts: NDArray[np.int64]
    """From `significance.count_evidence`, of the rows `at`."""

    ids: tuple[int, ...]
    """Features of the largest |difference|, at most `MOST_IDS`."""

    order: list[tuple[str, int]]
    """(token_type, feature_id) of the table's rows, the largest |difference| first, at most `MOST_ROWS`."""

    cells: pa.Table
    """The table as it is sent."""

    def rows(self) -> pd.DataFrame:
        """Return the rows of table and downloads."""
        return self._take(self.at)

    def drawn(self) -> pd.DataFrame:
        """Return the rows of the chart."""
        return self._take(self.passing)

    def find(self, feature_id: int) -> pd.DataFrame:
        """Return where a feature is in the chart: `token_type` and `feature_id` of its rows, which keep their index."""
        near = self.passing[self.kept["feature_id"].to_numpy()[self.passing] == feature_id]
        rows: pd.DataFrame = self.kept[["token_type", "feature_id"]].iloc[near]
        return rows

    def _take(self, at: NDArray[np.intp]) -> pd.DataFrame:
        return self.kept if len(at) == len(self.kept) else self.kept.iloc[at]


@dataclass(frozen=True)
class Drawn:
    """What the chart was drawn for, and how it began; a box or zoom made since then is in the browser alone."""

    figure: int
    """Identifies everything that the figure shows."""

    axes: str
    """Identifies what its axes mean: a zoom is carried over only to the same ones."""

    zoom: tuple[float, float, float, float] | None
    """Left, right, lower and upper end in drawn units; None for the whole range."""

    marked: tuple[tuple[str, int], ...]
    """Features of a box that an earlier figure showed: this one dims the others."""
