"""Feature table and figure → files that can be taken away: CSV, Parquet, a click-through HTML page."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING

from featurediff.charts.plotly_json import to_json
from featurediff.charts.style import MINUS_SIGNS
from featurediff.charts.view import View, caption, heading
from featurediff.csv_files import to_csv
from featurediff.features.evidence import CAVEAT
from featurediff.features.questions import effect_of
from featurediff.features.table import with_difference
from featurediff.labels import test_in_words
from featurediff.study import Study
from featurediff.version import package_version
from featurediff.wording import legible, number

if TYPE_CHECKING:
    import pandas as pd

    from featurediff.charts.plotly_json import Drawing
    from featurediff.meaning.pages import FeaturePages

PLOT_CONFIG = {
    "displaylogo": False,
    "doubleClick": "reset",
    "scrollZoom": True,
    "toImageButtonOptions": {"format": "svg", "filename": "featurediff"},
}
"""Plotly's own options, the same in the app and on an exported page."""

_OPEN_ON_CLICK = """
document.getElementById("chart").on("plotly_click", (event) => {
  const id = event.points[0].customdata?.[0];
  if (id !== undefined) window.open(%s.replace("{feature_id}", id), "_blank", "noopener");
});
"""

_MINUSES = (
    MINUS_SIGNS
    + """new MutationObserver(() => {
  const chart = document.getElementById("chart");
  if (chart.querySelector(".hoverlayer")) writeMinuses(chart);
}).observe(document.getElementById("chart"), { childList: true, subtree: true });
"""
)

_PLOTLY = files("plotly") / "package_data" / "plotly.min.js"
_CHART = b"""
<div id="chart" class="plotly-graph-div" style="height: %b"></div>
<script>
Plotly.newPlot("chart", %b, %b, %b);%b%b</script>"""

WITHOUT_CDN = """
<p id="no-plotly" hidden>Nothing can be drawn: this page fetches plotly.js from cdn.plot.ly, which cannot be reached.
Open it where it can be, or export it again without --cdn.</p>
<script>
if (!window.Plotly) {
  document.getElementById("no-plotly").hidden = false;
  document.querySelectorAll(".plotly-graph-div").forEach((div) => div.remove());
}
</script>"""
"""What a page that fetches plotly.js says in the place of its charts where it gets none; after the last of them."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0 auto; max-width: 1040px; padding: 12px; color: #2a3f5f; background: white }}
body {{ font: 14px/1.5 "Open Sans", Verdana, Arial, sans-serif }}
.charts {{ display: flex; flex-wrap: wrap; gap: 0 32px }}
.charts > div {{ flex: 1 1 360px; min-width: 0 }}
table {{ border-collapse: collapse; margin: 8px 0 }}
td, th {{ padding: 2px 10px; text-align: right; border-bottom: 1px solid #eee; font-variant-numeric: tabular-nums }}
th {{ font-weight: 600; vertical-align: bottom }}
td:nth-child(-n+2), th:nth-child(-n+2) {{ text-align: left; overflow-wrap: anywhere }}
.lead {{ font-size: 15px; margin: 8px 0 }}
footer {{ border-top: 1px solid #ddd; margin-top: 8px; padding-top: 8px; font-size: 12px }}
footer p {{ margin: 0 0 6px }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 0 12px; margin: 0 }}
dd {{ margin: 0; overflow-wrap: anywhere }}
.selectionlayer path {{ pointer-events: stroke !important }} /* points inside a drawn box can be clicked */
</style>
</head>
<body>
<main>
{body}
</main>
<footer>
<p>{hint}</p>
<dl>
{facts}
</dl>
</footer>
</body>
</html>
"""


@dataclass(frozen=True)
class Provenance:
    """Where an exported page's numbers come from, as a reader can check it."""

    facts: tuple[tuple[str, str], ...]
    """What and its value, in reading order: files and their SHA-256, thresholds, filters, labels."""

    def lines(self) -> list[tuple[str, str]]:
        """Return the facts with date and version after them."""
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        return [*self.facts, ("Made", f"{now} by featurediff {package_version()}")]


def title(study: Study, view: View) -> str:
    """Return the title of a view's chart, plain text."""
    return f"{heading(view.question, view.labels)} · {caption(view.metric, view.labels, study.origin)}"


def citation(study: Study, view: View, link: str) -> str:
    """Return a text that says what a view shows, of which files, and where; `link` opens it."""
    made = datetime.now(UTC).strftime("%Y-%m-%d")
    filters = "; ".join(view.filters_in_words()) or "no filter"
    digests = "\n".join(f"{name}: SHA-256 {digest}" for name, digest in study.files.items())
    return (
        f"{title(study, view)}. featurediff {package_version()}, {made}.\n{link}\n"
        f"{_tests(study, view)}.\nExclusive means {view.rule()}; {filters}.\n{digests}"
    )


def provenance(study: Study, view: View, rows: int, kept: int) -> Provenance:
    """Return what an exported page says of itself: `rows` shown of `kept`."""
    labels = view.labels
    filters = "; ".join(view.filters_in_words()) or "no filter"
    words = f"base: {labels.base}, chat: {labels.chat}, target: {labels.target}, control: {labels.control}"
    return Provenance(
        (
            *((name, f"SHA-256 {digest}") for name, digest in study.files.items()),
            ("Question", f"{heading(view.question, view.labels)} ({view.question})"),
            ("Exclusive means", view.rule()),
            ("Tests", _tests(study, view)),
            ("Shown", f"{rows:,} of {kept:,} kept features: {filters}"),
            ("Metric", f"{labels.metric(view.metric)} ({view.metric})"),
            ("Labels", words),
            ("Evidence", f"{study.sample()}. {CAVEAT}"),
            ("SAE", study.reading_in_words(view)),
            ("Neuronpedia", study.pages.reason),
        )
    )


def _tests(study: Study, view: View) -> str:
    """Say which tests a view's q come from, at which alpha, and what they were corrected for."""
    effect = effect_of(view.question, view.metric)
    tests = {tested.tested.test for (name, _), tested in study.changes(view.family).effects.items() if name == effect}
    names = ", ".join(map(test_in_words, sorted(tests - {""}))) or "none, as the files hold no standard deviations"
    whole = "all positions" if view.family == "source" else "each position"
    return (
        f"{effect}: {names}; q ≤ {number(view.alpha)}; corrected for the features of {whole}, not for several questions"
    )


def csv_text(table: pd.DataFrame, metric: str) -> str:
    """Return the table as CSV, with `difference` of the metric; see `csv_files.to_csv`."""
    return to_csv(with_difference(table, metric))


def parquet_bytes(table: pd.DataFrame, metric: str) -> bytes:
    """Return the table as Parquet, with `difference` of the metric."""
    return with_difference(table, metric).to_parquet(index=False)


def html_page(
    drawing: Drawing, pages: FeaturePages, provenance: Provenance, title: str, *, offline: bool = True, lead: str = ""
) -> bytes:
    """
    Return a page that stands alone: the chart, where a click on a point opens its Neuronpedia page.

    Parameters
    ----------
    drawing : Drawing
        From `Study.draw`, with its title.
    pages : FeaturePages
        Where features have their pages; without a template a click does nothing, and the page says why.
    provenance : Provenance
        What the footer lists.
    title : str
        The browser tab's title.
    offline : bool
        Whether plotly.js (4.8 MB) is inside; otherwise the page fetches it from Plotly's CDN.
    lead : str
        What stands above the chart: the finding, plain text.

    Returns
    -------
    bytes
        UTF-8; what it cannot hold, such as half a surrogate pair in a folder's name, as an escape.
    """
    hint = "Click a point to open its Neuronpedia page." if pages.template else "Points have no page to open."
    top, bottom = _around(title, f"{hint} {pages.reason} Double click resets the view.", provenance)
    click = _OPEN_ON_CLICK % json.dumps(pages.template).replace("<", "\\u003c") if pages.template else "\n"
    parts = (drawing["data"], drawing["layout"], PLOT_CONFIG | {"responsive": True})
    data, layout, config = (to_json(part).replace(b"<", b"\\u003c") for part in parts)  # no text ends a script
    high = drawing["layout"].get("height")  # a ranking is as high as its rows need, and the footer comes after it
    height = f"{high:g}px" if high else "min(820px, 88vh)"
    chart = _CHART % (height.encode(), data, layout, config, click.encode(), _MINUSES.encode())
    said = f'<h1 class="lead">{html.escape(lead)}</h1>' if lead else ""
    end = legible(bottom if offline else WITHOUT_CDN + bottom)
    return b"".join((legible(top + said).encode(), _library(offline=offline), chart, end.encode()))


def _library(*, offline: bool) -> bytes:
    """Return the script that is plotly.js, or that fetches it."""
    if offline:
        return b"<script>%b</script>" % _PLOTLY.read_bytes()
    import plotly.io as pio

    whole: str = pio.to_html({}, validate=False, full_html=False, include_plotlyjs="cdn")
    (script,) = re.findall(r"<script[^>]* src=.*?</script>", whole)
    return str(script).encode()


def whole_page(title: str, body: str, hint: str, provenance: Provenance) -> str:
    """
    Return a page with where its numbers come from below.

    Parameters
    ----------
    title, hint : str
        The browser tab's title, and the footer's first sentence; plain text.
    body : str
        HTML.
    provenance : Provenance
        What the footer lists.
    """
    top, bottom = _around(title, hint, provenance)
    return f"{top}{body}{bottom}"


def _around(title: str, hint: str, provenance: Provenance) -> tuple[str, str]:
    """Return what stands before and after a page's body."""
    facts = "\n".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in provenance.lines())
    top, bottom = _PAGE.split("{body}")
    return top.format(title=html.escape(title)), bottom.format(hint=html.escape(hint), facts=facts)
