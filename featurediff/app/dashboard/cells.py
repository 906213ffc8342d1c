"""What the cells of the table say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.features.evidence_columns import goes_against, question_q
from featurediff.features.questions import effect_of
from featurediff.features.sae_fit import share_in_words
from featurediff.labels import SIDES
from featurediff.wording import decimals_for, in_column, p_text, visible

if TYPE_CHECKING:
    from featurediff.charts.view import View
    from featurediff.labels import Prompts
    from featurediff.sources.origin import Origin

CARRIES = "carries"
"""The column with each feature's share of what differs between the models, where a file says so."""


def fill_cells(rows: pd.DataFrame, view: View, origin: Origin, stars: tuple[int, ...]) -> pd.DataFrame:
    """Return the cells of rows of the feature table, a column each, in the order of the screen."""
    metric = view.metric
    base, chat = (rows[f"{side}_{metric}"].to_numpy(np.float64) for side in SIDES)
    decimals = decimals_for([*base.tolist(), *chat.tolist()])
    cells: dict[str, object] = {
        "feature_id": rows["feature_id"],
        "mark": np.where(np.isin(rows["feature_id"], stars), "★", ""),
        "token_type": _positions(rows),
        "effect": _effects(rows, effect_of(view.question, metric)),
        "q": [p_text(q) if np.isfinite(q) else "–" for q in question_q(rows, view.question, metric).tolist()],
        "explanation": rows["explanation"].fillna(""),
        "neuronpedia_url": rows["neuronpedia_url"],
        "share": _shares(rows, "target", origin),
        "control_share": _shares(rows, "control", origin),
        "exclusivity": _classes(rows, view),
        f"base_{metric}": in_column(base.tolist(), decimals),
        f"chat_{metric}": in_column(chat.tolist(), decimals),
        "difference": in_column((chat - base).tolist(), decimals, sign=True),
        "base_q": [p_text(q) for q in rows["base_q"].tolist()],
        "chat_q": [p_text(q) for q in rows["chat_q"].tolist()],
        "exclusive_positions": rows["exclusive_positions"],
    }
    if "share" in rows:
        cells[CARRIES] = [share_in_words(share) for share in rows["share"].tolist()]
    if "explanation_type" in rows:
        cells["explanation_type"] = rows["explanation_type"].fillna("")
    if rows["neuronpedia_url"].isna().all():
        del cells["neuronpedia_url"]
    return pd.DataFrame(cells).reset_index(drop=True)


def _shares(rows: pd.DataFrame, prompts: Prompts, origin: Origin) -> list[str]:
    """Write on how many prompts of a set base and chat are active; most rows have a pair that others have too."""
    pairs = list(zip(*(rows[f"{side}_{prompts}_num_active"].tolist() for side in SIDES), strict=True))
    base, chat = (origin.num_prompts[side, prompts] for side in SIDES)
    written = {pair: f"{pair[0]}/{base} → {pair[1]}/{chat}" for pair in set(pairs)}
    return [written[pair] for pair in pairs]


def _positions(rows: pd.DataFrame) -> pd.Series:
    """Write positions; where a feature is listed once, the other ones after its best."""
    names = {name: visible(name) for name in rows["token_type"].cat.categories}
    written = rows["token_type"].astype("str").map(names)
    if "other_positions" not in rows:
        return written
    others = rows["other_positions"].fillna("").str.split(";")
    return written + [f" ({', '.join(map(visible, found))})" if found != [""] else "" for found in others]


def _effects(rows: pd.DataFrame, effect: str) -> list[str]:
    """Write effects with their intervals; frequencies in percentage points."""
    factor = 100 if effect.startswith("sparsity") else 1
    columns = [factor * rows[f"{effect}{ending}"].to_numpy() for ending in ("", "_low", "_high")]
    decimals = decimals_for(columns[0].tolist())
    value, low, high = (in_column(column.tolist(), decimals, sign=True) for column in columns)
    return [
        v + (f" ({lo} to {hi})" if np.isfinite(end) else "")
        for v, lo, hi, end in zip(value, low, high, columns[1].tolist(), strict=True)
    ]


def _classes(rows: pd.DataFrame, view: View) -> list[str]:
    """Name the models in which features are exclusive, with a word where other prompts or the change contradict it."""
    change = np.sign(rows[effect_of("exclusive", view.metric)].to_numpy())
    against = goes_against(rows, view.metric)
    words = np.select(
        [against & (change == way) for way in (1, 0, -1)], [", but rises", ", but stays", ", but falls"], ""
    )
    return [
        view.labels.short_category(name) + (", inconsistent" if inconsistent else "") + word
        for name, inconsistent, word in zip(
            rows["exclusivity"].tolist(), rows["inconsistent"].tolist(), words.tolist(), strict=True
        )
    ]
