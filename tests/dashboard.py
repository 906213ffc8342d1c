"""The dashboard without a browser: what it shows, and how to touch what AppTest cannot."""

import json
import re
import time
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[1] / "streamlit_app.py"
PLAIN_FIELDS = {
    "id",
    "options",
    "default",
    "value",
    "rawValue",
    "rawValues",
    "placeholder",
    "spec",
    "columns",
    "data",
    "url",
}


def open_app(**link):
    """The dashboard as a link opens it, after its first run; its results tree is FEATUREDIFF_RESULTS."""
    at = AppTest.from_file(APP, default_timeout=60)
    for name, value in link.items():
        at.query_params[name] = value
    return at.run()


def open_compare(**link):
    """The comparison as a link opens it, after its first run."""
    at = AppTest.from_file(APP, default_timeout=60)
    for name, value in link.items():
        at.query_params[name] = value
    return settled(at.switch_page("featurediff/app/compare.py").run())


def settled(at):
    """The comparison when all its sources are tested, as the browser's timer shows it."""
    while "still being tested" in said(at):
        time.sleep(0.1)
        at.run()
    return at


def held(at):
    """What the session holds beside the values of its widgets."""
    return at.session_state["session"]


def link(at):
    """The query of the URL: name → its values."""
    values = {name: [value] if isinstance(value, str) else list(value) for name, value in at.query_params.items()}
    return {name: found for name, found in values.items() if found}


def send(at, element, value):
    """Let a chart or a table report a selection, as the browser does, so that its callback runs."""
    states = at._tree.get_widget_states()
    state = states.widgets.add()
    state.id = element.proto.id
    state.string_value = json.dumps(value)
    return at._run(states)


def open_share(at):
    """Open the box with link, citation, ids and list, which is filled when it is open."""
    at.session_state["share"] = True
    return at.run()


def click_row(at, row):
    """Click a row of the table, or take the mark away with None."""
    return send(at, table_of(at), {"selection": {"rows": [] if row is None else [row], "columns": [], "cells": []}})


def draw_box(at, points):
    """Draw a box that catches these points, as Streamlit reports them."""
    (chart,) = at.get("plotly_chart")
    return send(at, chart, {"selection": {"points": points, "point_indices": [], "box": [], "lasso": []}})


def table_of(at):
    (table,) = [frame for frame in at.dataframe if "difference" in frame.value]
    return table


def rows(at):
    """(token_type, feature_id) of the table's rows, in their order."""
    frame = table_of(at).value
    return list(zip(frame["token_type"].astype("str"), frame["feature_id"].tolist(), strict=True))


def figure(at):
    (chart,) = at.get("plotly_chart")
    return json.loads(chart.proto.spec)


def traces(at):
    """The chart's traces of points: (legendgroup, name)."""
    return [(trace["legendgroup"], trace["name"]) for trace in figure(at)["data"] if trace["type"] == "scattergl"]


def title(at):
    """The question and, below it, metric and models."""
    metric = next(caption.value for caption in at.caption if "→" in caption.value)
    return f"{unescape(at.main.subheader[0].value)} · {unescape(metric).partition(' · ')[0]}"


def tiles(at):
    return {unescape(tile.label): tile.value for tile in at.metric}


def said(at):
    """Everything said in words in the main pane and the sidebar, without what Markdown needs escaped."""
    parts = (at.caption, at.warning, at.error, at.info, at.code, at.text, at.markdown)
    return "\n".join(unescape(element.value) for part in parts for element in part)


def warnings_of(at):
    return [unescape(warning.value) for warning in at.warning]


def unescape(text):
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def markdown_texts(at):
    """Every text on the screen that the browser reads as Markdown: labels, tooltips, messages, headings."""
    return [text for node in _walk(at._tree) for text in _texts_of(node)]


def _walk(node):
    yield node
    for child in getattr(node, "children", {}).values():
        yield from _walk(child)


def _texts_of(node):
    proto = getattr(node, "proto", None)
    if proto is None or node.type in {"text", "code", "dataframe", "plotly_chart", "bidi_component"}:
        return []
    return list(_strings(MessageToDict(proto)))


def _strings(message, field=""):
    if isinstance(message, dict):
        for name, inner in message.items():
            if name not in PLAIN_FIELDS or (name == "options" and isinstance(inner[0], dict)):
                yield from _strings(inner, name)
    elif isinstance(message, list):
        for inner in message:
            yield from _strings(inner, field)
    elif isinstance(message, str):
        yield message
