"""Feature table and figure → files that can be taken away: CSV, Parquet, a click-through HTML page."""

from __future__ import annotations

import html
import json
import os
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.io as pio

from featurediff.diff import with_difference
from featurediff.errors import DataError
from featurediff.spreadsheet import to_csv

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from featurediff.neuronpedia import Page

PLOT_CONFIG = {
    "displaylogo": False,
    "doubleClick": "reset",
    "scrollZoom": True,
    "toImageButtonOptions": {"format": "svg", "filename": "featurediff"},
}
"""Plotly's own options, the same in the app and on an exported page."""

_OPEN_ON_CLICK = """
document.getElementById("{plot_id}").on("plotly_click", (event) => {
  const id = event.points[0].customdata?.[0];
  if (id !== undefined) window.open(%s.replace("{feature_id}", id), "_blank", "noopener");
});
"""

_OUTSIDE_SCRIPT = '<script charset="utf-8" src="plotly.min.js"></script>'
_PLOTLY = files("plotly") / "package_data" / "plotly.min.js"

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
footer {{ border-top: 1px solid #ddd; margin-top: 8px; padding-top: 8px; font-size: 12px }}
footer p {{ margin: 0 0 6px }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 0 12px; margin: 0 }}
dd {{ margin: 0; overflow-wrap: anywhere }}
.selectionlayer path {{ pointer-events: stroke !important }} /* points inside a drawn box can be clicked */
</style>
</head>
<body>
{body}
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


def package_version() -> str:
    """Return the installed version, or the one that this folder is on the way to."""
    try:
        return version("featurediff")
    except PackageNotFoundError:
        return "0.1.0 (not installed)"


def csv_text(table: pd.DataFrame, metric: str) -> str:
    """Return the table as CSV, with `difference` of the metric; see `spreadsheet.to_csv`."""
    return to_csv(with_difference(table, metric))


def parquet_bytes(table: pd.DataFrame, metric: str) -> bytes:
    """Return the table as Parquet, with `difference` of the metric."""
    return with_difference(table, metric).to_parquet(index=False)


def html_page(fig: go.Figure, page: Page, provenance: Provenance, title: str, *, offline: bool = True) -> str:
    """Return `html_bytes` as text."""
    return html_bytes(fig, page, provenance, title, offline=offline).decode()


def html_bytes(fig: go.Figure, page: Page, provenance: Provenance, title: str, *, offline: bool = True) -> bytes:
    """
    Return a page that stands alone: the chart, where a click on a point opens its Neuronpedia page.

    Parameters
    ----------
    fig : Figure
        From `figures.scatter`, with its title.
    page : Page
        Where features have their pages; without a template a click does nothing, and the page says why.
    provenance : Provenance
        What the footer lists.
    title : str
        The browser tab's title.
    offline : bool
        Whether plotly.js (4.8 MB) is inside; otherwise the page fetches it from Plotly's CDN.

    Returns
    -------
    bytes
        UTF-8; what it cannot hold, such as half a surrogate pair in a folder's name, as an escape.
    """
    click = _OPEN_ON_CLICK % json.dumps(page.template).replace("<", "\\u003c") if page.template else None
    plot: str = pio.to_html(
        {"data": [], "layout": {}},
        validate=False,
        full_html=False,
        include_plotlyjs="directory" if offline else "cdn",
        post_script=click,
        config=PLOT_CONFIG,
        default_height="min(820px, 88vh)",
    )
    # Text of megabytes is put in as bytes, and once: Plotly would copy it five times.
    head, outside, tail = plot.partition(_OUTSIDE_SCRIPT)
    library = (b"<script>", _PLOTLY.read_bytes(), b"</script>") if outside else ()
    before, _, after = (tail or head).partition("[],")
    hint = "Click a point to open its Neuronpedia page." if page.template else "Points have no page to open."
    top, bottom = _around(title, f"{hint} {page.reason} Double click resets the view.", provenance)
    parts = (top, head if outside else "", *library, before, _json(fig), after.lstrip().removeprefix("{}"), bottom)
    return b"".join(part if isinstance(part, bytes) else part.encode(errors="backslashreplace") for part in parts)


def _json(fig: go.Figure) -> str:
    """Return data and layout with a comma between, more tightly and in less time than Plotly does."""
    write = partial(json.dumps, separators=(",", ":"), default=_packed, allow_nan=False)
    data = [trace.to_plotly_json() for trace in fig.data]
    return f"{write(data)},{write(fig.layout.to_plotly_json())}".replace("<", "\\u003c")  # no text ends a script


def _packed(array: NDArray[Any]) -> dict[str, str] | list[Any]:
    """Return an array as Plotly packs it: numbers as base64, others as a list."""
    if array.dtype not in (np.float32, np.float64):
        return list(array.tolist())
    packed = {"dtype": f"f{array.dtype.itemsize}", "bdata": b64encode(array.tobytes()).decode()}
    return packed if array.ndim == 1 else packed | {"shape": ", ".join(map(str, array.shape))}


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


def write_whole(path: Path, content: str | bytes) -> None:
    """
    Write a file under a temporary name and rename it, so that it appears whole or not at all.

    A device or a pipe, such as `/dev/stdout`, is written to as it is.

    Raises
    ------
    DataError
        If the folder cannot be made or the file cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    made = None
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".featurediff-", dir=path.parent)
        made = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        made.chmod(0o666 & ~umask)
        made.replace(path)
    except OSError as error:
        msg = f"`{path}` cannot be written ({error.strerror}). Is there room, and may you write there?"
        raise DataError(msg) from error
    finally:
        if made:
            made.unlink(missing_ok=True)
