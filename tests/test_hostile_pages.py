"""Exported pages of files and labels that are made of markup: none of it gets out of its text."""

import html
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from builders import NUM_FEATURES, make_explanations, model_data
from typer.testing import CliRunner

from featurediff.cli import app
from featurediff.errors import DataError

HARMLESS = "words"
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>here</a>",
    "--><!--<script>",
    "</title></textarea></style><iframe src=//evil.example>",
    "%{customdata[0]}<extra>x</extra> {feature_id} {plot_id} %s {{}}",
    "$\\href{javascript:alert(1)}{x}$",
    "&lt;img src=x onerror=alert(1)&gt; &#60;b&#62;",
    "\u2028alert(1)\u2029",
    "=HYPERLINK(1)",
]
CHARTS = ("scatter", "volcano", "ranking")
OURS = re.compile(r"</?(b|i|br|sub|sup|extra)>")


class FeaturePages(HTMLParser):
    """What a browser makes of a page: its tags with the names of their attributes, its links and its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.other: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value for name, value in attrs if name in ("href", "src", "action", "data", "srcdoc")]

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)

    def handle_comment(self, data):
        self.other.append(data)

    handle_pi = unknown_decl = handle_comment

    def figures(self):
        """Data and layout of every chart, as the scripts give them to Plotly."""
        for script in self.scripts:
            for call in re.finditer(r'Plotly\.newPlot\(\s*"[^"]+",\s*', script):
                data, end = json.JSONDecoder().raw_decode(script, call.end())
                layout, _ = json.JSONDecoder().raw_decode(script, script.index("{", end))
                yield {"data": data, "layout": layout}


def strings(value, key=""):
    """Every string that Plotly may draw, with the key that it stands under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in ("legendgroup", "uirevision", "bdata"):  # never drawn
                yield from strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)


def markup(value):
    """The tags and the places to fill in of what Plotly draws; explanations break their lines where they must."""
    tags = [tag for _, text in strings(value) for tag in re.findall(r"</?(?!br)\w[^>]*>", text)]
    templates = [text for key, text in strings(value) if key.endswith("template")]
    return Counter([*tags, *(place for text in templates for place in re.findall(r"%\{[^}]*\}", text))])


def make_tree(root, words):
    """A results tree of two layers in which everything that has a name is called by these words."""
    name = re.sub("/", "\u2215", words)[:60]  # a folder has no slash; one that looks like it will do
    for layer in (1, 2):
        folder = root / "results" / f"{name}_trainer{name}_layer{layer}" / name
        folder.mkdir(parents=True)
        for side in ("base", "chat"):
            data = model_data(
                side, (words, "model"), model_type=words, sae_trainer=words, source=words, sae_layer=layer
            )
            for token_type in (words, "model"):
                data[token_type][f"target_{words}"] = torch.arange(float(NUM_FEATURES)) * (1 + (side == "chat"))
            torch.save(data, folder / f"{side}.pt")
        texts = [(str(i), f"{i} {words}".replace('"', '""')) for i in range(NUM_FEATURES)]
        make_explanations(root / "explanations" / f"{name}_trainer{name}_layer{layer}.csv", texts)
    return root / "results"


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def pages(folder: Path, words: str):
    """The page of every kind of chart, and of a comparison."""
    results = make_tree(folder, words)
    source = next(path.parent for path in sorted(results.rglob("base.pt")))
    labels = [
        part for which in ("base", "chat", "target", "control") for part in (f"--{which}-label", f"{which} {words}")
    ]
    for chart in CHARTS:
        path = folder / f"{chart}.html"
        metric = "target_all_mean" if chart == "volcano" else f"target_{words}"  # nothing tests the changes of others
        run("export", source, "--html", path, "--chart", chart, "--cdn", "--metric", metric, *labels,
            "--neuronpedia-template", "https://example.org/{feature_id}?'+alert(1)+'", "--search", words)  # fmt: skip
        yield chart, FeaturePages(path.read_text(encoding="utf-8"))
    run("compare", results, "--html", folder / "compare.html", "--cdn")
    yield "compare", FeaturePages((folder / "compare.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    return dict(pages(tmp_path_factory.mktemp("harmless"), HARMLESS))


@pytest.mark.parametrize("words", HOSTILE)
def test_words_of_strangers_stay_words(tmp_path, harmless, words):
    for chart, page in pages(tmp_path, words):
        assert page.tags == harmless[chart].tags, chart
        assert page.other == []
        assert {urlsplit(link).scheme for link in page.links} == {"https"}
        assert page.links == harmless[chart].links
        drawn = list(page.figures())
        assert len(drawn) == len(list(harmless[chart].figures())) > 0
        for script in page.scripts:
            assert "alert" not in script or "Plotly.newPlot" in script
            assert "<" not in script.replace("<=", "")
        assert markup(drawn) == markup(list(harmless[chart].figures())), chart
        for key, text in strings(drawn):
            assert "<" not in OURS.sub("", text), (key, text)
            assert not re.search(r"\$.*\$", text), (key, text)


@pytest.mark.parametrize("words", HOSTILE)
def test_words_are_drawn_as_they_are_written(tmp_path, words):
    """Escaped once, not twice: what a reader sees is what the file says."""
    for _, page in pages(tmp_path, words):
        shown = [html.unescape(OURS.sub("", text)) for figure in page.figures() for _, text in strings(figure)]
        assert any(words.strip() in text for text in shown)  # a label loses what is around it


@pytest.mark.parametrize(
    "template",
    ["javascript:alert({feature_id})", "data:text/html,{feature_id}", "JaVaScRiPt:alert(1)//{feature_id}",
     "//x/{feature_id}", " javascript:{feature_id}", "https:{feature_id}", "file:///etc/{feature_id}",
     "vbscript:x/{feature_id}"],
)  # fmt: skip
def test_link_is_http_or_none(tmp_path, template):
    source = next(path.parent for path in make_tree(tmp_path, HARMLESS).rglob("base.pt"))
    words = ["export", str(source), "--html", str(tmp_path / "x.html"), "--neuronpedia-template", template]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, DataError), result.output
    assert not (tmp_path / "x.html").exists()
