"""What features mean: texts by feature, and which of them is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.wording import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Explanations:
    """What features mean, in words. A feature may have several texts, of which one is shown."""

    name: str
    """Name of the file or folder as shown to people."""

    sha256: str
    """SHA-256 of the whole file, in hex; of a folder, that of its files' names and contents, one after the other."""

    rows: pd.DataFrame
    """
    `explanation` and, where the source carries them, `explanation_type` and `explanation_model`; blank is missing.
    The index `feature_id` is int64 and sorted; rows of one feature are in the order of the file.
    """

    outside: int
    """Number of explained ids that the SAE does not have and that were left out; 0 until restricted."""

    skipped: int
    """Number of rows without a feature id."""

    left_out: tuple[str, ...] = ()
    """What else was left out, and why: a sentence each."""

    preferred: str | None = None
    """Type of explanation that is shown where a feature has one, instead of the feature's last."""

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """The row of each explained feature that is shown, with the columns of `rows`; the index is unique."""
        rows = self.rows
        if self.preferred is not None and "explanation_type" in rows:
            is_preferred = (rows["explanation_type"] == self.preferred) & rows["explanation"].notna()
            rows = rows.iloc[np.lexsort((is_preferred, rows.index))]  # last of its feature, the others in order
        ids = rows.index.to_numpy()
        is_last = np.ones(len(ids), dtype=bool)
        is_last[:-1] = ids[1:] != ids[:-1]
        counts = is_last & rows["explanation"].notna().to_numpy()
        return rows if counts.all() else rows[counts]

    def of(self, ids: NDArray[np.integer]) -> pd.DataFrame:
        """
        Look up features.

        Parameters
        ----------
        ids : ndarray of shape (n,), int

        Returns
        -------
        DataFrame of n rows
            Those of `chosen`; missing where a feature has no explanation.
        """
        chosen = self.chosen
        known = chosen.index.to_numpy()
        places = np.searchsorted(known, ids)
        found = np.append(known, -1)[places] == ids
        places = np.where(found, places, -1)
        return pd.DataFrame({name: cells.array.take(places, allow_fill=True) for name, cells in chosen.items()})

    def cells_of(self, feature_id: int) -> dict[str, str]:
        """Return the cells of `chosen` of one feature by column, without missing ones; empty where it has no text."""
        if feature_id not in self.chosen.index:
            return {}
        return {str(name): str(cell) for name, cell in self.chosen.loc[feature_id].dropna().items()}

    @property
    def texts(self) -> pd.Series[str]:
        """The text of each explained feature; the index `feature_id` is int64, unique and sorted."""
        return self.chosen["explanation"]

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The types of explanation that occur, the most frequent first; none where the source names no types."""
        explained = self.rows[self.rows["explanation"].notna()]
        return tuple(explained["explanation_type"].value_counts().index) if "explanation_type" in explained else ()

    def preferring(self, explanation_type: str | None) -> Explanations:
        """Return the same explanations with another preferred type; None for no preference."""
        return replace(self, preferred=explanation_type)

    def restricted(self, num_features: int) -> Explanations:
        """
        Keep the explanations of features that the SAE has.

        Parameters
        ----------
        num_features : int
            Width of the SAE; its ids run from 0 to num_features − 1.

        Returns
        -------
        Explanations
            `outside` grows by the number of ids left out.
        """
        ids = self.rows.index.to_numpy()
        start, end = np.searchsorted(ids, [0, num_features])
        if end - start == len(ids):
            return self
        kept = replace(self, rows=self.rows.iloc[start:end])
        return replace(kept, outside=self.outside + len(self.texts) - len(kept.texts))

    def notes(self) -> list[str]:
        """Say which explanations are left out, and why: a sentence each."""
        found = list(self.left_out)
        if self.outside:
            count = plural(self.outside, "explanation")
            found.append(f"`{self.name}` has {count} of features that this SAE does not have: left out.")
        if self.skipped:
            count = plural(self.skipped, "row")
            found.append(f"`{self.name}` has {count} without a feature id: left out.")
        return found
