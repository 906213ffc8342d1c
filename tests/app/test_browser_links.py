"""What comes from others in a real Chromium: pasted links, hostile words, uploaded files."""

import re

import pytest
import torch
from builders import make_explanations, make_source, model_data
from playwright.sync_api import expect

from featurediff.sources.demo import make_demo

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait
SAE = "gemma_trainer131k-l0-114_layer20"
RUN = "window.__pwned=1"
HOSTILE_FOLDER = f'<img src=x onerror={RUN}> *x* :red[x] %{{x}} $y$ " ` [l](http:e) --'
HOSTILE_TYPE = f"<script>{RUN}</script> :red[x] $y$ <b>"
HOSTILE_STATISTIC = "target_*m* <img src=x onerror=alert(1)> %{x} $y$"


def labels(site):
    """Return four labels, of at most 40 characters, that Markdown, HTML and Plotly would each act on."""
    return {
        "base_label": f"<b><img src=x onerror={RUN}>",
        "chat_label": f"![]({site.url}/e.png)",
        "target_label": '*x* :red[x] %{x} $y$ -- "q" `c` ->',
        "control_label": f"[l]({site.url}/e)",
    }


def explanation(site):
    return f"<script>{RUN}</script> <b>b</b> *x* :red[x] ![]({site.url}/e.png) %{{x}} $y$ `c` [l]({site.url}/e) <br>"


def written(found):
    """Return the words of elements, without the word joiners that keep Streamlit from drawing arrows."""
    return [text.replace("\u2060", "") for text in found.all_inner_texts()]


def hostile_data(side):
    """Return what a file of a model holds, with a token type and a metric that are markup."""
    data = model_data(side, ("model", HOSTILE_TYPE), 600)
    for token_type in ("model", HOSTILE_TYPE):
        data[token_type][HOSTILE_STATISTIC] = data[token_type]["target_all_mean"] * 2
    return data


@pytest.fixture(scope="module")
def server(serve, site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    tree = folder / "results"
    make_source(tree / SAE / "first_40", num_features=300)
    make_source(tree / SAE / "second_40", num_features=600)
    make_source(tree / SAE / HOSTILE_FOLDER, base=hostile_data("base"), chat=hostile_data("chat"))
    broken = hostile_data("chat")
    del broken[HOSTILE_TYPE]["target_num_active"]
    make_source(tree / SAE / f"broken {HOSTILE_FOLDER}", base=hostile_data("base"), chat=broken)
    rows = [(str(feature), f"every {feature}th word, and commas") for feature in range(2, 600)]
    make_explanations(folder / "explanations" / f"{SAE}.csv", [("0", explanation(site)), *rows])
    return serve("--results", str(tree), "--neuronpedia-template", site.template)


def test_link_shows_a_fresh_browser_the_same_view(new_screen):
    screen = new_screen().open()
    first = screen.look()
    screen.choose("source", "second_40 · gemma · layer 20 · 131k-l0-114")
    screen.choose("metric", "Maximum activation")
    screen.press("token_types", "newline")
    screen.press("exclusivity", "Both")
    screen.press("exclusivity", "Base")
    screen.write("search", "th word")
    screen.unfold("What counts as exclusive")
    screen.write("min_target", "2")
    screen.write("max_control", "1")
    screen.unfold("Labels and links")
    screen.write("base_label", "Gemma 2 (pt)")
    screen.write("target_label", "Introspective")
    screen.unfold("Chart options")
    screen.press("scale", "√")
    screen.key("spread").locator("label").click()
    screen.settle()
    row = screen.rows()[2]
    screen.pick_row(2)
    screen.expect_detail(row)
    sent = screen.look()
    assert sent["detail"] == f"Feature {row[1]} at {row[0]}"
    assert sent["count"] == 373
    assert not [name for name, shown in sent.items() if name != "captions" and shown == first[name]]
    received = new_screen().open(screen.query())
    assert received.look() == sent
    assert received.query() == screen.query()
    expect(received.page.get_by_role("button", name="in the link")).to_have_count(0)
    received.press("reset")
    assert received.detail() == sent["detail"]
    left = re.findall(r"(\w+)=", received.query())
    assert set(left) == {"source", "metric", "base_label", "target_label", "scale", "spread", "feature"}
    assert received.count() == sum(trace[2] for trace in received.traces() if trace[0])
    assert received.count() > sent["count"]


def test_values_of_a_link_that_do_not_exist_are_said(screen):
    screen.open(
        metric="banana",
        token_types="nope",
        source="../../etc",
        feature="99999999@model",
        min_value="abc",
        scale="cubic",
    )
    faults = screen.page.get_by_role("button", name="6 faults in the link")
    faults.click()
    said = written(screen.page.get_by_test_id("stPopoverBody").get_by_test_id("stAlert"))
    for value in ("metric=banana", "token_types=nope", "source=../../etc", "feature=99999999@model", "min_value=abc"):
        assert len([text for text in said if value in text]) == 1, value
    assert len(said) == 6
    assert screen.detail() is None
    assert screen.count() == 900
    screen.page.keyboard.press("Escape")
    screen.press("reset")
    expect(faults).to_have_count(0)
    assert re.findall(r"(\w+)=", screen.query()) == ["source"]


def expect_harmless(screen, site):
    """Nothing that was written by others has run, was fetched, or became a link or a picture."""
    assert screen.page.evaluate("window.__pwned") is None
    assert [path for path in site.asked if not re.fullmatch(r"/page/[0-9]+\?embed=true&[a-z&=]+", path)] == []
    links = screen.page.evaluate("[...document.querySelectorAll('a')].map((a) => a.getAttribute('href') ?? '')")
    assert [link for link in links if link.endswith("/e") or ":e" in link] == []
    pictures = screen.page.evaluate("[...document.querySelectorAll('img')].map((image) => image.getAttribute('src'))")
    assert [source for source in pictures if source == "x" or source.endswith("e.png")] == []


def test_hostile_words_are_shown_as_written(new_screen, site, tmp_path):
    screen = new_screen()
    words = labels(site)
    base, chat, target, control = words.values()
    metric = HOSTILE_STATISTIC.removeprefix("target_").replace("_", " ")
    screen.open(
        source=f"{SAE}/{HOSTILE_FOLDER}",
        metric=HOSTILE_STATISTIC,
        token_types=["model", HOSTILE_TYPE, f"no {HOSTILE_TYPE}"],
        search="<B>B</b> *x*",
        feature=f"0@{HOSTILE_TYPE}",
        **words,
    )
    screen.page.get_by_role("button", name="1 fault in the link").click()
    (fault,) = written(screen.page.get_by_test_id("stPopoverBody").get_by_test_id("stAlert"))
    assert f"token_types=no {HOSTILE_TYPE}"[:60] in fault
    screen.page.keyboard.press("Escape")
    text = screen.text()
    heading = f"Active on {target} only"
    assert screen.title() == f"{heading} · {metric}, {base} → {chat}"
    assert f" active on {target} only" in screen.finding()
    assert screen.chips() == [
        f"position model, {HOSTILE_TYPE}"[:33] + "…",
        "explanation contains “<B>B</b> *x*”"[:33] + "…",
    ]
    for words_shown in (
        f"{metric}, {base} → {chat} · gemma · SAE 131k-l0-114 · residual stream after layer 20 · {HOSTILE_FOLDER}",
        f"Feature 0 at {HOSTILE_TYPE}",
        explanation(site),
    ):
        assert words_shown in text
    assert list(screen.legend("token_types")) == ["model", HOSTILE_TYPE]
    assert list(screen.legend("exclusivity")) == ["Both", base, chat, "Neither"]
    drawn = ["".join(text.split()) for text in screen.chart.locator("svg text").all_text_contents()]  # in several lines
    for words_shown in (
        f"{base}: {metric}",
        f"{chat}: {metric}",
        f"silent on {chat}’s {target} prompts",
    ):
        assert "".join(words_shown.split()) in drawn
    row = screen.cells()[0]
    assert row["Explanation"] == explanation(site)
    for key in screen.points():
        screen.hover(key)
        label = "".join(screen.chart.locator(".hovertext tspan.line").all_text_contents())
        assert f"at {key[0]}" in label
        assert f"{base} {control}: 0/7" in label
        assert explanation(site).replace(" ", "")[:40] in label.replace(" ", "")
    expect_harmless(screen, site)
    saved = new_screen().open_file(screen.download("HTML", tmp_path))
    saved.page.context.set_offline(False)
    assert saved.page.title().startswith(heading)
    drawn = saved.chart.locator("svg text").all_text_contents()
    for words_shown in (heading, HOSTILE_TYPE, f"Both {target}", f"{base}: {metric}"):
        assert words_shown in drawn
    assert HOSTILE_TYPE in saved.page.locator("footer").inner_text()
    for key in saved.points():
        saved.hover(key)
    expect_harmless(saved, site)


def test_broken_source_with_hostile_names_is_refused_in_plain_words(screen, site):
    screen.visit(source=f"{SAE}/broken {HOSTILE_FOLDER}", **labels(site))
    expect(screen.page.get_by_text("This source cannot be shown.")).to_be_visible()
    message = screen.page.get_by_test_id("stCode").inner_text()
    assert HOSTILE_TYPE in message
    assert "target_num_active" in message
    expect_harmless(screen, site)
    screen.choose("source", "first_40 · gemma · layer 20 · 131k-l0-114")
    assert screen.count() == 452


def upload(screen, name, path):
    screen.key(f"upload_{name}").locator("input[type=file]").set_input_files(path)
    expect(screen.key(f"upload_{name}").get_by_role("button", name=f"Remove {path.name}", exact=True)).to_be_visible()
    screen.settle()


def test_uploaded_files_are_shown_or_refused_and_the_demo_comes_back(screen, tmp_path):
    demo = make_demo(num_features=700, num_prompts=12, seed=5)
    files = {"base": demo.base, "chat": demo.chat, "explanations": demo.explanations}
    for name, content in files.items():
        (tmp_path / f"{name}.{'csv' if name == 'explanations' else 'pt'}").write_bytes(content)
    broken = tmp_path / "*chat* :red[x] <b>.pt"
    torch.save({"metadata": {"token_types": [HOSTILE_TYPE]}}, broken)
    screen.open(source="demo")
    screen.choose("source", "Upload files…")
    expect(screen.page.get_by_text("Upload a base.pt and a chat.pt")).to_be_visible()
    upload(screen, "base", tmp_path / "base.pt")
    upload(screen, "chat", broken)
    expect(screen.page.get_by_text("This source cannot be shown.")).to_be_visible()
    assert broken.name in screen.page.get_by_test_id("stCode").inner_text()
    upload(screen, "chat", tmp_path / "chat.pt")
    expect(screen.chart).to_be_visible()
    upload(screen, "explanations", tmp_path / "explanations.csv")
    assert max(feature for _, feature in screen.points()) < 700
    assert screen.count() == len(screen.points())
    assert any(row["Explanation"].startswith("Planted: ") for row in screen.cells())
    screen.choose("source", "Demo (synthetic)")
    assert max(feature for _, feature in screen.points()) > 700
