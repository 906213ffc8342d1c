"""The URL of a page: choices that live in it, and what of a link cannot be used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

DASHBOARD, COMPARISON = "streamlit_app.py", "featurediff/app/compare.py"

MOST_LABEL = 40


def go_to(here: str, there: str, changes: Mapping[str, str | list[str]] | None = None) -> NoReturn:
    """
    Leave a page for another, which shows what it showed when it was left, but for these changes to its URL.

    Streamlit's own links drop what a page has put into the URL.
    """
    left: dict[str, dict[str, str | list[str]]] = st.session_state.setdefault("left", {})
    left[here] = {name: st.query_params.get_all(name) for name in st.query_params}
    st.session_state["url_faults"] = []
    st.switch_page(there, query_params=left.get(there, {}) | dict(changes or {}))


def settle(name: str, options: Sequence[str], *, many: bool = False, default_in_url: bool = False) -> None:
    """
    Make a choice one that there is, before its widget is drawn, and say what there is not.

    At first the link asks, and of several values for one choice the last counts; after a change of source, the session.
    `bind` would write into the URL what an option is called on the screen, which changes with the labels. The default
    is the first option, or no choice of many.
    """
    state = st.session_state
    default = [] if many else options[0]
    held = state.get(name)  # `in` would copy the whole state
    asked = st.query_params.get_all(name)[0 if many else -1 :] if held is None else held if many else [held]
    found = [value for value in asked if value in options]
    unknown = [value for value in asked if value not in options]
    named = ", ".join([option for option in options if option][:5]) or "what can be chosen here"
    state["url_faults"] += [f"{name}={value[:60]} is none of {named}" for value in dict.fromkeys(unknown)]
    state[name] = found if many else (found or [default])[-1]
    chosen = state[name] if many else [state[name]]
    write_url(name, chosen if state[name] != default or default_in_url else [])


def write_url(name: str, values: list[str]) -> None:
    """Put a choice into the URL, or take it out where there is none; the URL is left alone where it says so already."""
    if st.query_params.get_all(name) != values:
        st.query_params[name] = values


def bad_numbers(bounds: Mapping[str, tuple[float, float]], whole: Collection[str] = ()) -> list[str]:
    """
    Say which numbers of the URL are none, out of bounds, or not whole where they should be.

    Streamlit drops the first two, and the fraction of the third, without a word.
    """
    faults = []
    for name, (least, most) in bounds.items():
        for value in st.query_params.get_all(name)[-1:]:
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if not (math.isfinite(number) and least <= number <= most):
                bound = f" of at least {least:g}" if math.isfinite(least) else ""
                limit = f" and at most {most:g}" if math.isfinite(most) else ""
                faults.append(f"{name}={value[:60]} is not a number{bound}{limit}")
            elif name in whole and not number.is_integer():
                faults.append(f"the fraction of {name}={value[:60]}")
    return faults


def beside_the_point(many: Collection[str], lengths: Mapping[str, int]) -> list[str]:
    """
    Say what of the URL is given twice, and what is cut.

    Parameters
    ----------
    many : collection of str
        Names that may be given more than once; of another one the last value counts.
    lengths : mapping
        Name → the characters that a text may have.
    """
    faults = []
    for name in st.query_params:
        values = st.query_params.get_all(name)
        if len(values) > 1 and name not in many:
            faults.append(f"all but the last of the {len(values)} values of {name[:60]}")
        if name in lengths and len(values[-1]) > lengths[name]:
            faults.append(f"what {name} has beyond {lengths[name]} characters")
    return faults
