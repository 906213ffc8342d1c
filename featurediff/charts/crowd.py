"""Points that no eye can tell apart → a density, so that a chart of many features is drawn as fast as one of few."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurediff.wording import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL = 6
"""Pixels of a side of a cell: about a marker. Points of one cell cover each other."""

MOST_POINTS = 3_000
"""A chart of at most so many points has no density, and draws all of at most so many with evidence."""

COLOURS = ((0.0, "#919191"), (1.0, "#666666"))
"""From the cell with the fewest features to that with the most; both are seen on white and on a dark page."""


class Crowd(NamedTuple):
    """Which points are drawn one by one, and how many of the others there are where."""

    alone: NDArray[np.bool_]
    """Points that are drawn; shape (points,)."""

    counts: NDArray[np.int64]
    """Points of each cell that are not; shape (cells up, cells across)."""

    x: NDArray[np.float64]
    """Middle of each column of cells, drawn units."""

    y: NDArray[np.float64]
    """Middle of each row, from below."""

    sure: int
    """How many points with evidence are counted, not drawn."""


def find_crowd(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    q: NDArray[np.float64],
    alpha: float,
    window: tuple[float, float, float, float],
    plot: tuple[float, float],
) -> Crowd:
    """
    Tell points that can be told apart from a crowd.

    A point is drawn if no other point is in its cell, or if it has evidence; of more than `MOST_POINTS` with evidence,
    the surest of each cell. What is outside the window is not drawn.

    Parameters
    ----------
    x, y : ndarray of shape (points,)
        Drawn units.
    q : ndarray of shape (points,)
        Those of the question; NaN where nothing is tested.
    alpha : float
        A q of at most this is evidence.
    window : tuple of float
        Left, right, lower and upper end of the axes, drawn units.
    plot : tuple of float
        Width and height of the plot in pixels.
    """
    left, right, low, high = window
    across, up = (max(1, round(pixels / CELL)) for pixels in plot)
    column = np.floor((x - left) / (right - left) * across)
    row = np.floor((y - low) / (high - low) * up)
    inside = (column >= 0) & (column < across) & (row >= 0) & (row < up)
    cell = np.where(inside, row * across + column, 0).astype(np.int64)
    size = np.bincount(cell[inside], minlength=across * up)
    sure = inside & (q <= alpha)
    drawn = sure if sure.sum() <= MOST_POINTS else _first_of_each(cell, q, sure)
    alone = inside & (drawn | (size[cell] == 1))
    counts = np.bincount(cell[inside & ~alone], minlength=across * up).reshape(up, across)
    columns, rows = (
        start + (np.arange(number) + 0.5) * (end - start) / number
        for start, end, number in ((left, right, across), (low, high, up))
    )
    return Crowd(alone, counts, columns, rows, int((sure & ~alone).sum()))


def _first_of_each(cell: NDArray[np.int64], q: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of some points have the smallest q of their cell; of equal ones, the first."""
    at = np.flatnonzero(among)
    at = at[np.lexsort((q[at], cell[at]))]
    _, first = np.unique(cell[at], return_index=True)
    found = np.zeros(len(cell), dtype=np.bool_)
    found[at[first]] = True
    return found


def draw_crowd(crowd: Crowd) -> dict[str, object]:
    """Return the trace of a crowd: a cell is darker the more features it has, in proportion to the logarithm."""
    some = crowd.counts > 0
    shade = np.where(some, np.log1p(crowd.counts), np.nan)
    return {
        "type": "heatmap",
        "x": crowd.x,
        "y": crowd.y,
        "z": shade,
        "text": np.where(some, crowd.counts, 0),
        "colorscale": COLOURS,
        "showscale": False,
        "hovertemplate": "%{text:,} features: zoom in to tell them apart<extra></extra>",
        "hoverongaps": False,
    }


def say_crowd(crowd: Crowd, alpha: float) -> dict[str, object]:
    """Return the annotation that says what the density shows, above the plot and the name of a gutter."""
    which = f", {crowd.sure:,} of them with q ≤ {number(alpha)}" if crowd.sure else f" with q > {number(alpha)}"
    return {
        "text": f"grey: {crowd.counts.sum():,} features{which}, too close to tell apart",
        "xref": "paper",
        "yref": "paper",
        "x": 1,
        "y": 1,
        "xanchor": "right",
        "yanchor": "bottom",
        "yshift": 13,
        "showarrow": False,
        "font": {"size": 11},
    }


def catch(box: dict[str, object], x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.bool_]:
    """
    Return which points are in a box or lasso, as Plotly has it in `layout.selections`.

    Parameters
    ----------
    box : dict
        A rectangle with `x0`, `x1`, `y0`, `y1`, or a `path` "Mx,yLx,y…Z".
    x, y : ndarray of shape (points,)
        Drawn units.
    """
    if box["type"] == "rect":
        x0, x1, y0, y1 = (float(str(box[name])) for name in ("x0", "x1", "y0", "y1"))
        inside: NDArray[np.bool_] = (x >= min(x0, x1)) & (x <= max(x0, x1)) & (y >= min(y0, y1)) & (y <= max(y0, y1))
        return inside
    corners = np.array([pair.split(",") for pair in str(box["path"])[1:-1].split("L")], dtype=np.float64)
    inside = np.zeros(len(x), dtype=np.bool_)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (ay > y) != (by > y)  # the side lies across the line that runs from the point to the right
        with np.errstate(divide="ignore", invalid="ignore"):
            at = ax + (y - ay) * (bx - ax) / (by - ay)
        inside ^= crosses & (x < at)
    return inside
