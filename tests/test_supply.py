"""What is installed and what CI runs: nothing that could be replaced unseen."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OPTIONAL = PROJECT["project"]["optional-dependencies"]
DEPENDENCIES = [
    *PROJECT["project"]["dependencies"],
    *(each for extra in OPTIONAL.values() for each in extra),
    *PROJECT["build-system"]["requires"],
]
LISTED = [
    line.partition(" #")[0].strip()
    for name in ("requirements.txt", "requirements-dev.txt")
    for line in (ROOT / name).read_text("utf-8").splitlines()
    if re.match("[A-Za-z]", line)
]
STEPS = [
    step
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
    for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
    for step in job["steps"]
    if "uses" in step
]


@pytest.mark.parametrize("dependency", [*DEPENDENCIES, *LISTED])
def test_dependency_has_an_upper_bound(dependency):
    """A new major version was installed on the day of its release."""
    assert re.search(r"<[0-9]|==[0-9]", dependency)


def test_package_and_requirements_take_the_same_versions():
    """But for torch, which is pinned where the smaller build of it is taken."""
    ours = {re.split("[<>=]", each)[0]: each for each in PROJECT["project"]["dependencies"]}
    theirs = {re.split("[<>=]", each)[0]: each for each in LISTED}
    assert {name: theirs[name] for name in ours if name != "torch"} == {n: d for n, d in ours.items() if n != "torch"}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["uses"].partition("@")[0])
def test_action_is_named_by_its_commit(step):
    """Whoever can move a tag can run code in CI."""
    assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"])
    if step["uses"].startswith("actions/checkout@"):
        assert step["with"]["persist-credentials"] is False
