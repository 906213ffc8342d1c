"""Overlaps of sources of one SAE → a Plotly heat map; draws and computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from featurediff.charts.style import hover_label
from featurediff.charts.texts import text
from featurediff.compare.naming import shorten
from featurediff.labels import Labels
from featurediff.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from featurediff.compare.overlap import Overlap

MOST_NUMBERED_CELLS = 15
"""In a larger heat map numbers would not fit into cells."""

CELL, SMALL_CELL = 84, 24
"""Pixels: side of a cell with and without numbers."""

_SHARE = [[0, "#e3edf7"], [1, "#0b5394"]]
_DARK, _WHITE, _STRONG = "#10263b", "#ffffff", 0.68
"""What the numbers of a cell are written in; above this share white reads better."""

_LETTER = 7
"""Pixels that a letter of a tick takes."""


def overlap_map(
    found: Overlap,
    names: Sequence[str],
    labels: Labels | None = None,
    *,
    picked: tuple[int, int] | None = None,
    hint: str = "",
) -> go.Figure:
    """
    Draw which share of their features each two sources of one SAE have in common.

    Parameters
    ----------
    found : Overlap
        Of n sources.
    names : sequence of str
        What the chart calls them.
    labels : Labels, optional
        What prompt sets are called.
    picked : (int, int), optional
        Row and column of the cell with a frame.
    hint : str
        What hover texts end with: what a click does.

    Returns
    -------
    Figure
        A heat map of Jaccard's index, its diagonal left blank, and above it a point in the middle of every cell, with
        row and column as customdata: what a click reports, and what carries the numbers. A star marks sources with the
        same prompts.
    """
    labels, is_numbered = labels or Labels(), len(names) <= MOST_NUMBERED_CELLS
    colour = np.where(np.eye(len(names), dtype=bool), np.nan, found.jaccard)
    fig = go.Figure(layout_template="plotly_white")
    fig.add_trace(
        go.Heatmap(
            z=colour,
            zmin=0,
            zmax=1,
            colorscale=_SHARE,
            xgap=2,
            ygap=2,
            hoverinfo="skip",
            colorbar={"title": "Jaccard", "tickformat": ".1f", "thickness": 12},
            showscale=not is_numbered,
        )
    )
    ticks = [text(shorten(name)) for name in names]
    for ink, here in ((None, np.isnan(colour)), (_DARK, colour <= _STRONG), (_WHITE, colour > _STRONG)):
        hovers = [_hover(found, ticks, (row, column), labels) + hint for row, column in np.argwhere(here)]
        fig.add_trace(_points(found, here, hovers, ink, is_numbered=is_numbered))
    _lay_out_cells(fig, names, is_numbered=is_numbered)
    if picked:
        y, x = picked
        frame = {"color": "#e69f00", "width": 3}
        fig.add_shape(type="rect", x0=x - 0.48, x1=x + 0.48, y0=y - 0.48, y1=y + 0.48, line=frame)
    return fig


def _points(
    found: Overlap, here: NDArray[np.bool_], hovers: Sequence[str], ink: str | None, *, is_numbered: bool
) -> go.Scatter:
    """Return the points of the cells that are `here`, with their numbers in a colour."""
    row, column = np.nonzero(here)
    return go.Scatter(
        x=column,
        y=row,
        mode="markers+text" if is_numbered else "markers",
        marker={"opacity": 0, "size": 20},
        unselected={"marker": {"opacity": 0}},
        text=[_cell(found, i, j) for i, j in zip(row.tolist(), column.tolist(), strict=True)],
        textfont_color=ink,
        customdata=np.column_stack([row, column]).tolist(),
        hovertext=hovers,
        hoverinfo="text",
        hoverlabel=hover_label("#1f83c9"),
        showlegend=False,
    )


def _lay_out_cells(fig: go.Figure, names: Sequence[str], *, is_numbered: bool) -> None:
    """Give each cell its size, and the names the room beside and above the cells that they need."""
    n, side = len(names), CELL if is_numbered else SMALL_CELL
    ticks = [text(shorten(name)) for name in names]
    room = 20 + _LETTER * max(map(len, map(shorten, names)))
    is_tilted = room > side + 20
    axis = {"tickmode": "array", "tickvals": np.arange(n), "ticktext": ticks, "showgrid": False, "zeroline": False}
    fig.update_xaxes(axis, range=[-0.5, n - 0.5], side="top", tickangle=-40 if is_tilted else 0)
    fig.update_yaxes(axis, range=[n - 0.5, -0.5], scaleanchor="x", ticklabelstandoff=6)
    right = 10 if is_numbered else 90
    margin = {"l": room, "r": max(right, 0.7 * room * is_tilted), "t": 0.7 * room if is_tilted else 40, "b": 10}
    size = {"width": margin["l"] + margin["r"] + side * n, "height": margin["t"] + margin["b"] + side * n}
    fig.update_layout(margin=margin, **size, hoverdistance=-1)
    fig.update_layout(hovermode="closest", clickmode="event+select", dragmode=False)


def _cell(found: Overlap, row: int, column: int) -> str:
    """Return the numbers of a cell."""
    shared, jaccard, expected = (values[row, column] for values in (found.shared, found.jaccard, found.expected))
    star = "*" * bool(found.same_prompts[row][column])
    if row == column or np.isnan(jaccard):
        return f"{shared:,}{star}"
    by_chance = "" if np.isnan(expected) else f"<br><i>chance {_about(expected)}</i>"
    return f"<b>{shared:,}{star}</b><br>{jaccard:.2f}{by_chance}"


def _about(number: float) -> str:
    """Write an expected count: one digit after the point where it is small."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def _hover(found: Overlap, names: Sequence[str], at: tuple[int, int], labels: Labels) -> str:
    """Say what a cell shows; the names are escaped already."""
    row, column = at
    shared, jaccard, expected = int(found.shared[at]), found.jaccard[at], found.expected[at]
    if row == column:
        return f"<b>{names[row]}</b><br>{counted(shared, 'feature')}"
    sizes = found.shared[row, row], found.shared[column, column]
    index = "neither has any" if np.isnan(jaccard) else f"Jaccard {jaccard:.3f}"
    chance = "" if np.isnan(expected) else f"<br>{_about(expected)} would be shared by chance"
    same = " and ".join(text(labels.of(prompts)) for prompts in found.same_prompts[row][column])
    noise = f"<br>* the same {same} prompts, so they share noise" if same else ""
    sides = f"<br>{names[row]}: {sizes[0]:,}<br>{names[column]}: {sizes[1]:,}"
    return f"<b>{counted(shared, 'shared feature')}</b>: {index}{chance}{sides}{noise}"
