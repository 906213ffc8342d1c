"""The volcano: how much a feature's use changes from base to chat, against the evidence that it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featurediff.charts.packing import (
    MARKER,
    ROOM,
    ROW,
    find_room,
    fit_frame,
    lay_grid,
    number_piles,
    pack_gutter,
    rank_by_group,
)
from featurediff.charts.points import custom_data, evidence_lines, point_traces, value_lines
from featurediff.charts.scale import Scale, fit_scale
from featurediff.charts.style import GUTTER_FILL, NOTE, look_of_points, value_axis
from featurediff.charts.texts import text
from featurediff.charts.view import caption, heading
from featurediff.features.evidence import ALPHA
from featurediff.features.questions import Question, effect_of
from featurediff.features.ranked import change_of
from featurediff.labels import Labels, test_in_words
from featurediff.sources.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.charts.plotly_json import Drawing
    from featurediff.charts.scale import Choice

    Floats = NDArray[np.float64]

PLOT = np.array([620.0, 450.0])
"""Pixels, across and up, on which the pitch is laid out."""

CEILING = 300.0
"""−log10 q of smaller q, which float64 cannot always hold: q = 0 stands here too."""

LINES = (0.1, ALPHA, 0.01, 0.001)
"""The q that people draw a line at: packing moves no point across one."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where every kept feature stands in the volcano."""

    x: NDArray[np.floating]
    """Change, drawn units of `x_scale`; shape (rows,)."""

    y: NDArray[np.floating]
    """−log10 q, drawn units of `y_scale`; shape (rows,)."""

    x_scale: Scale
    """Fitted to the changes and 0."""

    y_scale: Scale
    """Fitted to −log10 q, 0 and the line of `ALPHA`."""

    x_range: tuple[float, float]
    """Left and right end of the plot."""

    y_range: tuple[float, float]
    """Lower and upper end."""

    gutter: tuple[float, float] | None
    """Lower and upper edge of the strip for features whose q is 1; None where there is none."""

    capped: bool
    """Whether a q is too small to be drawn where it belongs."""


def lay_out_volcano(
    kept: pd.DataFrame,
    metric: str,
    origin: Origin,
    choice: Choice = "auto",
    *,
    spread_points: bool = True,
    question: Question = "exclusive",
) -> Places:
    """
    Place every kept feature; a chart of some of them picks its rows from this.

    Points at most `ROW` pixels apart are packed round the middle of their places; none is moved past another change or
    q farther off than that, past a tick of the x-axis or one of `LINES`. Features whose q is 1 stand in a strip below.
    The result depends on nothing but the table and the scale, and not on the order of rows.

    Parameters
    ----------
    kept : DataFrame
        The whole feature table with its tests, before filters.
    metric : str
        Which quantity's effect the axes show.
    origin : Origin
        For the numbers of prompts.
    choice : {"auto", "linear", "sqrt", "symlog"}
        The scale of both axes. `auto` finds one for each, and is linear without spread.
    spread_points : bool
        Whether points get places of their own, distinct as float32; otherwise they stand at their values.
    question : {"exclusive", "changed", "specific", "any"}
        Which effect the axes show: see `questions.effect_of`. A q that is not known stands with those of 1.
    """
    if choice == "auto" and not spread_points:
        choice = "linear"
    smallest, effect = 10.0**-CEILING, effect_of(question, metric)
    change = np.nan_to_num(kept[effect].to_numpy()) if question == "specific" else change_of(kept, metric, origin)[2]
    q = np.nan_to_num(kept[f"{effect}_q"].to_numpy(), nan=1.0)
    evidence = 0.0 - np.log10(np.maximum(q, smallest))
    x_scale = fit_scale(np.append(change, 0), choice, metric)
    y_scale = fit_scale(np.append(evidence, [0, -np.log10(ALPHA)]), choice, "q")
    in_gutter = (evidence == 0) & spread_points
    frame = fit_frame(y_scale, gutters=bool(in_gutter.any()), corner=False)
    ranges = x_scale.range, (frame.low, frame.high)
    at: NDArray[np.floating] = np.column_stack([x_scale.place(change), y_scale.place(evidence)])
    if spread_points:
        fixed = x_scale.place(x_scale.ticks()), y_scale.place(np.append(0, -np.log10(LINES)))
        fences = [np.sort(np.clip([*ends, *lines], *ends)) for ends, lines in zip(ranges, fixed, strict=True)]
        at = _spread(at, fences, in_gutter, frame.gutter, rank_by_group(kept))
    return Places(at[:, 0], at[:, 1], x_scale, y_scale, *ranges, frame.gutter, capped=bool((q < smallest).any()))


def _spread(
    values: NDArray[np.floating],
    fences: Sequence[Floats],
    in_gutter: NDArray[np.bool_],
    gutter: tuple[float, float] | None,
    ranks: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return drawn places of shape (rows, 2), all distinct; `fences` begin and end with the ends of their axis."""
    true = values.astype(np.float32).astype(np.float64)
    start = np.array([fence[0] for fence in fences])
    pixel = (np.array([fence[-1] for fence in fences]) - start) / PLOT
    walls = [(fence - fence[0]) / size for fence, size in zip(fences, pixel, strict=True)]
    at, inside = (true - start) / pixel, ~in_gutter
    cells = np.stack([_cut(at[:, 0], walls[0])[:, inside], _cut(at[inside, 1], walls[1])], axis=-1)
    moved = at.copy()
    moved[inside] = _pack(at[inside], cells, ranks[inside])
    if gutter:
        bottom, top = (np.array(gutter) - start[1]) / pixel[1]
        along, room = at[in_gutter, 0], find_room(at[:, 0], walls[0], PLOT[0])[in_gutter]
        depth, moved[in_gutter, 0] = pack_gutter(along, room, ranks[in_gutter], top - bottom - MARKER, MARKER)
        moved[in_gutter, 1] = top - MARKER / 2 - depth
    drawn: NDArray[np.float32] = (true + (moved - at) * pixel).astype(np.float32)
    return drawn


def _pack(at: Floats, cells: Floats, ranks: NDArray[np.int64]) -> Floats:
    """Return places in pixels, shape (n, 2): points in the same cells on a grid round the middle of their places."""
    number, low, high = cells
    pile, in_pile = number_piles(number, ranks)
    size = np.bincount(pile)[pile]
    least, most = np.full_like(at, np.inf), np.full_like(at, -np.inf)
    np.minimum.at(least, pile, at)
    np.maximum.at(most, pile, at)
    middle = (least[pile] + most[pile]) / 2
    low, high = np.maximum(low, middle - PLOT / 8), np.minimum(high, middle + PLOT / 8)
    width, height = (high - low).T
    most_rows = np.maximum(np.ceil(size**0.5), np.ceil(size / (1 + width // MARKER)))
    offsets = np.column_stack(lay_grid(size, in_pile, width, height, MARKER, most_rows))
    extent = np.zeros_like(at)
    np.maximum.at(extent, pile, offsets)
    return np.clip(middle - extent[pile] / 2, low, high - extent[pile]) + offsets


def _cut(at: Floats, fences: Floats) -> Floats:
    """
    Cut an axis into cells of values at most `ROW` pixels apart, none of them across a fence.

    Returns
    -------
    ndarray of shape (3, n)
        Of each point: the number of its cell, and how far down and up the cell's points may move: most of half the way
        to the next value, and not to a fence.
    """
    distinct, which = np.unique(at, return_inverse=True)
    own = 1e-6 * (fences[-1] - fences[0])
    part = np.searchsorted(fences, distinct - own) + np.searchsorted(fences, distinct + own)
    starts, next_start = [], 0
    while next_start < len(distinct):  # at most a cell for every ROW pixels and two for every fence
        starts.append(next_start)
        within = np.searchsorted(distinct, distinct[next_start] + ROW, side="right")
        next_start = min(int(within), int(np.searchsorted(part, part[next_start], side="right")))
    cell = np.searchsorted(starts, np.arange(len(distinct)), side="right") - 1
    lowest, highest = distinct[starts], distinct[np.bincount(cell).cumsum() - 1]
    walls = (highest[:-1] + lowest[1:]) / 2
    below = np.maximum(np.append(-np.inf, walls), fences[np.searchsorted(fences, lowest - own) - 1])
    above = np.minimum(np.append(walls, np.inf), fences[np.searchsorted(fences, highest + own)])
    low, high = lowest - ROOM * (lowest - below), highest + ROOM * (above - highest)
    return np.stack([cell, low[cell], high[cell]])[:, which]


def volcano(
    table: pd.DataFrame,
    places: Places,
    metric: str,
    origin: Origin,
    labels: Labels | None = None,
    *,
    line: float = ALPHA,
    texts: NDArray[np.object_] | None = None,
    titled: bool = True,
    question: Question = "exclusive",
) -> Drawing:
    """
    Draw the change from base to chat (x) against −log10 q (y), one point per kept (token_type, feature).

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table to draw. Its index picks their places.
    places : Places
        From `lay_out_volcano` on the whole table.
    metric : str
        Whose change to show.
    origin : Origin
        For title, colours and numbers of prompts.
    labels : Labels, optional
        What models and prompt sets are called.
    line : float
        The q at which a line is drawn.
    texts : ndarray of shape (kept,), optional
        As in `scatter.scatter`.
    titled : bool
        Whether the figure carries its title.
    question : str
        That the kept features answer.

    Returns
    -------
    Drawing
        Traces as in `scatter.scatter`; customdata as there.
    """
    labels = labels or Labels()
    effect = effect_of(question, metric)
    tests = " or ".join(map(test_in_words, table[f"{effect}_test"].cat.categories)) or "not tested"

    def numbers(rows: pd.DataFrame) -> NDArray[np.floating]:
        return custom_data(rows, change_of(rows, metric, origin), effect)

    lines = [*value_lines(metric, labels), *evidence_lines(table, question, metric, labels)]
    traces = point_traces(table, (places.x, places.y), origin, labels, numbers, lines, texts)
    change = f"{text(labels.effect(effect))} ({text(labels.chat)} − {text(labels.base)})"
    evidence = f"−log<sub>10</sub> q of this change ({tests}, Benjamini–Hochberg)"
    is_marked = places.gutter or places.y_scale.name != "linear"
    shapes, annotations = _lines(places, line)
    axes_and_lines: dict[str, object] = {
        "xaxis": value_axis(places.x_range, change, None if places.x_scale.name == "linear" else places.x_scale),
        "yaxis": value_axis(places.y_range, evidence, places.y_scale if is_marked else None),
        "shapes": shapes,
        "annotations": annotations,
    }
    look = look_of_points(heading(question, labels) if titled else None, caption(metric, labels, origin))
    return {"data": traces, "layout": look | axes_and_lines}


def _lines(places: Places, line: float) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return shapes and annotations: no change, the line at q, the strip of q = 1 and what there is to say of them."""
    wide = {"xref": "x domain", "x0": 0, "x1": 1, "layer": "below"}
    threshold = float(places.y_scale.place(-np.log10(line)))
    dashed = {"color": "gray", "dash": "dash", "width": 1.5}
    thin = {"color": "gray", "width": 1}
    shapes: list[dict[str, object]] = [
        wide | {"type": "line", "y0": threshold, "y1": threshold, "line": dashed},
        {"type": "line", "layer": "below", "yref": "y domain", "y0": 0, "y1": 1, "x0": 0, "x1": 0, "line": thin},
    ]
    right = NOTE | {"xref": "x domain", "x": 1, "xanchor": "right", "yanchor": "bottom"}
    notes = [right | {"text": f"q = {line:g}", "y": threshold}]
    if places.gutter:
        lower, upper = places.gutter
        shapes.append(wide | {"type": "rect", "line": {"width": 0}, "fillcolor": GUTTER_FILL, "y0": lower, "y1": upper})
        notes.append(right | {"text": "no evidence (q = 1)", "y": lower})
    if places.capped:
        notes.append(
            right | {"text": f"q below 10<sup>−{CEILING:g}</sup> stands at {CEILING:g}", "yref": "y domain", "y": 1}
        )
    return shapes, notes
