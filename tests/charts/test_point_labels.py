"""Labels beside points: inside the plot, apart from each other, and never over a gutter."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from featurediff.charts.point_labels import CHARACTER, HEIGHT, Rectangle, place_labels

PLOT = Rectangle(0, 0, 300, 270)
GUTTER = Rectangle(0, 0, 55, 270)


def rectangle(point, offset, text):
    x, y = point[0] + offset[0], point[1] + offset[1]
    half = CHARACTER * len(text) / 2
    return Rectangle(x - half, y - HEIGHT / 2, x + half, y + HEIGHT / 2)


def test_a_lone_label_stands_to_the_right_of_its_point():
    at = np.array([[100.0, 100.0]])
    assert place_labels(at, ["12345"], PLOT, [], at) == [(10 + 2.5 * CHARACTER, 0.0)]


def test_a_label_at_the_right_edge_stands_to_the_left():
    at = np.array([[295.0, 100.0]])
    ((dx, dy),) = place_labels(at, ["12345"], PLOT, [], at)
    assert dx == -(10 + 2.5 * CHARACTER)
    assert abs(dy) < 1e-9


def test_a_label_avoids_other_points_where_there_is_room():
    at = np.array([[100.0, 100.0]])
    crowd = np.column_stack([np.linspace(112, 130, 10), np.full(10, 100.0)])
    ((dx, dy),) = place_labels(at, ["123"], PLOT, [], np.vstack([at, crowd]))
    place = rectangle(at[0], (dx, dy), "123")
    assert not any(place.meets(Rectangle(x, y, x + 0.1, y + 0.1)) for x, y in crowd.tolist())


def test_there_is_no_label_where_there_is_no_room():
    at = np.array([[20.0, 20.0]])
    assert place_labels(at, ["a text that is wider than the plot is"], Rectangle(0, 0, 60, 60), [], at) == [None]


@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(0, 270)), min_size=1, max_size=12),
    st.lists(st.integers(1, 14), min_size=12, max_size=12),
)
def test_labels_never_cover_each_other_or_a_gutter(points, lengths):
    at = np.array(points)
    texts = ["x" * length for length in lengths[: len(points)]]
    places = [
        rectangle(point, offset, text)
        for point, offset, text in zip(points, place_labels(at, texts, PLOT, [GUTTER], at), texts, strict=True)
        if offset
    ]
    for place in places:
        assert PLOT.holds(place)
        assert not place.meets(GUTTER)
    for one, other in itertools.combinations(places, 2):
        assert not one.meets(other)
