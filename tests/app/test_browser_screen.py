"""The one screen in a real Chromium: what is in view, what stays where it is, and that nothing traps or is lost."""

import re

import pytest
from playwright.sync_api import expect

from featurediff.app.dashboard.figure import plot_of
from featurediff.app.dashboard.room import Size

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait
KEPT = 740
SIZES = [(1280, 800), (1440, 900), (1920, 1080)]
HEADER, ROW = 35, 30
BOXED = "inside the box"


@pytest.fixture(scope="module")
def server(serve):
    return serve()


@pytest.fixture(params=SIZES, ids="{0[0]}x{0[1]}".format)
def sized(request, new_screen):
    """One window of a usual size."""
    screen = new_screen()
    width, height = request.param
    screen.page.set_viewport_size({"width": width, "height": height})
    return screen


def place(locator):
    """Left, top, right and bottom of an element, in pixels of the window."""
    found = locator.bounding_box()
    return found["x"], found["y"], found["x"] + found["width"], found["y"] + found["height"]


def places(screen):
    """Where chart and table are, and how far the page is scrolled."""
    scrolled = screen.page.get_by_test_id("stMain").evaluate("main => main.scrollTop")
    return place(screen.chart), place(screen.table.get_by_test_id("stDataFrame")), scrolled


def clipping(locator):
    """The part of the window that the containers round an element leave of it: left, top, right, bottom."""
    return locator.evaluate("""(element) => {
      let found = [0, 0, window.innerWidth, window.innerHeight];
      for (let around = element.parentElement; around; around = around.parentElement) {
        if (getComputedStyle(around).overflowY === 'visible') continue;
        const {left, top, right, bottom} = around.getBoundingClientRect();
        found = [Math.max(found[0], left), Math.max(found[1], top),
                 Math.min(found[2], right), Math.min(found[3], bottom)];
      }
      return found;
    }""")


def expect_whole_in_view(locator):
    left, top, right, bottom = place(locator)
    least_left, least_top, most_right, most_bottom = clipping(locator)
    assert left >= least_left - 1
    assert top >= least_top - 1
    assert right <= most_right + 1
    assert bottom <= most_bottom + 1


# What is in view, and what moves


def test_chart_table_and_details_are_in_view_without_scrolling(sized):
    sized.open()
    first = sized.rows()[0]
    sized.pick_row(0)
    sized.expect_detail(first)
    chart, table, scrolled = places(sized)
    assert scrolled == 0
    assert chart[2] - chart[0] >= 400
    assert chart[3] - chart[1] >= 320
    assert table[0] >= chart[2]
    assert abs(table[1] - chart[1]) <= 1, "beside each other"
    assert (table[3] - table[1] - HEADER) // ROW >= 6
    size = Size(*(round(chart[side + 2] - chart[side]) for side in (0, 1)))
    assert sized.area()[2:] == pytest.approx(plot_of(size, square=True), abs=1), "places are packed for what is drawn"
    page = sized.page
    expect_whole_in_view(sized.chart)
    expect_whole_in_view(sized.table.get_by_test_id("stDataFrame"))
    expect_whole_in_view(page.get_by_role("heading", name=f"Feature {first[1]} at {first[0]}"))
    expect_whole_in_view(page.get_by_test_id("stMain").get_by_text("; q = ").first)
    expect_whole_in_view(page.get_by_test_id("stText").filter(has_text="Planted: "))
    expect_whole_in_view(page.locator("h1"))
    assert list(sized.cells()[0])[:6] == ["Feature", "★", "Position", "Change", "q", "Explanation"]


def test_nothing_moves_chart_or_table_by_a_pixel(sized):
    sized.open()
    before = places(sized)
    area = sized.area()
    for what, act in {
        "a pick": lambda: sized.pick_row(2),
        "a step": lambda: sized.press("step1"),
        "a sort": lambda: sized.sort("q"),
        "a filter": lambda: sized.press("token_types", "model"),
        "a search": lambda: sized.write("search", "planted"),
        "a box": lambda: sized.box((0.02, 0.02), (0.98, 0.98)),
        "a chip": lambda: sized.chip("planted").click(),
        "evidence": lambda: sized.press("evidence"),
        "no pick": lambda: sized.press("close"),
        "another metric": lambda: sized.choose("metric", "Activation frequency"),
    }.items():
        act()
        sized.settle()
        assert places(sized) == before, what
        assert sized.area() == pytest.approx(area, abs=0.5), what


def test_a_faulty_link_moves_nothing(screen):
    """Its warning pushed chart and table down by 55 px."""
    screen.open()
    before = places(screen)
    screen.open(scale="log", metric="banana")
    screen.page.get_by_role("button", name="2 faults in the link").click()
    expect_whole_in_view(screen.page.get_by_text("Not used: scale=log is not one of auto, linear, sqrt, symlog."))
    assert places(screen) == before


# Wheel, box, sort


def test_the_wheel_scrolls_the_page_and_a_pinch_zooms(screen):
    """The wheel over the chart zoomed, so that a reader who scrolled lost the view."""
    screen.page.set_viewport_size({"width": 1280, "height": 560})
    screen.open()
    main = screen.page.get_by_test_id("stMain")
    whole = screen.axes()["range"]
    main.evaluate("main => main.scrollTo(0, 0)")
    left, top, right, _ = place(screen.chart)
    screen.page.mouse.move((left + right) / 2, top + 60)  # still over the plot when the page has scrolled
    screen.page.mouse.wheel(0, 120)
    screen.page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop > 50")
    screen.settle()
    assert screen.axes()["range"] == whole
    screen.page.keyboard.down("Control")
    screen.page.mouse.wheel(0, -120)
    screen.page.keyboard.up("Control")
    screen.settle()
    zoomed = screen.axes()["range"]
    assert zoomed[1] - zoomed[0] < whole[1] - whole[0]


def test_a_box_is_drawn_again_after_a_filter_and_goes_by_a_double_click(screen):
    screen.open()
    caught = screen.box()
    (box,) = screen.axes()["boxes"]
    screen.press("token_types", "model")
    (again,) = screen.axes()["boxes"]
    assert again == pytest.approx(box)
    at_model = {key for key in caught if key[0] == "model"}
    assert screen.count() == len(at_model) < len(caught)
    assert screen.chips() == ["position model", BOXED]
    screen.reset_axes()
    assert screen.axes()["boxes"] == []
    assert screen.chips() == ["position model"]
    assert screen.count() == 370


def test_a_drag_draws_a_box_from_the_first_one_on(screen):
    screen.open()
    left, top, width, height = screen.area()
    for start, end in (((0.3, 0.1), (0.9, 0.9)), ((0.02, 0.02), (0.6, 0.8))):
        screen.drag(*((left + x * width, top + y * height) for x, y in (start, end)))
        expect(screen.chip(BOXED)).to_be_visible()
        assert len(screen.axes()["boxes"]) == 1
        assert screen.count() < KEPT
        screen.press("token_types", "model")
        screen.press("token_types", "model")


def test_sort_box_filter_ring_and_steps_agree(screen):
    screen.open()
    caught = screen.box((0.01, 0.01), (0.99, 0.99))
    screen.sort("Feature")
    screen.press("token_types", "newline")
    rows = screen.rows()
    ids = [feature_id for _, feature_id in rows]
    assert ids == sorted(feature_id for token_type, feature_id in caught if token_type == "newline")[: len(ids)]
    screen.pick_row(1)
    screen.expect_detail(rows[1])
    assert screen.rows() == rows
    screen.press("step1")
    screen.expect_detail(rows[2])
    assert screen.ring() == pytest.approx(screen.points()[rows[2]], abs=1.5)
    assert [row["★"] for row in screen.cells()][:4] == ["", "", "▸", ""]
    screen.sort("Feature")
    highest = [feature_id for _, feature_id in screen.rows()]
    assert highest == sorted(highest, reverse=True)
    assert highest[0] == max(feature_id for token_type, feature_id in caught if token_type == "newline")
    screen.expect_detail(rows[2])


@pytest.mark.parametrize(
    "x", [20, 80, 130, 250, 340, 420], ids=["id", "star", "position", "effect", "q", "explanation"]
)
def test_a_click_anywhere_in_a_row_picks_it(screen, x):
    screen.open()
    row = screen.rows()[3]
    screen.pick_row(3, x)
    screen.expect_detail(row)


def test_the_row_of_what_is_picked_is_in_view(screen):
    """“Next” went on below the table's last row in view, and a click on a point marked a row that nobody saw."""
    screen.open()
    screen.pick_row(0)
    shown = len(screen.cells())
    for _ in range(shown + 3):
        screen.press("step1")
    marks = [row["★"] for row in screen.cells()]
    assert marks.count("▸") == 1
    assert marks[0] != "▸", "it was scrolled no further than it must"
    before = places(screen)
    screen.press("step1")
    assert [row["★"] for row in screen.cells()].count("▸") == 1
    assert places(screen) == before


def test_a_link_shows_the_row_of_its_feature(screen):
    """The table was told to scroll before it was drawn, and stayed at its first row."""
    screen.open(chart="ranking", question="changed")
    screen.sort("q")
    screen.sort("q")
    last = screen.rows()[0]
    screen.open(question="changed", feature=f"{last[1]}@{last[0]}")
    expect(screen.table.locator("[role=grid] td", has_text="▸")).to_have_count(1)
    assert [(row["Position"], int(row["Feature"])) for row in screen.cells() if row["★"] == "▸"] == [last]


def test_a_hover_text_has_the_minus_sign_of_the_table(screen):
    """Plotly's formats write a hyphen, which stood beside the minus signs of axes and table."""
    screen.open(question="changed")
    row = next(row for row in screen.cells() if row["Change"].startswith("−"))
    screen.hover((row["Position"], int(row["Feature"])))
    label = screen.chart.locator(".hovertext")
    expect(label).to_contain_text("Difference: −")
    expect(label).to_contain_text(re.compile(r"Change of mean activation on Target: −[\d.]+ \(−[\d.]+ to −[\d.]+\)"))


# Nothing traps, nothing is lost


@pytest.mark.parametrize("query", ["", "metric=target_max&token_types=model&feature=1@nowhere"], ids=["bare", "a link"])
def test_back_leaves_the_dashboard_at_once(screen, site, query):
    """Each change made an entry in the history that led nowhere: Back had to be pressed dozens of times."""
    screen.page.goto(f"{site.url}/before")
    screen.open(query)
    screen.pick_row(1)
    screen.settle()
    screen.press("exclusivity", "Base")
    screen.choose("metric", "Activation frequency")
    screen.write("search", "planted")
    screen.choose_chart("Volcano")
    screen.page.go_back()
    expect(screen.page).to_have_url(f"{site.url}/before")
    expect(screen.page).to_have_title("/before")


def test_stars_and_notes_outlive_a_reload(screen, new_screen):
    screen.open()
    first, second = screen.rows()[:2]
    screen.pick_row(0)
    for key in (first, second):
        screen.expect_detail(key)
        screen.press("star")
        screen.press("step1")
    screen.press("step-1")
    screen.expect_detail(second)
    note = screen.page.get_by_placeholder("A note on this feature, which stars it")
    note.fill("a note")
    note.press("Enter")
    screen.settle()
    screen.page.reload()
    screen.expect_detail(second)
    expect(note).to_have_value("a note")
    screen.settle()  # the table is drawn after the details
    assert [int(row["Feature"]) for row in screen.cells() if "★" in row["★"]][:2] == [first[1], second[1]]
    screen.unfold("Stars and notes")
    expect(screen.page.get_by_text("2 features of this source starred. This browser keeps them.")).to_be_visible()
    screen.press("star")
    screen.page.reload()
    screen.expect_detail(second)
    expect(note).to_have_value("")
    screen.settle()
    assert {int(row["Feature"]) for row in screen.cells() if "★" in row["★"]} == {first[1]}
    other = new_screen().open()
    assert {row["★"] for row in other.cells()} == {""}, "another browser has none"
