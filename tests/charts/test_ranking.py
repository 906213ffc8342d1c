import csv
import html
import io
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hovering import hover_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from featurediff.charts.chart import make_chart
from featurediff.charts.points import mark
from featurediff.charts.ranking import LABEL_WIDTH, ROW_HEIGHT, ranking, row_places
from featurediff.charts.view import View
from featurediff.features.questions import Asked
from featurediff.features.ranked import change_of, rank, ranking_csv
from featurediff.labels import EXCLUSIVITIES, Labels
from featurediff.sources.origin import Origin

SHARE, MEAN, MAX = "target_sparsity", "target_all_mean", "target_max"
MINE = Labels("Ancestor", "Tuned", "Introspective", "Other")
SIZES = {("base", "target"): 8, ("base", "control"): 5, ("chat", "target"): 10, ("chat", "control"): 20}
RUN = Origin("gemma", 20, "131k", "personal_40", ("newline", "odd", "asst"), SIZES)


def make(rows, token_types=("newline", "odd", "asst")):
    """
    A feature table from (token_type, feature_id, base count, chat count, low, high, q).

    Low and high are the ends of the interval of all effects; that of `specific` is twice the change.
    """
    names, ids, base, chat, low, high, q = zip(*rows, strict=True) if rows else ((),) * 7
    base, chat = np.array(base, dtype=np.int64), np.array(chat, dtype=np.int64)
    n = len(rows)
    columns = {
        "feature_id": np.array(ids, dtype=np.int32),
        "token_type": pd.Categorical(names, categories=token_types),
        "exclusivity": pd.Categorical(["chat"] * n, categories=EXCLUSIVITIES),
        "inconsistent": np.array(ids, dtype=np.int64) % 2 == 1,
        "direction": pd.Categorical(["none"] * n),
    }
    for side, counts in (("base", base), ("chat", chat)):
        columns[f"{side}_target_num_active"] = counts
        columns[f"{side}_control_num_active"] = np.zeros(n, dtype=np.int64)
        columns[f"{side}_target_sparsity"] = (counts / SIZES[side, "target"]).astype(np.float32)
        columns[f"{side}_target_all_mean"] = counts.astype(np.float32) / 4
        columns[f"{side}_target_max"] = counts.astype(np.float32)
    changes = {"all_mean": (chat - base) / 4, "sparsity": chat / 10 - base / 8}
    for quantity, change in changes.items():
        for contrast, factor in (("change", 1), ("specific", 2)):
            effect = f"{quantity}_{contrast}"
            columns[effect] = factor * change
            columns[f"{effect}_low"], columns[f"{effect}_high"] = (
                np.array(end, dtype=np.float64) * factor for end in (low, high)
            )
            columns[f"{effect}_p"] = columns[f"{effect}_q"] = np.array(q, dtype=np.float64)
            columns[f"{effect}_test"] = pd.Categorical(["fisher"] * n)
    columns["explanation"] = pd.Series([f"what {i} is" for i in ids], dtype="str")
    columns["neuronpedia_url"] = pd.Series([f"https://x/{i}" if i % 2 else None for i in ids], dtype="str")
    return pd.DataFrame(columns)


NAN = np.nan
TABLE = make(
    [
        ("newline", 11, 4, 5, -1, 1, 1.0),  # 1/2 and 1/2: no change of the share
        ("newline", 12, 0, 7, 0.3, 0.9, 0.01),
        ("newline", 13, 4, 3, -0.5, -0.1, 0.05),  # −1/5
        ("newline", 14, 4, 7, -0.1, 0.5, 0.5),  # +1/5
        ("newline", 15, 0, 2, 0.1, 0.5, 0.04),  # +1/5, of which more is sure
        ("newline", 10, 0, 9, NAN, NAN, 0.001),  # +9/10, without an interval
        ("newline", 16, 4, 6, -0.1, 0.3, 0.5),  # +1/10, as sure as 14
        ("odd", 12, 8, 0, -1, -0.6, 0.001),
        ("odd", 17, 8, 1, -0.95, -0.7, NAN),
    ]
)


# ----------------------------------------------------------------------------
# Changes and their order.


def test_change_of_shares_is_of_counts():
    """Equal changes are equal numbers: 3/10 − 1/10 is not 2/10 − 0 in floating point."""
    origin = Origin("gemma", 20, "x", "", ("newline",), dict.fromkeys(SIZES, 10))
    table = make([("newline", i, i, i + 2, 0, 1, 1) for i in range(9)])
    _, _, change = change_of(table, SHARE, origin)
    assert set(change) == {0.2}
    base, chat, change = change_of(TABLE[:5], SHARE, RUN)
    np.testing.assert_allclose(base, [0.5, 0, 0.5, 0.5, 0])
    np.testing.assert_allclose(chat, [0.5, 0.7, 0.3, 0.7, 0.2])
    np.testing.assert_allclose(change, [0, 0.7, -0.2, 0.2, 0.2], atol=1e-15)
    assert change[0] == 0


def test_change_of_other_metrics_is_of_values():
    _, _, change = change_of(TABLE, MEAN, RUN)
    np.testing.assert_array_equal(change, [0.25, 1.75, -0.25, 0.75, 0.5, 2.25, 0.5, -2, -1.75])
    base, chat, _ = change_of(TABLE, "control_num_active", RUN)
    assert set(base) == set(chat) == {0}


def places(ranked):
    return list(zip(*(ranked[name] for name in ("token_type", "way", "rank", "feature_id")), strict=True))


def test_ranking_by_hand():
    """By the end of the interval that is nearer to 0; equal ones by size; without an interval last."""
    found = rank(TABLE, Asked("changed", SHARE), RUN)
    assert places(found) == [
        ("newline", "increase", 1, 12),
        ("newline", "increase", 2, 15),
        ("newline", "increase", 3, 14),
        ("newline", "increase", 4, 16),
        ("newline", "increase", 5, 10),
        ("newline", "decrease", 1, 13),
        ("odd", "decrease", 1, 17),
        ("odd", "decrease", 2, 12),
    ]
    fifth = found.iloc[5]
    assert fifth[["base", "chat"]].tolist() == [0.5, 0.3]
    assert fifth[["change", "effect", "low", "high"]].tolist() == pytest.approx([-0.2, -0.2, -0.5, -0.1])
    assert found["is_evident"].tolist() == [True, True, False, False, True, True, False, True]
    assert (fifth["explanation"], fifth["neuronpedia_url"]) == ("what 13 is", "https://x/13")


def test_ranking_is_of_the_effect_that_the_question_is_about():
    """Under `specific` it was still by the change on target."""
    table = TABLE.assign(all_mean_specific=TABLE["all_mean_specific"].where(TABLE["feature_id"] != 15, -4.0))
    table = table.assign(all_mean_specific_high=table["all_mean_specific_high"].where(table["feature_id"] != 15, -3.0))
    found = rank(table, Asked("specific", MEAN), RUN)
    first = found[found["way"] == "decrease"].iloc[0]
    assert (first["feature_id"], first["effect"], first["change"], first["high"]) == (15, -4, 0.5, -3)
    for question in ("exclusive", "changed", "any"):
        assert rank(table, Asked(question, MEAN), RUN)["effect"].tolist() == pytest.approx(
            rank(TABLE, Asked("changed", MEAN), RUN)["change"].tolist()
        )


def test_alpha_says_what_is_evident():
    found = rank(TABLE, Asked("changed", SHARE, 0.001), RUN)
    assert found.loc[found["is_evident"], "feature_id"].tolist() == [10, 12]


@pytest.mark.parametrize("question", ["exclusive", "specific"])
def test_a_metric_that_nothing_tests_is_ranked_by_size(question):
    found = rank(TABLE, Asked(question, MAX), RUN)
    assert found["feature_id"].tolist() == [10, 12, 14, 15, 16, 11, 13, 12, 17]
    assert found["effect"].tolist() == [9, 7, 3, 2, 2, 1, -1, -8, -7]
    assert found[["low", "high"]].isna().all(axis=None)
    assert not found["is_evident"].any()


def test_before_the_tests_are_done_changes_are_ranked_by_size():
    nothing = {f"sparsity_change{ending}": NAN for ending in ("", "_low", "_high", "_p", "_q")}
    found = rank(TABLE.assign(**nothing), Asked(metric=SHARE), RUN)
    assert found["feature_id"].tolist() == [10, 12, 14, 15, 16, 13, 12, 17]


def test_top_counts_for_each_position_and_way():
    found = rank(TABLE, Asked("changed", SHARE), RUN, top=1)
    assert found["feature_id"].tolist() == [12, 13, 17]
    many = make([("newline", i, 0, 1 + i % 9, 0, 1, 1) for i in range(30)])
    assert len(rank(many, Asked(metric=SHARE), RUN)) == View().top == 10
    assert rank(TABLE[:1], Asked(metric=SHARE), RUN).empty


@st.composite
def tables(draw):
    n = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, width = rng.choice([-0.5, 0.0, 0.25, 0.5, NAN], n), rng.choice([0.25, 0.5], n)
    rows = zip(
        rng.choice(["newline", "odd", "asst"], n), rng.permutation(1000)[:n], rng.integers(0, 9, n),
        rng.integers(0, 11, n), low, low + width, rng.choice([1, 0.05, 0.01, NAN], n), strict=True,
    )  # fmt: skip
    return make(list(rows))


def slow_rank(table, asked, top):
    """The same in plain Python."""
    effect = f"{'sparsity' if asked.metric == SHARE else 'all_mean'}_"
    effect += "specific" if asked.question == "specific" else "change"
    found = []
    for token_type in ("newline", "odd", "asst"):
        for way, sign in (("increase", 1), ("decrease", -1)):
            block = []
            for row in table.to_dict("records"):
                value = row[effect] * sign
                if row["token_type"] == token_type and value > 0:
                    near = row[f"{effect}_low"] if sign > 0 else -row[f"{effect}_high"]
                    block.append((np.isnan(near), -near if near == near else 0, -value, row["feature_id"]))
            found += [(token_type, way, i + 1, key[-1]) for i, key in enumerate(sorted(block)[:top])]
    return found


@settings(max_examples=100, deadline=None)
@given(
    tables(),
    st.sampled_from([SHARE, MEAN]),
    st.sampled_from(["exclusive", "specific"]),
    st.integers(1, 8),
    st.integers(0, 2**32 - 1),
)
def test_ranking_is_that_of_a_slow_one_in_any_order_of_rows(table, metric, question, top, seed):
    asked = Asked(question, metric)
    found = rank(table, asked, RUN, top)
    assert places(found) == slow_rank(table, asked, top)
    shuffled = rank(table.sample(frac=1, random_state=seed), asked, RUN, top)
    pd.testing.assert_frame_equal(found, shuffled)
    assert (np.sign(found["effect"]) == np.where(found["way"] == "increase", 1, -1)).all()


@settings(max_examples=50, deadline=None)
@given(tables())
def test_swapping_base_and_chat_swaps_the_ways(table):
    swapped = table.rename(
        columns=lambda name: re.sub("^(base|chat)_", lambda m: {"base_": "chat_", "chat_": "base_"}[m[0]], name)
    )
    ends = {"low": -table["all_mean_change_high"], "high": -table["all_mean_change_low"]}
    swapped = swapped.assign(
        all_mean_change=-table["all_mean_change"], **{f"all_mean_change_{end}": at for end, at in ends.items()}
    )
    here, there = rank(table, Asked(metric=MEAN), RUN), rank(swapped, Asked(metric=MEAN), RUN)
    for way, other in (("increase", "decrease"), ("decrease", "increase")):
        one, two = here[here["way"] == way], there[there["way"] == other]
        assert one["feature_id"].tolist() == two["feature_id"].tolist()
        np.testing.assert_array_equal(one["effect"], -two["effect"])


def test_csv():
    asked = Asked("specific", MEAN)
    rows = list(csv.reader(io.StringIO(ranking_csv(rank(TABLE, asked, RUN), asked))))
    assert rows[0] == [
        "rank", "token_type", "direction", "feature", "base", "chat", "difference", "all_mean_specific",
        "all_mean_specific_low", "all_mean_specific_high", "all_mean_specific_p", "all_mean_specific_q",
        "all_mean_specific_test", "page",
    ]  # fmt: skip
    assert rows[1] == [
        "1", "newline", "increase", "12", "0", "1.75", "1.75", "3.5", "0.6", "1.8", "0.01", "0.01", "fisher", "",
    ]  # fmt: skip
    without = next(row for row in rows if row[3] == "10")
    assert without[7:11] == ["4.5", "", "", "0.001"]
    assert rows[7][:7] == ["1", "newline", "decrease", "13", "1", "0.75", "-0.25"]
    assert rows[7][-1] == "https://x/13"
    assert len(rows) == 10
    assert len(ranking_csv(rank(TABLE[:0], asked, RUN), asked).splitlines()) == 1
    untested = ranking_csv(rank(TABLE, Asked(metric=MAX), RUN), Asked(metric=MAX)).splitlines()
    assert untested[0] == '"rank","token_type","direction","feature","base","chat","difference","page"'
    assert untested[1] == '1,"newline","increase",10,0,9,9,'


# ----------------------------------------------------------------------------
# The figure.


def dots(fig):
    return [trace for trace in fig.data if trace.mode == "markers"]


def is_hollow(trace):
    return trace.marker.color.endswith(", 0)")


def names(fig):
    (trace,) = [trace for trace in fig.data if trace.mode == "text"]
    return trace


def draw(table=TABLE, metric=SHARE, question="changed", labels=MINE, **how):
    view = View(metric, labels=labels, chart="ranking", question=question)
    return go.Figure(ranking(rank(table, view.asked, RUN), view, RUN, **how))


def test_rows_stand_below_each_other_with_room_for_headers():
    """1.5 rows for each of the three headers, then a row a feature; the axis runs down."""
    fig = draw()
    at = [1.5, 2.5, 3.5, 4.5, 5.5, 8, 10.5, 11.5]
    np.testing.assert_allclose(row_places(rank(TABLE, Asked(metric=SHARE), RUN)), at)
    np.testing.assert_allclose(fig.layout.yaxis.tickvals, at)
    assert fig.layout.yaxis.range == pytest.approx((12.1, 0))
    assert [note.text for note in fig.layout.annotations] == [
        "<b>newline: more in Tuned</b>", "<b>newline: more in Ancestor</b>", "<b>odd: more in Ancestor</b>",
    ]  # fmt: skip
    assert [note.y for note in fig.layout.annotations] == pytest.approx([0.45, 6.95, 9.45])


@pytest.mark.parametrize("question", ["changed", "specific"])
def test_dots_stand_at_the_effect_with_its_interval(question):
    """A trace with evidence and a hollow one at each position; a row without an interval has a dot alone."""
    fig = draw(question=question)
    ranked = rank(TABLE, Asked(question, SHARE), RUN)
    effect = "sparsity_change" if question == "changed" else "sparsity_specific"
    assert [(trace.legendgroup, is_hollow(trace)) for trace in dots(fig)] == [
        ("newline", False), ("newline", True), ("odd", False), ("odd", True),
    ]  # fmt: skip
    for trace in dots(fig):
        rows = ranked[(ranked["token_type"] == trace.legendgroup) & (ranked["is_evident"] != is_hollow(trace))]
        np.testing.assert_array_equal(trace.x, rows[effect])
        np.testing.assert_array_equal(trace.y, row_places(ranked)[rows.index])
        np.testing.assert_allclose(trace.x + trace.error_x.array, rows[f"{effect}_high"])
        np.testing.assert_allclose(trace.x - trace.error_x.arrayminus, rows[f"{effect}_low"])
        names = [
            "feature_id", "base", "chat", "change", "base_target_num_active", "base_control_num_active",
            "chat_target_num_active", "chat_control_num_active", effect, f"{effect}_low", f"{effect}_high",
            f"{effect}_q",
        ]  # fmt: skip
        in_points = [100 if name in names[8:11] else 1 for name in names]
        np.testing.assert_allclose(trace.customdata, in_points * rows[names], rtol=1e-6)
        assert trace.customdata.dtype == np.float32
    assert {trace.marker.line.color if is_hollow(trace) else trace.marker.color for trace in dots(fig)} == {
        "#1f83c9",
        "#c0679a",
    }


def test_names_stand_at_the_left_above_their_rows():
    """As labels of the axis inside the plot they hid values and grid lines of the other axis behind them."""
    fig = draw()
    trace = names(fig)
    np.testing.assert_allclose(trace.y, np.array(fig.layout.yaxis.tickvals) - 0.2)
    assert set(trace.x) == {0}
    assert (trace.xaxis, fig.layout.xaxis2.range, fig.layout.xaxis2.fixedrange) == ("x2", (0, 1), True)
    assert (trace.hoverinfo, trace.customdata, trace.textposition) == ("skip", None, "top right")
    assert trace.text[0] == "<b>12</b>  what 12 is"
    assert not fig.layout.yaxis.showticklabels


def test_headers_of_what_is_specific_are_relative_to_control():
    assert [note.text for note in draw(question="specific").layout.annotations] == [
        "<b>newline: up on Introspective relative to Other</b>",
        "<b>newline: down on Introspective relative to Other</b>",
        "<b>odd: down on Introspective relative to Other</b>",
    ]


def test_axis_holds_all_intervals_and_no_change():
    fig = draw(metric=MEAN)
    low, high = fig.layout.xaxis.range
    for trace in dots(fig):
        assert np.nanmin(trace.x - trace.error_x.arrayminus, initial=trace.x[0]) > low
        assert np.nanmax(trace.x + trace.error_x.array, initial=trace.x[0]) < high
    assert low < 0 < high
    assert fig.layout.xaxis.zeroline
    assert (
        fig.layout.xaxis.title.text.replace("<br>", " ")
        == "Change of mean activation on Introspective (Tuned − Ancestor), 95 % interval; hollow: q &gt; 0.05"
    )
    assert draw(TABLE[TABLE["sparsity_specific_q"] <= 0.05], question="specific").layout.xaxis.title.text.replace(
        "<br>", " "
    ) == ("Change of activation frequency on Introspective more than on Other (Tuned − Ancestor), 95 % interval")


def test_without_intervals():
    fig = draw(metric=MAX, question="specific")
    title = "Change of maximum activation on Introspective (Tuned − Ancestor), which nothing tests"
    assert fig.layout.xaxis.title.text.replace("<br>", " ") == title
    assert all(trace.error_x.array is None for trace in dots(fig))
    assert all(is_hollow(trace) for trace in dots(fig))
    assert fig.layout.annotations[0].text == "<b>newline: more in Tuned</b>"
    control = TABLE.assign(**{f"{side}_control_max": TABLE[f"{side}_target_max"] for side in ("base", "chat")})
    title = "Change of maximum activation on Other prompts (Tuned − Ancestor), which nothing tests"
    assert draw(control, metric="control_max").layout.xaxis.title.text.replace("<br>", " ") == title


def test_hover():
    trace = dots(draw())[0]
    assert trace.hovertemplate.split("<br>") == hover_lines((8, 5, 10, 20))
    said = dict(zip(trace.customdata[:, 0].astype(int).tolist(), trace.text, strict=True))
    assert said[12] == "<b>Introspective prompt-exclusive feature for Tuned</b><br><br>what 12 is"
    assert said[13] == (
        "<b>Introspective prompt-exclusive feature for Tuned</b><br>"
        "<b>This feature is also active on the Ancestor model’s Other prompts</b><br>"
        "<b>Exclusive, but Tuned uses it less than Ancestor on Introspective prompts</b><br><br>what 13 is"
    )


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("short", "short"),
        ("a" * 60, "a" * 60),
        ("a" * 61, "a" * 59 + "…"),
        ("a" * 58 + " bcd", "a" * 58 + "…"),
        ("  two \n lines ", "two lines"),
        (None, ""),
        ("<b>" * 30, "&lt;b&gt;" * 19 + "&lt;b…"),
    ],
)
def test_labels(text, label):
    assert LABEL_WIDTH == 60
    table = TABLE[1:2].assign(explanation=pd.Series([text], index=[1], dtype="str"))
    assert list(names(draw(table)).text) == [f"<b>12</b>  {label}"]


def test_what_strangers_wrote_is_shown_as_written():
    hostile = "<script>alert(1)</script> <b>%{x} {y} %{customdata[0]} & &amp; $y$"
    labels = Labels(*(f"{name} {hostile}" for name in ("B", "C", "T", "K")))
    rows = [(hostile, 1, 0, 3, 0, 1, 0.01), (hostile, 2, 5, 0, -1, 0, 1), (hostile, 3, 5, 0, -1, 0, 1)]
    table = make(rows, (hostile,)).assign(explanation=hostile)
    origin = Origin("gemma", 20, "x", "", (hostile,), SIZES)
    view = View(SHARE, labels=labels, question="specific")
    fig = go.Figure(ranking(rank(table, view.asked, origin), view, origin))
    layout = fig.layout
    texts = [layout.title.text, layout.xaxis.title.text, *(note.text for note in layout.annotations)]
    texts += [text.replace("{", "(") for text in names(fig).text]
    for trace in dots(fig):
        texts += [trace.name, trace.hovertemplate, *(text.replace("{", "(") for text in trace.text)]
    assert sum("alert(1)" in text for text in texts) == len(texts)
    for text in texts:
        ours = re.sub(r"%\{customdata\[\d+\]:[^{}]+\}|%\{text\}|</?b>|<br>|<extra></extra>", "", text)
        assert not re.search(r"[<>{$]", ours), ours
    assert html.unescape(fig.data[0].text[0].rpartition("<br><br>")[2].replace("<br>", " ")) == hostile


def test_height_grows_with_rows():
    few, many = (make([("newline", i, 0, 1 + i % 9, 0, 1, 1) for i in range(n)]) for n in (3, 9))
    heights = [draw(table, titled=False).layout.height for table in (few, many)]
    assert heights[1] - heights[0] == 6 * ROW_HEIGHT
    fig = draw(question="exclusive")
    title = "Active on Introspective only: largest changes"
    assert fig.layout.title.text == title
    assert fig.layout.height > draw(titled=False).layout.height
    assert (fig.layout.hovermode, fig.layout.clickmode, fig.layout.dragmode) == ("closest", "event", "zoom")


def test_nothing_to_rank():
    fig = draw(TABLE[:1])
    assert fig.data == ()
    assert fig.layout.xaxis.range == pytest.approx((-0.03, 0.03))


def test_box_is_marked():
    view = View(SHARE)
    drawing = ranking(rank(TABLE, view.asked, RUN), view, RUN)
    mark(drawing, [("newline", 13), ("odd", 99)])
    fig = go.Figure(drawing)
    caught = [[int(trace.customdata[i, 0]) for i in trace.selectedpoints] for trace in dots(fig)]
    assert caught == [[13], [], [], []]


@pytest.mark.parametrize("question", ["changed", "specific"])
def test_ring_is_round_the_dot(question):
    view = View(SHARE, chart="ranking", question=question)
    chart = make_chart(TABLE, view, RUN)
    fig = go.Figure(chart.draw(TABLE, view))
    for key in [("newline", 12), ("newline", 14), ("odd", 12)]:
        ((drawn, at),) = [
            (trace, i)
            for trace in dots(fig)
            for i in np.flatnonzero(trace.customdata[:, 0] == key[1])
            if trace.legendgroup == key[0]
        ]
        assert chart.find(TABLE, key) == pytest.approx((drawn.x[at], drawn.y[at]))
    assert chart.find(TABLE, ("odd", 99)) is None


def test_ranks_by_share_where_that_is_asked_for():
    """The largest share first, whatever its sign; what has none comes last."""
    table = TABLE.assign(share=np.linspace(-0.9, 0.1, len(TABLE)))
    by_effect, by_share = (rank(table, Asked("changed", SHARE), RUN, by_share=chosen) for chosen in (False, True))
    keys = ["token_type", "way"]
    assert sorted(by_share["feature_id"]) == sorted(by_effect["feature_id"])
    for _, block in by_share.groupby(keys, observed=True):
        assert block["share"].abs().is_monotonic_decreasing
    assert by_share["feature_id"].tolist() != by_effect["feature_id"].tolist()
    without = rank(TABLE, Asked("changed", SHARE), RUN, by_share=True)
    assert without["feature_id"].tolist() == by_effect["feature_id"].tolist()
