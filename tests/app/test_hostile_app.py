"""The app under fire: names, files and disks that are not as they should be, on both pages."""

import os
import re
import shutil
import tempfile
from hashlib import sha256

import pandas as pd
import pytest
import torch
from builders import activation_rows, make_explanations, make_prompts, make_source, model_data
from conftest import SAE_FOLDER
from corpus import bytes_of, saved
from dashboard import (
    click_row,
    count,
    draw_box,
    held,
    markdown_texts,
    open_app,
    open_compare,
    rows,
    said,
    table_of,
)

from featurediff import load
from featurediff.app.sources import demo_sources
from featurediff.errors import DataError

SOURCE, OTHER = f"{SAE_FOLDER}/personal_40", f"{SAE_FOLDER}/second_40"


@pytest.fixture(autouse=True)
def tree(monkeypatch, tmp_path):
    """A results tree of two sources of one SAE."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    for name in (SOURCE, OTHER):
        make_source(tmp_path / "results" / name, num_target_prompts=9, num_control_prompts=7)
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
    assert r"layer 20 · p\udcfe" in said(at)
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
    (effects,) = [frame.value for frame in at.dataframe if "test" in frame.value]
    assert effects["test"].tolist() == ["sign-flip", "exchange", "mcnemar", "exchange"]
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
    assert [pd.isna(text) for text in prompts_of(at)] == [True] * 9
    (paired / "activations.parquet").unlink()
    at.run()
    assert not at.exception
    assert prompts_of(at) is None
    assert "McNemar" not in said(at)


# Files that change, go, or are of two states


def active_nowhere(side):
    """The file of a model in which no feature is active at `model`."""
    data = model_data(side, num_target_prompts=9)
    data["model"]["target_num_active"] = torch.zeros(8, dtype=torch.int64)
    return data


def hashes(folder):
    return {name: sha256((folder / name).read_bytes()).hexdigest() for name in ("base.pt", "chat.pt")}


def shown_hashes(at):
    return dict(re.findall(r"^(base\.pt|chat\.pt)  SHA-256 ([0-9a-f]{64})$", said(at), re.MULTILINE))


def test_hashes_are_of_the_numbers_that_are_shown(tree, download):
    folder = tree / SOURCE
    at = open_app()
    assert shown_hashes(at) == hashes(folder)
    before, old_page = hashes(folder), download(".html").decode()
    make_source(folder, chat=active_nowhere("chat"), num_target_prompts=9, num_control_prompts=7)
    assert all(digest in old_page for digest in before.values())
    assert all(digest in download(".html").decode() for digest in before.values()), "what is still on the screen"
    at.run()
    assert count(at) == "10 features"
    assert shown_hashes(at) == hashes(folder) != before
    assert hashes(folder)["chat.pt"] in download(".html").decode()
    assert before["chat.pt"] not in download(".html").decode()


def replacing(monkeypatch, where, change, times):
    """Let a function that reads a source's files change them at the end of its first calls."""
    module, name = where
    real, calls = getattr(module, name), []

    def read(*arguments):
        found = real(*arguments)
        calls.append(arguments)
        if len(calls) <= times:
            change(len(calls))
        return found

    monkeypatch.setattr(module, name, read)
    return calls


def test_file_that_is_replaced_while_it_is_read_is_never_shown_under_the_other_name(monkeypatch, tree):
    """What was read of the new file was kept under the old one's identity, and shown again when the old came back."""
    from featurediff import loading

    folder = tree / SOURCE
    old = folder / "chat.pt"
    make_source(folder / ".new", chat=active_nowhere("chat"), num_target_prompts=9, num_control_prompts=7)

    def swap(_call):
        old.rename(folder / ".new" / "old.pt")
        (folder / ".new" / "chat.pt").rename(old)

    calls = replacing(monkeypatch, (loading, "read_results"), swap, 1)
    at = open_app()
    assert len(calls) == 2, "read again"
    assert count(at) == "10 features"
    assert shown_hashes(at) == hashes(folder)
    old.rename(folder / ".new" / "chat.pt")
    (folder / ".new" / "old.pt").rename(old)
    at.run()
    assert count(at) == "12 features"
    assert shown_hashes(at) == hashes(folder)


def test_source_that_changes_each_time_is_said(monkeypatch, tree):
    from featurediff import loading

    folder = tree / SOURCE

    def touch(call):
        os.utime(folder / "base.pt", ns=(call, call))

    with monkeypatch.context() as patch:
        replacing(patch, (loading, "read_results"), touch, 9)
        with pytest.raises(DataError) as caught:
            load(folder)
    assert str(caught.value) == (
        f"`{folder}` changed each of the 3 times it was read. Try again when it is written completely."
    )
    replacing(monkeypatch, (loading, "read_results"), touch, 1)
    assert load(folder).files == hashes(folder)


def test_half_written_file_is_said_and_the_whole_one_shown(tree):
    file = tree / SOURCE / "base.pt"
    whole = file.read_bytes()
    at = open_app(feature="2@model")
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        for page in (at.run(), open_compare()):
            assert not page.exception
            assert any(code.value.startswith("`base.pt`") for code in page.code)
        assert not at.get("plotly_chart")
    file.write_bytes(whole)
    at.run()
    assert not at.error
    assert len(rows(at)) == 12


def test_explanations_that_are_replaced_spoilt_and_deleted_are_followed(tree):
    file = make_explanations(tree.parent / "explanations" / f"{SAE_FOLDER}.csv")
    at = open_app(feature="2@model")
    assert "commas, and more" in [text.value for text in at.text]
    make_explanations(file, [("2", "another text")])
    at.run()
    assert "another text" in [text.value for text in at.text]
    file.write_bytes(b"feature_id,claude_desc\n2,\xff\n")
    at.run()
    assert not at.exception
    assert "is not UTF-8" in said(at)
    file.unlink()
    at.run()
    assert not at.error
    assert "No explanation available." in said(at)


# The demo


@pytest.fixture
def demo_is_new(monkeypatch):
    """Let the app make its demo again, and again for whoever comes after."""
    monkeypatch.delenv("FEATUREDIFF_RESULTS")
    demo_sources.clear()
    yield
    demo_sources.clear()


@pytest.mark.usefixtures("demo_is_new")
def test_demo_that_cannot_be_written_is_said_and_files_can_be_uploaded(monkeypatch, tmp_path):
    """A full or missing folder for temporary files ended both pages with a traceback."""
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        at = open_app()
        assert not at.exception
        assert [error.value for error in at.error] == ["There is no demo.", "This source cannot be shown."]
        assert at.code[0].value == (
            "The demo cannot be written (No such file or directory). TMPDIR names the folder for it: is there room?"
        )
        assert at.selectbox(key="source").options == ["Demo (synthetic)", "Upload files…"]
        assert not at.selectbox(key="source").set_value("upload").run().exception
        assert not open_compare().exception
    at.selectbox(key="source").set_value("demo").run()
    assert not at.error
    assert count(at) == "740 features"


@pytest.mark.usefixtures("demo_is_new")
def test_demo_that_does_not_fit_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        at = open_app()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not at.exception
    assert "cannot be written (File too large)" in said(at)
    assert not list(tmp_path.glob("featurediff-demo-*"))


@pytest.mark.usefixtures("demo_is_new")
def test_demo_that_was_swept_away_is_made_again():
    """After the system had swept its folder for temporary files, the demo was gone until the server's next start."""
    at = open_app()
    folder = demo_sources()["demo"].folder
    shutil.rmtree(folder.parents[2])
    at.run()
    assert not at.error
    assert count(at) == "740 features"
    assert demo_sources()["demo"].folder != folder


# Uploads


def upload(at, **files):
    for name, data in files.items():
        uploader = next(one for one in at.file_uploader if one.key == f"upload_{name}")
        uploader.set_value((f"{name}.{'csv' if name == 'explanations' else 'pt'}", data, "application/octet-stream"))
    return at.run()


def is_starred(at):
    return table_of(at).value["mark"].str.contains("★").any()


def test_uploads_of_one_name_are_told_apart(tree):
    """Box, picked feature and stars of one upload were taken for another's, whatever SAE that was of."""
    folder = tree / SOURCE
    base, chat = ((folder / name).read_bytes() for name in ("base.pt", "chat.pt"))
    at = upload(open_app(source="upload", feature="2@model"), base=base, chat=chat)
    click_row(at, 0)
    at.button(key="star").click().run()
    draw_box(at, [{"legendgroup": "model", "customdata": 2}])
    assert (count(at), is_starred(at)) == ("1 of 12 features", False)
    upload(at, chat=bytes_of("chat", num_target_prompts=9, source="another"))
    assert not at.exception
    assert count(at) == "12 features"
    assert held(at).picked is None
    assert not is_starred(at)
    upload(at, chat=chat)
    assert is_starred(at)
    names = [name for name, _ in held(at).stars]
    assert names == [f"upload {hashes(folder)['base.pt'][:8]} {hashes(folder)['chat.pt'][:8]}"]


BROKEN = {
    "base as chat": ({"chat": "base"}, "are the same file"),
    "swapped": ({"base": "chat", "chat": "base"}, "Were the two files swapped?"),
    "empty": ({"base": b""}, "is empty"),
    "a picture": ({"base": b"\x89PNG\r\n\x1a\n" + b"x" * 500}, "is not a torch file"),
    "text": ({"chat": b"hello"}, "is not a torch file"),
    "a pickle that wants code": ({"base": saved({"metadata": re.compile("x")})}, "which is not run"),
}  # fmt: skip


@pytest.mark.parametrize(("spoilt", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_upload_is_said_and_the_next_one_shown(tree, spoilt, message):
    good = {name: (tree / SOURCE / f"{name}.pt").read_bytes() for name in ("base", "chat")}
    at = upload(open_app(source="upload"), **good)
    assert len(rows(at)) == 12
    upload(at, **{name: good.get(data, data) if isinstance(data, str) else data for name, data in spoilt.items()})
    assert not at.exception
    assert "This source cannot be shown." in said(at)
    assert message in at.code[0].value
    assert not at.get("plotly_chart")
    upload(at, **good, explanations=b"feature_id,explanation\n2,fine\n")
    assert not at.error
    assert len(rows(at)) == 12
    at.selectbox(key="source").set_value(OTHER).run()
    assert len(rows(at)) == 12


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (b"\x00\xff,\n", "is not UTF-8"),
        (b"a,b\n1,2\n", "has the columns 'a', 'b', but expected one of"),
        ("base", "is an Excel workbook, or another zip archive"),
        (b"![](http://127.0.0.1:9/x.png);b\n", "has semicolons between its columns"),
    ],
    ids=["no explanations", "without columns", "results", "semicolons"],
)
def test_broken_explanations_are_said_and_the_statistics_shown(tree, spoilt, message):
    """They took the statistics away."""
    good = {name: (tree / SOURCE / f"{name}.pt").read_bytes() for name in ("base", "chat")}
    at = upload(open_app(source="upload"), **good, explanations=good.get(spoilt, spoilt))
    assert not at.exception
    assert not at.error
    assert len(rows(at)) == 12
    (said_so,) = [caption.value for caption in at.caption if "without explanations" in caption.value]
    assert message in said_so.replace("\\", "").replace("\u2060", "")
    assert "![](" not in said_so
    upload(at, explanations=b"feature_id,explanation\n2,fine\n")
    assert not [caption for caption in at.caption if "without explanations" in caption.value]
    assert "fine" in set(table_of(at).value["explanation"])


def test_row_of_the_comparison_opens_what_stood_in_it_when_it_was_clicked(tree):
    """A source that broke meanwhile moved the rows below it up, so that a click opened another source."""
    make_source(tree / SAE_FOLDER / "third_40")
    at = open_compare()
    (counts,) = [frame.value for frame in at.dataframe if "exclusive_kept" in frame.value]
    at.session_state["open_source"] = {"row": counts["source"].tolist().index(":material/arrow_forward: second_40")}
    (tree / SOURCE / "chat.pt").unlink()
    at.run()
    assert not at.exception
    assert at.session_state["source"] == OTHER
