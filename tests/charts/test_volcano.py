import html
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hovering import INCONSISTENT, hover_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from tables import make_results, make_table, untested

from featurediff.charts.packing import ROW
from featurediff.charts.points import EXPLAINED_POINTS, custom_data, mark
from featurediff.charts.scatter import scatter
from featurediff.charts.scatter_places import lay_out
from featurediff.charts.view import View
from featurediff.charts.volcano import volcano
from featurediff.charts.volcano_places import CEILING, FARTHEST, LINES, PLOT, lay_out_volcano
from featurediff.features.evidence import assess_changes, assess_exclusive
from featurediff.features.evidence_columns import with_evidence
from featurediff.features.filters import Filters, filter_table
from featurediff.features.questions import quantity_of
from featurediff.features.table import feature_table
from featurediff.labels import Labels
from featurediff.sources.demo import make_demo
from featurediff.sources.origin import Origin
from featurediff.sources.result_files import parse_results

SHARE, MEAN = "target_sparsity", "target_all_mean"
PROMPTS = {"base": (8, 7), "chat": (10, 40)}
BASE = {"target": [3, 2, 4, 0, 5, 6, 0, 8], "control": [0, 0, 0, 0, 2, 1, 0, 0]}
CHAT = {"target": [5, 0, 5, 7, 4, 3, 0, 10], "control": [0, 0, 3, 0, 0, 20, 0, 0]}
MINE = Labels("Ancestor", "Tuned", "Introspective", "Other")
SIZES = {(side, prompts): 40 for side in ("base", "chat") for prompts in ("target", "control")}
RUN = Origin("gemma", 20, "x", "", ("model", "newline", "asst"), SIZES)


def swap(results):
    counts = {token_type: {"base": CHAT, "chat": BASE} for token_type in results.token_types}
    return make_results(counts, {"base": PROMPTS["chat"], "chat": PROMPTS["base"]})


@pytest.fixture
def results():
    return make_results({name: {"base": BASE, "chat": CHAT} for name in ("newline", "odd")}, PROMPTS)


def table_of(results, texts="what it is"):
    kept = with_evidence(feature_table(results), assess_exclusive(results), assess_changes(results))
    return kept.assign(explanation=texts)


def draw(results, *, metric=SHARE, rows=None, spread_points=True, labels=MINE, texts="what it is", alpha=0.05, **how):
    kept = table_of(results, texts)
    origin = Origin.of(results, "personal_40")
    view = View(metric, labels=labels, spread=spread_points, alpha=alpha)
    places = lay_out_volcano(kept, view, origin)
    return go.Figure(volcano(kept if rows is None else rows(kept), places, view, origin, **how))


def markers(fig):
    return [trace for trace in fig.data if isinstance(trace, go.Scattergl)]


# ----------------------------------------------------------------------------
# Places.


def made_up(change, q, *, metric=SHARE, seed=0, **how):
    """A table with these changes, of 40 prompts in each model, and these q."""
    rng = np.random.default_rng(seed)
    change = np.asarray(change)
    n = len(change)
    table = make_table(np.zeros(n), change, metric=metric, seed=seed, **how)
    counts = {f"{side}_{prompts}_num_active": rng.integers(1, 9, n) for side, prompts in SIZES}
    if metric == SHARE:
        steps = np.round(change * 40).astype(np.int64)
        counts |= {"base_target_num_active": np.maximum(0, -steps), "chat_target_num_active": np.maximum(0, steps)}
    tests = pd.Categorical(["fisher"] * n, categories=["fisher", "mcnemar"])
    name = f"{quantity_of(metric)}_change"
    table = untested(table.assign(**counts, explanation="x"))
    return table.assign(**{f"{name}_p": q, f"{name}_q": q, f"{name}_test": tests})


def q_of(kind, n, rng):
    """The q of n features."""
    if kind == "none":
        return np.ones(n)
    if kind == "levels":
        return rng.choice([1, 1, 0.93, 0.54, 0.527, 0.28, 0.07, 0.05, 0.049, 0.003, 1e-9, 1e-21], n)
    if kind == "all different":
        return 10 ** -rng.exponential(2, n)
    if kind == "at a line":
        return rng.choice(LINES, n) * (1 + rng.choice([-1e-3, -1e-9, -2e-16, 0, 2e-16, 1e-9, 1e-3], n))
    assert kind == "tiny"
    return 10.0 ** -rng.choice([0, 1, 40, 200, 299, 301, 350], n)


@st.composite
def tables(draw, most=300):
    """A random table, and a view of it."""
    n = draw(st.integers(0, most) | st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    metric = draw(st.sampled_from([SHARE, MEAN]))
    change = np.minimum(rng.geometric(0.3, n), 40) / 40 * rng.choice([-1, 0, 1, 1, 1, 1], n)
    if metric == MEAN:
        noise = draw(st.sampled_from([0, 1e-9, 1]))
        change = change * (1 + noise * rng.lognormal(0, 1, n))
        change[: n // 9] *= draw(st.sampled_from([1, 1e-4, 1e-12, 1e-30]))
    q = q_of(draw(st.sampled_from(["none", "levels", "all different", "at a line", "tiny"])), n, rng)
    seed, choice = int(rng.integers(1 << 30)), draw(st.sampled_from(["auto", "linear", "sqrt", "symlog"]))
    view = View(metric, scale=choice, alpha=draw(st.sampled_from([0, 1e-6, 0.05, 0.2, 0.9, 1])))
    return made_up(change, q, metric=metric, seed=seed), view


def q_column(metric):
    return f"{quantity_of(metric)}_change_q"


def change_and_evidence(table, metric):
    base, chat = table[f"base_{metric}"].to_numpy(), table[f"chat_{metric}"].to_numpy()
    if metric == SHARE:
        base, chat = table["base_target_num_active"].to_numpy() / 40, table["chat_target_num_active"].to_numpy() / 40
    return chat - base, np.array([min(CEILING, -np.log10(q)) if q else CEILING for q in table[q_column(metric)]])


def check_order(at, home, pixel):
    """No point is moved past one that stands more than a row's width from it."""
    order = np.argsort(home, kind="stable")
    highest = np.maximum.accumulate(at[order]) if len(at) else at
    before = np.searchsorted(home[order], home[order] - ROW * pixel * (1 + 1e-5) - 1e-6 * np.abs(home[order])) - 1
    has_one = before >= 0
    assert (at[order][has_one] > highest[before[has_one]]).all()


def check(table, view, places):
    """Everything that must hold of any layout."""
    change, evidence = change_and_evidence(table, view.metric)
    x, y = places.x.astype(np.float64), places.y.astype(np.float64)
    home_x, home_y = places.x_scale.place(change), places.y_scale.place(evidence)
    assert places.x.dtype == places.y.dtype == np.float32
    assert len(np.unique(x + 1j * y)) == len(table), "two points in one place"
    pixel = (np.array([places.x_range, places.y_range]) @ [-1, 1]) / PLOT
    for at, ends in ((x, places.x_range), (y, places.y_range)):
        assert (at > ends[0]).all()
        assert (at < ends[1]).all()

    none = evidence == 0
    assert (places.gutter is not None) == none.any()
    if places.gutter:
        lower, upper = places.gutter
        assert places.y_range[0] < lower < upper < 0
        assert ((y > lower) & (y < upper))[none].all()
    assert (y[~none] > 0).all(), "a point with evidence stands in the strip"
    check_order(x, home_x, pixel[0])
    check_order(y[~none], home_y[~none], pixel[1])
    far = np.hypot((x - home_x) / pixel[0], np.where(none, 0, (y - home_y) / pixel[1]))
    assert (far <= FARTHEST * (1 + 1e-4)).all(), "a point stands far from its values"
    assert (np.sign(x) == np.sign(change))[change != 0].all(), "an increase is drawn as a decrease"
    for tick in places.x_scale.place(places.x_scale.ticks()):
        others = np.abs(home_x - tick) > 1e-5 * places.x_scale.span
        assert (np.sign(x - tick) == np.sign(home_x - tick))[others].all(), f"a point passes the tick at {tick}"
    q = table[q_column(view.metric)].to_numpy()[~none]
    for line in (*LINES, max(view.alpha, 10**-CEILING)):
        at = float(places.y_scale.place(-np.log10(line)))
        np.testing.assert_array_equal(y[~none] >= at, q <= line, f"a point stands on the other side of q = {line}")

    alone = np.ones(len(table), dtype=bool)
    if len(table) > 1:
        px = np.column_stack([home_x, home_y]) / pixel
        alone = cKDTree(px).query(px, k=2, p=np.inf)[0][:, 1] > ROW * 1.001
    np.testing.assert_allclose(x[alone & ~none], home_x[alone & ~none], rtol=1e-6, atol=2e-6 * places.x_scale.span)
    np.testing.assert_allclose(y[alone & ~none], home_y[alone & ~none], rtol=2e-7)


@settings(max_examples=300, deadline=None)
@given(tables())
def test_any_table_is_laid_out_well(case):
    table, view = case
    check(table, view, lay_out_volcano(table, view, RUN))


@settings(max_examples=50, deadline=None)
@given(tables(), st.integers(0, 2**32 - 1))
def test_places_do_not_depend_on_the_order_of_rows(case, seed):
    table, view = case
    order = np.random.default_rng(seed).permutation(len(table))
    here = lay_out_volcano(table, view, RUN)
    there = lay_out_volcano(table.iloc[order].reset_index(drop=True), view, RUN)
    np.testing.assert_array_equal(here.x[order], there.x)
    np.testing.assert_array_equal(here.y[order], there.y)
    assert (here.x_range, here.y_range, here.gutter) == (there.x_range, there.y_range, there.gutter)


def test_values_that_only_float64_tells_apart_are_one():
    """Two of them at either side of the edge of a cell, 3 of 620 pixels of the range from its first, were one point."""
    edge = 0.13 + 3 * 1.1 / 620
    table = made_up([0.13, edge * (1 - 1e-10), edge * (1 + 1e-10), 1], [0.9, 0.5, 0.5, 1e-9], metric=MEAN)
    check(table, View(MEAN), lay_out_volcano(table, View(MEAN, scale="linear"), RUN))


@pytest.mark.parametrize("spread_points", [True, False])
def test_swapping_base_and_chat_mirrors_the_chart(results, spread_points):
    origin, mirrored = Origin.of(results), Origin.of(swap(results))
    here = lay_out_volcano(table_of(results), View(SHARE, spread=spread_points), origin)
    there = lay_out_volcano(table_of(swap(results)), View(SHARE, spread=spread_points), mirrored)
    assert here.x_range == pytest.approx([-end for end in there.x_range[::-1]])
    assert here.y_range == pytest.approx(there.y_range)
    if not spread_points:
        np.testing.assert_allclose(here.x, -there.x)
        np.testing.assert_allclose(here.y, there.y)


@pytest.mark.parametrize("size", [2, 3, 7, 100, 443, 5000])
@pytest.mark.parametrize(("step", "q"), [(1, 1.0), (2, 0.54), (-3, 0.04), (40, 1e-21)])
def test_zoom_takes_any_pile_apart(size, step, q):
    """A pile whose bounding box fills the plot has its nearest two points at least a pixel apart."""
    steps = np.append(np.full(size, step), np.arange(-40, 41))
    levels = np.append(np.full(size, q), np.repeat([1, 0.54, 0.04, 1e-5, 1e-21], [20, 20, 20, 20, 1]))
    table = made_up(steps / 40, levels)
    places = lay_out_volcano(table, View(SHARE), RUN)
    check(table, View(SHARE), places)
    pile = np.column_stack([places.x, places.y])[:size].astype(np.float64)
    extent = np.ptp(pile, axis=0)
    pile = pile / np.where(extent > 0, extent, 1) * PLOT
    assert cKDTree(pile).query(pile, k=2)[0][:, 1].min() >= 1


def test_first_sight_of_the_demo():
    """Unspread, the demo's 740 features stand in at most 100 cells of 3 pixels; spread, half have one of their own."""
    demo = make_demo()
    results = parse_results(demo.base, demo.chat)
    kept, origin = table_of(results), Origin.of(results)

    def cells(spread_points):
        places = lay_out_volcano(kept, View(SHARE, spread=spread_points), origin)
        ends = np.array([places.x_range, places.y_range])
        px = (np.column_stack([places.x, places.y]) - ends[:, 0]) / (ends @ [-1, 1]) * PLOT
        return len(np.unique(np.floor(px / 3), axis=0))

    assert cells(spread_points=False) <= 100
    assert cells(spread_points=True) >= 350


def test_places_by_hand():
    """
    Five features on 40 prompts, unspread, linear: the changes are 1/40 twice, −2/40, 30/40 and 0.

    The range of x is 5 % of 0.8 beyond −0.05 and 0.75; of y 5 % of 4 beyond 0 and 4.
    """
    table = made_up([0.025, 0.025, -0.05, 0.75, 0], [1, 1, 0.1, 1e-4, 1])
    places = lay_out_volcano(table, View(SHARE, spread=False), RUN)
    np.testing.assert_allclose(places.x, [0.025, 0.025, -0.05, 0.75, 0], rtol=1e-12)
    np.testing.assert_allclose(places.y, [0, 0, 1, 4, 0], rtol=1e-12)
    assert places.x_range == pytest.approx((-0.09, 0.79))
    assert places.y_range == pytest.approx((-0.2, 4.2))
    assert (places.gutter, places.capped) == (None, False)


def test_strip_and_grid_by_hand():
    """
    Two features with q = 1 stand one behind the other, and four at (0.5, 2) two by two, 6 pixels apart.

    On a linear axis y spans 4, so the strip lies between −0.06 and −1.02, the range is −1.08 to 4.2, and 6 of 450
    pixels are 0.0704; x spans 0.5, its range is −0.025 to 0.525, and 6 of 620 pixels are 0.005323.
    """
    table = made_up([0.5, 0.5, 0.5, 0.5, 0.025, 0.025, 0.25], [0.01, 0.01, 0.01, 0.01, 1, 1, 1e-4], metric=MEAN)
    same = pd.Categorical(["model"] * 7, categories=["model"])
    table = table.assign(
        token_type=same, exclusivity=pd.Categorical(["chat"] * 7), inconsistent=False, feature_id=[4, 3, 2, 1, 9, 8, 7]
    )
    table.loc[:3, q_column(MEAN)] = 0.0098
    places = lay_out_volcano(table, View(MEAN, scale="linear"), RUN)
    assert places.x_range == pytest.approx((-0.025, 0.525))
    assert places.y_range == pytest.approx((-1.08, 4.2))
    assert places.gutter == pytest.approx((-1.02, -0.06))
    across, up = 6 * 0.55 / 620 / 2, 6 * 5.28 / 450 / 2
    middle = -np.log10(0.0098)
    np.testing.assert_allclose(places.x[:4], 0.5 + across * np.array([1, 1, -1, -1]), rtol=1e-6)
    assert np.ptp(places.y[:4]) == pytest.approx(2 * up, rel=1e-5)
    assert (places.y[:4] > 2).all()
    assert places.y[:4].min() < middle
    np.testing.assert_allclose(places.x[4:6], [0.025, 0.025], rtol=1e-6)
    np.testing.assert_allclose(places.y[4:6], -0.06 - up * np.array([3, 1]), rtol=1e-5)
    assert (places.x[6], places.y[6]) == (0.25, 4)


def test_q_too_small_to_draw_stands_at_the_ceiling():
    table = made_up([0.5, 0.75, 1, 0.25], [0.0, 1e-320, 1e-299, 0.5])
    places = lay_out_volcano(table, View(SHARE, spread=False), RUN)
    np.testing.assert_allclose(places.y, [300, 300, 299, -np.log10(0.5)])
    assert places.capped
    notes = [note.text for note in go.Figure(volcano(table, places, View(SHARE), RUN)).layout.annotations]
    assert notes == ["q = 0.05", "q below 10<sup>−300</sup> stands at 300"]
    assert not lay_out_volcano(table[2:], View(SHARE), RUN).capped


@pytest.mark.parametrize("spread_points", [True, False])
@pytest.mark.parametrize(("change", "q"), [([], []), ([0.5], [0.001]), ([0.0], [1.0]), ([0.1] * 9, [1.0] * 9)])
def test_small_tables(change, q, spread_points):
    """No row, one point, no evidence at all: 0 and the line at q = 0.05 are in view all the same."""
    table = made_up(np.array(change, dtype=np.float64), np.array(q, dtype=np.float64))
    places = lay_out_volcano(table, View(SHARE, spread=spread_points), RUN)
    if spread_points:
        check(table, View(SHARE), places)
    for (low, high), seen in ((places.x_range, 0), (places.y_range, places.y_scale.place(-np.log10(0.05)))):
        assert low < seen < high
    assert len(markers(go.Figure(volcano(table, places, View(SHARE), RUN)))) == len(
        {*zip(table.token_type, table.exclusivity, table.inconsistent, strict=True)}
    )


# ----------------------------------------------------------------------------
# The figure.


def test_traces_are_those_of_the_scatter(results):
    kept, origin = table_of(results), Origin.of(results, "personal_40")
    view = View(SHARE, labels=MINE)
    theirs = markers(go.Figure(scatter(kept, *lay_out(kept, view), view, origin)))
    ours = markers(draw(results))
    assert len(ours) == 10
    for one, other in zip(ours, theirs, strict=True):
        for what in ("name", "legendgroup", "legendgrouptitle", "mode", "hoverlabel"):
            assert one[what] == other[what]
        for what in ("size", "color", "symbol", "opacity"):
            assert one.marker[what] == other.marker[what]
        assert one.marker.line == other.marker.line
        assert list(one.text) == list(other.text)
        assert one.customdata.dtype == np.float32
        np.testing.assert_array_equal(one.customdata[:, [0, *range(4, 12)]], other.customdata[:, [0, *range(4, 12)]])
        np.testing.assert_allclose(one.customdata[:, 1:4], other.customdata[:, 1:4], atol=1e-7)


def newcombe_by_hand(base, num_base, chat, num_chat):
    """Newcombe's hybrid score interval of chat − base, after his formula of 1998."""

    def wilson(x, n, z=1.959963984540054):
        root = z * np.sqrt(z**2 + 4 * x * (n - x) / n)
        return (2 * x + z**2 - root) / (2 * (n + z**2)), (2 * x + z**2 + root) / (2 * (n + z**2))

    (low1, high1), (low2, high2) = wilson(base, num_base), wilson(chat, num_chat)
    shares = base / num_base, chat / num_chat
    change = shares[1] - shares[0]
    below = np.hypot(shares[1] - low2, high1 - shares[0])
    return change - below, change + np.hypot(high2 - shares[1], shares[0] - low1)


def test_values_change_and_q_of_a_point(results):
    """
    Feature 3 is active on 0 of 8 and 7 of 10 prompts: Fisher's two-sided p is 128/31824, a 249th.

    With margins 7 of 18, k of them in base are C(8, k)·C(10, 7 − k) of 31,824 tables: 120 for k = 0, 8 for k = 7, and
    more for every other k. It is the smallest p of the 7 features tested, so q = 7 p.
    """
    at_newline = [trace for trace in markers(draw(results, spread_points=False)) if trace.legendgroup == "newline"]
    found = {
        int(point[0]): (x, y, point) for t in at_newline for x, y, point in zip(t.x, t.y, t.customdata, strict=True)
    }
    x, y, point = found[3]
    assert x == pytest.approx(0.7)
    assert y == pytest.approx(-np.log10(7 * 128 / 31824))
    np.testing.assert_allclose(point[:9], [3, 0, 0.7, 0.7, 0, 0, 7, 0, 70], rtol=1e-5)
    np.testing.assert_allclose(point[9:11], 100 * np.array(newcombe_by_hand(0, 8, 7, 10)), rtol=1e-5)
    assert point[11] == np.float32(0.028), "7 · 128 / 31,824 with two digits"
    assert found[7][0] == 0
    assert found[7][1] == 0


def test_hover_template(results):
    fig = draw(results)
    assert markers(fig)[2].hovertemplate.split("<br>") == hover_lines((8, 7, 10, 40), INCONSISTENT)


def test_q_below_what_float32_holds_is_shown():
    table = made_up([0.5, 0.75], [1e-60, 0.5])
    fig = go.Figure(volcano(table, lay_out_volcano(table, View(SHARE), RUN), View(SHARE), RUN))
    shown = {int(point[0]): point[11] for trace in markers(fig) for point in trace.customdata}
    np.testing.assert_allclose([shown[i] for i in table["feature_id"]], [1e-60, 0.5])


def test_many_points_stay_small_where_a_q_is_smaller_than_float32_holds():
    """At a million features of 1,000 prompts, one such q doubled the bytes of every point."""
    n = EXPLAINED_POINTS + 1
    rows = made_up(np.full(n, 0.5), np.full(n, 1e-60))
    numbers = (np.zeros(n), np.zeros(n), np.zeros(n))
    large, small = (
        custom_data(some, tuple(x[: len(some)] for x in numbers), "sparsity_change") for some in (rows, rows[:-1])
    )
    assert (large.dtype, small.dtype) == (np.float32, np.float64)
    assert set(large[:, 11]) == {np.float32(1e-37)}
    assert set(small[:, 11]) == {1e-60}


def test_axes_say_what_was_tested(results):
    layout = draw(results).layout
    assert layout.xaxis.title.text == "Change of activation frequency on Introspective (Tuned − Ancestor)"
    assert layout.yaxis.title.text == "−log<sub>10</sub> q of this change (Fisher’s exact test, Benjamini–Hochberg)"
    assert layout.title.text == "Active on Introspective only"
    assert (layout.hovermode, layout.clickmode, layout.dragmode) == ("closest", "event", "zoom")
    assert draw(results, titled=False).layout.title.text is None

    def paired(kept):
        return kept.assign(sparsity_change_test=pd.Categorical(["mcnemar"] * len(kept)))

    fig = draw(results, rows=paired)
    assert (
        fig.layout.yaxis.title.text == "−log<sub>10</sub> q of this change (McNemar’s exact test, Benjamini–Hochberg)"
    )
    assert "(McNemar’s exact test)" in markers(fig)[0].hovertemplate


def test_lines_and_strip(results):
    """One line at the q that was asked for, one at no change, and the strip of q = 1."""
    fig = draw(results, alpha=0.01)
    scale = lay_out_volcano(table_of(results), View(SHARE, alpha=0.01), Origin.of(results)).y_scale
    threshold, no_change, strip = fig.layout.shapes
    assert threshold.y0 == threshold.y1 == pytest.approx(float(scale.place(2)))
    assert threshold.line.dash == "dash"
    assert (no_change.x0, no_change.x1) == (0, 0)
    assert strip.y1 < 0
    assert [note.text for note in fig.layout.annotations] == ["q = 0.01", "no evidence (q = 1)"]
    unspread = draw(results, spread_points=False)
    assert [note.text for note in unspread.layout.annotations] == ["q = 0.05"]
    assert unspread.layout.yaxis.tickvals is None


def test_ticks_are_values():
    table = made_up([-2, 0.01, 0.02, 5], [0.9, 0.8, 0.7, 1e-20], metric=MEAN)
    layout = go.Figure(volcano(table, lay_out_volcano(table, View(MEAN, scale="sqrt"), RUN), View(MEAN), RUN)).layout
    for axis in (layout.xaxis, layout.yaxis):
        named = np.array([float(text.replace("−", "-")) for text in axis.ticktext])
        np.testing.assert_allclose(axis.tickvals, np.sign(named) * np.sqrt(np.abs(named)))
    assert layout.xaxis.ticktext[0].startswith("−")


@pytest.mark.parametrize(
    "filters", [Filters(token_types=("odd",)), Filters(exclusivity=("chat",)), Filters(ids=(2, 3))]
)
def test_filters_move_no_point(results, filters):
    def places(fig):
        return {
            (trace.legendgroup, int(point[0])): (float(x), float(y), trace.marker.color, trace.name)
            for trace in markers(fig)
            for x, y, point in zip(trace.x, trace.y, trace.customdata, strict=True)
        }

    whole, some = draw(results), draw(results, rows=lambda kept: filter_table(kept, filters, SHARE))
    assert 0 < len(places(some)) < len(places(whole))
    assert places(some).items() <= places(whole).items()
    assert some.layout.xaxis == whole.layout.xaxis
    assert some.layout.yaxis == whole.layout.yaxis


def test_what_strangers_wrote_is_shown_as_written():
    hostile = "<script>alert(1)</script> <b>%{x} {y} %{customdata[0]} & &amp; $y$"
    results = make_results({hostile: {"base": BASE, "chat": CHAT}}, PROMPTS)
    labels = Labels(*(f"{name} {hostile}" for name in ("B", "C", "T", "K")))
    fig = draw(results, labels=labels, texts=hostile)
    texts = [fig.layout.title.text, fig.layout.xaxis.title.text, fig.layout.yaxis.title.text]
    for trace in markers(fig):
        texts += [trace.name, trace.legendgrouptitle.text, trace.hovertemplate]
        texts += [text.replace("{", "(") for text in trace.text]
    assert sum("alert(1)" in text for text in texts) > 20
    for text in texts:
        ours = re.sub(r"%\{customdata\[\d+\]:[^{}]+\}|%\{text\}|</?(b|sub)>|<br>|<extra></extra>", "", text)
        assert not re.search(r"[<>{$]", ours), ours
    assert html.unescape(markers(fig)[0].text[0].replace("<br>", " ")) == hostile


def test_box_is_marked(results):
    table, origin = table_of(results), Origin.of(results)
    drawing = volcano(table, lay_out_volcano(table, View(SHARE), origin), View(SHARE), origin)
    mark(drawing, [("odd", 3)])
    fig = go.Figure(drawing)
    caught = {(trace.legendgroup, int(trace.customdata[i, 0])) for trace in markers(fig) for i in trace.selectedpoints}
    assert caught == {("odd", 3)}
