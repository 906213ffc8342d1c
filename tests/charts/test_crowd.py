"""A crowd of points becomes a density; what can be told apart, and what has evidence, stays a point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff.charts.crowd import catch, draw_crowd, find_crowd, say_crowd

WINDOW = (0.0, 10.0, 0.0, 10.0)
PLOT = (60, 60)  # ten cells each way, a unit wide
TENTHS = st.integers(-10, 110).map(lambda number: number / 10 + 0.05)  # never on the edge of a cell


def test_points_of_one_cell_become_a_count_and_others_stay():
    x = np.array([0.1, 0.2, 0.9, 5.5, 20.0])
    y = np.array([0.1, 0.2, 0.9, 5.5, 5.0])
    crowd = find_crowd(x, y, np.full(5, np.nan), 0.05, WINDOW, PLOT)
    assert crowd.alone.tolist() == [False, False, False, True, False]
    assert crowd.counts.sum() == crowd.counts[0, 0] == 3
    assert crowd.x[[0, -1]].tolist() == crowd.y[[0, -1]].tolist() == [0.5, 9.5]


def test_points_with_evidence_are_always_drawn():
    x = y = np.array([0.1, 0.2, 0.3])
    crowd = find_crowd(x, y, np.array([0.06, 0.05, np.nan]), 0.05, WINDOW, PLOT)
    assert crowd.alone.tolist() == [False, True, False]
    assert crowd.counts[0, 0] == 2
    trace = draw_crowd(crowd)
    assert trace["text"][0, 0] == 2
    assert np.isnan(trace["z"]).sum() == 99
    assert say_crowd(crowd, 0.05)["text"] == "grey: 2 features with q > 0.05, too close to tell apart"


def test_of_too_many_points_with_evidence_the_surest_of_each_cell_is_drawn(monkeypatch):
    """75,000 points with evidence were drawn on each other: 7 MB for the browser, and ten seconds."""
    monkeypatch.setattr("featurediff.charts.crowd.MOST_POINTS", 3)
    x = y = np.array([0.1, 0.2, 0.3, 0.4, 5.5, 5.6, 9.5])
    q = np.array([0.04, 0.01, 0.01, 0.5, 0.03, 0.9, 0.9])
    crowd = find_crowd(x, y, q, 0.05, WINDOW, PLOT)
    assert crowd.alone.tolist() == [False, True, False, False, True, False, True]
    assert (crowd.counts[0, 0], crowd.counts[5, 5], crowd.counts.sum()) == (3, 1, 4)
    assert crowd.sure == 2
    said = "grey: 4 features, 2 of them with q ≤ 0.05, too close to tell apart"
    assert say_crowd(crowd, 0.05)["text"] == said


def test_a_zoom_tells_points_apart():
    x = y = np.array([0.1, 0.2, 0.9])
    crowd = find_crowd(x, y, np.ones(3), 0.05, (0.0, 1.0, 0.0, 1.0), PLOT)
    assert crowd.alone.all()


@given(st.lists(st.tuples(TENTHS, TENTHS, st.booleans()), max_size=40))
def test_every_point_in_the_window_is_drawn_or_counted(points):
    x, y, important = (np.array(column) for column in zip(*points, strict=True)) if points else (np.zeros(0),) * 3
    crowd = find_crowd(x, y, np.where(important.astype(bool), 0.01, 0.5), 0.05, WINDOW, PLOT)
    inside = (x >= 0) & (x < 10) & (y >= 0) & (y < 10)
    assert crowd.alone.sum() + crowd.counts.sum() == inside.sum()
    assert (crowd.alone >= (inside & important.astype(bool))).all()


def test_a_box_and_a_lasso_catch_what_is_inside():
    x, y = np.array([1.0, 5.0, 9.0]), np.array([1.0, 5.0, 9.0])
    box = {"type": "rect", "x0": 6, "x1": 0, "y0": 0, "y1": 6}
    assert catch(box, x, y).tolist() == [True, True, False]
    triangle = {"type": "path", "path": "M0,0L6,0L6,6Z"}
    inside = catch(triangle, np.array([5.0, 1.0, 7.0]), np.array([1.0, 5.0, 1.0]))
    assert inside.tolist() == [True, False, False]


@pytest.mark.parametrize("path", ["M0,0L4,0L4,4L2,2L0,4Z"])
def test_a_lasso_may_have_a_notch(path):
    inside = catch({"type": "path", "path": path}, np.array([1.0, 2.0, 3.0]), np.array([2.5, 3.0, 2.5]))
    assert inside.tolist() == [True, False, True]
