"""The report on packages with known weaknesses says what it could not look up."""

import json
import sys

import pytest

from scripts import audit

SKIPPED = {"name": "x", "skip_reason": "Dependency not found on PyPI and could not be audited: x (1.0)"}
FAULT = {"id": "GHSA-1", "fix_versions": ["2.1", "3.0"], "aliases": [], "description": "long"}
KNOWN = {"name": "torch", "version": "2.0", "vulns": [FAULT, {"id": "GHSA-22", "fix_versions": []}]}


def program(tmp_path, out, err="", code=0):
    """A program in pip-audit's place."""
    path = tmp_path / "pip-audit"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nprint({out!r})\nprint({err!r}, file=sys.stderr)\nsys.exit({code})\n"
    )
    path.chmod(0o755)
    return path


def said(monkeypatch, capsys, path):
    monkeypatch.setattr(sys, "argv", ["audit", str(path)])
    audit.main()
    return capsys.readouterr().out.splitlines()


def test_weaknesses_are_a_table(tmp_path, monkeypatch, capsys):
    found = {"dependencies": [KNOWN, {"name": "pandas", "version": "3.1", "vulns": []}]}
    assert said(monkeypatch, capsys, program(tmp_path, json.dumps(found), code=1)) == [
        "2 of 2 installed packages looked up, 2 known weaknesses.",
        "package  version  weakness  mended in",
        "torch    2.0      GHSA-1    2.1, 3.0",
        "torch    2.0      GHSA-22   none yet",
    ]


def test_what_was_not_looked_up_is_said(tmp_path, monkeypatch, capsys):
    """Where an index has no database behind it, "No known vulnerabilities found" stood above a list of 141 skips."""
    found = {"dependencies": [SKIPPED, SKIPPED]}
    path = program(tmp_path, json.dumps(found), "No known vulnerabilities found")
    assert said(monkeypatch, capsys, path) == [
        "0 of 2 installed packages looked up, 0 known weaknesses.",
        "2 not looked up: Dependency not found on PyPI and could not be audited.",
    ]


@pytest.mark.parametrize(
    ("out", "err", "why"),
    [
        ("", "Traceback\nConnectionError: no route", "ConnectionError: no route"),
        ("oops", "", "pip-audit says nothing"),
        ('{"error": 1}', "x", "x"),
    ],
)
def test_without_a_database_that_is_said_in_a_line(tmp_path, monkeypatch, capsys, out, err, why):
    """Where the database could not be reached, a traceback of a hundred lines was the report."""
    path = program(tmp_path, out, err, 1)
    assert said(monkeypatch, capsys, path) == [f"No report on weaknesses of packages: {why}."]


def test_without_pip_audit_that_is_said(tmp_path, monkeypatch, capsys):
    path = tmp_path / "none"
    why = f"{path} cannot be run (No such file or directory)"
    assert said(monkeypatch, capsys, path) == [f"No report on weaknesses of packages: {why}."]
