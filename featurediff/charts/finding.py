"""What a source shows, in a sentence: the answer to the question that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurediff.features.evidence_columns import changes_on_control, goes_against, is_among
from featurediff.features.questions import effect_of
from featurediff.features.table import Thresholds

if TYPE_CHECKING:
    import pandas as pd

    from featurediff.charts.view import View
    from featurediff.features.evidence import Changes


class Found(NamedTuple):
    """Numbers of a finding; a feature counts once per position."""

    kept: int
    """Features that the question keeps."""

    up: int
    """Those that chat uses more than base does."""

    down: int
    """Those that it uses less."""

    against: int
    """Features exclusive in one model that this model does not use more than the other."""

    on_control: int
    """Features that changed more on control than on target prompts, whatever the question."""


def count_found(table: pd.DataFrame, metric: str) -> Found:
    """
    Count what a finding says.

    Parameters
    ----------
    table : DataFrame
        What a question keeps, from `Study.table`.
    metric : str
        The metric shown: it selects mean or frequency.
    """
    up, down = (int(is_among(table["direction"], (way,)).sum()) for way in ("increase", "decrease"))
    against, on_control = (int(found(table, metric).sum()) for found in (goes_against, changes_on_control))
    return Found(len(table), up, down, against, on_control)


def finding(
    view: View, table: pd.DataFrame, exclusive: pd.DataFrame, chance: pd.DataFrame, changes: Changes | None
) -> str:
    """
    Say what was found.

    Parameters
    ----------
    view : View
        Question, metric, alpha and labels; filters do not count.
    table : DataFrame
        What the question keeps.
    exclusive : DataFrame
        What the published rule keeps.
    chance : DataFrame
        What the published rule keeps by chance, from `features.counts.chance_table`.
    changes : Changes or None
        The tests; None until they are computed; only the question `exclusive` does without.

    Returns
    -------
    str
        One to three sentences; a feature counts once per position.
    """
    found, words = count_found(table, view.metric), view.labels
    published = count_found(exclusive, view.metric)
    if view.question == "exclusive":
        return f"{_published(published, view, chance, is_first=True)} {_going_against(published)}".strip()
    if view.question == "any":
        kept = f"{plural_of(found.kept)} {_verb(found.kept, 'answers', 'answer')} at least one question"
        return f"{kept}; nothing corrects for asking several. {_published(published, view, chance)}"
    tested = _num_tested(view, changes) if changes else 0
    where = f"on {words.target}" + f" more than on {words.control}" * (view.question == "specific")
    if not tested:
        nothing = f"What changed {where} cannot be tested: the files hold no means with standard deviations."
        return f"{nothing} {_published(published, view, chance)}"
    if not found.kept:
        nothing = f"No feature changed {where} (q ≤ {view.alpha:g}; {tested:,} tested)."
        return f"{nothing} {_published(published, view, chance)}"
    ways = f"{found.up:,} up and {found.down:,} down"
    if view.question == "specific":
        ways += f" relative to {words.control}"
        ways += f"; {found.on_control:,} of them changed more on {words.control} itself" * (found.on_control > 0)
    changed = f"{plural_of(found.kept)} changed {where} (q ≤ {view.alpha:g}), {ways}."
    return f"{changed} {_published(published, view, chance)}"


def plural_of(number: int) -> str:
    """Write a number of features, with commas."""
    return f"{number:,} feature{'s' * (number != 1)}"


def _published(found: Found, view: View, chance: pd.DataFrame, *, is_first: bool = False) -> str:
    """Say what the published rule keeps, and what chance would."""
    words = view.labels
    expected = _expected(float(chance["either_expected"].sum()), is_least=bool(chance["is_least"].any()))
    is_published = view.thresholds == Thresholds()
    if is_first and is_published:
        said = f"{plural_of(found.kept)} {_verb(found.kept, 'is', 'are')} active on {words.target} only"
    elif is_first:
        said = f"{plural_of(found.kept)} {_verb(found.kept, 'is', 'are')} {view.rule()}"
    else:
        said = f"The {'published rule' if is_published else 'rule with these thresholds'} keeps {found.kept:,}"
    return f"{said}; {expected} would be expected if {words.target} and {words.control} did not differ."


def _expected(number: float, *, is_least: bool) -> str:
    """Write how many features chance would keep."""
    written = f"{number:,.0f}" if number >= 1 else f"{number:.1f}"
    if written == "0.0":
        return "at least 0" if is_least else "hardly any"
    return f"{'at least' if is_least else 'about'} {written}"


def _going_against(found: Found) -> str:
    """Say how many features are exclusive in a model that does not use them more."""
    if not found.against:
        return ""
    return f"{found.against:,} of those exclusive in one model {_verb(found.against, 'is', 'are')} not used more by it."


def _verb(number: int, one: str, many: str) -> str:
    return one if number == 1 else many


def _num_tested(view: View, changes: Changes) -> int:
    """Return how many features are tested for a question, over all positions."""
    name = effect_of(view.question, view.metric)
    tests = (effect.tested for (found, _), effect in changes.effects.items() if found == name)
    return sum(int(np.isfinite(tested.p).sum()) for tested in tests)
