"""The sources that are compared: each read and tested once for all sessions of a server, counted and drawn together."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from featurediff.app.apart import Started, in_turn, run_apart, takes_long
from featurediff.app.dashboard.findings import PATIENCE
from featurediff.app.sources import written
from featurediff.app.theme import themed
from featurediff.compare.counts import counts
from featurediff.compare.evidence import Evidence, read_evidence
from featurediff.compare.figures import count_bars, layer_lines
from featurediff.compare.naming import layer_series, short_names
from featurediff.compare.reading import try_read
from featurediff.compare.summary import Fault, Summary
from featurediff.errors import DataError
from featurediff.features.questions import Asked, Family
from featurediff.features.thresholds import Thresholds
from featurediff.labels import PROMPTS, Labels
from featurediff.sources.state import in_one_state
from featurediff.sources.tree import Source
from featurediff.wording import plural

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False)
class Compared:
    """The sources that are compared."""

    key: str
    """Identifies their files, their thresholds, and which of them are tested."""

    sources: list[Summary]
    """Those that could be read, named as in the URL."""

    faults: list[Fault]
    """Why the others could not be read, or could not be tested."""

    waiting: tuple[Future[Evidence], ...]
    """Tests that are not done."""

    def short_names(self) -> dict[str, str]:
        """Return name → what charts and tables call it."""
        return dict(zip((source.name for source in self.sources), short_names(self.sources), strict=True))


KEYS: dict[str | type[Any], Any] = {Compared: attrgetter("key"), Thresholds: repr, Labels: repr, Asked: repr}
"""What caches go by, by the type of an argument; see `dashboard.opened.KEYS`."""


@st.cache_resource(max_entries=128, show_spinner="Reading the sources…", hash_funcs=KEYS)
def summarise(identity: tuple[str, ...], thresholds: Thresholds, _source: Source) -> Summary | Fault:
    """Read a source without its tests, or say what is wrong with it; `identity` is that of its files."""
    del identity
    return try_read(_source, thresholds, family=None)


@st.cache_resource(show_spinner=False)
def tester() -> ThreadPoolExecutor:
    """Return what tests one source after the other, for all sessions: each takes a core, and memory."""
    return ThreadPoolExecutor(1)


@st.cache_resource(max_entries=128, show_spinner=False)
def start_tests(identity: tuple[str, ...], family: Family, _source: Source, _summary: Summary) -> Started[Evidence]:
    """Start to test a source, beside the page or in another process; `identity` is that of its files."""
    if takes_long(_source, len(_summary.active), sum(_summary.num_prompts["base", name] for name in PROMPTS)):
        return Started.now(in_turn(partial(run_apart, read_evidence, identity, _source, family)))
    return Started.now(tester().submit(read_evidence, identity, _source, family))


def read_sources(sources: dict[str, Source], thresholds: Thresholds, family: Family) -> Compared:
    """Read sources, named as in the URL, with the tests of those that are done or soon will be."""
    good: list[Summary] = []
    faults: list[Fault] = []
    identities: list[tuple[str, ...]] = []
    started: list[Started[Evidence]] = []
    for name, listed in sources.items():
        try:
            source = written(listed)
            named = replace(source, name=name)
            identity, found = in_one_state(
                source,
                partial(summarise, thresholds=thresholds, _source=named),
                partial(summarise.clear, thresholds=thresholds, _source=named),
            )
        except DataError as error:
            found = Fault(name, str(error))
        if isinstance(found, Summary):
            good.append(found)
            identities.append(identity)
            started.append(start_tests(identity, family, _source=source, _summary=found))
        else:
            faults.append(found)
    tests = [test.future for test in started]
    wait(tests, max((test.left(PATIENCE) for test in started), default=0))
    done = [test.done() for test in tests]
    for i, (identity, test) in enumerate(zip(identities, tests, strict=True)):
        if not done[i]:
            continue
        try:
            good[i] = replace(good[i], evidence=test.result())
        except DataError as error:
            faults.append(Fault(good[i].name, str(error)))
            start_tests.clear(identity, family)
    names = [source.name for source in good]
    key = repr((thresholds, family, names, identities, [source.evidence is not None for source in good]))
    return Compared(key, good, faults, tuple(test for test, is_done in zip(tests, done, strict=True) if not is_done))


@st.fragment(run_every=1.0)
def show_waiting(compared: Compared) -> None:
    """Say how many sources are being tested, and show the whole page again when another one is done."""
    if any(test.done() for test in compared.waiting):
        st.rerun()
    number = len(compared.waiting)
    st.caption(
        f":material/hourglass_top: What changed is still being tested in {plural(number, 'source')}: “–” "
        "stands for what is not known yet."
    )


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEYS)
def count(compared: Compared, asked: Asked) -> pd.DataFrame:
    """Return the counts of all questions, with the metric and the largest q of this one."""
    return counts(compared.sources, asked.alpha, asked.metric)


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEYS)
def draw(compared: Compared, asked: Asked, labels: Labels) -> tuple[go.Figure, go.Figure | None]:
    """Return the bars of all sources, and the lines over layers where there are any."""
    tidy = count(compared, asked)
    here = tidy[tidy["question"] == asked.question].reset_index(drop=True)
    series = layer_series(here)
    bars = count_bars(here, compared.short_names(), labels, hint="<br>Click to open it.")
    return themed(bars), None if series.empty else themed(layer_lines(series, labels))
