"""Evidence, stars and the page in place, in a real Chromium."""

import csv
import itertools

import pytest
from playwright.sync_api import expect

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait
KEPT = 740


@pytest.fixture(scope="module")
def server(serve, site):
    return serve("--neuronpedia-template", site.template)


def widest_gap(values, low, high):
    """Return the middle of the widest gap between values within bounds: the mouse moves by whole pixels."""
    inside = sorted([low, high, *(value for value in values if low < value < high)])
    before, after = max(itertools.pairwise(inside), key=lambda pair: pair[1] - pair[0])
    return (before + after) / 2


def test_lasso_in_the_volcano_narrows_table_and_counts(screen):
    screen.open(chart="volcano", metric="target_sparsity")
    assert screen.count() == len(screen.points()) == KEPT
    left, top, width, height = screen.area()
    places = {key: ((x - left) / width, (y - top) / height) for key, (x, y) in screen.points().items()}
    x0, x1 = (widest_gap((x for x, _ in places.values()), *bounds) for bounds in ((0.5, 0.6), (0.93, 1.0)))
    y0, y1 = (widest_gap((y for _, y in places.values()), *bounds) for bounds in ((0.0, 0.07), (0.5, 0.6)))
    screen.lasso((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    caught = {key for key, (x, y) in places.items() if x0 < x < x1 and y0 < y < y1}
    assert screen.count() == len(caught) < KEPT
    assert set(screen.rows()) <= caught
    assert screen.shown.inner_text() == f"{len(caught)} of {KEPT} features"
    screen.click(star := screen.rows()[0])
    screen.expect_detail(star)
    assert screen.ring() == pytest.approx(screen.points()[star], abs=1.5)
    screen.choose_chart("Scatter")
    assert screen.count() == len(caught)
    assert screen.detail() == f"Feature {star[1]} at {star[0]}"


def test_share_is_filled_when_it_is_open(screen):
    """It is written by a part of the page that runs alone, into a place outside of it."""
    screen.open(search="planted")
    share = screen.key("share").get_by_role("button")
    share.click()
    link = screen.page.get_by_test_id("stPopoverBody").get_by_test_id("stCode").first
    expect(link).to_contain_text("?search=planted&source=demo")
    screen.page.keyboard.press("Escape")
    screen.settle()
    screen.pick_row(0)
    share.click()
    expect(link).to_contain_text("&feature=")


def test_page_is_shown_over_the_dashboard_and_not_loaded_before(screen, site):
    screen.open(chart="ranking")
    row = screen.rows()[1]
    screen.pick_row(1)
    screen.expect_detail(row)
    asked = f"/page/{row[1]}?embed=true&embedtest=false&embedsteer=false"
    assert asked not in site.asked
    screen.press("show_page")
    frame = screen.page.get_by_role("dialog").locator("iframe[src*='embed=true']")
    expect(frame).to_be_visible()
    assert frame.get_attribute("src") == site.url + asked
    expect(screen.page.get_by_text("Where the frame stays grey")).to_be_visible()
    assert asked in site.asked
    screen.page.keyboard.press("Escape")
    expect(screen.page.locator("iframe[src*='embed=true']")).to_have_count(0)
    screen.expect_detail(row)


@pytest.mark.parametrize("width", [1280, 1536, 1920])
def test_details_are_wide_enough_to_read_in_any_window(screen, width):
    """Beside the chart, a laptop's window left them 150 pixels."""
    screen.page.set_viewport_size({"width": width, "height": 1000})
    screen.open()
    screen.pick_row(0)
    screen.expect_detail(screen.rows()[0])
    note = screen.page.get_by_placeholder("A note on this feature, which stars it").bounding_box()
    assert note["width"] > 400
    assert note["x"] + note["width"] <= width
    explanation = screen.page.get_by_test_id("stText").filter(has_text="Planted: ").bounding_box()
    assert explanation["width"] > 240
    assert explanation["x"] + explanation["width"] <= width


def test_stars_and_notes_outlive_a_filter_and_go_through_a_csv(screen, new_screen, tmp_path):
    screen.open()
    first, second = screen.rows()[:2]
    screen.pick_row(0)
    for key, note in ((first, "first of all"), (second, "a second, with a comma")):
        screen.expect_detail(key)
        screen.press("star")
        box = screen.page.get_by_placeholder("A note on this feature, which stars it")
        box.fill(note)
        box.press("Enter")
        screen.settle()
        screen.press("step1")
    ids = [first[1], second[1]]
    screen.press("token_types", "model")
    screen.press("token_types", "model")
    assert [int(row["Feature"]) for row in screen.cells() if "★" in row["★"]][:2] == ids
    screen.unfold("Stars and notes")
    with screen.page.expect_download() as downloading:
        screen.key("download_stars").get_by_role("button").first.click()
    file = tmp_path / downloading.value.suggested_filename
    downloading.value.save_as(file)
    with file.open(newline="", encoding="utf-8") as lines:
        assert [(row["source"], int(row["feature_id"]), row["note"]) for row in csv.DictReader(lines)] == [
            ("demo", ids[0], "first of all"),
            ("demo", ids[1], "a second, with a comma"),
        ]

    other = new_screen().open()
    other.unfold("Stars and notes")
    other.key("stars_file").locator("input[type=file]").set_input_files(file)
    expect(other.page.get_by_text("2 features of this source starred.")).to_be_visible()
    other.press("starred")
    assert {int(row["Feature"]) for row in other.cells()} == set(ids)
