"""The app under fire: names, files and disks that are not as they should be, on both pages."""

import os

import pandas as pd
import pytest
from builders import activation_rows, make_explanations, make_prompts, make_source
from conftest import SAE_FOLDER
from dashboard import markdown_texts, open_app, open_compare, rows, said

from featurediff import load

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


# Activations and prompts beside the files

HOSTILE = "![x](http://127.0.0.1:9/x.png) <script>alert(1)</script> :red[r]\n\x00\u202e{} \U0001f600"


def prompts_of(at):
    """The prompts that are listed for the picked feature, or None."""
    found = [frame.value for frame in at.dataframe if "content" in frame.value]
    return found[0]["content"].tolist() if found else None


@pytest.fixture
def paired(tree):
    """The first source with its activations and prompts."""
    folder = tree / SOURCE
    activation_rows(load(folder)).to_parquet(folder / "activations.parquet")
    make_prompts(folder, HOSTILE)
    return folder


@pytest.mark.usefixtures("paired")
def test_prompts_of_strangers_are_shown_as_written():
    at = open_app(feature="2@model")
    assert not at.exception
    assert prompts_of(at)[0] == HOSTILE.replace("{}", "target 5")
    assert "McNemar" in said(at)
    assert not [text for text in markdown_texts(at) if "alert" in text or "x.png" in text]


SPOILT = {
    "activations cut short": ("activations.parquet", lambda file: os.truncate(file, 900), "cannot be read as Parquet"),
    "activations emptied": ("activations.parquet", lambda file: os.truncate(file, 0), "cannot be read as Parquet"),
    "activations of another run": (
        "activations.parquet",
        lambda file: pd.read_parquet(file).query("prompt_id > 0").to_parquet(file),
        "has feature 2 active on 3 target prompts in base at 'model', but `base.pt` says 4. Were they made together?",
    ),
    "activations twice": (
        "activations.parquet",
        lambda file: pd.concat([pd.read_parquet(file)] * 2).to_parquet(file),
        "has two activations of feature 2 at 'model' on one prompt in one model.",
    ),
    "prompts cut short": ("prompts.parquet", lambda file: os.truncate(file, 300), "cannot be read as Parquet"),
    "prompts twice": (
        "prompts.parquet",
        lambda file: pd.concat([pd.read_parquet(file)] * 2).to_parquet(file),
        "has two texts of one prompt. Expected one.",
    ),
    "prompts without texts": (
        "prompts.parquet",
        lambda file: pd.read_parquet(file).drop(columns="content").to_parquet(file),
        "expected 'content' as well",
    ),
}


@pytest.mark.parametrize(("name", "spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_spoilt_activations_are_said_and_not_listed(paired, name, spoil, message):
    """Prompts of another run and the mean of two activations were listed without a word; doubled texts were a crash."""
    at = open_app(feature="2@model")
    before = (paired / name).read_bytes()
    spoil(paired / name)
    at.run()
    assert not at.exception
    assert "The prompts cannot be listed." in said(at)
    assert any(code.value.startswith(f"`{name}` ") and message in code.value for code in at.code)
    assert prompts_of(at) is None
    assert len(rows(at)) == 12
    (paired / name).write_bytes(before)
    at.run()
    assert not at.error
    assert len(prompts_of(at)) == 9


def test_activations_that_come_and_go_are_followed(paired):
    at = open_app(feature="2@model")
    rows_before = pd.read_parquet(paired / "activations.parquet")
    moved = rows_before.assign(activation=rows_before["activation"] * 2)
    moved.to_parquet(paired / "new.parquet")
    (paired / "new.parquet").replace(paired / "activations.parquet")
    at.run()
    (listing,) = [frame.value for frame in at.dataframe if "content" in frame.value]
    assert listing["chat"].max() == 2 * (1 + 5 + 0.2), "of the new file"
    (paired / "prompts.parquet").unlink()
    at.run()
    assert prompts_of(at) == [None] * 9 or pd.isna(prompts_of(at)).all()
    (paired / "activations.parquet").unlink()
    at.run()
    assert not at.exception
    assert prompts_of(at) is None
    assert "McNemar" not in said(at)
