"""
A figure that becomes JSON once, when it is made, and not at every rerun.

It depends on these internals of Streamlit and Plotly: `st.plotly_chart` takes a `go.Figure` and sends
`plotly.io.to_json(figure, validate=False)` (streamlit 1.67, `elements/plotly_chart.py`). That takes
`figure.to_dict()`, drops `uid` from each trace of its `data`, asks it for `to_plotly_json()`, and gives what comes to
orjson (plotly 7.1, `io/_json.py`: `to_json` and `to_json_plotly`), which writes an `orjson.Fragment` as it stands.

It buys 20 ms of a rerun at 131,072 features, and 150 ms of one that changes nothing at 1,048,576.
`tests/app/test_app_reruns.py::test_a_chart_is_sent_as_plotly_writes_it` holds what is sent to what Plotly would write.
To take it out, let `figure.draw` return `go.Figure(drawing, _validate=False)`.
"""

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
    """A figure for Streamlit that has nothing in it but its JSON."""

    def __init__(self, drawing: Drawing) -> None:
        super().__init__()
        self._sent = _Sent(_to_ascii(to_json(drawing)), drawing["layout"])

    def to_dict(self) -> dict[str, Any]:
        """Return the layout with no traces, in a dict that knows the JSON of the whole figure."""
        return self._sent


def _to_ascii(spec: bytes) -> bytes:
    """
    Return JSON in ASCII, with `<`, `>` and `/` escaped as Plotly escapes them.

    Python handles a text in ASCII four times as fast, and Plotly finds nothing to escape.
    """
    if not spec.isascii():
        spec = spec.decode().encode("ascii", _ESCAPES)
    return spec.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"/", b"\\u002f")


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_ESCAPES := "featurediff-json", _escape)


class _Sent(dict[str, Any]):
    """What Plotly’s `to_json` gets in place of a figure’s dict."""

    def __init__(self, spec: bytes, layout: dict[str, Any]) -> None:
        super().__init__(data=[], layout=layout)
        self._spec = orjson.Fragment(spec)

    def to_plotly_json(self) -> orjson.Fragment:
        """Return the JSON that was made before."""
        return self._spec
