"""Named groups of features that a reader brings along, outlined in the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurediff.app.dashboard.small_csv import read_id, read_small_csv
from featurediff.app.safe_text import escape_markdown
from featurediff.errors import DataError
from featurediff.wording import counted, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from featurediff.charts.plotly_json import Drawing

FeatureGroups = tuple[tuple[str, tuple[int, ...]], ...]
"""(name, feature ids) of each group."""

MOST_GROUPS = 5
MAX_NAME = 40
"""Characters of a group’s name."""

OUTLINES = ("#b346b0", "#d0531c", "#15857b", "#767676", "#4a74e8")
"""Colours of the outlines, each with a contrast of at least 3 on both backgrounds of charts."""


def parse_groups(data: bytes, name: str) -> FeatureGroups:
    """
    Read groups of features.

    Parameters
    ----------
    data : bytes
        CSV in UTF-8 with `feature_id` and `group`; other columns are left out.
    name : str
        What the file is called in messages.

    Returns
    -------
    tuple of (str, tuple of int)
        The groups and their features, in the file's order.

    Raises
    ------
    DataError
        If it is not such a file, a group has no name or a long one, or there are more than `MOST_GROUPS`.
    """
    groups: dict[str, dict[int, None]] = {}
    for number, (cell, group) in read_small_csv(data, name, ("feature_id", "group")):
        group = group.strip()
        if not group or len(group) > MAX_NAME:
            msg = f"`{name}`: the group in row {number} has {len(group)} characters, but expected 1 to {MAX_NAME}."
            raise DataError(msg)
        groups.setdefault(group, {})[read_id(cell, number, name)] = None
        if len(groups) > MOST_GROUPS:
            msg = f"`{name}` has the groups {listed(groups)}, but expected at most {MOST_GROUPS}."
            raise DataError(msg)
    return tuple((group, tuple(ids)) for group, ids in groups.items())


def count_groups(groups: FeatureGroups, rows: pd.DataFrame) -> list[str]:
    """Say how many rows of the feature table are of each group, in Markdown with the colour of its outline."""
    ids = rows["feature_id"]
    return [
        rf"$\textcolor{{{colour}}}{{\large\circ}}$ {escape_markdown(name)}: {int(ids.isin(members).sum()):,} shown, "
        f"of {counted(len(members), 'feature')}"
        for (name, members), colour in zip(groups, OUTLINES, strict=False)
    ]


def outline_groups(drawing: Drawing, groups: FeatureGroups) -> list[Mapping[str, object]]:
    """Return a trace for each group that draws a ring round its points; it takes no click and no hover."""
    points = [trace for trace in drawing["data"] if "customdata" in trace]
    traces: list[Mapping[str, object]] = []
    for (_, members), colour in zip(groups, OUTLINES, strict=False):
        x: list[float] = []
        y: list[float] = []
        wanted = set(members)
        for trace in points:
            inside = [feature_id in wanted for feature_id in trace["customdata"][:, 0].tolist()]
            x += trace["x"][inside].tolist()
            y += trace["y"][inside].tolist()
        ring = {"size": 12, "color": "rgba(0, 0, 0, 0)", "line": {"width": 2, "color": colour}}
        look = {"type": "scattergl", "mode": "markers", "hoverinfo": "skip", "showlegend": False}
        traces.append(look | {"x": x, "y": y, "marker": ring})
    return traces
