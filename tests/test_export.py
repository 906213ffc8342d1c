import html
import io
import json
import os
import re
import signal
import stat

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from builders import make_source
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import check_golden, make_model, untested

import featurediff
from featurediff.charts.scatter import scatter
from featurediff.charts.scatter_places import lay_out
from featurediff.charts.view import View
from featurediff.errors import DataError
from featurediff.export import Provenance, csv_text, html_page, parquet_bytes, provenance
from featurediff.features.evidence import assess_changes
from featurediff.features.table import feature_table, with_difference
from featurediff.files import write_whole
from featurediff.labels import Labels
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.meaning.pages import FeaturePages
from featurediff.sources.origin import Origin
from featurediff.sources.result_files import read_results
from featurediff.sources.results import Results
from featurediff.version import package_version

METRIC = "target_all_mean"
PAGE = FeaturePages("https://example.org/{feature_id}", "So.")
NO_PAGE = FeaturePages(None, "Because <i>.")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'too' {plot_id} %s"
TEXTS = b'feature_id,description\n0,"the first, with a comma"\n2,"two\nlines and a ""quote"""\n3,NA\n'


@pytest.fixture
def results(tmp_path):
    return read_results(make_source(tmp_path))


@pytest.fixture
def table(results):
    """Without p and q, whose last digits are the machine's."""
    return feature_table(results, None, parse_explanations(TEXTS, "e.csv"), PAGE, changes=assess_changes(results))


def draw(results, table, labels=None):
    view = View(METRIC, labels=labels or Labels())
    table = untested(table)
    return scatter(table, *lay_out(table, view), view, Origin.of(results, "personal_40"))


# ----------------------------------------------------------------------------
# CSV and Parquet.


def test_golden_csv(table):
    """The four numbers of prompts differ, and so does every number of a row: a swapped column changes the file."""
    check_golden("table.csv", csv_text(table, METRIC))


def test_csv_comes_back(table):
    back = pd.read_csv(io.StringIO(csv_text(table, METRIC)), keep_default_na=False, na_values=[""])
    made = with_difference(table, METRIC)
    assert list(back) == list(made) == [*table, "difference"]
    np.testing.assert_array_equal(
        back["difference"].astype(np.float32), table[f"chat_{METRIC}"] - table[f"base_{METRIC}"]
    )
    assert back["explanation"].isna().tolist() == table["explanation"].isna().tolist()
    assert back["explanation"].isna().any()
    assert "NA" in back["explanation"].tolist()
    for name in made:
        kept = back[name].astype(made[name].dtype)
        pd.testing.assert_series_equal(kept, made[name], check_categorical=False)


FLOATS = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=2, max_size=20)


@settings(deadline=None)
@given(FLOATS, st.sampled_from([np.float32, np.float64]))
def test_numbers_come_back_exactly(numbers, dtype):
    n = len(numbers)
    vectors = {"target_num_active": [1] * n, "control_num_active": [0] * n, "target_max": numbers}
    results = Results(*(make_model(side, {"model": vectors}, (3, 4)) for side in ("base", "chat")))
    cells = np.array(numbers, dtype=dtype) / (1 if dtype is np.float32 else 3)
    table = feature_table(results).assign(base_target_max=cells)
    with np.errstate(over="ignore"):
        text = csv_text(table, "target_max")
    back = pd.read_csv(io.StringIO(text), dtype="str")
    assert [dtype(float(cell)) for cell in back["base_target_max"]] == cells.tolist()
    assert [np.float32(float(cell)) for cell in back["chat_target_max"]] == numbers


def test_parquet_comes_back(table):
    back = pd.read_parquet(io.BytesIO(parquet_bytes(table, METRIC)))
    pd.testing.assert_frame_equal(back, with_difference(table, METRIC))


def test_empty_tables_have_their_columns(table):
    assert csv_text(table[:0], METRIC) == ",".join(f'"{name}"' for name in [*table, "difference"]) + "\n"
    assert list(pd.read_parquet(io.BytesIO(parquet_bytes(table[:0], METRIC)))) == [*table, "difference"]


def test_filtered_rows_leave_no_index(table):
    lines = csv_text(table.iloc[[4, 1]], METRIC).splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == table["feature_id"].iloc[[4, 1]].astype(str).tolist()
    assert "__index_level_0__" not in pd.read_parquet(io.BytesIO(parquet_bytes(table.iloc[[4, 1]], METRIC)))


# ----------------------------------------------------------------------------
# The page.


def figure_of(page):
    """Data and layout that a page draws, read as a browser does."""
    start = re.search(r'Plotly\.newPlot\(\s*"[^"]+",\s*', page).end()
    data, end = json.JSONDecoder().raw_decode(page, start)
    layout, _ = json.JSONDecoder().raw_decode(page, page.index("{", end))
    return data, layout


def test_page_holds_the_figure(results, table):
    fig = draw(results, table)
    data, layout = figure_of(html_page(fig, PAGE, Provenance(()), "Title", offline=False).decode())
    assert [trace["name"] for trace in data] == [trace["name"] for trace in fig["data"]]
    assert layout["title"]["text"] == fig["layout"]["title"]["text"]
    assert data == json.loads(go.Figure(fig).to_json())["data"]


@pytest.mark.parametrize(("high", "css"), [({}, "min(820px, 88vh)"), ({"height": 1868.0}, "1868px")])
def test_footer_comes_after_the_chart(results, table, high, css):
    """A ranking is higher than a window, and lay over the footer."""
    drawing = draw(results, table)
    page = html_page(
        drawing | {"layout": drawing["layout"] | high}, PAGE, Provenance(()), "Title", offline=False
    ).decode()
    assert re.findall(r'<div id="chart" class="plotly-graph-div" style="height: ([^"]*)">', page) == [css]


def test_page_opens_links_in_a_new_tab_without_opener(results, table):
    page = html_page(draw(results, table), PAGE, Provenance(()), "Title", offline=False).decode()
    opened = 'window.open("https://example.org/{feature_id}".replace("{feature_id}", id), "_blank", "noopener");'
    assert opened in page
    div = re.search(r'<div id="([^"]+)" class="plotly-graph-div"', page)[1]
    assert f'document.getElementById("{div}").on("plotly_click"' in page
    assert "<p>Click a point to open its Neuronpedia page. So. Double click resets the view.</p>" in page


def test_page_without_links_says_why(results, table):
    page = html_page(draw(results, table), NO_PAGE, Provenance(()), "Title", offline=False).decode()
    assert "plotly_click" not in page
    assert "window.open" not in page
    assert "<p>Points have no page to open. Because &lt;i&gt;. Double click resets the view.</p>" in page


def test_offline_page_needs_no_network_and_the_other_is_small(results, table):
    fig = draw(results, table)
    offline = html_page(fig, PAGE, Provenance(()), "Title").decode()
    online = html_page(fig, PAGE, Provenance(()), "Title", offline=False).decode()
    assert len(offline) > 4e6
    assert not re.search(r"<(script|link)[^>]*(src|href)=", offline)
    assert len(online) < 60_000
    assert re.findall(r'<script[^>]* src="([^"]+)"', online) == [
        re.search(r'src="(https://cdn\.plot\.ly/plotly-[0-9.]+\.min\.js)"', online)[1]
    ]


def test_hostile_text_ends_no_script_and_opens_no_tag(results):
    """Explanations, labels, token types, title and provenance are shown as written, wherever they stand."""
    model = {name: results.of(name).vectors["model"] | {f"{HOSTILE}": np.zeros(8)} for name in ("base", "chat")}
    odd = Results(*(make_model(name, {HOSTILE: vectors}, (8, 7)) for name, vectors in model.items()))
    table = feature_table(odd).assign(explanation=pd.Series([HOSTILE] * 6, dtype="str"))
    fig = draw(odd, table, Labels(HOSTILE, HOSTILE, HOSTILE, HOSTILE))
    pages = FeaturePages("https://example.org/{feature_id}?</script>", HOSTILE)
    page = html_page(fig, pages, Provenance(((HOSTILE, HOSTILE),)), HOSTILE, offline=False).decode()
    assert "<img" not in page
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script") <= 4
    assert page.count("<title>") == page.count("</title>") == 1
    assert html.unescape(re.search(r"<title>(.*)</title>", page)[1]) == HOSTILE
    assert html.unescape(re.search(r"<dt>(.*?)</dt>", page)[1]) == HOSTILE
    assert html.unescape(re.search(r"<dd>(.*?)</dd>", page)[1]) == HOSTILE
    data, layout = figure_of(page)
    assert data[0]["legendgroup"] == HOSTILE
    assert not re.search(r"<(?!/?b>|br>|extra>|/extra>)", json.dumps([layout, [t.get("hovertemplate") for t in data]]))


def test_provenance_ends_with_date_and_version(results, table):
    assert Provenance((("a", "b"),)).lines()[0] == ("a", "b")
    name, made = Provenance(()).lines()[-1]
    assert name == "Made"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d UTC by featurediff {re.escape(package_version())}", made)
    page = html_page(draw(results, table), PAGE, Provenance((("a", "b"),)), "T", offline=False).decode()
    assert "<dt>a</dt><dd>b</dd>\n<dt>Made</dt><dd>" in page


# ----------------------------------------------------------------------------
# Writing.


@pytest.mark.parametrize("content", ["text – ü\n", b"\x00\xff"])
def test_file_is_written_whole(tmp_path, content):
    path = tmp_path / "new" / "folder" / "out.csv"
    write_whole(path, content)
    write_whole(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_file_has_the_permissions_of_any_other(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "out", "x")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode


def test_failure_leaves_nothing_half_written(tmp_path):
    """The place is taken by a folder, or the text has no bytes: what was there stays, and nothing comes beside it."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as caught:
        write_whole(tmp_path / "taken", "x")
    why = "Is there room, and may you write there?"
    assert str(caught.value) == f"`{tmp_path / 'taken'}` cannot be written (Is a directory). {why}"
    with pytest.raises(DataError) as caught:
        write_whole(tmp_path / "file" / "x", "x")
    assert str(caught.value) == f"`{tmp_path / 'file' / 'x'}` cannot be written (File exists). {why}"
    (tmp_path / "old").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "old", "\ud800")
    assert (tmp_path / "old").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old", "taken"]


def test_write_that_fails_halfway_leaves_the_old_file(tmp_path):
    """A file of 100 kB where the system allows 1 kB, which is as near to a full disk as a test comes."""
    resource = pytest.importorskip("resource")
    (tmp_path / "old").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DataError) as caught:
            write_whole(tmp_path / "old", "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert "cannot be written (File too large)" in str(caught.value)
    assert (tmp_path / "old").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("offline", [True, False])
def test_a_page_that_fetches_plotly_says_where_it_gets_none(tmp_path, offline):
    """Where the CDN is blocked, a page had an empty frame."""
    study, view = featurediff.load(make_source(tmp_path)), View()
    drawing = study.draw(study.table(), view)
    page = html_page(drawing, study.pages, provenance(study, view, 1, 1), "t", offline=offline).decode()
    said = "Nothing can be drawn: this page fetches plotly.js from cdn.plot.ly, which cannot be reached."
    assert (said in page) == (not offline)
    assert offline or page.index("Plotly.newPlot(") < page.index(said) < page.index("<footer>")


def test_version_of_the_package():
    assert featurediff.__version__ == package_version()
