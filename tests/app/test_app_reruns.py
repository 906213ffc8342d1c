"""What a rerun of the dashboard sends and computes again, and what it does not."""

import json

import plotly.graph_objects as go
import pytest
import torch
from builders import make_explanations, make_source, model_data
from conftest import SAE_FOLDER
from dashboard import click_row, count, figure, held, open_app, rows, table_of

from featurediff import load
from featurediff.app.dashboard.figure import leave_points, plot_of
from featurediff.app.dashboard.room import Room
from featurediff.app.sources import demo_sources
from featurediff.app.theme import hover_in_theme
from featurediff.charts.chart import make_chart
from featurediff.charts.view import View
from featurediff.sources import demo

STRANGE = 'it’s </script> → 日本語 \U0001f600 \x7f \\ " é < > / $'


@pytest.fixture
def source(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv", [(str(i), STRANGE * (i + 1)) for i in range(8)])
    return make_source(tmp_path / "results" / SAE_FOLDER / "personal_40")


def chart_of(at):
    (chart,) = at.get("plotly_chart")
    return chart.proto


@pytest.mark.parametrize("chart", ["scatter", "volcano", "ranking"])
def test_a_chart_is_sent_as_plotly_writes_it(source, chart):
    study, view = load(source), View(chart=chart)
    kept, plot = study.table(), plot_of(Room().chart, square=chart == "scatter")
    drawing = make_chart(kept, view, study.origin, plot=plot).draw(kept, view, titled=False)
    fig = go.Figure(drawing if chart == "ranking" else leave_points(drawing))
    spec = open_app(chart=chart)
    sent, written = figure(spec), json.loads(fig.to_json())
    assert sent["data"] == hover_in_theme(written["data"])
    theirs = {"tickangle", "automargin", "title", "tickfont"}  # of the app’s smaller plot
    assert {name: sent["layout"]["xaxis"][name] for name in sent["layout"]["xaxis"].keys() - theirs} == {
        name: value for name, value in written["layout"]["xaxis"].items() if name not in theirs
    }
    assert chart_of(spec).spec.isascii()


@pytest.mark.usefixtures("source")
def test_a_pick_and_a_filter_that_leaves_all_send_the_same_chart():
    at = open_app()
    before = chart_of(at).SerializeToString(deterministic=True)
    click_row(at, 0)
    assert held(at).picked == rows(at)[0]
    assert chart_of(at).SerializeToString(deterministic=True) == before
    at.session_state["token_types"] = ["model", "newline"]
    at.run()
    assert count(at) == "12 features"
    assert chart_of(at).SerializeToString(deterministic=True) == before
    at.session_state["token_types"] = ["model"]
    at.run()
    assert chart_of(at).SerializeToString(deterministic=True) != before


def test_difference_of_whole_numbers_and_others_is_exact(monkeypatch, tmp_path):
    """Arrow refused to take 16,777,217 from a float32, and the page ended in a traceback."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    models = {name: model_data(name, ("model",)) for name in ("base", "chat")}
    values = torch.arange(8) * 20_000_001
    models["base"]["model"]["target_all_mean"] = values
    models["chat"]["model"]["target_all_mean"] = torch.ones(8)
    source = make_source(tmp_path / "results" / SAE_FOLDER / "personal_40", **models)
    at = open_app()
    assert not at.exception
    shown = table_of(at).value.set_index("feature_id")["difference"]
    kept = load(source).table().set_index("feature_id")
    assert (
        dict(zip(shown.index, (int(text.replace("−", "-")) for text in shown), strict=True))
        == (kept["chat_target_all_mean"] - kept["base_target_all_mean"]).to_dict()
    )
    assert shown.to_dict()[7] == "−140000006"


@pytest.mark.usefixtures("source")
def test_a_star_shows_in_the_table_at_once():
    at = open_app()
    click_row(at, 0)
    at.button(key="star").click().run()
    assert not at.exception
    feature_id = rows(at)[0][1]
    starred = table_of(at).value.set_index("feature_id")["mark"]
    assert set(starred[starred.str.endswith("★")].index) == {feature_id}


def test_other_sources_of_the_demo_are_made_when_they_are_read(monkeypatch):
    """The first view of a fresh server waited for seven sources to be made, of which it showed one."""
    monkeypatch.delenv("FEATUREDIFF_RESULTS", raising=False)
    demo_sources.clear()
    at = open_app()
    assert not at.exception
    made = [name for name, source in demo_sources().items() if (source.folder / "base.pt").exists()]
    assert made == ["demo"]
    assert at.selectbox(key="source").options[:2] == ["Demo (synthetic)", "layer 4 · synthetic_40 · demo · 16k"]
    assert len(demo_sources()) == len(demo.plan(5)) == 7
    at.selectbox(key="source").set_value("demo_trainer16k_layer4/synthetic_40").run()
    assert not at.exception
    assert count(at) == f"{len(rows(at))} features"
