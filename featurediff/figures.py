"""Feature table → Plotly figure; draws a table and computes nothing but what a reader sees."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from featurediff.diff import values
from featurediff.labels import PROMPTS, VERSIONS, Labels, Prompts, Version
from featurediff.scales import Scale, fit_scale
from featurediff.spread import MARKER, Frame, Layout, exact, spread

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from featurediff.results import Results
    from featurediff.scales import Choice

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

GRID = "rgba(128, 128, 128, 0.22)"
GUTTER_FILL = "rgba(128, 128, 128, 0.12)"
HOVER_WIDTH = 80
_LINE = re.compile(f"(.{{1,{HOVER_WIDTH}}})(?: |$)|(.{{{HOVER_WIDTH}}})")  # Python’s engine: a third of pyarrow’s time


@dataclass(frozen=True)
class Run:
    """What the chart says of where its numbers come from."""

    model: str
    """The model, as the result files name it."""

    layer: int
    """The SAE's layer."""

    trainer: str
    """The SAE, as the result files name it."""

    prompt_set: str = ""
    """The folder of the source; empty where files were given alone."""

    token_types: tuple[str, ...] = ()
    """All positions, in the files' order: what colours go by."""

    num_prompts: dict[tuple[Version, Prompts], int] = field(default_factory=dict)
    """Number of prompts of each (version, prompt set)."""

    @classmethod
    def of(cls, results: Results, prompt_set: str = "") -> Run:
        """Describe results."""
        meta = results.base.metadata
        return cls(
            model=meta.model_type,
            layer=meta.sae_layer,
            trainer=meta.sae_trainer,
            prompt_set=prompt_set,
            token_types=results.token_types,
            num_prompts={(v, p): getattr(results, v).metadata.num_prompts(p) for v in VERSIONS for p in PROMPTS},
        )

    @property
    def caption(self) -> str:
        """One line that names model, layer, SAE and prompt set."""
        parts = (self.model, f"SAE {self.trainer}", f"residual stream after layer {self.layer}", self.prompt_set)
        return " · ".join(part for part in parts if part)


def lay_out(
    kept: pd.DataFrame, metric: str, choice: Choice = "auto", *, spread_points: bool = True
) -> tuple[Layout, Scale]:
    """
    Place every kept feature; a chart of some of them picks its rows from this.

    Parameters
    ----------
    kept : DataFrame
        The whole feature table, before filters.
    metric : str
        Which metric the axes show.
    choice : {"auto", "linear", "sqrt", "symlog"}
        The axes' scale. `auto` is linear without spread, as exact coordinates should be.
    spread_points : bool
        Whether coincident points get places of their own.
    """
    if choice == "auto" and not spread_points:
        choice = "linear"
    scale = fit_scale(np.concatenate(values(kept, metric)), choice, metric)
    return (spread if spread_points else exact)(kept, metric, scale), scale


def colours(token_types: Sequence[str]) -> dict[str, str]:
    """Return a colour for each token type: a known name has its own, others follow in order."""
    spare = iter(OTHER_COLOURS)
    count = len(token_types)
    hues = (f"hsl({40 + 280 * i // count}, 45%, {35 + 20 * (i % 3)}%)" for i in range(count))
    return {name: KNOWN_COLOURS.get(name) or next(spare, None) or next(hues) for name in token_types}


def scatter(
    table: pd.DataFrame,
    metric: str,
    layout: Layout,
    scale: Scale,
    run: Run,
    labels: Labels | None = None,
    *,
    explained: bool = True,
    titled: bool = True,
) -> go.Figure:
    """
    Draw base (x) against chat (y), one point per kept (token_type, feature).

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table to draw. Its index picks their places from `layout`.
    metric : str
        Which metric to show.
    layout, scale : Layout, Scale
        From `lay_out` on the whole table.
    run : Run
        For title, colours and numbers of prompts.
    labels : Labels, optional
        What models and prompt sets are called.
    explained : bool
        Whether the hover text has explanations; never above `EXPLAINED_POINTS` points.
    titled : bool
        Whether the figure carries its title.

    Returns
    -------
    Figure
        A Scattergl trace per (token_type, exclusivity, inconsistent) that has rows, legendgroup the token type,
        customdata float32 with the feature id first.
    """
    labels = labels or Labels()
    explained = explained and len(table) <= EXPLAINED_POINTS
    outline = CONSISTENT_LINE if len(table) <= OUTLINED_POINTS else {"width": 0}
    palette = colours(run.token_types)
    fig = go.Figure(layout_template="plotly_white")
    for key, rows in table.groupby(["token_type", "exclusivity", "inconsistent"], observed=True):
        token_type, exclusivity, inconsistent = cast("tuple[str, str, bool]", key)
        hover = _hover(token_type, exclusivity, inconsistent, metric, run, labels, explained=explained)
        fig.add_trace(
            go.Scattergl(
                x=layout.x[rows.index],
                y=layout.y[rows.index],
                mode="markers",
                name=_text(labels.category(exclusivity, inconsistent)),
                legendgroup=token_type,
                legendgrouptitle_text=_text(token_type),
                marker={
                    "size": SIZES[exclusivity],
                    "color": palette[token_type],
                    "symbol": SYMBOLS[exclusivity],
                    "line": INCONSISTENT_LINE if inconsistent else outline,
                    "opacity": 0.7,
                },
                customdata=_custom_data(rows, metric, run),
                text=_wrap(rows["explanation"]) if explained else None,
                hovertemplate=hover,
                hoverlabel={"bgcolor": "white", "bordercolor": palette[token_type], "font": {"color": "#222222"}},
            )
        )
    _draw_no_change(fig, scale)
    _draw_axes(fig, metric, layout.frame, scale, labels)
    if titled:
        fig.update_layout(title=_title(metric, run, labels), margin_t=80)
    return fig


def mark(fig: go.Figure, keys: Collection[tuple[str, int]]) -> None:
    """Dim all points of a scatter but those of these (token_type, feature_id), as a drawn box does."""
    for trace in fig.select_traces({"type": "scattergl"}):
        wanted = [feature_id for token_type, feature_id in keys if token_type == trace.legendgroup]
        trace.selectedpoints = np.flatnonzero(np.isin(trace.customdata[:, 0], wanted)).tolist()


def heading(metric: str, labels: Labels) -> str:
    """Return the title of the chart, plain text."""
    return f"{labels.base} → {labels.chat} {labels.target} SAE Features: {labels.metric(metric)}"


def _title(metric: str, run: Run, labels: Labels) -> dict[str, object]:
    return {
        "text": _text(heading(metric, labels)),
        "subtitle": {"text": _text(run.caption)},
        "x": 0.01,
        "xanchor": "left",
        "font": {"size": 17},
    }


def _text(written: str) -> str:
    """Return what strangers wrote so that Plotly shows it as written: no markup, no placeholder, no TeX."""
    return html.escape(written, quote=False).replace("{", "&#123;").replace("$", "&#36;")


def _wrap(explanations: pd.Series) -> list[str]:
    """Return explanations as lines of `HOVER_WIDTH`, escaped; without a loop over them."""
    return list(
        explanations.fillna("No explanation available")
        .str.replace(r"\s+", " ", regex=True)
        .str.strip()
        .str.replace(_LINE, "\\1\\2\n", regex=True)
        .str.strip("\n")
        .str.replace("&", "&amp;", regex=False)
        .str.replace("<", "&lt;", regex=False)
        .str.replace(">", "&gt;", regex=False)
        .str.replace("$", "&#36;", regex=False)
        .str.replace("\n", "<br>", regex=False)
    )


def _custom_data(rows: pd.DataFrame, metric: str, run: Run) -> np.ndarray:
    """Return id, both values, their difference, the four counts and the four shares; float32 holds ids below 2**24."""
    base, chat = values(rows, metric)
    counts = [rows[f"{v}_{p}_num_active"].to_numpy() for v in VERSIONS for p in PROMPTS]
    sizes = [run.num_prompts[v, p] for v in VERSIONS for p in PROMPTS]
    shares = [count / size for count, size in zip(counts, sizes, strict=True)]
    return np.column_stack([rows["feature_id"], base, chat, chat - base, *counts, *shares]).astype(np.float32)


def _hover(
    token_type: str,
    exclusivity: str,
    inconsistent: bool,
    metric: str,
    run: Run,
    labels: Labels,
    *,
    explained: bool,
) -> str:
    """Return a trace's one hover template; the columns are those of `_custom_data`."""
    name = _text(labels.metric(metric))
    lines = [
        f"<b>Feature %{{customdata[0]:d}}</b> at {_text(token_type)}",
        f"{_text(labels.base)} {name}: %{{customdata[1]:.4~g}}",
        f"{_text(labels.chat)} {name}: %{{customdata[2]:.4~g}}",
        "Difference: %{customdata[3]:+.4~g}",
        "",
        f"<b>{_text(labels.explain(exclusivity))}</b>",
        *([f"<b>{_text(labels.explain_inconsistent(exclusivity))}</b>"] if inconsistent else []),
    ]
    for i, (version, prompts) in enumerate((v, p) for v in VERSIONS for p in PROMPTS):
        whose = _text(f"{labels.of(version)} {labels.of(prompts)}")
        count, share = f"%{{customdata[{4 + i}]:d}}", f"%{{customdata[{8 + i}]:.1%}}"
        lines.append(f"{whose}: {count}/{run.num_prompts[version, prompts]} ({share})")
    lines += ["", "%{text}"] if explained else []
    return "<br>".join(lines) + "<extra></extra>"


def _draw_no_change(fig: go.Figure, scale: Scale) -> None:
    ends = [scale.low, scale.high]
    fig.add_trace(
        go.Scatter(
            x=ends,
            y=ends,
            mode="lines",
            name="No change",
            line={"color": "gray", "dash": "dash", "width": 1.5},
            hovertemplate="No change<extra></extra>",
        )
    )


def _draw_axes(fig: go.Figure, metric: str, frame: Frame, scale: Scale, labels: Labels) -> None:
    axis: dict[str, object] = {
        "range": [frame.low, frame.high],
        "constrain": "domain",
        "showgrid": True,
        "gridcolor": GRID,
        "zeroline": False,
    }
    if frame.gutter or scale.name != "linear":
        ticks = scale.ticks()
        axis |= {
            "tickmode": "array",
            "tickvals": scale.place(ticks).tolist(),
            "ticktext": [f"{tick:.4g}" for tick in ticks],
        }
    name = _text(labels.metric(metric))
    fig.update_xaxes(axis, title=f"{_text(labels.base)}: {name}", scaleanchor="y", scaleratio=1, constraintoward="left")
    fig.update_yaxes(axis, title=f"{_text(labels.chat)}: {name}")
    fig.update_layout(
        hovermode="closest",
        clickmode="event",
        dragmode="zoom",
        legend={"title": "Activation position", "groupclick": "togglegroup", "x": 1.01},
        margin={"l": 60, "r": 10, "t": 30, "b": 50},
    )
    if frame.gutter:
        _draw_gutters(fig, frame, frame.gutter, scale, labels)


def _draw_gutters(fig: go.Figure, frame: Frame, gutter: tuple[float, float], scale: Scale, labels: Labels) -> None:
    outer, inner = gutter
    end = scale.range[1]
    start = outer if frame.corner else inner
    for x, y in (((outer, inner), (start, end)), ((inner, end), (outer, inner))):
        fig.add_shape(
            type="rect", layer="below", line_width=0, fillcolor=GUTTER_FILL, x0=x[0], x1=x[1], y0=y[0], y1=y[1]
        )
    note = {"showarrow": False, "font": {"size": 11}, "opacity": 0.8}
    silent_base, silent_chat = f"silent in {_text(labels.base)}", f"silent in {_text(labels.chat)}"
    fig.add_annotation(note, text=silent_base, x=outer, y=end, xanchor="left", yanchor="top")
    fig.add_annotation(note, text=silent_chat, x=end, y=outer, xanchor="right", yanchor="bottom")
    if frame.corner:
        fig.add_annotation(note, text="silent in both", x=outer, y=outer, xanchor="left", yanchor="top")
