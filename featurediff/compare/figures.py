"""Counts and overlaps of several sources → Plotly figures; draws and computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from featurediff.charts.style import GRID, colours, hover_label
from featurediff.charts.texts import text
from featurediff.labels import EXCLUSIVE, Labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from featurediff.compare.overlap import Overlap

KEPT_OPACITY = 0.4
"""Kept features are pale, the significant ones among them solid."""

MOST_NUMBERED = 24
"""Beside more bars of a panel their numbers would touch."""

MOST_NUMBERED_CELLS = 15
"""In a larger heat map numbers would not fit into cells."""

BAR, ROW_GAP, PANEL, CELL, SMALL_CELL = 13, 12, 230, 84, 24
"""Pixels: height of a bar, gap between sources, height of a panel of lines, side of a cell with and without numbers."""

_SHARE = [[0, "#e3edf7"], [1, "#0b5394"]]
_DARK, _WHITE, _STRONG = "#10263b", "#ffffff", 0.68
"""What the numbers of a cell are written in; above this share white reads better."""

_LETTER = 7
"""Pixels that a letter of a tick takes."""


def count_bars(tidy: pd.DataFrame, names: Mapping[str, str], labels: Labels | None = None) -> go.Figure:
    """
    Draw how many features each source keeps, and how many of these are significant.

    Parameters
    ----------
    tidy : DataFrame
        From `compare.counts`.
    names : mapping
        Source → what the chart calls it; no name twice.
    labels : Labels, optional
        What models and prompt sets are called.

    Returns
    -------
    Figure
        A panel per exclusivity, a row per source. In each, two bars per token type with one beginning: kept, pale, and
        significant, solid.
    """
    labels = labels or Labels()
    token_types = list(tidy["token_type"].unique())
    palette = colours(token_types)
    fig = _panels(1, labels, share_y=True)
    sources = list(tidy["source"].unique())
    place = {source: i for i, source in enumerate(sources)}
    is_numbered = len(sources) * len(token_types) <= MOST_NUMBERED
    for (token_type, exclusivity), rows in _groups(tidy, token_types):
        for value in ("kept", "significant"):
            fig.add_trace(
                go.Bar(
                    y=rows["source"].map(place),
                    x=rows[value],
                    orientation="h",
                    offsetgroup=text(token_type),
                    customdata=rows["significant"].to_numpy(),
                    texttemplate="%{customdata:,} of %{x:,}" if is_numbered and value == "kept" else None,
                    textposition="outside",
                    textfont_size=11,
                    constraintext="none",
                    hovertemplate=_count_hover(rows, names, token_type, labels.category(exclusivity)),
                    marker={"color": _paint(palette[token_type], value), "line_width": 0},
                    **_look(token_type, value, palette[token_type], is_first=exclusivity == EXCLUSIVE[0]),
                ),
                row=1,
                col=1 + EXCLUSIVE.index(exclusivity),
            )
    row = ROW_GAP + BAR * len(token_types)
    fig.update_layout(barmode="group", bargap=ROW_GAP / row, bargroupgap=0.1, height=110 + row * len(sources))
    fig.update_xaxes(gridcolor=GRID, rangemode="tozero", tickformat=",d", nticks=5)
    ticks = {"tickvals": list(place.values()), "ticktext": [text(shorten(names[source])) for source in sources]}
    fig.update_yaxes(ticks, range=[len(sources) - 0.5, -0.5], showgrid=False, zeroline=False, ticklabelstandoff=6)
    fig.update_yaxes(automargin=True, col=1)
    if is_numbered:
        for column, exclusivity in enumerate(EXCLUSIVE, 1):  # room for the numbers beyond the longest bar
            longest = tidy.loc[tidy["exclusivity"] == exclusivity, "kept"].max()
            fig.update_xaxes(range=[0, 1.35 * max(longest, 1)], col=column)
    return fig


def layer_lines(series: pd.DataFrame, labels: Labels | None = None) -> go.Figure:
    """
    Draw how many features are kept and significant over the layers of a model.

    Parameters
    ----------
    series : DataFrame
        From `compare.layer_series`, with rows.
    labels : Labels, optional
        What models and prompt sets are called.

    Returns
    -------
    Figure
        A row of panels per series, a panel per exclusivity, x the layer. In each, two lines per token type: kept, pale,
        and significant, solid.
    """
    labels = labels or Labels()
    token_types = list(series["token_type"].unique())
    palette = colours(token_types)
    names = list(series["series"].unique())
    fig = _panels(len(names), labels, row_titles=_differing(names) if len(names) > 1 else None)
    for row, name in enumerate(names, 1):
        for (token_type, exclusivity), rows in _groups(series[series["series"] == name], token_types):
            for value in ("kept", "significant"):
                fig.add_trace(
                    go.Scatter(
                        x=rows["layer"],
                        y=rows[value],
                        mode="lines+markers",
                        line={"width": 2, "color": _paint(palette[token_type], value)},
                        customdata=rows[["source", "kept", "significant"]].map(_escaped).to_numpy(),
                        hovertemplate=f"<b>{text(labels.category(exclusivity))}</b> at {text(token_type)}, layer %{{x}}"
                        "<br>%{customdata[1]} kept, %{customdata[2]} significant<br>%{customdata[0]}<extra></extra>",
                        **_look(
                            token_type,
                            value,
                            palette[token_type],
                            is_first=row == 1 and exclusivity == EXCLUSIVE[0],
                        ),
                    ),
                    row=row,
                    col=1 + EXCLUSIVE.index(exclusivity),
                )
    layers = sorted(set(series["layer"]))
    ticks = {"tickmode": "array", "tickvals": layers} if len(layers) <= 10 else {}
    fig.update_xaxes(ticks, showgrid=False, zeroline=False)
    fig.update_xaxes(title="Layer", row=len(names))
    fig.update_yaxes(gridcolor=GRID, rangemode="tozero", tickformat=",d", nticks=5)
    fig.update_yaxes(title="Features", col=1)
    fig.update_layout(height=110 + PANEL * len(names), hovermode="closest")
    return fig


def overlap_map(
    found: Overlap, names: Sequence[str], *, picked: tuple[int, int] | None = None, hint: str = ""
) -> go.Figure:
    """
    Draw which share of their features each two sources of one SAE have in common.

    Parameters
    ----------
    found : Overlap
        Of n sources.
    names : sequence of str
        What the chart calls them.
    picked : (int, int), optional
        Row and column of the cell with a frame.
    hint : str
        What hover texts end with: what a click does.

    Returns
    -------
    Figure
        A heat map of Jaccard's index, its diagonal left blank, and above it a point in the middle of every cell, with
        row and column as customdata: what a click reports, and what carries the numbers.
    """
    n = len(names)
    ticks = [text(shorten(name)) for name in names]
    colour = np.where(np.eye(n, dtype=bool), np.nan, found.jaccard)
    row, column = (place.ravel() for place in np.indices((n, n)))
    numbers = [_cell(*cell) for cell in zip(found.shared.ravel().tolist(), colour.ravel().tolist(), strict=True)]
    is_numbered = n <= MOST_NUMBERED_CELLS
    scale = {"title": "Jaccard", "tickformat": ".1f", "thickness": 12}
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
            colorbar=scale,
            showscale=not is_numbered,
        )
    )
    for ink, here in ((None, np.isnan(colour)), (_DARK, colour <= _STRONG), (_WHITE, colour > _STRONG)):
        at = np.flatnonzero(here.ravel())
        fig.add_trace(
            go.Scatter(
                x=column[at],
                y=row[at],
                mode="markers+text" if is_numbered else "markers",
                marker={"opacity": 0, "size": 20},
                unselected={"marker": {"opacity": 0}},
                text=[numbers[i] for i in at],
                textfont_color=ink,
                customdata=np.column_stack([row[at], column[at]]).tolist(),
                hovertext=[_overlap_hover(found, ticks, row[i], column[i]) + hint for i in at],
                hoverinfo="text",
                hoverlabel=hover_label("#1f83c9"),
                showlegend=False,
            )
        )
    side = CELL if is_numbered else SMALL_CELL
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
    if picked:
        y, x = picked
        frame = {"color": "#e69f00", "width": 3}
        fig.add_shape(type="rect", x0=x - 0.48, x1=x + 0.48, y0=y - 0.48, y1=y + 0.48, line=frame)
    return fig


def shorten(name: str, longest: int = 46) -> str:
    """Cut the middle of a name that would take the room of the chart."""
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"


def _differing(names: Sequence[str]) -> list[str]:
    """Return the parts of series' names that differ, escaped and short enough to stand beside a row of panels."""
    parts = [name.split(" · ") for name in names]
    if len({len(row) for row in parts}) > 1:
        return [text(shorten(name, PANEL // 8)) for name in names]
    differ = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    short = (" · ".join(part for part, tells in zip(row, differ, strict=True) if tells) for row in parts)
    return [text(shorten(name, PANEL // 8)) for name in short]


def _panels(rows: int, labels: Labels, *, share_y: bool = False, row_titles: Sequence[str] | None = None) -> go.Figure:
    """Return empty panels, a column per exclusivity, below the legend."""
    fig = make_subplots(
        rows=rows,
        cols=len(EXCLUSIVE),
        shared_yaxes=share_y,
        column_titles=[text(labels.category(exclusivity)) for exclusivity in EXCLUSIVE],
        row_titles=row_titles,
        horizontal_spacing=0.05,
        vertical_spacing=0.5 / (rows + 1),
    )
    fig.update_layout(template="plotly_white", margin={"l": 10, "r": 10, "t": 70, "b": 40})
    at = {"x": 0, "xref": "container", "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top"}
    fig.update_layout(legend={"orientation": "h", **at})
    fig.update_annotations(font_size=13)
    return fig


def _groups(tidy: pd.DataFrame, token_types: Sequence[str]) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return the rows of each (token type, exclusivity), in the order of the legend."""
    found = dict(iter(tidy.groupby(["token_type", "exclusivity"], sort=False)))
    return [((t, e), found[t, e]) for t in token_types for e in EXCLUSIVE if (t, e) in found]


def _paint(colour: str, value: str) -> str:
    """Return a colour of the palette, pale for kept features."""
    if value != "kept":
        return colour
    if colour.startswith("hsl("):
        return f"hsla({colour[4:-1]}, {KEPT_OPACITY})"
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {KEPT_OPACITY})"


def _look(token_type: str, value: str, colour: str, *, is_first: bool) -> dict[str, object]:
    """Return what makes a trace one of a token type, and pale or solid."""
    name = text(f"{token_type}, {value}")
    return {
        "name": name,
        "legendgroup": name,
        "showlegend": is_first,
        "hoverlabel": hover_label(colour),
    }


def _count_hover(rows: pd.DataFrame, names: Mapping[str, str], token_type: str, category: str) -> list[str]:
    return [
        f"<b>{text(names[source])}</b><br>{text(category)} at {text(token_type)}<br>"
        f"{kept:,} kept, {significant:,} significant<extra></extra>"
        for source, kept, significant in zip(rows["source"], rows["kept"], rows["significant"], strict=True)
    ]


def _escaped(value: object) -> str:
    return text(value) if isinstance(value, str) else f"{value:,}"


def _cell(shared: int, jaccard: float) -> str:
    return f"{shared:,}" if np.isnan(jaccard) else f"{shared:,}<br>{jaccard:.2f}"


def _overlap_hover(found: Overlap, names: Sequence[str], row: int, column: int) -> str:
    """Say what a cell shows; the names are escaped already."""
    shared, jaccard = found.shared[row, column], found.jaccard[row, column]
    if row == column:
        return f"<b>{names[row]}</b><br>{shared:,} features"
    sizes = found.shared[row, row], found.shared[column, column]
    share = "neither has any" if np.isnan(jaccard) else f"Jaccard {jaccard:.3f}"
    return f"<b>{shared:,} shared features</b>: {share}<br>{names[row]}: {sizes[0]:,}<br>{names[column]}: {sizes[1]:,}"
