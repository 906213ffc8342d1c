"""The sources that are compared: each read once for all sessions of a server, and counted and drawn together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from featurediff.app.sources import written
from featurediff.compare.counts import counts, layer_series, short_names
from featurediff.compare.figures import count_bars, layer_lines
from featurediff.compare.summary import Fault, Summary, try_read
from featurediff.errors import DataError
from featurediff.features.table import Thresholds
from featurediff.labels import Labels
from featurediff.sources.tree import Source, in_one_state

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False)
class Compared:
    """The sources that are compared."""

    key: str
    """Identifies their files and thresholds."""

    sources: list[Summary]
    """Those that could be read, named as in the URL."""

    faults: list[Fault]
    """Why the others could not."""

    def short_names(self) -> dict[str, str]:
        """Return name → what charts and tables call it."""
        return dict(zip((source.name for source in self.sources), short_names(self.sources), strict=True))


KEYS: dict[str | type[Any], Any] = {Compared: attrgetter("key"), Thresholds: repr, Labels: repr}
"""What caches go by, by the type of an argument; see `dashboard.opened.KEYS`."""


@st.cache_resource(max_entries=128, show_spinner="Reading the sources…", hash_funcs=KEYS)
def summarise(identity: tuple[str, ...], thresholds: Thresholds, _source: Source) -> Summary | Fault:
    """Read a source, or say what is wrong with it; `identity` is that of its files."""
    del identity
    return try_read(_source, thresholds)


def read_sources(sources: dict[str, Source], thresholds: Thresholds) -> Compared:
    """Read sources, named as in the URL."""
    good: list[Summary] = []
    faults: list[Fault] = []
    identities: list[object] = []
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
            identities.append((name, identity))
        else:
            faults.append(found)
    return Compared(repr((thresholds, identities)), good, faults)


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEYS)
def count(compared: Compared, max_q: float) -> pd.DataFrame:
    """Return the counts of the sources, a row for each position and exclusivity."""
    return counts(compared.sources, max_q)


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEYS)
def draw(compared: Compared, max_q: float, labels: Labels) -> tuple[go.Figure, go.Figure | None]:
    """Return the bars of all sources, and the lines over layers where there are any."""
    tidy = count(compared, max_q)
    series = layer_series(tidy)
    bars = count_bars(tidy, compared.short_names(), labels)
    return bars, None if series.empty else layer_lines(series, labels)
