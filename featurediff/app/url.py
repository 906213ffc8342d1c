"""The URL of a page: choices that live in it, and what of a link cannot be used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

from featurediff.app.safe_text import escape_markdown
from featurediff.app.session import session
from featurediff.features.questions import is_tested
from featurediff.labels import PROMPTS, SIDES
from featurediff.wording import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

DASHBOARD, COMPARISON = "streamlit_app.py", "featurediff/app/compare.py"

LABELS = tuple(f"{name}_label" for name in (*SIDES, *PROMPTS))
"""What a link calls the labels of models and prompt sets."""

MOST_LABEL = 40
"""Characters of a label."""

_IN_BOTH = {*LABELS, "token_types", "unit", "min_target", "max_control", "question", "metric", "family"}
WORDS = {
    DASHBOARD: _IN_BOTH
    | {
        "source",
        "feature",
        "chart",
        "top",
        "by_share",
        "alpha",
        "scale",
        "spread",
        "open",
        "labelled",
        "evidence",
        "sort",
    }
    | {"exclusivity", "consistency", "search", "ids", "min_value", "explanation_type", "by"},
    COMPARISON: _IN_BOTH | {"max_q", "sources", "sae", "among", "first", "second"},
}
"""Page → the names that its links have."""

OLD_WORDS = {label.removesuffix("_label"): label for label in LABELS} | {
    "q": "max_q",
    "position": "token_types",
    "at_least": "min_target",
    "at_most": "max_control",
}
"""What links to the comparison once said → what both pages say now."""


def go_to(here: str, there: str, changes: Mapping[str, str | list[str]] | None = None) -> NoReturn:
    """Leave a page for another, which shows what it showed when it was left, but for these changes to its URL."""
    left = session().left
    left[here] = {name: st.query_params.get_all(name) for name in st.query_params}
    left[there] = left.get(there, {}) | dict(changes or {})
    for name in _IN_BOTH:  # a page does not take over the other one's choices
        st.session_state.pop(name, None)
    st.switch_page(there, query_params={})


def for_comparison() -> dict[str, str | list[str]]:
    """Return what the comparison takes over from the dashboard’s URL: the question, how it is tested, and labels."""
    names = (*LABELS, "question", "family", "unit", "min_target", "max_control")
    found: dict[str, str | list[str]] = {name: st.query_params.get_all(name) for name in names}
    metric = st.query_params.get_all("metric")
    return found | {"metric": [name for name in metric if is_tested(name)], "max_q": st.query_params.get_all("alpha")}


def enter(page: str) -> bool:
    """
    Return whether this page was not the last one that ran, so that it must read its link.

    On the browser’s way back nobody calls `go_to`: what the other page holds under a name that both have would then
    count before the link.
    """
    here = session()
    is_new = here.page != page
    if is_new and here.page:
        for name in _IN_BOTH:
            st.session_state.pop(name, None)
    here.page = page
    return is_new


def come_back(page: str, choice: str | None = None) -> None:
    """
    Show what a page showed when it was left, where its address does not say what to show.

    That is so after `go_to`, which cannot set what the page that is left binds to widgets of the same name, and on the
    browser’s way back.

    Parameters
    ----------
    page : str
        The page that runs.
    choice : str, optional
        A name that its URL always has once it is shown; otherwise any will do.
    """
    left = session().left
    if left.get(page) and not (choice in st.query_params if choice else len(st.query_params)):
        st.switch_page(page, query_params=left.pop(page))


def settle(name: str, options: Sequence[str], *, many: bool = False, default_in_url: bool = False) -> None:
    """
    Replace unknown values of a choice by the default, and report them; called before the choice's widget is drawn.

    A new choice takes its values from the link, where the last of several counts; later the session has them, and only
    another source can make one of them unknown. The default is the first option, or nothing where many can be chosen.
    Streamlit's `bind` would put an option's label into the URL, which changes with the labels of the models.
    """
    state = st.session_state
    held = state.get(name)  # `in` would copy the whole state
    asked = st.query_params.get_all(name)[0 if many else -1 :]
    if held is not None:
        asked = held if many else [held]
    found = [value for value in asked if value in options]
    unknown = dict.fromkeys(value for value in asked if value not in options)
    named = ", ".join([option for option in options if option][:5]) or "what can be chosen here"
    session().url_faults += [f"{name}={value[:60]} is not one of {named}" for value in unknown]
    chosen = found if many else found or [options[0]]
    state[name] = chosen if many else chosen[0]
    is_default = not many and chosen[0] == options[0]
    write_url(name, [] if is_default and not default_in_url else chosen)


def write_url(name: str, values: list[str]) -> None:
    """
    Put a choice into the URL, or take it out where there are no values; a URL that says so already is left alone.

    Nothing is written before the browser has answered: until then a change of the URL makes a history entry, and Back
    would lead to it, see `static/browser.js`.
    """
    if session().room is not None and st.query_params.get_all(name) != values:
        st.query_params[name] = values


def show_faults() -> None:
    """
    Warn that parts of the link are not used, with a box that names each.

    Warnings that take room of their own would push chart and table down.
    """
    faults = session().url_faults
    if not faults:
        return
    label = f":orange[{plural(len(faults), 'fault')} in the link]"
    with st.popover(label, icon=":material/link_off:", type="tertiary", help="What of the link is not used, and why."):
        for fault in faults:
            st.warning(escape_markdown(f"Not used: {fault}."), icon=":material/link_off:")


def bad_numbers(bounds: Mapping[str, tuple[float, float]], whole: Collection[str] = ()) -> list[str]:
    """
    Report numbers in the URL that cannot be read, are out of bounds, or should be whole and are not.

    Streamlit silently drops the first two, and the fraction of the third.

    Parameters
    ----------
    bounds : mapping
        Name → the least and the largest number that is accepted.
    whole : collection of str
        Names of numbers that should be whole.
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


def surplus(page: str, many: Collection[str]) -> list[str]:
    """
    Report what of the URL has no effect: names that this page does not use, second values, the end of a long label.

    Names that neither page ever had are passed over: sites that show the app in a frame add their own.

    Parameters
    ----------
    page : str
        The page whose URL it is, a key of `WORDS`.
    many : collection of str
        Names that may have several values there.
    """
    other, called = (COMPARISON, "comparison") if page == DASHBOARD else (DASHBOARD, "dashboard")
    faults = []
    for name in st.query_params:
        values = st.query_params.get_all(name)
        if name in OLD_WORDS:
            faults.append(f"{name}={values[-1][:60]}, which is called {OLD_WORDS[name]} now")
        elif name in WORDS[other] - WORDS[page]:
            faults.append(f"{name}={values[-1][:60]}, which only the {called} knows")
        elif len(values) > 1 and name not in many:
            faults.append(f"all but the last of the {len(values)} values of {name[:60]}")
        if name in LABELS and len(values[-1]) > MOST_LABEL:
            faults.append(f"what {name} has beyond {MOST_LABEL} characters")
    return faults
