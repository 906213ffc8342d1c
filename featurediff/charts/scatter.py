"""Feature table → scatter plot; draws a table and computes nothing but what a reader sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurediff.charts.packing import Frame
from featurediff.charts.points import point_traces
from featurediff.charts.scale import Scale
from featurediff.charts.scatter_places import Layout, shows_changes
from featurediff.charts.style import GUTTER_FILL, NOTE, look_of_points, value_axis
from featurediff.charts.texts import text
from featurediff.charts.view import View, caption, heading
from featurediff.features.table import values
from featurediff.labels import Labels
from featurediff.sources.origin import Origin

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.charts.plotly_json import Drawing


def scatter(
    table: pd.DataFrame,
    layout: Layout,
    scale: Scale,
    view: View,
    origin: Origin,
    *,
    texts: NDArray[np.object_] | None = None,
    titled: bool = True,
) -> Drawing:
    """
    Draw base (x) against chat (y), one point per kept (token_type, feature); for `specific`, see `find_axes`.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table to draw. Its index picks their places from `layout`.
    layout, scale : Layout, Scale
        From `lay_out` on the whole table.
    view : View
        Metric, question, and what models and prompt sets are called.
    origin : Origin
        For title, colours and numbers of prompts.
    texts : ndarray of shape (kept,), optional
        Hover texts of the whole table, from `texts.hover_texts`, where they are at hand. Above `EXPLAINED_POINTS`
        points there are none.
    titled : bool
        Whether the figure carries its title.

    Returns
    -------
    Drawing
        A Scattergl trace per (token_type, exclusivity, inconsistent) that has rows, legendgroup the token type,
        customdata float32 with the feature id first.
    """
    metric, labels = view.metric, view.labels
    base, chat = values(table, metric)
    traces = point_traces(table, (layout.x, layout.y), view, origin, (base, chat, chat - base), texts)
    look = look_of_points(heading(view.question, labels) if titled else None, caption(metric, labels, origin))
    name = labels.metric(metric)
    if shows_changes(table, metric, view.question):
        x, y = (f"{name}: change on {labels.of(prompts)}" for prompts in ("control", "target"))
        diagonal = "Changed alike"
    else:
        x, y, diagonal = f"{labels.base}: {name}", f"{labels.chat}: {name}", "No change"
    axes = _axes((text(x), text(y)), layout.frame, scale)
    notes = _gutters(layout.frame, scale, labels, metric) if layout.frame.gutter else {}
    return {"data": [*traces, _diagonal(scale, diagonal)], "layout": look | axes | notes}


def _diagonal(scale: Scale, name: str) -> dict[str, object]:
    ends = [scale.low, scale.high]
    return {
        "type": "scatter",
        "x": ends,
        "y": ends,
        "mode": "lines",
        "name": name,
        "line": {"color": "gray", "dash": "dash", "width": 1.5},
        "hovertemplate": f"{name}<extra></extra>",
    }


def _axes(names: tuple[str, str], frame: Frame, scale: Scale) -> dict[str, object]:
    marked = scale if frame.gutter or scale.name != "linear" else None
    x = value_axis((frame.low, frame.high), names[0], marked) | {"constrain": "domain"}
    return {
        "xaxis": x | {"scaleanchor": "y", "scaleratio": 1, "constraintoward": "left"},
        "yaxis": x | {"title": {"text": names[1]}},
    }


def _gutters(frame: Frame, scale: Scale, labels: Labels, metric: str) -> dict[str, object]:
    """Return shapes and annotations of the gutters, which the frame has."""
    outer, inner = frame.gutter or (0.0, 0.0)
    prompts = labels.of("control" if metric.startswith("control") else "target")
    end = scale.range[1]
    start = outer if frame.corner else inner
    look = {"type": "rect", "layer": "below", "line": {"width": 0}, "fillcolor": GUTTER_FILL}
    shapes = [
        look | {"x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}
        for x, y in (((outer, inner), (start, end)), ((inner, end), (outer, inner)))
    ]
    notes = [
        (text(f"silent on {labels.base}’s {prompts} prompts ↓"), outer, end, "left", "bottom"),
        (text(f"silent on {labels.chat}’s {prompts} prompts"), end, outer, "right", "bottom"),
        *([("silent on both", outer, outer, "left", "top")] if frame.corner else []),
    ]
    names = ("text", "x", "y", "xanchor", "yanchor")
    return {"shapes": shapes, "annotations": [NOTE | dict(zip(names, note, strict=True)) for note in notes]}
