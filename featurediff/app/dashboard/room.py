"""How much room there is, and how large chart, table and details are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

SIDEBAR = 230
"""Pixels of the sidebar when the page is opened; a reader can drag it wider."""

GAP = 15
"""Pixels between chart and table: Streamlit's small gap."""

HEAD = 256
"""Pixels from the top of the window to the chart: Streamlit's own 90, the finding, two lines, and two rows."""

FOOT = 14
"""Pixels that stay free below the details."""

LEAST_CHART = (400, 320)
LEAST_DETAILS = 196
NARROW = 740
"""Pixels of width: below that, chart, table and details stand below each other."""

ONE_ROW = 590
"""Pixels of width: below that, what stands above the chart takes two rows."""

SHORT = 640
"""Pixels of height: a window that is narrow and lower, as at a zoom of 150 %, has less above the chart."""

LEAST_SHORT = 240
"""Pixels of height of the chart there, so that it is on the first screen."""


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    def less(self, height: int) -> Size:
        """Return the size without a strip of this height."""
        return Size(self.width, self.height - height)


@dataclass(frozen=True)
class Room:
    """The room that the page has; chart and table beside each other, and the details below, fill it."""

    width: int = 900
    """Pixels between the margins of the page; by default those of a window of 1280 × 800."""

    height: int = 800
    """Pixels of the window."""

    @classmethod
    def within(cls, width: float, height: float) -> Room:
        """Return the room that a browser told of, within bounds that make sense."""
        return cls(int(min(max(width, 280), 3_000)), int(min(max(height, 480), 2_000)))

    @property
    def is_narrow(self) -> bool:
        """Whether there is no room for the table beside the chart."""
        return self.width < NARROW

    @property
    def is_tall(self) -> bool:
        """Whether what is above the chart may take as many lines as it needs: narrow, but not short."""
        return self.is_narrow and self.height >= SHORT

    @property
    def chart(self) -> Size:
        """The chart: with nearly half of the width, and what the details leave of the height."""
        if self.is_narrow:
            return Size(self.width, min(self.width, 480, max(LEAST_SHORT, self.height - HEAD - FOOT)))
        width = max(LEAST_CHART[0], round(0.45 * self.width))
        return Size(width, max(LEAST_CHART[1], self.height - HEAD - self.details.height - FOOT))

    @property
    def table(self) -> Size:
        """The table, as high as the chart beside it."""
        if self.is_narrow:
            return Size(self.width, 330)
        return Size(self.width - self.chart.width - GAP, self.chart.height)

    @property
    def details(self) -> Size:
        """The details: a strip below both, of two fifths of the height where that leaves room for the chart."""
        if self.is_narrow:
            return Size(self.width, 480)
        height = self.height - HEAD - FOOT
        return Size(self.width, max(LEAST_DETAILS, min(round(0.4 * height), height - LEAST_CHART[1])))
