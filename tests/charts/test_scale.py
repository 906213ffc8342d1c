import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurediff.charts.scale import TICK_ROOM, Scale, fit_scale

MEAN, SHARE = "target_all_mean", "target_sparsity"
NAMES = ("linear", "sqrt", "symlog")
VALUES = st.lists(st.floats(-1e6, 1e6, width=32).filter(lambda v: v == 0 or abs(v) > 1e-6), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", [-4, 0, 0.25, 9]),
        ("sqrt", [-2, 0, 0.5, 3]),
        ("symlog", [-np.log(9), 0, np.log(1.5), np.log(19)]),
    ],
)
def test_places(name, expected):
    scale = Scale(name, smallest=-4, largest=9, linear_to=0.5)
    np.testing.assert_allclose(scale.place(np.array([-4, 0, 0.25, 9])), expected)
    assert scale.place(0.25) == pytest.approx(expected[2])
    span = expected[-1] - expected[0]
    assert (scale.low, scale.high, scale.span) == pytest.approx((expected[0], expected[-1], span))
    assert scale.range == pytest.approx((expected[0] - 0.05 * span, expected[-1] + 0.05 * span))


@pytest.mark.parametrize(
    ("values", "metric", "name", "linear_to"),
    [
        ([0, 0, 0, 1, 10], MEAN, "linear", 1),  # the middle of 1 and 10
        ([1, 1, 10], MEAN, "sqrt", 1),
        ([2, 2, 10], MEAN, "linear", 2),
        ([-0.5, -1, 0, 10], MEAN, "sqrt", 0.5),
        ([0.1, 0.1, 1], SHARE, "linear", 0.1),
        ([0.1, 0.1, 1], "control_sparsity", "linear", 0.1),
        ([0, 0], MEAN, "linear", 1),
        ([], MEAN, "linear", 1),
    ],
)
def test_auto(values, metric, name, linear_to):
    scale = fit_scale(np.array(values, dtype=np.float64), "auto", metric)
    assert scale == Scale(name, min(values, default=0), max(values, default=1), linear_to)


@pytest.mark.parametrize("choice", NAMES)
def test_choice_is_taken(choice):
    assert fit_scale(np.array([1, 1, 10]), choice, MEAN) == Scale(choice, 1, 10, 1)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (Scale("linear", 0, 1, 0.1), [0, 0.25, 0.5, 0.75, 1]),
        (Scale("linear", 0, 40, 1), [0, 10, 20, 30, 40]),
        (Scale("linear", -2, 6, 1), [-2, 0, 2, 4, 6]),
        (Scale("linear", -0.5, -0.1, 1), [-0.5, -0.4, -0.3, -0.2, -0.1]),
        (Scale("linear", 100, 103, 1), [100, 100.5, 101, 101.5, 102, 102.5, 103]),
        (Scale("linear", 3, 3, 3), [3]),
        (Scale("sqrt", 0, 100, 1), [0, 2, 5, 10, 25, 50, 75, 100]),
        (Scale("sqrt", -4, 100, 1), [-5, -1, 0, 1, 5, 10, 25, 50, 75, 100]),
        (Scale("symlog", 0, 100, 1), [0, 1, 2, 5, 10, 20, 50, 100]),
        (Scale("symlog", 0, 100, 1e-4), [0, 5e-4, 2e-3, 0.01, 0.05, 0.2, 1, 5, 20, 100]),
    ],
)
def test_ticks(scale, expected):
    """On a linear axis from 0 to 40 the steps were uneven: 5, 5, 10, 10, 10; from 100 to 103 there was one tick."""
    np.testing.assert_allclose(scale.ticks(), expected, atol=1e-12)


@settings(deadline=None)
@given(VALUES, st.sampled_from(NAMES))
def test_scale_is_odd_and_rising(values, choice):
    scale = fit_scale(np.array(values), choice, MEAN)
    at = np.sort(values)
    assert (np.diff(scale.place(at)) >= 0).all()
    np.testing.assert_array_equal(scale.place(-at), -scale.place(at))
    assert scale.place(0.0) == 0


@settings(deadline=None)
@given(VALUES, st.sampled_from(NAMES))
def test_ticks_lie_in_range_and_apart(values, choice):
    scale = fit_scale(np.array(values), choice, MEAN)
    ticks = scale.ticks()
    low, high = scale.range
    places = scale.place(ticks)
    assert ((places >= low) & (places <= high)).all()
    assert (np.diff(places) >= 0.999 * TICK_ROOM * scale.span).all()
    assert len({f"{tick:.4g}" for tick in ticks}) == len(ticks), "two ticks are labelled alike"
