"""A figure as it is sent to the browser."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Any

import orjson
import plotly.graph_objects as go

from featurediff.charts.plotly_json import to_json

if TYPE_CHECKING:
    from featurediff.charts.plotly_json import Drawing


class Picture(go.Figure):  # type: ignore[misc]
    """
    A figure as it is sent.

    Streamlit turns a figure into JSON at every rerun; this one was turned into it when it was made.
    """

    def __init__(self, drawing: Drawing) -> None:
        super().__init__()
        self._sent = _Sent(_to_ascii(to_json(drawing)), drawing["layout"])

    def to_dict(self) -> dict[str, Any]:
        """Return the layout, and instead of the data what knows its JSON."""
        return self._sent


def _to_ascii(spec: bytes) -> bytes:
    """Return JSON in ASCII, which Python handles four times as fast, and without what Plotly would escape each time."""
    if not spec.isascii():
        spec = spec.decode().encode("ascii", _ESCAPES)
    return spec.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"/", b"\\u002f")


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_ESCAPES := "featurediff-json", _escape)


class _Sent(dict[str, Any]):
    """What stands for a figure on its way to Plotly’s `to_json`, which asks it for a form of itself."""

    def __init__(self, spec: bytes, layout: dict[str, Any]) -> None:
        super().__init__(data=[], layout=layout)
        self._spec = orjson.Fragment(spec)

    def to_plotly_json(self) -> orjson.Fragment:
        """Return the JSON that was made before."""
        return self._spec
