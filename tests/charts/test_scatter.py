import html
import json
import re
from typing import get_args

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from hovering import INCONSISTENT, hover_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import check_golden, make_results, make_table, untested

from featurediff.charts.chart import make_chart
from featurediff.charts.colour import see_through
from featurediff.charts.plotly_json import to_json
from featurediff.charts.points import EXPLAINED_POINTS, FILL, INCONSISTENT_LINE, custom_data, mark
from featurediff.charts.scatter import scatter
from featurediff.charts.scatter_places import lay_out
from featurediff.charts.style import KNOWN_COLOURS, LOOK, OTHER_COLOURS, colours
from featurediff.charts.texts import HOVER_WIDTH, wrap
from featurediff.charts.view import Kind, View, heading
from featurediff.features.evidence import assess_changes, assess_exclusive
from featurediff.features.evidence_columns import with_evidence
from featurediff.features.filters import Filters, filter_table
from featurediff.features.table import feature_table
from featurediff.labels import Labels
from featurediff.meaning.explanations import Explanations
from featurediff.sources.origin import Origin
from featurediff.wording import p_text

PROMPTS = {"base": (8, 7), "chat": (9, 40)}
BASE = {"target": [3, 2, 4, 0, 5, 6, 0, 8], "control": [0, 0, 0, 0, 2, 1, 0, 0]}
CHAT = {"target": [5, 0, 6, 7, 4, 3, 0, 9], "control": [0, 0, 3, 0, 0, 20, 0, 0]}
MINE = Labels("Ancestor", "Tuned", "Introspective", "Other")
HOSTILE = "<script>alert(1)</script> <b>%{x} {y} %{customdata[0]} & &amp; $y$"
METRIC = "target_sparsity"


def roll(sets):
    return {prompts: [*cells[-1:], *cells[:-1]] for prompts, cells in sets.items()}


@pytest.fixture
def results():
    counts = {"newline": {"base": BASE, "chat": CHAT}, "odd": {"base": roll(BASE), "chat": roll(CHAT)}}
    return make_results(counts, PROMPTS)


def explained_by(*texts):
    index = pd.Index(range(len(texts)), dtype="int64", name="feature_id")
    return Explanations("e.csv", "", pd.DataFrame({"explanation": pd.Series(texts, index=index, dtype="str")}), 0, 0)


def draw(results, *, table=None, labels=MINE, metric=METRIC, choice="auto", spread_points=True, texts=(), **how):
    changes = assess_changes(results)
    kept = feature_table(results, None, explained_by(*texts) if texts else None)
    kept = with_evidence(kept, assess_exclusive(results), changes)
    view = View(metric, labels=labels, scale=choice, spread=spread_points)
    shown = kept if table is None else table(kept)
    return go.Figure(scatter(shown, *lay_out(kept, view), view, Origin.of(results, "personal_40"), **how))


def markers(fig):
    return [trace for trace in fig.data if isinstance(trace, go.Scattergl)]


def keys(fig):
    return [(trace.legendgroup, trace.name) for trace in markers(fig)]


CATEGORIES = [
    "Both Introspective",
    "Ancestor Introspective",
    "Ancestor Introspective + Tuned Other",
    "Tuned Introspective",
    "Tuned Introspective + Ancestor Other",
]


def test_a_trace_for_each_token_type_and_category(results):
    fig = draw(results)
    assert keys(fig) == [(token_type, name) for token_type in ("newline", "odd") for name in CATEGORIES]
    assert [trace.legendgrouptitle.text for trace in markers(fig)] == ["newline"] * 5 + ["odd"] * 5
    assert [trace.marker.symbol for trace in markers(fig)] == ["star", "circle", "circle", "square", "square"] * 2
    assert {trace.marker.color for trace in markers(fig)} == {"rgba(31, 131, 201, 0.55)", "rgba(192, 103, 154, 0.55)"}
    assert {trace.mode for trace in markers(fig)} == {"markers"}
    assert [[int(point[0]) for point in trace.customdata] for trace in markers(fig)] == [
        [0, 7], [1], [2], [3], [4],
        [0, 1], [2], [3], [4], [5],
    ]  # fmt: skip


def test_names_by_default(results):
    assert [name for _, name in keys(draw(results, labels=Labels()))][:5] == [
        "Both Target",
        "Base Target",
        "Base Target + Instruct Control",
        "Instruct Target",
        "Instruct Target + Base Control",
    ]


def test_only_inconsistent_points_have_a_red_border(results):
    for trace in markers(draw(results)):
        if "+" in trace.name:
            assert trace.marker.line.color == INCONSISTENT_LINE["color"]
            assert trace.marker.line.width == 2.5
        else:
            assert trace.marker.line.color == colours(results.token_types)[trace.legendgroup]
            assert trace.marker.line.width == 0.75


def test_border_is_seen_on_every_colour():
    """A border of the colour of its marker, as on the notebook's red, is none."""
    border = INCONSISTENT_LINE["color"]
    for colour in {*KNOWN_COLOURS.values(), *OTHER_COLOURS}:
        apart = [int(colour[i : i + 2], 16) - int(border[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.linalg.norm(apart) > 100
    assert len({*KNOWN_COLOURS.values(), *OTHER_COLOURS}) == len(KNOWN_COLOURS) + len(OTHER_COLOURS)


def test_colours_of_known_names_are_fixed_and_others_follow_in_order():
    known = dict(KNOWN_COLOURS)
    assert set(known) == {"model", "newline", "asst", "endheader"}
    assert colours(["b", "asst", "a", "model"]) == {
        "b": OTHER_COLOURS[0],
        "asst": known["asst"],
        "a": OTHER_COLOURS[1],
        "model": known["model"],
    }
    many = [f"t{i}" for i in range(30)]
    assert len(set(colours([*many, *known]).values())) == 34
    assert list(colours(many).values())[:8] == list(OTHER_COLOURS)


@pytest.mark.parametrize(
    "filters",
    [Filters(token_types=("odd",)), Filters(exclusivity=("chat",)), Filters(ids=(2, 3)), Filters(ids=(99,))],
)
def test_filters_move_no_point_and_change_no_colour(results, filters):
    def places(fig):
        return {
            (trace.legendgroup, int(point[0])): (float(x), float(y), trace.marker.color, trace.name)
            for trace in markers(fig)
            for x, y, point in zip(trace.x, trace.y, trace.customdata, strict=True)
        }

    whole, some = draw(results), draw(results, table=lambda kept: filter_table(kept, filters, METRIC))
    assert places(some).items() <= places(whole).items()
    assert len(places(some)) == sum(len(trace.x) for trace in markers(some))
    assert some.layout.xaxis == whole.layout.xaxis
    assert some.layout.yaxis == whole.layout.yaxis
    assert some.layout.shapes == whole.layout.shapes


def test_colour_of_an_unknown_name_stays_when_another_is_filtered_out():
    results = make_results({name: {"base": BASE, "chat": CHAT} for name in ("first", "second")}, PROMPTS)
    filters = Filters(token_types=("second",))
    fig = draw(results, table=lambda kept: filter_table(kept, filters, METRIC))
    assert {trace.marker.color for trace in markers(fig)} == {see_through(OTHER_COLOURS[1], FILL)}


def test_custom_data(results):
    """
    Id, base, chat, difference; counts of base target, base control, chat target, chat control; effect and its q.

    Feature 2 changes from 4 of 8 to 6 of 9, +1/6; Newcombe's interval is −0.2623 to 0.5310, Fisher's p is 0.64.
    """
    table = feature_table(results)
    fig = draw(results)
    inconsistent = markers(fig)[2].customdata
    assert inconsistent.dtype == np.float32
    expected = [2, 4 / 8, 6 / 9, 6 / 9 - 4 / 8, 4, 0, 6, 3, 100 * (6 / 9 - 4 / 8)]
    np.testing.assert_allclose(inconsistent[:, :9], [expected], rtol=1e-6)
    kept = with_evidence(table, assess_exclusive(results), assess_changes(results))
    row = kept[(kept["token_type"] == "newline") & (kept["feature_id"] == 2)].iloc[0]
    ends = [100 * row["sparsity_change_low"], 100 * row["sparsity_change_high"]]
    evidence = [*ends, float(p_text(row["sparsity_change_q"]))]
    np.testing.assert_allclose(inconsistent[0, 9:], evidence, rtol=1e-6)
    assert sum(len(trace.customdata) for trace in markers(fig)) == len(table)


def test_hover_template(results):
    """The numbers of prompts are 8, 7, 9 and 40: each model's own."""
    fig = draw(results, texts=["zero", "one"])
    assert markers(fig)[2].hovertemplate.split("<br>") == hover_lines((8, 7, 9, 40), INCONSISTENT)
    assert "also active" not in markers(fig)[1].hovertemplate
    assert "for both models" in markers(fig)[0].hovertemplate
    assert list(markers(fig)[0].text) == ["zero", "No explanation"]
    assert list(markers(fig)[1].text) == ["one"]


@pytest.mark.parametrize(("points", "has_text"), [(EXPLAINED_POINTS, True), (EXPLAINED_POINTS + 1, False)])
def test_large_charts_leave_out_explanations(points, has_text):
    cells = np.arange(1, points + 1, dtype=np.float32)
    table = make_table(cells, cells, metric=METRIC, token_types=("model",))
    control = {f"{side}_control_num_active": 0 for side in ("base", "chat")}
    table = untested(table.assign(explanation=pd.Series(["x"] * points, dtype="str"), **control))
    sizes = {(side, prompts): 9 for side in ("base", "chat") for prompts in ("target", "control")}
    view = View(METRIC)
    fig = go.Figure(scatter(table, *lay_out(table, view), view, Origin("gemma", 20, "x", "", ("model",), sizes)))
    assert all((trace.text is not None) == has_text for trace in markers(fig))
    assert all(("%{text}" in trace.hovertemplate) == has_text for trace in markers(fig))


def shown_text(fig):
    """Every text of the figure that Plotly takes for markup, a template or TeX; but explanations are no templates."""
    layout = fig.layout
    texts = [layout.title.text, layout.title.subtitle.text, layout.xaxis.title.text, layout.yaxis.title.text]
    texts += [note.text for note in layout.annotations]
    for trace in fig.data:
        texts += [trace.name, trace.legendgrouptitle.text, trace.hovertemplate]
        texts += [text.replace("{", "(") for text in (() if trace.text is None else trace.text)]
    return [text for text in texts if text]


def test_what_strangers_wrote_is_shown_as_written():
    """
    No tag but our own, no placeholder but our own, no TeX.

    Two dollar signs in a label or an explanation were typeset where the page has MathJax, as Jupyter's has.
    """
    results = make_results({HOSTILE: {"base": BASE, "chat": CHAT}}, PROMPTS)
    labels = Labels(*(f"{name} {HOSTILE}" for name in ("B", "C", "T", "K")))
    fig = draw(results, labels=labels, texts=[HOSTILE] * 5)
    texts = shown_text(fig)
    assert sum("alert(1)" in text for text in texts) > 20
    for text in texts:
        ours = re.sub(r"%\{customdata\[\d+\]:[^{}]+\}|%\{text\}|</?b>|<br>|<extra></extra>", "", text)
        assert not re.search(r"[<>{$]", ours), ours
    assert html.unescape(markers(fig)[0].legendgrouptitle.text) == HOSTILE
    assert html.unescape(markers(fig)[0].name) == f"Both T {HOSTILE}"
    assert html.unescape(markers(fig)[0].text[0].replace("<br>", " ")) == HOSTILE
    assert html.unescape(fig.layout.title.text) == heading("exclusive", labels)
    assert markers(fig)[0].legendgroup == HOSTILE


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        (None, ["No explanation"]),
        ("  two \n\n lines\t", ["two lines"]),
        ("a" * 80, ["a" * 80]),
        ("a" * 80 + " b", ["a" * 80, "b"]),
        ("a" * 81, ["a" * 80, "a"]),
        ("a" * 200, ["a" * 80, "a" * 80, "a" * 40]),
        ("see " + "a" * 90 + " b", ["see", "a" * 80, "a" * 10 + " b"]),
        ("é" * 81, ["é" * 80, "é"]),
        ("ab " * 30, [" ".join(["ab"] * 26 + ["ab"]), "ab ab ab"]),
        ("<" * 81, ["&lt;" * 80, "&lt;"]),
        ("a & b", ["a &amp; b"]),
        ("\\1 \\n <br>", ["\\1 \\n &lt;br&gt;"]),
        ("   ", [""]),
    ],
)
def test_wrapping(text, lines):
    assert wrap(pd.Series([text], dtype="str")) == ["<br>".join(lines)]


@settings(deadline=None)
@given(st.text(st.sampled_from("ab \n&<$é"), max_size=400))
def test_wrapping_loses_nothing_and_keeps_the_width(text):
    lines = html.unescape(wrap(pd.Series([text], dtype="str"))[0]).split("<br>")
    assert all(len(line) <= HOVER_WIDTH for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    for line in lines[:-1]:
        assert line == line.strip()
        assert line


@pytest.mark.parametrize("spread_points", [True, False])
@pytest.mark.parametrize("choice", ["linear", "sqrt"])
def test_no_change_line_goes_from_min_to_max(results, choice, spread_points):
    line = draw(results, choice=choice, spread_points=spread_points).data[-1]
    assert line.name == "No change"
    assert (line.mode, line.line.dash, line.line.color) == ("lines", "dash", "gray")
    np.testing.assert_array_equal(line.x, [0, 1])
    np.testing.assert_array_equal(line.y, [0, 1])
    assert line.customdata is None


def test_axes_are_alike(results):
    for spread_points in (True, False):
        layout = draw(results, spread_points=spread_points).layout
        assert layout.xaxis.range == layout.yaxis.range
        assert (layout.xaxis.scaleanchor, layout.xaxis.scaleratio) == ("y", 1)
        assert layout.xaxis.title.text == "Ancestor: Activation frequency"
        assert layout.yaxis.title.text == "Tuned: Activation frequency"
        assert layout.title.text == "Active on Introspective only"
        below = "gemma · SAE 131k-l0-114 · layer 20 · personal_40"
        assert layout.title.subtitle.text == f"Activation frequency, Ancestor → Tuned · {below}"
        assert layout.legend.title.text == "Activation position"
        assert layout.legend.groupclick == "togglegroup"
    assert draw(results, titled=False).layout.title.text is None


def test_exact_places_and_range(results):
    """Without spread: the values, 5 % of room beyond 0 and 1, no gutter, Plotly's own ticks."""
    fig = draw(results, spread_points=False)
    for trace in markers(fig):
        np.testing.assert_array_equal(trace.x, trace.customdata[:, 1])
        np.testing.assert_array_equal(trace.y, trace.customdata[:, 2])
    assert fig.layout.xaxis.range == pytest.approx((-0.05, 1.05))
    assert fig.layout.xaxis.tickvals is None
    assert (fig.layout.shapes, fig.layout.annotations) == ((), ())


def test_gutters_and_ticks(results):
    """The gutter lies between −0.015 and −0.255 of the span, and the axes begin 0.015 beyond."""
    layout = draw(results).layout
    assert layout.xaxis.range == pytest.approx((-0.27, 1.05))
    assert layout.xaxis.tickvals == layout.yaxis.tickvals == (0, 0.25, 0.5, 0.75, 1)
    assert layout.xaxis.ticktext == ("0", "0.25", "0.5", "0.75", "1")
    boxes = [(box.x0, box.x1, box.y0, box.y1) for box in layout.shapes]
    np.testing.assert_allclose(boxes, [(-0.255, -0.015, -0.015, 1.05), (-0.015, 1.05, -0.255, -0.015)])
    assert [note.text for note in layout.annotations] == [
        "silent on Ancestor’s Introspective prompts ↓",
        "silent on Tuned’s Introspective prompts",
    ]


def test_features_silent_in_both_have_a_corner(results):
    layout = draw(results, metric="control_sparsity").layout
    assert [note.text for note in layout.annotations][-1] == "silent on both"
    assert layout.xaxis.title.text == "Ancestor: Activation frequency on Other prompts"


def test_ticks_of_a_square_root_axis_are_values(results):
    axis = draw(results, choice="sqrt", spread_points=False).layout.xaxis
    np.testing.assert_allclose(axis.tickvals, np.sqrt([float(text) for text in axis.ticktext]))


@pytest.mark.parametrize("spread_points", [True, False])
def test_no_feature_at_all(spread_points):
    never = {"target": [0, 1], "control": [1, 0]}
    results = make_results({"model": {"base": never, "chat": {"target": [0, 2], "control": [0, 1]}}}, PROMPTS)
    fig = draw(results, spread_points=spread_points, table=lambda kept: kept[:0])
    assert [trace.name for trace in fig.data] == ["No change"]
    nothing = make_results({"model": {"base": never, "chat": never}}, {"base": (9, 9), "chat": (9, 8)})
    nothing.base.vectors["model"]["control_num_active"][:] = 1
    nothing.chat.vectors["model"]["control_num_active"][:] = 1
    fig = draw(nothing, spread_points=spread_points)
    assert [trace.name for trace in fig.data] == ["No change"]
    assert fig.layout.xaxis.range == pytest.approx((-0.05, 1.05))


def test_caption_without_a_prompt_set(results):
    assert Origin.of(results).caption == "gemma · SAE 131k-l0-114 · layer 20"
    assert Origin.of(results).num_prompts == {
        ("base", "target"): 8,
        ("base", "control"): 7,
        ("chat", "target"): 9,
        ("chat", "control"): 40,
    }


def test_golden_figure(results):
    """Every number that a reader meets; a swapped column, label or number of prompts changes the file."""
    fig = draw(results, texts=["zero", "one, with a comma", "two <b>", None, "four"], spread_points=False)
    lines = []
    for trace in markers(fig):
        lines += ["", f"{trace.legendgroup} | {trace.name} | {trace.marker.symbol}"]
        for x, y, numbers, text in zip(trace.x, trace.y, trace.customdata, trace.text, strict=True):
            lines.append(" ".join(f"{number:.4g}" for number in (x, y, *numbers)) + f" {text}")
    lines += ["", *(trace.hovertemplate for trace in markers(fig)[2::2])]
    check_golden("figure.txt", "\n".join(lines) + "\n")


def test_mark_dims_all_points_but_the_given_ones_of_their_own_position(results):
    kept = with_evidence(feature_table(results), assess_exclusive(results), assess_changes(results))
    view = View(METRIC)
    drawing = scatter(kept, *lay_out(kept, view), view, Origin.of(results))
    first = drawing["data"][0]
    feature_id = int(first["customdata"][0, 0])
    mark(drawing, [(first["legendgroup"], feature_id), ("nowhere", feature_id)])
    first, *others = markers(go.Figure(drawing))
    assert list(first.selectedpoints) == [0]
    assert all(len(trace.selectedpoints) == 0 for trace in others)


@pytest.mark.parametrize("spread_points", [True, False])
def test_figure_is_valid(results, spread_points):
    """It is sent without Plotly's checks, which change nothing in it, and as Plotly would send it."""
    kept = with_evidence(
        feature_table(results, None, explained_by("zero", "one")), assess_exclusive(results), assess_changes(results)
    )
    for chart in get_args(Kind):
        view = View(METRIC, chart=chart, spread=spread_points)
        drawing = make_chart(kept, view, Origin.of(results)).draw(kept, view)
        assert json.loads(go.Figure(drawing).to_json()) == json.loads(to_json(drawing))


def test_look_is_plotlys_white_one():
    """What is left out is of charts that we do not draw."""
    white = pio.templates["plotly_white"].layout.to_plotly_json()
    assert {name: white[name] for name in LOOK} == LOOK
    unused = {"colorway", "coloraxis", "colorscale", "geo", "polar", "scene", "ternary"}
    assert set(white) - set(LOOK) == unused


def test_ids_that_float32_cannot_hold_are_exact():
    """Above 2^24 the hover text named another feature, and a click opened it."""
    table = make_table(np.arange(1.0, 4), np.arange(2.0, 5))
    table = table.assign(**{f"{v}_{p}_num_active": 1 for v in ("base", "chat") for p in ("target", "control")})
    table["feature_id"] = np.array([2**24, 2**24 + 1, 2**31 - 2], dtype=np.int32)
    data = custom_data(untested(table), (np.ones(3),) * 3, "all_mean_change")
    assert data[:, 0].tolist() == [2**24, 2**24 + 1, 2**31 - 2]
    data = custom_data(untested(table[:1]), (np.ones(1),) * 3, "all_mean_change")
    assert (data.dtype, data[0, 0]) == (np.float32, 2**24)
