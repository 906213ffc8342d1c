"""A comparison of sources → one page that stands alone."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pandas as pd

from featurediff.charts.view import View, heading
from featurediff.compare.by_sae import group_by_sae
from featurediff.compare.count_words import (
    fit_in_words,
    groups_in_words,
    number_or_dash,
    prompts_in_words,
    same_in_words,
)
from featurediff.compare.counts import counts, side_by_side
from featurediff.compare.figures import count_bars, layer_lines
from featurediff.compare.heat_map import overlap_map
from featurediff.compare.naming import layer_series, short_names
from featurediff.compare.overlap import overlap, overlaps_of
from featurediff.compare.same_prompts import SHARED_NOISE, sharing_in_words
from featurediff.compare.summary import PUBLISHED
from featurediff.compare.words import HOW_TO_READ_CELLS, how_to_read, unequal_prompts, what_is_kept, what_is_shared
from featurediff.export import PLOT_CONFIG, WITHOUT_CDN, Provenance, whole_page
from featurediff.features.evidence import NOT_CORRECTED
from featurediff.labels import Labels
from featurediff.wording import number, percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import plotly.graph_objects as go

    from featurediff.compare.summary import Fault, Summary
    from featurediff.features.questions import Asked, Family
    from featurediff.features.thresholds import Thresholds

_LABELS = Labels()

_TABLE_STYLE = (
    "<style>.counts { overflow-x: auto } .counts td, .counts th "
    "{ white-space: nowrap; overflow-wrap: normal; padding: 3px 7px }</style>"
)
"""A table that is too wide scrolls by itself, and keeps its names in one piece."""

_BELOW = (
    "Share: of the published rule, those with evidence; else of the features tested. Same: equal numbers are the same "
    f"prompts; ?: no file says which they were. {NOT_CORRECTED}"
)


def comparison_page(
    sources: Sequence[Summary],
    faults: Sequence[Fault],
    thresholds: Thresholds,
    asked: Asked = PUBLISHED,
    family: Family = "position",
    *,
    offline: bool = True,
) -> str:
    """
    Return a page with counts, lines over layers, overlaps, and where the numbers come from.

    Parameters
    ----------
    sources : sequence of Summary
        At least one, tested.
    faults : sequence of Fault
        What could not be read: said on the page.
    thresholds : Thresholds
        What counted as exclusive.
    asked : Asked
        The question of the charts, the metric, and the largest q that is evidence.
    family : {"position", "source"}
        What q was corrected for together.
    offline : bool
        Whether plotly.js (4.8 MB) is inside; otherwise the page fetches it from Plotly's CDN.
    """
    tidy = counts(sources, asked.alpha, asked.metric)
    title = f"{heading(asked.question, _LABELS)}: {plural(len(sources), 'source')} compared"
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if any(source.is_synthetic for source in sources):
        parts.append("<p><b>Synthetic demo data.</b></p>")
    for fault in faults:
        parts.append(f"<p><b>{html.escape(fault.name)} could not be read:</b> {html.escape(fault.message)}</p>")
    parts += [f"<p>{html.escape(said)}</p>" for said in _remarks(sources, thresholds)]
    script: bool | str = True if offline else "cdn"
    for above, said, figures in _sections(sources, tidy, asked, thresholds):
        parts.append(f'<h2>{html.escape(above)}</h2>\n<p>{html.escape(said)}</p>\n<div class="charts">')
        for figure in figures:
            parts.append(figure.to_html(full_html=False, include_plotlyjs=script, config=PLOT_CONFIG))
            script = False
        parts.append("</div>")
    parts += [] if offline else [WITHOUT_CDN]
    if reason := group_by_sae(sources).reason:
        parts.append(f"<p>{html.escape(reason)}</p>")
    parts.append(f"<h2>All counts</h2>\n{_html_table(tidy, _names(sources))}\n<p>{html.escape(_BELOW)}</p>")
    facts = _facts(sources, thresholds, asked, family)
    return whole_page(title, "\n".join(parts), "Written by featurediff compare.", Provenance(tuple(facts)))


def _facts(
    sources: Sequence[Summary], thresholds: Thresholds, asked: Asked, family: Family
) -> Iterator[tuple[str, str]]:
    """Yield where the numbers come from."""
    yield "Question", asked.question
    yield "Exclusive means", View(thresholds=thresholds).rule()
    yield "Evidence means", f"q at most {number(asked.alpha)}"
    yield "Metric", asked.metric
    yield "Corrected for the features of", "all positions" if family == "source" else "each position"
    for source in sources:
        tests = sorted({test for test in source.evidence.tests.values() if test}) if source.evidence else []
        yield f"{source.name}: tests of base against chat", ", ".join(tests) or "none"
        for name, digest in source.files.items():
            yield f"{source.name}: {name}", f"SHA-256 {digest}"


def _remarks(sources: Sequence[Summary], thresholds: Thresholds) -> Iterator[str]:
    """Yield what a reader must know of the prompts before comparing counts."""
    if unequal := unequal_prompts(sources, thresholds, _LABELS):
        yield unequal
    if same := sharing_in_words(sources, _names(sources)):
        yield " ".join([*same, SHARED_NOISE])


def _names(sources: Sequence[Summary]) -> dict[str, str]:
    return dict(zip((source.name for source in sources), short_names(sources), strict=True))


def _sections(
    sources: Sequence[Summary], tidy: pd.DataFrame, asked: Asked, thresholds: Thresholds
) -> Iterator[tuple[str, str, list[go.Figure]]]:
    """Yield the charts with the heading above them and what they mean."""
    here = tidy[tidy["question"] == asked.question].reset_index(drop=True)
    kept = what_is_kept(asked, thresholds, _LABELS)
    said = f"{kept[:1].upper()}{kept[1:]}; a feature counts once per position. {how_to_read(asked)}"
    yield "Features of each source", said, [count_bars(here, _names(sources))]
    series = layer_series(here)
    if not series.empty:
        yield "Over the layers", "; ".join(series["series"].unique()), [layer_lines(series)]
    for found, shown in overlaps_of(sources, asked).items():
        group = found.sources
        maps = [overlap_map(found, short_names(group))]
        said = what_is_shared(shown, asked, _LABELS)
        if shown.question != "exclusive":
            said = f"{said} The second map is of the features that the published rule keeps."
            maps.append(overlap_map(overlap(group), short_names(group)))
        yield f"Shared features: {group[0].label}", f"{said} {HOW_TO_READ_CELLS}", maps


def _html_table(tidy: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Return the counts side by side, escaped; `names` is source → what the page calls it."""
    rows = side_by_side(tidy)
    records = rows.to_dict("records")
    cells = {
        ("", "Source"): rows["source"].map(names),
        ("", "Position"): rows["token_type"],
        (f"{_LABELS.target} + {_LABELS.control}", "prompts"): [prompts_in_words(row) for row in records],
        (f"{_LABELS.target} + {_LABELS.control}", "groups"): [groups_in_words(row) for row in records],
        (f"{_LABELS.target} + {_LABELS.control}", "same"): [same_in_words(row) for row in records],
        ("SAE fit", f"{_LABELS.base} / {_LABELS.chat}"): [fit_in_words(row) for row in records],
    }
    wanted = {
        "exclusive": {"kept": "kept", "significant": "evidence", "share": "share"},
        "changed": {"kept": "kept", "increase": "up", "decrease": "down", "share": "share"},
        "specific": {"kept": "kept", "increase": "up", "decrease": "down", "share": "share"},
        "any": {"kept": "kept"},
    }
    for question, columns in wanted.items():
        for value, name in columns.items():
            write = _share if value == "share" else number_or_dash
            cells[heading_of(question), name] = rows[f"{question}_{value}"].map(write)
    text: str = pd.DataFrame(cells).to_html(index=False, border=0)
    return f'{_TABLE_STYLE}\n<div class="counts" tabindex="0">\n{text}\n</div>'


def heading_of(question: str) -> str:
    """Return a question in a few words, for a table."""
    return {
        "exclusive": f"{_LABELS.target} only",
        "changed": f"Changed on {_LABELS.target}",
        "specific": f"More than on {_LABELS.control}",
        "any": "Any",
    }[question]


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{percent(value)} %"
