import re
from pathlib import Path

import pytest
from builders import make_explanations

from featurediff.errors import DataError
from featurediff.sources.tree import Source, describe_source, find_sources


def touch(folder, *names):
    """Make a folder with empty files: sources are found by name, never read."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or ("base.pt", "chat.pt"):
        (folder / name).touch()
    return folder


def names(sources):
    return [source.name for source in sources]


def refuses(message):
    return pytest.raises(DataError, match=f"^{re.escape(message)}$")


def test_describes_a_source_by_its_path(source_dir, explanations_file):
    assert describe_source(source_dir) == Source(
        folder=source_dir,
        name="gemma_trainer131k-l0-114_layer20/personal_40",
        model="gemma",
        trainer="131k-l0-114",
        layer=20,
        prompt_set="personal_40",
        explanations=explanations_file,
        missing=(),
    )


def test_folder_names_that_say_nothing(tmp_path):
    source = describe_source(touch(tmp_path / "mine" / "run 7", "chat.pt"))
    assert (source.name, source.prompt_set) == ("mine/run 7", "run 7")
    assert (source.model, source.trainer, source.layer, source.explanations) == (None, None, None, None)
    assert source.missing == ("base.pt",)


@pytest.mark.parametrize(
    ("folder", "parts"),
    [
        ("llama_3_trainer0_layer9", ("llama_3", "0", 9)),
        ("日本 語_trainer_x_layer1", ("日本 語", "_x", 1)),
        ("a_trainerb_trainerc_layer2", ("a_trainerb", "c", 2)),
        ("gemma_trainer1_layerx", (None, None, None)),
        ("gemma_trainer_layer20", (None, None, None)),
    ],
)
def test_names_of_sae_folders(tmp_path, folder, parts):
    source = describe_source(tmp_path / folder / "p")
    assert (source.model, source.trainer, source.layer) == parts


def test_prompt_sets_deeper_down_and_none(tmp_path):
    sae_folder = tmp_path / "gemma_trainer1_layer20"
    assert describe_source(sae_folder / "group" / "p").prompt_set == "group/p"
    assert describe_source(sae_folder).prompt_set is None
    assert describe_source(sae_folder).layer == 20


def test_explanations_inside_the_results_come_before_those_beside(source_dir, tmp_path, explanations_file):
    inside = make_explanations(tmp_path / "results" / "explanations" / explanations_file.name)
    assert describe_source(source_dir).explanations == inside
    inside.unlink()
    assert describe_source(source_dir).explanations == explanations_file
    explanations_file.unlink()
    assert describe_source(source_dir).explanations is None


def test_relative_paths_are_named_as_where_they_lead(source_dir, monkeypatch):
    monkeypatch.chdir(source_dir)
    for path in (source_dir.relative_to(source_dir), source_dir / ".." / source_dir.name):
        assert describe_source(path).name == "gemma_trainer131k-l0-114_layer20/personal_40"


def test_finds_sources_in_natural_order(tmp_path):
    for name in ("g_trainer1_layer20/p_10", "g_trainer1_layer20/p_9", "g_trainer1_layer9/p", "g_trainer10_layer1/p"):
        touch(tmp_path / name)
    touch(tmp_path / "other", "chat.pt")
    touch(tmp_path / "explanations", "g_trainer1_layer9.csv")
    sources = find_sources(tmp_path)
    assert names(sources) == [
        "g_trainer1_layer9/p",
        "g_trainer1_layer20/p_9",
        "g_trainer1_layer20/p_10",
        "g_trainer10_layer1/p",
        "other",
    ]
    assert [source.missing for source in sources] == [(), (), (), (), ("base.pt",)]
    assert sources[0].explanations == tmp_path / "explanations" / "g_trainer1_layer9.csv"


def test_names_are_the_same_from_the_folder_above(source_dir, tmp_path):
    assert find_sources(tmp_path) == find_sources(tmp_path / "results")
    touch(tmp_path / "elsewhere")
    assert names(find_sources(tmp_path)) == ["elsewhere", "results/gemma_trainer131k-l0-114_layer20/personal_40"]
    assert find_sources(source_dir) == [describe_source(source_dir)]


def test_names_with_spaces_unicode_and_digits(tmp_path):
    for name in ("été 2", "été 10", "²", "漢字"):
        touch(tmp_path / name)
    assert names(find_sources(tmp_path)) == ["²", "été 2", "été 10", "漢字"]


def test_what_is_not_followed(tmp_path):
    tree = tmp_path / "tree"
    touch(tree / "a" / "b" / "c" / "d")
    touch(tree / "a" / "b" / "c" / "d" / "too deep")
    touch(tree / ".hidden")
    (tree / "link").symlink_to(touch(tmp_path / "outside"), target_is_directory=True)
    (tree / "folder" / "base.pt").mkdir(parents=True)
    assert names(find_sources(tree)) == ["a/b/c/d"]


def test_links_to_files_are_files(tmp_path):
    outside = touch(tmp_path / "outside")
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "base.pt").symlink_to(outside / "base.pt")
    assert names(find_sources(tmp_path / "tree")) == ["a"]


def test_not_a_folder(tmp_path):
    missing = tmp_path / "results"
    with refuses(f"`{missing}` is not a folder. Expected a results tree or a folder with `base.pt` and `chat.pt`."):
        find_sources(missing)


def test_no_source(tmp_path):
    with refuses(
        f"`{tmp_path}` has no `base.pt` or `chat.pt` in it or up to 4 levels down. "
        "Expected results/{model}_trainer{trainer}_layer{layer}/{prompt_set}/base.pt and chat.pt."
    ):
        find_sources(tmp_path)


def test_a_path_that_is_too_long_is_no_source_and_no_crash():
    """`Path.is_file` raises OSError for a name that is too long, and the command line ended in a traceback."""
    source = describe_source(Path("x" * 5000))
    assert source.missing == ("base.pt", "chat.pt")
    with pytest.raises(DataError, match=r"is not a folder\. Expected a results tree or a folder with `base\.pt`"):
        find_sources(Path("x" * 5000))
