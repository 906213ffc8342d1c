"""Several sources beside each other: counts, layers, and reading them in processes of their own."""

import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from builders import make_explanations, make_source, model_data
from conftest import LINKED, LINKED_SAE, SAE_FOLDER
from tables import make_results

from featurediff.compare.count_words import fit_in_words
from featurediff.compare.counts import counts, side_by_side
from featurediff.compare.evidence import evidence_of
from featurediff.compare.naming import all_token_types, layer_series, short_names
from featurediff.compare.reading import read, read_all, summarise, try_read
from featurediff.compare.same_sae import SAME_SAE, SaeNames
from featurediff.compare.summary import Fault, Summary
from featurediff.errors import DataError
from featurediff.features.evidence_columns import question_q
from featurediff.features.questions import EFFECTS, QUESTIONS, Asked
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.loading import assemble, load
from featurediff.sources.demo import make_demos
from featurediff.sources.tree import Source, describe_source, find_sources

# Of features at "model": p of base is 1/6435 (8 of 8 against 0 of 7), 8/15 and 1, so q is 3/6435, 0.8 and 1. Chat is
# silent but for feature 3, which is alone in its family: 4 of 4 against 0 of 4, p = q = 1/70.
COUNTS = {
    "model": {
        "base": {"target": [8, 1, 0, 0], "control": [0, 0, 1, 0]},
        "chat": {"target": [0, 0, 0, 4], "control": [0, 0, 0, 0]},
    },
    "end": {
        "base": {"target": [0, 0, 0, 8], "control": [0, 0, 0, 0]},
        "chat": {"target": [0, 0, 0, 4], "control": [0, 0, 0, 0]},
    },
}
PROMPTS = {"base": (8, 7), "chat": (4, 4)}


def source_at(name, model=None, trainer=None, layer=None, prompt_set=None):
    return Source(Path("nowhere") / name, name, model, trainer, layer, prompt_set, None, ())


def small(name="a", counts_of=COUNTS, **place):
    """A summary of counts in memory."""
    study = assemble(make_results(counts_of, PROMPTS), source_at(name, **place), None)
    return replace(summarise(study), evidence=evidence_of(replace(study, source=None)))


def dealt(name, model="gemma", trainer="16k", layer=1, prompt_set="p"):
    """A summary with another place of its own."""
    return replace(small(name), model=model, trainer=trainer, layer=layer, prompt_set=prompt_set)


def test_counts_worked_out_by_hand():
    tidy = counts([small("a", model="m", trainer="t", layer=3, prompt_set="p")], max_q=0.05, questions=["exclusive"])
    assert tidy.columns.tolist() == [
        *("source", "model", "trainer", "layer", "prompt_set", "num_features"),
        *("n_target", "n_control", "groups_target", "groups_control", "same_target", "same_control"),
        *("token_type", "explained_base", "explained_chat", "l0_base", "l0_chat"),
        *("question", "part", "kept", "significant", "tested", "test"),
    ]
    about = tidy[tidy.columns[:6]].drop_duplicates().to_numpy().tolist()
    assert about == [["a", "m", "t", 3, "p", 4]]
    assert set(tidy["question"]) == {"exclusive"}
    assert tidy[["token_type", "l0_base", "l0_chat"]].drop_duplicates().to_numpy().tolist() == [
        ["model", 9 / 8, 1],
        ["end", 1, 1],
    ]
    assert tidy[["explained_base", "explained_chat"]].isna().all(axis=None)  # no file says
    assert tidy[["token_type", "part", "kept", "significant", "tested"]].to_numpy().tolist() == [
        ["model", "both", 0, 0, 3],
        ["model", "base", 2, 1, 3],
        ["model", "chat", 1, 1, 3],
        ["end", "both", 1, 1, 1],
        ["end", "base", 0, 0, 1],
        ["end", "chat", 0, 0, 1],
    ]


def test_counts_say_how_many_prompts_they_rest_on():
    """Base has 8 target and 7 control prompts, chat 4 of each; no file names groups or prompts."""
    tidy = counts([small()])
    assert set(tidy["n_target"]) == {"8/4"}
    assert set(tidy["n_control"]) == {"7/4"}
    assert tidy[["groups_target", "groups_control", "same_target", "same_control"]].isna().all(axis=None)


def test_changes_are_counted_by_direction():
    """Of frequency: 8 of 8 target prompts in base, none of 4 in chat, is 1/495 by Fisher's test; the others are not."""
    tidy = counts([small()], 0.05, "target_sparsity", ["changed"])
    here = tidy[tidy["token_type"] == "model"]
    assert here[["part", "kept", "significant", "tested", "test"]].to_numpy().tolist() == [
        ["increase", 1, 1, 3, "fisher"],
        ["decrease", 1, 1, 3, "fisher"],
        ["none", 0, 0, 3, "fisher"],
    ]
    strict = counts([small()], 0.003, "target_sparsity", ["changed"])
    assert strict["kept"].sum() == 0


def test_what_has_no_test_is_missing_and_not_nothing():
    """The files hold no standard deviations: means are not tested."""
    tidy = counts([small()])
    unknown = tidy[tidy["question"].isin(["changed", "specific"])]
    assert unknown[["kept", "significant", "tested", "test"]].isna().all(axis=None)
    assert tidy.loc[tidy["question"] == "any", "kept"].notna().all()


def test_before_a_source_is_tested_only_the_published_rule_is_counted():
    source = replace(small(), evidence=None)
    tidy = counts([source])
    published = tidy["question"] == "exclusive"
    assert tidy.loc[published, "kept"].tolist() == [0, 2, 1, 1, 0, 0]
    assert tidy.loc[~published, "kept"].isna().all()
    assert tidy[["significant", "tested"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("max_q", "significant"),
    [(0, 0), (0.0001, 0), (0.0002, 1), (0.0005, 2), (0.02, 3), (0.7999, 3), (0.8001, 4)],
    ids=str,
)
def test_significant_means_at_most_the_largest_q(max_q, significant):
    """Feature 3 at "end" has q = 1/6435 in base."""
    tidy = counts([small()], max_q, questions=["exclusive"])
    assert tidy["significant"].sum() == significant
    assert tidy["kept"].sum() == 4


def test_the_fit_is_said_where_it_is_known():
    made = small()
    fit = made.fit.assign(base_variance_explained=0.891, chat_variance_explained=-0.06)
    row = counts([replace(made, fit=fit)], questions=["changed"]).iloc[0]
    assert (row["explained_base"], row["explained_chat"]) == (0.891, -0.06)
    assert fit_in_words(row) == "89 % / −6 %, L0 1 / 1"
    assert fit_in_words(counts([made]).iloc[0]) == "L0 1 / 1"
    assert fit_in_words(counts([replace(made, fit=None)]).iloc[0]) == "–"


def test_counts_of_nothing_have_their_columns():
    assert counts([]).columns.tolist() == counts([small()]).columns.tolist()
    assert len(counts([])) == 0


def test_counts_side_by_side():
    rows = side_by_side(counts([small("b"), small("a")], metric="target_sparsity"))
    assert list(zip(rows["source"], rows["token_type"], strict=True)) == [
        ("b", "model"),
        ("b", "end"),
        ("a", "model"),
        ("a", "end"),
    ]
    columns = ["both", "base", "chat", "kept", "significant", "share"]
    assert (
        rows[[f"exclusive_{name}" for name in columns]].to_numpy().tolist()
        == [
            [0, 2, 1, 3, 2, 2 / 3],
            [1, 0, 0, 1, 1, 1],
        ]
        * 2
    )
    columns = ["increase", "decrease", "none", "kept", "share"]
    assert rows.loc[:1, [f"changed_{name}" for name in columns]].to_numpy().tolist() == [[1, 1, 0, 2, 2 / 3], [0] * 5]
    assert rows["any_kept"].tolist() == [3, 1, 3, 1]


def test_of_nothing_there_is_no_share():
    silent = {at: {v: {p: [0, 0] for p in ("target", "control")} for v in ("base", "chat")} for at in ("model", "end")}
    rows = side_by_side(counts([small(counts_of=silent)], metric="target_sparsity"))
    assert rows[["exclusive_kept", "changed_kept"]].to_numpy().tolist() == [[0, 0], [0, 0]]
    assert rows[["exclusive_share", "changed_share"]].isna().all(axis=None)


def test_a_summary_names_what_it_is_of(source_dir, explanations_file):  # noqa: ARG001  found beside the results
    found = read(find_sources(source_dir.parents[1])[0])
    study = load(source_dir)
    assert (found.name, found.model, found.trainer, found.layer, found.prompt_set) == (
        f"{SAE_FOLDER}/personal_40",
        "gemma",
        "131k-l0-114",
        20,
        "personal_40",
    )
    assert found.label == "gemma · SAE 131k-l0-114 · layer 20"
    assert found.files == study.files
    assert found.token_types == ("model", "newline")
    assert not found.is_synthetic
    assert found.sae == SaeNames(8, None, None, ("gemma", "131k-l0-114", 20))


QUESTIONS_ASKED = [
    Asked(question, metric, alpha)
    for question in QUESTIONS
    for metric in ("target_all_mean", "target_sparsity")
    for alpha in (0.05, 0.9)
]


@pytest.mark.parametrize("asked", QUESTIONS_ASKED, ids=lambda asked: f"{asked.question}-{asked.metric}-{asked.alpha}")
@pytest.mark.parametrize("family", ["position", "source"])
def test_a_summary_keeps_what_the_feature_table_keeps(tmp_path, asked, family):
    """The comparison and the dashboard must give the same numbers."""
    folder = make_source(tmp_path / "results" / SAE_FOLDER / "personal_40", num_features=64)
    found, study = read(describe_source(folder), family=family), load(folder)
    table = study.table(question=asked.question, metric=asked.metric, alpha=asked.alpha, family=family)
    rows = found.rows[found.keeps(asked)]
    columns = ["feature_id", "token_type", "exclusivity", "base_q", "chat_q", *(f"{effect}_q" for effect in EFFECTS)]
    expected = table[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[columns].reset_index(drop=True), expected)
    sign = {"increase": 1, "decrease": -1}
    assert found.sign(asked)[found.keeps(asked)].tolist() == [sign.get(way, 0) for way in table["direction"]]
    np.testing.assert_array_equal(found.q(asked)[found.keeps(asked)], question_q(table, asked.question, asked.metric))


def test_thresholds_narrow_a_summary(source_dir):
    found = read(describe_source(source_dir), Thresholds(Threshold(5)))
    assert found.ids(token_type="model").tolist() == [0, 3, 7]


def test_files_without_a_folder_are_named_by_what_they_say():
    found = summarise(assemble(make_results(COUNTS, PROMPTS), None, None))
    assert (found.name, found.model, found.trainer, found.layer) == ("toy", "gemma", "131k-l0-114", 20)
    assert found.prompt_set == ""
    assert found.sae.folder is None


def test_ids_are_of_a_position_and_a_largest_q():
    source = small()
    assert source.ids().tolist() == [0, 1, 3]
    assert source.ids(token_type="model").tolist() == [0, 1, 3]
    assert source.ids(token_type="end").tolist() == [3]
    assert source.ids(token_type="elsewhere").tolist() == []
    assert source.ids(token_type="model", only_evidence=True).tolist() == [0, 3]
    strict = Asked(alpha=0.001)
    assert source.ids(strict, only_evidence=True).tolist() == [0, 3]
    assert source.ids(strict, "model", only_evidence=True).tolist() == [0]
    edge = Asked("changed", "target_sparsity", source.q(Asked("changed", "target_sparsity"))[0])
    assert 0 in source.ids(edge), "q at most alpha"


# ----------------------------------------------------------------------------
# Which SAE.

PAGE, OTHER_PAGE = "gemma-2-9b/20-a", "gemma-2-9b/20-b"
NAMED, OTHER_NAMED = ("release", "a"), ("release", "b")
FOLDER, OTHER_FOLDER = ("gemma", "16k", 20), ("gemma", "16k", 21)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (SaeNames(8, PAGE), SaeNames(8, PAGE), True),
        (SaeNames(8, PAGE), SaeNames(9, PAGE), False),
        (SaeNames(8, PAGE), SaeNames(8, OTHER_PAGE), False),
        (SaeNames(8, PAGE, NAMED), SaeNames(8, PAGE, OTHER_NAMED), True),
        (SaeNames(8, PAGE, NAMED), SaeNames(8, OTHER_PAGE, NAMED), False),
        (SaeNames(8, None, NAMED), SaeNames(8, PAGE, NAMED), True),
        (SaeNames(8, None, NAMED), SaeNames(8, None, OTHER_NAMED, FOLDER), False),
        (SaeNames(8, None, NAMED, FOLDER), SaeNames(8, None, OTHER_NAMED, FOLDER), False),
        (SaeNames(8, None, None, FOLDER), SaeNames(8, PAGE, NAMED, FOLDER), True),
        (SaeNames(8, None, None, FOLDER), SaeNames(8, None, None, FOLDER), True),
        (SaeNames(8, None, None, FOLDER), SaeNames(9, None, None, FOLDER), False),
        (SaeNames(8, None, None, FOLDER), SaeNames(8, None, None, OTHER_FOLDER), False),
        (SaeNames(8, PAGE), SaeNames(8, None, None, FOLDER), False),
        (SaeNames(8, PAGE), SaeNames(8, None, NAMED), False),
        (SaeNames(8), SaeNames(8), False),
    ],
)
def test_an_sae_is_the_same_only_where_that_is_certain(one, other, expected):
    assert one.is_same(other) is other.is_same(one) is expected


def test_the_rule_is_said_in_words():
    assert SAME_SAE == (
        "Two sources read the same SAE if it has as many features in both, and the same Neuronpedia page; where one of "
        "them has no page, the same SAELens release and id; and where one has neither, the same model, trainer and "
        "layer in the folder’s name, which its files must not contradict."
    )


SCOPE, OURS = "gemma-2-9b/20-gemmascope-res", "gemma_trainer131k-l0-114_layer20"
AA = "qwen2.5-7b-it/15-resid-post-aa"


@pytest.mark.parametrize(
    ("folder", "metadata", "expected"),
    [
        ("demo_trainer9k_layer3", {"sae_layer": 3, "sae_trainer": "9k"}, (None, None, ("demo", "9k", 3))),
        ("demo_trainer9k_layer3", {"sae_layer": 4, "sae_trainer": "9k"}, (None, None, None)),
        ("demo_trainer9k_layer3", {"sae_layer": 3, "sae_trainer": "8k"}, (None, None, None)),
        ("some_folder", {"sae_layer": 3, "sae_trainer": "9k"}, (None, None, None)),
        (OURS, {}, (None, None, ("gemma", "131k-l0-114", 20))),
        (LINKED, LINKED_SAE, (AA, None, ("qwen", "1", 15))),
        (LINKED, LINKED_SAE | {"sae_trainer": "0"}, (None, None, None)),
        (OURS, {"sae_trainer": "131k-l0-34"}, (None, None, None)),
        (OURS, {"sae_layer": 21}, (None, None, None)),
        (LINKED, LINKED_SAE | {"sae_trainer": "0", "neuronpedia_id": AA}, (AA, None, None)),
        (LINKED, LINKED_SAE | {"neuronpedia_id": "mine/15-mine"}, ("mine/15-mine", None, ("qwen", "1", 15))),
        # An id that the folder or the width contradicts says that the folder's name may be wrong.
        (OURS, {"neuronpedia_id": f"{SCOPE}-65k"}, (None, None, None)),
        (OURS, {"neuronpedia_id": f"{SCOPE}-131k"}, (None, None, None)),
        ("some_folder", {"sae_release": "r", "sae_id": "i"}, (None, ("r", "i"), None)),
        ("some_folder", {"sae_release": "r"}, (None, None, None)),
        (
            "some_folder",
            {"neuronpedia_id": "mine/20-mine"},
            ("mine/20-mine", None, None),
        ),
    ],
)
def test_names_come_from_folder_and_files(tmp_path, folder, metadata, expected):
    """Two folders called alike were compared feature by feature though their files named different SAEs."""
    made = make_source(tmp_path / folder / "set", **{"model_type": "unknown"} | metadata)
    assert SaeNames.of(load(made)) == SaeNames(8, *expected)


def test_a_template_of_the_users_own_says_nothing_of_the_sae(tmp_path):
    """The same template for every layer made all their SAEs one."""
    made = make_source(tmp_path / "some_folder" / "set", model_type="unknown")
    assert SaeNames.of(load(made, template="https://www.neuronpedia.org/a/1-b/{feature_id}")).page is None


# ----------------------------------------------------------------------------
# Over layers, and names.


def series_of(*sources):
    rows = layer_series(counts(sources))
    return [(series, layer) for series, layer in rows[["series", "layer"]].drop_duplicates().to_numpy().tolist()]


def test_layers_of_one_model_and_prompt_set_are_a_series():
    sources = [dealt("c", layer=20), dealt("a", layer=9), dealt("b", layer=9, prompt_set="q"), dealt("d", model="x")]
    assert series_of(*sources) == [("gemma · SAE 16k · p", 9), ("gemma · SAE 16k · p", 20)]


@pytest.mark.parametrize(("one", "other"), [("131k-l0-114", "131k-l0-96"), ("131k_l0_114", "131k-canonical")])
def test_saes_that_differ_in_l0_alone_are_of_one_family(one, other):
    assert series_of(dealt("a", trainer=one, layer=9), dealt("b", trainer=other, layer=20)) == [
        ("gemma · SAE 131k · p", 9),
        ("gemma · SAE 131k · p", 20),
    ]


def test_two_saes_of_one_layer_are_no_family():
    """A line went up and down between two SAEs of the same layer."""
    trainers = [("131k-l0-114", 9), ("131k-l0-96", 9), ("131k-l0-114", 20)]
    sources = [dealt(str(i), trainer=trainer, layer=layer) for i, (trainer, layer) in enumerate(trainers)]
    assert series_of(*sources) == [("gemma · SAE 131k-l0-114 · p", 9), ("gemma · SAE 131k-l0-114 · p", 20)]


def test_a_source_found_twice_makes_no_series():
    assert series_of(dealt("a", layer=9), dealt("copy/a", layer=9), dealt("b", layer=20)) == []


def test_no_prompt_set_leaves_no_trace_in_the_name():
    assert series_of(dealt("a", layer=1, prompt_set=""), dealt("b", layer=2, prompt_set="")) == [
        ("gemma · SAE 16k", 1),
        ("gemma · SAE 16k", 2),
    ]


def test_a_series_keeps_every_row_of_its_sources():
    sources = [dealt("b", layer=20), dealt("a", layer=9)]
    rows = layer_series(counts(sources))
    assert rows["source"].tolist() == ["a"] * 24 + ["b"] * 24
    assert rows.columns.tolist() == ["series", *counts(sources).columns]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([("a", {"layer": 9}), ("b", {"layer": 20})], ["layer 9", "layer 20"]),
        ([("a", {"layer": 9}), ("b", {"layer": 20, "prompt_set": "q"})], ["layer 9 · p", "layer 20 · q"]),
        ([("a", {"model": "x"}), ("b", {"trainer": "32k"})], ["x · SAE 16k", "gemma · SAE 32k"]),
        ([("a", {}), ("b", {})], ["a", "b"]),
        ([("a", {})], ["a"]),
        ([("a", {"prompt_set": ""}), ("b", {})], ["a", "b"]),
    ],
)
def test_sources_are_named_by_what_tells_them_apart(sources, expected):
    assert short_names([dealt(name, **place) for name, place in sources]) == expected


def test_token_types_of_all_sources_in_the_order_of_the_first():
    one, other = small(), replace(small(), token_types=("start", "end", "later"))
    assert all_token_types([one, other]) == ("model", "end", "start", "later")


# ----------------------------------------------------------------------------
# Many of them.


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three demo layers, of which the middle one has three prompt sets, and two broken sources."""
    folder = tmp_path_factory.mktemp("tree")
    for made in make_demos(3, 600, 10):
        made.write(folder)
    broken = folder / "results" / "demo_trainer16k_layer8" / "broken"
    make_source(broken, base=model_data("chat"), chat=model_data("base"))
    (folder / "results" / "half").mkdir()
    (folder / "results" / "half" / "base.pt").write_bytes(b"")
    return folder


@pytest.fixture
def own_main(monkeypatch):
    """A `__main__` that new processes need not run: AppTest leaves the dashboard's script behind as one."""
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))


@pytest.mark.usefixtures("own_main")
@pytest.mark.parametrize("workers", [1, 2])
def test_all_sources_are_read_in_their_order_whatever_one_of_them_is(tree, workers):
    sources = find_sources(tree)
    found = list(read_all(sources, Thresholds(Threshold(2)), workers))
    assert [one.name for one in found] == [source.name for source in sources]
    faults = {one.name: one.message for one in found if isinstance(one, Fault)}
    assert faults == {
        "demo_trainer16k_layer8/broken": "`base.pt` says model_ver 'chat', `chat.pt` says 'base'. Expected 'base' and "
        "then 'chat'. Were the two files swapped?",
        "half": f"`{tree}/results/half` has no `chat.pt`. Expected a folder with `base.pt` and `chat.pt`.",
    }
    good = [one for one in found if isinstance(one, Summary)]
    expected = [read(source, Thresholds(Threshold(2))) for source in sources if source.name not in faults]
    pd.testing.assert_frame_equal(counts(good), counts(expected))
    for one, other in zip(good, expected, strict=True):
        pd.testing.assert_frame_equal(one.rows, other.rows)


def test_a_source_that_cannot_be_read_is_a_fault(tmp_path):
    assert isinstance(try_read(describe_source(tmp_path)), Fault)
    with pytest.raises(DataError, match=re.escape(f"`{tmp_path}` has no `base.pt` and no `chat.pt`.")):
        read(describe_source(tmp_path))


def test_no_source_is_no_work():
    assert list(read_all([])) == []


@dataclass(frozen=True)
class Deadly:
    """Ends the process that receives it, as one that takes too much memory is ended."""

    name: str = "deadly"

    def __reduce__(self):
        return os._exit, (9,)


@pytest.mark.usefixtures("own_main")
def test_a_process_that_dies_is_said_and_does_not_hang(tree):
    sources = find_sources(tree)
    found = list(read_all([Deadly(), *sources[:2]], workers=2))
    why = "A process that read the sources has died, perhaps for want of memory. Read with fewer at a time."
    assert [one.name for one in found] == ["deadly", *(source.name for source in sources[:2])]
    assert found[0] == Fault("deadly", why)
    assert all(isinstance(one, Summary) or one.message == why for one in found)


# ----------------------------------------------------------------------------
# The demo's layers.


def test_demo_layers_are_different_saes_and_their_prompt_sets_one(tree):
    found = {source.name: source for source in map(try_read, find_sources(tree)) if isinstance(source, Summary)}
    assert list(found) == [
        "demo_trainer16k_layer8/synthetic_40",
        "demo_trainer16k_layer12/distant_40",
        "demo_trainer16k_layer12/related_40",
        "demo_trainer16k_layer12/synthetic_40",
        "demo_trainer16k_layer16/synthetic_40",
    ]
    planted = {
        name: set(source.texts.index[source.texts.str.startswith("Planted:")]) & set(source.ids())
        for name, source in found.items()
    }
    first, *others, middle, last = planted.values()
    assert all(other == middle for other in others)
    assert len({frozenset(ids) for ids in (first, middle, last)}) == 3
    assert {len(ids) for ids in planted.values()} == {60}


@pytest.mark.parametrize("layers", [0, 8, -1])
def test_the_demo_has_no_more_layers_than_it_can(layers):
    message = f"The demo has 1 to 7 layers, but {layers} were asked for."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        list(make_demos(layers))


def test_a_demo_of_one_layer_is_the_demo(tmp_path):
    (made,) = make_demos(1, 600, 10)
    assert made.write(tmp_path) == tmp_path / "results" / "demo_trainer16k_layer12" / "synthetic_40"


def test_demo_sources_share_as_much_as_their_names_say(tmp_path):
    """Of 16,384 features, those that behave alike are within two percent of what was planned."""
    folders = [made.write(tmp_path) for made in make_demos(2)]
    first, related, distant = (load(folder) for folder in folders if folder.parent.name.endswith("layer12"))
    for other, share in ((related, 0.7), (distant, 0.2)):
        same = np.ones(16_384, dtype=bool)
        active = np.zeros(16_384, dtype=bool)
        for side in ("base", "chat"):
            ours = getattr(first.results, side).vectors["model"]["target_num_active"]
            theirs = getattr(other.results, side).vectors["model"]["target_num_active"]
            same &= ours == theirs
            active |= ours > 0
        assert same[active].mean() == pytest.approx(share, abs=0.08)


def test_explanations_travel_with_a_summary(tmp_path):
    make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv")
    made = make_source(tmp_path / "results" / SAE_FOLDER / "personal_40")
    assert read(describe_source(made)).texts.tolist() == [
        "the first feature",
        "commas, and more",
    ]
