"""The source that is open: read once for all sessions of a server, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import streamlit as st

from featurediff.charts.view import View
from featurediff.features.table import Thresholds
from featurediff.meaning.explanations import Explanations, parse_explanations
from featurediff.sources.results import parse_results
from featurediff.sources.tree import Source
from featurediff.study import Study, assemble, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurediff.sources.activations import Activations


@dataclass(frozen=True, eq=False)
class Opened:
    """The source that is open."""

    name: str
    """Beside stars: as in the URL; of uploads the beginnings of their hashes."""

    files: tuple[str, ...]
    """Identify its files; see `sources.tree.identify`."""

    key: str
    """Identifies its files, its pages and the explanations preferred."""

    study: Study
    """What was read."""


KEYS: dict[str | type[Any], Any] = {Opened: attrgetter("key"), View: repr, Thresholds: repr, tuple: repr}
"""
What caches go by, by the type of an argument. Streamlit would take each apart, which takes longer, and would look at no
more than a sample of a large frame: a function with a cache takes no frame, it asks `keep` for it.
"""


@st.cache_resource(max_entries=4, show_spinner="Reading the results…")
def read_study(identity: tuple[str, ...], _source: Source) -> Study:
    """Read a source; `identity` is that of its files, so that a replaced file is read again."""
    del identity
    return read(_source, _source.explanations)


@st.cache_resource(max_entries=2, ttl="2h", show_spinner="Reading the uploaded files…")
def parse_study(ids: tuple[str, ...], _files: Sequence[Any]) -> Study:
    """Check uploaded files; `ids` are the uploads’ own."""
    del ids
    base, chat, texts = _files
    results = parse_results(base.getvalue(), chat.getvalue(), base.name, chat.name)
    explanations: Explanations | None = None
    if texts:
        explanations = parse_explanations(texts.getvalue(), texts.name, results.num_features)
    return assemble(results, None, explanations)


@st.cache_resource(max_entries=8, show_spinner=False)
def refer(files: tuple[str, ...], template: str, preferred: str | None, _study: Study) -> Study:
    """
    Return a study with another page and another preferred type of explanation; `files` identify it.

    Raises
    ------
    DataError
        If the template is not a valid URL.
    """
    del files
    return _study.referring(template or None, preferred)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def keep(opened: Opened, thresholds: Thresholds) -> pd.DataFrame:
    """Return the feature table of all kept features."""
    return opened.study.table(thresholds)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def list_prompts(opened: Opened, feature_id: int, token_type: str) -> pd.DataFrame:
    """Return the prompts on which a feature is active; the source has activations."""
    study = opened.study
    return cast("Activations", study.activations).of_feature(feature_id, token_type, study.results)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def find_notes(opened: Opened) -> list[str]:
    """Return what is odd about the files."""
    return opened.study.notes()


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def count_explained(opened: Opened, thresholds: Thresholds) -> tuple[int, int]:
    """Return how many kept features have an explanation, out of how many."""
    explained = keep(opened, thresholds).drop_duplicates("feature_id")["explanation"]
    return int(explained.notna().sum()), len(explained)
