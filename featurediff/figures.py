"""Feature table → scatter plot; draws a table and computes nothing but what a reader sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from featurediff.features.table import values
from featurediff.labels import Labels
from featurediff.points import (
    GUTTER_FILL,
    NOTE,
    custom_data,
    look_of_points,
    mark,
    point_traces,
    text,
    value_axis,
    value_lines,
)
from featurediff.scales import Scale, fit_scale
from featurediff.sources.origin import Run
from featurediff.spread import Frame, Layout, exact, spread

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.drawing import Drawing
    from featurediff.scales import Choice

__all__ = ["Run", "heading", "lay_out", "mark", "scatter"]


def lay_out(
    kept: pd.DataFrame, metric: str, choice: Choice = "auto", *, spread_points: bool = True
) -> tuple[Layout, Scale]:
    """
    Place every kept feature; a chart of some of them picks its rows from this.

    Parameters
    ----------
    kept : DataFrame
        The whole feature table, before filters.
    metric : str
        Which metric the axes show.
    choice : {"auto", "linear", "sqrt", "symlog"}
        The axes' scale. `auto` is linear without spread, as exact coordinates should be.
    spread_points : bool
        Whether coincident points get places of their own.
    """
    if choice == "auto" and not spread_points:
        choice = "linear"
    scale = fit_scale(np.concatenate(values(kept, metric)), choice, metric)
    return (spread if spread_points else exact)(kept, metric, scale), scale


def scatter(
    table: pd.DataFrame,
    metric: str,
    layout: Layout,
    scale: Scale,
    run: Run,
    labels: Labels | None = None,
    *,
    texts: NDArray[np.object_] | None = None,
    titled: bool = True,
) -> Drawing:
    """
    Draw base (x) against chat (y), one point per kept (token_type, feature).

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table to draw. Its index picks their places from `layout`.
    metric : str
        Which metric to show.
    layout, scale : Layout, Scale
        From `lay_out` on the whole table.
    run : Run
        For title, colours and numbers of prompts.
    labels : Labels, optional
        What models and prompt sets are called.
    texts : ndarray of shape (kept,), optional
        Hover texts of the whole table, from `points.hover_texts`, where they are at hand. Above `EXPLAINED_POINTS`
        points there are none.
    titled : bool
        Whether the figure carries its title.

    Returns
    -------
    Drawing
        A Scattergl trace per (token_type, exclusivity, inconsistent) that has rows, legendgroup the token type,
        customdata float32 with the feature id first.
    """
    labels = labels or Labels()

    def numbers(rows: pd.DataFrame) -> NDArray[np.float32]:
        base, chat = values(rows, metric)
        return custom_data(rows, (base, chat, chat - base), run)

    lines = value_lines(metric, labels)
    traces = point_traces(table, (layout.x, layout.y), run, labels, numbers, lines, texts)
    look = look_of_points(heading(metric, labels) if titled else None, run)
    return {"data": [*traces, _no_change(scale)], "layout": look | _axes(metric, layout.frame, scale, labels)}


def heading(metric: str, labels: Labels) -> str:
    """Return the title of the chart, plain text."""
    return f"{labels.base} → {labels.chat} {labels.target} SAE Features: {labels.metric(metric)}"


def _no_change(scale: Scale) -> dict[str, object]:
    ends = [scale.low, scale.high]
    return {
        "type": "scatter",
        "x": ends,
        "y": ends,
        "mode": "lines",
        "name": "No change",
        "line": {"color": "gray", "dash": "dash", "width": 1.5},
        "hovertemplate": "No change<extra></extra>",
    }


def _axes(metric: str, frame: Frame, scale: Scale, labels: Labels) -> dict[str, object]:
    name = text(labels.metric(metric))
    marked = scale if frame.gutter or scale.name != "linear" else None
    x = value_axis((frame.low, frame.high), f"{text(labels.base)}: {name}", marked) | {"constrain": "domain"}
    return {
        "xaxis": x | {"scaleanchor": "y", "scaleratio": 1, "constraintoward": "left"},
        "yaxis": x | {"title": {"text": f"{text(labels.chat)}: {name}"}},
        **(_gutters(frame, frame.gutter, scale, labels) if frame.gutter else {}),
    }


def _gutters(frame: Frame, gutter: tuple[float, float], scale: Scale, labels: Labels) -> dict[str, object]:
    """Return shapes and annotations."""
    outer, inner = gutter
    end = scale.range[1]
    start = outer if frame.corner else inner
    look = {"type": "rect", "layer": "below", "line": {"width": 0}, "fillcolor": GUTTER_FILL}
    shapes = [
        look | {"x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}
        for x, y in (((outer, inner), (start, end)), ((inner, end), (outer, inner)))
    ]
    notes = [
        ("silent in " + text(labels.base), outer, end, "left", "top"),
        ("silent in " + text(labels.chat), end, outer, "right", "bottom"),
        *([("silent in both", outer, outer, "left", "top")] if frame.corner else []),
    ]
    names = ("text", "x", "y", "xanchor", "yanchor")
    return {"shapes": shapes, "annotations": [NOTE | dict(zip(names, note, strict=True)) for note in notes]}
