"""
Coincident points → places of their own, so that every feature can be seen and reached.

Features that are silent in one model share that model's value 0: nearly all of a diff lies on two lines. They move into
a gutter beside the axis and are packed across it like a dot histogram. Points that coincide inside the plot are packed
round their true place. Positions are in drawn units (see `scale.Scale`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.charts.scale import Scale

GUTTER = 0.24
"""Width of a gutter, as a share of the span of the values."""

GAP = 0.015
"""Room between a gutter and the plot, and beyond the gutter, as a share of the span."""

PLOT = 600
"""Pixels on which the pitch is laid out where no others are given: about the plot of an exported page."""

MARKER = 6
"""Diameter of a marker, and the pitch of a block that has room, in pixels."""

ROW = 3
"""Values closer than so many pixels share a row of a gutter."""

ROOM = 0.9
"""How much of half the gap to the next value, and of the way to the next tick, a point may move."""

MOST_ACROSS = 600
"""Points side by side at most, so that they are a pixel apart when their block fills the plot."""

GOLDEN = (np.sqrt(5) - 1) / 2
"""Multiples of it, modulo 1, fill an interval evenly: what keeps neighbours apart."""


@dataclass(frozen=True)
class Frame:
    """The drawn range that both axes share, and its gutters."""

    low: float
    """Left and lower end of the axes."""

    high: float
    """Right and upper end."""

    gutter: tuple[float, float] | None
    """Outer and inner edge of the gutters, the same on both axes; None where there are none."""

    corner: bool = False
    """Whether features silent in both models stand where the gutters meet."""


def fit_frame(scale: Scale, *, gutters: bool, corner: bool) -> Frame:
    """Return the axes' range, with room for the gutters if there are any."""
    low, high = scale.range
    if not gutters:
        return Frame(low, high, None)
    inner = scale.low - GAP * scale.span
    outer = inner - GUTTER * scale.span
    return Frame(outer - GAP * scale.span, high, (outer, inner), corner)


def rank_by_group(table: pd.DataFrame) -> NDArray[np.int64]:
    """Return each row's rank by token type, exclusivity, consistency and feature, so that colours stay together."""
    keys = (table["feature_id"], table["inconsistent"], table["exclusivity"].cat.codes, table["token_type"].cat.codes)
    rank = np.empty(len(table), dtype=np.int64)
    rank[np.lexsort([key.to_numpy() for key in keys])] = np.arange(len(table))
    return rank


def find_room(at: NDArray[np.float64], fences: NDArray[np.float64], span: float) -> NDArray[np.float64]:
    """Return how far each point may move to either side along an axis of this span with ticks and edges at `fences`."""
    distinct, which = np.unique(at, return_inverse=True)
    if distinct.size == 0:
        return at
    gaps = np.diff(distinct, prepend=-np.inf, append=np.inf)
    half_gap = np.minimum(gaps[:-1], gaps[1:]) / 2
    own = 1e-6 * span
    above = fences[np.searchsorted(fences, distinct + own)]
    below = fences[np.searchsorted(fences, distinct - own) - 1]
    to_fence = np.minimum(above - distinct, distinct - below)
    room: NDArray[np.float64] = ROOM * np.minimum(np.minimum(half_gap, to_fence), span / 8)
    return room[which]


def number_piles(keys: NDArray[np.float64], ranks: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the group of equal rows of `keys` that each point is in, and its place there by rank."""
    order = np.lexsort([ranks, *keys.T])
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = np.diff(keys[order], axis=0).any(axis=1)
    number = np.cumsum(is_first) - 1
    pile, in_pile = np.empty_like(order), np.empty_like(order)
    pile[order] = number
    in_pile[order] = np.arange(len(order)) - np.flatnonzero(is_first)[number]
    return pile, in_pile


def lay_grid(
    size: NDArray[np.int64],
    in_pile: NDArray[np.int64],
    width: NDArray[np.float64] | float,
    height: NDArray[np.float64] | float,
    pitch: float,
    most_rows: NDArray[np.float64] | float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Lay piles out on grids, column by column.

    Parameters
    ----------
    size, in_pile : ndarray of shape (n,)
        Of each point: how many its pile has, and its own place among them.
    width, height : ndarray of shape (n,), or float
        What its pile may fill, between the centres of the outermost points.
    pitch : float
        Wanted distance; smaller where the pile would not fit.
    most_rows : ndarray of shape (n,), or float
        Rows at most where the pile has room.

    Returns
    -------
    column, row : ndarray of shape (n,)
        Offsets from the first column and the first row.
    """
    n = np.maximum(size, 2)
    both = width + height
    fitting = (both + np.sqrt(both**2 + 4 * width * height * (n - 1))) / (2 * (n - 1))
    step = np.minimum(pitch, fitting)
    rows = 1 + np.floor(np.minimum(height / step, n) * (1 + 1e-9))
    rows = np.where(fitting < pitch, rows, np.minimum(rows, most_rows))
    rows = np.clip(np.maximum(rows, np.ceil(n / MOST_ACROSS)), 1, size)
    columns = np.ceil(size / rows)
    across = np.minimum(pitch, width / np.maximum(columns - 1, 1))
    along = np.minimum(pitch, height / np.maximum(rows - 1, 1))
    return in_pile // rows * across, in_pile % rows * along


def pack_gutter(
    at: NDArray[np.float64], room: NDArray[np.float64], ranks: NDArray[np.int64], width: float, pitch: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Pack points across a gutter.

    A row of the gutter with one value becomes a bar of the dot histogram, as thick as the value's room lets it. In a
    row with several values each point keeps to its own, one behind the other; a pile that is too large for that fills
    its room evenly.

    Returns
    -------
    depth, at : ndarray of shape (n,)
        Distance from the gutter's inner edge, and the place along the axis.
    """
    row = np.floor((at - at.min(initial=0)) / (pitch * ROW / MARKER))
    bar, place_in_bar = number_piles(row[:, None], ranks)
    pile, place_in_pile = number_piles(at[:, None], ranks)
    bar_size, pile_size = np.bincount(bar)[bar], np.bincount(pile)[pile]

    shared = bar_size > pile_size
    largest = np.max(bar_size, initial=0, where=~shared)
    depth, shift = lay_grid(bar_size, place_in_bar, width, 2 * room, pitch, np.ceil(largest / (1 + width // pitch)))
    thick = np.zeros(bar.max(initial=0) + 1)
    np.maximum.at(thick, bar, shift)
    shift = shift - thick[bar] / 2

    step = np.minimum(pitch, width / np.maximum(bar_size - 1, 1))
    crowded = (step < pitch) & (pile_size > 1)
    even = np.where(crowded, (2 * np.modf((place_in_pile + 1) * GOLDEN)[0] - 1) * room, 0)
    return np.where(shared, place_in_bar * step, depth), at + np.where(shared, even, shift)
