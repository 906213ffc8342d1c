"""What all charts of features share: where numbers come from, colours, symbols, and how texts are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.charts.colour import see_through
from featurediff.charts.packing import MARKER
from featurediff.charts.style import colours, hover_label
from featurediff.charts.texts import hover_texts, text
from featurediff.charts.view import View
from featurediff.features.evidence_columns import changes_on_control, goes_against
from featurediff.features.questions import Question, effect_of
from featurediff.labels import PROMPTS, SIDES, Labels, test_in_words
from featurediff.sources.origin import Origin
from featurediff.wording import round_p

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from featurediff.charts.plotly_json import Drawing

EXPLAINED_POINTS = 20_000
"""A chart of more points leaves explanations to the detail pane: they would be nearly all of its bytes."""

SMALLEST_Q = 1e-37
"""The smallest power of ten that float32 holds: a chart of many points would be twice as large for smaller q."""

LARGEST_ID = 2**24
"""Up to it float32 holds every whole number."""

SYMBOLS = {"both": "star", "base": "circle", "chat": "square", "neither": "diamond"}
SIZES = {"both": MARKER * 1.6, "base": MARKER, "chat": MARKER, "neither": MARKER * 1.2}
"""A star of the same diameter would be a third of a circle's area."""

INCONSISTENT_COLOUR = "#e3000f"
INCONSISTENT_LINE = {"width": 2.5, "color": INCONSISTENT_COLOUR}
CONSISTENT_WIDTH = 0.75
"""Of the border of the other points, in their own colour: the thick one is told from it without its red."""

FILL = 0.55
"""Opacity of what the border encloses, so that points that cover each other show."""


def point_traces(
    table: pd.DataFrame,
    at: tuple[NDArray[np.floating], NDArray[np.floating]],
    view: View,
    origin: Origin,
    numbers: tuple[NDArray[np.floating], ...],
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
    view : View
        Question, metric and labels.
    origin : Origin
        For colours and numbers of prompts.
    numbers : tuple of three ndarrays of shape (rows,)
        Base, chat and their difference.
    texts : ndarray of shape (kept,), optional
        From `hover_texts` of every kept feature; without them, those of the table are made.
    """
    labels, effect = view.labels, effect_of(view.question, view.metric)
    lines = [*value_lines(view.metric, labels), *evidence_lines(table, view.question, view.metric, labels)]
    palette = colours(origin.token_types)
    traces: list[dict[str, object]] = []
    found, x, y = custom_data(table, numbers, effect), at[0][table.index], at[1][table.index]
    ends = _ends(table, view, texts)
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
                "marker": _marker(exclusivity, palette[token_type], inconsistent=inconsistent),
                "customdata": found[here],
                **({} if ends is None else {"text": ends[here]}),
                "hovertemplate": _hover(
                    token_type, exclusivity, inconsistent, origin, labels, lines, has_text=ends is not None
                ),
                "hoverlabel": hover_label(palette[token_type]),
            }
        )
    return traces


def _marker(exclusivity: str, colour: str, *, inconsistent: bool) -> dict[str, object]:
    """Return what the points of a class look like, in the colour of their position."""
    return {
        "size": SIZES[exclusivity],
        "color": see_through(colour, FILL),
        "symbol": SYMBOLS[exclusivity],
        "line": INCONSISTENT_LINE if inconsistent else {"width": CONSISTENT_WIDTH, "color": colour},
        "opacity": 1,
    }


def _ends(table: pd.DataFrame, view: View, texts: NDArray[np.object_] | None) -> NDArray[np.object_] | None:
    """Return what ends each point's hover text; None where no point has any."""
    notes = notes_on_class(table, view)
    if len(table) > EXPLAINED_POINTS:
        return notes if notes.any() else None
    ends: NDArray[np.object_] = notes + (hover_texts(table) if texts is None else texts[table.index])
    return ends


def notes_on_class(rows: pd.DataFrame, view: View) -> NDArray[np.object_]:
    """Say what a reader of a row's class or effect may not expect: lines of hover text, "" where there is nothing."""
    found = np.full(len(rows), "", dtype=object)
    against = goes_against(rows, view.metric)
    sign = np.sign(rows[effect_of("exclusive", view.metric)].to_numpy())
    for way in (-1, 0, 1):
        found[against & (sign == way)] += f"<b>{text(view.labels.explain_change(way))}</b><br>"
    if view.question == "specific":
        found[changes_on_control(rows, view.metric)] += f"<b>{text(view.labels.explain_on_control())}</b><br>"
    return found


def class_lines(rows: pd.DataFrame, view: View) -> list[str]:
    """Say of each row in which models it is exclusive, and what speaks against that; lines of hover text."""
    said = []
    for exclusivity, inconsistent, note in zip(
        rows["exclusivity"], rows["inconsistent"], notes_on_class(rows, view), strict=True
    ):
        lines = [text(view.labels.explain(exclusivity))]
        lines += [text(view.labels.explain_inconsistent(exclusivity))] * inconsistent
        said.append("".join(f"<b>{line}</b><br>" for line in lines) + note)
    return said


def count_lines(origin: Origin, labels: Labels) -> list[str]:
    """Return the hover lines of the four counts, columns 4 to 7 of the customdata."""
    lines = []
    for i, (side, prompts) in enumerate((v, p) for v in SIDES for p in PROMPTS):
        whose = text(f"{labels.of(side)} {labels.of(prompts)}")
        lines.append(f"{whose}: %{{customdata[{4 + i}]:d}}/{origin.num_prompts[side, prompts]}")
    return lines


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


def custom_data(rows: pd.DataFrame, numbers: tuple[NDArray[np.floating], ...], effect: str) -> NDArray[np.floating]:
    """
    Return what the hover template shows of each point.

    Parameters
    ----------
    rows : DataFrame
        Rows of the feature table.
    numbers : tuple of three ndarrays of shape (rows,)
        The chart's own.
    effect : str
        The tested effect that the question is about.

    Returns
    -------
    ndarray of shape (rows, 12)
        Feature id, the three numbers, four counts (base before chat, target before control), and the effect with the
        ends of its interval (of frequencies in percentage points) and its q. float32, unless an id is above
        `LARGEST_ID`. Where a q is too small for it, up to `EXPLAINED_POINTS` points are float64; of more points, such a
        q is written as `SMALLEST_Q`.
    """
    found = [rows[f"{v}_{p}_num_active"].to_numpy() for v in SIDES for p in PROMPTS]
    q = cut(rows[f"{effect}_q"].to_numpy())
    factor = 100 if effect.startswith("sparsity") else 1
    evidence = [factor * rows[f"{effect}{ending}"].to_numpy() for ending in ("", "_low", "_high")]
    fits = bool(np.nanmin(q, initial=1) >= SMALLEST_Q)
    if not fits and len(rows) > EXPLAINED_POINTS:
        q, fits = np.maximum(q, SMALLEST_Q), True
    ids = rows["feature_id"].to_numpy()
    fits &= bool(ids.max(initial=0) <= LARGEST_ID)
    columns = [ids, *numbers, *found, *evidence, q]
    data = np.empty((len(rows), len(columns)), np.float32 if fits else np.float64)
    for i, column in enumerate(columns):
        data[:, i] = column
    return data


def cut(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return q as `wording.p_text` writes them: rounded, but not across 0.05 and the like."""
    values, which = np.unique(q, return_inverse=True)
    return np.array([round_p(value) for value in values.tolist()], dtype=np.float64)[which]


def _hover(
    token_type: str,
    exclusivity: str,
    inconsistent: bool,
    origin: Origin,
    labels: Labels,
    lines: Sequence[str],
    *,
    has_text: bool,
) -> str:
    """Return a trace's one hover template; the columns are those of `custom_data`."""
    found = [
        f"<b>Feature %{{customdata[0]:d}}</b> at {text(token_type)}",
        *lines,
        "",
        f"<b>{text(labels.explain(exclusivity))}</b>",
        *([f"<b>{text(labels.explain_inconsistent(exclusivity))}</b>"] if inconsistent else []),
    ]
    found += [*count_lines(origin, labels), *(["", "%{text}"] if has_text else [])]
    return "<br>".join(found) + "<extra></extra>"


def value_lines(metric: str, labels: Labels) -> list[str]:
    """Return the hover lines of base, chat and their difference, columns 1 to 3 of the customdata."""
    name = text(labels.metric(metric))
    return [
        f"{text(labels.base)} {name}: %{{customdata[1]:.4~r}}",
        f"{text(labels.chat)} {name}: %{{customdata[2]:.4~r}}",
        "Difference: %{customdata[3]:+.4~r}",
    ]


def evidence_lines(table: pd.DataFrame, question: Question, metric: str, labels: Labels) -> list[str]:
    """Return the hover lines of the effect that a question is about, columns 8 to 11 of the customdata."""
    effect = effect_of(question, metric)
    name = text(labels.effect(effect))
    tests = table[f"{effect}_test"].cat.categories
    if not len(tests):
        return ["", f"{name}: not tested"]
    value, low, high = (f"%{{customdata[{i}]:+.3~r}}" for i in (8, 9, 10))
    unit = " pp" if effect.startswith("sparsity") else ""
    tested = " or ".join(map(test_in_words, tests))
    return ["", f"<b>{name}: {value}{unit}</b> ({low} to {high})", f"q = %{{customdata[11]:~g}} ({tested})"]


def mark(drawing: Drawing, keys: Collection[tuple[str, int]]) -> None:
    """Dim all points but those of these (token_type, feature_id), as a drawn box does."""
    for trace in drawing["data"]:
        if "customdata" in trace:
            wanted = [feature_id for token_type, feature_id in keys if token_type == trace["legendgroup"]]
            trace["selectedpoints"] = np.flatnonzero(np.isin(trace["customdata"][:, 0], wanted)).tolist()
