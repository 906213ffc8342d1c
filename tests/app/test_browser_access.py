"""The pages for everybody, in a real Chromium: contrast, names, keyboard, and small windows."""

import pytest
from playwright.sync_api import expect

from featurediff.charts.contrast import BACKGROUNDS, LEAST_OF_TEXT, contrast

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
