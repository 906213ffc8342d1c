"""One feature in words: its statistics, counts and tests, as tables of text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.features.evidence import Tested
from featurediff.features.exact_tests import wilson
from featurediff.labels import PROMPTS, SIDES, Labels, Side
from featurediff.wording import quoted

if TYPE_CHECKING:
    from featurediff.features.evidence import Evidence
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
        A row per vector, a column per token type and model; counts as "9/40", other values to four digits.

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
            columns[f"{token_type} · {_named(side, labels)}"] = [
                f"{vectors[name][feature_id]}/{model.metadata.num_prompts(prompts)}"
                if name == f"{prompts}_num_active"
                else f"{vectors[name][feature_id]:.4g}"
                for name in results.vector_names
                for prompts in PROMPTS
                if name.startswith(prompts)
            ]
    names = [labels.statistic(name) for name in results.vector_names]
    return pd.DataFrame(columns, index=pd.Index(names, name="statistic"))


def counts_and_tests(
    results: Results, evidence: Evidence, token_type: str, feature_id: int, labels: Labels
) -> pd.DataFrame:
    """
    Return what the prompts say of one feature at one position, as text for people.

    Parameters
    ----------
    results, evidence : Results, Evidence
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
        A row per model (target over control) and one for the change of the target frequency; the columns are the
        two prompt sets with counts and 95 % intervals, `p`, `q`, and how many features were tested together.
    """
    rows: dict[str, list[str]] = {}
    shares: list[float] = []
    target: list[int] = []
    for side in SIDES:
        model = results.of(side)
        sizes = [model.metadata.num_prompts(prompts) for prompts in PROMPTS]
        counts = [int(model.vectors[token_type][f"{prompts}_num_active"][feature_id]) for prompts in PROMPTS]
        cells = [_count(count, n) for count, n in zip(counts, sizes, strict=True)]
        rows[_named(side, labels)] = [*cells, *_tested(evidence.exclusive[side, token_type], *counts)]
        target.append(counts[0])
        shares.append(counts[0] / sizes[0])
    if evidence.discordant:
        target = [int(alone[feature_id]) for alone in evidence.discordant[token_type]]
    change = f"{100 * (shares[1] - shares[0]):+.3g} percentage points".replace("-", "−")
    rows[f"{labels.chat} − {labels.base}"] = [change, "", *_tested(evidence.change[token_type], *target)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=[labels.target, labels.control, "p", "q", "tested"])


def _named(side: Side, labels: Labels) -> str:
    """Return a model's label; with its side where both models are called the same."""
    return labels.of(side) + (f" ({side})" if labels.base == labels.chat else "")


def _count(count: int, n: int) -> str:
    low, high = (100 * float(end) for end in wilson(np.array(count), n))
    return f"{count}/{n} ({low:.0f}–{high:.0f} %)"


def _tested(tested: Tested, first: int, second: int) -> list[str]:
    """Return p, q and family of one feature as text; a dash where it is not of the family."""
    p, q = (float(found[0]) for found in tested.at(np.array([first]), np.array([second])))
    numbers = ["–", "–"] if np.isnan(p) else [f"{p:.2g}", f"{q:.2g}"]
    return [*numbers, f"{tested.family:,}"]
