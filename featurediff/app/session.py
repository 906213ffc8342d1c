"""What a session holds beside the values of its widgets: the table of all of it, with the defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

if TYPE_CHECKING:
    from featurediff.app.dashboard.figure import ChartState
    from featurediff.app.dashboard.groups import FeatureGroups
    from featurediff.app.dashboard.room import Room
    from featurediff.app.dashboard.sorting import Sort
    from featurediff.features.questions import Asked

# Keys of widgets that are read elsewhere than where they are drawn. A widget with `bind="query-params"` has its key in
# the URL too.
SCATTER = "scatter"
"""The chart: its value is the box or lasso."""

CHART_LINK = "chart_link"
"""The script beside the chart: tells of clicks and zoom."""

BROWSER = "browser"
"""The script that tells how much room the page has, and keeps stars."""

GROUPS_FILE = "groups_file"
"""The file of groups of features."""

STARS_FILE = "stars_file"
"""The file of stars that is brought back."""

STARRED = "starred"
"""Whether only starred features are wanted."""

LABELLED = "labelled"
"""Which points of the chart carry a label."""

OPEN_ON_CLICK = "open"
"""Whether a click on a point opens its page."""

SOURCE = "source"
"""The source that is chosen."""

TEMPLATE = "neuronpedia_template"
"""The page of a feature that the reader wants; never in the URL, because a link must not lead to another site."""

EXPLANATION_TYPE = "explanation_type"
"""The type of explanation that is preferred."""

OVERLAP = "overlap"
"""The comparison's heat map: its value is the cell that was clicked."""

OPEN_SOURCE, OPEN_FEATURE = "open_source", "open_feature"
"""The buttons in a row of the comparison's counts, and of its shared features."""

BARS = "bars"
"""The comparison's bars: its value is the bar that was clicked."""


@dataclass
class Session:
    """Both pages' memory; the choices in the sidebar are in the widgets and in the URL."""

    page: str = ""
    """Whose link was read last: a page reads its link when it is not this one."""

    url_faults: list[str] = field(default_factory=list)
    """What of the link is not used, and why."""

    left: dict[str, dict[str, str | list[str]]] = field(default_factory=dict)
    """A page’s file → the query with which it is shown when the reader comes back; see `url.come_back`."""

    opened: str = ""
    """Name of the source that is shown, as stars have it."""

    picked: tuple[str, int] | None = None
    """(token_type, feature_id) of the feature whose details are shown; it is in the URL too."""

    subset: tuple[tuple[str, int], ...] = ()
    """(token_type, feature_id) of what a box or lasso caught; empty where there is none."""

    box: dict[str, Any] | None = None
    """The box or lasso as the chart draws it; None where there is none, or where the axes have changed since."""

    is_caught: bool = True
    """Whether `subset` is what the box holds; otherwise the page still has to see which features are inside."""

    cleared: int = 0
    """How many boxes were cleared: another number makes the browser draw a chart without the box."""

    chart: ChartState | None = None
    """What the chart on the screen was drawn for."""

    table: int = 0
    """Part of the table's key: another number makes a table without a marked cell."""

    has_table: bool = False
    """Whether the browser has drawn the table, so that it can be scrolled."""

    start: int = 0
    """How many rows of the whole table stand before those that are sent."""

    seek: bool = True
    """Whether the table shall be scrolled to the picked feature: not after a click in it, nor after a sort."""

    sort: Sort | None = None
    """What the table is sorted by; None for the order of evidence. It is in the URL too."""

    asked_sort: str = ""
    """What the link says that the table is sorted by, until it is known whether the table has that column."""

    room: Room | None = None
    """How much room the page has; None until the browser has said so."""

    stars: dict[tuple[str, int], str] = field(default_factory=dict)
    """(source, feature_id) → note, of all sources; the browser keeps them too."""

    groups: FeatureGroups = ()
    """Groups of features that are outlined."""

    groups_error: str = ""
    """Why the last file of groups could not be read."""

    dropped: list[str] = field(default_factory=list)
    """What went with the source or the question before, a sentence each, to be said once."""

    gone: set[tuple[str, int]] = field(default_factory=set)
    """Stars that were removed, so that the browser forgets them."""

    stars_error: str = ""
    """Why the last file of stars could not be read: its words alone, as an error keeps alive what was read."""

    notes: int = 0
    """Part of the keys of the notes' boxes: another number makes a box that shows the note anew."""

    failures: dict[str, str] = field(default_factory=dict)
    """Kind of file → why its download failed; said at the next rerun."""

    listed: list[tuple[str, str]] = field(default_factory=list)
    """(source, token_type) of each row of the comparison's counts, as they stand on the screen."""

    shared: list[tuple[str, str, int]] = field(default_factory=list)
    """(source, token_type, feature_id) of each row of the comparison's shared features, likewise."""

    shared_by: Asked | None = None
    """The question that keeps these features."""

    @property
    def table_key(self) -> str:
        """Key of the table beside the chart."""
        return f"table_{self.table}"


def session() -> Session:
    """Return what this session holds."""
    return cast("Session", st.session_state.setdefault("session", Session()))
