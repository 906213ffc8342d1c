"""What a view leaves of the kept features, made once for all sessions that look at the same."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from featurediff.app.dashboard.kept import kept_features, what_is_kept
from featurediff.app.dashboard.opened import KEYS, Opened
from featurediff.charts.view import View
from featurediff.features.filters import is_one_of, passing

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Shown:
    """What a view leaves of the kept features."""

    kept: pd.DataFrame
    """The whole feature table."""

    passing: NDArray[np.intp]
    """Rows of `kept` that pass the filters: those in the chart."""

    digest: str
    """Hash of `passing`: equal rows give the same cached figure."""

    at: NDArray[np.intp]
    """Rows of `kept` that are also in the box and starred, where that is asked for: those in table and downloads."""

    different: int
    """How many features these are: one is in several rows where it is kept at several positions."""

    digest_at: str
    """Hash of `at` and of what identifies `kept`: equal rows give the same cached table."""

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


def _what_passes(view: View) -> str:
    """Identify the part of a view that rows depend on."""
    return repr((what_is_kept(view), view.filters, view.metric))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEYS | {View: _what_passes})
def narrow(
    opened: Opened, view: View, subset: tuple[tuple[str, int], ...], stars: tuple[int, ...], *, only: bool
) -> Shown:
    """
    Return what a view shows.

    Parameters
    ----------
    opened, view : Opened, View
        The source and the view.
    subset : tuple of (token_type, feature_id)
        What a box holds; empty where there is no box.
    stars : tuple of int
        Features with a star, in ascending order; they count where only these are wanted.
    only : bool
        Whether to show starred features only.
    """
    kept = kept_features(opened, view)
    drawn = at = passing(kept, view.filters, view.metric, view.question)
    if subset:
        at = at[is_one_of(kept, subset)[at]]
    if only:
        at = at[kept["feature_id"].iloc[at].isin(stars)]
    different = int(np.count_nonzero(np.bincount(kept["feature_id"].to_numpy()[at])))
    return Shown(kept, drawn, _hash(drawn), at, different, _hash(at, what_is_kept(view)))


def _hash(rows: NDArray[np.intp], more: str = "") -> str:
    return blake2b(rows.tobytes() + more.encode(), digest_size=16).hexdigest()
