"""Counts of several sources → Plotly figures; draws and computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from featurediff.charts.colour import see_through
from featurediff.charts.style import GRID, colours, hover_label
from featurediff.charts.texts import text
from featurediff.compare.count_words import (
    WORDS,
    bar_ends,
    count_hovers,
    part_in_words,
    parts_shown,
    question_of,
    values_of,
)
from featurediff.compare.naming import shorten
from featurediff.labels import Labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from featurediff.features.questions import Question

KEPT_OPACITY = 0.4
"""Bars of kept features are pale, those of them with evidence solid."""

MOST_NUMBERED = 24
"""Beside more bars of a panel their numbers would touch."""

BAR, ROW_GAP, PANEL = 13, 12, 230
"""Pixels: height of a bar, gap between sources, height of a panel of lines."""

_LETTER, _ALL_PANELS = 6.2, 660
"""Pixels: a letter of the numbers at the ends of bars, and all panels together in a window of 1280."""

MOST_TICKS = 5
"""On an axis of counts."""


def count_bars(
    tidy: pd.DataFrame, names: Mapping[str, str], labels: Labels | None = None, *, hint: str = ""
) -> go.Figure:
    """
    Draw how many features each source keeps, and how many of these have evidence.

    Parameters
    ----------
    tidy : DataFrame
        From `compare.counts`, of one question.
    names : mapping
        Source → what the chart calls it; no name twice.
    labels : Labels, optional
        What models and prompt sets are called.
    hint : str
        What hover texts end with: what a click does.

    Returns
    -------
    Figure
        A panel per part of the question, a row per source. In each, a bar per token type; under the published rule two
        with one beginning: kept, pale, and those with evidence, solid. Each carries as customdata the number of its
        row of `compare.side_by_side`. What is not known yet has no bar.
    """
    labels, question = labels or Labels(), question_of(tidy)
    token_types, parts = list(tidy["token_type"].unique()), parts_shown(tidy)
    palette = colours(token_types)
    fig = _panels(1, _titles(question, parts, labels), share_y=True)
    sources = list(tidy["source"].unique())
    place = {source: i for i, source in enumerate(sources)}
    line = tidy.groupby(["source", "token_type"], sort=False).ngroup()
    is_numbered = len(sources) * len(token_types) <= MOST_NUMBERED
    for (token_type, part), rows in _groups(tidy, token_types, parts):
        for value in values_of(question):
            numbers = bar_ends(rows, question) if is_numbered and value == "kept" else None
            fig.add_trace(
                go.Bar(
                    y=rows["source"].map(place),
                    x=_floats(rows[value]),
                    orientation="h",
                    offsetgroup=text(token_type),
                    customdata=line[rows.index].to_numpy()[:, None],
                    text=numbers,
                    textposition="outside" if numbers else "none",
                    textfont_size=11,
                    constraintext="none",
                    cliponaxis=False,
                    hovertemplate=count_hovers(rows, names, labels, hint),
                    marker={
                        "color": _paint(palette[token_type], _is_pale(question, value)),
                        "line": {"width": 1, "color": palette[token_type]},  # a pale bar alone is hardly seen
                    },
                    **_look(token_type, value, palette[token_type], question, is_first=part == parts[0]),
                ),
                row=1,
                col=1 + parts.index(part),
            )
    _lay_out_rows(fig, [names[source] for source in sources], ROW_GAP + BAR * len(token_types))
    _fit_counts(fig, tidy, parts, is_numbered=is_numbered)
    return fig


def _lay_out_rows(fig: go.Figure, names: Sequence[str], height: int) -> None:
    """Give each source a row of a height in pixels, with its name beside it."""
    fig.update_layout(barmode="group", bargap=ROW_GAP / height, bargroupgap=0.1, height=110 + height * len(names))
    fig.update_layout(clickmode="event+select", dragmode=False)
    fig.update_xaxes(gridcolor=GRID, rangemode="tozero")
    ticks = {"tickvals": list(range(len(names))), "ticktext": [text(shorten(name)) for name in names]}
    fig.update_yaxes(ticks, range=[len(names) - 0.5, -0.5], showgrid=False, zeroline=False, ticklabelstandoff=6)
    fig.update_yaxes(automargin=True, col=1)


def _fit_counts(fig: go.Figure, tidy: pd.DataFrame, parts: Sequence[str], *, is_numbered: bool) -> None:
    """Fit the axis of each panel to its longest bar, and to the numbers at the ends of bars."""
    for column, part in enumerate(parts, 1):
        longest = _longest(tidy[tidy["part"] == part])
        room = _room(fig, column, len(parts)) if is_numbered else 1.05
        fig.update_xaxes(whole_ticks(longest), range=[0, room * longest], col=column)


def layer_lines(series: pd.DataFrame, labels: Labels | None = None) -> go.Figure:
    """
    Draw how many features are kept, and how many of these have evidence, over the layers of a model.

    Parameters
    ----------
    series : DataFrame
        From `compare.layer_series`, with rows, of one question.
    labels : Labels, optional
        What models and prompt sets are called.

    Returns
    -------
    Figure
        A row of panels per series, a panel per part of the question, x the layer. In each, a line per token type; under
        the published rule two: kept, dotted, and those with evidence, solid.
    """
    labels, question = labels or Labels(), question_of(series)
    token_types, parts = list(series["token_type"].unique()), parts_shown(series)
    palette = colours(token_types)
    names = list(series["series"].unique())
    titles = _titles(question, parts, labels)
    fig = _panels(len(names), titles, row_titles=_differing(names) if len(names) > 1 else None)
    for row, name in enumerate(names, 1):
        here = series[series["series"] == name]
        for column, part in enumerate(parts, 1):
            fig.update_yaxes(whole_ticks(_longest(here[here["part"] == part])), row=row, col=column)
        for (token_type, part), rows in _groups(here, token_types, parts):
            for value in values_of(question):
                fig.add_trace(
                    go.Scatter(
                        x=rows["layer"],
                        y=_floats(rows[value]),
                        mode="lines+markers",
                        line={
                            "width": 2,
                            "color": palette[token_type],
                            "dash": "dot" if _is_pale(question, value) else "solid",
                        },
                        hovertemplate=count_hovers(
                            rows, dict(zip(rows["source"], rows["source"], strict=True)), labels
                        ),
                        **_look(
                            token_type, value, palette[token_type], question, is_first=row == 1 and part == parts[0]
                        ),
                    ),
                    row=row,
                    col=1 + parts.index(part),
                )
    _lay_out_layers(fig, sorted(set(series["layer"])), len(names))
    return fig


def _lay_out_layers(fig: go.Figure, layers: Sequence[int], rows: int) -> None:
    """Set layers along the x-axes and counts along the y-axes of rows of panels."""
    ticks = {"tickmode": "array", "tickvals": layers} if len(layers) <= 10 else whole_ticks(layers[-1] - layers[0])
    fig.update_xaxes(ticks, showgrid=False, zeroline=False)
    fig.update_xaxes(title="Layer", row=rows)
    fig.update_yaxes(gridcolor=GRID, rangemode="tozero")
    fig.update_yaxes(title="Features", col=1)
    fig.update_layout(height=110 + PANEL * rows, hovermode="closest")


def _room(fig: go.Figure, column: int, panels: int) -> float:
    """Return how much longer than its longest bar a panel's axis is, so that the numbers at the ends of bars fit."""
    numbers = [number for bar in fig.select_traces(col=column) for number in bar.text or ()]
    letters = max(map(len, numbers), default=0)
    return 1 / (1 - min(0.6, _LETTER * letters * panels / _ALL_PANELS))


def whole_ticks(longest: float) -> dict[str, object]:
    """Return ticks that are whole numbers, at most `MOST_TICKS` beside 0: 1, 2 or 5 times a power of ten apart."""
    steps = (factor * 10**power for power in range(20) for factor in (1, 2, 5))
    step = next(step for step in steps if longest <= step * MOST_TICKS)
    return {"tick0": 0, "dtick": step, "tickformat": ",d"}


def _differing(names: Sequence[str]) -> list[str]:
    """Return the parts of series' names that differ, escaped and short enough to stand beside a row of panels."""
    parts = [name.split(" · ") for name in names]
    if len({len(row) for row in parts}) > 1:
        return [text(shorten(name, PANEL // 8)) for name in names]
    differ = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    short = (" · ".join(part for part, tells in zip(row, differ, strict=True) if tells) for row in parts)
    return [text(shorten(name, PANEL // 8)) for name in short]


def _panels(
    rows: int, titles: Sequence[str], *, share_y: bool = False, row_titles: Sequence[str] | None = None
) -> go.Figure:
    """Return empty panels, a column per title, below the legend."""
    fig = make_subplots(
        rows=rows,
        cols=len(titles),
        shared_yaxes=share_y,
        column_titles=list(titles),
        row_titles=row_titles,
        horizontal_spacing=0.05,
        vertical_spacing=0.5 / (rows + 1),
    )
    fig.update_layout(template="plotly_white", margin={"l": 10, "r": 10, "t": 70, "b": 40})
    at = {"x": 0, "xref": "container", "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top"}
    fig.update_layout(legend={"orientation": "h", **at})
    fig.update_annotations(font_size=13)
    return fig


def _is_pale(question: Question, value: str) -> bool:
    return value == "kept" and len(values_of(question)) > 1


def _titles(question: Question, parts: Sequence[str], labels: Labels) -> list[str]:
    return [part_in_words(question, part, labels) for part in parts]


def _groups(
    tidy: pd.DataFrame, token_types: Sequence[str], parts: Sequence[str]
) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return the rows of each (token type, part), in the order of the legend."""
    found = dict(iter(tidy.groupby(["token_type", "part"], sort=False)))
    return [((t, part), found[t, part]) for t in token_types for part in parts if (t, part) in found]


def _paint(colour: str, is_pale: bool) -> str:
    """Return a colour of the palette, or a pale one."""
    return see_through(colour, KEPT_OPACITY) if is_pale else colour


def _look(token_type: str, value: str, colour: str, question: Question, *, is_first: bool) -> dict[str, object]:
    """Return what makes a trace one of a token type, and pale or solid."""
    name = text(f"{token_type}, {WORDS[value]}" if len(values_of(question)) > 1 else token_type)
    return {
        "name": name,
        "legendgroup": name,
        "showlegend": is_first,
        "hoverlabel": hover_label(colour),
    }


def _floats(column: pd.Series) -> list[float | None]:
    """Return counts as Plotly takes them: None where they are not known."""
    return [None if number is pd.NA else number for number in column]


def _longest(tidy: pd.DataFrame) -> float:
    """Return the largest count, at least 1."""
    longest = tidy["kept"].max()
    return 1 if pd.isna(longest) else max(int(longest), 1)
