"""What a session holds beside its widgets: picked feature, box and stars; and what the browser's events do to them."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from featurediff.app.dashboard.stars import Key, parse_stars
from featurediff.app.url import MOST_LABEL, beside_the_point
from featurediff.errors import DataError
from featurediff.labels import PROMPTS, SIDES

state = st.session_state
LENGTHS = {f"{name}_label": MOST_LABEL for name in (*SIDES, *PROMPTS)}


def begin() -> None:
    """Give a new session what it holds; the picked feature is that of the link."""
    defaults = {"subset": (), "round": 0, "cleared": 0, "stars": {}, "stars_error": None, "imports": 0}
    for name, value in defaults.items():
        state.setdefault(name, value)
    if "picked" not in state:
        asked = st.query_params.get("feature", "")
        state["picked"] = key_of(asked)
        is_garbage = bool(asked) and not state["picked"]
        state["url_faults"] = beside_the_point(("token_types", "exclusivity"), LENGTHS)
        state["url_faults"] += [f"feature={asked[:60]} is not written like 12@newline"] * is_garbage


def key_of(text: str) -> tuple[str, int] | None:
    """Read the `feature` of a URL, such as `12@newline`."""
    feature_id, _, token_type = text.partition("@")
    return (token_type, int(feature_id)) if re.fullmatch(r"[0-9]{1,9}", feature_id) and token_type else None


def on_picked() -> None:
    """Pick the feature that was clicked in the chart."""
    picked = state["chart_link"].get("picked")
    if picked:
        pick((str(picked["token_type"]), int(picked["feature_id"])))


def zoomed_to(axes: str) -> tuple[float, float, float, float] | None:
    """Return where a chart with such axes is zoomed to in the browser; None where it shows the whole range."""
    seen = (state.get("chart_link") or {}).get("view") or {}
    return tuple(seen["at"]) if seen.get("axes") == axes and seen.get("at") else None


def on_view() -> None:
    """Draw a chart that began zoomed anew, once the whole range is wanted; otherwise the browser has it all."""
    drawn = state.get("drawn")
    if drawn and drawn.zoom and not zoomed_to(drawn.axes):
        st.rerun()


def on_row(order: list[tuple[str, int]]) -> None:
    """Pick the feature that stood in the row when it was clicked: a row's number changes with the data."""
    rows = state[f"table_{state['round']}"]["selection"]["rows"]
    state["picked"] = order[rows[0]] if rows else None


def pick(key: tuple[str, int] | None) -> None:
    """Make a feature the one whose details are shown; a new table forgets the row that was marked."""
    table = state.get(f"table_{state['round']}")
    state["picked"] = key
    state["round"] += bool(table and table["selection"]["rows"])


def on_box() -> None:
    """Keep the features that a box or lasso caught; they survive a redraw of the chart, the drawn box does not."""
    points = state["scatter"]["selection"]["points"]
    found = ((str(p["legendgroup"]), first_of(p["customdata"])) for p in points if "customdata" in p)
    state["subset"] = tuple(dict.fromkeys(found))


def first_of(customdata: Any) -> int:  # noqa: ANN401  a scalar, a list or a dict, depending on how it was sent
    """Return the feature id of a point, whichever way the browser sends it."""
    if isinstance(customdata, dict):
        customdata = customdata["0"]
    return int(customdata[0] if isinstance(customdata, list) else customdata)


def forget() -> None:
    """Forget what belongs to the source that was shown."""
    state["subset"] = ()
    state["picked"] = None
    state["url_faults"] = []


def clear_box() -> None:
    """Show all features again, and draw the chart anew: a drawn box cannot be taken back from here."""
    state["cleared"] += bool(state["subset"])
    state["subset"] = ()


def stars_here() -> dict[int, str]:
    """Return the stars of the source that is shown: feature id → note."""
    stars: dict[Key, str] = state["stars"]
    return {feature_id: note for (source, feature_id), note in stars.items() if source == state["opened"]}


def switch_star(key: Key) -> None:
    """Star a feature, or take its star and note away; sidebar and table show it too."""
    if key in state["stars"]:
        del state["stars"][key]
        state["imports"] += 1  # so that the note's box is empty again
    else:
        state["stars"][key] = ""
    st.rerun()


def write_note(key: Key, widget: str) -> None:
    """Keep a note, which stars its feature."""
    state["stars"][key] = state[widget]
    st.rerun()


def import_stars() -> None:
    """Add the stars of an uploaded file to those of the session; the file's notes count."""
    file = state["stars_file"]
    if file is None:
        return
    try:
        state["stars"] |= parse_stars(file.getvalue(), file.name)
        state["stars_error"] = None
    except DataError as error:
        state["stars_error"] = error
    state["imports"] += 1
