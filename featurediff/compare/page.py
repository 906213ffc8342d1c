"""A comparison of sources → one page that stands alone."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pandas as pd

from featurediff.charts.view import View
from featurediff.compare.counts import counts, layer_series, short_names, side_by_side
from featurediff.compare.figures import count_bars, layer_lines, overlap_map
from featurediff.compare.overlap import group_by_sae, overlap
from featurediff.export import PLOT_CONFIG, Provenance, whole_page
from featurediff.features.evidence import ALPHA, CAVEAT
from featurediff.labels import EXCLUSIVE, Labels
from featurediff.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import plotly.graph_objects as go

    from featurediff.compare.summary import Fault, Summary
    from featurediff.features.table import Thresholds

HOW_TO_READ = "Pale bars and lines count kept features, solid ones the significant among them"
"""What both charts of counts mean; the rule of significance follows."""

HOW_TO_READ_CELLS = (
    "A cell has the number of features that two sources share and, below, Jaccard’s index: their share of the features "
    "in either. The diagonal has the number of each source’s own."
)


def comparison_page(
    sources: Sequence[Summary],
    faults: Sequence[Fault],
    thresholds: Thresholds,
    max_q: float = ALPHA,
    *,
    offline: bool = True,
) -> str:
    """
    Return a page with counts, lines over layers, overlaps, and where the numbers come from.

    Parameters
    ----------
    sources : sequence of Summary
        At least one.
    faults : sequence of Fault
        What could not be read: said on the page.
    thresholds : Thresholds
        What counted as exclusive.
    max_q : float
        The largest `evidence_q` that counts as significant.
    offline : bool
        Whether plotly.js (4.8 MB) is inside; otherwise the page fetches it from Plotly's CDN.
    """
    tidy = counts(sources, max_q)
    title = f"Target-exclusive features of {plural(len(sources), 'source')}"
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if any(source.is_synthetic for source in sources):
        parts.append("<p><b>Synthetic demo data.</b></p>")
    for fault in faults:
        parts.append(f"<p><b>{html.escape(fault.name)} could not be read:</b> {html.escape(fault.message)}</p>")
    script: bool | str = True if offline else "cdn"
    for heading, said, figures in _sections(sources, tidy, max_q):
        parts.append(f'<h2>{html.escape(heading)}</h2>\n<p>{html.escape(said)}</p>\n<div class="charts">')
        for figure in figures:
            parts.append(figure.to_html(full_html=False, include_plotlyjs=script, config=PLOT_CONFIG))
            script = False
        parts.append("</div>")
    if reason := group_by_sae(sources).reason:
        parts.append(f"<p>{html.escape(reason)}</p>")
    parts.append(f"<h2>All counts</h2>\n{_html_table(tidy)}")
    facts = [("Exclusive means", View(thresholds=thresholds).rule()), ("Significant means", f"q at most {max_q:g}")]
    for source in sources:
        facts += [(f"{source.name}: {name}", f"SHA-256 {digest}") for name, digest in source.files.items()]
    return whole_page(title, "\n".join(parts), "Written by featurediff compare.", Provenance(tuple(facts)))


def _sections(
    sources: Sequence[Summary], tidy: pd.DataFrame, max_q: float
) -> Iterator[tuple[str, str, list[go.Figure]]]:
    """Yield the charts with the heading above them and what they mean."""
    names = dict(zip((source.name for source in sources), short_names(sources), strict=True))
    said = f"{HOW_TO_READ}: q at most {max_q:g} in a model in which the feature is exclusive. {CAVEAT}"
    yield "Kept and significant features", said, [count_bars(tidy, names)]
    series = layer_series(tidy)
    if not series.empty:
        yield "Over the layers", "; ".join(series["series"].unique()), [layer_lines(series)]
    for group in group_by_sae(sources).shared:
        maps = [overlap_map(overlap(group, max_q=q), short_names(group)) for q in (None, max_q)]
        said = f"Features kept at any position, and the significant ones among them. {HOW_TO_READ_CELLS}"
        yield f"Shared features: {group[0].label}", said, maps


def _html_table(tidy: pd.DataFrame) -> str:
    """Return the counts side by side, escaped."""
    rows = side_by_side(tidy)
    labels = Labels()
    named = {exclusivity: labels.category(exclusivity) for exclusivity in EXCLUSIVE} | {"all": "All"}
    cells = {("", "Source"): rows["source"], ("", "Position"): rows["token_type"]}
    for exclusivity, name in named.items():
        cells |= {(name, value): rows[f"{exclusivity}_{value}"].map("{:,}".format) for value in ("kept", "significant")}
    text: str = pd.DataFrame(cells).to_html(index=False, border=0)
    return text
