"""In which order the table stands after a click on a column's header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.app.dashboard.cells import CARRIES
from featurediff.features.evidence_columns import question_q
from featurediff.features.questions import effect_of
from featurediff.labels import SIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.app.dashboard.shown import Shown
    from featurediff.charts.view import View
    from featurediff.labels import Prompts
    from featurediff.sources.origin import Origin

RISING = ("feature_id", "token_type", "q", "base_q", "chat_q", "explanation", "explanation_type", "exclusivity")
"""Columns whose smallest value comes first at the first click on their header; of others it is the largest."""


@dataclass(frozen=True)
class Sort:
    """What the table is sorted by."""

    column: str
    """A column of the table, as in `Rows.cells`."""

    falling: bool
    """Whether the largest comes first."""

    @classmethod
    def by(cls, column: str, before: Sort | None) -> Sort:
        """Return the order after a click on a column's header: the other way round where it was sorted by that."""
        falling = not before.falling if before and before.column == column else column not in RISING
        return cls(column, falling)

    @classmethod
    def read(cls, word: str) -> Sort:
        """Read the `sort` of a URL, such as `q`, or `-q` where the largest comes first."""
        return cls(word.removeprefix("-"), word.startswith("-"))

    @property
    def word(self) -> str:
        """What the URL says."""
        return "-" * self.falling + self.column


def can_sort(sort: Sort | None, shown: Shown, view: View) -> bool:
    """Whether the table has the column that it is to be sorted by: another source or metric may lack it."""
    columns = {
        "feature_id",
        "mark",
        "token_type",
        "effect",
        "q",
        "explanation",
        "share",
        "control_share",
        "exclusivity",
    }
    columns |= {f"base_{view.metric}", f"chat_{view.metric}", "difference", "base_q", "chat_q", "exclusive_positions"}
    columns |= {"explanation_type"} & set(shown.kept) | ({CARRIES} if "share" in shown.kept else set())
    return sort is None or sort.column in columns


def sort_rows(rows: pd.DataFrame, view: View, origin: Origin, stars: tuple[int, ...], sort: Sort) -> NDArray[np.intp]:
    """Return the order of rows, by number; ties keep their order, and what is missing comes last."""
    values = _values(rows, view, origin, stars, sort.column)
    found: NDArray[np.intp] = (
        pd.Series(values).reset_index(drop=True).sort_values(ascending=not sort.falling, kind="stable").index.to_numpy()
    )
    return found


def _values(
    rows: pd.DataFrame, view: View, origin: Origin, stars: tuple[int, ...], column: str
) -> pd.Series | NDArray[np.generic]:
    """Return what a column is sorted by."""
    if column == "effect":
        return rows[effect_of(view.question, view.metric)]
    if column == "q":
        return question_q(rows, view.question, view.metric)
    if column == "mark":
        return np.isin(rows["feature_id"], stars)
    if column in ("share", "control_share"):
        prompts: Prompts = "target" if column == "share" else "control"
        base, chat = (rows[f"{side}_{prompts}_num_active"] / origin.num_prompts[side, prompts] for side in SIDES)
        return chat - base
    if column == CARRIES:
        return rows["share"]
    if column == "difference":
        return rows[f"chat_{view.metric}"] - rows[f"base_{view.metric}"]
    return rows[column]
