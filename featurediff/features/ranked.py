"""The features that change most, in the order of how much is left of a change at the near end of its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.csv_files import to_csv
from featurediff.features.listing import nearer_end
from featurediff.features.questions import effect_of, is_tested
from featurediff.features.table import values
from featurediff.labels import SIDES, is_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.features.questions import Asked
    from featurediff.labels import Prompts
    from featurediff.sources.origin import Origin

    Floats = NDArray[np.float64]

WAYS = ("increase", "decrease")
"""The two halves of a ranking, in their order."""

TOP = 10
"""How many increases, and how many decreases, a ranking lists at each token type unless it is asked for others."""

ENDINGS = ("", "_low", "_high", "_p", "_q", "_test")
"""The columns of an effect in the feature table, after its name."""


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
    prompts: Prompts = "target" if metric.startswith("target") else "control"
    base_n, chat_n = (origin.num_prompts[side, prompts] for side in SIDES)
    base, chat = values(table, f"{prompts}_num_active")
    return base / base_n, chat / chat_n, (chat * base_n - base * chat_n) / (base_n * chat_n)


def rank(table: pd.DataFrame, asked: Asked, origin: Origin, top: int = TOP, *, by_share: bool = False) -> pd.DataFrame:
    """
    List the features that change most, at each token type.

    What counts is the effect that the question is about, with its interval, see `questions.effect_of`. A metric that
    nothing tests has chat − base of its values instead, without an interval.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table with its tests.
    asked : Asked
        Question, metric and alpha.
    origin : Origin
        For the numbers of prompts.
    top : int
        How many increases, and how many decreases, at most.
    by_share : bool
        Whether those come first that carry most of what differs between the models, as far as the table says.

    Returns
    -------
    DataFrame with a row per ranked (token_type, feature)
        The columns of the feature table, and before them: `rank` (from 1), `way` (category: increase, decrease),
        `base`, `chat`, `change` (the metric's values and chat − base), `effect` (what counts, never 0 or NaN), `low`,
        `high` (its 95 % interval; NaN where there is none), `is_evident` (bool: its q is at most alpha).
        In the order of token types, increases first; then by the end of the interval that is nearer to 0, the farthest
        from 0 first, and where it lies beyond 0 last. Rows without an interval come after those with one. Equal ones by
        the size of the effect, then by feature. By share: the largest share first, with or against the difference.
    """
    base, chat, change = change_of(table, asked.metric, origin)
    effect, low, high, q = change, *np.full((3, len(table)), np.nan)
    if is_tested(asked.metric):
        name = effect_of(asked.question, asked.metric)
        known, low, high, q = (table[f"{name}{ending}"].to_numpy() for ending in ("", "_low", "_high", "_q"))
        effect = np.where(np.isnan(known), change, known)
    near = nearer_end(effect, low, high)
    if by_share and "share" in table:
        near = table["share"].abs().to_numpy()
    position = table["token_type"].cat.codes.to_numpy()
    order = np.lexsort([table["feature_id"].to_numpy(), -np.abs(effect), -near, effect < 0, position])
    order = order[np.abs(effect[order]) > 0]
    block = 2 * position[order].astype(np.int64) + (effect[order] < 0)
    place = np.arange(len(order)) - np.searchsorted(block, block) + 1
    first = order[place <= top]
    found = table.iloc[first].reset_index(drop=True)
    new = {
        "rank": place[place <= top],
        "way": pd.Categorical.from_codes((effect[first] < 0).astype(np.int8), categories=pd.Index(WAYS)),
        "base": base[first],
        "chat": chat[first],
        "change": change[first],
        "effect": effect[first],
        "low": low[first],
        "high": high[first],
        "is_evident": q[first] <= asked.alpha,
    }
    ranked: pd.DataFrame = pd.concat([pd.DataFrame(new), found], axis="columns")
    return ranked


def ranking_csv(ranked: pd.DataFrame, asked: Asked) -> str:
    """
    Return a ranking as CSV; missing is empty.

    Its columns are rank, token_type, direction, feature, base, chat, difference (chat − base of the metric), those of
    the effect that it is ordered by as they are called in the feature table, and page. A metric that nothing tests has
    no such effect.
    """
    names = {"way": "direction", "feature_id": "feature", "change": "difference", "neuronpedia_url": "page"}
    effect = [f"{effect_of(asked.question, asked.metric)}{ending}" for ending in ENDINGS * is_tested(asked.metric)]
    columns = ["rank", "token_type", "way", "feature_id", "base", "chat", "change", *effect, "neuronpedia_url"]
    return to_csv(ranked[columns].rename(columns=names))
