import csv
import html
import io
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurediff.charts.chart import make_chart
from featurediff.charts.points import mark
from featurediff.charts.ranking import LABEL_WIDTH, ROW_HEIGHT, ranking, row_places
from featurediff.charts.view import View
from featurediff.features.exact_tests import wilson
from featurediff.features.ranked import change_of, interval, rank, ranking_csv
from featurediff.labels import EXCLUSIVITIES, Labels
from featurediff.sources.origin import Origin

SHARE, MEAN = "target_sparsity", "target_all_mean"
MINE = Labels("Ancestor", "Tuned", "Introspective", "Other")
SIZES = {("base", "target"): 8, ("base", "control"): 5, ("chat", "target"): 10, ("chat", "control"): 20}
RUN = Origin("gemma", 20, "131k", "personal_40", ("newline", "odd", "asst"), SIZES)


def make(rows, token_types=("newline", "odd", "asst")):
    """A feature table from (token_type, feature_id, base count, chat count, p of the change)."""
    names, ids, base, chat, p = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    base, chat = np.array(base, dtype=np.int64), np.array(chat, dtype=np.int64)
    n = len(rows)
    columns = {
        "feature_id": np.array(ids, dtype=np.int32),
        "token_type": pd.Categorical(names, categories=token_types),
        "exclusivity": pd.Categorical(["both"] * n, categories=EXCLUSIVITIES),
        "inconsistent": np.zeros(n, dtype=bool),
    }
    for side, counts in (("base", base), ("chat", chat)):
        columns[f"{side}_target_num_active"] = counts
        columns[f"{side}_control_num_active"] = np.zeros(n, dtype=np.int64)
        columns[f"{side}_target_sparsity"] = (counts / SIZES[side, "target"]).astype(np.float32)
        columns[f"{side}_target_all_mean"] = counts.astype(np.float32) / 4
        columns[f"{side}_target_all_std"] = np.full(n, 0.5, dtype=np.float32)
        columns[f"{side}_target_max"] = counts.astype(np.float32)
    for quantity in ("all_mean", "sparsity"):
        columns[f"{quantity}_change_p"] = np.array(p, dtype=np.float64)
    columns["explanation"] = pd.Series([f"what {i} is" for i in ids], dtype="str")
    columns["neuronpedia_url"] = pd.Series([f"https://x/{i}" if i % 2 else None for i in ids], dtype="str")
    return pd.DataFrame(columns)


TABLE = make(
    [
        ("newline", 11, 4, 5, 1.0),  # 1/2 and 1/2: no change
        ("newline", 12, 0, 7, 0.01),
        ("newline", 13, 4, 3, 0.5),  # −1/5
        ("newline", 14, 4, 7, 0.5),  # +1/5
        ("newline", 15, 0, 2, 0.4),  # +1/5, of more evidence
        ("newline", 10, 4, 7, 0.5),  # +1/5, of less, and a smaller id
        ("odd", 12, 8, 0, 0.001),
    ]
)


# ----------------------------------------------------------------------------
# Changes and intervals.


def test_change_of_shares_is_of_counts():
    """Equal changes are equal numbers: 3/10 − 1/10 is not 2/10 − 0 in floating point."""
    origin = Origin("gemma", 20, "x", "", ("newline",), dict.fromkeys(SIZES, 10))
    table = make([("newline", i, i, i + 2, 1) for i in range(9)])
    _, _, change = change_of(table, SHARE, origin)
    assert set(change) == {0.2}
    base, chat, change = change_of(TABLE, SHARE, RUN)
    np.testing.assert_allclose(base, [0.5, 0, 0.5, 0.5, 0, 0.5, 1])
    np.testing.assert_allclose(chat, [0.5, 0.7, 0.3, 0.7, 0.2, 0.7, 0])
    np.testing.assert_allclose(change, [0, 0.7, -0.2, 0.2, 0.2, 0.2, -1], atol=1e-15)
    assert change[0] == 0


def test_change_of_other_metrics_is_of_values():
    _, _, change = change_of(TABLE, MEAN, RUN)
    np.testing.assert_array_equal(change, [0.25, 1.75, -0.25, 0.75, 0.5, 0.75, -2])
    base, chat, _ = change_of(TABLE, "control_num_active", RUN)
    assert set(base) == set(chat) == {0}


def test_intervals_of_shares_and_counts_are_wilsons():
    """Each model and prompt set has its own number of prompts; 95 % of 0 of 5 is 0 to z²/(5 + z²) = 0.4345."""
    for side, n in (("base", 8), ("chat", 10)):
        low, high = wilson(TABLE[f"{side}_target_num_active"].to_numpy(), n)
        np.testing.assert_array_equal(interval(TABLE, SHARE, side, RUN), (low, high))
        np.testing.assert_array_equal(interval(TABLE, "target_num_active", side, RUN), (low * n, high * n))
    low, high = interval(TABLE, "control_sparsity", "base", RUN)
    np.testing.assert_allclose(low, 0)
    np.testing.assert_allclose(high, 0.4345, atol=1e-4)


def test_intervals_of_means():
    """
    Feature 11 in base: mean 1 and std 0.5 of 8 prompts, 4 of them active, so their mean is 2.

    Their squares deviate from it by 7 · 0.25 + 8 − 16 < 0: rounded files, so by nothing. The ends are 2 times Wilson's
    of 4 in 8, 0.2152 and 0.7848. Fewer than 2 active prompts have no interval.
    """
    low, high = interval(TABLE, MEAN, "base", RUN)
    np.testing.assert_allclose(low[[0, 1]], [2 * 0.21522, np.nan], atol=1e-4)
    np.testing.assert_allclose(high[[0, 1]], [2 * 0.78478, np.nan], atol=1e-4)
    table = TABLE.assign(base_target_all_std=2.0)
    low, high = interval(table, MEAN, "base", RUN)
    strongest = 2 + 3.182446 * np.sqrt((7 * 4 + 8 - 16) / 3 / 4)
    np.testing.assert_allclose([low[0], high[0]], [0, 0.78478 * strongest], atol=1e-4)


def test_other_metrics_have_no_interval():
    for table, metric in ((TABLE, "target_max"), (TABLE.drop(columns="chat_target_all_std"), MEAN)):
        assert np.isnan(interval(table, metric, "chat", RUN)).all()


# ----------------------------------------------------------------------------
# Order.


def test_ranking_by_hand():
    """Increases before decreases, no change is neither; equal changes by p, then by id."""
    found = rank(TABLE, SHARE, RUN)
    columns = [found[name] for name in ("token_type", "direction", "rank", "feature_id")]
    assert list(zip(*columns, strict=True)) == [
        ("newline", "increase", 1, 12),
        ("newline", "increase", 2, 15),
        ("newline", "increase", 3, 10),
        ("newline", "increase", 4, 14),
        ("newline", "decrease", 1, 13),
        ("odd", "decrease", 1, 12),
    ]
    assert found.columns.tolist() == [
        "token_type", "direction", "rank", "feature_id", "base", "chat", "difference", "base_low", "base_high",
        "chat_low", "chat_high", "explanation", "page",
    ]  # fmt: skip
    last = found.iloc[4]
    assert last[["base", "chat"]].tolist() == [0.5, 0.3]
    assert last["difference"] == pytest.approx(-0.2)
    low, high = wilson(np.array([4]), 8)
    assert (last["base_low"], last["base_high"]) == (low[0], high[0])
    low, high = wilson(np.array([3]), 10)
    assert (last["chat_low"], last["chat_high"]) == (low[0], high[0])
    assert (last["explanation"], last["page"]) == ("what 13 is", "https://x/13")
    assert found["page"].isna().tolist() == [True, False, True, True, False, True]


def test_top_counts_for_each_position_and_direction():
    found = rank(TABLE, SHARE, RUN, top=2)
    assert found["feature_id"].tolist() == [12, 15, 13, 12]
    assert rank(TABLE[TABLE["token_type"] == "odd"], SHARE, RUN)["rank"].tolist() == [1]
    assert rank(TABLE[:1], SHARE, RUN).empty


@st.composite
def tables(draw):
    n = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = rng.permutation(1000)[:n]
    rows = zip(
        rng.choice(["newline", "odd", "asst"], n), ids, rng.integers(0, 9, n), rng.integers(0, 11, n),
        rng.choice([1, 0.5, 0.01], n), strict=True,
    )  # fmt: skip
    return make(list(rows))


def slow_rank(table, metric, top):
    """The same in plain Python, with exact fractions for shares."""
    from fractions import Fraction

    def values(row):
        if metric == SHARE:
            return Fraction(row.base_target_num_active, 8), Fraction(row.chat_target_num_active, 10)
        return getattr(row, f"base_{metric}"), getattr(row, f"chat_{metric}")

    found = []
    for token_type in ("newline", "odd", "asst"):
        for direction, sign in (("increase", 1), ("decrease", -1)):
            block = []
            for row in table.itertuples():
                base, chat = values(row)
                if row.token_type == token_type and (chat - base) * sign > 0:
                    block.append(
                        (
                            -abs(chat - base),
                            row.sparsity_change_p if metric == SHARE else row.all_mean_change_p,
                            row.feature_id,
                        )
                    )
            found += [(token_type, direction, i + 1, key[2]) for i, key in enumerate(sorted(block)[:top])]
    return found


@settings(max_examples=100, deadline=None)
@given(tables(), st.sampled_from([SHARE, MEAN]), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_ranking_is_that_of_a_slow_one_in_any_order_of_rows(table, metric, top, seed):
    found = rank(table, metric, RUN, top)
    columns = [found[name] for name in ("token_type", "direction", "rank", "feature_id")]
    assert list(zip(*columns, strict=True)) == slow_rank(table, metric, top)
    shuffled = rank(table.sample(frac=1, random_state=seed), metric, RUN, top)
    pd.testing.assert_frame_equal(found, shuffled)
    assert (np.sign(found["difference"]) == np.where(found["direction"] == "increase", 1, -1)).all()
    for side in ("base", "chat"):
        known = found.dropna(subset=f"{side}_low")
        assert known[f"{side}_high"].notna().all()
        assert (known[f"{side}_low"] <= known[side] + 1e-12).all()
        assert (known[side] <= known[f"{side}_high"] + 1e-12).all()


@settings(max_examples=50, deadline=None)
@given(tables())
def test_swapping_base_and_chat_swaps_the_directions(table):
    swapped = table.rename(
        columns=lambda name: re.sub("^(base|chat)_", lambda m: {"base_": "chat_", "chat_": "base_"}[m[0]], name)
    )
    sizes = {({"base": "chat", "chat": "base"}[side], prompts): n for (side, prompts), n in SIZES.items()}
    here, there = rank(table, MEAN, RUN), rank(swapped, MEAN, replace(RUN, num_prompts=sizes))
    for direction, other in (("increase", "decrease"), ("decrease", "increase")):
        one, two = here[here["direction"] == direction], there[there["direction"] == other]
        assert one["feature_id"].tolist() == two["feature_id"].tolist()
        np.testing.assert_array_equal(one["difference"], -two["difference"])


def test_csv():
    rows = list(csv.reader(io.StringIO(ranking_csv(rank(TABLE, MEAN, RUN)))))
    assert rows[0] == ["rank", "token_type", "direction", "feature", "base", "chat", "difference", "page"]
    assert rows[1] == ["1", "newline", "increase", "12", "0", "1.75", "1.75", ""]
    assert rows[-1] == ["1", "odd", "decrease", "12", "2", "0", "-2", ""]
    assert rows[-2] == ["1", "newline", "decrease", "13", "1", "0.75", "-0.25", "https://x/13"]
    assert len(rows) == 8
    assert len(ranking_csv(rank(TABLE[:0], MEAN, RUN)).splitlines()) == 1


# ----------------------------------------------------------------------------
# The figure.


def draw(table=TABLE, metric=SHARE, labels=MINE, **how):
    return go.Figure(ranking(rank(table, metric, RUN), metric, RUN, labels, **how))


def dots(fig):
    return [trace for trace in fig.data if trace.mode == "markers"]


def test_rows_stand_below_each_other_with_room_for_headers():
    """1.6 rows for each of the three headers, then a row a feature; the axis runs down."""
    fig = draw()
    np.testing.assert_allclose(row_places(rank(TABLE, SHARE, RUN)), [1.6, 2.6, 3.6, 4.6, 7.2, 9.8])
    np.testing.assert_allclose(fig.layout.yaxis.tickvals, [1.6, 2.6, 3.6, 4.6, 7.2, 9.8])
    assert fig.layout.yaxis.range == pytest.approx((10.8, 0))
    assert [note.text for note in fig.layout.annotations] == [
        "<b>newline</b>: more in Tuned", "<b>newline</b>: more in Ancestor", "<b>odd</b>: more in Ancestor",
    ]  # fmt: skip
    assert [note.y for note in fig.layout.annotations] == pytest.approx([0.7, 6.3, 8.9])


def test_dots_and_intervals():
    fig = draw()
    ranked = rank(TABLE, SHARE, RUN)
    assert [(trace.legendgroup, trace.name, trace.marker.symbol) for trace in dots(fig)] == [
        ("newline", "Ancestor", "circle-open"), ("newline", "Tuned", "circle"),
        ("odd", "Ancestor", "circle-open"), ("odd", "Tuned", "circle"),
    ]  # fmt: skip
    for trace in dots(fig):
        rows = ranked[ranked["token_type"] == trace.legendgroup]
        side = "base" if trace.name == "Ancestor" else "chat"
        np.testing.assert_array_equal(trace.x, rows[side])
        np.testing.assert_allclose(trace.y, row_places(ranked)[rows.index] + (-0.17 if side == "base" else 0.17))
        np.testing.assert_allclose(trace.x + trace.error_x.array, rows[f"{side}_high"])
        np.testing.assert_allclose(trace.x - trace.error_x.arrayminus, rows[f"{side}_low"])
        expected = rows[["feature_id", "base", "chat", "difference", "base_low", "base_high", "chat_low", "chat_high"]]
        np.testing.assert_allclose(trace.customdata, expected, rtol=1e-6)
        assert trace.customdata.dtype == np.float32
    colours = {trace.legendgroup: trace.marker.color for trace in dots(fig)}
    assert len(set(colours.values())) == 2


def test_a_line_joins_the_dots_of_a_feature():
    lines = next(trace for trace in draw().data if trace.mode == "lines")
    np.testing.assert_allclose(lines.x[:5], [0, 0.7, math.nan, 0, 0.2])
    np.testing.assert_allclose(lines.y[:5], [1.43, 1.77, math.nan, 2.43, 2.77])
    assert (lines.customdata, lines.hoverinfo) == (None, "skip")


def test_axis_holds_all_intervals():
    fig = draw(metric=MEAN)
    low, high = fig.layout.xaxis.range
    for trace in dots(fig):
        assert np.nanmin(trace.x - trace.error_x.arrayminus, initial=trace.x[0]) > low
        assert np.nanmax(trace.x + trace.error_x.array, initial=trace.x[0]) < high
    assert low < 0
    title = "Mean activation      ○ Ancestor   ● Tuned   ─ 95 % interval (Wilson × t)"
    assert fig.layout.xaxis.title.text == title
    assert draw().layout.xaxis.title.text.endswith("─ 95 % interval (Wilson)")


def test_without_intervals():
    fig = draw(metric="target_max")
    assert fig.layout.xaxis.title.text == "Maximum activation      ○ Ancestor   ● Tuned"
    assert all(trace.error_x.array is None for trace in dots(fig))
    assert "95 %" not in dots(fig)[0].hovertemplate


def test_hover_template():
    trace = dots(draw())[0]
    assert trace.hovertemplate.split("<br>") == [
        "<b>Feature %{customdata[0]:d}</b> at newline",
        "Ancestor Activation frequency: %{customdata[1]:.4~g} (95 %: %{customdata[4]:.3~g} to %{customdata[5]:.3~g})",
        "Tuned Activation frequency: %{customdata[2]:.4~g} (95 %: %{customdata[6]:.3~g} to %{customdata[7]:.3~g})",
        "Difference: %{customdata[3]:+.4~g}",
        "",
        "%{text}<extra></extra>",
    ]
    assert trace.text[0] == "what 12 is"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("short", "short"),
        ("a" * 40, "a" * 40),
        ("a" * 41, "a" * 39 + "…"),
        ("a" * 38 + " bcd", "a" * 38 + "…"),
        ("  two \n lines ", "two lines"),
        (None, ""),
        ("<b>" * 20, "&lt;b&gt;" * 13 + "…"),
    ],
)
def test_labels(text, label):
    assert LABEL_WIDTH == 40
    table = TABLE[1:2].assign(explanation=pd.Series([text], index=[1], dtype="str"))
    assert draw(table).layout.yaxis.ticktext == (f"{label}  <b>12</b>",)


def test_what_strangers_wrote_is_shown_as_written():
    hostile = "<script>alert(1)</script> <b>%{x} {y} %{customdata[0]} & &amp; $y$"
    labels = Labels(*(f"{name} {hostile}" for name in ("B", "C", "T", "K")))
    table = make([(hostile, 1, 0, 3, 1), (hostile, 2, 5, 0, 1)], (hostile,)).assign(explanation=hostile)
    origin = Origin("gemma", 20, "x", "", (hostile,), SIZES)
    fig = go.Figure(ranking(rank(table, SHARE, origin), SHARE, origin, labels))
    layout = fig.layout
    texts = [layout.title.text, layout.xaxis.title.text, *(note.text for note in layout.annotations)]
    texts += [text.replace("{", "(") for text in layout.yaxis.ticktext]
    for trace in dots(fig):
        texts += [trace.name, trace.hovertemplate, *(text.replace("{", "(") for text in trace.text)]
    assert sum("alert(1)" in text for text in texts) == len(texts)
    for text in texts:
        ours = re.sub(r"%\{customdata\[\d+\]:[^{}]+\}|%\{text\}|</?b>|<br>|<extra></extra>", "", text)
        assert not re.search(r"[<>{$]", ours), ours
    assert html.unescape(dots(fig)[0].text[0].replace("<br>", " ")) == hostile


def test_height_grows_with_rows():
    few, many = (make([("newline", i, 0, 1 + i % 9, 1) for i in range(n)]) for n in (3, 13))
    heights = [draw(table, titled=False).layout.height for table in (few, many)]
    assert heights[1] - heights[0] == 10 * ROW_HEIGHT
    fig = draw()
    title = "Active on Introspective only: largest changes"
    assert fig.layout.title.text == title
    assert fig.layout.height > draw(titled=False).layout.height
    assert (fig.layout.hovermode, fig.layout.clickmode, fig.layout.dragmode) == ("closest", "event", "zoom")


def test_nothing_to_rank():
    fig = draw(TABLE[:1])
    assert fig.data == ()
    assert fig.layout.xaxis.range == pytest.approx((-0.03, 1.03))
    assert not fig.layout.yaxis.ticktext


def test_box_is_marked():
    drawing = ranking(rank(TABLE, SHARE, RUN), SHARE, RUN)
    mark(drawing, [("newline", 13), ("odd", 99)])
    fig = go.Figure(drawing)
    caught = [(trace.name, [int(trace.customdata[i, 0]) for i in trace.selectedpoints]) for trace in dots(fig)]
    assert caught == [("Base", [13]), ("Instruct", [13]), ("Base", []), ("Instruct", [])]


def test_ring_is_round_the_dot_of_chat():
    """Between the two dots, it was round nothing."""
    chart = make_chart(TABLE, View(SHARE, chart="ranking"), RUN)
    fig = go.Figure(chart.draw(TABLE, View(SHARE, chart="ranking")))
    for key in [("newline", 12), ("newline", 13), ("odd", 12)]:
        (dots,) = [trace for trace in fig.data if trace.name == "Instruct" and trace.legendgroup == key[0]]
        (at,) = np.flatnonzero(dots.customdata[:, 0] == key[1])
        assert chart.find(TABLE, key) == pytest.approx((dots.x[at], dots.y[at]))
    assert chart.find(TABLE, ("odd", 99)) is None
