import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from tables import make_table

from featurediff.charts.packing import Frame
from featurediff.charts.scale import fit_scale
from featurediff.charts.scatter_places import exact, spread

MEAN, SHARE = "target_all_mean", "target_sparsity"


def lay_out(table, metric, choice="auto"):
    base, chat = table[f"base_{metric}"].to_numpy(), table[f"chat_{metric}"].to_numpy()
    scale = fit_scale(np.concatenate([base, chat]), choice, metric)
    return spread(table, metric, scale), scale


def silent_in(table, metric, side):
    prompts = metric.partition("_")[0]
    return ((table[f"{side}_{prompts}_num_active"] == 0) & (table[f"{side}_{metric}"] == 0)).to_numpy()


def true_places(table, metric, scale):
    """Where the values themselves would be drawn, as float32."""
    return [
        scale.place(table[f"{side}_{metric}"].to_numpy()).astype(np.float32).astype(np.float64)
        for side in ("base", "chat")
    ]


def piles(*keys):
    """Indices of the rows of each group of equal keys."""
    frame = pd.DataFrame(dict(enumerate(keys)))
    return [np.asarray(rows) for rows in frame.groupby(list(frame), sort=False).indices.values()]


def check(table, metric, layout, scale):
    """Everything that must hold of any layout."""
    x, y, frame = layout.x.astype(np.float64), layout.y.astype(np.float64), layout.frame
    assert layout.x.dtype == layout.y.dtype == np.float32
    assert len(np.unique(x + 1j * y)) == len(table), "two points in one place"
    for at in (x, y):
        assert (at > frame.low).all()
        assert (at < frame.high).all()

    silent = [silent_in(table, metric, side) for side in ("base", "chat")]
    assert (frame.gutter is not None) == bool((silent[0] | silent[1]).any())
    assert frame.corner == bool((silent[0] & silent[1]).any())
    true = true_places(table, metric, scale)
    ticks = scale.place(scale.ticks())
    for at, home, is_silent in zip((x, y), true, silent, strict=True):
        if frame.gutter:
            outer, inner = frame.gutter
            assert frame.low < outer < inner < scale.low
            assert (at[is_silent] > outer).all()
            assert (at[is_silent] < inner).all()
            assert (at[~is_silent] > inner).all(), "a point with a value stands in the gutter"
        check_moves(at[~is_silent], home[~is_silent], np.unique(home), ticks, scale.span)
        occurs_once = (pd.Series(home).groupby(home).transform("size") == 1).to_numpy() & ~is_silent
        np.testing.assert_array_equal(at[occurs_once], home[occurs_once])
    has_side = ~(silent[0] | silent[1]) & (true[0] != true[1])
    assert (np.sign(y - x) == np.sign(true[1] - true[0]))[has_side].all(), "a point crosses the no-change line"
    check_piles(table, np.array([x, y]), np.array(true), np.array(silent), scale.span)


def check_moves(at, home, occurring, ticks, span):
    """No point moves half the way to the next value, nor past or onto a tick of another value."""
    gaps = np.diff(occurring)
    nearest = np.minimum(np.append(gaps, np.inf), np.append(np.inf, gaps))
    half_gap = nearest[np.searchsorted(occurring, home)] / 2
    rounding = np.spacing(np.abs(home).astype(np.float32)) * 0.51
    assert (np.abs(at - home) < half_gap + rounding).all()
    assert (np.abs(at - home) < half_gap).all() or gaps.min(initial=np.inf) < 4 * rounding.max(initial=0)
    for tick in ticks:
        others = np.abs(home - tick) > 1e-5 * span
        assert (np.sign(at - tick) == np.sign(home - tick))[others].all(), f"a point passes the tick at {tick}"


def check_piles(table, at, true, silent, span):
    """Colours stay together in a pile, and a pile inside the plot and not at the no-change line stays centred."""
    codes = table["token_type"].cat.codes.to_numpy() * 3 + table["exclusivity"].cat.codes.to_numpy()
    corner, inside = silent.all(axis=0), ~silent.any(axis=0)
    keys = np.where(corner, 0, np.where(silent, np.inf, true))
    for rows in piles(*keys, *silent):
        if len(rows) == 1:
            continue
        px, py = at[:, rows]
        first, second = (-py, px) if silent[1, rows[0]] and not corner[rows[0]] else (px, py)
        if silent[0, rows[0]]:
            first, second = -px, -py if corner[rows[0]] else py
        coloured = codes[rows][np.lexsort([second, first])]
        assert (np.diff(coloured) != 0).sum() + 1 == len(np.unique(coloured)), "a colour of a pile is torn apart"
        block, to_line = np.ptp(at[:, rows], axis=1).sum() / 2, np.abs(np.diff(true[:, rows[0]]))[0]
        if inside[rows[0]] and (to_line == 0 or to_line > 1.2 * block):
            middle = (at[:, rows].min(axis=1) + at[:, rows].max(axis=1)) / 2
            np.testing.assert_allclose(middle, true[:, rows[0]], rtol=1e-5, atol=1e-5 * span)


def values_of(kind, n, rng):
    """Values of n features, none of them 0."""
    if kind == "shares of few":
        return rng.integers(1, 5, n) / 4
    if kind == "shares of 40":
        return np.minimum(rng.geometric(0.3, n), 40) / 40
    if kind == "shares of 1000":
        return np.minimum(rng.geometric(0.02, n), 1000) / 1000
    if kind == "distinct":
        return rng.permutation(n) + 1.0
    if kind == "long tail":
        return rng.lognormal(0, 2, n)
    if kind == "one value":
        return np.full(n, 2.5)
    if kind == "negative":
        return -rng.integers(1, 30, n) / 8
    if kind == "both signs":
        return np.where(rng.random(n) < 0.5, 1, -1) * rng.integers(1, 30, n) / 8
    assert kind == "colliding"
    return rng.integers(1, 6, n) * (1 + rng.random(n) * 1e-12)  # different as float64, not as float32


KINDS = [
    "shares of few", "shares of 40", "shares of 1000", "distinct", "long tail", "one value", "negative", "both signs",
    "colliding",
]  # fmt: skip


@st.composite
def tables(draw, most=300):
    """A random table, its metric, and a choice of scale."""
    n = draw(st.integers(0, most) | st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    metric = draw(st.sampled_from([MEAN, SHARE, "control_max", "control_sparsity"]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    silent_share = draw(st.sampled_from([0, 0.1, 0.5, 0.97, 1]))
    zero_share = draw(st.sampled_from([0, 0, 0.2]))
    cells, silent = [], {}
    for side in ("base", "chat"):
        found = values_of(draw(st.sampled_from(KINDS)), n, rng)
        silent[side] = rng.random(n) < silent_share
        found[silent[side] | (rng.random(n) < zero_share)] = 0
        cells.append(found.astype(dtype))
    if draw(st.booleans()):  # close to the no-change line
        silent["chat"], near = silent["base"], draw(st.sampled_from([1e-6, 1e-3, 0.02]))
        cells[1] = (cells[0] * (1 + near * rng.integers(-1, 2, n))).astype(dtype)
    token_types = ("model", "newline", "asst")[: draw(st.integers(1, 3))]
    table = make_table(*cells, metric=metric, silent=silent, seed=int(rng.integers(1 << 30)), token_types=token_types)
    return table, metric, draw(st.sampled_from(["auto", "linear", "sqrt", "symlog"]))


@settings(max_examples=300, deadline=None)
@given(tables())
def test_any_table_is_laid_out_well(case):
    table, metric, choice = case
    check(table, metric, *lay_out(table, metric, choice))


@settings(deadline=None)
@given(tables(), st.integers(0, 2**32 - 1))
def test_places_do_not_depend_on_the_order_of_rows(case, seed):
    table, metric, choice = case
    order = np.random.default_rng(seed).permutation(len(table))
    here, _ = lay_out(table, metric, choice)
    there, _ = lay_out(table.iloc[order].reset_index(drop=True), metric, choice)
    np.testing.assert_array_equal(here.x[order], there.x)
    np.testing.assert_array_equal(here.y[order], there.y)
    assert here.frame == there.frame
    assert lay_out(table, metric, choice)[0].x.tobytes() == here.x.tobytes()


def nearest_pixels(points):
    """How far the nearest two points are apart once their bounding box fills 600 px."""
    apart = cKDTree(points).query(points, k=2)[0][:, 1].min()
    return apart / np.ptp(points, axis=0).max() * 600


@pytest.mark.parametrize(("num_prompts", "most"), [(7, 20_000), (40, 20_000), (100, 13_000)])
@pytest.mark.parametrize("size", [2, 3, 7, 100, 443, "most"])
@pytest.mark.parametrize("where", ["silent in base", "silent in chat", "silent in both", "inside"])
@pytest.mark.parametrize("value", [1, 3, "all"])
def test_zoom_takes_any_pile_apart(num_prompts, most, size, where, value):
    """
    A pile whose bounding box fills the plot has its nearest two points at least a pixel apart.

    On 100 prompts a gutter's block is a strip of 600 × 22 pixels then, with room for no more than that.
    """
    n = most if size == "most" else size
    steps = np.arange(1, num_prompts + 1) / num_prompts
    at = steps[-1 if value == "all" else value - 1]
    base = np.concatenate([np.full(n, 0 if where in ("silent in base", "silent in both") else at), steps])
    chat = np.concatenate([np.full(n, 0 if where in ("silent in chat", "silent in both") else at), steps])
    table = make_table(base.astype(np.float32), chat.astype(np.float32), metric=SHARE)
    layout, scale = lay_out(table, SHARE, "linear")
    check(table, SHARE, layout, scale)
    assert nearest_pixels(np.column_stack([layout.x, layout.y])[:n].astype(np.float64)) >= 1


def test_pile_beside_a_tick_is_no_single_file():
    """A thousand points with room for two rows, 1.1 pixels apart once zoomed, stand in two rows and not in one."""
    pile = np.full(1000, 0.25024)
    chat = np.concatenate([pile, [0.5, 1]]).astype(np.float32)
    layout, _ = lay_out(make_table(np.zeros(1002, dtype=np.float32), chat, metric=SHARE), SHARE, "linear")
    assert nearest_pixels(np.column_stack([layout.x, layout.y])[:1000].astype(np.float64)) >= 1


@pytest.mark.parametrize("choice", ["linear", "sqrt", "symlog"])
@pytest.mark.parametrize("num_prompts", [8, 40, 1000])
def test_heavy_piles_are_laid_out_well(num_prompts, choice):
    """Piles of up to 50,000 points, as of a wide SAE on few prompts."""
    rng = np.random.default_rng(5)
    n = 100_000
    base, chat = (np.minimum(rng.geometric(0.5, n), num_prompts) / num_prompts for _ in range(2))
    only = rng.choice(3, n, p=[0.45, 0.45, 0.1])
    base[only == 0] = 0
    chat[only == 1] = 0
    table = make_table(base.astype(np.float32), chat.astype(np.float32), metric=SHARE)
    check(table, SHARE, *lay_out(table, SHARE, choice))


def test_distinct_values_in_a_gutter_keep_their_places():
    """156,000 values that all differ stay where they are along the axis; only their depth tells them apart."""
    values = np.random.default_rng(1).permutation(156_000).astype(np.float32) + 1
    table = make_table(np.zeros(156_000, dtype=np.float32), values, metric=MEAN)
    layout, scale = lay_out(table, MEAN, "linear")
    check(table, MEAN, layout, scale)
    np.testing.assert_array_equal(layout.y, values)


# ----------------------------------------------------------------------------
# Worked out by hand.


def test_block_inside():
    """Four of six points at (2, 2): a square of two by two, a marker's width (6 of 600 px on a range of 2.2) apart."""
    at = np.array([2, 1, 2, 2, 3, 2], dtype=np.float32)
    table = make_table(at, at).assign(token_type=pd.Categorical(["a"] * 6), exclusivity=pd.Categorical(["both"] * 6))
    layout, _ = lay_out(table.assign(feature_id=[14, 11, 13, 12, 15, 16], inconsistent=False), MEAN)
    np.testing.assert_allclose(layout.x, [2.011, 1, 1.989, 1.989, 3, 2.011], rtol=1e-6)
    np.testing.assert_allclose(layout.y, [1.989, 1, 2.011, 1.989, 3, 2.011], rtol=1e-6)
    assert layout.frame == Frame(pytest.approx(0.9), pytest.approx(3.1), None)


def test_bar_in_each_gutter():
    """
    Silent in one model: outwards one behind the other, 6 of 600 px on a range of 2.64 apart, in order of colours.

    The span is 2, so the gutter lies between −0.03 and −0.51.
    """
    columns = {
        "feature_id": [5, 6, 7, 8, 9],
        "token_type": pd.Categorical(["b", "b", "a", "a", "a"], categories=["a", "b"]),
        "exclusivity": pd.Categorical(["chat", "both", "chat", "chat", "base"], categories=["both", "base", "chat"]),
        "inconsistent": False,
        "base_target_all_mean": [0, 0, 0, 0, 2.0],
        "chat_target_all_mean": [1, 1, 1, 2, 0.0],
        "base_target_num_active": [0, 0, 0, 0, 1],
        "chat_target_num_active": [3, 4, 5, 6, 0],
    }
    layout, _ = lay_out(pd.DataFrame(columns), MEAN)
    np.testing.assert_allclose(layout.x, [-0.096, -0.0696, -0.0432, -0.0432, 2], rtol=1e-5)
    np.testing.assert_allclose(layout.y, [1, 1, 1, 2, -0.0432], rtol=1e-5)
    approx = pytest.approx
    assert layout.frame == Frame(approx(-0.54), approx(2.1), (approx(-0.51), approx(-0.03)), corner=False)


@pytest.mark.parametrize("n", [2, 3, 7, 30, 260, 300, 333, 1000])
def test_corner_is_a_grid(n):
    """Features silent in both stood in 18.2 rows instead of 19: columns slanted, and the last one left the gutter."""
    table = make_table(*np.append(np.zeros((2, n)), [[1], [2]], axis=1))
    layout, scale = lay_out(table, MEAN)
    check(table, MEAN, layout, scale)
    columns, rows = (len(np.unique(at[:n])) for at in (layout.x, layout.y))
    assert columns * rows >= n > (columns - 1) * rows
    assert abs(columns - rows) <= 2


def test_active_but_zero_is_not_silent():
    """A feature that fires with a mean of 0 stands at 0, and so does a silent one with a value, as in broken files."""
    table = make_table(
        np.array([0, 0, 1, 0.5]),
        np.array([1, 2, 0.25, 3]),
        silent={"base": np.array([True, False, False, True]), "chat": np.zeros(4, dtype=bool)},
    )
    layout, scale = lay_out(table, MEAN, "linear")
    check(table, MEAN, layout, scale)
    assert layout.x[0] < layout.frame.gutter[1]
    np.testing.assert_array_equal(layout.x[1:], np.float32([0, 1, 0.5]))


def test_empty_table_and_single_row():
    empty = make_table(np.zeros(0), np.zeros(0))
    layout, _ = lay_out(empty, MEAN)
    assert (len(layout.x), len(layout.y)) == (0, 0)
    assert layout.frame == Frame(-0.05, 1.05, None)
    layout, _ = lay_out(make_table(np.array([2.0]), np.array([4.0])), MEAN)
    assert (layout.x.tolist(), layout.y.tolist()) == ([2], [4])
    assert layout.frame == Frame(pytest.approx(1.9), pytest.approx(4.1), None)


@pytest.mark.parametrize("value", [1e-30, 3, 1e9])
@pytest.mark.parametrize("n", [1, 2, 500])
def test_one_value_is_drawn_at_its_own_size(value, n):
    """
    All values equal had a range of 1 around them: float32 has one place there for 1e9, and 1e-30 is lost in it.

    The same broke for values that differ as float64 only: their range was too narrow for float32 to draw.
    """
    for noise in (0, 1e-12):
        cells = value * (1 + noise * np.arange(n))
        table = make_table(cells, cells)
        check(table, MEAN, *lay_out(table, MEAN, "linear"))


@pytest.mark.parametrize("silent", [0, 1000])
def test_pile_at_the_end_of_the_values_stays_in_range(silent):
    """
    On few prompts the gaps are wide, and piles reached beyond the axes and into the gutters.

    At the upper end is the feature that fires on every prompt, at the lower end the one that fires with a mean of 0.
    """
    ends = np.repeat(np.float32([0, 0.5, 1]), 1000)
    base, chat = (np.concatenate([at, np.zeros(silent, dtype=np.float32)]) for at in (ends, ends[::-1]))
    never = np.arange(len(base)) >= len(ends)
    table = make_table(base, chat, metric=SHARE, silent={"base": never, "chat": never})
    check(table, SHARE, *lay_out(table, SHARE, "linear"))


def test_whole_numbers_as_metric():
    """A vector of integers, which the reader keeps as int64, ended in an OverflowError."""
    base, chat = np.array([0, 3, 3, 7]), np.array([2, 0, 5, 5])
    for choice in ("auto", "linear", "sqrt", "symlog"):
        check(make_table(base, chat), MEAN, *lay_out(make_table(base, chat), MEAN, choice))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_places(dtype):
    """The notebook's coordinates, and its range: 5 % of 4 − (−1) beyond both ends."""
    base, chat = np.array([-1, 0, 0, 4, 4], dtype=dtype), np.array([0.1, 3, 3, 0, 2], dtype=dtype)
    table = make_table(base, chat)
    scale = fit_scale(np.concatenate([base, chat]), "linear", MEAN)
    layout = exact(table, MEAN, scale)
    np.testing.assert_array_equal(layout.x, base)
    np.testing.assert_array_equal(layout.y, chat)
    assert layout.frame == Frame(-1.25, 4.25, None, corner=False)
    root = exact(table, MEAN, fit_scale(np.concatenate([base, chat]), "sqrt", MEAN))
    np.testing.assert_allclose(root.x, [-1, 0, 0, 2, 2])
    assert root.frame == Frame(pytest.approx(-1.15), pytest.approx(2.15), None)
