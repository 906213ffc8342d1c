"""The comparison's charts, its page, and the command that writes it."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import make_source, model_data
from typer.testing import CliRunner

from featurediff import cli
from featurediff.compare.by_sae import group_by_sae
from featurediff.compare.counts import counts, parts_of, side_by_side
from featurediff.compare.figures import KEPT_OPACITY, MOST_TICKS, count_bars, layer_lines, whole_ticks
from featurediff.compare.heat_map import overlap_map
from featurediff.compare.naming import layer_series, short_names, shorten
from featurediff.compare.overlap import Overlap, overlap
from featurediff.compare.page import comparison_page
from featurediff.compare.reading import read
from featurediff.errors import DataError
from featurediff.features.evidence import CAVEAT, NOT_CORRECTED
from featurediff.features.thresholds import Thresholds
from featurediff.labels import Labels
from featurediff.sources.demo import make_demos
from featurediff.sources.tree import find_sources

LABELS = Labels("Pre", "Post", "Introspective", "Plain")
HOSTILE = "<img src=x onerror=alert(1)> {x} $y$"
ESCAPED = "&lt;img src=x onerror=alert(1)&gt; &#123;x} &#36;y&#36;"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three demo layers, the middle one with three prompt sets."""
    folder = tmp_path_factory.mktemp("tree")
    for made in make_demos(3, 600, 10):
        made.write(folder)
    return folder


@pytest.fixture(scope="module")
def sources(tree):
    return [read(source) for source in find_sources(tree)]


def names_of(sources):
    return dict(zip((source.name for source in sources), short_names(sources), strict=True))


def panels(fig):
    """Titles of the panels, in their order."""
    return [note.text for note in fig.layout.annotations]


def of(sources, question="exclusive", max_q=0.05):
    return counts(sources, max_q, questions=[question])


def part_of(trace, question):
    """The part of the panel that a trace is in."""
    return parts_of(question)[int((trace.xaxis or "x")[1:] or 1) - 1]


def value_of(trace, question):
    """Position and count of a trace, by its name."""
    return trace.name.split(", ") if question in ("exclusive", "any") else (trace.name, "kept")


WORDS = {"kept": "kept", "with evidence": "significant"}

# ----------------------------------------------------------------------------
# Bars.


@pytest.mark.parametrize(
    ("question", "titles", "each"),
    [
        ("exclusive", ["Both Introspective", "Pre Introspective", "Post Introspective"], 2),
        ("changed", ["More in Post", "Less in Post"], 1),
        ("specific", ["More in Post", "Less in Post"], 1),
        ("any", ["More in Post", "Less in Post"], 2),
    ],
)
def test_bars_count_what_each_source_keeps(sources, question, titles, each):
    tidy = of(sources, question)
    fig = count_bars(tidy, names_of(sources), LABELS)
    assert panels(fig) == titles
    assert len(fig.data) == 2 * len(titles) * each
    rows_on_screen = side_by_side(counts(sources))[["source", "token_type"]].to_numpy().tolist()
    for trace in fig.data:
        token_type, value = value_of(trace, question)
        rows = tidy[(tidy["token_type"] == token_type) & (tidy["part"] == part_of(trace, question))]
        assert list(trace.x) == rows[WORDS[value]].tolist()
        assert list(trace.y) == list(range(5))
        clicked = [rows_on_screen[row] for (row,) in trace.customdata.tolist()]
        assert clicked == rows[["source", "token_type"]].to_numpy().tolist()
    assert list(fig.layout.yaxis.ticktext) == [
        "layer 8 · synthetic_40",
        "layer 12 · distant_40",
        "layer 12 · related_40",
        "layer 12 · synthetic_40",
        "layer 16 · synthetic_40",
    ]


def test_kept_is_pale_and_evidence_solid_in_the_colour_of_the_position(sources):
    fig = count_bars(of(sources), names_of(sources))
    colours = {trace.name: trace.marker.color for trace in fig.data}
    assert colours == {
        "model, kept": f"rgba(201, 120, 0, {KEPT_OPACITY})",
        "model, with evidence": "#c97800",
        "newline, kept": f"rgba(31, 131, 201, {KEPT_OPACITY})",
        "newline, with evidence": "#1f83c9",
    }
    assert [trace.name for trace in fig.data if trace.showlegend] == list(colours)
    for kept, significant in zip(fig.data[::2], fig.data[1::2], strict=True):
        assert (kept.offsetgroup, kept.xaxis) == (significant.offsetgroup, significant.xaxis), "one lies on the other"


def test_what_a_test_keeps_is_solid(sources):
    fig = count_bars(of(sources, "changed"), names_of(sources))
    assert {trace.name: trace.marker.color for trace in fig.data} == {"model": "#c97800", "newline": "#1f83c9"}


def made(rows, question="exclusive"):
    """Counts of (source, token_type, part, kept, significant, tested)."""
    columns = ["source", "token_type", "part", "kept", "significant", "tested"]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[3:], "Int64"))
    return frame.assign(question=question, n_target="40", n_control="12/10")


def test_features_that_go_neither_way_have_a_panel_where_there_are_any():
    rows = [("a", "x", part, number, number, 9) for part, number in (("increase", 1), ("decrease", 2), ("none", 0))]
    assert panels(count_bars(made(rows, "any"), {"a": "a"})) == ["More in Instruct", "Less in Instruct"]
    rows[2] = ("a", "x", "none", 3, 0, 9)
    assert panels(count_bars(made(rows, "any"), {"a": "a"}))[2] == "Neither more nor less"


def test_more_positions_than_the_palette_has_get_pale_colours_too():
    rows = [("s", f"at {i}", part, 2, 1, 2) for i in range(12) for part in ("both", "base", "chat")]
    pale = {trace.marker.color for trace in count_bars(made(rows), {"s": "s"}).data if trace.name.endswith("kept")}
    assert len(pale) == 12
    assert all(colour.endswith(f", {KEPT_OPACITY})") for colour in pale)


@pytest.mark.parametrize(("times", "is_numbered"), [(1, True), (8, False)])
def test_bars_have_numbers_where_they_fit(sources, times, is_numbered):
    many = [replace(source, name=f"{source.name}{i}") for source in sources for i in range(times)]
    fig = count_bars(of(many), {source.name: source.name for source in many})
    assert {bool(trace.text) for trace in fig.data if trace.name.endswith("kept")} == {is_numbered}
    assert fig.layout.height == 110 + len(many) * 38


def test_what_bars_say_at_their_ends_and_under_the_mouse():
    """The share is of what the rule keeps, or of what was tested; what is not known is no bar."""
    rows = [("a", "x", "chat", 200, 3, 400), ("b", "x", "chat", 0, 0, 9), ("c", "x", "chat", 7, None, None)]
    trace = next(t for t in count_bars(made(rows), {n: n for n in "abc"}, LABELS, hint="!").data if t.text)
    assert list(trace.text) == ["3 of 200 · 2 %", "0 of 0", "7"]
    beginning, end = "Post Introspective at x<br>", "<br>40 Introspective and 12/10 Plain prompts!<extra></extra>"
    assert list(trace.hovertemplate) == [
        f"<b>a</b><br>{beginning}200 kept, 3 with evidence (2 %){end}",
        f"<b>b</b><br>{beginning}0 kept, 0 with evidence{end}",
        f"<b>c</b><br>{beginning}7 kept{end}",
    ]
    rows = [("a", "x", "increase", 3, 3, 600), ("b", "x", "increase", None, None, None)]
    (trace,) = count_bars(made(rows, "changed"), {n: n for n in "ab"}, LABELS).data
    assert list(trace.text) == ["3 · 0.5 %", "–"]
    assert list(trace.x) == [3, None]
    beginning, end = "More in Post at x<br>", "<br>40 Introspective and 12/10 Plain prompts<extra></extra>"
    assert list(trace.hovertemplate) == [
        f"<b>a</b><br>{beginning}3 with evidence, 0.5 % of 600 tested{end}",
        f"<b>b</b><br>{beginning}not tested{end}",
    ]


@pytest.mark.parametrize(
    ("longest", "step"), [(1, 1), (4, 1), (5, 1), (6, 2), (10, 2), (11, 5), (26, 10), (101, 50), (5_000_000, 1_000_000)]
)
def test_ticks_are_whole_numbers(longest, step):
    """An axis to 1 had ticks at 0, 0.5 and 1 that read 0, 1 and 1."""
    assert whole_ticks(longest) == {"tick0": 0, "dtick": step, "tickformat": ",d"}
    assert longest / step <= MOST_TICKS


def test_axes_of_counts_have_whole_ticks():
    one = made([("a", "x", part, 1, 0, 1) for part in ("both", "base", "chat")])
    fig = count_bars(one, {"a": "a"})
    assert {fig.layout[name].dtick for name in ("xaxis", "xaxis2", "xaxis3")} == {1}
    lines = layer_lines(one.assign(series="s", layer=3))
    assert {lines.layout[name].dtick for name in ("yaxis", "yaxis2", "yaxis3")} == {1}


def test_names_of_others_stay_text_in_every_chart(sources):
    words = Labels(target=HOSTILE)
    hostile = []
    for i, source in enumerate(sources):
        active = source.active.assign(token_type=source.active["token_type"].cat.rename_categories({"model": HOSTILE}))
        renamed = {"name": f"{i}{HOSTILE}", "model": HOSTILE, "prompt_set": "p", "layer": i}
        marks = dict.fromkeys(source.marks, frozenset({HOSTILE}))
        hostile.append(replace(source, active=active, token_types=(HOSTILE, "newline"), marks=marks, **renamed))
    group = group_by_sae(hostile).shared[0]
    figures = [overlap_map(overlap(group), [source.name for source in group], words)]
    for question in ("exclusive", "changed"):
        tidy = of(hostile, question)
        names = {source.name: source.name for source in hostile}
        figures += [count_bars(tidy, names, words), layer_lines(layer_series(tidy), words)]
    for fig in figures:
        shown = json.dumps(fig.to_dict(), default=lambda cells: cells.tolist())
        assert ESCAPED in shown
        assert "<img" not in shown
        assert "$y$" not in shown
        assert " {x}" not in shown
    page = comparison_page(hostile, [], Thresholds())
    assert "<img src=x" not in page


# ----------------------------------------------------------------------------
# Lines.


@pytest.mark.parametrize("question", ["exclusive", "changed"])
def test_lines_run_over_the_layers_of_a_model(sources, question):
    series = layer_series(of(sources, question))
    fig = layer_lines(series, LABELS)
    is_published = question == "exclusive"
    assert len(fig.data) == 2 * (3 * 2 if is_published else 2)
    for trace in fig.data:
        token_type, value = value_of(trace, question)
        rows = series[(series["token_type"] == token_type) & (series["part"] == part_of(trace, question))]
        assert list(trace.x) == [8, 12, 16]
        assert list(trace.y) == rows[WORDS[value]].tolist()
        assert trace.mode == "lines+markers"
        assert trace.hovertemplate[0].startswith(f"<b>{rows['source'].iloc[0]}</b><br>")
    assert list(fig.layout.xaxis.tickvals) == [8, 12, 16]
    legend = [trace.name for trace in fig.data if trace.showlegend]
    published = ["model, kept", "model, with evidence", "newline, kept", "newline, with evidence"]
    assert legend == (published if is_published else ["model", "newline"])


def test_several_series_have_a_row_of_panels_each_named_by_what_differs(sources):
    both = [replace(source, prompt_set=p, name=f"{source.name}{p}") for source in sources[:1] for p in ("one", "two")]
    both += [replace(source, layer=99, name=f"{source.name}99") for source in both]
    fig = layer_lines(layer_series(of(both)))
    assert panels(fig)[-2:] == ["one", "two"]
    assert len({trace.yaxis for trace in fig.data}) == 6
    assert sum(trace.showlegend for trace in fig.data) == 4


# ----------------------------------------------------------------------------
# Heat maps.


def drawn(jaccard, shared, expected=None, same=(), **options):
    n = len(shared)
    prompts = tuple(tuple(("target", "control") if {i, j} in same else () for j in range(n)) for i in range(n))
    chance = np.full((n, n), np.nan) if expected is None else np.array(expected)
    found = Overlap((None,) * n, np.array(shared), np.array(jaccard), chance, prompts)
    return overlap_map(found, [f"s{i}" for i in range(n)], **options)


def test_heat_map_has_a_cell_and_a_point_to_click_for_every_pair():
    jaccard = [[1, 0.25, np.nan], [0.25, 1, 0.9], [np.nan, 0.9, 1]]
    expected = [[np.nan, 0.04, 0], [0.04, np.nan, 12.4], [0, 12.4, np.nan]]
    fig = drawn(jaccard, [[4, 1, 0], [1, 1_200, 9], [0, 9, 0]], expected, same=[{0, 1}])
    heat, *points = fig.data
    assert np.isnan(np.diag(heat.z)).all()
    assert heat.z[0, 1] == heat.z[1, 0] == 0.25
    assert (heat.zmin, heat.zmax) == (0, 1)
    found = {
        tuple(cell): (trace.x[i], trace.y[i], trace.text[i], trace.textfont.color)
        for trace in points
        for i, cell in enumerate(trace.customdata)
    }
    assert len(found) == 9
    assert all((x, y) == (column, row) for (row, column), (x, y, *_) in found.items())
    texts = {cell: text for cell, (_, _, text, _) in found.items()}
    assert texts[0, 0] == "4"
    assert texts[1, 1] == "1,200"
    assert texts[0, 1] == texts[1, 0] == "<b>1*</b><br>0.25<br><i>chance 0.0</i>"
    assert texts[2, 1] == "<b>9</b><br>0.90<br><i>chance 12</i>"
    assert texts[0, 2] == "0"
    inks = {cell: ink for cell, (*_, ink) in found.items()}
    assert inks[1, 2] == "#ffffff"
    assert inks[0, 1] == "#10263b"
    assert inks[0, 0] is None
    assert list(fig.layout.yaxis.range) == [2.5, -0.5], "the first source is on top"


def test_what_a_cell_says_under_the_mouse():
    chance = [[np.nan, 3.14], [3.14, np.nan]]
    fig = drawn([[1, 0.25], [0.25, 1]], [[4, 1], [1, 1]], chance, [{0, 1}], labels=LABELS, hint="<br>Click.")
    said = {tuple(cell): trace.hovertext[i] for trace in fig.data[1:] for i, cell in enumerate(trace.customdata)}
    assert said[0, 1] == (
        "<b>1 shared feature</b>: Jaccard 0.250<br>3.1 would be shared by chance<br>s0: 4<br>s1: 1<br>"
        "* the same Introspective and Plain prompts, so they share noise<br>Click."
    )
    assert said[1, 1] == "<b>s1</b><br>1 feature<br>Click."
    none = drawn([[np.nan] * 2] * 2, [[0, 0]] * 2)
    said = {tuple(cell): trace.hovertext[i] for trace in none.data[1:] for i, cell in enumerate(trace.customdata)}
    assert said[0, 1] == "<b>0 shared features</b>: neither has any<br>s0: 0<br>s1: 0"


def test_the_picked_cell_has_a_frame():
    assert not drawn([[1, 0.5], [0.5, 1]], [[4, 2], [2, 2]]).layout.shapes
    (frame,) = drawn([[1, 0.5], [0.5, 1]], [[4, 2], [2, 2]], picked=(1, 0)).layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (-0.48, 0.48, 0.52, 1.48)


def test_forty_sources_fit_without_numbers():
    fig = drawn(np.full((40, 40), 0.5), np.ones((40, 40), dtype=int))
    assert {trace.mode for trace in fig.data[1:]} == {"markers"}
    assert fig.data[0].showscale
    assert fig.layout.height < 1_200
    assert sum(len(trace.x) for trace in fig.data[1:]) == 1_600


@pytest.mark.parametrize(
    ("name", "longest", "expected"), [("abc", 3, "abc"), ("abcdefgh", 5, "ab…gh"), ("abcdefgh", 4, "a…h"), ("", 5, "")]
)
def test_long_names_lose_their_middle(name, longest, expected):
    assert shorten(name, longest) == expected


# ----------------------------------------------------------------------------
# The page and the command.


def run(*words):
    result = CliRunner().invoke(cli.app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def run_main(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["featurediff", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code, *capsys.readouterr()


def test_the_command_writes_counts_and_a_page(tree, sources, tmp_path):
    csv, page, pairs = (tmp_path / "out" / name for name in ("counts.csv", "page.html", "pairs.csv"))
    outputs = ("--csv", csv, "--html", page, "--overlap-csv", pairs)
    stdout, _ = run("compare", tree, *outputs, "--workers", 1, "--max-q", 0.2)
    tidy = counts(sources, 0.2)
    pd.testing.assert_frame_equal(pd.read_csv(csv, dtype={"n_target": str, "n_control": str}), tidy, check_dtype=False)
    lines = stdout.splitlines()
    assert lines[0].split() == [
        "source",
        "position",
        "prompts",
        "groups",
        "fit",
        "exclusive",
        "changed",
        "specific",
        "any",
    ]
    first = side_by_side(tidy).iloc[0]
    ways = [
        f"{first[f'{q}_kept']}: {first[f'{q}_increase']} ↑ {first[f'{q}_decrease']} ↓" for q in ("changed", "specific")
    ]
    rule = f"{first['exclusive_kept']} → {first['exclusive_significant']}"
    fit = f"L0 {first['l0_base']:.0f} / {first['l0_chat']:.0f}"
    cells = [sources[0].name, "model", "10 + 7", "–", fit, rule, *ways, str(first["any_kept"])]
    assert re.split(r" {2,}", lines[1].strip()) == cells
    assert lines[11] == (
        "exclusive: features that are active on at least 1 of a model’s Target prompts and on at most 0 of its Control "
        "prompts; kept → with evidence, that is q at most 0.2."
    )
    assert f"{CAVEAT} {NOT_CORRECTED}" in lines
    unpaired = "not every source has tests of base and chat on the same prompts (activations.parquet)"
    assert f"Features that the published rule keeps at any position, as {unpaired}." in lines
    named = "demo_trainer16k_layer12"
    listed = pd.read_csv(pairs)
    assert listed[["first", "second"]].to_numpy().tolist() == [
        [f"{named}/distant_40", f"{named}/related_40"],
        [f"{named}/distant_40", f"{named}/synthetic_40"],
        [f"{named}/related_40", f"{named}/synthetic_40"],
    ]
    row = listed.iloc[-1]
    numbers = [f"{row['first_kept']} and {row['second_kept']}", f"{row['shared']}", f"{row['expected']:.1f}"]
    last = [row["first"], row["second"], *numbers, f"{row['jaccard']:.2f}", "–"]
    assert re.split(r" {2,}", lines[-1].strip()) == last
    text = page.read_text("utf-8")
    assert text.count("Plotly.newPlot(") == 3
    assert len(re.findall(r"plotly\.js v\d", text)) == 1, "plotly.js is inside once"
    assert "<h1>Active on Target only: 5 sources compared</h1>" in text
    assert "<b>Synthetic demo data.</b>" in text
    assert "<h2>Over the layers</h2>\n<p>demo · SAE 16k · synthetic_40</p>" in text
    assert "<h2>Shared features: demo · SAE 16k · layer 12</h2>" in text
    assert "q at most 0.2" in text
    assert all(digest in text for source in sources for digest in source.files.values())
    assert "active on at least 1 of a model’s Target prompts and on at most 0 of its Control prompts" in text
    assert f"<td>{first['changed_kept']}</td>" in text


def test_one_question_is_counted_by_its_parts(tree, sources, tmp_path):
    csv, page = tmp_path / "counts.csv", tmp_path / "page.html"
    stdout, _ = run(
        "compare", tree, "--question", "changed", "--metric", "target_sparsity", "--csv", csv, "--html", page
    )
    tidy = counts(sources, metric="target_sparsity", questions=["changed"])
    assert set(pd.read_csv(csv)["question"]) == {"changed"}
    lines = stdout.splitlines()
    assert lines[0].split() == ["source", "position", "prompts", "groups", "fit", "increase", "decrease", "all"]
    kept = tidy["kept"].tolist()[:3]
    assert re.split(r" {2,}", lines[1].strip())[-3:] == [str(kept[0]), str(kept[1]), str(sum(kept))]
    assert lines[11] == (
        "changed: features whose activation frequency changed from Base to Instruct on Target prompts (q at most 0.05)."
    )
    assert "Features that changed on Target at any position (q at most 0.05)." in lines
    text = page.read_text("utf-8")
    assert "<h1>What changed from Base to Instruct on Target: 5 sources compared</h1>" in text
    assert "The second map is of the features that the published rule keeps." in text


def test_the_published_rule_is_counted_by_its_parts(tree, sources):
    stdout, _ = run("compare", tree, "--question", "exclusive")
    lines = stdout.splitlines()
    assert lines[0].split() == ["source", "position", "prompts", "groups", "fit", "both", "base", "chat", "all"]
    first = of(sources).iloc[:3]
    cells = [f"{row.kept} → {row.significant}" for row in first.itertuples()]
    everything = f"{first['kept'].sum()} → {first['significant'].sum()}"
    assert re.split(r" {2,}", lines[1].strip())[-4:] == [*cells, everything]


def test_a_broken_source_is_said_and_the_others_are_written(tmp_path, monkeypatch, capsys):
    copy = tmp_path / "tree"
    copy.mkdir()
    for made in make_demos(1, 600, 10):
        made.write(copy)
    broken = copy / "results" / "demo_trainer16k_layer12" / "[red]broken[/red]"
    make_source(broken, base=model_data("chat"), chat=model_data("base"))
    csv, page = tmp_path / "counts.csv", tmp_path / "page.html"
    code, out, err = run_main(monkeypatch, capsys, "compare", copy, "--csv", csv, "--html", page, "--workers", 1)
    why = "`base.pt` says model_ver 'chat', `chat.pt` says 'base'. Expected 'base' and then 'chat'."
    assert code == 2
    assert f"demo_trainer16k_layer12/[red]broken[/red]: {why} Were the two files swapped?" in err
    assert err.splitlines()[-1] == "1 of the sources could not be read; the others are compared."
    assert "demo_trainer16k_layer12/synthetic_40" in out
    assert pd.read_csv(csv)["source"].unique().tolist() == ["demo_trainer16k_layer12/synthetic_40"]
    assert "<b>demo_trainer16k_layer12/[red]broken[/red] could not be read:</b> `base.pt` says" in page.read_text(
        "utf-8"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"counts.csv", "page.html", "tree"}


def test_without_a_source_that_can_be_read_nothing_is_written(tmp_path):
    make_source(tmp_path / "tree" / "a", base=model_data("chat"), chat=model_data("base"))
    result = CliRunner().invoke(cli.app, ["compare", str(tmp_path / "tree"), "--csv", str(tmp_path / "c.csv")])
    assert str(result.exception) == "None of the sources could be read."
    assert not (tmp_path / "c.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--csv", "x", "--html", "x"], "--csv and --html name the same file. Give each its own."),
        (
            ["--min-target", "none"],
            "A threshold is a count such as 3, or a share such as 7.5% or 0.075, but 'none' was given.",
        ),
        (
            ["--min-target", "0"],
            "The least number of target prompts must be above 0, but is 0: at 0, features that never fire would count "
            "as exclusive.",
        ),
    ],
)
def test_options_that_mean_nothing_are_said_before_anything_is_read(tree, words, message):
    result = CliRunner().invoke(cli.app, ["compare", str(tree), *words])
    assert isinstance(result.exception, DataError)
    assert str(result.exception) == message


@pytest.mark.parametrize("words", [["--max-q", "2"], ["--max-q", "-0.1"], ["--workers", "0"]])
def test_numbers_out_of_range_are_misuse(tree, words):
    result = CliRunner().invoke(cli.app, ["compare", str(tree), *words])
    assert result.exit_code == 2
    assert "Invalid value" in result.stderr


def test_thresholds_of_the_command_are_those_of_the_library(tree, tmp_path):
    csv = tmp_path / "c.csv"
    run("compare", tree, "--csv", csv, "--min-target", "3", "--max-control", "50%", "--workers", 1)
    assert pd.read_csv(csv)["kept"].sum() != counts([read(source) for source in find_sources(tree)])["kept"].sum()


def test_the_demo_command_writes_layers_to_compare(tmp_path):
    stdout, _ = run("demo", tmp_path, "--layers", 3, "--features", 600, "--prompts", 10)
    tree = tmp_path / "results"
    names = ["layer8/synthetic_40", "layer12/synthetic_40", "layer12/related_40", "layer12/distant_40"]
    folders = [str(tree / f"demo_trainer16k_{name}") for name in (*names, "layer16/synthetic_40")]
    assert stdout.split() == folders
    assert [str(source.folder) for source in find_sources(tree)] == sorted(
        folders, key=lambda f: ("layer8" not in f, f)
    )
