"""The app under fire: names, files and disks that are not as they should be, on both pages."""

import os

import pytest
from builders import make_explanations, make_source
from conftest import SAE_FOLDER
from dashboard import open_app, open_compare, said

SOURCE, OTHER = f"{SAE_FOLDER}/personal_40", f"{SAE_FOLDER}/second_40"


@pytest.fixture(autouse=True)
def tree(monkeypatch, tmp_path):
    """A results tree of two sources of one SAE."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    for name in (SOURCE, OTHER):
        make_source(tmp_path / "results" / name, num_target_prompts=9)
    return tmp_path / "results"


# Names


def test_folder_whose_name_is_not_utf8_is_shown_with_escapes(tree):
    """One such folder ended both pages, whatever source was shown: a link cannot hold half a surrogate pair."""
    name = os.fsdecode(b"caf\xe9_trainer\xff_layer3/p\xfe")
    try:
        folder = make_source(tree / name)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    make_explanations(tree / "explanations" / f"{folder.parent.name}.csv")
    shown = r"caf\udce9_trainer\udcff_layer3/p\udcfe"
    at = open_app(feature="2@model")
    assert not at.exception
    at.selectbox(key="source").set_value(shown).run()
    assert not at.exception
    assert r"after layer 20 · p\udcfe" in said(at)
    assert r"caf\udce9_trainer\udcff_layer3.csv  SHA-256 " in said(at)
    assert not open_compare().exception
    (folder / "chat.pt").unlink()
    at.run()
    assert not at.exception
    assert r"p\udcfe` has no `chat.pt`" in said(at)
    at = open_compare()
    assert not at.exception
    assert r"p\udcfe` has no `chat.pt`" in said(at)
