"""`featurediff app`: what it is told, what it refuses, and what it hands on."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import streamlit
from typer.testing import CliRunner

import featurediff
from featurediff.app import server
from featurediff.app.config import CONFIG
from featurediff.cli import app
from featurediff.errors import DataError

ROOT = Path(__file__).parents[2]


def flat(options, before=""):
    """{"theme": {"font": …}} as {"theme.font": …}."""
    found = {}
    for name, value in options.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return found


def test_limits_and_theme_are_those_of_the_file():
    assert flat(tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))) == dict(CONFIG)


def test_script_is_the_one_that_streamlit_run_takes():
    assert server.SCRIPT == ROOT / "streamlit_app.py"
    assert server.SCRIPT.is_file()


@pytest.fixture
def ran(monkeypatch):
    """What a server was started with, instead of the server."""
    found = []

    class Recorded(streamlit.App):
        def run(self, *, config=None):
            found.append((str(self._script_path), sys.argv[1:], dict(config)))

    monkeypatch.setattr(sys, "argv", ["featurediff", "app"])
    monkeypatch.setattr(streamlit, "App", Recorded)
    return found


def test_without_anything_it_is_the_demo_for_this_machine(ran, monkeypatch):
    monkeypatch.delenv("FEATUREDIFF_RESULTS", raising=False)
    done = CliRunner().invoke(app, ["app"], catch_exceptions=False)
    own = {"server.address": "127.0.0.1", "server.maxUploadSize": 500}
    assert ran == [(str(server.SCRIPT), [], {**CONFIG, **own})]
    assert done.stdout == "Only this machine can open the dashboard. To share it, add --address 0.0.0.0\n"


def test_options_reach_script_and_server(ran, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-my results").mkdir()
    template = "https://example.org/{feature_id}"
    words = ["app", "--port", "8600", "--address", "0.0.0.0", "--neuronpedia-template", template]
    words += ["--follow-links", "--", "-my results"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    (script, arguments, config), *others = ran
    assert not others
    assert script == str(server.SCRIPT)
    assert arguments == [
        f"--results={tmp_path / '-my results'}",
        f"--neuronpedia-template={template}",
        "--follow-links",
    ]
    assert config == {**CONFIG, "server.address": "0.0.0.0", "server.port": 8600}
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "megabytes"),
    [
        (["--address", "localhost"], 500),
        (["--address", "0.0.0.0"], 64),
        (["--address", "192.168.0.7"], 64),
        (["--max-upload", "7"], 7),
        (["--address", "0.0.0.0", "--max-upload", "900"], 900),
    ],
)
def test_uploads_are_small_where_others_can_open_the_dashboard(ran, words, megabytes):
    CliRunner().invoke(app, ["app", *words], catch_exceptions=False)
    ((_, _, config),) = ran
    assert config["server.maxUploadSize"] == megabytes


def test_make_run_listens_on_this_machine_only():
    """Under `make test` it is a make within a make, which names its directory before and after."""
    command = ["make", "--no-print-directory", "-n", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    said, ran = done.stdout.splitlines()[-2:]
    assert said == (
        "echo 'Only this machine can open the dashboard. To share it: make run ARGS=\"--server.address 0.0.0.0\"'"
    )
    assert "streamlit run streamlit_app.py --server.address localhost --server.maxUploadSize 500" in ran


def test_nobody_sees_a_traceback():
    """It shows paths, and what else is in memory, to whoever opens the page."""
    assert CONFIG["client.showErrorDetails"] == "none"


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_results_that_are_no_folder_are_refused_before_a_server_starts(ran, tmp_path, name):
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(app, ["app", str(tmp_path / name)])
    assert isinstance(done.exception, DataError)
    assert str(done.exception) == (
        f"`{tmp_path / name}` is not a folder. Expected a results tree, or nothing for the demo."
    )
    assert ran == []


def test_version_is_the_packages_own():
    done = CliRunner().invoke(app, ["--version"], catch_exceptions=False)
    assert done.stdout == f"{featurediff.__version__}\n"
    assert done.exit_code == 0


def test_other_commands_do_without_streamlit():
    """It takes half a second of each."""
    code = "import sys, featurediff.cli; print('streamlit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"
