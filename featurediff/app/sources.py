"""Settings of the app, and the sources that it offers: of a results tree, or else of the demo."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from featurediff.errors import DataError
from featurediff.files import kind_of, sweep
from featurediff.sources import demo
from featurediff.sources.tree import FILES, Source, describe_source, search_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

STATIC = Path(__file__).parent / "static"
"""What the browser gets as it is: the icon, and the script beside the chart."""

FOLLOW_LINKS = "FEATUREDIFF_FOLLOW_LINKS"
"""The environment variable that, as 1, says that links out of the results folder are followed."""

DEMO, UPLOAD = "demo", "upload"
DEMO_LAYERS = 5


def settings() -> argparse.Namespace:
    """Read what stands behind `streamlit run streamlit_app.py --`, or in the environment."""
    environment = os.environ.get
    return _parse_settings(
        tuple(sys.argv[1:]),
        environment("FEATUREDIFF_RESULTS") or None,
        environment(FOLLOW_LINKS) in ("1", "true", "yes"),
    )


@cache
def _parse_settings(arguments: tuple[str, ...], results: str | None, follow_links: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="streamlit run streamlit_app.py --", allow_abbrev=False)
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--neuronpedia-template", default="")
    parser.add_argument("--follow-links", action="store_true", default=follow_links)
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
    prefix = "featurediff-demo-"
    try:
        sweep(Path(tempfile.gettempdir()), prefix)
        tree = Path(tempfile.mkdtemp(prefix=prefix))
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


def short_names(sources: Mapping[str, Source]) -> dict[str, str]:
    """Name sources in few words; by its path where no folder names the SAE, or where two would be called the same."""
    words = {name: _in_few_words(source) for name, source in sources.items()}
    often = Counter(words.values())
    return {name: text if text and often[text] == 1 else sources[name].name for name, text in words.items()}


def _in_few_words(source: Source) -> str:
    parts = (source.model, f"layer {source.layer}", source.trainer, source.prompt_set)
    return " · ".join(part for part in parts if part) if source.model else ""


class Offered(NamedTuple):
    """The sources that can be opened."""

    sources: dict[str, Source]
    """By their names in the URL."""

    notes: list[str]
    """What of the results tree could not be looked at, or was passed over: a sentence each."""


def list_sources(results: Path | None, *, follow_links: bool = False) -> Offered:
    """
    Return the sources of the results tree, or else of the demo.

    Parameters
    ----------
    results : Path or None
        The tree; None for the demo.
    follow_links : bool
        Whether links that lead out of the tree are followed: what they lead to may be meant for other eyes.

    Raises
    ------
    DataError
        If the tree cannot be read, or there is no source in it.
    """
    if results is None:
        return Offered(demo_sources(), [])
    advice = f"To follow them, start the app with --follow-links, or set {FOLLOW_LINKS}=1."
    tree = search_tree(results, leave=follow_links, advice=advice)
    named = {source.name + "/" * (source.name in (DEMO, UPLOAD)): source for source in tree.sources}
    return Offered(named, tree.notes)
