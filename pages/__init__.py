"""What the app's pages share: settings, sources, choices in the URL, and words of strangers on the screen."""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.sources import demo
from featurediff.sources.tree import FILES, Source, describe_source, find_sources
from featurediff.wording import legible

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

DATA = Path(__file__).parents[1] / "featurediff" / "data"
DASHBOARD, COMPARISON = "streamlit_app.py", "pages/compare.py"
DEMO, UPLOAD = "demo", "upload"
DEMO_LAYERS = 5
MOST_LABEL = 40


def settings() -> argparse.Namespace:
    """Read what stands behind `streamlit run streamlit_app.py --`, or in the environment."""
    return _parse_settings(tuple(sys.argv[1:]), os.environ.get("FEATUREDIFF_RESULTS") or None)


@cache
def _parse_settings(arguments: tuple[str, ...], results: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="streamlit run streamlit_app.py --", allow_abbrev=False)
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--neuronpedia-template", default="")
    return parser.parse_known_args(arguments)[0]


def have_a_place(sources: Mapping[str, Source]) -> bool:
    """Whether the folder that the demo is written to is there."""
    return kind_of(_tree_of(sources[DEMO])) == "folder"


@st.cache_resource(show_spinner=False, validate=have_a_place)
def demo_sources() -> dict[str, Source]:
    """
    Return the demo's sources by their names in the URL, none of them written yet; `DEMO` is the usual one.

    Raises
    ------
    DataError
        If there is no place to write them.
    """
    try:
        tree = Path(tempfile.mkdtemp(prefix="featurediff-demo-"))
    except OSError as error:
        msg = f"The demo cannot be written ({error.strerror}). TMPDIR names the folder for it: is there room?"
        raise DataError(msg) from error
    usual = demo.folder_of(tree, demo.LAYER, demo.PROMPT_SET)
    planned = [demo.folder_of(tree, layer, prompt_set) for layer, prompt_set in sorted(demo.plan(DEMO_LAYERS))]
    return {DEMO if source.folder == usual else source.name: source for source in map(describe_source, planned)}


def _tree_of(source: Source) -> Path:
    return source.folder.parents[2]


def written(source: Source) -> Source:
    """
    Return a source that can be read: one of the demo is written first, once per server.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    is_planned = bool(source.missing) and source in demo_sources().values()
    return _write_demo(str(source.folder), source) if is_planned else source


def are_there(source: Source) -> bool:
    """Whether a source of the demo still is where it was written: some systems sweep folders for temporary files."""
    return all(kind_of(source.folder / name) == "file" for name in FILES)


@st.cache_resource(show_spinner="Making the demo…", validate=are_there)
def _write_demo(folder: str, _source: Source) -> Source:
    del folder
    tree = _tree_of(_source)
    try:
        demo.make_demo(layer=_source.layer or 0, prompt_set=_source.prompt_set or "").write(tree)
    except DataError:
        shutil.rmtree(tree, ignore_errors=True)
        raise
    return describe_source(_source.folder)


def list_sources(results: Path | None) -> dict[str, Source]:
    """
    Return the sources of the results tree, or else of the demo, by their names in the URL.

    Raises
    ------
    DataError
        If the tree cannot be read, or there is no source in it.
    """
    if results is None:
        return demo_sources()
    return {source.name + "/" * (source.name in (DEMO, UPLOAD)): source for source in find_sources(results)}


def open_page(here: str, there: str, changes: Mapping[str, str | list[str]] | None = None) -> NoReturn:
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


def plain(text: str) -> str:
    """
    Return what strangers wrote so that Markdown shows it as written.

    Streamlit makes links and arrows of addresses, `->` and `--` even where they are escaped: what parts them is a
    word joiner, which nobody sees.
    """
    parts = r"(?<=[-<>~])(?=[-=>])|(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)(?=[-\w]+\.\w)"
    parted = re.sub(parts, "\u2060", text, flags=re.IGNORECASE)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", parted).replace("\n", " ")


def show_error(what: str, error: DataError) -> None:
    """Show an error that names things from a file, as plain text."""
    st.error(what, icon=":material/error:")
    st.code(legible(str(error)), language=None, wrap_lines=True)
