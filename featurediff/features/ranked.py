"""Base, chat and the change between them: with intervals, and in order of size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.csv_files import to_csv
from featurediff.features.exact_tests import wilson
from featurediff.features.intervals import active_mean
from featurediff.features.questions import quantity_of
from featurediff.features.table import values
from featurediff.labels import SIDES, is_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.labels import Prompts, Side
    from featurediff.sources.origin import Origin

    Floats = NDArray[np.float64]

DIRECTIONS = ("increase", "decrease")


def change_of(table: pd.DataFrame, metric: str, origin: Origin) -> tuple[Floats, Floats, Floats]:
    """
    Return a metric's values and their change.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table.
    metric : str
        A metric of the table. Shares of prompts are taken from the counts, as p-values and intervals are, so that equal
        changes of different counts, 1/40 − 0 and 3/40 − 2/40, are equal numbers.
    origin : Origin
        For the numbers of prompts.

    Returns
    -------
    base, chat, change : ndarray of shape (rows,), float64
        The change is chat − base.
    """
    if not is_share(metric):
        base, chat = (column.astype(np.float64) for column in values(table, metric))
        return base, chat, chat - base
    prompts = _prompts(metric)
    base_n, chat_n = (origin.num_prompts[side, prompts] for side in SIDES)
    base, chat = values(table, f"{prompts}_num_active")
    return base / base_n, chat / chat_n, (chat * base_n - base * chat_n) / (base_n * chat_n)


def interval(table: pd.DataFrame, metric: str, side: Side, origin: Origin) -> tuple[Floats, Floats]:
    """
    Return the 95 % interval of a metric in one model.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table.
    metric : str
        A metric of the table.
    side : {"base", "chat"}
        The model.
    origin : Origin
        For the numbers of prompts.

    Returns
    -------
    low, high : ndarray of shape (rows,), float64
        Shares and counts of prompts: Wilson's. Means over all prompts: Wilson's interval of the share of prompts times
        the t interval of the mean over active prompts, see `intervals.active_mean`; NaN for fewer than 2 active
        prompts. Other metrics, and means without their standard deviation: NaN.
    """
    prompts = _prompts(metric)
    n = origin.num_prompts[side, prompts]
    deviation, active = f"{side}_{metric.removesuffix('mean')}std", f"{side}_{prompts}_num_active"
    if is_share(metric) or metric.endswith("_num_active"):
        low, high = wilson(table[active].to_numpy(), n)
        return (low, high) if is_share(metric) else (low * n, high * n)
    if metric.endswith("_all_mean") and deviation in table:
        mean, std = (table[name].to_numpy(dtype=np.float64) for name in (f"{side}_{metric}", deviation))
        return active_mean(mean, std, n, table[active].to_numpy())[1:]
    unknown = np.full(len(table), np.nan)
    return unknown, unknown


def _prompts(metric: str) -> Prompts:
    return "target" if metric.startswith("target") else "control"


def rank(table: pd.DataFrame, metric: str, origin: Origin, top: int = 20) -> pd.DataFrame:
    """
    List the features that change most, at each token type.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table with its tests.
    metric : str
        Whose change counts.
    origin : Origin
        For the numbers of prompts.
    top : int
        How many increases, and how many decreases, at most.

    Returns
    -------
    DataFrame with a row per ranked (token_type, feature)
        In the order of token types, increases first, largest change first; equal ones by the p of the change, then
        by feature.
        `token_type` and `direction` (category: increase, decrease), `rank` (from 1), `feature_id`, `base`, `chat`,
        `difference` (chat − base, never 0), `base_low`, `base_high`, `chat_low`, `chat_high` (see `interval`),
        `explanation`, `page` (URL; missing is NaN).
    """
    base, chat, change = change_of(table, metric, origin)
    ends = {
        f"{side}_{end}": at
        for side in SIDES
        for end, at in zip(("low", "high"), interval(table, metric, side, origin), strict=True)
    }
    by = ("feature_id", f"{quantity_of(metric)}_change_p")
    keys = [
        *(table[name].to_numpy() for name in by),
        -np.abs(change),
        change < 0,
        table["token_type"].cat.codes.to_numpy(),
    ]
    order = np.lexsort(keys)
    found = pd.DataFrame(
        {
            "token_type": table["token_type"],
            "direction": pd.Categorical.from_codes((change < 0).astype(np.int8), categories=pd.Index(DIRECTIONS)),
            "feature_id": table["feature_id"],
            "base": base,
            "chat": chat,
            "difference": change,
            **ends,
            "explanation": table["explanation"],
            "page": table["neuronpedia_url"],
        }
    ).iloc[order[change[order] != 0]]
    found.insert(2, "rank", found.groupby(["token_type", "direction"], observed=True).cumcount() + 1)
    ranked: pd.DataFrame = found[found["rank"] <= top].reset_index(drop=True)
    return ranked


def ranking_csv(ranked: pd.DataFrame) -> str:
    """Return a ranking as CSV: rank, token_type, direction, feature, base, chat, difference, page; missing is empty."""
    columns = ["rank", "token_type", "direction", "feature", "base", "chat", "difference", "page"]
    return to_csv(ranked.rename(columns={"feature_id": "feature"})[columns])
