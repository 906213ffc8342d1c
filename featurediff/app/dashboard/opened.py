"""The source that is open: read once for all sessions of a server, and what is known of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import streamlit as st

from featurediff.app.apart import Started, in_turn, read_apart, run_apart, takes_long
from featurediff.app.refusals import Refusal, try_to
from featurediff.app.rerun_lock import let_others
from featurediff.app.uploads import MAX_EXPLANATIONS, check_size
from featurediff.charts.view import View
from featurediff.features.questions import Family
from featurediff.features.thresholds import Thresholds
from featurediff.labels import PROMPTS
from featurediff.loading import assemble, explain, load_changes, read
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.sources.result_files import parse_results
from featurediff.sources.sparse import sparse
from featurediff.sources.tree import Source
from featurediff.study import Study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurediff.features.evidence import Changes
    from featurediff.meaning.explanations import Explanations
    from featurediff.meaning.this_sae import ThisSae


@dataclass(frozen=True, eq=False)
class Opened:
    """The source that is open."""

    name: str
    """Name stored with stars: as in the URL, or for uploads the start of each file’s hash."""

    files: tuple[str, ...]
    """Identify its files; see `sources.state.identify`."""

    key: str
    """Identifies its files, its pages, the explanations preferred, and whether its changes are tested."""

    study: Study
    """What was read."""

    tested: bool
    """Whether its changes are tested: until then only the published rule can be asked."""


KEYS: dict[str | type[Any], Any] = {Opened: attrgetter("key"), View: repr, Thresholds: repr, tuple: repr}
"""
How caches hash each type of argument. Streamlit’s own hashing is slower, and only samples large frames. So cached
functions take no frame; they call `kept.kept_features`.
"""


@st.cache_resource(max_entries=4, show_spinner="Reading the results…")
def read_study(identity: tuple[str, ...], _source: Source) -> Study | Refusal:
    """Read a source; `identity` is that of its files, so that a replaced file is read again."""
    del identity
    return try_to(lambda: _read(_source))


def _read(source: Source) -> Study:
    study = read(source, source.explanations)
    study = replace(study, results=sparse(study.results))
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
    study = assemble(sparse(results), None, None)

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


def let_others_if_unread(study: Study) -> None:
    """Let other reruns go ahead where this one may have to wait until activations are read."""
    if study.activations and not study.activations.is_read:
        let_others()


def are_tested(tests: Started[Changes], patience: float | None) -> bool:
    """
    Wait until so many seconds after the start of tests, or until they are done, and return whether they are.

    Raises
    ------
    DataError
        If they were made in another process, and it could not.
    """
    if not tests.future.done():
        let_others()
    try:
        tests.future.result(None if patience is None else tests.left(patience))
    except TimeoutError:
        return False
    return True
