"""Which sources were made with the same prompts, by their files' SHA-256 or their texts."""

import pandas as pd
import pytest
import torch
from builders import make_source
from paired import make_paired

from featurediff.compare.counts import counts
from featurediff.compare.reading import read
from featurediff.compare.same_prompts import number_prompts, share_prompts, sharing_in_words
from featurediff.labels import Labels
from featurediff.loading import load
from featurediff.sources.tree import describe_source

ONE, OTHER, THIRD = "1" * 64, "2" * 64, "3" * 64


def named(target, control):
    return {"target": {"name": "t.txt", "sha256": target}, "control": {"name": "c.txt", "sha256": control}}


def source(folder, prompt_files=None, *, make=make_source, **more):
    return read(describe_source(make(folder, prompt_files=prompt_files, **more)), family=None)


@pytest.fixture
def sources(tmp_path):
    """Two with the same target file, of which one shares its control file with a third; and one that says nothing."""
    return [
        source(tmp_path / "x" / "a", named(ONE, OTHER)),
        source(tmp_path / "x" / "b", named(ONE, THIRD)),
        source(tmp_path / "x" / "c", named(THIRD, THIRD)),
        source(tmp_path / "x" / "d"),
    ]


def test_equal_files_have_equal_numbers(sources):
    assert number_prompts(sources) == [
        {"target": 1, "control": 1},
        {"target": 1, "control": 2},
        {"target": 2, "control": 2},
        {"target": None, "control": None},
    ]
    tidy = counts(sources, questions=["exclusive"]).drop_duplicates("source")
    assert tidy["same_target"].tolist() == [1, 1, 2, pd.NA]
    assert tidy["same_control"].tolist() == [1, 2, 2, pd.NA]


def test_a_target_file_is_no_control_file(sources):
    """The target file of one is the control file of the other: that is no prompt set in common."""
    assert share_prompts(sources[1], sources[2]) == ("control",)
    assert share_prompts(sources[0], sources[2]) == ()
    assert share_prompts(sources[3], sources[3]) == ()


def test_texts_tell_where_no_file_is_named(tmp_path):
    """Whatever their order, and whatever ids or groups they have."""
    one, other = (source(tmp_path / name, make=make_paired) for name in "ab")
    assert share_prompts(one, other) == ("target", "control")
    path = tmp_path / "b" / "prompts.parquet"
    pd.read_parquet(path).iloc[::-1].assign(group="g").to_parquet(path, index=False)
    assert share_prompts(one, read(describe_source(tmp_path / "b"), family=None)) == ("target", "control")
    texts = pd.read_parquet(path)
    texts.loc[texts["prompt_set"] == "target", "content"] += "!"
    texts.to_parquet(path, index=False)
    assert share_prompts(one, read(describe_source(tmp_path / "b"), family=None)) == ("control",)


def test_a_source_that_knows_file_and_texts_joins_two_that_know_one_each(tmp_path):
    file = source(tmp_path / "a", named(ONE, OTHER))
    both = source(tmp_path / "b", named(ONE, OTHER), make=make_paired)
    texts = source(tmp_path / "c", make=make_paired)
    assert share_prompts(file, texts) == ()
    for order in ([file, both, texts], [file, texts, both], [texts, file, both]):
        assert number_prompts(order) == [{"target": 1, "control": 1}] * 3


@pytest.mark.parametrize(
    "said",
    [
        "a text",
        {"target": "name"},
        {"target": {"name": "t.txt"}},
        {"target": {"sha256": "short"}},
        {"target": {"sha256": 7}},
        {"target": {"sha256": ONE.replace("1", "G")}},
        {3: {"sha256": ONE}},
    ],
)
def test_what_is_no_digest_is_no_reason_to_refuse_a_source(tmp_path, said):
    study = load(make_source(tmp_path / "a", prompt_files=said))
    assert study.results.base.metadata.prompt_files == {}


def test_a_damaged_prompts_file_is_no_reason_to_refuse_a_source(tmp_path):
    folder = make_source(tmp_path / "a", prompt_files=named(ONE, OTHER))
    (folder / "prompts.parquet").write_bytes(b"PAR1")
    found = read(describe_source(folder), family=None)
    assert found.marks == {"target": {f"file {ONE}"}, "control": {f"file {OTHER}"}}


def test_both_models_are_asked(tmp_path):
    folder = make_source(tmp_path / "a")
    chat = torch.load(folder / "chat.pt")
    chat["metadata"]["prompt_files"] = named(ONE, OTHER)
    torch.save(chat, folder / "chat.pt")
    assert read(describe_source(folder), family=None).marks["target"] == {f"file {ONE}"}


def test_what_is_shared_is_said_once(sources):
    names = {source.name: source.name.removeprefix("x/") for source in sources}
    assert sharing_in_words(sources, names, Labels(target="Self")) == [
        "a, b have the same Self prompts.",
        "b, c have the same Control prompts.",
    ]
    assert sharing_in_words(sources[:1], names) == []
    assert sharing_in_words(sources[1:2] * 1 + sources[3:], names) == []


def test_all_of_them_sharing_all_is_one_sentence(tmp_path):
    group = [source(tmp_path / "x" / name, named(ONE, OTHER)) for name in "abc"]
    assert sharing_in_words(group, {}) == ["All sources have the same Target and Control prompts."]
