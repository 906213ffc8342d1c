"""Labels of ticks stay apart, whatever the size of the chart."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff.charts.scale import Scale
from featurediff.charts.style import BETWEEN, LABEL_HEIGHT, LETTER, keep_apart, value_axis


def labelled(scale, pixels, *, upright=False):
    """The labels of an axis of so many pixels: text → pixels from where 0 is drawn."""
    low, high = scale.range
    axis = value_axis((low, high), "", scale)
    parted = keep_apart(axis, pixels, upright=upright)
    assert parted["tickvals"] == axis["tickvals"], "the lines stay"
    return {
        text: round(value / (high - low) * pixels)
        for text, value in zip(parted["ticktext"], parted["tickvals"], strict=True)
        if text
    }


def test_even_ticks_lose_every_second_label_and_more():
    """The labels of a small chart were printed together: "0.00.05 0.1"."""
    scale = Scale("linear", smallest=0, largest=0.36, linear_to=1)
    assert list(labelled(scale, 600)) == ["0", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3", "0.35"]
    assert labelled(scale, 190) == {"0": 0, "0.1": 48, "0.2": 96, "0.3": 144}
    assert labelled(scale, 80) == {"0": 0, "0.15": 30, "0.3": 61}
    assert list(labelled(scale, 190, upright=True)) == ["0", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3", "0.35"]


def test_uneven_ticks_keep_their_round_labels():
    scale = Scale("sqrt", smallest=0, largest=16, linear_to=1)
    every = ["0", "0.2", "1", "2.5", "5", "7.5", "10", "12.5", "15"]
    assert list(labelled(scale, 600)) == every
    assert list(labelled(scale, 190)) == ["0", "0.2", "1", "2.5", "5", "10", "15"]
    assert labelled(scale, 60) == {"0": 0, "1": 14, "5": 30, "15": 53}


def test_an_axis_without_ticks_of_its_own_is_left_alone():
    axis = value_axis((0, 1), "", None)
    assert keep_apart(axis, 100, upright=False) == axis
    nothing = axis | {"tickvals": [], "ticktext": []}
    assert keep_apart(nothing, 100, upright=False) == nothing


@given(
    name=st.sampled_from(["linear", "sqrt", "symlog"]),
    ends=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)).map(sorted),
    pixels=st.integers(100, 900),
    upright=st.booleans(),
)
def test_no_two_labels_touch(name, ends, pixels, upright):
    at = labelled(Scale(name, *ends, linear_to=0.01), pixels, upright=upright)
    for (one, here), (other, there) in itertools.pairwise(at.items()):
        room = LABEL_HEIGHT if upright else LETTER * (len(one) + len(other)) / 2 + BETWEEN
        assert there - here >= room - 1


@pytest.mark.parametrize("upright", [False, True])
def test_zero_keeps_its_label(upright):
    scale = Scale("symlog", smallest=-900, largest=1000, linear_to=0.1)
    assert labelled(scale, 100, upright=upright)["0"] == 0
    assert np.all(np.diff(list(labelled(scale, 100, upright=upright).values())) > 0)
