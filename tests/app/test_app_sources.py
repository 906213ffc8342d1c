"""The dashboard's sources: several of them, bad ones, and files that change while they are shown."""

import os
import re
import shutil

import pytest
import torch
from builders import make_explanations, make_source, model_data
from conftest import SAE_FOLDER
from dashboard import count, draw_box, held, link, open_app, open_compare, rows, said, table_of, traces, warnings_of

NAN, COUNT = torch.nan, "target_num_active"
OTHER = "llama_trainer8x_layer3/other_set"


@pytest.fixture(autouse=True)
def tree(monkeypatch, tmp_path):
    """A results tree of two sources; the second one lacks a token type and a metric that the first has."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    tree = tmp_path / "results"
    make_source(tree / SAE_FOLDER / "personal_40")
    models = {model: model_data(model, ("model", "asst")) for model in ("base", "chat")}
    for data in models.values():
        for token_type in ("model", "asst"):
            del data[token_type]["target_all_std"]
    make_source(tree / OTHER, **models)
    return tree


def choose(at, source):
    return at.selectbox(key="source").set_value(source).run()


def test_sources_are_offered_in_few_words_and_the_first_is_shown():
    at = open_app()
    assert at.selectbox(key="source").options == [
        "gemma · layer 20 · 131k-l0-114 · personal_40",
        "llama · layer 3 · 8x · other_set",
        "Demo (synthetic)",
        "Upload files…",
    ]
    assert at.session_state["source"] == f"{SAE_FOLDER}/personal_40"
    assert {token_type for token_type, _ in traces(open_app(source=OTHER))} == {"model", "asst"}


def test_sources_that_few_words_do_not_tell_apart_are_offered_by_their_path(tree):
    make_source(tree / "again" / SAE_FOLDER / "personal_40")
    options = open_app().selectbox(key="source").options
    assert len(set(options)) == len(options) == 5


def test_links_out_of_the_tree_are_followed_only_if_the_starter_says_so(monkeypatch, tree, tmp_path):
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tree))
    make_source(tmp_path / "elsewhere" / "p")
    (tree / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    passed_over = (
        "1 link leads out of the results folder and is not followed. To follow them, start the app with "
        "--follow-links, or set FEATUREDIFF_FOLLOW_LINKS=1."
    )
    for at in (open_app(), open_compare()):
        assert not at.exception
        (note,) = [caption.value for caption in at.sidebar.caption if "not followed" in caption.value]
        assert note.replace("\\", "").replace("\u2060", "") == passed_over
    assert "linked/p" not in open_app().selectbox(key="source").options
    monkeypatch.setenv("FEATUREDIFF_FOLLOW_LINKS", "1")
    at = open_app()
    assert "linked/p" in at.selectbox(key="source").options
    assert "not followed" not in said(at)


def test_another_source_forgets_pick_and_box_and_keeps_what_it_can():
    at = open_app(
        metric="target_max", token_types="model", exclusivity="base", min_target="2", scale="linear", feature="2@model"
    )
    draw_box(at, [{"legendgroup": "model", "customdata": 2}])
    choose(at, OTHER)
    assert not at.exception
    assert not at.warning
    assert held(at).picked is None
    assert held(at).subset == ()
    assert "feature" not in link(at)
    kept = {name: at.session_state[name] for name in ("metric", "token_types", "exclusivity", "min_target", "scale")}
    assert kept == {
        "metric": "target_max",
        "token_types": ["model"],
        "exclusivity": ["base"],
        "min_target": 2.0,
        "scale": "linear",
    }
    assert sorted(rows(at)) == [("model", 1), ("model", 2)]


def test_what_another_source_lacks_is_said_and_falls_back():
    at = open_app(metric="target_all_std", token_types=["model", "newline"])
    choose(at, OTHER)
    assert not at.exception
    assert at.session_state["metric"] == "target_all_mean"
    assert at.session_state["token_types"] == ["model"]
    assert warnings_of(at) == [
        "Not used: metric=target_all_std is not one of target_all_mean, target_max, target_sparsity, control_all_mean, "
        "control_all_std.",
        "Not used: token_types=newline is not one of model, asst.",
    ]
    choose(at, "demo")
    assert not at.warning, "what was said of one source is not said of the next"


def test_without_the_usual_metric_the_first_one_is_shown(tree):
    models = {model: model_data(model) for model in ("base", "chat")}
    for data in models.values():
        for token_type in ("model", "newline"):
            del data[token_type]["target_all_mean"]
    make_source(tree / "odd" / "set", **models)
    at = open_app(source="odd/set")
    assert not at.exception
    assert at.session_state["metric"] == "target_all_std"
    assert not at.query_params.get("metric")


def replace_vector(model, token_type, name, vector):
    data = model_data(model)
    data[token_type][name] = vector
    return {model: data}


def older(model):
    data = model_data(model)
    return {
        name: {key.removeprefix("target_"): cells for key, cells in part.items() if key.startswith("target_")}
        if name != "metadata"
        else part
        for name, part in data.items()
    }


BAD = {
    "missing half": (lambda folder: (folder / "chat.pt").unlink(), "has no `chat.pt`"),
    "swapped": (
        lambda folder: make_source(folder, base=model_data("chat"), chat=model_data("base")),
        "Were the two files swapped?",
    ),
    "same twice": (lambda folder: shutil.copy(folder / "base.pt", folder / "chat.pt"), "are the same file"),
    "older format": (lambda folder: make_source(folder, chat=older("chat")), "is in the older format"),
    "cut short": (lambda folder: os.truncate(folder / "base.pt", 900), "`base.pt`"),
    "empty": (lambda folder: os.truncate(folder / "base.pt", 0), "`base.pt`"),
    "no torch file": (lambda folder: (folder / "base.pt").write_text("hello"), "`base.pt`"),
    "no counts": (
        lambda folder: make_source(folder, **replace_vector("chat", "newline", "target_num_active", None)),
        "`chat.pt`: token type 'newline', 'target_num_active'",
    ),
    "too short": (
        lambda folder: make_source(folder, **replace_vector("base", "model", "control_num_active", torch.zeros(7))),
        "`base.pt`: token type 'model', 'control_num_active'",
    ),
    "counts": (
        lambda folder: make_source(folder, **replace_vector("base", "model", COUNT, torch.full((8,), 9))),
        "is above the number of prompts",
    ),
    "other width": (lambda folder: make_source(folder, chat=model_data("chat", num_features=9)), "has 9 features"),
    "no metadata": (lambda folder: torch.save({"model": {}}, folder / "base.pt"), "metadata"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_a_bad_source_is_said_in_plain_text_and_others_can_be_chosen(tree, spoil, message):
    make_explanations(tree / "explanations" / f"{SAE_FOLDER}.csv")
    spoil(tree / SAE_FOLDER / "personal_40")
    at = open_app(metric="target_max", search="x")
    assert not at.exception
    assert [error.value for error in at.error] == ["This source cannot be shown."]
    (code,) = at.code
    assert message in code.value
    assert not at.get("plotly_chart")
    choose(at, OTHER)
    assert not at.exception
    assert not at.error
    assert at.session_state["metric"] == "target_max"


def test_explanations_that_cannot_be_used_leave_the_source_as_it_is(tree):
    """A source could not be shown where its explanations could not be read."""
    file = make_explanations(tree / "explanations" / f"{SAE_FOLDER}.csv")
    file.write_bytes(b"feature_id\n\xff\n")
    at = open_app()
    assert not at.exception
    assert not at.error
    assert len(rows(at)) == 12
    assert "is not UTF-8" in said(at)
    assert "So features are shown without explanations." in said(at)
    make_explanations(file)
    at.run()
    assert "is not UTF-8" not in said(at)
    assert "commas, and more" in set(table_of(at).value["explanation"])


def test_a_link_is_held_against_the_first_source_that_can_be_shown(tree):
    (tree / SAE_FOLDER / "personal_40" / "chat.pt").unlink()
    at = open_app(scale="log")
    assert not at.exception
    choose(at, OTHER)
    assert warnings_of(at) == ["Not used: scale=log is not one of auto, linear, sqrt, symlog."]


@pytest.mark.parametrize("name", ["not there", "empty", "file"])
def test_without_a_source_the_demo_is_shown_and_the_reason_said(monkeypatch, tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / name))
    at = open_app()
    assert not at.exception
    assert [error.value for error in at.error] == ["The results folder cannot be shown."]
    assert str(tmp_path / name) in at.code[0].value
    assert at.selectbox(key="source").options == ["Demo (synthetic)", "Upload files…"]
    assert "synthetic demo data" in said(at)


@pytest.mark.parametrize("name", ["demo", "upload"])
def test_a_folder_may_be_called_like_the_demo(tree, name):
    """A source called `demo` was labelled as synthetic, one called `upload` could not be shown."""
    make_source(tree / name)
    at = open_app(source=f"{name}/")
    assert not at.exception
    assert count(at) == "12 features"
    assert at.session_state["source"] == f"{name}/"
    assert at.selectbox(key="source").options.count(name) == 1
    assert len(set(at.selectbox(key="source").options)) == 5


def test_a_replaced_file_is_read_again(tree):
    folder = tree / SAE_FOLDER / "personal_40"
    at = open_app()
    assert count(at) == "12 features"
    before = folder / "chat.pt"
    size, times = before.stat().st_size, before.stat()
    data = model_data("chat")
    data["model"]["target_num_active"] = torch.zeros(8, dtype=torch.int64)
    make_source(folder / ".new", chat=data)
    shutil.copyfile(folder / ".new" / "chat.pt", before)
    os.utime(before, ns=(times.st_atime_ns, times.st_mtime_ns))
    same = before.stat()
    assert (same.st_size, same.st_ino, same.st_mtime_ns) == (size, times.st_ino, times.st_mtime_ns), (
        "only ctime differs"
    )
    at.run()
    assert not at.exception
    assert count(at) == "10 features"


def test_a_file_written_in_place_is_read_again(tree):
    at = open_app()
    file = tree / SAE_FOLDER / "personal_40" / "chat.pt"
    data = model_data("chat")
    data["model"]["target_num_active"] = torch.zeros(8, dtype=torch.int64)
    torch.save(data, file)
    at.run()
    assert count(at) == "10 features"


def test_explanations_that_come_later_are_shown(tree):
    at = open_app()
    assert set(table_of(at).value["explanation"]) == {""}
    make_explanations(tree.parent / "explanations" / f"{SAE_FOLDER}.csv")
    at.run()
    assert "commas, and more" in set(table_of(at).value["explanation"])


def test_half_of_a_source_deleted_while_it_is_shown_is_said(tree):
    at = open_app()
    (tree / SAE_FOLDER / "personal_40" / "chat.pt").unlink()
    at.run()
    assert not at.exception
    assert "has no `chat.pt`" in said(at)


def test_a_source_deleted_while_it_is_shown_is_said(tree):
    """The first source took its place without a word."""
    at = open_app(source=OTHER, feature="2@model")
    shutil.rmtree(tree / OTHER)
    at.run()
    assert not at.exception
    assert f"source={OTHER} is not one of {SAE_FOLDER}/personal_40, demo, upload" in said(at)
    assert at.session_state["source"] == f"{SAE_FOLDER}/personal_40"
    assert held(at).picked is None, "feature 2 of the other source is another feature"


def test_all_sources_deleted_while_one_is_shown_are_said(tree):
    at = open_app()
    shutil.rmtree(tree)
    at.run()
    assert not at.exception
    assert "The results folder cannot be shown." in said(at)


def test_uploads_are_asked_for():
    at = open_app(source="upload")
    assert not at.exception
    assert "Upload a base.pt and a chat.pt in the sidebar." in at.info[0].value
    assert [uploader.proto.label for uploader in at.get("file_uploader")] == [
        "base.pt",
        "chat.pt",
        "Explanations (optional)",
    ]
    choose(at, OTHER)
    assert not at.exception
    assert len(rows(at)) == 12


def test_uploaded_files_are_checked_and_shown(tree, tmp_path):
    folder = tree / SAE_FOLDER / "personal_40"
    explanations = make_explanations(tmp_path / "texts.csv")
    at = open_app(source="upload")
    upload(at, base=folder / "base.pt", chat=folder / "chat.pt", explanations=explanations)
    assert not at.exception
    assert count(at) == "12 features"
    assert "commas, and more" in set(table_of(at).value["explanation"])
    upload(at, base=folder / "chat.pt")
    assert not at.exception
    assert "This source cannot be shown." in said(at)


def upload(at, **paths):
    for name, path in paths.items():
        uploader = next(u for u in at.file_uploader if u.key == f"upload_{name}")
        uploader.set_value((path.name, path.read_bytes(), "application/octet-stream"))
    at.run()


def test_a_relative_results_folder_is_understood(monkeypatch, tree):
    monkeypatch.chdir(tree.parent)
    monkeypatch.setenv("FEATUREDIFF_RESULTS", "results")
    at = open_app()
    assert not at.error
    assert re.match(SAE_FOLDER, at.session_state["source"])
