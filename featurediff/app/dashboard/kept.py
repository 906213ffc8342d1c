"""What a view's question keeps of the source that is open, and what is known of that: each computed once for all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import pandas as pd
import streamlit as st

from featurediff.app.dashboard.opened import KEYS, Opened
from featurediff.app.memory import give_back
from featurediff.app.refusals import Refusal, try_to
from featurediff.charts.finding import finding
from featurediff.charts.view import View
from featurediff.features.evidence_columns import count_evidence
from featurediff.features.questions import Question, quantity_of
from featurediff.features.table import count_answers
from featurediff.features.thresholds import Thresholds

if TYPE_CHECKING:
    from featurediff.sources.activations import Activations


def what_is_kept(view: View) -> str:
    """Identify the part of a view that the kept features and their evidence depend on."""
    return repr((view.thresholds, view.question, quantity_of(view.metric), view.alpha, view.family))


KEPT_KEYS = KEYS | {View: what_is_kept}
"""What caches of kept features go by."""


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEPT_KEYS)
def kept_features(opened: Opened, view: View) -> pd.DataFrame:
    """Return the feature table of all features that the question keeps."""
    return opened.study.table_of(view, with_changes=opened.tested)


def asked_alike(view: View) -> str:
    """Identify the part of a view that all questions’ counts depend on."""
    return what_is_kept(replace(view, question="exclusive"))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEYS | {View: asked_alike})
def count_questions(opened: Opened, view: View) -> dict[Question, int]:
    """Return how many features each question keeps; as long as the changes are not tested, only the published rule."""
    changes = opened.study.changes(view.family) if opened.tested else None
    return count_answers(opened.study.results, view.thresholds, changes, view.asked)


@dataclass(frozen=True)
class KeptCounts:
    """How many features a question keeps; a feature counts once per position."""

    of_type: dict[str, int]
    """By position."""

    of_class: dict[str, int]
    """By exclusivity."""

    of_consistency: dict[str, int]
    """Consistent and inconsistent ones."""

    significant: int
    """Those with a q of the question of at most alpha."""


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEPT_KEYS)
def count_kept(opened: Opened, view: View) -> KeptCounts:
    """Count what a view's question keeps; filters do not count."""
    kept = kept_features(opened, view)
    counts = count_evidence(kept, view.alpha, view.question, view.metric)
    of_type, of_class = (
        {str(name): int(number) for name, number in counts["kept"].groupby(level=level, observed=False).sum().items()}
        for level in ("token_type", "exclusivity")
    )
    inconsistent = int(kept["inconsistent"].sum())
    of_consistency = {"consistent": len(kept) - inconsistent, "inconsistent": inconsistent}
    return KeptCounts(of_type, of_class, of_consistency, int(counts["significant"].sum()))


def said_alike(view: View) -> str:
    """Identify the part of a view that a finding depends on."""
    return repr((what_is_kept(view), view.labels))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEYS | {View: said_alike})
def say_finding(opened: Opened, view: View) -> str:
    """Say in words what the view’s question finds; filters do not count."""
    study, kept = opened.study, kept_features(opened, view)
    exclusive = kept_features(opened, replace(view, question="exclusive"))
    changes = study.changes(view.family) if opened.tested else None
    return finding(view, kept, exclusive, chance(opened, view), changes)


def expected_alike(view: View) -> str:
    """Identify the part of a view that chance depends on."""
    return repr((view.thresholds, view.alpha))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEYS | {View: expected_alike})
def chance(opened: Opened, view: View) -> pd.DataFrame:
    """Return what the published rule keeps by chance."""
    return opened.study.by_chance(view.thresholds, view.alpha)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def list_prompts(opened: Opened, feature_id: int, token_type: str) -> pd.DataFrame | Refusal:
    """Return the prompts on which a feature is active; the source has activations."""
    study = opened.study
    return try_to(lambda: cast("Activations", study.activations).of_feature(feature_id, token_type, study.results))


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def find_notes(opened: Opened, thresholds: Thresholds) -> list[str]:
    """Return what is odd about the files, and about the rule with these thresholds."""
    notes = opened.study.notes(thresholds)
    give_back()  # they are the last that is computed of a source that is opened
    return notes


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEPT_KEYS)
def count_explained(opened: Opened, view: View) -> tuple[int, int]:
    """Return how many kept features have an explanation, out of how many."""
    explained = kept_features(opened, view).drop_duplicates("feature_id")["explanation"]
    return int(explained.notna().sum()), len(explained)
