"""The command line of `featurediff collect`: what it needs no model, and none of its extras, for."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from featurediff.cli import app

ROOT = Path(__file__).parents[2]
GIVEN = [part for name in ("base", "chat", "sae", "target", "control", "out") for part in (f"--{name}", f"some-{name}")]


@pytest.mark.parametrize(
    ("args", "ray"),
    [
        ([], None),
        (["--ray"], "auto"),
        (["--ray", "--skip-bad"], "auto"),
        (["--ray", "10.0.0.1:6379"], "10.0.0.1:6379"),
        (["--ray=10.0.0.1:6379", "--skip-bad"], "10.0.0.1:6379"),
    ],
)
def test_ray_may_stand_without_an_address(args, ray):
    command = get_command(app).commands["collect"]
    for line in ([*GIVEN, *args], [*args, *GIVEN]):
        assert command.make_context("collect", line).params["ray"] == ray


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            [],
            "This needs transformers, sae_lens, accelerate, not installed here: pip install 'featurediff[collect]'\n",
        ),
        (
            ["--ray"],
            "This needs transformers, sae_lens, accelerate, not installed here: "
            "pip install 'featurediff[collect,cluster]'\n",
        ),
    ],
)
def test_says_what_to_install(args, message):
    code = (
        "import sys; sys.modules |= dict.fromkeys(['transformers', 'sae_lens', 'accelerate', 'ray']); "
        "from featurediff.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "collect", *GIVEN, *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (2, message)
