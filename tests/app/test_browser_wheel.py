"""The package as others get it: a wheel, installed without this folder, opens the dashboard from an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from featurediff import __version__
from featurediff.app.config import CONFIG

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait
ROOT = Path(__file__).parents[2]


def pip(*words):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built of a copy: beside the code, an earlier build would leave files that are no longer there."""
    copy, made = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", "streamlit_app.py"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "featurediff", copy / "featurediff", ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", made, copy)
    (found,) = made.iterdir()
    return found


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder with what the wheel holds; what it depends on is found where these tests find it."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


@pytest.fixture(scope="module")
def server(site, tmp_path_factory):
    from browser import free_port, started

    port, empty = free_port(), tmp_path_factory.mktemp("empty")
    command = [sys.executable, site / "bin" / "featurediff", "app", "--port", str(port)]
    environment = {"PYTHONPATH": str(site), "STREAMLIT_SERVER_HEADLESS": "true"}
    with started(command, port, tmp_path_factory.mktemp("log") / "log.txt", empty, **environment) as found:
        yield found
    assert list(empty.iterdir()) == []


def test_wheel_holds_the_script_and_all_that_is_not_code(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        "streamlit_app.py",
        "featurediff/py.typed",
        "featurediff/app/compare.py",
        "featurediff/app/static/browser.js",
        "featurediff/app/static/chart_link.js",
        "featurediff/app/static/icon.png",
        "featurediff/charts/minus_signs.js",
        "featurediff/meaning/LICENSE-sae-lens",
        "featurediff/meaning/neuronpedia.tsv",
    } < set(names)
    outside = {name.split("/")[0] for name in names} - {"streamlit_app.py", "featurediff"}
    assert outside == {f"featurediff-{__version__}.dist-info"}


def test_installed_package_is_not_this_folder(site, tmp_path):
    code = "import featurediff; from featurediff.app.server import SCRIPT; print(SCRIPT, featurediff.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
    )
    assert done.stdout.split() == [str(site / "streamlit_app.py"), str(site / "featurediff" / "__init__.py")]


def colour_of(locator):
    return locator.evaluate("element => getComputedStyle(element).backgroundColor")


def rgb(colour):
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour.removeprefix("#")))


def test_installed_wheel_opens_on_the_demo(screen, server):
    screen.open()
    expect(screen.page.get_by_text("synthetic demo data")).to_be_visible()
    assert screen.title() == "Active on Target only · Mean activation, Base → Instruct"
    assert screen.finding().startswith("740 features are active on Target only")
    assert screen.count() == len(screen.points()) == 740
    assert colour_of(screen.page.get_by_test_id("stSidebar")) == rgb(CONFIG["theme.light.sidebar.backgroundColor"])
    assert colour_of(screen.page.get_by_test_id("stApp")) == rgb(CONFIG["theme.light.backgroundColor"])
    assert "Only this machine can open the dashboard. To share it, add --address 0.0.0.0" in server.tail()
    assert f"URL: {server.url}" in server.tail()


def test_installed_wheel_has_the_comparison(screen):
    screen.open()
    screen.press("compare")
    expect(screen.page.get_by_role("heading", name="Comparison of 7 sources")).to_be_visible()
    expect(screen.page.get_by_role("heading", name="All counts")).to_be_visible()
    screen.settle()
    assert screen.page.url == f"{screen.server.url}/compare"
