"""What all charts of features share: where numbers come from, colours, symbols, and how texts are shown."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.labels import PROMPTS, VERSIONS, Labels
from featurediff.sources.origin import Run
from featurediff.spread import MARKER
from featurediff.wording import legible

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from featurediff.drawing import Drawing
    from featurediff.scales import Scale

OUTLINED_POINTS = 10_000
"""Among more points the thin black outlines would hide the colours."""

EXPLAINED_POINTS = 20_000
"""A chart of more points leaves explanations to the detail pane: they would be nearly all of its bytes."""

SYMBOLS = {"both": "star", "base": "circle", "chat": "square"}
SIZES = {"both": MARKER * 1.6, "base": MARKER, "chat": MARKER}
"""A star of the same diameter would be a third of a circle's area."""

INCONSISTENT_LINE = {"width": 1.5, "color": "#e3000f"}
CONSISTENT_LINE = {"width": 0.3, "color": "black"}

KNOWN_COLOURS = {"model": "#e69f00", "newline": "#1f83c9", "asst": "#009e73", "endheader": "#ecd21f"}
OTHER_COLOURS = ("#cc79a7", "#56b4e9", "#5b4b9a", "#8c8c8c", "#6b4f2a", "#44c2a5", "#1f3d5c", "#b9c86a")
"""Okabe and Ito's palette without its red, which would hide the border of inconsistent features, then more."""

_AXIS = {
    "gridcolor": "#EBF0F8",
    "linecolor": "#EBF0F8",
    "ticks": "",
    "title": {"standoff": 15},
    "zerolinecolor": "#EBF0F8",
    "automargin": True,
    "zerolinewidth": 2,
}
LOOK = {
    "autotypenumbers": "strict",
    "font": {"color": "#2a3f5f"},
    "hovermode": "closest",
    "hoverlabel": {"align": "left"},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "xaxis": _AXIS,
    "yaxis": _AXIS,
    "shapedefaults": {"line": {"color": "#2a3f5f"}},
    "annotationdefaults": {"arrowcolor": "#2a3f5f", "arrowhead": 0, "arrowwidth": 1},
    "title": {"x": 0.05},
}
"""What our charts show of the template `plotly_white`; the rest, as of maps, takes a third of a draw."""

GRID = "rgba(128, 128, 128, 0.22)"
GUTTER_FILL = "rgba(128, 128, 128, 0.12)"
NOTE = {"showarrow": False, "font": {"size": 11}, "opacity": 0.8}
"""What an annotation inside a chart looks like."""

HOVER_WIDTH = 80
_LINE = re.compile(rf"[^ \n].{{0,{HOVER_WIDTH - 1}}}(?= |$)|[^ \n].{{{HOVER_WIDTH - 1}}}|\n", re.MULTILINE)


def colours(token_types: Sequence[str]) -> dict[str, str]:
    """Return a colour for each token type: a known name has its own, others follow in order."""
    spare = iter(OTHER_COLOURS)
    count = len(token_types)
    hues = (f"hsl({40 + 280 * i // count}, 45%, {35 + 20 * (i % 3)}%)" for i in range(count))
    return {name: KNOWN_COLOURS.get(name) or next(spare, None) or next(hues) for name in token_types}


def point_traces(
    table: pd.DataFrame,
    at: tuple[NDArray[np.floating], NDArray[np.floating]],
    run: Run,
    labels: Labels,
    numbers: Callable[[pd.DataFrame], NDArray[np.floating]],
    lines: Sequence[str],
    texts: NDArray[np.object_] | None,
) -> list[dict[str, object]]:
    """
    Return a Scattergl trace per (token_type, exclusivity, inconsistent) that has rows.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table to draw. Its index picks their places.
    at : pair of ndarrays of shape (kept,)
        x and y of every kept feature, drawn units.
    run, labels : Run, Labels
        For colours and names.
    numbers : callable
        Rows → their `custom_data`, and more columns after it.
    lines : sequence of str
        Lines of the hover template that show the chart's own numbers.
    texts : ndarray of shape (kept,), optional
        From `hover_texts` of every kept feature; without them, those of the table are made.
    """
    explained = len(table) <= EXPLAINED_POINTS
    outline = CONSISTENT_LINE if len(table) <= OUTLINED_POINTS else {"width": 0}
    palette = colours(run.token_types)
    traces: list[dict[str, object]] = []
    found, x, y = numbers(table), at[0][table.index], at[1][table.index]
    ends = (hover_texts(table) if texts is None else texts[table.index]) if explained else None
    for (token_type, exclusivity, inconsistent), here in _kinds(table).items():
        traces.append(
            {
                "type": "scattergl",
                "x": x[here],
                "y": y[here],
                "mode": "markers",
                "name": text(labels.category(exclusivity, inconsistent)),
                "legendgroup": token_type,
                "legendgrouptitle": {"text": text(token_type)},
                "marker": {
                    "size": SIZES[exclusivity],
                    "color": palette[token_type],
                    "symbol": SYMBOLS[exclusivity],
                    "line": INCONSISTENT_LINE if inconsistent else outline,
                    "opacity": 0.7,
                },
                "customdata": found[here],
                **({} if ends is None else {"text": ends[here]}),
                "hovertemplate": _hover(token_type, exclusivity, inconsistent, run, labels, lines, explained=explained),
                "hoverlabel": hover_label(palette[token_type]),
            }
        )
    return traces


def _kinds(table: pd.DataFrame) -> dict[tuple[str, str, bool], NDArray[np.intp]]:
    """Return the rows of each (token_type, exclusivity, inconsistent) that there is, by number."""
    token_type, exclusivity = table["token_type"].cat, table["exclusivity"].cat
    shape = len(token_type.categories), len(exclusivity.categories), 2
    kinds = np.ravel_multi_index((token_type.codes, exclusivity.codes, table["inconsistent"].astype(np.int8)), shape)
    found = {}
    for kind in np.flatnonzero(np.bincount(kinds)):
        i, j, inconsistent = np.unravel_index(kind, shape)
        key = str(token_type.categories[int(i)]), str(exclusivity.categories[int(j)]), bool(inconsistent)
        found[key] = np.flatnonzero(kinds == kind)
    return found


def custom_data(rows: pd.DataFrame, numbers: tuple[NDArray[np.floating], ...], run: Run) -> NDArray[np.float32]:
    """
    Return what the hover template shows of each point.

    Parameters
    ----------
    rows : DataFrame
        Rows of the feature table.
    numbers : tuple of three ndarrays of shape (rows,)
        The chart's own.
    run : Run
        For the numbers of prompts.

    Returns
    -------
    ndarray of shape (rows, 12)
        Feature id, the three numbers, four counts (base before chat, target before control), their shares. float32
        holds ids below 2**24.
    """
    found = [rows[f"{v}_{p}_num_active"].to_numpy() for v in VERSIONS for p in PROMPTS]
    sizes = [run.num_prompts[v, p] for v in VERSIONS for p in PROMPTS]
    shares = [count / size for count, size in zip(found, sizes, strict=True)]
    columns = [rows["feature_id"].to_numpy(), *numbers, *found, *shares]
    data = np.empty((len(rows), len(columns)), np.float32)
    for i, column in enumerate(columns):
        data[:, i] = column
    return data


def _hover(
    token_type: str,
    exclusivity: str,
    inconsistent: bool,
    run: Run,
    labels: Labels,
    lines: Sequence[str],
    *,
    explained: bool,
) -> str:
    """Return a trace's one hover template; the columns are those of `custom_data`."""
    found = [
        f"<b>Feature %{{customdata[0]:d}}</b> at {text(token_type)}",
        *lines,
        "",
        f"<b>{text(labels.explain(exclusivity))}</b>",
        *([f"<b>{text(labels.explain_inconsistent(exclusivity))}</b>"] if inconsistent else []),
    ]
    for i, (version, prompts) in enumerate((v, p) for v in VERSIONS for p in PROMPTS):
        whose = text(f"{labels.of(version)} {labels.of(prompts)}")
        count, share = f"%{{customdata[{4 + i}]:d}}", f"%{{customdata[{8 + i}]:.1%}}"
        found.append(f"{whose}: {count}/{run.num_prompts[version, prompts]} ({share})")
    found += ["", "%{text}"] if explained else []
    return "<br>".join(found) + "<extra></extra>"


def hover_label(colour: str) -> dict[str, object]:
    """Return the look of hover texts over points of a colour."""
    return {"bgcolor": "white", "bordercolor": colour, "font": {"color": "#222222"}}


def value_lines(metric: str, labels: Labels) -> list[str]:
    """Return the hover lines of base, chat and their difference, columns 1 to 3 of the customdata."""
    name = text(labels.metric(metric))
    return [
        f"{text(labels.base)} {name}: %{{customdata[1]:.4~g}}",
        f"{text(labels.chat)} {name}: %{{customdata[2]:.4~g}}",
        "Difference: %{customdata[3]:+.4~g}",
    ]


def look_of_points(heading: str | None, run: Run) -> dict[str, object]:
    """Return the layout that charts of points share, with a title where there is one."""
    found: dict[str, object] = {
        "template": {"layout": LOOK},
        "hovermode": "closest",
        "clickmode": "event",
        "dragmode": "zoom",
        "legend": {"title": {"text": "Activation position"}, "groupclick": "togglegroup", "x": 1.01},
        # Plotly draws all points again where the texts of the axes need more.
        "margin": {"l": 72, "r": 10, "t": 80 if heading else 30, "b": 64},
    }
    return found | ({"title": title(heading, run)} if heading else {})


def value_axis(ends: tuple[float, float], name: str, scale: Scale | None) -> dict[str, object]:
    """Return an axis from end to end in drawn units, with the ticks of a scale; without one Plotly chooses them."""
    look: dict[str, object] = {
        "range": list(ends),
        "title": {"text": name},
        "showgrid": True,
        "gridcolor": GRID,
        "zeroline": False,
    }
    if scale:
        ticks = scale.ticks()
        look |= {
            "tickmode": "array",
            "tickvals": scale.place(ticks).tolist(),
            "ticktext": [f"{tick:.4g}".replace("-", "−") for tick in ticks],
        }
    return look


def mark(drawing: Drawing, keys: Collection[tuple[str, int]]) -> None:
    """Dim all points but those of these (token_type, feature_id), as a drawn box does."""
    for trace in drawing["data"]:
        if "customdata" in trace:
            wanted = [feature_id for token_type, feature_id in keys if token_type == trace["legendgroup"]]
            trace["selectedpoints"] = np.flatnonzero(np.isin(trace["customdata"][:, 0], wanted)).tolist()


def title(heading: str, run: Run) -> dict[str, object]:
    """Return a chart's title, with where its numbers come from below."""
    return {
        "text": text(heading),
        "subtitle": {"text": text(run.caption)},
        "x": 0.01,
        "xanchor": "left",
        "font": {"size": 17},
    }


def text(written: str) -> str:
    """Return what strangers wrote so that Plotly shows it as written: no markup, no placeholder, no TeX."""
    return html.escape(legible(written), quote=False).replace("{", "&#123;").replace("$", "&#36;")


def hover_texts(table: pd.DataFrame) -> NDArray[np.object_]:
    """Return what ends each point's hover text, read-only, of shape (rows,)."""
    texts = np.array(wrap(table["explanation"]), dtype=object)
    texts.setflags(write=False)
    return texts


def wrap(explanations: pd.Series) -> list[str]:
    """Return explanations as lines of `HOVER_WIDTH`, escaped."""
    found = explanations.notna().to_numpy()
    texts = np.full(len(explanations), "No explanation", dtype=object)
    lines = "\v".join(_LINE.findall("\n".join(_one_line(explanations[found]))))  # at once, not text by text
    lines = lines.replace("\v\n", "\n").replace("\n\v", "\n")
    texts[found] = _escape(lines).replace("\v", "<br>").split("\n")[: found.sum()]
    return list(texts)


def shorten(explanations: pd.Series, width: int) -> list[str]:
    """Return explanations cut to one line of at most `width` characters, escaped; missing is empty."""
    lines = _one_line(explanations.fillna(""))
    return [_escape(line if len(line) <= width else line[: width - 1].rstrip() + "…") for line in lines]


def _one_line(texts: pd.Series) -> list[str]:
    """Return texts without white space but single blanks between words, and without NUL."""
    return [
        line
        if line.isprintable() and "  " not in line and line == line.strip(" ")  # a blank is the one printable space
        else " ".join(line.replace("\0", " ").split())
        for line in texts
    ]


def _escape(lines: str) -> str:
    """Return text so that Plotly shows it as written; it is no template: braces stay."""
    return lines.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("$", "&#36;")
