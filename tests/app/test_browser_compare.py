"""The comparison page in a real Chromium: five demo layers, through to one of them and back."""

import json
import re

import pytest
from playwright.sync_api import expect

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait
CHART = ".js-plotly-plot"
LAYERS = [4, 8, 12, 16, 20]
KEPT = 740
UP, DOWN = 109, 36
"""Features of distant_40 that changed at model."""

# Where the middle of each cell of the heat map is, in pixels of the window: [row, column, x, y, shared features].
CELLS = """() => {
  const chart = document.querySelector('.st-key-overlap .js-plotly-plot'), {xaxis, yaxis} = chart._fullLayout;
  const {left, top} = chart.getBoundingClientRect();
  return JSON.stringify(chart._fullData.filter((trace) => trace.customdata).flatMap((trace) =>
    Array.from(trace.customdata, ([row, column], i) => [row, column,
      left + xaxis._offset + xaxis.d2p(trace.x[i]), top + yaxis._offset + yaxis.d2p(trace.y[i]),
      parseInt(trace.text[i].replace(/<b>|,/g, ''))])));
}"""


READY = "!!document.querySelector('.st-key-overlap .js-plotly-plot')?._fullLayout?.xaxis?.d2p"
DRAWN = "!!document.querySelector('.st-key-scatter .js-plotly-plot')?._fullLayout?.xaxis?.d2p"


@pytest.fixture(scope="module")
def server(serve):
    return serve()


def compare(screen):
    """Go from the dashboard to the comparison."""
    screen.press("compare")
    expect(screen.page.get_by_role("heading", name=re.compile("^Comparison of"))).to_be_visible()
    screen.page.wait_for_function(READY)
    screen.settle()
    return screen


def back(screen):
    screen.press("back")
    screen.page.wait_for_function(DRAWN)
    screen.settle()


def headings(screen):
    return screen.page.get_by_test_id("stMain").get_by_role("heading").all_inner_texts()


def cells(screen):
    """Return where the cells are and how many features they show: {(row, column): (x, y, shared)}."""
    screen.key("overlap").scroll_into_view_if_needed()
    return {(row, column): (x, y, shared) for row, column, x, y, shared in json.loads(screen.page.evaluate(CELLS))}


def open_row(screen, number):
    """Click the name of a source in the table of counts."""
    canvas = screen.page.get_by_test_id("stDataFrame").last.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    canvas.click(position={"x": 120, "y": 33 * number + 52}, force=True)
    screen.page.wait_for_function(DRAWN)
    screen.settle()


def test_five_demo_layers_are_compared_and_one_is_opened_and_left_again(screen):
    compare(screen.open())
    assert headings(screen)[0] == "Comparison of 7 sources"
    expect(screen.page.get_by_text("synthetic demo data")).to_be_visible()
    lines = screen.key("lines").locator(CHART)
    drawn = lines.evaluate("(chart) => chart._fullData.map((trace) => [trace.name, Array.from(trace.x)])")
    assert {name for name, _ in drawn} == {
        f"{at}, {value}" for at in ("model", "newline") for value in ("kept", "with evidence")
    }
    assert all(layers == LAYERS for _, layers in drawn)
    bars = screen.key("bars").locator(CHART)
    assert bars.locator(".ytick text").all_text_contents()[0] == "layer 4 · synthetic_40"
    open_row(screen, 2)
    at_position = "source=demo_trainer16k_layer8%2Fsynthetic_40&token_types=model"
    assert screen.query() == at_position
    assert "residual stream after layer 8 · synthetic_40" in screen.text()
    assert screen.count() == len(screen.points())
    compare(screen)
    assert headings(screen)[0] == "Comparison of 7 sources"
    back(screen)
    assert screen.query() == at_position


def test_click_on_a_cell_lists_the_shared_features(screen):
    compare(screen.open())
    found = cells(screen)
    assert len(found) == 9
    x, y, shared = found[2, 1]
    screen.page.mouse.move(x + 20, y + 20)
    expect(screen.key("overlap").locator(".hovertext")).to_contain_text("Click to list them")
    screen.page.mouse.click(x + 20, y + 20)
    expect(screen.page.get_by_role("heading", name=f"{shared} shared features")).to_be_visible()
    screen.settle()
    assert screen.query() == "first=demo"
    assert screen.key("first").locator("input").input_value() == "synthetic_40"
    assert screen.key("second").locator("input").input_value() == "related_40"
    rows = screen.page.get_by_test_id("stDataFrame").first.locator("[role=grid] tbody tr")
    assert rows.count() > 5
    x, y, own = cells(screen)[0, 0]
    screen.page.mouse.click(x - 20, y - 20)
    expect(screen.page.get_by_role("heading", name=f"{own} features")).to_be_visible()
    screen.settle()
    screen.choose("among", "Active on Target only, with evidence")
    assert cells(screen)[0, 0][2] < own


def test_click_on_a_bar_opens_its_source_with_the_question(screen):
    compare(screen.open())
    screen.page.get_by_text("Changed on Target", exact=True).click()
    screen.settle()
    bar = screen.key("bars").locator(".bars .point path").nth(2)
    box = bar.bounding_box()
    screen.page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    hover = screen.key("bars").locator(".hovertext")
    expect(hover).to_contain_text("Click to open it")
    assert f"layer 12 · distant_40More in Instruct at model{UP} with evidence" in hover.text_content()
    screen.page.mouse.click(box["x"] + 20, box["y"] + box["height"] / 2)
    screen.page.wait_for_function(DRAWN)
    screen.settle()
    parts = {"source=demo_trainer16k_layer12%2Fdistant_40", "token_types=model", "question=changed"}
    assert set(screen.query().split("&")) == parts
    assert screen.count() == UP + DOWN


def test_dashboard_is_found_as_it_was_left_also_on_the_browsers_way_back(screen):
    """The comparison asks what the dashboard asked, also of its rule; the dashboard is as it was left."""
    screen.open(min_target="2")
    screen.choose("metric", "Maximum activation")
    screen.write("search", "planted")
    row = screen.rows()[1]
    screen.pick_row(1)
    screen.expect_detail(row)
    left = screen.look()
    query = screen.query()
    compare(screen)
    assert screen.query() == "min_target=2"
    assert screen.key("min_target").locator("input").input_value() == "2"
    screen.write("max_q", "0.2")
    back(screen)
    assert screen.look() == left
    assert screen.query() == query
    compare(screen)
    assert set(screen.query().split("&")) == {"min_target=2", "max_q=0.2"}
    assert screen.key("max_q").locator("input").input_value() == "0.2"
    screen.page.go_back()
    expect(screen.shown).to_have_text(re.compile(f"^{left['count']} "))
    screen.settle()
    assert screen.look() == left
    assert screen.query() == query


def test_choices_of_the_comparison_are_in_its_link(new_screen, chromium):
    screen = compare(new_screen().open())
    expect(screen.page.get_by_text("is still being tested")).to_have_count(0, timeout=120_000)  # until then it reruns
    screen.choose("token_types", "newline")
    screen.choose("among", "Active on Target only, with evidence")
    screen.write("max_q", "0.2")
    second = screen.key("second").locator("input")
    second.click()
    second.fill("synthetic_40")  # at the lower end of the window the list of choices closes when the page scrolls
    second.press("Enter")
    screen.settle()
    before = headings(screen)
    assert set(screen.query().split("&")) == {"token_types=newline", "among=significant", "max_q=0.2", "second=demo"}
    other = type(screen)(chromium.new_page(), screen.server)  # Streamlit looks in vain beside a second page for a file
    other.page.goto(screen.page.url)
    other.page.get_by_role("heading", name="All counts").wait_for()
    other.page.wait_for_function(READY)
    other.settle()
    assert headings(other) == before
    other.page.close()


def test_a_link_to_the_comparison_may_be_the_first_that_a_server_sees(chromium, serve):
    """Streamlit ran the page's file alone: there was no way to the dashboard."""
    server = serve()
    page = chromium.new_page()
    page.goto(f"{server.url}/compare?among=significant")
    page.get_by_role("heading", name="Comparison of 7 sources").wait_for()
    page.get_by_role("heading", name="All counts").wait_for()
    assert page.url.endswith("/compare?among=significant")
    assert page.locator(".stException").count() == 0
    page.get_by_role("button", name="Dashboard").first.click()
    page.get_by_text(f"{KEPT} features", exact=True).wait_for()
    page.close()
    assert "Traceback" not in server.log.read_text("utf-8")


def test_a_path_that_there_is_not_is_said_and_the_dashboard_shown(chromium, serve):
    server = serve()
    page = chromium.new_page()
    page.goto(f"{server.url}/nonsense")
    page.get_by_role("dialog").get_by_text("Page not found").wait_for()
    page.get_by_text(f"{KEPT} features", exact=True).wait_for()
    page.close()
    assert "Traceback" not in server.log.read_text("utf-8")
