"""Two models' results joined into the feature table: which features a question keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from featurediff.features.questions import DIRECTIONS, QUESTIONS, Asked, Question, effect_of
from featurediff.features.thresholds import Thresholds
from featurediff.labels import EXCLUSIVITIES, SIDES
from featurediff.meaning.pages import FeaturePages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from featurediff.features.evidence import Changes
    from featurediff.meaning.explanations import Explanations
    from featurediff.sources.results import ModelResults, Results

KEPT_BY = tuple(
    ";".join(question for i, question in enumerate(QUESTIONS[:3]) if number >> i & 1) for number in range(1, 8)
)
"""By which questions a row is kept, in the order of `QUESTIONS`: the categories of the column `kept_by`."""

NO_PAGE = FeaturePages(template=None, reason="No Neuronpedia page was asked for.")


def feature_table(
    results: Results,
    thresholds: Thresholds | None = None,
    explanations: Explanations | None = None,
    pages: FeaturePages = NO_PAGE,
    *,
    changes: Changes | None = None,
    asked: Asked | None = None,
) -> pd.DataFrame:
    """
    List every feature that a question keeps.

    With the default thresholds a feature is exclusive in a model if it is active on at least one of the model's
    target prompts and on none of its control prompts: the published rule.

    Parameters
    ----------
    results : Results
        Base and chat statistics of one SAE.
    thresholds : Thresholds, optional
        Another rule for what counts as exclusive.
    explanations : Explanations, optional
        What features mean.
    pages : FeaturePages, optional
        Where their Neuronpedia pages are.
    changes : Changes, optional
        The tests of base against chat, which every question but `exclusive` needs.
    asked : Asked, optional
        The question; by default the published rule.

    Returns
    -------
    DataFrame with a row per kept (token_type, feature)
        In the order of token types, then of feature ids: `feature_id` (int32), `token_type` and `exclusivity`
        (category), `inconsistent` (bool: exclusive in one model and over the control threshold in the other),
        `kept_by` (category: the questions that keep the row, joined by ";") and `direction` (category: the sign of
        the effect that the question is about), both missing where the changes are not given; then `base_` and `chat_`
        with every vector of the files, `explanation` (with `explanation_type` and `explanation_model` where the
        explanations carry them) and `neuronpedia_url`; missing is NaN.
    """
    thresholds, asked = thresholds or Thresholds(), asked or Asked()
    parts = [_kept(results, token_type, thresholds, changes, asked) for token_type in results.token_types]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ids = columns.pop("feature_id")
    which = np.repeat(np.arange(len(parts)), [len(part["feature_id"]) for part in parts])
    table = pd.DataFrame(
        {
            "feature_id": ids,
            "token_type": _categories(which, results.token_types),
            "exclusivity": _categories(columns.pop("exclusivity"), EXCLUSIVITIES),
            "inconsistent": columns.pop("inconsistent"),
            "kept_by": _categories(columns.pop("kept_by"), KEPT_BY),
            "direction": _categories(columns.pop("direction"), DIRECTIONS),
            **columns,
        }
    )
    if explanations:
        for name, texts in explanations.of(ids).items():
            table[name] = texts.array
    else:
        table["explanation"] = pd.array(pa.nulls(len(ids), pa.large_string()), dtype="str")
    table["neuronpedia_url"] = pages.urls(ids)
    return table


def _kept(
    results: Results, token_type: str, thresholds: Thresholds, changes: Changes | None, asked: Asked
) -> dict[str, NDArray[np.generic]]:
    """Return the columns of one token type; categories as codes."""
    base, base_control = _exclusive(results.base, token_type, thresholds)
    chat, chat_control = _exclusive(results.chat, token_type, thresholds)
    keeping = {"exclusive": base | chat} | (_significant(changes, token_type, asked, len(base)) if changes else {})
    kept = np.flatnonzero(_answers(keeping, asked.question))
    kept_by = np.full(len(kept), -1, dtype=np.int8)
    if changes:
        for i, mask in enumerate(keeping.values()):
            kept_by += mask[kept].astype(np.int8) << i
    base, chat = base[kept], chat[kept]
    columns: dict[str, NDArray[np.generic]] = {
        "feature_id": kept.astype(np.int32),
        "exclusivity": _exclusivity_codes(base, chat),
        "inconsistent": (base & chat_control[kept]) | (chat & base_control[kept]),
        "kept_by": kept_by,
        "direction": _direction(changes, token_type, asked, kept),
    }
    for side in SIDES:
        vectors = results.of(side).vectors[token_type]
        columns |= {f"{side}_{name}": vectors[name].take(kept) for name in results.vector_names}
    return columns


def exclusivities(results: Results, token_type: str, thresholds: Thresholds) -> NDArray[np.int8]:
    """Return in which models each feature is exclusive, as codes into `EXCLUSIVITIES`, shape (num_features,)."""
    return _exclusivity_codes(*(_exclusive(results.of(side), token_type, thresholds)[0] for side in SIDES))


def _exclusivity_codes(base: NDArray[np.bool_], chat: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.select([base & chat, base, chat], [0, 1, 2], 3).astype(np.int8)


def _answers(keeping: Mapping[str, NDArray[np.bool_]], question: Question) -> NDArray[np.bool_]:
    """Return which features a question keeps, given which the three of `exclusive`, `changed` and `specific` keep."""
    whole: NDArray[np.bool_] = np.logical_or.reduce(list(keeping.values())) if question == "any" else keeping[question]
    return whole


def count_answers(
    results: Results, thresholds: Thresholds, changes: Changes | None, asked: Asked
) -> dict[Question, int]:
    """
    Count how many features each question keeps, without making its table.

    Parameters
    ----------
    results, thresholds, changes : Results, Thresholds, Changes or None
        As in `feature_table`; without changes only `exclusive` is counted.
    asked : Asked
        Metric and alpha; its question does not count.

    Returns
    -------
    dict
        Question → rows of its table.
    """
    counts = dict.fromkeys(QUESTIONS if changes else QUESTIONS[:1], 0)
    for token_type in results.token_types:
        base, chat = (_exclusive(model, token_type, thresholds)[0] for model in (results.base, results.chat))
        exclusive = base | chat
        for question in counts:
            put = replace(asked, question=question)
            found = _significant(changes, token_type, put, len(exclusive)) if changes else {}
            counts[question] += int(np.count_nonzero(_answers({"exclusive": exclusive} | found, question)))
    return counts


def _significant(changes: Changes, token_type: str, asked: Asked, num_features: int) -> dict[str, NDArray[np.bool_]]:
    """Return which features `changed` and `specific` keep, each of shape (num_features,)."""
    found = {}
    for question, contrast in (("changed", "change"), ("specific", "specific")):
        mask = np.zeros(num_features, dtype=bool)
        for quantity in asked.quantities:
            q = changes.effects[f"{quantity}_{contrast}", token_type].tested.q
            mask[changes.features[token_type][q <= asked.alpha]] = True
        found[question] = mask
    return found


def _direction(changes: Changes | None, token_type: str, asked: Asked, kept: NDArray[np.intp]) -> NDArray[np.int8]:
    """Return codes into `DIRECTIONS`; −1 where the changes are not given, or nothing is known of the effect."""
    if changes is None:
        return np.full(len(kept), -1, dtype=np.int8)
    effect = changes.effects[effect_of(asked.question, asked.metric), token_type].value
    value = effect[np.searchsorted(changes.features[token_type], kept)]
    return np.select([value > 0, value < 0, value == 0], [0, 1, 2], -1).astype(np.int8)


def _categories(codes: NDArray[np.generic], names: Sequence[str]) -> pd.Categorical[str]:
    """Return names by their codes; −1 is missing."""
    return pd.Categorical.from_codes(codes.astype(np.int32), categories=pd.Index(names))


def _exclusive(
    model: ModelResults, token_type: str, thresholds: Thresholds
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which features are exclusive in a model, and which are active on too many of its control prompts."""
    vectors, metadata = model.vectors[token_type], model.metadata
    target, control = thresholds.min_target, thresholds.max_control
    on_target = target.measure(vectors["target_num_active"], metadata.num_target_prompts) >= target.value
    on_control = control.measure(vectors["control_num_active"], metadata.num_control_prompts) > control.value
    return on_target & ~on_control, on_control


def class_of(results: Results, token_type: str, feature_id: int, thresholds: Thresholds) -> tuple[str, bool]:
    """Return in which models one feature is exclusive at one position, and whether it is inconsistent."""
    base, base_control = _exclusive(results.base, token_type, thresholds)
    chat, chat_control = _exclusive(results.chat, token_type, thresholds)
    in_base, in_chat = bool(base[feature_id]), bool(chat[feature_id])
    names = {(True, True): "both", (True, False): "base", (False, True): "chat", (False, False): "neither"}
    inconsistent = (in_base and chat_control[feature_id]) or (in_chat and base_control[feature_id])
    return names[in_base, in_chat], bool(inconsistent)


def values(table: pd.DataFrame, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a metric's values for base and for chat, each of shape (rows,)."""
    return table[f"base_{metric}"].to_numpy(), table[f"chat_{metric}"].to_numpy()


def with_difference(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the table with a column `difference`, chat − base of the metric."""
    base, chat = values(table, metric)
    return table.assign(difference=chat - base)
