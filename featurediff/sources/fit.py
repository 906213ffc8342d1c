"""What the metadata say of how well the SAE reads a model, checked number by number."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from featurediff.labels import PROMPTS, Prompts
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SLACK = 1e-6
"""By how much rounding may carry a number past its limits."""

FIT = {
    "variance_explained": (-math.inf, 1),
    "relative_error": (0, math.inf),
    "cosine": (-1, 1),
    "norm": (0, math.inf),
    "l0": (0, math.inf),
}
"""The numbers of a fit, and between what they lie."""

DIFFERENCE = {"norm": (0, math.inf), "share": (-math.inf, math.inf)}
"""The numbers of a difference, likewise."""

Numbers = dict[str, float]
"""By name; NaN where the file says None."""


@dataclass(frozen=True)
class Fit:
    """What a file says of how well the SAE reads its model."""

    fit: Mapping[tuple[str, Prompts], Numbers] = field(default_factory=dict)
    """Token type and prompt set → the numbers of `FIT`; empty where the file does not say."""

    difference: Mapping[tuple[str, Prompts], Numbers] = field(default_factory=dict)
    """
    Token type and prompt set → the numbers of `DIFFERENCE`: ‖δ‖, the distance of the models' mean residuals, and how
    much of it the features account for.
    """

    tokens: Mapping[tuple[str, Prompts], Numbers] = field(default_factory=dict)
    """Token type and prompt set → the `mean` number of tokens per prompt, where a token type is several tokens."""

    own_responses: bool = False
    """Whether each model read a response of its own."""

    faults: tuple[str, ...] = ()
    """What is wrong with what was left out, a sentence each."""


def parse_fit(fields: Mapping[Any, Any], token_types: Sequence[str], name: str) -> Fit:
    """
    Read `fit` and `difference` of a file's metadata; one that breaks the format is left out.

    Parameters
    ----------
    fields : mapping
        The metadata.
    token_types : sequence of str
        Positions of the file.
    name : str
        What the file is called in messages.
    """
    read: dict[str, dict[tuple[str, Prompts], Numbers]] = {}
    faults = []
    for key, limits in (("fit", FIT), ("difference", DIFFERENCE), ("pool_tokens", {"mean": (0, math.inf)})):
        found = {} if fields.get(key) is None else _read(fields[key], key, token_types, limits)
        if isinstance(found, str):
            faults.append(f"`{name}`: {found} Left out.")
        read[key] = {} if isinstance(found, str) else found
    responses = fields.get("responses")
    own = isinstance(responses, dict) and responses.get("by") == "each"
    return Fit(read["fit"], read["difference"], read["pool_tokens"], own, tuple(faults))


def _read(
    value: object, where: str, token_types: Sequence[str], limits: Mapping[str, tuple[float, float]]
) -> dict[tuple[str, Prompts], Numbers] | str:
    """Return the numbers of each token type and prompt set, or what is wrong."""
    found: dict[tuple[str, Prompts], Numbers] = {}
    for token_type, of_type in _items(value, token_types):
        for prompts, of_set in _items(of_type, PROMPTS):
            numbers = {key: _number(of_set.get(key), *ends) for key, ends in limits.items()} if of_set else {}
            bad = next((key for key, number in numbers.items() if number is None), None)
            if bad:
                at = f"{where}[{quoted(token_type)}][{quoted(prompts)}][{quoted(bad)}]"
                low, high = limits[bad]
                return f"{at} in the metadata is {quoted(of_set[bad])}, but expected a number from {low} to {high}."
            if numbers:
                found[token_type, prompts] = {key: number for key, number in numbers.items() if number is not None}
    if not found:
        return f"`{where}` in the metadata is {quoted(value)}, but expected numbers by token type and prompt set."
    return found


def _items(value: object, keys: Sequence[Any]) -> list[tuple[Any, dict[Any, Any]]]:
    """Return the dicts under known keys of a dict; nothing for anything else."""
    if not isinstance(value, dict):
        return []
    return [(key, value[key]) for key in keys if isinstance(value.get(key), dict)]


def _number(value: object, low: float, high: float) -> float | None:
    """Return a number within its limits, NaN for None, and None for anything else."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        return None
    return float(value) if low - _SLACK <= value <= high + _SLACK else None
