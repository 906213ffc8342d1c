"""Labels beside points: inside the plot, apart from each other, and never over a point or a gutter."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from featurediff.charts.point_labels import CHARACTER, HEIGHT, POINT, Rectangle, place_labels

PLOT = Rectangle(0, 0, 300, 270)
GUTTER = Rectangle(0, 0, 55, 270)


def rectangle(point, found):
    dx, dy, text = found
    x, y = point[0] + dx, point[1] + dy
    half = CHARACTER * len(text) / 2
    return Rectangle(x - half, y - HEIGHT / 2, x + half, y + HEIGHT / 2)


def covers(place, point):
    return place.left - POINT < point[0] < place.right + POINT and place.top - POINT < point[1] < place.bottom + POINT


def test_a_lone_label_stands_to_the_right_of_its_point():
    at = np.array([[100.0, 100.0]])
    assert place_labels(at, [["12345"]], PLOT, [], at) == [(10 + 2.5 * CHARACTER, 0.0, "12345")]


def test_a_label_at_the_right_edge_stands_to_the_left():
    at = np.array([[295.0, 100.0]])
    ((dx, dy, _),) = place_labels(at, [["12345"]], PLOT, [], at)
    assert dx == -(10 + 2.5 * CHARACTER)
    assert abs(dy) < 1e-9


def test_a_label_avoids_other_points():
    at = np.array([[100.0, 100.0]])
    crowd = np.column_stack([np.linspace(112, 130, 10), np.full(10, 100.0)])
    (found,) = place_labels(at, [["123"]], PLOT, [], np.vstack([at, crowd]))
    assert not any(covers(rectangle(at[0], found), point) for point in crowd)


def test_among_many_points_the_shorter_text_stands_or_none():
    """Labels of a dense scatter lay over its points: the place over the fewest of them was taken."""
    at = np.array([[150.0, 135.0]])
    grid = np.array([(x, y) for x in range(0, 300, 40) for y in range(0, 270, 9)], dtype=np.float64)
    texts = ["12", "12 with words"]
    (found,) = place_labels(at, [texts[::-1]], PLOT, [], np.vstack([at, grid]))
    assert found[2] == "12"
    dense = np.array([(x, y) for x in range(0, 300, 9) for y in range(0, 270, 9)], dtype=np.float64)
    assert place_labels(at, [texts[::-1]], PLOT, [], np.vstack([at, dense])) == [None]


def test_there_is_no_label_where_there_is_no_room():
    at = np.array([[20.0, 20.0]])
    assert place_labels(at, [["a text that is wider than the plot is"]], Rectangle(0, 0, 60, 60), [], at) == [None]


@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(0, 270)), min_size=1, max_size=12),
    st.lists(st.integers(1, 14), min_size=12, max_size=12),
)
def test_labels_never_cover_each_other_a_point_or_a_gutter(points, lengths):
    at = np.array(points)
    texts = [["x" * length, "x"] for length in lengths[: len(points)]]
    found = place_labels(at, texts, PLOT, [GUTTER], at)
    places = [rectangle(point, one) for point, one in zip(points, found, strict=True) if one]
    assert all(one is None or one[2] in choices for one, choices in zip(found, texts, strict=True))
    for place in places:
        assert not any(covers(place, point) for point in points)
        assert PLOT.holds(place)
        assert not place.meets(GUTTER)
    for one, other in itertools.combinations(places, 2):
        assert not one.meets(other)
