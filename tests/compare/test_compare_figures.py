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
from featurediff.compare.counts import counts, layer_series, short_names
from featurediff.compare.figures import KEPT_OPACITY, count_bars, layer_lines, overlap_map, shorten
from featurediff.compare.overlap import Overlap, group_by_sae, overlap
from featurediff.compare.page import comparison_page
from featurediff.compare.summary import read
from featurediff.errors import DataError
from featurediff.features.evidence import CAVEAT
from featurediff.features.table import Thresholds
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


# ----------------------------------------------------------------------------
# Bars.


def test_bars_count_kept_and_significant_features_of_every_source(sources):
    tidy = counts(sources, 0.05)
    fig = count_bars(tidy, names_of(sources), LABELS)
    assert panels(fig) == ["Both Introspective", "Pre Introspective", "Post Introspective"]
    assert len(fig.data) == 2 * 3 * 2
    for trace in fig.data:
        token_type, value = trace.name.split(", ")
        exclusivity = ("both", "base", "chat")[int((trace.xaxis or "x")[1:] or 1) - 1]
        rows = tidy[(tidy["token_type"] == token_type) & (tidy["exclusivity"] == exclusivity)]
        assert list(trace.x) == rows[value].tolist()
        assert list(trace.y) == list(range(5))
    assert list(fig.layout.yaxis.ticktext) == [
        "layer 8 · synthetic_40",
        "layer 12 · distant_40",
        "layer 12 · related_40",
        "layer 12 · synthetic_40",
        "layer 16 · synthetic_40",
    ]


def test_kept_is_pale_and_significant_solid_in_the_colour_of_the_position(sources):
    fig = count_bars(counts(sources), names_of(sources))
    colours = {trace.name: trace.marker.color for trace in fig.data}
    assert colours == {
        "model, kept": f"rgba(230, 159, 0, {KEPT_OPACITY})",
        "model, significant": "#e69f00",
        "newline, kept": f"rgba(31, 131, 201, {KEPT_OPACITY})",
        "newline, significant": "#1f83c9",
    }
    assert [trace.name for trace in fig.data if trace.showlegend] == list(colours)
    for kept, significant in zip(fig.data[::2], fig.data[1::2], strict=True):
        assert (kept.offsetgroup, kept.xaxis) == (significant.offsetgroup, significant.xaxis), "one lies on the other"


def test_more_positions_than_the_palette_has_get_pale_colours_too():
    rows = [("s", f"at {i}", exclusivity, 2, 1) for i in range(12) for exclusivity in ("both", "base", "chat")]
    tidy = pd.DataFrame(rows, columns=["source", "token_type", "exclusivity", "kept", "significant"])
    pale = {trace.marker.color for trace in count_bars(tidy, {"s": "s"}).data if trace.name.endswith("kept")}
    assert len(pale) == 12
    assert all(colour.endswith(f", {KEPT_OPACITY})") for colour in pale)


@pytest.mark.parametrize(("times", "is_numbered"), [(1, True), (8, False)])
def test_bars_have_numbers_where_they_fit(sources, times, is_numbered):
    many = [replace(source, name=f"{source.name}{i}") for source in sources for i in range(times)]
    fig = count_bars(counts(many), {source.name: source.name for source in many})
    assert {bool(trace.texttemplate) for trace in fig.data if trace.name.endswith("kept")} == {is_numbered}
    assert fig.layout.height == 110 + len(many) * 38


def test_what_bars_say_under_the_mouse(sources):
    tidy = counts(sources, 0.05)
    fig = count_bars(tidy, names_of(sources), LABELS)
    first = tidy.iloc[2]
    trace = next(trace for trace in fig.data if trace.xaxis == "x3" and trace.name == "model, kept")
    assert trace.hovertemplate[0] == (
        "<b>layer 8 · synthetic_40</b><br>Post Introspective at model<br>"
        f"{first['kept']} kept, {first['significant']} significant<extra></extra>"
    )


def test_names_of_others_stay_text_in_every_chart(sources):
    words = Labels(target=HOSTILE)
    hostile = []
    for i, source in enumerate(sources):
        kept = source.kept.assign(token_type=source.kept["token_type"].cat.rename_categories({"model": HOSTILE}))
        renamed = {"name": f"{i}{HOSTILE}", "model": HOSTILE, "prompt_set": "p", "layer": i}
        hostile.append(replace(source, kept=kept, token_types=(HOSTILE, "newline"), **renamed))
    tidy = counts(hostile)
    group = group_by_sae(hostile).shared[0]
    figures = [
        count_bars(tidy, {source.name: source.name for source in hostile}, words),
        layer_lines(layer_series(tidy), words),
        overlap_map(overlap(group), [source.name for source in group]),
    ]
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


def test_lines_run_over_the_layers_of_a_model(sources):
    tidy = counts(sources, 0.05)
    series = layer_series(tidy)
    fig = layer_lines(series, LABELS)
    assert panels(fig) == ["Both Introspective", "Pre Introspective", "Post Introspective"]
    assert len(fig.data) == 2 * 3 * 2
    for trace in fig.data:
        token_type, value = trace.name.split(", ")
        exclusivity = ("both", "base", "chat")[int((trace.xaxis or "x")[1:] or 1) - 1]
        rows = series[(series["token_type"] == token_type) & (series["exclusivity"] == exclusivity)]
        assert list(trace.x) == [8, 12, 16]
        assert list(trace.y) == rows[value].tolist()
        assert trace.mode == "lines+markers"
    assert list(fig.layout.xaxis.tickvals) == [8, 12, 16]
    assert [trace.name for trace in fig.data if trace.showlegend] == [
        "model, kept",
        "model, significant",
        "newline, kept",
        "newline, significant",
    ]


def test_several_series_have_a_row_of_panels_each_named_by_what_differs(sources):
    both = [replace(source, prompt_set=p, name=f"{source.name}{p}") for source in sources[:1] for p in ("one", "two")]
    both += [replace(source, layer=99, name=f"{source.name}99") for source in both]
    fig = layer_lines(layer_series(counts(both)))
    assert panels(fig)[-2:] == ["one", "two"]
    assert len({trace.yaxis for trace in fig.data}) == 6
    assert sum(trace.showlegend for trace in fig.data) == 4


# ----------------------------------------------------------------------------
# Heat maps.


def drawn(jaccard, shared, **options):
    n = len(shared)
    return overlap_map(
        Overlap((None,) * n, np.array(shared), np.array(jaccard)), [f"s{i}" for i in range(n)], **options
    )


def test_heat_map_has_a_cell_and_a_point_to_click_for_every_pair():
    fig = drawn([[1, 0.25, np.nan], [0.25, 1, 0.9], [np.nan, 0.9, 1]], [[4, 1, 0], [1, 1_200, 9], [0, 9, 0]])
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
    assert texts[0, 1] == texts[1, 0] == "1<br>0.25"
    assert texts[2, 1] == "9<br>0.90"
    assert texts[0, 2] == "0"
    inks = {cell: ink for cell, (*_, ink) in found.items()}
    assert inks[1, 2] == "#ffffff"
    assert inks[0, 1] == "#10263b"
    assert inks[0, 0] is None
    assert list(fig.layout.yaxis.range) == [2.5, -0.5], "the first source is on top"


def test_what_a_cell_says_under_the_mouse():
    fig = drawn([[1, 0.25], [0.25, 1]], [[4, 1], [1, 1]], hint="<br>Click.")
    said = {tuple(cell): trace.hovertext[i] for trace in fig.data[1:] for i, cell in enumerate(trace.customdata)}
    assert said[0, 1] == "<b>1 shared features</b>: Jaccard 0.250<br>s0: 4<br>s1: 1<br>Click."
    assert said[1, 1] == "<b>s1</b><br>1 features<br>Click."
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
    csv, page = tmp_path / "out" / "counts.csv", tmp_path / "out" / "page.html"
    stdout, _ = run("compare", tree, "--csv", csv, "--html", page, "--workers", 1, "--max-q", 0.2)
    tidy = counts(sources, 0.2)
    pd.testing.assert_frame_equal(pd.read_csv(csv), tidy, check_dtype=False)
    lines = [line.split() for line in stdout.splitlines()]
    assert lines[0] == ["source", "position", "both", "base", "chat", "all"]
    first = tidy[(tidy["source"] == sources[0].name) & (tidy["token_type"] == "model")].set_index("exclusivity")
    cells = [str(first.loc[e, v]) for e in ("both", "base", "chat") for v in ("kept", "significant")]
    everything = [str(first["kept"].sum()), str(first["significant"].sum())]
    assert [cell for cell in lines[1] if cell != "→"] == [sources[0].name, "model", *cells, *everything]
    assert len(lines) == 1 + 10 + 1
    assert stdout.splitlines()[-1] == f"kept → significant, that is q at most 0.2. {CAVEAT}"
    text = page.read_text("utf-8")
    assert text.count("Plotly.newPlot(") == 4
    assert len(re.findall(r"plotly\.js v\d", text)) == 1, "plotly.js is inside once"
    assert "<b>Synthetic demo data.</b>" in text
    assert "<h2>Over the layers</h2>\n<p>demo · SAE 16k · synthetic_40</p>" in text
    assert "<h2>Shared features: demo · SAE 16k · layer 12</h2>" in text
    assert "q at most 0.2" in text
    assert all(digest in text for source in sources for digest in source.files.values())
    assert "active on at least 1 of a model’s Target prompts and on at most 0 of its Control prompts" in text


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
