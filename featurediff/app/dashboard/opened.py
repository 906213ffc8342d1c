"""The source that is open: read once for all sessions of a server, and what is known of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import streamlit as st

from featurediff.app.apart import Started, in_turn, read_apart, run_apart, takes_long
from featurediff.app.refusals import Refusal, try_to
from featurediff.app.uploads import MAX_EXPLANATIONS, check_size
from featurediff.charts.finding import finding
from featurediff.charts.view import View
from featurediff.features.evidence_columns import count_evidence
from featurediff.features.questions import Family, Question, quantity_of
from featurediff.features.table import count_answers
from featurediff.features.thresholds import Thresholds
from featurediff.labels import PROMPTS
from featurediff.loading import assemble, explain, load_changes, read
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.sources.result_files import parse_results
from featurediff.sources.tree import Source
from featurediff.study import Study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurediff.features.evidence import Changes
    from featurediff.meaning.explanations import Explanations
    from featurediff.meaning.this_sae import ThisSae
    from featurediff.sources.activations import Activations


@dataclass(frozen=True, eq=False)
class Opened:
    """The source that is open."""

    name: str
    """Name stored with stars: as in the URL, or for uploads the start of each file’s hash."""

    files: tuple[str, ...]
    """Identify its files; see `sources.tree.identify`."""

    key: str
    """Identifies its files, its pages, the explanations preferred, and whether its changes are tested."""

    study: Study
    """What was read."""

    tested: bool
    """Whether its changes are tested: until then only the published rule can be asked."""


KEYS: dict[str | type[Any], Any] = {Opened: attrgetter("key"), View: repr, Thresholds: repr, tuple: repr}
"""
How caches hash each type of argument. Streamlit’s own hashing is slower, and only samples large frames. So cached
functions take no frame; they call `keep`.
"""


@st.cache_resource(max_entries=4, show_spinner="Reading the results…")
def read_study(identity: tuple[str, ...], _source: Source) -> Study | Refusal:
    """Read a source; `identity` is that of its files, so that a replaced file is read again."""
    del identity
    return try_to(lambda: _read(_source))


def _read(source: Source) -> Study:
    study = read(source, source.explanations)
    if study.activations is None:
        return study
    return replace(study, activations=replace(study.activations, reader=read_apart))


@st.cache_resource(max_entries=2, ttl="2h", show_spinner="Reading the uploaded files…")
def parse_study(ids: tuple[str, ...], _files: Sequence[Any]) -> Study | Refusal:
    """Check uploaded files; `ids` are the uploads’ own."""
    del ids
    return try_to(lambda: _parse(*_files))


def _parse(base: Any, chat: Any, texts: Any) -> Study:  # noqa: ANN401  Streamlit's UploadedFile, or None
    results = parse_results(base.getvalue(), chat.getvalue(), base.name, chat.name)
    study = assemble(results, None, None)

    def read_texts(sae: ThisSae) -> Explanations:
        check_size(texts, MAX_EXPLANATIONS)
        return parse_explanations(texts.getvalue(), texts.name, sae.num_features, sae)

    return explain(study, read_texts) if texts else study


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


def what_is_kept(view: View) -> str:
    """Identify the part of a view that the kept features and their evidence depend on."""
    return repr((view.thresholds, view.question, quantity_of(view.metric), view.alpha, view.family))


KEEPING = KEYS | {View: what_is_kept}
"""What caches of kept features go by."""


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEEPING)
def keep(opened: Opened, view: View) -> pd.DataFrame:
    """Return the feature table of all features that the question keeps."""
    return opened.study.table_of(view, with_changes=opened.tested)


@st.cache_resource(max_entries=8, show_spinner=False)
def start_tests(files: tuple[str, ...], family: Family, _study: Study) -> Started[Changes]:
    """Start to test what changed, beside the page or in another process; `files` identify the study."""
    features = sum(len(ids) for ids in _study.exclusive.features.values())
    prompts = sum(_study.results.base.metadata.num_prompts(name) for name in PROMPTS)
    if takes_long(_study.source, features, prompts):
        return Started.now(in_turn(partial(run_apart, load_changes, files, _study.source, family)))
    pool = ThreadPoolExecutor(1)
    started = pool.submit(_study.changes, family)
    pool.shutdown(wait=False)
    return Started.now(started)


def are_tested(tests: Started[Changes], patience: float | None) -> bool:
    """
    Wait until so many seconds after the start of tests, or until they are done, and return whether they are.

    Raises
    ------
    DataError
        If they were made in another process, and it could not.
    """
    try:
        tests.future.result(None if patience is None else tests.left(patience))
    except TimeoutError:
        return False
    return True


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


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEEPING)
def count_kept(opened: Opened, view: View) -> KeptCounts:
    """Count what a view's question keeps; filters do not count."""
    kept = keep(opened, view)
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
def find(opened: Opened, view: View) -> str:
    """Say in words what the view’s question finds; filters do not count."""
    study, kept = opened.study, keep(opened, view)
    exclusive = keep(opened, replace(view, question="exclusive"))
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
    return opened.study.notes(thresholds)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEEPING)
def count_explained(opened: Opened, view: View) -> tuple[int, int]:
    """Return how many kept features have an explanation, out of how many."""
    explained = keep(opened, view).drop_duplicates("feature_id")["explanation"]
    return int(explained.notna().sum()), len(explained)
