"""How many features each question keeps in several sources, beside how many prompts that rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from featurediff.charts.view import DEFAULT_METRIC
from featurediff.compare.same_prompts import number_prompts
from featurediff.features.evidence import ALPHA
from featurediff.features.questions import DIRECTIONS, QUESTIONS, Asked, Question, effect_of
from featurediff.labels import EXCLUSIVE, PROMPTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from featurediff.compare.summary import Summary
    from featurediff.labels import Prompts

ABOUT = ["source", "model", "trainer", "layer", "prompt_set", "num_features", "n_target", "n_control"]
ABOUT += ["groups_target", "groups_control", "same_target", "same_control", "token_type"]
FIT = ["explained_base", "explained_chat", "l0_base", "l0_chat"]
ABOUT += FIT
"""Columns that say what is counted, and what the counts rest on."""

_NUMBERS = ["kept", "significant", "tested"]


def parts_of(question: Question) -> tuple[str, ...]:
    """Return what a question’s features are divided into: exclusivities for the published rule, else directions."""
    return EXCLUSIVE if question == "exclusive" else DIRECTIONS


def counts(
    sources: Sequence[Summary],
    max_q: float = ALPHA,
    metric: str = DEFAULT_METRIC,
    questions: Sequence[Question] = QUESTIONS,
) -> pd.DataFrame:
    """
    Count what each question keeps.

    Parameters
    ----------
    sources : sequence of Summary
        In the order of the rows.
    max_q : float
        The largest q that is evidence, of every question.
    metric : str
        Decides whether `changed` and `specific` are about the mean or the frequency.
    questions : sequence of str
        Which questions.

    Returns
    -------
    DataFrame with a row per (source, token_type, question, part), also where there is no feature
        `source`, `model`, `trainer`, `layer`, `prompt_set`, `num_features`; `n_target`, `n_control` (numbers of
        prompts, such as "40", or "40/37" where base and chat differ); `groups_target`, `groups_control` (Int64;
        missing where none are known); `same_target`, `same_control` (Int64: equal numbers are the same prompts;
        missing where no file says which they were); `token_type`; `explained_base`, `explained_chat` (float64: share of
        the variance that the SAE explains on target prompts, NaN where no file says) and `l0_base`, `l0_chat` (float64:
        its mean number of active features there); `question`, `part` (see `parts_of`); and, Int64 and
        missing where the source is not tested for the question: `kept` (a feature counts once per token type),
        `significant` (those of them with q ≤ `max_q`; all that `changed` and `specific` keep), `tested` (features of
        the token type that the question has a q for, whatever their part), and `test` (what that q comes from).
    """
    frames = []
    for source, same in zip(sources, number_prompts(sources), strict=True):
        about = _describe(source, same)
        for question in questions:
            frame = _count(source, Asked(question, metric, max_q))
            frames.append(frame.assign(**about, question=question))
    columns = [*ABOUT, "question", "part", *_NUMBERS, "test"]
    if not frames:
        return pd.DataFrame(columns=columns)
    order = pd.concat(frames, ignore_index=True)[columns]
    whole = [*_NUMBERS, *(name for name in ABOUT if name.startswith(("groups_", "same_")))]
    return order.astype(dict.fromkeys(whole, "Int64") | {"test": "str"})


def _describe(source: Summary, same: dict[Prompts, int | None]) -> dict[str, Any]:
    """Return the cells of `ABOUT` but the token type and the fit, which is of one."""
    groups = source.evidence.groups if source.evidence else dict.fromkeys(PROMPTS)
    return {
        "source": source.name,
        "model": source.model,
        "trainer": source.trainer,
        "layer": source.layer,
        "prompt_set": source.prompt_set,
        "num_features": source.sae.num_features,
        **{f"n_{prompts}": num_prompts(source, prompts) for prompts in PROMPTS},
        **{f"groups_{prompts}": groups[prompts] for prompts in PROMPTS},
        **{f"same_{prompts}": same[prompts] for prompts in PROMPTS},
    }


def num_prompts(source: Summary, prompts: Prompts) -> str:
    """Return how many prompts a set has, such as "40", or "40/37" where base and chat differ."""
    return "/".join(dict.fromkeys(str(source.num_prompts[side, prompts]) for side in SIDES))


def _count(source: Summary, asked: Asked) -> pd.DataFrame:
    """Return the counts of one source and question."""
    parts = parts_of(asked.question)
    shape = len(source.token_types), len(parts)
    at = source.active["token_type"].cat.codes.to_numpy()
    q, part = source.q(asked), _part(source, asked)
    keeps = source.keeps(asked)
    place = at.astype(np.int64) * len(parts) + part
    numbers = {
        "kept": np.bincount(place[keeps], minlength=shape[0] * shape[1]),
        "significant": np.bincount(place[keeps & (q <= asked.alpha)], minlength=shape[0] * shape[1]),
        "tested": np.repeat(np.bincount(at[_has_q(source, asked)], minlength=shape[0]), shape[1]),
    }
    unknown = [] if source.answers(asked.question, asked.metric) else ["kept"]
    unknown += ["significant", "tested"] if source.evidence is None or unknown else []
    columns: dict[str, object] = {
        name: pd.array([None] * len(values) if name in unknown else values, dtype="Int64")
        for name, values in numbers.items()
    }
    frame = pd.DataFrame(
        {"token_type": np.repeat(source.token_types, shape[1]), "part": np.tile(parts, shape[0]), **columns}
    )
    return frame.assign(test=_test(source, asked), **_fit(source, frame["token_type"]))


def _fit(source: Summary, token_types: pd.Series) -> dict[str, NDArray[np.float64]]:
    """Return the columns of `FIT` for rows of these positions."""
    if source.fit is None:
        return {name: np.full(len(token_types), np.nan) for name in FIT}
    of_type = source.fit.xs("target", level="prompt_set").reindex(token_types)
    names = [f"{side}_{name}" for name in ("variance_explained", "l0") for side in SIDES]
    return {ours: of_type[name].to_numpy(np.float64) for ours, name in zip(FIT, names, strict=True)}


def _part(source: Summary, asked: Asked) -> NDArray[np.int64]:
    """Return the part of each feature, as an index of `parts_of`; only of kept features it means something."""
    if asked.question == "exclusive":
        codes = source.active["exclusivity"].cat.codes.to_numpy()
        return np.where(codes < len(EXCLUSIVE), codes, 0).astype(np.int64)
    sign = source.sign(asked)
    return np.select([sign > 0, sign < 0], [0, 1], 2).astype(np.int64)


def _has_q(source: Summary, asked: Asked) -> NDArray[np.bool_]:
    """Return which features are tested for a question: for the published rule, in a model in which they are kept."""
    if source.evidence is None:
        return np.zeros(len(source.active), dtype=bool)
    return np.isfinite(source.q(asked))


def _test(source: Summary, asked: Asked) -> str | None:
    """Return what the q of a question comes from; None where no single test of `Evidence.tests` decides."""
    if asked.question in ("exclusive", "any") or source.evidence is None:
        return None
    return source.evidence.tests[effect_of(asked.question, asked.metric)] or None


def side_by_side(tidy: pd.DataFrame) -> pd.DataFrame:
    """
    Set the counts of all questions side by side.

    Parameters
    ----------
    tidy : DataFrame
        From `counts`.

    Returns
    -------
    DataFrame with a row per (source, token_type), in the order of `tidy`
        The columns of `ABOUT`, and for each question of `tidy`: `{question}_{part}` and `{question}_kept` (how many it
        keeps, in that part and in all), `{question}_significant`, and `{question}_share` (float64: of the published
        rule and `any`, significant over kept; of `changed` and `specific`, kept over tested; missing where that is
        not known or there is none).
    """
    keys = ["source", "token_type"]
    rows = tidy[ABOUT].drop_duplicates(keys).reset_index(drop=True)
    for question, part in tidy.groupby("question", sort=False):
        sums = part.groupby(keys, sort=False)
        columns = {f"{question}_{name}": part.loc[part["part"] == name, "kept"].array for name in part["part"].unique()}
        for value in ("kept", "significant"):
            columns[f"{question}_{value}"] = sums[value].sum(min_count=1).array
        rows = rows.assign(**columns)
        over, under = "significant", rows[f"{question}_kept"]
        if question in ("changed", "specific"):
            over, under = "kept", pd.Series(sums["tested"].first().array)
        rows[f"{question}_share"] = share(rows[f"{question}_{over}"], under)
    return rows


def share(some: pd.Series, of: pd.Series) -> pd.Series:
    """Return shares, float64; NaN where a number is missing or there is nothing to have a share of."""
    over, under = (column.astype("Float64").to_numpy(np.float64, na_value=np.nan) for column in (some, of))
    return pd.Series(np.divide(over, under, out=np.full(len(under), np.nan), where=under > 0))
