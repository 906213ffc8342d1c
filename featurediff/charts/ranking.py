"""The ranking: the features that change most, each with the interval of its change."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from featurediff.charts.colour import see_through
from featurediff.charts.points import (
    class_lines,
    count_lines,
    custom_data,
    evidence_lines,
    value_lines,
)
from featurediff.charts.style import EXPONENT, GRID, LOOK, colours, hover_label, title
from featurediff.charts.texts import shorten, text, wrap
from featurediff.charts.view import View, caption, heading
from featurediff.features.questions import effect_of, is_tested
from featurediff.sources.origin import Origin
from featurediff.wording import number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.charts.plotly_json import Drawing
    from featurediff.labels import Labels

ROW_HEIGHT = 32
"""Pixels a row: a line of text, and the interval below it."""

HEADER = 1.5
"""Rows that the header of a block takes."""

ABOVE, BELOW = 66, 14
"""Pixels of the axis above the rows, and of room below."""

TITLE = 50
"""Pixels of the title."""

LINE = 64
"""Characters of a line of the name of the axis: what fits beside a table."""

LABEL_WIDTH = 60
"""Characters of an explanation above its interval."""

LABEL_RISE = 0.2
"""Rows by which it stands above it."""

PAD = 0.03
"""Room beyond the smallest and the largest value, as a share of the span between them."""


def row_places(ranked: pd.DataFrame) -> NDArray[np.float64]:
    """Return where each row of a ranking stands on the y-axis, from above; shape (rows,)."""
    codes = ranked[["token_type", "way"]].apply(lambda column: column.cat.codes).to_numpy()
    is_new = np.append(len(codes) > 0, (codes[1:] != codes[:-1]).any(axis=1))[: len(codes)]
    return np.arange(len(codes)) + HEADER * np.cumsum(is_new)


def ranking(ranked: pd.DataFrame, view: View, origin: Origin, *, titled: bool = True) -> Drawing:
    """
    Draw a ranking.

    Parameters
    ----------
    ranked : DataFrame
        From `ranked.rank`.
    view : View
        What it was ranked by, and what models and prompt sets are called.
    origin : Origin
        For title and colours.
    titled : bool
        Whether the figure carries its title.

    Returns
    -------
    Drawing
        Per token type a trace of the rows with evidence and one of those without, which are hollow: a dot at the effect
        with its interval, legendgroup the token type, customdata as in `points.custom_data`. Then a trace of what
        stands above the intervals. A row a feature, at `row_places`, with a line at no change. As high as its rows
        need.
    """
    labels, at = view.labels, row_places(ranked)
    palette = colours(origin.token_types)
    traces = [
        _dots(ranked, here, at[here], view, origin, palette[token_type], is_evident=is_evident)
        for token_type in ranked["token_type"].drop_duplicates()
        for is_evident in (True, False)
        if len(here := np.flatnonzero((ranked["token_type"] == token_type) & (ranked["is_evident"] == is_evident)))
    ]
    names = [_names(ranked, at)] if traces else []
    extra = TITLE if titled else 0
    look: dict[str, object] = {
        "template": {"layout": LOOK},
        **_axes(ranked, at, view),
        "annotations": _headers(ranked, at, view),
        "height": ABOVE + BELOW + ROW_HEIGHT * _rows(at) + extra,
        "hovermode": "closest",
        "clickmode": "event",
        "dragmode": "zoom",
        "margin": {"l": 10, "r": 10, "t": ABOVE + extra, "b": BELOW},
    }
    if titled:
        top = {"y": 1, "yanchor": "top", "pad": {"t": 14}}
        name = f"{heading(view.question, labels)}: largest changes"
        look["title"] = title(name, caption(view.metric, labels, origin)) | top
    return {"data": [*traces, *names], "layout": look}


def _rows(at: NDArray[np.float64]) -> float:
    """Return the height of the plot, in rows."""
    return float(at.max(initial=0)) + 0.6


def _dots(
    ranked: pd.DataFrame,
    here: NDArray[np.intp],
    at: NDArray[np.float64],
    view: View,
    origin: Origin,
    colour: str,
    *,
    is_evident: bool,
) -> dict[str, object]:
    """Return the trace of the rows of one token type, with evidence or without."""
    rows = ranked.iloc[here]
    token_type = str(rows["token_type"].iloc[0])
    effect, low, high = (rows[name].to_numpy() for name in ("effect", "low", "high"))
    numbers = tuple(rows[name].to_numpy() for name in ("base", "chat", "change"))
    bars = {"type": "data", "symmetric": False, "array": high - effect, "arrayminus": effect - low}
    said = class_lines(rows, view)
    return {
        "type": "scatter",
        "x": effect,
        "y": at,
        **({"error_x": bars | {"color": colour, "thickness": 1.5, "width": 3}} if np.isfinite(low).any() else {}),
        "mode": "markers",
        "name": text(token_type),
        "legendgroup": token_type,
        "showlegend": False,
        "marker": {"size": 8, "color": colour}
        if is_evident
        else {"size": 8, "color": see_through(colour, 0), "line": {"width": 1.5, "color": colour}},
        "customdata": custom_data(rows, numbers, effect_of(view.question, view.metric)),
        "text": [f"{one}<br>{other}" for one, other in zip(said, wrap(rows["explanation"]), strict=True)],
        "hovertemplate": _hover(ranked, token_type, view, origin),
        "hoverlabel": hover_label(colour),
    }


def _hover(ranked: pd.DataFrame, token_type: str, view: View, origin: Origin) -> str:
    """Return the hover template of the dots of one token type; the columns are those of `points.custom_data`."""
    lines = [
        f"<b>Feature %{{customdata[0]:d}}</b> at {text(token_type)}",
        *value_lines(view.metric, view.labels),
        *evidence_lines(ranked, view.question, view.metric, view.labels),
        "",
        *count_lines(origin, view.labels),
        "",
        "%{text}",
    ]
    return "<br>".join(lines) + "<extra></extra>"


def _names(ranked: pd.DataFrame, at: NDArray[np.float64]) -> dict[str, object]:
    """Return the trace of what stands above each interval: the feature and its explanation."""
    explanations = shorten(ranked["explanation"], LABEL_WIDTH)
    return {
        "type": "scatter",
        "mode": "text",
        "x": np.zeros(len(ranked)),
        "y": at - LABEL_RISE,
        "xaxis": "x2",
        "text": [f"<b>{i}</b>  {short}" for short, i in zip(explanations, ranked["feature_id"], strict=True)],
        "textposition": "top right",
        "textfont": {"size": 11},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _headers(ranked: pd.DataFrame, at: NDArray[np.float64], view: View) -> list[dict[str, object]]:
    """Return what is written above each block: what it lists."""
    look = {"showarrow": False, "xref": "x domain", "x": 0, "xanchor": "left", "yanchor": "middle"}
    headers = []
    for i in np.flatnonzero(ranked["rank"] == 1):
        token_type, listed = str(ranked["token_type"][i]), _listed(str(ranked["way"][i]), view)
        headers.append(look | {"text": f"<b>{text(token_type)}: {text(listed)}</b>", "y": at[i] - 1.05})
    return headers


def _listed(way: str, view: View) -> str:
    """Say in words what a block lists."""
    labels = view.labels
    if view.question == "specific" and is_tested(view.metric):
        return f"{'up' if way == 'increase' else 'down'} on {labels.target} relative to {labels.control}"
    return f"more in {labels.chat if way == 'increase' else labels.base}"


def _axes(ranked: pd.DataFrame, at: NDArray[np.float64], view: View) -> dict[str, object]:
    """Return the effects above the rows, a line for each row, and an axis along which names stay at the left."""
    numbers = ranked[["effect", "low", "high"]].to_numpy()
    low, high = np.nanmin(numbers, initial=0), np.nanmax(numbers, initial=0)
    pad = PAD * (high - low or 1)
    name = _name_effect(view, view.labels, has_hollow=not ranked["is_evident"].all())
    return {
        "xaxis": {
            "range": [low - pad, high + pad],
            "side": "top",
            "title": {"text": "<br>".join(map(text, textwrap.wrap(name, LINE))), "standoff": 8, "font": {"size": 12}},
            "gridcolor": GRID,
            "zeroline": True,
            "zerolinecolor": "gray",
            "zerolinewidth": 1.5,
            **EXPONENT,
        },
        "xaxis2": {"overlaying": "x", "range": [0, 1], "fixedrange": True, "visible": False},
        "yaxis": {
            "range": [_rows(at), 0],
            "tickvals": at.tolist(),
            "showticklabels": False,
            "gridcolor": GRID,
            "griddash": "dot",
            "zeroline": False,
        },
    }


def _name_effect(view: View, labels: Labels, *, has_hollow: bool) -> str:
    """Say in words what the dots show."""
    models = f"({labels.chat} − {labels.base})"
    if is_tested(view.metric):
        effect = labels.effect(effect_of(view.question, view.metric))
        return f"{effect} {models}, 95 % interval" + f"; hollow: q > {number(view.alpha)}" * has_hollow
    name = labels.metric(view.metric)
    where = f" on {labels.target}" if view.metric.startswith("target") else ""
    return f"Change of {name[:1].lower()}{name[1:]}{where} {models}, which nothing tests"
