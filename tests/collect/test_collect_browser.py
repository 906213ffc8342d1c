"""From two models to the prompts of a feature on the screen, in a real Chromium."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from collecting import PROMPTS, make_family

ROOT = Path(__file__).parents[2]
pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait


def run(*args):
    subprocess.run([sys.executable, "-m", "featurediff", *map(str, args)], cwd=ROOT, check=True, timeout=300)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What `featurediff collect` writes."""
    folder = tmp_path_factory.mktemp("family")
    settings = make_family(folder, "gemma")
    given = {name: getattr(settings, name) for name in ("base", "chat", "sae", "target", "control", "out")}
    run("collect", *(part for name, value in given.items() for part in (f"--{name}", value)))
    return settings.out / "base_trainersae_layer2" / "target_set"


@pytest.fixture(scope="module")
def server(serve, source):
    return serve("--results", str(source.parents[1]))


def listed(screen, count):
    """The first rows of the list of so many prompts, all of whose columns only a wide window shows: four texts each."""
    screen.page.set_viewport_size({"width": 3000, "height": 1300})
    tables = screen.page.get_by_test_id("stDataFrame")
    table = tables.filter(has=screen.page.locator("th", has_text=re.compile(rf"^Active on {count} prompts$")))
    table.scroll_into_view_if_needed()
    screen.settle()
    return table.locator("[role=grid] tbody tr").evaluate_all(
        "rows => rows.map((row) => Array.from(row.querySelectorAll('td'), (cell) => cell.textContent))"
    )


def expected(source, token_type, feature_id):
    """The same from the file: target before control, the strongest first."""
    active = pd.read_parquet(source / "activations.parquet").astype({"model": "str", "prompt_set": "str"})
    rows = active[(active["token_type"] == token_type) & (active["feature_id"] == feature_id)]
    found = {}
    for row in rows.itertuples():
        found.setdefault((row.prompt_set, row.prompt_id), {})[row.model] = row.activation
    ordered = sorted(found.items(), key=lambda item: (item[0][0] != "target", -max(item[1].values()), item[0][1]))
    return [(of, values.get("base", 0), values.get("chat", 0), PROMPTS[of][i]) for (of, i), values in ordered]


def test_from_two_models_to_the_prompts_of_a_feature(screen, source, tmp_path):
    run("export", source, "--csv", tmp_path / "table.csv")
    kept = pd.read_csv(tmp_path / "table.csv")
    screen.open()
    assert screen.count() == len(kept) > 3
    counts = kept.set_index(["token_type", "feature_id"])["chat_target_num_active"]
    row, key = max(enumerate(screen.rows()), key=lambda found: counts[found[1]])
    screen.pick_row(row)
    screen.expect_detail(key)
    rows = expected(source, *key)
    assert len(rows) > 1  # precondition: there is an order to see
    on_screen = listed(screen, len(rows))
    assert len(on_screen) >= min(8, len(rows))
    for shown, (of, base, chat, content) in zip(on_screen, rows, strict=False):
        assert shown[:2] == [content, of.capitalize()]
        assert [float(text) for text in shown[2:4]] == pytest.approx([base, chat], rel=1e-3)
