"""The ranking: the features that change most, as a pair of dots with intervals each."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from featurediff.charts.points import value_lines
from featurediff.charts.style import GRID, LOOK, colours, hover_label, title
from featurediff.charts.texts import shorten, text, wrap
from featurediff.charts.view import caption, heading
from featurediff.features.questions import Question
from featurediff.labels import SIDES, Labels
from featurediff.sources.origin import Origin

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.charts.plotly_json import Drawing
    from featurediff.labels import Side

ROW_HEIGHT = 20
"""Pixels a row."""

HEADER = 1.6
"""Rows that the header of a block takes."""

ABOVE, BELOW = 70, 20
"""Pixels of the axis above the rows, and of room below."""

TITLE = 50
"""Pixels of the title."""

LABEL_WIDTH = 40
"""Characters of an explanation beside its row."""

APART = {"base": -0.17, "chat": 0.17}
"""Rows by which a dot stands above or below the middle of its row, so that intervals can be told apart."""

SYMBOLS = {"base": "circle-open", "chat": "circle"}

PAD = 0.03
"""Room beyond the smallest and the largest value, as a share of the span between them."""


def row_places(ranked: pd.DataFrame) -> NDArray[np.float64]:
    """Return where each row of a ranking stands on the y-axis, from above; shape (rows,)."""
    codes = ranked[["token_type", "direction"]].apply(lambda column: column.cat.codes).to_numpy()
    is_new = np.append(len(codes) > 0, (codes[1:] != codes[:-1]).any(axis=1))[: len(codes)]
    return np.arange(len(codes)) + HEADER * np.cumsum(is_new)


def ranking(
    ranked: pd.DataFrame,
    metric: str,
    origin: Origin,
    labels: Labels | None = None,
    *,
    titled: bool = True,
    question: Question = "exclusive",
) -> Drawing:
    """
    Draw a ranking.

    Parameters
    ----------
    ranked : DataFrame
        From `ranked.rank`.
    metric : str
        What it was ranked by.
    origin : Origin
        For title and colours.
    labels : Labels, optional
        What models and prompt sets are called.
    titled : bool
        Whether the figure carries its title.
    question : str
        That the ranked features answer.

    Returns
    -------
    Drawing
        Per token type a trace of lines between the dots, and one of dots for base (hollow) and for chat (filled) with
        their intervals: legendgroup the token type, customdata float32 with the feature id first. One pair of axes:
        a row a feature, at `row_places`. As high as its rows need.
    """
    labels = labels or Labels()
    palette = colours(origin.token_types)
    at = row_places(ranked)
    traces = [
        trace
        for token_type, rows in ranked.groupby("token_type", observed=True)
        for trace in _dots(rows, at[rows.index], metric, palette[cast("str", token_type)], labels)
    ]
    extra = TITLE if titled else 0
    look: dict[str, object] = {
        "template": {"layout": LOOK},
        **_axes(ranked, at, metric, labels),
        "annotations": _headers(ranked, at, labels),
        "height": ABOVE + BELOW + ROW_HEIGHT * _rows(at) + extra,
        "hovermode": "closest",
        "clickmode": "event",
        "dragmode": "zoom",
        "margin": {"l": 10, "r": 10, "t": ABOVE + extra, "b": BELOW},
    }
    if titled:
        top = {"y": 1, "yanchor": "top", "pad": {"t": 14}}
        look["title"] = title(f"{heading(question, labels)}: largest changes", caption(metric, labels, origin)) | top
    return {"data": traces, "layout": look}


def _rows(at: NDArray[np.float64]) -> float:
    """Return the height of the plot, in rows."""
    return float(at.max(initial=0)) + 1


def _dots(
    rows: pd.DataFrame, at: NDArray[np.float64], metric: str, colour: str, labels: Labels
) -> list[dict[str, object]]:
    """Return the traces of one token type: the lines between the dots, and the dots of each model."""
    token_type = str(rows["token_type"].iloc[0])
    pairs = np.full((len(rows), 3, 2), np.nan)  # a gap after each pair
    for i, side in enumerate(SIDES):
        pairs[:, i] = np.column_stack([rows[side], at + APART[side]])
    x, y = pairs.reshape(-1, 2).T
    line = {"color": colour, "width": 1}
    traces: list[dict[str, object]] = [
        {"x": x, "y": y, "mode": "lines", "line": line, "opacity": 0.5, "hoverinfo": "skip", "showlegend": False}
    ]
    ends = [f"{side}_{end}" for side in SIDES for end in ("low", "high")]
    for side in SIDES:
        traces.append(
            {
                "x": rows[side].to_numpy(),
                "y": at + APART[side],
                **({"error_x": _error_bars(rows, side, colour)} if _has_intervals(rows) else {}),
                "mode": "markers",
                "name": text(labels.of(side)),
                "legendgroup": token_type,
                "showlegend": False,
                "marker": {
                    "size": 8,
                    "color": colour,
                    "symbol": SYMBOLS[side],
                    "line": {"width": 1.5, "color": colour},
                },
                "customdata": rows[["feature_id", "base", "chat", "difference", *ends]].to_numpy(dtype=np.float32),
                "text": wrap(rows["explanation"]),
                "hovertemplate": _hover(rows, metric, labels),
                "hoverlabel": hover_label(colour),
            }
        )
    return [{"type": "scatter"} | trace for trace in traces]


def _has_intervals(ranked: pd.DataFrame) -> bool:
    return bool(ranked["base_low"].notna().any())


def _error_bars(rows: pd.DataFrame, side: Side, colour: str) -> dict[str, object]:
    value, low, high = (rows[name].to_numpy() for name in (side, f"{side}_low", f"{side}_high"))
    look = {"color": colour, "thickness": 1, "width": 2}
    return {"type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low, **look}


def _hover(rows: pd.DataFrame, metric: str, labels: Labels) -> str:
    lines = value_lines(metric, labels)
    if _has_intervals(rows):
        for i in range(len(SIDES)):
            lines[i] += f" (95 %: %{{customdata[{4 + 2 * i}]:.3~g}} to %{{customdata[{5 + 2 * i}]:.3~g}})"
    first = f"<b>Feature %{{customdata[0]:d}}</b> at {text(str(rows['token_type'].iloc[0]))}"
    return "<br>".join([first, *lines, "", "%{text}"]) + "<extra></extra>"


def _headers(ranked: pd.DataFrame, at: NDArray[np.float64], labels: Labels) -> list[dict[str, object]]:
    """Return what is written above each block: what it lists."""
    look = {"showarrow": False, "xref": "x domain", "x": PAD / (1 + 2 * PAD), "xanchor": "left", "xshift": 4}
    headers = []
    for i in np.flatnonzero(ranked["rank"] == 1):
        token_type, direction = str(ranked["token_type"][i]), ranked["direction"][i]
        more = labels.chat if direction == "increase" else labels.base
        written = f"<b>{text(token_type)}</b>: more in {text(more)}"
        headers.append(look | {"text": written, "y": at[i] - HEADER / 2 - 0.1, "yanchor": "middle"})
    return headers


def _axes(ranked: pd.DataFrame, at: NDArray[np.float64], metric: str, labels: Labels) -> dict[str, object]:
    """Return values above the rows, with a key to the dots, and the features beside them."""
    numbers = ranked[["base", "chat", "base_low", "base_high", "chat_low", "chat_high"]].to_numpy()
    low, high = np.nanmin(numbers, initial=0), np.nanmax(numbers, initial=0) or 1.0
    pad = PAD * (high - low)
    key = f"○ {text(labels.base)}   ● {text(labels.chat)}"
    if _has_intervals(ranked):
        key += f"   ─ 95 % interval ({'Wilson × t' if metric.endswith('_all_mean') else 'Wilson'})"
    explanations = shorten(ranked["explanation"], LABEL_WIDTH)
    return {
        "xaxis": {
            "range": [low - pad, high + pad],
            "side": "top",
            "title": {"text": f"{text(labels.metric(metric))}      {key}", "standoff": 8},
            "gridcolor": GRID,
            "zerolinecolor": "gray",
        },
        "yaxis": {
            "range": [_rows(at), 0],
            "tickvals": at.tolist(),
            "ticktext": [f"{short}  <b>{i}</b>" for short, i in zip(explanations, ranked["feature_id"], strict=True)],
            "automargin": True,
            "gridcolor": GRID,
            "griddash": "dot",
            "zeroline": False,
        },
    }
