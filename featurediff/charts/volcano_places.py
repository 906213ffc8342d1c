"""Where features stand in the volcano: near their change and q, in places of their own, on the right side of lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

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
from featurediff.charts.scale import Scale, fit_scale
from featurediff.charts.view import View
from featurediff.features.evidence import ALPHA
from featurediff.features.questions import effect_of
from featurediff.features.ranked import change_of
from featurediff.sources.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.charts.scale import Choice

    Floats = NDArray[np.float64]
    Ranges = tuple[tuple[float, float], tuple[float, float]]

PLOT = (620.0, 450.0)
"""Pixels, across and up, on which the pitch is laid out where no others are given."""

CEILING = 300.0
"""−log10 q of smaller q, which float64 cannot always hold: q = 0 stands here too."""

LINES = (0.1, ALPHA, 0.01, 0.001)
"""The q that people draw a line at: packing moves no point across one, nor across the alpha of the view."""

FARTHEST = 8.0
"""Pixels from its values at which a point stands at most; in the strip of q = 1, from its change."""

_SAME = 1e-6
"""Two places are one where they differ by less than this share of an axis."""


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
    """Fitted to −log10 q, 0 and the lines of `ALPHA` and of the view's alpha."""

    x_range: tuple[float, float]
    """Left and right end of the plot."""

    y_range: tuple[float, float]
    """Lower and upper end."""

    gutter: tuple[float, float] | None
    """Lower and upper edge of the strip for features whose q is 1; None where there is none."""

    capped: bool
    """Whether a q is too small to be drawn where it belongs."""

    untested: bool
    """Whether a feature has no q, and so stands with those whose q is 1."""


class Sides(NamedTuple):
    """The lines at some q, and where a point may stand so that it is on the side of each that its q is on."""

    lines: Floats
    """In drawn units, ascending; shape (lines,)."""

    lowest: NDArray[np.float32]
    """Shape (rows,); drawn units that float32 holds, as are those of `highest`."""

    highest: NDArray[np.float32]
    """Shape (rows,)."""


class Fences(NamedTuple):
    """What no point is moved past along an axis, its ends among them; in pixels, each of shape (fences,), ascending."""

    places: Floats
    """Where they are."""

    low: Floats
    """Values from here on are on the fence, or above it."""

    high: Floats
    """Values from here on are above it."""


def lay_out_volcano(kept: pd.DataFrame, view: View, origin: Origin, plot: tuple[float, float] = PLOT) -> Places:
    """
    Place every kept feature; a chart of some of them picks its rows from this.

    Points at most `ROW` pixels apart are packed round the middle of their places, at most `FARTHEST` pixels from their
    own; none is moved past another change or q farther off than `ROW`, past a tick of the x-axis, or across no change,
    one of `LINES` or alpha. Those of no change, which have no side, stand round their place. Features whose q is 1
    stand in a strip below. The result depends on nothing but the table and the view, and not on the order of rows.

    Parameters
    ----------
    kept : DataFrame
        The whole feature table with its tests, before filters.
    view : View
        Metric and question say whose effect the axes show, see `questions.effect_of`. A q that is not known stands with
        those of 1. The scale is that of both axes: `auto` finds one for each, and is linear without spread. With spread
        points get places of their own, distinct as float32; otherwise they stand at their values.
    origin : Origin
        For the numbers of prompts.
    plot : tuple of float
        Width and height of what the axes enclose, in pixels.
    """
    metric = view.metric
    choice: Choice = "linear" if view.scale == "auto" and not view.spread else view.scale
    smallest, effect = 10.0**-CEILING, effect_of(view.question, metric)
    is_specific = view.question == "specific"
    change = np.nan_to_num(kept[effect].to_numpy()) if is_specific else change_of(kept, metric, origin)[2]
    given = kept[f"{effect}_q"].to_numpy()
    q = np.nan_to_num(given, nan=1.0)
    lines = [1, *LINES, max(view.alpha, smallest)]
    evidence = 0.0 - np.log10(np.maximum(q, smallest))
    x_scale = fit_scale(np.append(change, 0), choice, metric)
    y_scale = fit_scale(np.append(evidence, [0, *-np.log10([ALPHA, lines[-1]])]), choice, "q")
    in_gutter = (evidence == 0) & view.spread
    frame = fit_frame(y_scale, gutters=bool(in_gutter.any()), corner=False)
    ranges = x_scale.range, (frame.low, frame.high)
    at: NDArray[np.floating] = np.column_stack([x_scale.place(change), y_scale.place(evidence)])
    if view.spread:
        sides = _find_sides(q, lines, y_scale)
        at = _spread(at, x_scale, sides, ranges, in_gutter, frame.gutter, rank_by_group(kept), plot)
    capped, untested = bool((q < smallest).any()), bool(np.isnan(given).any())
    return Places(at[:, 0], at[:, 1], x_scale, y_scale, *ranges, frame.gutter, capped=capped, untested=untested)


def _find_sides(q: Floats, limits: Sequence[float], scale: Scale) -> Sides:
    """Return lines at some q, of which a q that is equal is above; by q itself, as rounding could change the side."""
    ascending = np.unique(limits)
    exact = scale.place(-np.log10(ascending[::-1]))
    at = exact.astype(np.float32)
    at = np.where(at < exact, np.nextafter(at, np.float32(np.inf)), at)
    passed = len(ascending) - np.searchsorted(ascending, q, side="left")
    infinity = np.array([np.inf], dtype=np.float32)
    lowest = np.concatenate([-infinity, at])[passed]
    highest = np.concatenate([np.nextafter(at, -infinity), infinity])[passed]
    return Sides(at.astype(np.float64), lowest, highest)


def _spread(
    values: NDArray[np.floating],
    x_scale: Scale,
    sides: Sides,
    ranges: Ranges,
    in_gutter: NDArray[np.bool_],
    gutter: tuple[float, float] | None,
    ranks: NDArray[np.int64],
    plot: tuple[float, float],
) -> NDArray[np.float32]:
    """Return drawn places of shape (rows, 2), all distinct; `values` are the exact ones."""
    change = values[:, 0]
    size = np.where(change == 0, 0, np.maximum(np.abs(change), _SAME * x_scale.span))  # none is taken for no change
    y = np.clip(values[:, 1].astype(np.float32), sides.lowest, sides.highest)
    true = np.column_stack([np.copysign(size, change).astype(np.float32), y]).astype(np.float64)
    start, end = np.array(ranges).T
    pixel = (end - start) / np.array(plot)
    at, inside = (true - start) / pixel, ~in_gutter
    ticks, lines, zero = x_scale.place(x_scale.ticks()), sides.lines, -start[0] / pixel[0]
    fences = (
        _fence(np.append(ticks, 0), start[0], pixel[0], plot[0], are_ticks=True),
        _fence(lines, start[1], pixel[1], plot[1], are_ticks=False),
    )
    cells = np.stack([_cut(at[:, 0], fences[0])[:, inside], _cut(at[inside, 1], fences[1])], axis=-1)
    moved = at.copy()
    moved[inside] = _pack(at[inside], cells, ranks[inside])
    if gutter:
        bottom, top = (np.array(gutter) - start[1]) / pixel[1]
        to_zero = np.where(change == 0, np.inf, np.abs(at[:, 0] - zero))
        room = np.minimum(np.minimum(find_room(at[:, 0], fences[0].places, plot[0]), ROOM * to_zero), FARTHEST)[
            in_gutter
        ]
        depth, along = pack_gutter(at[in_gutter, 0], room, ranks[in_gutter], top - bottom - MARKER, MARKER)
        moved[in_gutter] = np.column_stack([along, top - MARKER / 2 - depth])
    drawn: NDArray[np.float32] = (true + (moved - at) * pixel).astype(np.float32)
    drawn[inside, 1] = np.clip(drawn[inside, 1], sides.lowest[inside], sides.highest[inside])
    return drawn


def _fence(places: Floats, start: float, pixel: float, span: float, *, are_ticks: bool) -> Fences:
    """
    Return the fences of an axis from `start` on, in pixels.

    A value that is nearly at a tick is on it, and may move to either side; at 0 only one that is 0. A value at a line
    is above it.
    """
    at = np.unique(np.clip((np.append(places, [start, start + span * pixel]) - start) / pixel, 0, span))
    if not are_ticks:
        return Fences(at, at, at)
    zero = (0 - start) / pixel
    near = np.where(at == zero, 0, _SAME * span)
    return Fences(at, at - near, np.where(at == zero, np.nextafter(at, np.inf), at + near))


def _pack(at: Floats, cells: Floats, ranks: NDArray[np.int64]) -> Floats:
    """Return places in pixels, shape (n, 2): points in the same cells on a grid round the middle of their places."""
    number, low, high = cells
    pile, in_pile = number_piles(number, ranks)
    size = np.bincount(pile)[pile]
    least, most = np.full_like(at, np.inf), np.full_like(at, -np.inf)
    np.minimum.at(least, pile, at)
    np.maximum.at(most, pile, at)
    middle = (least[pile] + most[pile]) / 2
    reach = FARTHEST / np.sqrt(2) - (most - least)[pile] / 2
    low, high = np.maximum(low, middle - reach), np.minimum(high, middle + reach)
    width, height = (high - low).T
    most_rows = np.maximum(np.ceil(size**0.5), np.ceil(size / (1 + width // MARKER)))
    offsets = np.column_stack(lay_grid(size, in_pile, width, height, MARKER, most_rows))
    extent = np.zeros_like(at)
    np.maximum.at(extent, pile, offsets)
    return np.clip(middle - extent[pile] / 2, low, high - extent[pile]) + offsets


def _cut(at: Floats, fences: Fences) -> Floats:
    """
    Cut an axis into cells of values at most `ROW` pixels apart, none of them across a fence.

    Returns
    -------
    ndarray of shape (3, n)
        Of each point: the number of its cell, and how far down and up the cell's points may move: most of half the way
        to the next value, and not to a fence.
    """
    distinct, which = np.unique(at, return_inverse=True)
    above_fence = np.searchsorted(fences.high, distinct, side="right")
    part = above_fence + np.searchsorted(fences.low, distinct, side="right")
    starts, next_start = [], 0
    while next_start < len(distinct):  # at most a cell for every ROW pixels and two for every fence
        starts.append(next_start)
        within = np.searchsorted(distinct, distinct[next_start] + ROW, side="right")
        next_start = min(int(within), int(np.searchsorted(part, part[next_start], side="right")))
    cell = np.searchsorted(starts, np.arange(len(distinct)), side="right") - 1
    ends = np.bincount(cell).cumsum() - 1
    lowest, highest = distinct[starts], distinct[ends]
    walls = (highest[:-1] + lowest[1:]) / 2
    below = np.maximum(np.append(-np.inf, walls), fences.places[above_fence[starts] - 1])
    above = np.minimum(np.append(walls, np.inf), fences.places[np.searchsorted(fences.low, highest, side="right")])
    low, high = lowest - ROOM * (lowest - below), highest + ROOM * (above - highest)
    return np.stack([cell, low[cell], high[cell]])[:, which]
