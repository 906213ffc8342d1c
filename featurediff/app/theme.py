"""The texts of charts in the colour of the app's theme, which the browser knows and the server does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

TEXT = "#000037"
"""
Stands for a near-black of the light theme and a near-white of the dark one: Streamlit's browser side replaces it
(streamlit 1.67, `elements/lib/streamlit_plotly_theme.py`, `GRAY_90`). Its own grey has a contrast of 3.7 on white.
`tests/app/test_browser_access.py` measures what is seen.
"""

BACK = "#000038"
"""Stands for the page's own colour (`BG_COLOR` there): a white hover text shone in the dark theme."""

_AXIS = {"tickfont": {"color": TEXT}, "title": {"font": {"color": TEXT}}}


def in_theme(layout: dict[str, Any]) -> dict[str, Any]:
    """Return the layout of a chart with its texts in the theme's colour."""
    axes = {
        name: layout[name]
        | {"tickfont": layout[name].get("tickfont", {}) | _AXIS["tickfont"]}
        | {"title": layout[name].get("title", {}) | _AXIS["title"]}
        for name in ("xaxis", "yaxis")
    }
    return layout | {"font": layout.get("font", {}) | {"color": TEXT}} | axes


def hover_in_theme(traces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return traces whose hover texts have the theme's colours; their borders stay."""
    look = {"bgcolor": BACK, "font": {"color": TEXT}}
    return [trace | {"hoverlabel": trace["hoverlabel"] | look} if "hoverlabel" in trace else trace for trace in traces]


def themed(figure: go.Figure) -> go.Figure:
    """Return a figure with its texts in the theme's colour."""
    return figure.update_layout(font_color=TEXT).update_xaxes(_AXIS).update_yaxes(_AXIS)
