"""What all charts of features look like: colours, axes, titles."""

from __future__ import annotations

import colorsys
import itertools
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from featurediff.charts.colour import luminance
from featurediff.charts.texts import text
from featurediff.wording import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurediff.charts.scale import Scale

KNOWN_COLOURS = {"model": "#c97800", "newline": "#1f83c9", "asst": "#00946b", "endheader": "#8134f4"}
"""They are told apart by people who see red and green alike, too."""

OTHER_COLOURS = ("#c0679a", "#2a93ad", "#968600", "#7d7d7d", "#96703c", "#4f9440", "#5277a8", "#808c3c")
"""
The hues of Okabe and Ito's palette without its red, which would hide the border of inconsistent features, then more.
Each has a contrast of at least 3 on both backgrounds of charts.
"""

_LUMINANCES = (0.16, 0.2, 0.25)
"""Of further colours: such a colour, too, has that contrast."""

_AXIS = {
    "gridcolor": "#EBF0F8",
    "linecolor": "#EBF0F8",
    "ticks": "",
    "title": {"standoff": 15},
    "zerolinecolor": "#EBF0F8",
    "automargin": True,
    "zerolinewidth": 2,
}

LOOK = {
    "autotypenumbers": "strict",
    "font": {"color": "#2a3f5f"},
    "hovermode": "closest",
    "hoverlabel": {"align": "left"},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "xaxis": _AXIS,
    "yaxis": _AXIS,
    "shapedefaults": {"line": {"color": "#2a3f5f"}},
    "annotationdefaults": {"arrowcolor": "#2a3f5f", "arrowhead": 0, "arrowwidth": 1},
    "title": {"x": 0.05},
}
"""What our charts show of the template `plotly_white`; the rest, as of maps, takes a third of a draw."""

EXPONENT = {"exponentformat": "e", "minexponent": 6}
"""How Plotly writes the numbers of an axis for which it chooses the ticks: as `wording.number` does."""

GRID = "rgba(128, 128, 128, 0.22)"

GUTTER_FILL = "rgba(128, 128, 128, 0.12)"

LETTER, BETWEEN, LABEL_HEIGHT = 6, 5, 13
"""Pixels of a character of a tick's label, of the room between two, and of its height."""

MINUS_SIGNS = (files("featurediff.charts") / "minus_signs.js").read_text("utf-8")
"""A script for the browser: `writeMinuses` puts minus signs into a chart's hover text."""

NOTE = {"showarrow": False, "font": {"size": 11}, "opacity": 0.8, "align": "left"}
"""What an annotation inside a chart looks like."""


def colours(token_types: Sequence[str]) -> dict[str, str]:
    """Return a colour for each token type: a known name has its own, others follow in order."""
    spare = iter(OTHER_COLOURS)
    count = len(token_types)
    more = (_mix((40 + 280 * i / count) / 360, _LUMINANCES[i % 3]) for i in range(count))
    return {name: KNOWN_COLOURS.get(name) or next(spare, None) or next(more) for name in token_types}


def _mix(hue: float, wanted: float) -> str:
    """Return the darkest "#rrggbb" of a hue from 0 to 1 that has a luminance."""
    mixed = "#000000"
    for step in range(256):
        shares = colorsys.hls_to_rgb(hue, step / 255, 0.45)
        mixed = "#" + "".join(f"{round(255 * share):02x}" for share in shares)
        if luminance(mixed) >= wanted:
            break
    return mixed


def hover_label(colour: str) -> dict[str, object]:
    """Return the look of hover texts over points of a colour."""
    return {"bgcolor": "white", "bordercolor": colour, "font": {"color": "#222222"}}


def look_of_points(heading: str | None, caption: str) -> dict[str, object]:
    """Return the layout that charts of points share, with a title where there is one."""
    found: dict[str, object] = {
        "template": {"layout": LOOK},
        "hovermode": "closest",
        "clickmode": "event",
        "dragmode": "zoom",
        "legend": {"title": {"text": "Activation position"}, "groupclick": "togglegroup", "x": 1.01},
        # Plotly draws all points again where the texts of the axes need more.
        "margin": {"l": 72, "r": 10, "t": 80 if heading else 30, "b": 64},
    }
    return found | ({"title": title(heading, caption)} if heading else {})


def value_axis(ends: tuple[float, float], name: str, scale: Scale | None) -> dict[str, object]:
    """Return an axis from end to end in drawn units, with the ticks of a scale; without one Plotly chooses them."""
    look: dict[str, object] = {
        "range": list(ends),
        "title": {"text": name},
        "showgrid": True,
        "gridcolor": GRID,
        "zeroline": False,
        **EXPONENT,
    }
    if scale:
        ticks = scale.ticks()
        look |= {
            "tickmode": "array",
            "tickvals": scale.place(ticks).tolist(),
            "ticktext": [number(tick, 4) for tick in ticks.tolist()],
        }
    return look


def keep_apart(axis: dict[str, Any], pixels: float, *, upright: bool) -> dict[str, Any]:
    """
    Return an axis without the tick labels that would touch others; their lines stay.

    Zero keeps its label. Where ticks are even, every second or third label and so on stays; else the short ones do
    first, which are the round ones.

    Parameters
    ----------
    axis : dict
        From `value_axis`; one whose ticks Plotly chooses is left as it is.
    pixels : float
        Length of the axis.
    upright : bool
        Whether it is the y-axis, so that labels take their height of it, not their width.
    """
    if not axis.get("ticktext"):
        return axis
    low, high = axis["range"]
    places, texts = np.array(axis["tickvals"]) / (high - low) * pixels, axis["ticktext"]
    rooms = np.array([LABEL_HEIGHT if upright else LETTER * len(text) + BETWEEN for text in texts])

    def fits(i: int, others: list[int]) -> bool:
        return all(abs(places[i] - places[j]) >= (rooms[i] + rooms[j]) / 2 for j in others)

    zero = int(np.abs(places).argmin())
    steps = np.diff(places)
    if np.allclose(steps, steps[:1]):
        strides = (range(zero % step, len(texts), step) for step in range(1, len(texts) + 1))
        kept = next(list(found) for found in strides if all(fits(i, [j]) for i, j in itertools.pairwise(found)))
    else:
        kept = []
        for i in sorted(range(len(texts)), key=lambda i: (i != zero, len(texts[i].strip("−")), -abs(places[i]))):
            if fits(i, kept):
                kept.append(i)
    return axis | {"ticktext": [text if i in kept else "" for i, text in enumerate(texts)]}


def title(heading: str, caption: str) -> dict[str, object]:
    """Return a chart's title, with where its numbers come from below."""
    return {
        "text": text(heading),
        "subtitle": {"text": text(caption)},
        "x": 0.01,
        "xanchor": "left",
        "font": {"size": 17},
    }
