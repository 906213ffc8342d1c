"""The pages for everybody, in a real Chromium: contrast, names, keyboard, and small windows."""

import itertools

import pytest
from axe_playwright_python.sync_playwright import Axe
from contrast import BACKGROUNDS, LEAST_OF_TEXT, contrast
from playwright.sync_api import expect
from typer.testing import CliRunner

from featurediff.cli import app

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait

TEXTS = """(selector) => [...document.querySelectorAll(selector)].map((text) => {
  const channels = getComputedStyle(text).fill.match(/[0-9]+/g).slice(0, 3);
  return '#' + channels.map((channel) => (+channel).toString(16).padStart(2, '0')).join('');
})"""

CHART_TEXTS = ".xtick text, .ytick text, .xtitle, .ytitle, .annotation-text, .legendtext"


@pytest.fixture(scope="module")
def server(serve):
    return serve()


def compare(screen):
    """Go to the comparison."""
    screen.press("compare")
    expect(screen.page.get_by_role("heading", name="All counts")).to_be_visible()
    screen.settle()


@pytest.mark.parametrize(("theme", "background"), [("light", BACKGROUNDS[0]), ("dark", BACKGROUNDS[1])])
@pytest.mark.parametrize("page", ["dashboard", "compare"])
def test_texts_of_charts_are_seen_in_both_themes(screen, page, theme, background):
    """Axis texts and the names of gutters had a contrast of 3.7 in the light theme."""
    screen.page.emulate_media(color_scheme=theme)
    screen.open()
    if page == "compare":
        compare(screen)
    screen.settle()
    colours = set(screen.page.evaluate(TEXTS, CHART_TEXTS))
    assert colours
    assert min(contrast(colour, background) for colour in colours) >= LEAST_OF_TEXT


def test_pages_have_one_main_heading_and_a_title_that_names_the_source(screen):
    screen.open()
    expect(screen.page).to_have_title("Demo (synthetic) · featurediff")
    expect(screen.page.locator("h1")).to_have_count(1)
    compare(screen)
    expect(screen.page).to_have_title("Comparison of 7 sources · featurediff")
    expect(screen.page.locator("h1")).to_have_text("Comparison of 7 sources")


LEVELS = "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map((heading) => +heading.tagName[1])"


def test_headings_skip_no_level_and_the_finding_is_read_first(screen):
    """The feature's name was a heading of level 4 right after one of level 1."""
    screen.open(feature="5900@model")
    assert screen.page.evaluate(LEVELS) == [1, 2]
    assert screen.page.get_by_role("heading").first.inner_text() == screen.finding()
    compare(screen)
    levels = screen.page.evaluate(LEVELS)
    assert levels[0] == 1
    assert max(levels) == 2


MOVING = """document.getAnimations()
  .filter((moving) => moving.playState === 'running')
  .map((moving) => moving.effect.target.outerHTML.slice(0, 80))"""


def test_nothing_moves_for_those_who_want_no_motion(screen):
    screen.page.emulate_media(reduced_motion="reduce")
    screen.open()
    screen.pick_row(1)
    screen.expect_detail(screen.rows()[1])
    assert screen.page.evaluate(MOVING) == []


def test_buttons_with_an_icon_alone_have_names(screen):
    """A screen reader said “chevron_right icon”."""
    screen.open()
    screen.pick_row(1)
    for name in (
        "Star this feature",
        "Previous feature in the table",
        "Next feature in the table",
        "Close the details",
    ):
        expect(screen.page.get_by_role("button", name=name, exact=True)).to_have_count(1)
    screen.press("star")
    expect(screen.page.get_by_role("button", name="Remove star and note", exact=True)).to_have_count(1)


def focused(screen):
    return screen.page.evaluate("document.activeElement.dataset.testid ?? ''")


def test_the_table_is_reached_by_few_tabs_and_arrow_keys_step(screen):
    """Tab had to be pressed 46 times to come to the table: each tool of the chart was a stop."""
    screen.open()
    rows, keyboard = screen.rows(), screen.page.keyboard
    keyboard.press("Tab")
    assert focused(screen) == "stSkipToContent"
    keyboard.press("Enter")
    pressed = 1
    while focused(screen) != "data-grid-canvas" and pressed < 60:
        keyboard.press("Tab")
        pressed += 1
    assert pressed <= 15
    screen.expect_detail(rows[0])
    screen.settle()
    for key, row in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1)):
        keyboard.press(key)
        screen.expect_detail(rows[row])
        screen.settle()
    keyboard.press("Enter")
    screen.settle()
    screen.expect_detail(rows[1])


def test_a_toolbar_is_one_stop_of_the_tab_key_and_arrow_keys_move_within(screen):
    screen.open()
    tools = screen.chart.locator("xpath=ancestor::*[@data-testid='stPlotlyChart']").get_by_role("toolbar")
    buttons = tools.get_by_role("button")
    first, second = buttons.nth(0), buttons.nth(1)
    expect(tools.locator("button[tabindex='0']")).to_have_count(1)
    first.focus()
    screen.page.keyboard.press("ArrowRight")
    expect(second).to_be_focused()
    screen.page.keyboard.press("ArrowLeft")
    expect(first).to_be_focused()
    screen.page.keyboard.press("ArrowUp")
    expect(buttons.last).to_be_focused()
    expect(tools.locator("button[tabindex='0']")).to_have_count(1)


def places(screen, selectors):
    """Left, top, right and bottom of each, in pixels."""
    return [
        (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
        for box in (
            screen.page.locator(selector).locator("visible=true").first.bounding_box() for selector in selectors
        )
    ]


@pytest.mark.parametrize(("width", "height"), [(820, 1180), (390, 844)])
def test_in_a_small_window_nothing_overlaps_and_buttons_stand_in_one_row(screen, width, height):
    """At 820 pixels “Share” alone stood in a row of its own."""
    screen.page.set_viewport_size({"width": width, "height": height})
    screen.open()
    blocks = places(screen, ["h1", ".st-key-chart", ".st-key-search", ".js-plotly-plot", "[data-testid=stDataFrame]"])
    for above, below in itertools.pairwise(blocks):
        assert above[3] <= below[1] + 1
    for left, _, right, _ in blocks:
        assert left >= 0
        assert right <= width
    row = places(screen, [".st-key-search", ".st-key-downloads button", ".st-key-share button"])
    assert len({round(bottom / 4) for *_, bottom in row}) == 1
    assert all(one[2] <= other[0] for one, other in itertools.pairwise(row))


@pytest.mark.parametrize("width", [820, 390])
def test_buttons_of_the_details_stand_in_one_row_of_a_small_window(screen, width):
    screen.page.set_viewport_size({"width": width, "height": 1180})
    screen.open(feature="5900@model")
    row = places(screen, [f".st-key-{key} button" for key in ("star", "step-1", "step1", "close")])
    assert len({round(top) for _, top, *_ in row}) == 1
    assert all(one[2] <= other[0] for one, other in itertools.pairwise(row))
    assert row[-1][2] <= width


def test_at_a_zoom_of_150_percent_the_chart_is_on_the_first_screen(screen):
    """A window of 1280 × 800 has 853 × 533 pixels then: more than half of the chart was below its end."""
    screen.page.set_viewport_size({"width": 853, "height": 533})
    screen.open()
    ((_, _, _, bottom),) = places(screen, [".js-plotly-plot"])
    assert bottom <= 533


SERIOUS = ("serious", "critical")


def faults_of(screen):
    """What axe-core finds that keeps people from using the page: rule and elements."""
    found = Axe().run(screen.page).response["violations"]
    return [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found if fault["impact"] in SERIOUS]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_either_page(screen, theme):
    """It found captions of too little contrast, and places that scroll but could not be reached by keyboard."""
    screen.page.emulate_media(color_scheme=theme)
    screen.open(feature="5900@model")
    assert faults_of(screen) == []
    compare(screen)
    assert faults_of(screen) == []


@pytest.mark.parametrize("question", ["exclusive", "changed"])
def test_axe_finds_nothing_serious_in_exported_pages(screen, tmp_path, question):
    """The table of counts scrolled but could not be reached by keyboard."""
    run = CliRunner().invoke
    assert run(app, ["demo", str(tmp_path / "demo")]).exit_code == 0
    (source, *_) = sorted(file.parent for file in (tmp_path / "demo").rglob("base.pt"))
    page, counts = tmp_path / "page.html", tmp_path / "counts.html"
    assert run(app, ["export", str(source), "--question", question, "--html", str(page)]).exit_code == 0
    assert run(app, ["compare", str(tmp_path / "demo"), "--question", question, "--html", str(counts)]).exit_code == 0
    screen.open_file(page)
    assert faults_of(screen) == []
    expect(screen.page.locator("h1")).to_have_count(1)
    screen.open_file(counts)
    assert faults_of(screen) == []
    expect(screen.page.locator("h1")).to_have_count(1)
