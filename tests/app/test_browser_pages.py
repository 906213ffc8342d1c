"""What a click leads to: the page of the very point in a large pile, and files that hold what is shown."""

import random
import re
from math import dist

import numpy as np
import pandas as pd
import pytest
import torch
from builders import make_source
from playwright.sync_api import expect

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait
FEATURES, PROMPTS, PILE, KEPT = 20_000, 40, 400, 3_000
NAME = "gemma_trainer131k-l0-114_layer20"


def crowded(side, rng):
    """Return what a file of a model holds: most of its features fire on one prompt, `PILE` of them equally strongly."""
    data = {}
    for index, token_type in enumerate(("model", "newline")):
        ids = np.random.default_rng(index).permutation(FEATURES)[: KEPT // 2]
        strength = np.zeros(FEATURES, dtype=np.float32)
        own, both = (ids[:200], ids[200:250]) if side == "base" else (ids[250:], ids[200:250])
        strength[own] = 0.05 + rng.gamma(1, 0.3, len(own))
        strength[both] = 0.5 + rng.gamma(2, 0.5, len(both))
        if side == "chat" and index == 0:
            strength[own[:PILE]] = 0.1
        counts = np.where(strength > 1, 5, np.where(strength > 0, 1, 0))
        vectors = {
            "all_mean": strength,
            "all_std": strength / 2,
            "max": strength * 4,
            "num_active": counts,
            "sparsity": (counts / PROMPTS).astype(np.float32),
        }
        data[token_type] = {f"target_{name}": torch.tensor(vector) for name, vector in vectors.items()}
        data[token_type] |= {f"control_{name}": torch.tensor(vector * 0) for name, vector in vectors.items()}
    data["metadata"] = {
        "source": f"crowded {side}",
        "model_type": "gemma",
        "model_ver": side,
        "sae_layer": 20,
        "sae_trainer": "131k-l0-114",
        "num_target_prompts": PROMPTS,
        "num_control_prompts": PROMPTS,
        "num_features": FEATURES,
        "token_types": list(data),
    }
    return data


def pile():
    """Return the features of the largest pile."""
    ids = np.random.default_rng(0).permutation(FEATURES)[250 : 250 + PILE]
    return [("model", int(feature)) for feature in ids]


@pytest.fixture(scope="module")
def server(serve, site, tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree") / "results"
    files = {side: crowded(side, np.random.default_rng(7 + len(side))) for side in ("base", "chat")}
    files["chat"]["metadata"]["source"] = "crowded too"
    make_source(tree / NAME / "crowded_40", **files)
    return serve("--results", str(tree), "--neuronpedia-template", site.template)


def come_near(screen, key):
    """Zoom in until the mouse can tell a point from its neighbours."""
    left, top, width, height = screen.area()
    x, y = screen.points()[key]
    if not (left <= x <= left + width and top <= y <= top + height):
        screen.tool("reset")
    for _ in range(5):
        if screen.room(key) > 3:
            return
        screen.zoom(key, 30)
    pytest.fail(f"{key} is not alone after five zooms.")


def opened(site):
    """What was asked for in tabs of its own; the page in place is asked for beside the details."""
    return [path for path in site.asked if "embed=true" not in path]


def click_opens_its_page(screen, site, key):
    with screen.page.context.expect_page() as opening:
        screen.click(key)
    opened = opening.value
    opened.wait_for_url(f"{site.url}/page/{key[1]}")
    opened.close()
    screen.expect_detail(key)
    assert f"feature={key[1]}%40{key[0]}" in screen.query()


def test_click_opens_the_page_of_the_point_that_was_clicked(screen, site):
    screen.open(open="true")
    points = screen.points()
    assert len(points) == KEPT
    chosen = random.Random(3)
    inside = chosen.sample(pile(), 6)
    anywhere = chosen.sample(sorted(set(points) - set(pile())), 10)
    for key in anywhere + inside[:5]:
        come_near(screen, key)
        click_opens_its_page(screen, site, key)
    screen.tool("reset")
    come_near(screen, inside[5])
    screen.zoom(inside[5], 60)
    zoomed, points = screen.axes(), screen.points()
    neighbours = sorted(pile(), key=lambda key: dist(points[key], points[inside[5]]))[:5]
    for key in neighbours:
        click_opens_its_page(screen, site, key)
    assert screen.axes() == zoomed
    assert len(opened(site)) == 20


def test_click_opens_nothing_unless_asked_to(screen, site):
    screen.open()
    before = len(opened(site))
    key = next(iter(screen.points()))
    screen.click(key)
    screen.expect_detail(key)
    assert len(screen.page.context.pages) == 1
    assert len(opened(site)) == before


def keys_of(table):
    return set(zip(table["token_type"], table["feature_id"], strict=True))


def test_downloads_hold_what_is_shown(new_screen, site, tmp_path):
    """On an exported page too, a drawn box swallowed the mouse, so that no point inside it opened its page."""
    screen, saved = new_screen(), new_screen()
    screen.open(token_types="model", min_value="0.2")
    shown = set(screen.points())
    assert 0 < len(shown) < KEPT / 2
    caught = screen.box()
    assert 0 < len(caught) < len(shown)
    for expected in (caught, shown):
        assert screen.count() == len(expected)
        table = pd.read_csv(screen.download("CSV", tmp_path))
        assert keys_of(table) == expected
        assert len(table) == len(expected)
        assert list(zip(table["token_type"], table["feature_id"], strict=True))[:5] == screen.rows()[:5]
        pd.testing.assert_frame_equal(
            table, pd.read_parquet(screen.download("Parquet", tmp_path)), check_dtype=False, check_categorical=False
        )
        saved.open_file(screen.download("HTML", tmp_path))
        assert saved.points().keys() == expected
        assert f"{len(expected):,} of {KEPT:,} kept features" in saved.page.locator("footer").inner_text()
        if expected is caught:
            screen.chip("inside the box").click()
            expect(screen.chip("inside the box")).to_have_count(0)
            screen.settle()
    saved.page.context.set_offline(False)
    inside = saved.box((0.01, 0.01), (0.99, 0.99))
    key = saved.loneliest(inside)
    with saved.page.context.expect_page() as opening:
        saved.click(key)
    opening.value.wait_for_url(f"{site.url}/page/{key[1]}")


def test_minus_signs_stand_in_the_hover_text_of_an_exported_page(new_screen, tmp_path):
    """Only the dashboard put them there: on a page, and in an exponent, stood a hyphen."""
    screen, saved = new_screen(), new_screen()
    screen.open(chart="ranking", question="changed")
    saved.open_file(screen.download("HTML", tmp_path))
    said = saved.page.evaluate("""async () => {
      const chart = document.querySelector('.js-plotly-plot'), said = [];
      for (const [curveNumber, trace] of chart._fullData.entries())
        for (const pointNumber of trace.customdata ? Array.from(trace.x.keys()) : []) {
          Plotly.Fx.hover(chart, [{curveNumber, pointNumber}]);
          await new Promise((done) => setTimeout(done, 50));
          said.push(chart.querySelector('.hoverlayer').textContent);
        }
      return said;
    }""")
    assert any(re.search(r"Difference: −\d", text) for text in said)
    assert any(re.search(r"q = [\d.]+e−\d", text) for text in said)
    assert not [text for text in said if re.search(r"[:(e] ?-\d", text.partition(" exclusive")[0])]
