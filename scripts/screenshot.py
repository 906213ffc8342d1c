"""Take the README's picture: the dashboard on the demo, with a planted feature picked."""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> None:
    """Start the app on a free port, look at it, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "docs" / "dashboard.png")
    parser.add_argument("--query", default="feature=12886@model", help="the view, as in the app's URL")
    parser.add_argument("--size", default="1440x900", help="of the window, in pixels")
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless=true"]
    command += ["--server.address=127.0.0.1", f"--server.port={port}", "--server.fileWatcherType=none"]
    server = subprocess.Popen(command, cwd=ROOT)
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        with sync_playwright() as playwright:
            path = next(filter(None, map(shutil.which, BROWSERS)))
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme="dark" if options.dark else "light"
            )
            page.goto(f"http://127.0.0.1:{port}/?{options.query}")
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
            page.wait_for_timeout(3000)
            page.screenshot(path=options.out)
    finally:
        server.terminate()
        server.wait()
    print(options.out)


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            time.sleep(0.2)
    msg = "The app did not start within a minute."
    raise SystemExit(msg)


if __name__ == "__main__":
    main()
