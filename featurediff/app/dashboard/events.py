"""What the browser’s events do to the session: clicks, boxes, zoom, and links that are followed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import streamlit as st

from featurediff.app.clicks import numbers_of
from featurediff.app.dashboard.sorting import Sort, can_sort
from featurediff.app.session import CHART_LINK, SCATTER, session
from featurediff.app.url import DASHBOARD, enter, surplus, write_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurediff.app.dashboard.shown import Shown
    from featurediff.charts.view import View


def follow_link() -> None:
    """Take over picked feature and sort of the link, when a session begins and when it comes back from another page."""
    here, had_table = session(), session().has_table and not session().page  # another page has taken its place
    if not enter(DASHBOARD):
        return
    here.subset, here.box, here.chart, here.has_table, here.seek = (), None, None, had_table, True
    asked = st.query_params.get("feature", "")
    here.picked, here.sort, here.asked_sort = key_of(asked), None, st.query_params.get("sort", "")
    here.url_faults = surplus(DASHBOARD, many=("token_types", "exclusivity"))
    if asked and not here.picked:
        here.url_faults.append(f"feature={asked[:60]} is not written like 12@newline")


def key_of(text: str) -> tuple[str, int] | None:
    """Read the `feature` of a URL, such as `12@newline`."""
    feature_id, _, token_type = text.partition("@")
    return (token_type, int(feature_id)) if re.fullmatch(r"[0-9]{1,9}", feature_id) and token_type else None


def settle_sort(shown: Shown, view: View) -> None:
    """Sort the table as the link asks, and by evidence where it lacks the column; a link that asks for one is said."""
    here = session()
    asked, here.asked_sort = here.asked_sort, ""
    if asked:
        here.sort = Sort.read(asked)
    if not can_sort(here.sort, shown, view):
        here.sort = None
        here.url_faults += [f"sort={asked[:60]} is not a column of this table"] * bool(asked)


def write_picked() -> None:
    """Put the picked feature and the sort into the URL."""
    picked, sort = session().picked, session().sort
    write_url("feature", ["{1}@{0}".format(*picked)] if picked else [])
    write_url("sort", [sort.word] if sort else [])


def on_picked() -> None:
    """Pick the feature that was clicked in the chart."""
    picked = st.session_state[CHART_LINK].get("picked")
    if picked:
        pick(key_of("{feature_id}@{token_type}".format_map(picked)))


def on_table_drawn() -> None:
    """Scroll the table to the picked feature, now that the browser has drawn it."""
    session().has_table = True


def zoomed_to(axes: str) -> tuple[float, float, float, float] | None:
    """Return where a chart with such axes is zoomed to in the browser; None where it shows the whole range."""
    seen = (st.session_state.get(CHART_LINK) or {}).get("view") or {}
    return tuple(seen["at"]) if seen.get("axes") == axes and seen.get("at") else None


def on_view() -> None:
    """
    Draw a chart anew that began zoomed, when the whole range is wanted, and one with a density at every zoom.

    Any other zoom is in the browser alone.
    """
    chart = session().chart
    if chart and (chart.is_thinned or (chart.zoom and not zoomed_to(chart.axes))):
        st.rerun()


def on_table(order: list[tuple[str, int]]) -> None:
    """
    Sort by the column whose header was clicked, or pick the feature in whose row a cell was.

    A cell's number is that of its row when it was clicked; the data may have changed since. After a sort the table is
    a new one, so that the next click on the same header, or in the same row, is told of too.
    """
    here = session()
    chosen = st.session_state[here.table_key]["selection"]
    if chosen["columns"]:
        here.sort = Sort.by(chosen["columns"][0], here.sort)
        here.table += 1
        here.start = 0
    elif chosen["cells"]:
        here.picked = order[chosen["cells"][0][0]]


def pick(key: tuple[str, int] | None) -> None:
    """Show the details of a feature, and its row in the table; or none."""
    here = session()
    here.picked, here.seek = key, True


def on_box() -> None:
    """Keep the box or lasso, which a redraw would lose. Plotly catches only the points that it draws: a ranking’s."""
    here, selection = session(), st.session_state[SCATTER]["selection"]
    found = (
        (str(p["legendgroup"]), int(numbers_of(p["customdata"])[0])) for p in selection["points"] if "customdata" in p
    )
    here.subset, here.box = tuple(dict.fromkeys(found)), outline(selection)
    here.is_caught = bool(here.subset) or not here.box


def on_cleared() -> None:
    """Show all features again after a double click, which has removed the box from the chart already."""
    here = session()
    here.subset, here.box = (), None
    st.rerun()


def outline(selection: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a drawn box or lasso as Plotly draws it in a layout."""
    look = {"xref": "x", "yref": "y"}
    for box in selection.get("box") or ():
        (x0, x1), (y0, y1) = box["x"], box["y"]
        return look | {"type": "rect", "x0": x0, "x1": x1, "y0": y0, "y1": y1}
    for lasso in selection.get("lasso") or ():
        corners = "L".join(f"{x:.9g},{y:.9g}" for x, y in zip(lasso["x"], lasso["y"], strict=True))
        return look | {"type": "path", "path": f"M{corners}Z"}
    return None


def forget() -> None:
    """
    Forget what belongs to the source that was shown.

    A search and pasted ids go too: in another source they may leave nothing, or features that have nothing to do with
    these.
    """
    here, state = session(), st.session_state
    here.subset, here.box, here.picked, here.url_faults = (), None, None, []
    dropped = [words for name, words in (("search", "search"), ("ids", "list of ids")) if state.get(name)]
    if dropped:
        state["search"] = state["ids"] = ""
        here.dropped.append(f"Another source: the {' and the '.join(dropped)} of the one before no longer counts.")


def drop_box() -> None:
    """Show all features that another question keeps: it may keep none of those in the box."""
    here = session()
    if here.subset:
        here.dropped.append("Another question: the box no longer counts.")
        clear_box()


def say_dropped() -> None:
    """Say once which filters went with the source or the question before."""
    here = session()
    for said in here.dropped:
        st.toast(said, icon=":material/filter_alt_off:")
    here.dropped = []


def clear_box() -> None:
    """Show all features again, and draw the chart anew: a drawn box cannot be removed from here."""
    here = session()
    here.cleared += bool(here.subset)
    here.subset, here.box = (), None
