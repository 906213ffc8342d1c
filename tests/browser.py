"""The app on a port of its own and a real Chromium to use it with, for the `test_browser` files."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import dist
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
CHART = ".js-plotly-plot"
BOXED = "inside the box"
ROW, HEADER = 30, 35
"""Pixels of a row of the table, and of its header."""

COLUMNS = {"Feature": 62, "★": 36, "Position": 68, "Change": 140, "q": 54}
"""Pixels of the table's first columns."""

# The place of every point that is drawn, in pixels of the window, from Plotly's own axes.
POINTS = """() => {
  const chart = document.querySelector('.js-plotly-plot'), {xaxis, yaxis} = chart._fullLayout;
  const {left, top} = chart.getBoundingClientRect();
  const drawn = chart._fullData.filter((trace) => trace.visible === true && trace.customdata);
  return JSON.stringify(drawn.flatMap((trace) =>
    Array.from(trace.x, (x, i) => [trace.legendgroup, trace.customdata[i][0],
      left + xaxis._offset + xaxis.d2p(x), top + yaxis._offset + yaxis.d2p(trace.y[i])])));
}"""

AREA = """() => {
  const chart = document.querySelector('.js-plotly-plot'), {xaxis, yaxis} = chart._fullLayout;
  const {left, top} = chart.getBoundingClientRect();
  return [left + xaxis._offset, top + yaxis._offset, xaxis._length, yaxis._length];
}"""

# The sides of the drawn box; the mouse moves by whole pixels.
SELECTIONS = "JSON.stringify(document.querySelector('.js-plotly-plot')._fullLayout.selections ?? [])"

BOX = """() => {
  const chart = document.querySelector('.js-plotly-plot'), {xaxis, yaxis, selections} = chart._fullLayout;
  const {left, top} = chart.getBoundingClientRect(), {x0, x1, y0, y1} = selections.at(-1);
  const xs = [x0, x1].map((x) => left + xaxis._offset + xaxis.d2p(x)).sort((a, b) => a - b);
  const ys = [y0, y1].map((y) => top + yaxis._offset + yaxis.d2p(y)).sort((a, b) => a - b);
  return [...xs, ...ys];
}"""

# What the mouse is over; Plotly looks a moment after the mouse has stopped.
HOVERED = """([token_type, feature]) => {
  const point = document.querySelector('.js-plotly-plot')._hoverdata?.[0];
  return point?.customdata?.[0] === feature && point.data.legendgroup === token_type;
}"""

TRACES = """() => document.querySelector('.js-plotly-plot')._fullData.map((trace) =>
  [trace.legendgroup, trace.name, trace.x.length, Array.from(trace.x).reduce((sum, x) => sum + x, 0)])"""

AXES = """() => {
  const {xaxis, yaxis, selections} = document.querySelector('.js-plotly-plot')._fullLayout;
  return {range: [...xaxis.range, ...yaxis.range], boxes: (selections ?? []).map((s) => [s.x0, s.x1, s.y0, s.y1])};
}"""

READY = "!!document.querySelector('.js-plotly-plot')?._fullLayout?.xaxis?.d2p"

# The words of pills, without the formulas and icons before them.
PILLS = """(pills) => pills.map((pill) => {
  const copy = pill.cloneNode(true);
  for (const mark of copy.querySelectorAll('.katex, [data-testid=stIconMaterial], [role=img]')) mark.remove();
  return copy.textContent;
})"""

CAPTION = "[data-testid=stCaptionContainer]"

# The script has ended, nothing on the screen is stale, and it has stayed so for longer than the chart waits before it
# tells the app of a zoom.
SETTLED = """() => new Promise((resolve, reject) => {
  let calm = 0, left = 600;
  const look = () => {
    const app = document.querySelector('[data-testid=stApp]')?.dataset;
    if (!app) return resolve();  // an exported page
    const done = app.testScriptState === 'notRunning' && app.testConnectionState === 'CONNECTED';
    calm = done && !document.querySelector('[data-stale=true]') ? calm + 1 : 0;
    if (calm > 6) return resolve();
    if (--left < 0) return reject(new Error('The app did not come to rest.'));
    setTimeout(look, 50);
  };
  look();
})"""


def find_chromium():
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None) or (str(MAC) if MAC.exists() else None)


@dataclass(eq=False)
class Server:
    """A running app."""

    url: str
    log: Path

    def tail(self):
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def running(log, *args):
    """Run the app with these arguments until the end of the block; what it prints goes to `log`."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "streamlit", "run", "streamlit_app.py"),
        *("--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"),
        *("--server.fileWatcherType=none", "--browser.gatherUsageStats=false", "--", *args),
    ]
    with started(command, port, log, ROOT) as server:
        yield server


@contextmanager
def started(command, port, log, folder, **environment):
    """Run a command that serves the app on a port of loopback, in a folder, until the end of the block."""
    server = Server(f"http://127.0.0.1:{port}", Path(log))
    others = {name: value for name, value in os.environ.items() if not name.startswith("FEATUREDIFF_")}
    with (
        server.log.open("wb") as out,
        subprocess.Popen(
            command, cwd=folder, env=others | environment, stdout=out, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            wait_for_health(server, process)
            yield server
        finally:
            process.terminate()


def wait_for_health(server, process):
    deadline = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=5) as reply:
                if reply.read() == b"ok":
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"The app did not start.\n{server.tail()}")


@dataclass(eq=False)
class Site:
    """A site on loopback that stands in Neuronpedia's place and remembers what it was asked for."""

    url: str
    asked: list[str] = field(default_factory=list)

    @property
    def template(self):
        return f"{self.url}/page/{{feature_id}}"


@contextmanager
def standing_in():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            here.asked.append(self.path)
            body = f"<!DOCTYPE html><link rel=icon href=data:,><title>{self.path}</title>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()


@dataclass(eq=False)
class Screen:
    """What a person sees of the app in one window, and does to it."""

    page: Page
    server: Server

    def open(self, query="", **parameters):
        """Open the app and wait for its chart; parameters go into the URL, lists as repeated ones."""
        self.visit(query, **parameters)
        self.page.wait_for_function(READY)
        self.settle()
        return self

    def visit(self, query="", **parameters):
        """Open the app, which may have no chart to show."""
        query = query or urlencode(parameters, doseq=True)
        self.page.goto(f"{self.server.url}/?{query}")
        self.page.get_by_test_id("stMain").locator("h1, .stAlert").first.wait_for()
        self.settle()
        return self

    def open_file(self, path):
        """Open an exported page from the disk, with no network."""
        self.page.context.set_offline(True)
        self.page.goto(Path(path).as_uri())
        self.page.wait_for_function(READY)
        return self

    def settle(self):
        self.page.evaluate(SETTLED)

    def key(self, name):
        """Return the widget with this key."""
        return self.page.locator(f".st-key-{name}")

    # Widgets of the sidebar.

    def choose(self, key, option):
        self.key(key).locator("input").click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self.settle()

    def press(self, key, name=None):
        """Press a button, a toggle, or a pill, which may have a symbol before its name and a number after it."""
        widget = self.key(key)
        named = widget.locator("button", has_text=re.compile(rf"(^|\s){re.escape(name or '')}( [\d,]+)?$"))
        (named if name else widget.locator("button, label").first).click()
        self.settle()

    def write(self, key, text):
        """Write into a text or number input."""
        box = self.key(key).locator("input, textarea")
        box.fill(text)
        box.press("Control+Enter")
        self.settle()

    def choose_chart(self, name):
        """Choose what is drawn."""
        self.press("chart", name)
        self.page.wait_for_function(READY)
        self.settle()

    def unfold(self, name):
        """Open an expander."""
        self.page.locator("summary", has_text=name).click()

    # The chart.

    @property
    def chart(self):
        return self.page.locator(CHART)

    def points(self):
        """Return where every point stands: {(token type, feature id): (x, y)}."""
        self.chart.scroll_into_view_if_needed()
        return {(token_type, feature): (x, y) for token_type, feature, x, y in json.loads(self.page.evaluate(POINTS))}

    def room(self, key, points=None):
        """Return how far a point is from its nearest neighbour, in pixels."""
        points = points or self.points()
        return min(dist(points[key], place) for other, place in points.items() if other != key)

    def loneliest(self, keys=None):
        """Return the point, of these or of all, that is farthest from its nearest neighbour."""
        points = self.points()
        return max(sorted(keys or points), key=lambda key: self.room(key, points))

    def traces(self):
        return [(group, name, number, round(total, 3)) for group, name, number, total in self.page.evaluate(TRACES)]

    def axes(self):
        return self.page.evaluate(AXES)

    def area(self):
        """Return left, top, width and height of what the axes enclose."""
        self.chart.scroll_into_view_if_needed()
        return self.page.evaluate(AREA)

    def hover(self, key):
        """Move the mouse over a point until Plotly has found it."""
        x, y = self.points()[key]
        self.page.mouse.move(x - 5, y - 3)
        self.page.mouse.move(x, y, steps=2)
        self.page.wait_for_function(HOVERED, arg=list(key))
        return x, y

    def click(self, key):
        """Click a point."""
        self.page.mouse.click(*self.hover(key))

    def drag(self, start, end):
        """Drag the mouse across the chart: a box, or a zoom after `tool("zoom")`."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(*end, steps=8)
        mouse.up()
        self.settle()

    def zoom(self, key, reach=40):
        """Zoom to what is within so many pixels of a point."""
        self.tool("zoom")
        x, y = self.points()[key]
        left, top, width, height = self.area()
        start = (max(x - reach, left + 2), max(y - reach, top + 2))
        self.drag(start, (min(x + reach, left + width - 2), min(y + reach, top + height - 2)))

    def tool(self, name):
        """Choose a tool of the chart's own bar."""
        self.chart.hover(position={"x": 200, "y": 5})
        button = self.page.locator(f".modebar-btn[data-val={name}]")
        button.click()
        if name in ("zoom", "pan", "select", "lasso"):
            expect(button).to_have_class(re.compile(r"\bactive\b"))
        self.settle()

    def box(self, start=(0.02, 0.02), end=(0.98, 0.55)):
        """
        Draw a box and return which points are in it.

        Its corners are given as shares of the axes' width and height, from the top left.
        """
        self.tool("select")
        left, top, width, height = self.area()
        before = self.page.evaluate(f"() => {SELECTIONS}")
        self.drag(*((left + x * width, top + y * height) for x, y in (start, end)))
        self.page.wait_for_function(f"(before) => ![before, '[]'].includes({SELECTIONS})", arg=before)
        if self.page.get_by_test_id("stApp").count():  # not on an exported page
            expect(self.chip(BOXED)).to_be_visible()
            self.settle()
        x0, x1, y0, y1 = self.page.evaluate(BOX)
        return {key for key, (x, y) in self.points().items() if x0 <= x <= x1 and y0 <= y <= y1}

    def lasso(self, *corners):
        """Draw round these corners, given as shares of the axes' width and height, from the top left."""
        self.tool("lasso")
        left, top, width, height = self.area()
        first, *others = [(left + x * width, top + y * height) for x, y in corners]
        mouse = self.page.mouse
        mouse.move(*first)
        mouse.down()
        for corner in (*others, first):
            mouse.move(*corner, steps=6)
        mouse.up()
        expect(self.chip(BOXED)).to_be_visible()
        self.settle()

    def reset_axes(self):
        """Click twice on an empty place of the chart."""
        left, top, width, height = self.area()
        places = list(self.points().values())
        spots = [(left + width * i / 12, top + height * j / 12) for i in range(1, 12) for j in range(1, 12)]
        self.page.mouse.dblclick(*max(spots, key=lambda spot: min(dist(spot, place) for place in places)))
        self.settle()

    # Words on the screen.

    def text(self):
        """Return all words of the main pane, without the word joiners that keep Streamlit from drawing arrows."""
        return self.page.get_by_test_id("stMain").inner_text().replace("\u2060", "")

    @property
    def shown(self):
        """Where it stands how many features are shown."""
        return self.page.get_by_test_id("stMain").locator("strong", has_text=re.compile(r"features?$")).first

    def count(self):
        """Return how many features are shown."""
        return int(self.shown.inner_text().split()[0].replace(",", ""))

    def help_of(self, element):
        """Return what the question mark beside an element says."""
        mark = self.page.get_by_test_id("stElementContainer").filter(has=element).get_by_role("button").first
        mark.hover()
        tooltip = self.page.get_by_test_id("stTooltipContent")
        tooltip.wait_for()
        text = tooltip.inner_text()
        self.page.mouse.move(2, 2)
        expect(tooltip).to_have_count(0)
        return text

    def finding(self):
        """Return the first line."""
        return self.page.get_by_test_id("stMain").locator("h1").first.inner_text()

    def captions(self):
        return [
            text.replace("\u2060", "") for text in self.page.get_by_test_id("stMain").locator(CAPTION).all_inner_texts()
        ]

    def title(self):
        """Return question, metric and models."""
        found = next(text for text in self.captions() if "→" in text)
        return " · ".join(found.split(" · ")[:2])

    def pills(self, key):
        """Return the words of a row of choices, without symbols that are formulas or icons."""
        return [
            text.replace("\u2060", "").strip()
            for text in self.key(key).locator("button[data-variant]").evaluate_all(PILLS)
        ]

    def legend(self, key):
        """Return the choices of a filter by position, class or consistency: name → number of features."""
        found = (re.sub(r"^[★●■◆○] ", "", text).rpartition(" ") for text in self.pills(key))
        return {name: int(number.replace(",", "")) for name, _, number in found}

    def chips(self):
        """Return what narrows the features."""
        return self.pills("chips")

    def chip(self, text):
        """Return a chip, which removes its filter when it is clicked."""
        return self.key("chips").locator("button", has_text=text)

    def detail(self):
        """Return the heading of the detail pane, or None."""
        heading = self.page.get_by_role("heading", name=re.compile(r"^Feature \d+ at "))
        return heading.inner_text() if heading.count() else None

    def expect_detail(self, key):
        expect(self.page.get_by_role("heading", name=f"Feature {key[1]} at {key[0]}", exact=True)).to_be_visible()
        self.settle()

    def ring(self):
        """Return the middle of the ring round the picked point, or None where none is seen."""
        ring = self.page.locator(".featurediff-ring")
        if not ring.count() or not ring.is_visible():
            return None
        place = ring.bounding_box()
        return place["x"] + place["width"] / 2, place["y"] + place["height"] / 2

    # The table, of which a canvas shows what its hidden grid says.

    @property
    def table(self):
        return self.page.locator("[class*=st-key-table_]")

    @property
    def canvas(self):
        return self.table.locator("canvas").first

    def cells(self):
        """Return the table's first rows: {column: text}, of the columns that are in view."""
        self.canvas.scroll_into_view_if_needed()
        names = [re.sub(" [↓↑]$", "", name) for name in self.table.locator("[role=grid] th").all_text_contents()]
        rows = self.table.locator("[role=grid] tbody tr").evaluate_all(
            "rows => rows.map((row) => Array.from(row.querySelectorAll('td'), (cell) => cell.textContent))"
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def rows(self):
        """Return (token type, feature id) of the table's first rows."""
        return [(row["Position"], int(row["Feature"])) for row in self.cells()]

    def click_table(self, x, y):
        """Click into the table, which notices it only where the mouse has moved over it since its data changed."""
        self.canvas.scroll_into_view_if_needed()
        place, mouse = self.canvas.bounding_box(), self.page.mouse
        mouse.move(place["x"] + x + 30, place["y"] + y + 5)
        mouse.move(place["x"] + x, place["y"] + y, steps=5)
        self.page.wait_for_timeout(300)
        mouse.down()
        mouse.up()

    def pick_row(self, number, x=150):
        """Click in a row, anywhere."""
        self.click_table(x, HEADER + ROW * number + ROW // 2)

    def sort(self, column):
        """Click the left half of a column's header; its right edge is a menu."""
        left = 0
        for name, width in COLUMNS.items():
            if name == column:
                self.click_table(left + width // 4, HEADER // 2)
                return self.settle()
            left += width
        return pytest.fail(f"The table has no column {column!r} in view.")

    def query(self):
        """Return the URL behind the question mark."""
        return urlsplit(self.page.url).query

    def download(self, kind, folder):
        """Download what is shown and return the file."""
        self.key("downloads").get_by_role("button").first.click()
        with self.page.expect_download() as downloading:
            self.key(f"download_{kind}").get_by_role("button").first.click()
        self.page.keyboard.press("Escape")
        path = Path(folder) / downloading.value.suggested_filename
        downloading.value.save_as(path)
        return path

    def look(self):
        """Return everything that a pasted link must show again."""
        return {
            "finding": self.finding(),
            "title": self.title(),
            "captions": self.captions(),
            "legend": {key: self.legend(key) for key in ("token_types", "exclusivity", "consistency")},
            "chips": self.chips(),
            "traces": self.traces(),
            "words": self.chart.locator("svg text").all_text_contents(),
            "count": self.count(),
            "rows": self.rows(),
            "detail": self.detail(),
        }


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Run the app with some arguments until the module's last test."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(running(tmp_path_factory.mktemp("server") / "log.txt", *args))


@pytest.fixture(scope="module")
def site():
    """A site in Neuronpedia's place."""
    with standing_in() as here:
        yield here


@pytest.fixture(scope="module")
def chromium():
    """A browser."""
    path = find_chromium()
    if path is None:
        message = f"No Chromium: none of {', '.join(NAMES)} is on the PATH."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_screen(chromium, server):
    """Make windows, each with an empty profile; they must end without an error, and ask nothing of any other host."""
    errors, elsewhere, screens = [], [], []

    def asked(request):
        if urlsplit(request.url).scheme in {"http", "https"} and urlsplit(request.url).hostname != "127.0.0.1":
            elsewhere.append(request.url)

    def make():
        context = chromium.new_context(viewport={"width": 1500, "height": 1300}, accept_downloads=True)
        context.set_default_timeout(30_000)
        context.on("request", asked)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        context.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        screens.append(Screen(context.new_page(), server))
        return screens[-1]

    expect.set_options(timeout=30_000)
    yield make
    exceptions = [text for screen in screens for text in screen.page.locator(".stException").all_inner_texts()]
    for screen in screens:
        screen.page.context.close()
    sys.stdout.write(server.tail())  # pytest shows it where a test failed
    assert errors == []
    assert elsewhere == []
    assert exceptions == []
    assert "Traceback" not in server.log.read_text(encoding="utf-8")


@pytest.fixture
def screen(new_screen):
    """One window."""
    return new_screen()
