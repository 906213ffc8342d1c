"""The demo in a real Chromium: what AppTest cannot see."""

import pytest
from playwright.sync_api import expect

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait
KEPT = 740


@pytest.fixture(scope="module")
def server(serve):
    return serve()


def test_first_view_is_the_demo_and_another_metric_redraws_it(screen):
    screen.open()
    expect(screen.page.get_by_text("synthetic demo data")).to_be_visible()
    assert screen.count() == len(screen.points()) == KEPT
    assert screen.detail() is None
    assert screen.query() == "source=demo"
    titles = screen.chart.locator(".xtitle, .ytitle")
    assert titles.all_text_contents() == ["Base: Mean activation", "Instruct: Mean activation"]
    before = screen.traces()
    screen.choose("metric", "Activation frequency")
    assert titles.all_text_contents() == ["Base: Activation frequency", "Instruct: Activation frequency"]
    after = screen.traces()
    assert [trace[:3] for trace in after] == [trace[:3] for trace in before]
    assert after != before
    assert "metric=target_sparsity" in screen.query()


def test_pick_keeps_the_zoom_and_the_drawn_box(screen):
    """A drawn box swallowed the mouse, so that no point inside it could be hovered or picked."""
    screen.open()
    star = screen.loneliest()
    screen.zoom(star, 120)
    screen.box((0.05, 0.05), (0.95, 0.95))
    before, caught = screen.axes(), screen.count()
    assert len(before["boxes"]) == 1
    screen.chart.evaluate("chart => { chart.dataset.seen = 'yes' }")
    screen.click(star)
    screen.expect_detail(star)
    assert screen.axes() == before
    assert screen.count() == caught < KEPT
    assert screen.chart.get_attribute("data-seen") == "yes"
    assert screen.ring() == pytest.approx(screen.points()[star], abs=1.5)
    assert f"feature={star[1]}%40{star[0]}" in screen.query()


def test_filter_keeps_the_zoom_and_a_double_click_ends_it(screen):
    screen.open()
    whole = screen.axes()["range"]
    star = next(iter(screen.points()))
    screen.zoom(star, 100)
    assert screen.axes()["range"] != whole
    screen.reset_axes()
    assert screen.axes()["range"] == pytest.approx(whole)
    screen.zoom(star, 100)
    zoomed = screen.axes()["range"]
    screen.press("token_types", "model")
    assert {key[0] for key in screen.points()} == {"model"}
    assert screen.axes()["range"] == pytest.approx(zoomed)
    screen.write("search", "planted")
    assert screen.axes()["range"] == pytest.approx(zoomed)
    screen.reset_axes()
    assert screen.axes()["range"] == pytest.approx(whole)
    screen.write("search", "")
    assert screen.axes()["range"] == pytest.approx(whole)


def test_picked_row_outlives_a_box_that_narrows_table_and_counts(screen):
    screen.open()
    row = screen.rows()[3]
    screen.pick_row(3)
    screen.expect_detail(row)
    assert screen.ring() == pytest.approx(screen.points()[row], abs=1.5)
    caught = screen.box()
    assert screen.shown.inner_text() == f"{len(caught)} of {KEPT} features"
    assert len(caught) < KEPT
    assert set(screen.rows()) <= caught
    screen.expect_detail(row)
    assert f"feature={row[1]}%40{row[0]}" in screen.query()
    screen.chip("inside the box").click()
    expect(screen.shown).to_have_text(f"{KEPT} features")
    screen.settle()
    assert screen.axes()["boxes"] == []
    screen.expect_detail(row)


def test_next_and_previous_follow_the_table_until_the_detail_is_closed(screen):
    screen.open()
    rows = screen.rows()
    screen.pick_row(0)
    screen.expect_detail(rows[0])
    expect(screen.key("step-1").get_by_role("button")).to_be_disabled()
    for row in rows[1:3]:
        screen.key("step1").get_by_role("button").click()
        screen.expect_detail(row)
        assert screen.ring() == pytest.approx(screen.points()[row], abs=1.5)
    screen.key("step-1").get_by_role("button").click()
    screen.expect_detail(rows[1])
    screen.key("close").get_by_role("button").click()
    expect(screen.page.locator(".featurediff-ring")).to_have_count(0)
    screen.settle()
    assert screen.detail() is None
    assert "feature" not in screen.query()


def test_legend_hides_a_token_type_whole_and_a_box_catches_no_hidden_point(screen):
    screen.open()
    assert screen.legend("token_types") == {"model": 370, "newline": 370}
    screen.press("token_types", "newline")
    assert {key[0] for key in screen.points()} == {"newline"}
    assert screen.count() == len(screen.points()) == 370
    caught = screen.box((0.01, 0.01), (0.99, 0.99))
    assert screen.count() == len(caught)
    assert {key[0] for key in screen.rows()} == {"newline"}
    assert screen.chips() == ["position newline", "inside the box"]
