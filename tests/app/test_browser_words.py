"""What a browser says to the server may be anything: other pages of the same host write into its storage, too."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff.app.browser import MAX_SOURCE, MOST_KEPT, read_seen
from featurediff.app.dashboard.room import Room
from featurediff.app.dashboard.stars import MAX_NOTE

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from(["room", "stars", "x"]), parts),
    max_leaves=9,
)


def test_room_and_stars():
    seen = {"room": [900.5, 700], "stars": [["7 demo", "a note"], ["12 a b", ""]]}
    assert read_seen(seen) == (Room(900, 700), {("demo", 7): "a note", ("a b", 12): ""})


@pytest.mark.parametrize(
    "room",
    ["[NaN, 800]", "[1e999, 800]", "[-1e999, 800]", "[900]", "[900, 800, 1]", '["900", 800]', "{}", "null", "9" * 400,
     f"[{'9' * 400}, 800]"],
)  # fmt: skip
def test_room_that_no_window_has_is_passed_over(room):
    """Each visit ended in an error, until the reader cleared the browser's storage."""
    assert read_seen({"room": json.loads(room), "stars": [["7 demo", ""]]}) == (None, {("demo", 7): ""})


@pytest.mark.parametrize(
    "star",
    [None, 7, "7 demo", [], ["7 demo"], ["7 demo", 1], [7, "demo"], ["x demo", ""], ["7 ", ""], ["-7 demo", ""],
     ["1234567890 demo", ""], ["\u0667 demo", ""], [f"7 {'x' * (MAX_SOURCE + 1)}", ""], ["7 demo", "", ""],
     [["7 demo"], {}]],
)  # fmt: skip
def test_star_that_is_not_ours_is_passed_over(star):
    assert read_seen({"room": [900, 800], "stars": [star, ["8 demo", ""]]}) == (Room(900, 800), {("demo", 8): ""})


def test_stars_are_bounded():
    stars = [[f"{i} {'x' * MAX_SOURCE}", "y" * 10_000] for i in range(MOST_KEPT + 5)]
    found = read_seen({"stars": stars})[1]
    assert len(found) == MOST_KEPT
    assert {len(note) for note in found.values()} == {MAX_NOTE}
    assert read_seen({"stars": {"7 demo": ""}}) == (None, {})


@given(ANYTHING)
def test_anything_is_read_or_passed_over(seen):
    room, stars = read_seen(seen)
    assert room is None or room == Room.within(room.width, room.height)
    assert len(stars) <= 3
