import re
from pathlib import Path

import pytest
from builders import as_nobody, make_explanations

from featurediff.errors import DataError
from featurediff.sources.tree import ENDINGS, Source, describe_source, find_sources, search_tree


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
    (tree / "nowhere").symlink_to(tmp_path / "nowhere", target_is_directory=True)
    (tree / "folder" / "base.pt").mkdir(parents=True)
    assert names(find_sources(tree)) == ["a/b/c/d"]


def test_links_to_files_are_files(tmp_path):
    outside = touch(tmp_path / "outside")
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "base.pt").symlink_to(outside / "base.pt")
    assert names(find_sources(tmp_path / "tree")) == ["a"]


# ----------------------------------------------------------------------------
# Links.

ADVICE = "Say so."


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target, target_is_directory=target.is_dir())
    return path


def test_links_to_folders_are_followed(tmp_path):
    """A tree of links was empty, and a mixed one showed half."""
    store, tree = tmp_path / "store", tmp_path / "results"
    touch(store / "run 1" / "personal")
    touch(store / "run 2")
    touch(tree / "gemma_trainer1_layer9" / "personal")
    link(tree / "gemma_trainer1_layer20", store / "run 1")
    link(tree / "gemma_trainer1_layer21" / "personal", store / "run 2")
    make_explanations(tmp_path / "explanations" / "gemma_trainer1_layer20.csv")
    sources = find_sources(tree)
    assert names(sources) == [f"gemma_trainer1_layer{layer}/personal" for layer in (9, 20, 21)]
    assert [source.layer for source in sources] == [9, 20, 21]
    assert sources[1].explanations == tmp_path / "explanations" / "gemma_trainer1_layer20.csv"
    assert search_tree(tree).notes == []
    linked = link(tmp_path / "linked", tree)
    assert names(find_sources(linked)) == names(sources)


def test_links_are_not_followed_in_a_circle(tmp_path):
    tree = tmp_path / "results"
    touch(tree / "a" / "p")
    link(tree / "a" / "up", tree)
    link(tree / "a" / "p" / "self", tree / "a" / "p")
    link(tree / "b", tree / "a")
    link(tree / "one", tree / "two")
    link(tree / "two", tree / "one")
    assert names(find_sources(tree)) == ["a/p", "b/p"]
    link(tree / "c" / "over", tmp_path)
    assert names(find_sources(tree)) == ["a/p", "b/p"], "the way back into the tree is a circle too"


def test_links_out_of_the_tree_may_be_left_alone(tmp_path):
    store, tree = tmp_path / "store", tmp_path / "results"
    touch(store / "p")
    touch(tree / "gemma_trainer1_layer9" / "p")
    link(tree / "gemma_trainer1_layer20", store)
    link(tree / "gemma_trainer1_layer21" / "p", store / "p")
    link(tree / "within", tree / "gemma_trainer1_layer9")
    found = search_tree(tree, leave=False, advice=ADVICE)
    assert names(found.sources) == ["gemma_trainer1_layer9/p", "within/p"]
    assert found.notes == ["2 links lead out of the results folder and are not followed. Say so."]
    assert len(search_tree(tree, advice=ADVICE).sources) == 4


def test_files_that_lie_outside_may_be_left_alone(tmp_path):
    """What a link of the tree leads to may be meant for other eyes than those of the server's visitors."""
    secret = tmp_path / "secret.csv"
    secret.write_text("secret,words\n")
    tree = tmp_path / "results"
    touch(tree / "gemma_trainer1_layer9" / "p")
    link(tree / "gemma_trainer1_layer9" / "q" / "base.pt", secret)
    touch(tree / "gemma_trainer1_layer9" / "r")
    link(tree / "gemma_trainer1_layer9" / "r" / "prompts.parquet", secret)
    link(tmp_path / "explanations" / "gemma_trainer1_layer9.csv", secret)
    found = search_tree(tree, leave=False)
    assert [(source.name, source.explanations) for source in found.sources] == [("gemma_trainer1_layer9/p", None)]
    assert found.notes == ["3 links lead out of the results folder and are not followed."]
    assert [source.explanations for source in search_tree(tree).sources] == [
        tmp_path / "explanations" / "gemma_trainer1_layer9.csv"
    ] * 3


def test_a_tree_of_links_that_are_left_alone_says_so(tmp_path):
    link(tmp_path / "results" / "a", touch(tmp_path / "store"))
    with pytest.raises(DataError, match=r"chat\.pt\. 1 link leads out of the results folder and is not followed\. Say"):
        search_tree(tmp_path / "results", leave=False, advice=ADVICE)


# ----------------------------------------------------------------------------
# Folders that may not be read.


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_folder_that_may_not_be_read_hides_no_other(open_folder, mode):
    """`lost+found` took `list`, `compare`, `export` and the app away."""
    touch(open_folder / "a" / "p")
    closed = touch(open_folder / "lost+found" / "inside").parent
    closed.chmod(mode)
    with as_nobody():
        found = search_tree(open_folder)
    closed.chmod(0o755)
    assert names(found.sources) == ["a/p"]
    assert found.notes == [f"`{closed}` cannot be read (Permission denied). It is left out."]


def test_a_tree_that_may_not_be_read_is_refused(open_folder):
    closed = touch(open_folder / "results" / "p").parent
    closed.chmod(0)
    with as_nobody(), refuses(f"`{closed}` cannot be read (Permission denied). May you read it?"):
        search_tree(closed)
    with as_nobody(), pytest.raises(DataError, match=r"levels down\..*results` cannot be read .* It is left out\.$"):
        search_tree(open_folder)
    closed.chmod(0o755)


# ----------------------------------------------------------------------------
# Where explanations are.


@pytest.mark.parametrize(
    "at", ["", "results", "results/5_diffing_comp", "results/5_diffing_comp/gemma_trainer1_layer9"]
)
@pytest.mark.parametrize("given", ["results", "results/5_diffing_comp"])
def test_explanations_are_found_up_to_the_folder_above_the_given_one(tmp_path, at, given):
    """Of `results/5_diffing_comp/…`, as persona-subspace writes them, those beside `results` were not found."""
    sae = tmp_path / "results" / "5_diffing_comp" / "gemma_trainer1_layer9"
    touch(sae / "personal_40")
    file = make_explanations(tmp_path / at / "explanations" / "gemma_trainer1_layer9.csv")
    assert [source.explanations for source in find_sources(tmp_path / given)] == [file]
    assert describe_source(sae / "personal_40").explanations == file


def test_the_nearest_explanations_count_and_far_ones_do_not(tmp_path):
    results = tmp_path / "far" / "project" / "results"
    touch(results / "gemma_trainer1_layer9" / "p")
    make_explanations(tmp_path / "explanations" / "gemma_trainer1_layer9.csv")
    assert find_sources(results)[0].explanations is None
    beside = make_explanations(results.parent / "explanations" / "gemma_trainer1_layer9.csv")
    assert find_sources(results)[0].explanations == beside
    nearer = make_explanations(results / "gemma_trainer1_layer9" / "explanations" / "gemma_trainer1_layer9.csv")
    assert find_sources(results)[0].explanations == nearer


def test_explanations_end_in_several_ways(tmp_path):
    touch(tmp_path / "results" / "gemma_trainer1_layer9" / "p")
    folder = touch(tmp_path / "explanations", "gemma_trainer1_layer9.txt", "gemma_trainer1_layer8.csv")
    assert find_sources(tmp_path)[0].explanations is None
    for ending in reversed(ENDINGS):
        (folder / f"gemma_trainer1_layer9{ending}").touch()
        assert find_sources(tmp_path)[0].explanations == folder / f"gemma_trainer1_layer9{ending}"


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
