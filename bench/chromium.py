"""A Chromium that looks at the dashboard, and clocks that stop when it has drawn what was asked for."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import Page, sync_playwright
from server import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser
    from server import Server

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WINDOW = {"width": 1400, "height": 1000}
"""Not the size that the server assumes before it has heard from the browser."""

# Ends in the second frame after something has become true. Nothing draws a frame while Plotly is at work.
_FRAMES = """(isTrue) => new Promise((resolve) => {
  let frames = 0;
  const look = () => {
    frames = isTrue() ? frames + 1 : 0;
    if (frames > 2) return resolve(performance.now());
    requestAnimationFrame(look);
  };
  look();
})"""

# The chart's points are drawn; where a title is given, its axis has that name.
_DRAWN = f"""(title) => ({_FRAMES})(() => {{
  const chart = document.querySelector('.js-plotly-plot'), layout = chart?._fullLayout;
  const isNamed = title === null || layout?.xaxis?.title?.text?.replaceAll('<br>', ' ') === title;
  const arePointsOurs = chart?._fullData?.some((trace) => trace.mode === 'none');
  const hasPoints = !arePointsOurs || chart.querySelector('.featurediff-points');
  return isNamed && hasPoints && layout?.xaxis?._length && chart.calcdata?.length === chart._fullData?.length;
}})"""

_HEADED = f"""(heading) => ({_FRAMES})(() =>
  [...document.querySelectorAll('h1, h2, h3, h4')].some((found) => found.textContent.includes(heading)))"""

_CLICKS = "window.addEventListener('click', () => { window.clickedAt = performance.now(); }, true)"

# Nothing runs, nothing is stale, and it has stayed so for a second.
_CALM = """() => new Promise((resolve) => {
  let calm = 0;
  const look = () => {
    const app = document.querySelector('[data-testid=stApp]')?.dataset;
    const done = app?.testScriptState === 'notRunning' && app.testConnectionState === 'CONNECTED';
    calm = done && !document.querySelector('[data-stale=true], [data-testid=stSkeleton]') ? calm + 1 : 0;
    if (calm > 20) return resolve();
    setTimeout(look, 50);
  };
  look();
})"""

# Up to so many points that no other one is near, from the whole chart: token type, feature, and place in the window.
_POINTS = """(most) => {
  const chart = document.querySelector('.js-plotly-plot'), {xaxis, yaxis} = chart._fullLayout;
  const {left, top} = chart.getBoundingClientRect();
  const found = chart._fullData.filter((trace) => trace.customdata).flatMap((trace) =>
    Array.from(trace.x, (x, i) => [trace.legendgroup, trace.customdata[i][0],
      left + xaxis._offset + xaxis.d2p(x), top + yaxis._offset + yaxis.d2p(trace.y[i])]));
  const step = Math.max(1, Math.floor(found.length / most));
  return found.filter((_, i) => i % step === 0).slice(0, most);
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a Chromium without a window, and end it with the block."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        sys.exit(f"There is no Chromium. Looked for {', '.join(NAMES)}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def new_page(browser: Browser) -> Page:
    """Return a page with nothing in it, that remembers no other one."""
    page = browser.new_context(viewport=WINDOW).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(1000 * PATIENCE)
    return page


def open_chart(page: Page, server: Server, **query: str) -> float:
    """Open the dashboard, and return the seconds until its chart is drawn."""
    said = "&".join(f"{name}={value}" for name, value in query.items())
    page.goto(f"http://127.0.0.1:{server.port}/?{said}", wait_until="commit")
    return float(page.evaluate(_DRAWN, None)) / 1000


def settle(page: Page) -> None:
    """Wait until the page has come to rest, and note clicks from then on."""
    page.evaluate(_CALM)
    page.evaluate(_CLICKS)


def seconds_to_chart(page: Page, title: str) -> float:
    """Return the seconds from the last click until the chart's horizontal axis has a name."""
    return _since_click(page, page.evaluate(_DRAWN, title))


def seconds_to_heading(page: Page, heading: str) -> float:
    """Return the seconds from the last click until a heading has some words."""
    return _since_click(page, page.evaluate(_HEADED, heading))


def _since_click(page: Page, ends: float) -> float:
    return (ends - float(page.evaluate("window.clickedAt"))) / 1000


def points(page: Page, most: int) -> list[tuple[str, int, float, float]]:
    """Return some of the points: token type, feature, and pixels from the left and the top of the window."""
    return [(str(kind), int(feature), float(x), float(y)) for kind, feature, x, y in page.evaluate(_POINTS, most)]
