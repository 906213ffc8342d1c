"""One feature in words: its statistics, counts and tests, as tables of text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.features.evidence import contrast_of
from featurediff.features.evidence_columns import changes_on_control, goes_against
from featurediff.features.exact_tests import wilson
from featurediff.features.questions import CONTRASTS, EFFECTS, Asked, effect_of, quantity_of
from featurediff.features.table import class_of
from featurediff.features.thresholds import Thresholds
from featurediff.labels import EXCLUSIVITIES, PROMPTS, SIDES, Labels, Side, test_in_words
from featurediff.wording import p_text, percent, quoted, rounded, signed, visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.features.evidence import Changes, Exclusive, Tested
    from featurediff.sources.results import Results


def statistics(results: Results, feature_id: int, labels: Labels) -> pd.DataFrame:
    """
    Return everything the files say of one feature, as text for people.

    Parameters
    ----------
    results : Results
        One source.
    feature_id : int
        The feature.
    labels : Labels
        What models and prompt sets are called.

    Returns
    -------
    DataFrame
        A row per vector, a column per token type and model; counts as "9/40", other values to four digits, NaN as "–".

    Raises
    ------
    DataError
        If the SAE has no such feature.
    """
    if not 0 <= feature_id < results.num_features:
        last = results.num_features - 1
        msg = f"There is no feature {quoted(feature_id)} in the SAE. Its features run from 0 to {last}."
        raise DataError(msg)
    columns = {}
    for token_type in results.token_types:
        for side in SIDES:
            model = results.of(side)
            vectors = model.vectors[token_type]
            columns[f"{visible(token_type)} · {_named(side, labels)}"] = [
                f"{vectors[name][feature_id]}/{model.metadata.num_prompts(prompts)}"
                if name == f"{prompts}_num_active"
                else rounded(float(vectors[name][feature_id]), 4)
                for name in results.vector_names
                for prompts in PROMPTS
                if name.startswith(prompts)
            ]
    names = [labels.statistic(name) for name in results.vector_names]
    return pd.DataFrame(columns, index=pd.Index(names, name="statistic"))


def counts_and_tests(
    results: Results, exclusive: Exclusive, token_type: str, feature_id: int, labels: Labels
) -> pd.DataFrame:
    """
    Return on how many prompts one feature is active at one position, as text for people.

    Parameters
    ----------
    results, exclusive : Results, Exclusive
        Of one source.
    token_type : str
        The position.
    feature_id : int
        The feature.
    labels : Labels
        What models and prompt sets are called.

    Returns
    -------
    DataFrame
        A row per model; the columns are the two prompt sets with counts and 95 % intervals, `p` and `q` of target over
        control, and how many features were tested together.
    """
    rows: dict[str, list[str]] = {}
    at = find(exclusive.features[token_type], feature_id)
    for side in SIDES:
        model = results.of(side)
        sizes = [model.metadata.num_prompts(prompts) for prompts in PROMPTS]
        counts = [int(model.vectors[token_type][f"{prompts}_num_active"][feature_id]) for prompts in PROMPTS]
        cells = [_count(count, n) for count, n in zip(counts, sizes, strict=True)]
        rows[_named(side, labels)] = [*cells, *_tested(exclusive.tested[side, token_type], at)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=[labels.target, labels.control, "p", "q", "tested"])


def effects_and_tests(changes: Changes, token_type: str, feature_id: int, labels: Labels) -> pd.DataFrame:
    """
    Return how one feature changed from base to chat at one position, as text for people.

    Parameters
    ----------
    changes : Changes
        Of one source.
    token_type : str
        The position.
    feature_id : int
        The feature.
    labels : Labels
        What the prompt sets are called.

    Returns
    -------
    DataFrame
        A row per effect: mean activation and activation frequency (in percentage points, pp), on target prompts and on
        those more than on control prompts; the columns are the effect, `q`, its 95 % interval, `p`, which test it was,
        and how many features were tested together.
    """
    at = find(changes.features[token_type], feature_id)
    rows: dict[str, list[str]] = {}
    for name in EFFECTS:
        effect = changes.effects[name, token_type]
        where = f"on {labels.target}" if contrast_of(name) == "change" else f"vs {labels.control}"
        value, low, high = (
            float(column[at]) if at is not None else np.nan for column in (effect.value, effect.low, effect.high)
        )
        quantity, factor, unit = ("Frequency", 100, "pp") if name.startswith("sparsity") else ("Mean", 1, "")
        p, q, family = _tested(effect.tested, at)
        interval = f"{signed(low, factor)} to {signed(high, factor)}" if np.isfinite(low) else "–"
        text = f"{signed(value, factor)} {unit}".strip()
        rows[f"{quantity} {where}"] = [text, q, interval, p, effect.tested.test or "not tested", family]
    columns = ["change", "q", "95 % interval", "p", "test", "tested"]  # those that matter most where room is short
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def answer(
    results: Results,
    exclusive: Exclusive,
    changes: Changes | None,
    picked: tuple[str, int],
    asked: Asked,
    labels: Labels,
    thresholds: Thresholds | None = None,
) -> list[str]:
    """
    Return the evidence for a question about one feature, a sentence each.

    Parameters
    ----------
    results, exclusive : Results, Exclusive
        Of one source.
    changes : Changes or None
        Base against chat; None where they are not tested yet.
    picked : tuple of (token_type, feature_id)
        The feature and its position.
    asked : Asked
        The question, and the metric that selects mean or frequency.
    labels : Labels
        What models and prompt sets are called.
    thresholds : Thresholds, optional
        What counts as exclusive.

    Returns
    -------
    list of str
        The effect with its interval, q, test and direction; for the questions `exclusive` and `any` also the counts of
        each model in which it is active, with the q of target over control. Then in which models it is exclusive, and
        what speaks against that: the other model's control prompts, and a change that does not go that way; for
        `specific`, a change that is larger on control prompts.
    """
    sentences = []
    if changes is not None:
        sentences.append(_say_effect(changes, picked, asked, labels))
    if asked.question in ("exclusive", "any"):
        sentences += [_say_counts(results, exclusive, side, picked, labels) for side in SIDES]
    sentences.append(_say_class(results, changes, picked, asked, labels, thresholds or Thresholds()))
    return [sentence for sentence in sentences if sentence]


def _say_effect(changes: Changes, picked: tuple[str, int], asked: Asked, labels: Labels) -> str:
    """Say how a feature changed."""
    token_type, feature_id = picked
    name = effect_of(asked.question, asked.metric)
    at = find(changes.features[token_type], feature_id)
    effect = changes.effects[name, token_type]
    what = labels.effect(name)
    if at is None or not effect.tested.test:
        return f"{what}: not tested."
    factor, unit = (100, " pp") if name.startswith("sparsity") else (1, "")
    value, low, high = (float(column[at]) for column in (effect.value, effect.low, effect.high))
    interval = f" ({signed(low, factor)} to {signed(high, factor)})" if np.isfinite(low) else ""
    if asked.question == "specific":
        way = f"{'up' if value > 0 else 'down'} relative to {labels.control}" if value else "alike"
    else:
        way = f"{'more' if value > 0 else 'less' if value < 0 else 'neither more nor less'} in {labels.chat}"
    return (
        f"{what}: {signed(value, factor)}{unit}{interval}, {way}; "
        f"q = {p_text(float(effect.tested.q[at]))} ({test_in_words(effect.tested.test)})."
    )


def _say_class(
    results: Results,
    changes: Changes | None,
    picked: tuple[str, int],
    asked: Asked,
    labels: Labels,
    thresholds: Thresholds,
) -> str:
    """Say in which models a feature is exclusive, and what its change says of that."""
    token_type, feature_id = picked
    exclusivity, inconsistent = class_of(results, token_type, feature_id, thresholds)
    said = [labels.explain(exclusivity)] + [labels.explain_inconsistent(exclusivity)] * inconsistent
    at = None if changes is None else find(changes.features[token_type], feature_id)
    if changes is not None and at is not None:
        quantity = quantity_of(asked.metric)
        names = [f"{quantity}_{contrast}" for contrast in CONTRASTS]
        table = pd.DataFrame({name: changes.effects[name, token_type].value[[at]] for name in names})
        table["exclusivity"] = pd.Categorical([exclusivity], categories=EXCLUSIVITIES)
        if goes_against(table, asked.metric)[0]:
            said.append(labels.explain_change(int(np.sign(table[f"{quantity}_change"][0]))))
        if asked.question == "specific" and changes_on_control(table, asked.metric)[0]:
            said.append(labels.explain_on_control())
    return " ".join(f"{sentence}." for sentence in said)


def _say_counts(results: Results, exclusive: Exclusive, side: Side, picked: tuple[str, int], labels: Labels) -> str:
    """Say on how many prompts a feature is active in a model, with the test of target over control; "" if on none."""
    token_type, feature_id = picked
    model, tested = results.of(side), exclusive.tested[side, token_type]
    counts = [
        f"{model.vectors[token_type][f'{prompts}_num_active'][feature_id]}/{model.metadata.num_prompts(prompts)} on "
        f"{labels.of(prompts)}"
        for prompts in PROMPTS
    ]
    at = find(exclusive.features[token_type], feature_id)
    if at is None or not np.isfinite(tested.q[at]):
        return ""
    q, test = p_text(float(tested.q[at])), test_in_words(tested.test)
    return f"{_named(side, labels)}: active on {' and '.join(counts)}; q = {q} ({test})."


def find(features: NDArray[np.int64], feature_id: int) -> int | None:
    """Return where a feature stands among those that are active; None where it is not."""
    at = int(np.searchsorted(features, feature_id))
    return at if at < len(features) and features[at] == feature_id else None


def _named(side: Side, labels: Labels) -> str:
    """Return a model's label; with its side where both models are called the same."""
    return labels.of(side) + (f" ({side})" if labels.base == labels.chat else "")


def _count(count: int, n: int) -> str:
    low, high = (percent(float(end)) for end in wilson(np.array(count), n))
    return f"{count}/{n} ({low}–{high} %)"


def _tested(tested: Tested, at: int | None) -> list[str]:
    """Return p, q and family of one feature as text; a dash where it is not of the family."""
    p, q = (np.nan, np.nan) if at is None else (float(tested.p[at]), float(tested.q[at]))
    return [p_text(p), p_text(q), f"{tested.family:,}"]
