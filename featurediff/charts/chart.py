"""One interface to the three charts of a view: where the kept features stand, and a figure of those shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from featurediff.charts.ranking import ranking, row_places
from featurediff.charts.scatter import scatter
from featurediff.charts.scatter_places import Layout, find_axes, lay_out
from featurediff.charts.volcano import volcano
from featurediff.charts.volcano_places import Places, lay_out_volcano
from featurediff.errors import DataError
from featurediff.features.filters import filter_table, is_one_of, rows_of
from featurediff.features.questions import effect_of
from featurediff.features.ranked import change_of, rank
from featurediff.wording import quoted

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from featurediff.charts.plotly_json import Drawing
    from featurediff.charts.scale import Scale
    from featurediff.charts.view import View
    from featurediff.sources.origin import Origin

P = TypeVar("P", Layout, Places)


class Chart(Protocol):
    """A chart of kept features."""

    def draw(self, rows: pd.DataFrame, view: View, *, titled: bool = True) -> Drawing:
        """Return the figure of some of the kept features."""

    def find(self, rows: pd.DataFrame, key: tuple[str, int]) -> tuple[float, float] | None:
        """Return where a (token_type, feature_id) stands in drawn units; None where it is not drawn."""


@dataclass(frozen=True, eq=False)
class ScatterChart:
    """Base against chat."""

    layout: Layout
    """Where every kept feature stands."""

    scale: Scale
    """Of both axes."""

    origin: Origin
    """For titles and colours."""

    texts: NDArray[np.object_] | None
    """Hover texts of every kept feature, where they are at hand."""

    def draw(self, rows: pd.DataFrame, view: View, *, titled: bool = True) -> Drawing:
        """Return the figure."""
        drawn = _placed(self.layout, rows)
        return scatter(drawn, self.layout, self.scale, view, self.origin, texts=self.texts, titled=titled)

    def find(self, rows: pd.DataFrame, key: tuple[str, int]) -> tuple[float, float] | None:
        """Return where a feature stands."""
        return _at(self.layout, rows, key)

    def stand(self, rows: pd.DataFrame) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return x and y of features, drawn units; NaN for those that are not drawn."""
        return self.layout.x[rows.index], self.layout.y[rows.index]

    @property
    def window(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper end of the axes, drawn units."""
        frame = self.layout.frame
        return frame.low, frame.high, frame.low, frame.high


@dataclass(frozen=True, eq=False)
class VolcanoChart:
    """Change against evidence."""

    places: Places
    """Where every kept feature stands."""

    origin: Origin
    """For titles and colours."""

    texts: NDArray[np.object_] | None
    """Hover texts of every kept feature, where they are at hand."""

    def draw(self, rows: pd.DataFrame, view: View, *, titled: bool = True) -> Drawing:
        """Return the figure."""
        drawn = _placed(self.places, rows)
        return volcano(drawn, self.places, view, self.origin, texts=self.texts, titled=titled)

    def find(self, rows: pd.DataFrame, key: tuple[str, int]) -> tuple[float, float] | None:
        """Return where a feature stands."""
        return _at(self.places, rows, key)

    def stand(self, rows: pd.DataFrame) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return x and y of features, drawn units; NaN for those that are not drawn."""
        return self.places.x[rows.index], self.places.y[rows.index]

    @property
    def window(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper end of the axes, drawn units."""
        return (*self.places.x_range, *self.places.y_range)


@dataclass(frozen=True, eq=False)
class RankingChart:
    """The largest changes of what is shown."""

    view: View
    """Question, metric and alpha that the changes are ranked by, and how many of them are listed."""

    origin: Origin
    """For titles and colours."""

    def draw(self, rows: pd.DataFrame, view: View, *, titled: bool = True) -> Drawing:
        """Return the figure."""
        return ranking(self.ranked(rows), view, self.origin, titled=titled)

    def find(self, rows: pd.DataFrame, key: tuple[str, int]) -> tuple[float, float] | None:
        """Return where a feature's dot stands."""
        ranked = self.ranked(rows)
        found = rows_of(ranked, [key])
        if found.empty:
            return None
        return float(found["effect"].iloc[0]), float(row_places(ranked)[found.index[0]])

    def ranked(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the ranking; see `ranked.rank`."""
        return rank(rows, self.view.asked, self.origin, self.view.top, by_share=self.view.by_share)


def make_chart(
    kept: pd.DataFrame,
    view: View,
    origin: Origin,
    texts: NDArray[np.object_] | None = None,
    plot: tuple[float, float] | None = None,
) -> Chart:
    """
    Place every kept feature for a view's chart; its filters and labels do not count.

    Parameters
    ----------
    kept : DataFrame
        The whole feature table with its tests.
    view : View
        Kind of chart, question, metric, alpha, scale and spread.
    origin : Origin
        For titles, colours and numbers of prompts.
    texts : ndarray of shape (kept,), optional
        From `texts.hover_texts`; without them each figure makes its own.
    plot : tuple of float, optional
        Width and height of what the axes enclose, in pixels; by default those of an exported page.
    """
    if view.chart == "ranking":
        return RankingChart(view, origin)
    plots = [plot] if plot else []
    is_known = _has_place(kept, view, origin)
    known = kept if is_known.all() else kept[is_known].reset_index(drop=True)
    if view.chart == "volcano":
        return VolcanoChart(_among_all(lay_out_volcano(known, view, origin, *plots), is_known), origin, texts)
    layout, scale = lay_out(known, view, *map(min, plots))
    return ScatterChart(_among_all(layout, is_known), scale, origin, texts)


def draw_chart(kept: pd.DataFrame, view: View, origin: Origin) -> Drawing:
    """
    Draw the kept features that pass a view's filters, as for an exported page.

    Parameters
    ----------
    kept : DataFrame
        The whole feature table with its tests.
    view : View
        What is drawn.
    origin : Origin
        For titles, colours and numbers of prompts.

    Raises
    ------
    DataError
        If it is a volcano, and the files do not hold what the tests need.
    """
    if view.chart == "volcano" and not len(kept[f"{effect_of(view.question, view.metric)}_test"].cat.categories):
        msg = (
            f"There is no volcano of {quoted(view.metric)}: its changes cannot be tested, as the files hold no "
            "means with standard deviations. Choose another chart or metric."
        )
        raise DataError(msg)
    return make_chart(kept, view, origin).draw(filter_table(kept, view.filters, view.metric, view.question), view)


def _has_place(kept: pd.DataFrame, view: View, origin: Origin) -> NDArray[np.bool_]:
    """Return which features have a value in both models; the others are in the table alone."""
    if view.chart == "volcano":
        if view.question == "specific":
            return np.ones(len(kept), dtype=np.bool_)
        return np.isfinite(change_of(kept, view.metric, origin)[2])
    axes = find_axes(kept, view.metric, view.question)
    return np.isfinite(axes.x) & np.isfinite(axes.y)


def _among_all(places: P, is_known: NDArray[np.bool_]) -> P:
    """Return places of all kept features, given those of the known ones; NaN for the others."""
    if is_known.all():
        return places
    x, y = (np.full(len(is_known), np.nan, dtype=at.dtype) for at in (places.x, places.y))
    x[is_known], y[is_known] = places.x, places.y
    return replace(places, x=x, y=y)


def _placed(places: Layout | Places, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a place."""
    is_placed = np.isfinite(places.x[rows.index])
    return rows if is_placed.all() else rows[is_placed]


def _at(places: Layout | Places, rows: pd.DataFrame, key: tuple[str, int]) -> tuple[float, float] | None:
    found = rows.index[is_one_of(rows, [key])]
    if not len(found) or np.isnan(places.x[found[0]]):
        return None
    return float(places.x[found[0]]), float(places.y[found[0]])
