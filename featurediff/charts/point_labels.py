"""Labels beside a few points: where they have room, so that none covers a point, another label or a gutter."""

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

_REACHES = (10, 24, 42, 64, 90, 120)
"""Pixels from the point to the nearest edge of its label."""

POINT = 5
"""Pixels round the middle of a point that a label leaves free."""


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
    texts: Sequence[Sequence[str]],
    plot: Rectangle,
    taken: Sequence[Rectangle],
    points: NDArray[np.float64],
) -> list[tuple[float, float, str] | None]:
    """
    Find a place for the label of each point.

    Parameters
    ----------
    at : ndarray of shape (labels, 2)
        The points, in pixels from the top left.
    texts : sequence of sequences of str
        What each label may say, what is wanted most first; the first labels choose first.
    plot : Rectangle
        Where labels may stand.
    taken : sequence of Rectangle
        Where they may not: gutters.
    points : ndarray of shape (points, 2)
        All points that are drawn, which no label covers.

    Returns
    -------
    list of (x, y, text) or None
        From each point to the middle of its label, in pixels, and what it says: of free places the nearest. None where
        there is no room.
    """
    used = list(taken)
    found: list[tuple[float, float, str] | None] = []
    for (x, y), choices in zip(at.tolist(), texts, strict=True):
        best = _first_free((x, y), choices, plot, used, points)
        found.append(best)
        if best:
            used.append(_rectangle(x + best[0], y + best[1], best[2]))
    return found


def _first_free(
    at: tuple[float, float],
    choices: Sequence[str],
    plot: Rectangle,
    used: Sequence[Rectangle],
    points: NDArray[np.float64],
) -> tuple[float, float, str] | None:
    """Return the nearest free place of the first text that has one."""
    (x, y), across = at, max(_REACHES) + CHARACTER * max(map(len, choices)) + POINT
    near = points[(np.abs(points - at) < (across, max(_REACHES) + HEIGHT + POINT)).all(axis=1)]
    for text in choices:
        for dx, dy in _offsets(text):
            place = _rectangle(x + dx, y + dy, text)
            is_free = plot.holds(place) and not any(place.meets(other) for other in used)
            if is_free and not _is_near(place, near):
                return dx, dy, text
    return None


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


def _is_near(place: Rectangle, points: NDArray[np.float64]) -> bool:
    """Whether a label in a place would cover a point."""
    x, y = points.T
    covered = (
        (x > place.left - POINT) & (x < place.right + POINT) & (y > place.top - POINT) & (y < place.bottom + POINT)
    )
    return bool(covered.any())
