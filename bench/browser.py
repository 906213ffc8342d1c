"""
Measure in Chromium: from choosing another metric to the redrawn chart, at 131,072 features and at 10 points.

    python bench/browser.py
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Page, sync_playwright
from report import publish, table
from server import Server, running, wait_for
from sources import SMALL, Size, make

from featurediff.labels import Labels

FEW = Size(4_096, points=10)
METRICS = ("target_sparsity", "target_max", "target_all_std", "control_all_mean", "control_max")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TO_REACH = 1.5

# From the click on an option to the second frame in which the chart's axis has the new name and its points are drawn.
# Nothing draws a frame while Plotly is at work.
REDRAWN = """(title) => new Promise((resolve) => {
  let frames = 0;
  const look = () => {
    const chart = document.querySelector('.js-plotly-plot'), layout = chart?._fullLayout;
    const drawn = layout?.xaxis?.title?.text === title && chart.calcdata?.length === chart._fullData.length;
    frames = drawn ? frames + 1 : 0;
    if (frames > 2) return resolve(performance.now() - window.chosenAt);
    requestAnimationFrame(look);
  };
  look();
})"""

CHOOSING = "window.addEventListener('click', () => { window.chosenAt = performance.now(); }, true)"


def change(page: Page, metric: str) -> float:
    """Choose a metric, and return the seconds until the chart shows it."""
    labels = Labels()
    page.locator(".st-key-metric input").click()
    option = page.get_by_role("option", name=labels.metric(metric), exact=True)
    option.wait_for()
    page.wait_for_timeout(300)
    option.click(no_wait_after=True)
    seconds = page.evaluate(REDRAWN, f"{labels.base}: {labels.metric(metric)}") / 1000
    page.wait_for_timeout(1500)  # the rest of the page comes to rest
    return float(seconds)


def measure(page: Page, server: Server, rounds: int) -> list[float]:
    """Change the metric again and again: all of them once to warm up, then the rounds that count."""
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_function("!!document.querySelector('.js-plotly-plot')?._fullLayout?.xaxis?.title?.text")
    page.wait_for_timeout(3000)
    page.evaluate(CHOOSING)
    return [change(page, metric) for _ in range(rounds) for metric in METRICS]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help=f"of {len(METRICS)} changes each")
    parser.add_argument("--folder", type=Path, help="where generated sources are kept")
    parser.add_argument("--no-write", action="store_true", help="leave bench/README.md alone")
    args = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        sys.exit(f"There is no Chromium. Looked for {', '.join(NAMES)}.")
    found: dict[Size, list[float]] = {FEW: [], SMALL: []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(args.rounds):
            for size, took in found.items():
                with running(make(size, args.folder).tree) as server:
                    wait_for(server)
                    page = browser.new_page(viewport={"width": 1400, "height": 1000})
                    took += measure(page, server, 1)
                    page.close()
        browser.close()
    rows = [
        [f"about {points} points", str(len(took)), f"{median(took):.2f}", f"{quantiles(took, n=20)[-1]:.2f}"]
        for points, took in (("10", found[FEW]), ("9,000", found[SMALL]))
    ]
    ratio = median(found[SMALL]) / median(found[FEW])
    text = (
        "`python bench/browser.py`: the dashboard in headless Chromium, from the click on another metric to the "
        "redrawn chart; the two sizes take turns, each on a server of its own, so every chart is drawn for the first "
        f"time.\n\n{table(['chart', 'changes', 'median s', 'p95 s'], rows)}\n\n"
        f"Ratio of the medians: {ratio:.2f} (to reach: ≤ {TO_REACH})."
    )
    publish("browser", "In the browser", text, write=not args.no_write)


if __name__ == "__main__":
    main()
