"""The dashboard without a browser: what it shows, and how to touch what AppTest cannot."""

import html
import json
import re
import time
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from streamlit.testing.v1 import AppTest

from featurediff.app.dashboard.room import Room
from featurediff.app.session import Session

APP = Path(__file__).parents[1] / "streamlit_app.py"
FEATURES = ("feature", "features")
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
    at.session_state["session"] = Session(room=Room(), has_table=True)  # as after the browser’s answers
    for name, value in link.items():
        at.query_params[name] = value
    return at.run()


def open_compare(**link):
    """The comparison as a link opens it, after its first run."""
    at = AppTest.from_file(APP, default_timeout=60)
    at.session_state["session"] = Session(room=Room())
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
    """Click in a row of the table; None takes the mark off the cell that was clicked."""
    cells = [] if row is None else [[row, "feature_id"]]
    return send(at, table_of(at), {"selection": {"rows": [], "columns": [], "cells": cells}})


def click_header(at, column):
    """Click the header of one of the table's columns."""
    return send(at, table_of(at), {"selection": {"rows": [], "columns": [column], "cells": []}})


def draw_box(at, points):
    """Draw a box that catches these points, as Streamlit reports them."""
    (chart,) = at.get("plotly_chart")
    box = {"xref": "x", "yref": "y", "x": [0.1, 0.2], "y": [0.1, 0.2]}
    return send(at, chart, {"selection": {"points": points, "point_indices": [], "box": [box], "lasso": []}})


def table_of(at):
    (table,) = [frame for frame in at.dataframe if "difference" in frame.value]
    return table


def column(at, name):
    """What a column of the table is called, and what its help says."""
    found = json.loads(table_of(at).proto.columns)[name]
    return found["label"], unescape(found.get("help", ""))


def rows(at):
    """(token_type, feature_id) of the table's rows, in their order."""
    frame = table_of(at).value
    return list(zip(frame["token_type"].astype("str"), frame["feature_id"].tolist(), strict=True))


def chart_link(at):
    """What the app tells the script beside the chart."""
    (told,) = (link.proto.json for link in at.get("bidi_component") if "ring" in link.proto.json)
    return json.loads(told)


def figure(at):
    (chart,) = at.get("plotly_chart")
    return json.loads(chart.proto.spec)


def traces(at):
    """The chart's traces of points: (legendgroup, name)."""
    return [(trace["legendgroup"], trace["name"]) for trace in figure(at)["data"] if "customdata" in trace]


def title(at):
    """The question, metric and models."""
    found = next(text for caption in at.caption if "→" in (text := unescape(caption.value)))
    return " · ".join(found.split(" · ")[:2])


def count(at):
    """How many features are shown, in words."""
    return next(found for text in at.main.markdown if (found := unescape(text.value).strip("*")).endswith(FEATURES))


def shown_of(shown, kept):
    """What stands where so many features are shown, of so many that are kept."""
    plural = f"{kept:,} feature{'s' * (kept != 1)}"
    return plural if shown == kept else f"{shown:,} of {plural}"


def help_of_count(at):
    """What the number of features says when the mouse is over it."""
    return next(text.proto.help for text in at.main.markdown if unescape(text.value).strip("*") == count(at))


def significant(at):
    """How many features have evidence for the question, as the switch for them says."""
    (number,) = re.findall(r"\(([\d,]+)\)$", at.toggle(key="evidence").label)
    return int(number.replace(",", ""))


def legend(at, key):
    """The choices of a filter by position, class or consistency: name → number of features."""
    options = (unescape(re.sub(r"^\$.*?\$ |^\W ", "", option.content)) for option in pills(at, key).options)
    return {name: int(number.replace(",", "")) for name, _, number in (option.rpartition(" ") for option in options)}


def pills(at, key):
    (found,) = [group.proto for group in at.get("button_group") if group.proto.id.endswith(f"-{key}")]
    return found


def chips(at):
    """What the row of filters says."""
    found = [group.proto for group in at.get("button_group") if group.proto.id.endswith("-chips")]
    return [unescape(option.content).removeprefix(":material/close: ") for group in found for option in group.options]


def remove_chip(at, name):
    """Click a chip, which takes its filter away."""
    return at.pills(key="chips").set_value([name]).run()


def finding(at):
    """The page’s first line."""
    (text,) = re.findall(r"<h1[^>]*>(.*)</h1>", "".join(element.proto.body for element in at.get("html")))
    return html.unescape(text)


def said(at):
    """Everything said in words in the main pane and the sidebar, without what Markdown needs escaped."""
    parts = (at.caption, at.warning, at.error, at.info, at.code, at.text, at.markdown)
    return "\n".join(unescape(element.value) for part in parts for element in part)


def warnings_of(at):
    return [unescape(warning.value) for warning in at.warning]


def unescape(text):
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def html_tags(at):
    """Every tag on the screen that the browser reads as HTML."""
    return re.findall(r"<[^>]*>?", "".join(element.proto.body for element in at.get("html")))


def markdown_texts(at):
    """Every text on the screen that the browser reads as Markdown: labels, tooltips, messages."""
    return [text for node in _walk(at._tree) for text in _texts_of(node)]


def _walk(node):
    yield node
    for child in getattr(node, "children", {}).values():
        yield from _walk(child)


def _texts_of(node):
    proto = getattr(node, "proto", None)
    if proto is None or node.type in {"text", "code", "html", "dataframe", "plotly_chart", "bidi_component"}:
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
