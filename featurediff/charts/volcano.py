"""The volcano: how much a feature's use changes from base to chat, against the evidence that it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from featurediff.charts.points import point_traces
from featurediff.charts.style import GUTTER_FILL, NOTE, look_of_points, value_axis
from featurediff.charts.texts import text
from featurediff.charts.view import View, caption, heading
from featurediff.charts.volcano_places import CEILING, Places
from featurediff.features.questions import effect_of
from featurediff.features.ranked import change_of
from featurediff.labels import test_in_words
from featurediff.sources.origin import Origin
from featurediff.wording import number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.charts.plotly_json import Drawing


def volcano(
    table: pd.DataFrame,
    places: Places,
    view: View,
    origin: Origin,
    *,
    texts: NDArray[np.object_] | None = None,
    titled: bool = True,
) -> Drawing:
    """
    Draw the change from base to chat (x) against −log10 q (y), one point per kept (token_type, feature).

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table to draw. Its index picks their places.
    places : Places
        From `lay_out_volcano` on the whole table.
    view : View
        Metric, question, the alpha at which a line is drawn, and what models and prompt sets are called.
    origin : Origin
        For title, colours and numbers of prompts.
    texts : ndarray of shape (kept,), optional
        As in `scatter.scatter`.
    titled : bool
        Whether the figure carries its title.

    Returns
    -------
    Drawing
        Traces as in `scatter.scatter`; customdata as there.
    """
    labels, metric = view.labels, view.metric
    effect = effect_of(view.question, metric)
    tests = " or ".join(map(test_in_words, table[f"{effect}_test"].cat.categories)) or "not tested"
    change = change_of(table, metric, origin)
    traces = point_traces(table, (places.x, places.y), view, origin, change, texts)
    name = f"{text(labels.effect(effect))} ({text(labels.chat)} − {text(labels.base)})"
    evidence = f"−log<sub>10</sub> q of this change ({tests}, Benjamini–Hochberg)"
    is_marked = places.gutter or places.y_scale.name != "linear"
    shapes, annotations = _lines(places, view.alpha)
    axes_and_lines: dict[str, object] = {
        "xaxis": value_axis(places.x_range, name, None if places.x_scale.name == "linear" else places.x_scale),
        "yaxis": value_axis(places.y_range, evidence, places.y_scale if is_marked else None),
        "shapes": shapes,
        "annotations": annotations,
    }
    look = look_of_points(heading(view.question, labels) if titled else None, caption(metric, labels, origin))
    return {"data": traces, "layout": look | axes_and_lines}


def _lines(places: Places, alpha: float) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return shapes and annotations: no change, the line at q, the strip of q = 1 and what there is to say of them."""
    wide = {"xref": "x domain", "x0": 0, "x1": 1, "layer": "below"}
    threshold = float(places.y_scale.place(-np.log10(max(alpha, 10**-CEILING))))
    dashed = {"color": "gray", "dash": "dash", "width": 1.5}
    thin = {"color": "gray", "width": 1}
    shapes: list[dict[str, object]] = [
        wide | {"type": "line", "y0": threshold, "y1": threshold, "line": dashed},
        {"type": "line", "layer": "below", "yref": "y domain", "y0": 0, "y1": 1, "x0": 0, "x1": 0, "line": thin},
    ]
    right = NOTE | {"xref": "x domain", "x": 1, "xanchor": "right", "yanchor": "bottom"}
    notes = [right | {"text": f"q = {number(alpha)}", "y": threshold}]
    if places.gutter:
        lower, upper = places.gutter
        shapes.append(wide | {"type": "rect", "line": {"width": 0}, "fillcolor": GUTTER_FILL, "y0": lower, "y1": upper})
        tested = "q = 1, or not tested" if places.untested else "q = 1"
        notes.append(right | {"text": f"no evidence ({tested})", "y": lower})
    if places.capped:
        notes.append(
            right | {"text": f"q below 10<sup>−{CEILING:g}</sup> stands at {CEILING:g}", "yref": "y domain", "y": 1}
        )
    return shapes, notes
