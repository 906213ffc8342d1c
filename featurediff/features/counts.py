"""How many features each question finds, beside how many chance would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.features.by_chance import (
    NumKept,
    count_kept,
    expected,
    expected_at_least,
    expected_exactly,
    largest_significant,
    rule,
)
from featurediff.features.evidence import ALPHA
from featurediff.features.questions import CONTRASTS, DIRECTIONS, effect_of, quantity_of
from featurediff.labels import PROMPTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from featurediff.features.by_chance import Rule
    from featurediff.features.evidence import Changes, Exclusive
    from featurediff.features.questions import Asked, Question
    from featurediff.features.thresholds import Thresholds
    from featurediff.labels import Side
    from featurediff.sources.origin import Origin
    from featurediff.sources.pairs import Pairs
    from featurediff.sources.results import Results

    Counts = NDArray[np.int64]


def chance_table(
    results: Results,
    exclusive: Exclusive,
    pairs: Pairs | None,
    thresholds: Thresholds,
    alpha: float = ALPHA,
) -> pd.DataFrame:
    """
    Count what the published rule keeps at each position, beside what it would keep by chance.

    Parameters
    ----------
    results, exclusive, pairs : Results, Exclusive, Pairs or None
        Of one source.
    thresholds : Thresholds
        What counts as exclusive.
    alpha : float
        The largest q of target over control that counts as significant.

    Returns
    -------
    DataFrame with a row per token type
        For `base`, `chat` and `either` (in at least one model, the total that is shown): `…_kept`, `…_expected` (were
        target and control prompts of one kind), `…_significant` (also q ≤ alpha in that model),
        `…_significant_expected` and `…_mirror` (features that fire on control prompts only, by these thresholds).
        `is_least` (bool): `either_expected` is what is expected at least, as pairs of prompts are not known.
    """
    rows = {}
    for token_type in results.token_types:
        ids = exclusive.features[token_type]
        counts = _counts(results, token_type, ids)
        rules = _rules(results, thresholds)
        cutoffs = {
            side: largest_significant(tested.p, tested.q, alpha)
            for side in SIDES
            for tested in (exclusive.tested[side, token_type],)
        }
        by_chance, significant_by_chance = _expected(pairs, token_type, counts, rules, (None, cutoffs))
        mirrored = {side: (control, target) for side, (target, control) in counts.items()}
        found = {
            "kept": count_kept(counts, rules),
            "expected": by_chance,
            "significant": _significant(exclusive, token_type, counts, rules, alpha),
            "significant_expected": significant_by_chance,
            "mirror": count_kept(mirrored, _rules(results, thresholds, mirrored=True)),
        }
        row: dict[str, float | bool] = {
            f"{whose}_{what}": getattr(kept, whose) for whose in (*SIDES, "either") for what, kept in found.items()
        }
        rows[token_type] = row | {"is_least": pairs is None}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("token_type")


def _counts(results: Results, token_type: str, ids: Counts) -> dict[Side, tuple[Counts, Counts]]:
    """Return on how many target and control prompts each feature is active in either model."""
    vectors = {side: results.of(side).vectors[token_type] for side in SIDES}
    return {v: (vectors[v]["target_num_active"][ids], vectors[v]["control_num_active"][ids]) for v in SIDES}


def _rules(results: Results, thresholds: Thresholds, *, mirrored: bool = False) -> dict[Side, Rule]:
    """Return each model's rule in whole prompts; mirrored, target and control change places."""
    order = PROMPTS[::-1] if mirrored else PROMPTS
    return {
        side: rule(thresholds, *(results.of(side).metadata.num_prompts(prompts) for prompts in order)) for side in SIDES
    }


def _expected(
    pairs: Pairs | None,
    token_type: str,
    counts: Mapping[Side, tuple[Counts, Counts]],
    rules: Mapping[Side, Rule],
    cutoffs: Sequence[Mapping[Side, float] | None],
) -> list[NumKept]:
    """Return for each of some cutoffs what chance keeps over all exchanges of labels; from counts alone at least."""
    if pairs is None:
        return [expected_at_least(counts, rules, cutoff) for cutoff in cutoffs]
    at, groups = pairs.positions[token_type], (pairs.groups["target"], pairs.groups["control"])
    if all(group is None for group in groups) and all(rule.most == 0 for rule in rules.values()):
        in_both = at.in_both()
        return [expected_exactly(counts, in_both, rules, cutoff) for cutoff in cutoffs]
    found = []
    for first, last in at.blocks():
        active = {v: tuple(at.activations(v, p, first, last) != 0 for p in PROMPTS) for v in SIDES}
        found.append([expected(active, rules, cutoff, *groups) for cutoff in cutoffs])
    return [NumKept(*map(sum, zip(*parts, strict=True))) for parts in zip(*found, strict=True)]


def _significant(
    exclusive: Exclusive,
    token_type: str,
    counts: Mapping[Side, tuple[Counts, Counts]],
    rules: Mapping[Side, Rule],
    alpha: float,
) -> NumKept:
    """Count the features that a model keeps with a q of at most alpha."""
    base, chat = (rules[side].keeps(*counts[side]) & (exclusive.tested[side, token_type].q <= alpha) for side in SIDES)
    return NumKept(int(base.sum()), int(chat.sum()), int((base | chat).sum()))


def count_by_question(
    tables: Mapping[Question, pd.DataFrame],
    changes: Changes,
    pairs: Pairs | None,
    origin: Origin,
    chance: pd.DataFrame,
    asked: Asked,
) -> pd.DataFrame:
    """
    Count what each question finds, by position and direction.

    Parameters
    ----------
    tables : mapping
        Question → the features that it keeps, with `direction`.
    changes, pairs, origin : Changes, Pairs or None, Origin
        Of the same source.
    chance : DataFrame
        From `chance_table`.
    asked : Asked
        Metric and alpha that the questions were asked with.

    Returns
    -------
    DataFrame with a row per (question, token_type, direction)
        `question`, `token_type`, `direction` ("all", "increase", "decrease", "none"), `found`, `expected` (by chance;
        only in the rows "all": of the published rule from `chance_table`, of `changed` and `specific` alpha × found;
        NaN for `any`), `n` and `groups` (prompts, or groups of them, target and control, as text), `test`.
    """
    rows = []
    for question, table in tables.items():
        for token_type in origin.token_types:
            here = table[(table["token_type"] == token_type).to_numpy()]
            found = {"all": len(here)} | {name: int((here["direction"] == name).sum()) for name in DIRECTIONS}
            by_chance = np.nan
            if question == "exclusive":
                by_chance = float(chance["either_expected"][token_type])
            elif question != "any":
                by_chance = asked.alpha * len(here)
            rows += [
                {
                    "question": question,
                    "token_type": token_type,
                    "direction": direction,
                    "found": number,
                    "expected": by_chance if direction == "all" else np.nan,
                    "n": _sizes(origin),
                    "groups": _groups(pairs),
                    "test": _tests(changes, question, token_type, asked),
                }
                for direction, number in found.items()
            ]
    return pd.DataFrame(rows)


def _sizes(origin: Origin) -> str:
    """Return numbers of prompts, such as "40 + 37"; base and chat apart where they differ."""
    parts = []
    for prompts in PROMPTS:
        sizes = dict.fromkeys(origin.num_prompts[side, prompts] for side in SIDES)
        parts.append("/".join(map(str, sizes)))
    return " + ".join(parts)


def _groups(pairs: Pairs | None) -> str:
    """Return numbers of groups, such as "8 + 8"; "–" where none are known."""
    if pairs is None or all(group is None for group in pairs.groups.values()):
        return "–"
    return " + ".join(str(pairs.num_groups(prompts) or pairs.num_prompts(prompts)) for prompts in PROMPTS)


def _tests(changes: Changes, question: Question, token_type: str, asked: Asked) -> str:
    """Return the tests that decide what a question keeps; "" where none does."""
    if question == "exclusive":
        return ""
    names = [effect_of(question, asked.metric)]
    if question == "any":
        names = [f"{quantity_of(asked.metric)}_{contrast}" for contrast in CONTRASTS]
    tests = (changes.effects[name, token_type].tested.test for name in names)
    return ", ".join(dict.fromkeys(filter(None, tests)))
