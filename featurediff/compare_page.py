"""A comparison of sources → one page that stands alone."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pandas as pd

from featurediff.compare import counts, layer_series, short_names, table
from featurediff.compare_figures import count_bars, layer_lines, overlap_map
from featurediff.export import PLOT_CONFIG, Provenance, whole_page
from featurediff.labels import EXCLUSIVITIES, Labels
from featurediff.overlap import group_by_sae, overlap
from featurediff.significance import ALPHA, CAVEAT
from featurediff.study import View
from featurediff.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from featurediff.compare import Fault, Summary
    from featurediff.diff import Thresholds

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
    names = dict(zip((source.name for source in sources), short_names(sources), strict=True))
    figures: list[tuple[str, str, Sequence[go.Figure]]] = [
        ("Kept and significant features", f"{HOW_TO_READ} (q at most {max_q:g}). {CAVEAT}", [count_bars(tidy, names)])
    ]
    series = layer_series(tidy)
    if not series.empty:
        figures.append(("Over the layers", "", [layer_lines(series)]))
    groups = group_by_sae(sources)
    for group in groups.shared:
        names_here = short_names(group)
        maps = [overlap_map(overlap(group, max_q=q), names_here) for q in (None, max_q)]
        said = f"Kept at any position, then the significant ones among them. {HOW_TO_READ_CELLS}"
        figures.append((f"Shared features: {group[0].label}", said, maps))
    parts = [f"<h1>{html.escape(title)}</h1>"]
    has_script = False
    for heading, said, drawn in figures:
        parts.append(f"<h2>{html.escape(heading)}</h2>\n<p>{html.escape(said)}</p>")
        for figure in drawn:
            script = (not has_script) and (True if offline else "cdn")
            parts.append(figure.to_html(full_html=False, include_plotlyjs=script, config=PLOT_CONFIG))
            has_script = True
    if groups.reason:
        parts.append(f"<p>{html.escape(groups.reason)}</p>")
    parts.append(f"<h2>All counts</h2>\n{_html_table(tidy)}")
    for fault in faults:
        parts.append(f"<p><b>{html.escape(fault.name)} could not be read:</b> {html.escape(fault.message)}</p>")
    facts = [("Exclusive means", View(thresholds=thresholds).rule()), ("Significant means", f"q at most {max_q:g}")]
    facts += [
        (f"{source.name}: {name}", f"SHA-256 {digest}") for source in sources for name, digest in source.files.items()
    ]
    return whole_page(title, "\n".join(parts), "", Provenance(tuple(facts)))


def _html_table(tidy: pd.DataFrame) -> str:
    """Return the counts side by side, escaped."""
    rows = table(tidy)
    labels = Labels()
    named = {exclusivity: labels.category(exclusivity) for exclusivity in EXCLUSIVITIES} | {"all": "All"}
    cells = {("", "Source"): rows["source"], ("", "Position"): rows["token_type"]}
    for exclusivity, name in named.items():
        cells |= {(name, value): rows[f"{exclusivity}_{value}"].map("{:,}".format) for value in ("kept", "significant")}
    text: str = pd.DataFrame(cells).to_html(index=False, border=0)
    return text
