"""Where features stand in the scatter: at their values, or in places of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurediff.charts.packing import (
    GAP,
    GUTTER,
    MARKER,
    PLOT,
    ROOM,
    Frame,
    find_room,
    fit_frame,
    lay_grid,
    number_piles,
    pack_gutter,
    rank_by_group,
)
from featurediff.charts.scale import Scale, fit_scale
from featurediff.charts.view import View
from featurediff.features.questions import Question, is_tested
from featurediff.features.table import values
from featurediff.labels import SIDES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.charts.scale import Choice

    Floats = NDArray[np.float64]

_TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class Layout:
    """Where every point of a table stands."""

    x: NDArray[np.float32 | np.float64]
    """Base, drawn units; shape (rows,)."""

    y: NDArray[np.float32 | np.float64]
    """Chat, drawn units; shape (rows,)."""

    frame: Frame
    """The axes' range."""


class Axes(NamedTuple):
    """What a scatter shows, each array of shape (rows,)."""

    x: NDArray[np.float64]
    """Base; or chat − base on control prompts."""

    y: NDArray[np.float64]
    """Chat; or chat − base on target prompts."""

    no_x: NDArray[np.bool_]
    """Features that are silent in base, so that they stand in the gutter beside the y-axis."""

    no_y: NDArray[np.bool_]
    """Features that are silent in chat."""


def shows_changes(table: pd.DataFrame, metric: str, question: Question) -> bool:
    """Whether a scatter shows the change on control against that on target: for `specific`, where both are known."""
    return question == "specific" and is_tested(metric) and f"base_{_on_control(metric)}" in table


def find_axes(table: pd.DataFrame, metric: str, question: Question) -> Axes:
    """Return what a scatter shows."""
    if shows_changes(table, metric, question):
        changes = [chat - base for base, chat in (values(table, name) for name in (_on_control(metric), metric))]
        nowhere = np.zeros(len(table), dtype=bool)
        return Axes(changes[0], changes[1], nowhere, nowhere)
    base, chat = values(table, metric)
    prompts = metric.partition("_")[0]
    silent = (
        (table[f"{side}_{prompts}_num_active"].to_numpy() == 0) & (value == 0)
        for side, value in zip(SIDES, (base, chat), strict=True)
    )
    return Axes(base, chat, *silent)


def _on_control(metric: str) -> str:
    return f"control_{metric.removeprefix('target_')}"


def exact(table: pd.DataFrame, metric: str, scale: Scale, question: Question = "exclusive") -> Layout:
    """Place every point at its values."""
    axes = find_axes(table, metric, question)
    low, high = scale.range
    if scale.name == "linear":
        return Layout(axes.x, axes.y, Frame(low, high, None))
    return Layout(scale.place(axes.x), scale.place(axes.y), Frame(low, high, None))


def spread(
    table: pd.DataFrame, metric: str, scale: Scale, question: Question = "exclusive", plot: float = PLOT
) -> Layout:
    """
    Place every point where no other one is.

    Along an axis of values a point moves by less than half the gap to the next value, never onto another value's tick,
    and never across the no-change line; those on that line stand round their place on it. A point does not move if it
    needs no room. The result depends on nothing but the table and the scale, and not on the order of rows.

    Parameters
    ----------
    table : DataFrame
        The feature table, all kept features: a filter must not move points.
    metric : str
        A metric of the table.
    scale : Scale
        Fitted to what is shown, see `find_axes`.
    question : {"exclusive", "changed", "specific", "any"}
        That the table answers.
    plot : float
        Pixels of a side of the square that the axes enclose.

    Returns
    -------
    Layout
        Positions as float32, what WebGL draws, all of them distinct.
    """
    axes = find_axes(table, metric, question)
    x, y = (scale.place(v).astype(np.float32).astype(np.float64) for v in (axes.x, axes.y))
    left, below, corner = axes.no_x & ~axes.no_y, axes.no_y & ~axes.no_x, axes.no_x & axes.no_y
    inside = ~(axes.no_x | axes.no_y)
    frame = fit_frame(scale, gutters=not inside.all(), corner=bool(corner.any()))
    pitch = MARKER * (frame.high - frame.low) / plot
    width = GUTTER * scale.span - pitch
    edge = scale.low - (GAP * scale.span + pitch / 2)
    ranks = rank_by_group(table)
    edges = frame.gutter[1] if frame.gutter else frame.low, frame.high
    fences = np.sort([*edges, *scale.place(scale.ticks())])
    rooms = find_room(x, fences, scale.span), find_room(y, fences, scale.span)

    out = np.column_stack([x, y])
    for rows, along in ((left, 1), (below, 0)):
        depth, moved = pack_gutter(out[rows, along], rooms[along][rows], ranks[rows], width, pitch)
        out[rows, along] = moved
        out[rows, 1 - along] = edge - depth
    if corner.any():
        n, in_pile = np.array([corner.sum()]), ranks[corner].argsort().argsort()
        out[corner] = edge - np.column_stack(lay_grid(n, in_pile, width, width, pitch, np.ceil(n**0.5)))
    out[inside] += _pack_inside(out[inside], np.column_stack(rooms)[inside], ranks[inside], pitch)
    drawn = out.astype(np.float32)
    return Layout(drawn[:, 0], drawn[:, 1], frame)


def _pack_inside(at: Floats, room: Floats, ranks: NDArray[np.int64], pitch: float) -> Floats:
    """
    Return by how much to move each point, shape (n, 2), so that those that coincide surround their true place.

    Where they would reach over the no-change line, they stand beside it.
    """
    above = at[:, 1] - at[:, 0]
    is_far = np.abs(above) > 8 * np.spacing(np.abs(at).max(axis=1).astype(np.float32))  # what rounding may take away
    towards = np.where(above == 0, np.inf, np.where(is_far, ROOM * np.abs(above), 0))
    within = room * (1 + np.minimum(1, towards / np.maximum(room.sum(axis=1), _TINY)))[:, None]
    pile, in_pile = number_piles(at, ranks)
    size = np.bincount(pile)[pile]
    width, height = within.T
    offsets = np.column_stack(lay_grid(size, in_pile, width, height, pitch, np.ceil(size**0.5)))
    extent = np.zeros((pile.max(initial=-1) + 1, 2))
    np.maximum.at(extent, pile, offsets)
    block = extent[pile]
    whole = block.sum(axis=1)
    over = np.maximum(0, whole / 2 - towards) / np.maximum(whole, _TINY)
    away: Floats = np.sign(above)[:, None] * [-1.0, 1.0] * over[:, None]
    return offsets - block / 2 + block * away


def lay_out(kept: pd.DataFrame, view: View, plot: float = PLOT) -> tuple[Layout, Scale]:
    """
    Place every kept feature; a chart of some of them picks its rows from this.

    Parameters
    ----------
    kept : DataFrame
        The whole feature table, before filters.
    view : View
        Its metric, scale, spread and question: base against chat; for `specific` the change on control against the
        change on target. The scale `auto` is linear without spread, as exact coordinates should be.
    plot : float
        Pixels of a side of the square that the axes enclose.
    """
    choice: Choice = "linear" if view.scale == "auto" and not view.spread else view.scale
    axes = find_axes(kept, view.metric, view.question)
    scale = fit_scale(np.concatenate([axes.x, axes.y]), choice, view.metric)
    if not view.spread:
        return exact(kept, view.metric, scale, view.question), scale
    return spread(kept, view.metric, scale, view.question, plot), scale
