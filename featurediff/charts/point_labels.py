"""Labels beside a few points: where they have room, so that none covers another one or a gutter."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FONT = 11
"""Pixels of the letters."""

CHARACTER = 6.2
"""Pixels of a character of that size, on average and rounded up."""

HEIGHT = 15
"""Pixels of a line."""

_ANGLES = np.deg2rad([0, -45, 45, 180, -135, 135, -90, 90, -20, 20, -160, 160])
"""Directions in which a label may stand, those to the right first; a screen's y runs down."""

_REACHES = (10, 24, 42, 64, 90)
"""Pixels from the point to the nearest edge of its label."""


class Rectangle(NamedTuple):
    """A rectangle on the screen, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Rectangle) -> bool:
        """Whether two rectangles have room in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: Rectangle) -> bool:
        """Whether another rectangle lies inside."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def place_labels(
    at: NDArray[np.float64],
    texts: Sequence[str],
    plot: Rectangle,
    taken: Sequence[Rectangle],
    points: NDArray[np.float64],
) -> list[tuple[float, float] | None]:
    """
    Find a place for the label of each point.

    Parameters
    ----------
    at : ndarray of shape (labels, 2)
        The points, in pixels from the top left.
    texts : sequence of str
        What the labels say; the first ones choose first.
    plot : Rectangle
        Where labels may stand.
    taken : sequence of Rectangle
        Where they may not: gutters.
    points : ndarray of shape (points, 2)
        All points that are drawn: of free places, that over the fewest is chosen, and of those the nearest.

    Returns
    -------
    list of (x, y) or None
        From each point to the middle of its label, in pixels; None where there is no room.
    """
    used = list(taken)
    found: list[tuple[float, float] | None] = []
    for (x, y), text in zip(at.tolist(), texts, strict=True):
        free = []
        for nearness, (dx, dy) in enumerate(_offsets(text)):
            place = _rectangle(x + dx, y + dy, text)
            if plot.holds(place) and not any(place.meets(other) for other in used):
                free.append((_count_inside(place, points), nearness, (dx, dy), place))
        best = min(free, default=None)
        found.append(best and best[2])
        if best:
            used.append(best[3])
    return found


def _offsets(text: str) -> list[tuple[float, float]]:
    """Return from a point to the middle of its label, for all places that are tried, the nearest first."""
    half = CHARACTER * len(text) / 2
    return [
        (float(np.cos(angle) * reach + np.sign(np.round(np.cos(angle), 6)) * half), float(np.sin(angle) * reach))
        for reach in _REACHES
        for angle in _ANGLES
    ]


def _rectangle(x: float, y: float, text: str) -> Rectangle:
    half = CHARACTER * len(text) / 2
    return Rectangle(x - half, y - HEIGHT / 2, x + half, y + HEIGHT / 2)


def _count_inside(place: Rectangle, points: NDArray[np.float64]) -> int:
    x, y = points.T
    return int(((x > place.left) & (x < place.right) & (y > place.top) & (y < place.bottom)).sum())
