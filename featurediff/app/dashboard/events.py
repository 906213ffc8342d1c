"""What the browser’s events do to the session: clicks, boxes, zoom, and links that are followed."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from featurediff.app.session import CHART_LINK, SCATTER, session
from featurediff.app.url import DASHBOARD, surplus, write_url


def follow_link() -> None:
    """Take over the picked feature of the link, when a session begins and when it comes back from another page."""
    here = session()
    if here.page == DASHBOARD:
        return
    here.page, here.subset, here.drawn = DASHBOARD, (), None
    asked = st.query_params.get("feature", "")
    here.picked = key_of(asked)
    here.url_faults = surplus(DASHBOARD, many=("token_types", "exclusivity"))
    if asked and not here.picked:
        here.url_faults.append(f"feature={asked[:60]} is not written like 12@newline")


def key_of(text: str) -> tuple[str, int] | None:
    """Read the `feature` of a URL, such as `12@newline`."""
    feature_id, _, token_type = text.partition("@")
    return (token_type, int(feature_id)) if re.fullmatch(r"[0-9]{1,9}", feature_id) and token_type else None


def write_picked() -> None:
    """Put the picked feature into the URL."""
    picked = session().picked
    write_url("feature", ["{1}@{0}".format(*picked)] if picked else [])


def on_picked() -> None:
    """Pick the feature that was clicked in the chart."""
    picked = st.session_state[CHART_LINK].get("picked")
    if picked:
        pick((str(picked["token_type"]), int(picked["feature_id"])))


def zoomed_to(axes: str) -> tuple[float, float, float, float] | None:
    """Return where a chart with such axes is zoomed to in the browser; None where it shows the whole range."""
    seen = (st.session_state.get(CHART_LINK) or {}).get("view") or {}
    return tuple(seen["at"]) if seen.get("axes") == axes and seen.get("at") else None


def on_view() -> None:
    """Draw a chart that began zoomed anew when the whole range is wanted; any other zoom is in the browser alone."""
    drawn = session().drawn
    if drawn and drawn.zoom and not zoomed_to(drawn.axes):
        st.rerun()


def on_row(order: list[tuple[str, int]]) -> None:
    """Pick the feature that stood in the row when it was clicked: a row's number changes with the data."""
    here = session()
    rows = st.session_state[here.table_key]["selection"]["rows"]
    here.picked = order[rows[0]] if rows else None


def pick(key: tuple[str, int] | None) -> None:
    """Show the details of a feature, or none; a row that is marked in the table loses its mark."""
    here = session()
    table = st.session_state.get(here.table_key)
    here.picked = key
    here.table += bool(table and table["selection"]["rows"])


def on_box() -> None:
    """Keep the features that a box or lasso caught: a redraw of the chart removes the box, but not what it caught."""
    points = st.session_state[SCATTER]["selection"]["points"]
    found = ((str(p["legendgroup"]), first_of(p["customdata"])) for p in points if "customdata" in p)
    session().subset = tuple(dict.fromkeys(found))


def first_of(customdata: Any) -> int:  # noqa: ANN401  a scalar, a list or a dict, depending on how it was sent
    """Return the feature id of a point, whichever way the browser sends it."""
    if isinstance(customdata, dict):
        customdata = customdata["0"]
    return int(customdata[0] if isinstance(customdata, list) else customdata)


def forget() -> None:
    """Forget what belongs to the source that was shown."""
    here = session()
    here.subset, here.picked, here.url_faults = (), None, []


def clear_box() -> None:
    """Show all features again, and draw the chart anew: a drawn box cannot be removed from here."""
    here = session()
    here.cleared += bool(here.subset)
    here.subset = ()
