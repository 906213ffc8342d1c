"""The points of the dashboard's chart, which its own script draws on a canvas, in a real Chromium."""

import pytest

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait

KEPT = 740

# How opaque the canvas is at places of the window, 0 to 1.
OPACITY = """(places) => {
  const canvas = document.querySelector('.featurediff-points'), {left, top} = canvas.getBoundingClientRect();
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const scale = canvas.width / canvas.clientWidth;
  return places.map(([x, y]) => {
    const [column, row] = [Math.round((x - left) * scale), Math.round((y - top) * scale)];
    return data[4 * (row * canvas.width + column) + 3] / 255;
  });
}"""


@pytest.fixture(scope="module")
def server(serve):
    return serve()


def opacities(screen):
    """How opaque the canvas is in the middle of each point."""
    points = screen.points()
    return dict(zip(points, screen.page.evaluate(OPACITY, [list(place) for place in points.values()]), strict=True))


@pytest.mark.parametrize("chart", ["scatter", "volcano"])
def test_every_point_is_seen_where_plotly_has_it_also_after_a_zoom(screen, chart):
    screen.open(chart=chart)
    whole = opacities(screen)
    assert len(whole) == KEPT
    assert min(whole.values()) > 0.5
    before = screen.points()
    screen.zoom(next(iter(before)))
    screen.settle()
    left, top, width, height = screen.area()
    zoomed = screen.points()
    assert zoomed != before
    inside = {
        key: value
        for key, value in opacities(screen).items()
        if left + 2 < zoomed[key][0] < left + width - 2 and top + 2 < zoomed[key][1] < top + height - 2
    }
    assert inside
    assert min(inside.values()) > 0.5


def test_a_box_dims_the_points_outside_and_a_double_click_ends_that(screen):
    screen.open()
    whole = opacities(screen)
    lone = {key: value for key, value in whole.items() if value < 0.7}  # no other point lies on it
    caught = screen.box()
    boxed = opacities(screen)
    assert all(boxed[key] == pytest.approx(lone[key], abs=0.02) for key in lone if key in caught)
    outside = [key for key in lone if key not in caught]
    assert outside
    assert max(boxed[key] for key in outside) < 0.4
    screen.reset_axes()
    assert opacities(screen) == pytest.approx(whole)


def test_a_lasso_dims_the_points_outside_too(screen):
    screen.open(chart="volcano")
    screen.lasso((0.6, 0.02), (0.98, 0.02), (0.98, 0.9), (0.6, 0.9))
    left, _, width, _ = screen.area()
    faint = {key for key, value in opacities(screen).items() if value < 0.4}
    assert faint
    assert all(screen.points()[key][0] < left + 0.6 * width + 1 for key in faint)


def test_the_cameras_picture_has_every_point(screen, tmp_path):
    """Plotly draws none of them on the page."""
    screen.open()
    assert screen.chart.locator("path.point").count() == 0
    screen.chart.hover(position={"x": 200, "y": 5})
    with screen.page.expect_download() as downloading:
        screen.page.locator(".modebar-btn[data-title^=Download]").click()
    downloading.value.save_as(tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_text("utf-8").count('<path class="point') == KEPT
    screen.settle()
    assert screen.chart.locator("path.point").count() == 0
