"""What the comparison's charts say of counts, escaped for Plotly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from featurediff.charts.texts import text
from featurediff.compare.counts import parts_of, share
from featurediff.features.sae_fit import share_in_words
from featurediff.labels import PROMPTS, SIDES
from featurediff.wording import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurediff.features.questions import Question
    from featurediff.labels import Labels

WORDS = {"kept": "kept", "significant": "with evidence"}
"""What the counts are called."""


def question_of(tidy: pd.DataFrame) -> Question:
    """Return the question whose counts these are."""
    (question,) = tidy["question"].unique()
    return cast("Question", question)


def parts_shown(tidy: pd.DataFrame) -> list[str]:
    """Return the parts of a question: "none" only where a source has features in it."""
    parts = parts_of(question_of(tidy))
    return [part for part in parts if part != "none" or tidy.loc[tidy["part"] == part, "kept"].sum() > 0]


def values_of(question: Question) -> tuple[str, ...]:
    """Return which counts are drawn: what a test keeps has evidence throughout."""
    return ("kept",) if question in ("changed", "specific") else ("kept", "significant")


def part_in_words(question: Question, part: str, labels: Labels) -> str:
    """Return what a part of a question is called, escaped."""
    if question == "exclusive":
        return text(labels.category(part))
    return text(
        {"increase": f"More in {labels.chat}", "decrease": f"Less in {labels.chat}"}.get(part, "Neither more nor less")
    )


def _shares(rows: pd.DataFrame, question: Question) -> list[str]:
    """Return the share with evidence: of what the published rule keeps, or of what was tested; "" where unknown."""
    over, under = ("kept", "tested") if len(values_of(question)) == 1 else ("significant", "kept")
    shares = share(rows[over], rows[under])
    return ["" if np.isnan(found) else f"{percent(found)} %" for found in shares]


def bar_ends(rows: pd.DataFrame, question: Question) -> list[str]:
    """Return what stands at the ends of bars: with evidence of kept, and the share."""
    texts = []
    for kept, significant, found in zip(rows["kept"], rows["significant"], _shares(rows, question), strict=True):
        if pd.isna(kept):
            texts.append("–")
            continue
        is_part = len(values_of(question)) > 1 and not pd.isna(significant)
        number = f"{significant:,} of {kept:,}" if is_part else f"{kept:,}"
        texts.append(f"{number} · {found}" if found and kept else number)
    return texts


def count_hovers(rows: pd.DataFrame, names: Mapping[str, str], labels: Labels, hint: str = "") -> list[str]:
    """
    Say what each bar or point of a trace counts.

    Parameters
    ----------
    rows : DataFrame
        From `compare.counts`, of one question.
    names : mapping
        Source → what the chart calls it.
    labels : Labels
        What models and prompt sets are called.
    hint : str
        What the texts end with: what a click does.
    """
    question, texts = question_of(rows), []
    is_tested = len(values_of(question)) == 1
    for row, found in zip(rows.to_dict("records"), _shares(rows, question), strict=True):
        kept, significant = row["kept"], row["significant"]
        if pd.isna(kept):
            said = "not tested"
        elif is_tested:
            said = f"{kept:,} with evidence" + f", {found} of {row['tested']:,} tested" * bool(found)
        elif pd.isna(significant):
            said = f"{kept:,} kept"
        else:
            said = f"{kept:,} kept, {significant:,} with evidence" + f" ({found})" * bool(found)
        prompts = f"{row['n_target']} {labels.target} and {row['n_control']} {labels.control} prompts"
        texts.append(
            f"<b>{text(names[row['source']])}</b><br>{part_in_words(question, row['part'], labels)} at "
            f"{text(row['token_type'])}<br>{said}<br>{text(prompts)}{hint}<extra></extra>"
        )
    return texts


def number_or_dash(value: Any, how: str = ",") -> str:  # noqa: ANN401  a cell of a table
    """Write a number of a table, "–" where it is missing."""
    return "–" if pd.isna(value) else format(value, how)


def prompts_in_words(row: Mapping[Any, Any]) -> str:
    """Say how many prompts a row of `compare.counts` rests on, such as "40 + 37/35", target first."""
    return " + ".join(row[f"n_{prompts}"] for prompts in PROMPTS)


def same_in_words(row: Mapping[Any, Any]) -> str:
    """Return the numbers of a row’s prompt sets, target first: equal numbers are the same prompts; "?": not known."""
    numbers = ["?" if pd.isna(row[f"same_{prompts}"]) else str(row[f"same_{prompts}"]) for prompts in PROMPTS]
    return "–" if set(numbers) == {"?"} else " + ".join(numbers)


def fit_in_words(row: Mapping[Any, Any]) -> str:
    """Say how well the SAE reads base and chat, such as "89 % / 86 %, L0 32 / 31"; "–" where nothing is known."""
    explained, l0 = ([float(row[f"{name}_{side}"]) for side in SIDES] for name in ("explained", "l0"))
    if all(map(pd.isna, (*explained, *l0))):
        return "–"
    said = "" if all(map(pd.isna, explained)) else f"{' / '.join(map(share_in_words, explained))}, "
    return f"{said}L0 {' / '.join(number_or_dash(number, ',.0f') for number in l0)}"


def groups_in_words(row: Mapping[Any, Any]) -> str:
    """
    Say how many groups of prompts a row of `compare.counts` rests on.

    Returns
    -------
    str
        Such as "8 + 8", target first; a set without groups counts each prompt; "–" where no groups are known.
    """
    groups = {prompts: row[f"groups_{prompts}"] for prompts in PROMPTS}
    if all(pd.isna(number) for number in groups.values()):
        return "–"
    return " + ".join(str(row[f"n_{prompts}"] if pd.isna(n) else n) for prompts, n in groups.items())
