"""What a source shows, in a sentence: the answer to the question that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurediff.features.evidence_columns import changes_more_on, goes_against, is_among
from featurediff.features.questions import effect_of
from featurediff.features.thresholds import Thresholds
from featurediff.wording import counted, number

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

    target_up: int
    """Features that changed more on target than on control prompts, and up."""

    target_down: int
    """Likewise down."""

    on_control: int
    """Features that changed more on control than on target prompts."""


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
    up, down = (is_among(table["direction"], (way,)) for way in ("increase", "decrease"))
    more = changes_more_on(table, metric)
    found = up, down, goes_against(table, metric), up & (more > 0), down & (more > 0), more < 0
    return Found(len(table), *(int(rows.sum()) for rows in found))


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
    features = counted(found.kept, "feature")
    if view.question == "any":
        kept = f"{features} {_verb(found.kept, 'answers', 'answer')} at least one question"
        return f"{kept}; nothing corrects for asking several. {_published(published, view, chance)}"
    tested = _num_tested(view, changes) if changes else 0
    where = f"on {words.target}" + f" more than on {words.control}" * (view.question == "specific")
    if not tested:
        nothing = f"What changed {where} cannot be tested: the files hold no means with standard deviations."
        return f"{nothing} {_published(published, view, chance)}"
    if not found.kept:
        nothing = f"No feature changed {where} (q ≤ {number(view.alpha)}; {tested:,} tested)."
        return f"{nothing} {_published(published, view, chance)}"
    if view.question == "specific" and found.kept > found.target_up + found.target_down:
        changed = f"{features} changed by different amounts on {words.target} and on {words.control}"
        return f"{changed} (q ≤ {number(view.alpha)}): {_by_place(found, view)}. {_published(published, view, chance)}"
    changed = f"{features} changed {where} (q ≤ {number(view.alpha)}), {found.up:,} up and {found.down:,} down."
    return f"{changed} {_published(published, view, chance)}"


def _by_place(found: Found, view: View) -> str:
    """Say on which prompts features changed more that changed by different amounts."""
    on_target, words = found.target_up + found.target_down, view.labels
    alike = found.kept - on_target - found.on_control
    parts = [
        f"{on_target:,} more on {words.target} ({found.target_up:,} up, {found.target_down:,} down)" * (on_target > 0),
        f"{found.on_control:,} more on {words.control}" * (found.on_control > 0),
        f"{alike:,} as much on both" * (alike > 0),
    ]
    return ", ".join(filter(None, parts))


def _published(found: Found, view: View, chance: pd.DataFrame, *, is_first: bool = False) -> str:
    """Say what the published rule keeps, and what chance would."""
    words = view.labels
    expected = _expected(float(chance["either_expected"].sum()), is_least=bool(chance["is_least"].any()))
    is_published = view.thresholds == Thresholds()
    number = counted(found.kept, "feature") if is_first else f"{found.kept:,}"
    said = f"{number} {_verb(found.kept, 'is', 'are')} {view.rule()}"
    if is_published:
        said = f"{number} {_verb(found.kept, 'is', 'are')} active on {words.target} only"
    elif not is_first:
        said = f"The rule with these thresholds keeps {found.kept:,}"
    return f"{said}; chance alone gives {expected}."


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
    does, its = ("does", "its") if found.against == 1 else ("do", "their")
    return f"{found.against:,} {does} not change as {its} class suggests."


def _verb(number: int, one: str, many: str) -> str:
    return one if number == 1 else many


def _num_tested(view: View, changes: Changes) -> int:
    """Return how many features are tested for a question, over all positions."""
    name = effect_of(view.question, view.metric)
    tests = (effect.tested for (found, _), effect in changes.effects.items() if found == name)
    return sum(int(np.isfinite(tested.p).sum()) for tested in tests)
