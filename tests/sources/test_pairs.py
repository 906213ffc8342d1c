"""Base and chat on the same prompts, and which prompts belong together, as the files say it."""

import numpy as np
import pandas as pd
import pytest
from builders import activation_rows, make_source
from hypothesis import given, settings
from hypothesis import strategies as st
from paired import from_activations, sources

from featurediff import load
from featurediff.errors import DataError
from featurediff.features.evidence import assess_changes, assess_exclusive
from featurediff.labels import PROMPTS, SIDES
from featurediff.sources.activations import Activations, find_activations
from featurediff.sources.pairs import Pairs, describe_pairs, read_pairs

COLUMNS = ["model", "prompt_set", "token_type", "prompt_id", "feature_id", "activation"]
WEAKER = "The tests use counts and means alone, which are weaker."


@pytest.fixture
def study(tmp_path):
    """Both models saw 9 target and 6 control prompts; in chat each feature fires one prompt later."""
    folder = make_source(tmp_path / "source", num_target_prompts=9, num_control_prompts=7)
    study = load(folder)
    activation_rows(study, 1).to_parquet(folder / "activations.parquet", index=False)
    return study


def write_prompts(study, rows, columns=("prompt_set", "prompt_id", "content", "group")):
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=list(columns))
    frame.to_parquet(study.source.folder / "prompts.parquet", index=False)


def pairs_of(study):
    return read_pairs(find_activations(study.source.folder), study.results)


def refused(study):
    """The message, which the notes give as well; the tests are unpaired then."""
    with pytest.raises(DataError) as caught:
        pairs_of(study)
    again = load(study.source.folder)
    assert again.pairs is None
    assert f"{caught.value} {WEAKER}" in again.notes()
    assert again.changes().effects["sparsity_change", "model"].tested.test == "fisher"
    assert set(again.table()["all_mean_change_test"]) == {"welch"}
    return str(caught.value)


def everywhere(groups, text="Prompt {} of {}."):
    """All prompts of both sets, each with its group."""
    return [
        (prompts, i, text.format(i, prompts), group) for prompts in PROMPTS for i, group in enumerate(groups[prompts])
    ]


# ----------------------------------------------------------------------------
# What is read.


@given(sources(), st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_files_say_what_was_measured(tmp_path_factory, drawn, seed):
    """Rows in any order, ids with gaps, groups as text: the pairs are those of the activations, and so is every p."""
    cells, groups = drawn
    rng = np.random.default_rng(seed)
    results, expected = from_activations(cells, groups)
    ids = {p: np.sort(rng.choice(50, expected.num_prompts(p), replace=False)) for p in PROMPTS}
    rows = [
        (side, p, token_type, ids[p][i], feature, cells[token_type][side][p][i, feature])
        for token_type in cells
        for side in SIDES
        for p in PROMPTS
        for i, feature in np.argwhere(cells[token_type][side][p]).tolist()
    ]
    folder = tmp_path_factory.mktemp("pairs")
    frame = pd.DataFrame(rows, columns=COLUMNS).astype(
        {"prompt_id": "int64", "feature_id": "int64", "activation": float}
    )
    frame = frame.astype(dict.fromkeys(COLUMNS[:3], "str"))
    frame.sample(frac=1, random_state=seed).to_parquet(folder / "activations.parquet", index=False)
    names = [
        (p, i, "x", None if groups[p] is None else f"{p} {groups[p][at]}")
        for p in PROMPTS
        for at, i in enumerate(ids[p])
    ]
    texts = pd.DataFrame(names, columns=["prompt_set", "prompt_id", "content", "group"])
    texts.sample(frac=1, random_state=seed).to_parquet(folder / "prompts.parquet", index=False)
    found = read_pairs(find_activations(folder), results)
    for token_type, at in expected.positions.items():
        there = found.positions[token_type]
        assert there.features.tolist() == at.features.tolist()
        for side in SIDES:
            for p in PROMPTS:
                for first, last in ((0, len(at.features)), (1, len(at.features) - 1)):
                    if first <= last:
                        here = at.activations(side, p, first, last)
                        np.testing.assert_array_equal(there.activations(side, p, first, last), here)
    for p in PROMPTS:
        assert found.num_groups(p) == expected.num_groups(p)
    one, other = assess_changes(results, expected), assess_changes(results, found)
    for key, effect in one.effects.items():
        np.testing.assert_allclose(other.effects[key].value, effect.value)
        np.testing.assert_allclose(other.effects[key].tested.p, effect.tested.p)
    for key, tested in assess_exclusive(results, expected).tested.items():
        np.testing.assert_allclose(assess_exclusive(results, found).tested[key].p, tested.p)


def test_activations_by_hand(study):
    """Feature 1 is active on 2 target prompts in base: the first two, with 1.1 and 2.1; in chat on none."""
    at = pairs_of(study).positions["model"]
    assert at.features.tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert at.num_prompts == {"target": 9, "control": 7}
    assert at.activations("base", "target", 1, 2).T.tolist() == [[1.1, 2.1, 0, 0, 0, 0, 0, 0, 0]]
    assert not at.activations("chat", "target", 1, 2).any()
    # 3 is active on 7 target prompts in chat, from the second on.
    assert at.activations("chat", "target", 3, 4).T.tolist() == [[0, 1.3, 2.3, 3.3, 4.3, 5.3, 6.3, 7.3, 0]]
    assert at.activations("base", "target", 2, 2).shape == (9, 0)


def test_prompts_on_which_nothing_is_active_count(study):
    """They have no row: their d is 0, they are groups of their own, and the sizes are those of the results."""
    rows = activation_rows(study, 0)
    used = rows.loc[rows["prompt_set"] == "control", "prompt_id"].nunique()
    assert used < 7
    rows.to_parquet(study.source.folder / "activations.parquet", index=False)
    pairs = pairs_of(study)
    assert pairs.num_prompts("control") == 7
    assert pairs.positions["model"].activations("base", "control", 0, 1).shape == (7, 1)
    write_prompts(study, [("control", i, "x", "a") for i in range(3)] + [("target", 0, "y", None)])
    pairs = pairs_of(study)
    assert pairs.groups["control"].tolist() == [0, 0, 0, 1, 2, 3, 4]
    assert pairs.num_groups("control") == 5
    assert pairs.groups["target"] is None


def test_ids_with_gaps_are_placed_in_their_order(study):
    """Groups stay with their prompts: those of ids 10, 20, … are not those of places 0, 1, …"""
    rows = activation_rows(study, 1)
    rows["prompt_id"] = 10 * rows["prompt_id"] + 7
    rows.to_parquet(study.source.folder / "activations.parquet", index=False)
    names = {"target": "aabbccdde", "control": "fffgggh"}
    texts = [(p, 10 * i + 7, "x", group) for p in PROMPTS for i, group in enumerate(names[p])]
    write_prompts(study, texts[::-1])
    pairs = pairs_of(study)
    assert pairs.positions["model"].activations("base", "target", 1, 2).T.tolist() == [[1.1, 2.1, 0, 0, 0, 0, 0, 0, 0]]
    assert pairs.groups["target"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert pairs.groups["control"].tolist() == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (["a", "a", "b", "b", "c", "c", "d", "d", "d"], [0, 0, 1, 1, 2, 2, 3, 3, 3]),
        ([4, 4, 4, 9, 9, 9, 2, 2, 2], [0, 0, 0, 1, 1, 1, 2, 2, 2]),
        (["a", "a", None, "b", None, "b", "c", None, "c"], [0, 0, 3, 1, 4, 1, 2, 5, 2]),
        ([1, 1, None, 2, 2, None, 3, 3, 3], [0, 0, 3, 1, 1, 4, 2, 2, 2]),
        ([None] * 9, None),
        (list("abcdefghi"), None),
        (["a", *"bcdefgh", None], None),
    ],
    ids=[
        "text",
        "whole numbers",
        "text, some missing",
        "numbers, some missing",
        "all missing",
        "of one",
        "of one, too",
    ],
)
def test_groups(study, target, expected):
    """A prompt without a group is one of its own; groups of one are no groups."""
    numbers = any(isinstance(name, int) for name in target)
    frame = pd.DataFrame(
        everywhere({"target": target, "control": [None] * 7}), columns=["prompt_set", "prompt_id", "content", "group"]
    )
    frame["group"] = frame["group"].astype("Int64" if numbers else "object")
    write_prompts(study, frame)
    groups = pairs_of(study).groups
    assert (None if groups["target"] is None else groups["target"].tolist()) == expected
    assert groups["control"] is None


def test_label_is_no_group(study):
    write_prompts(
        study, [("target", i, "x", "same") for i in range(9)], ("prompt_set", "prompt_id", "content", "label")
    )
    assert pairs_of(study).groups == {"target": None, "control": None}


def test_position_at_which_nothing_is_active(study):
    """Its features are none, and its activations an empty table of all prompts: it was a ValueError."""
    folder = study.source.folder
    silent = make_source(folder, token_types=("model", "newline", "asst"), num_target_prompts=9, num_control_prompts=7)
    data = {}
    for side in SIDES:
        import torch

        data[side] = torch.load(silent / f"{side}.pt")
        data[side]["asst"] = {name: vector * 0 for name, vector in data[side]["asst"].items()}
        torch.save(data[side], silent / f"{side}.pt")
    again = load(folder)
    assert again.pairs.positions["asst"].features.tolist() == []
    assert again.pairs.positions["asst"].activations("base", "target", 0, 0).shape == (9, 0)
    assert set(again.table(question="any")["token_type"]) <= {"model", "newline"}
    counts = again.counts_by_question().set_index(["question", "token_type", "direction"])
    assert counts.loc[("any", "asst", "all"), "found"] == 0


@given(sources())
@settings(max_examples=20)
def test_prompts_on_which_both_models_are_active_are_counted(drawn):
    _, pairs = from_activations(*drawn)
    for at in pairs.positions.values():
        dense = {(v, p): at.activations(v, p, 0, len(at.features)) != 0 for v in SIDES for p in PROMPTS}
        wanted = sum((dense["base", p] & dense["chat", p]).sum(axis=0) for p in PROMPTS)
        assert at.in_both().tolist() == wanted.tolist()


# ----------------------------------------------------------------------------
# What is refused.


def test_models_that_saw_other_numbers_of_prompts(tmp_path):
    folder = make_source(tmp_path / "source", num_control_prompts=7)
    study = load(folder)
    activation_rows(study).to_parquet(folder / "activations.parquet", index=False)
    assert refused(study) == "`activations.parquet` cannot pair 8 target prompts in base with 9 in chat."


def test_more_prompts_than_are_tested_one_by_one(tmp_path):
    """Signs for a million prompts take 8 GB: three small files ended the server."""
    folder = make_source(tmp_path / "source", num_target_prompts=19_990, num_control_prompts=11)
    study = load(folder)
    activation_rows(study).to_parquet(folder / "activations.parquet", index=False)
    assert refused(study) == "`activations.parquet` is of 20,001 prompts, but at most 20,000 are tested one by one."
    assert study.sample().startswith("19990 target and 11 control prompts; ")


def test_counts_that_contradict(study):
    rows = activation_rows(study, 1)
    gone = rows[(rows["model"] == "chat") & (rows["prompt_set"] == "control") & (rows["token_type"] == "newline")]
    rows.drop(index=gone.index[0]).to_parquet(study.source.folder / "activations.parquet", index=False)
    feature = gone["feature_id"].iloc[0]
    n = study.results.chat.vectors["newline"]["control_num_active"][feature]
    assert refused(study) == (
        f"`activations.parquet` has feature {feature} active on {n - 1} control prompts in chat at 'newline', but "
        f"`chat.pt` says {n} (1 such features). Were they made together?"
    )


@pytest.mark.parametrize("feature", [-1, 8])
def test_feature_that_the_sae_does_not_have(study, feature):
    rows = activation_rows(study, 1)
    rows.loc[[0, 1], "feature_id"] = feature
    rows.to_parquet(study.source.folder / "activations.parquet", index=False)
    assert refused(study) == (
        f"`activations.parquet` has feature {feature}, but the SAE's features run from 0 to 7 (2 such rows). "
        "Was it made with the same SAE?"
    )


def test_more_prompts_than_the_results_have(study):
    """Counts that fit, of prompts that do not: one more id."""
    rows = activation_rows(study, 1)
    rows.loc[rows[rows["prompt_set"] == "target"].index[0], "prompt_id"] = 99
    rows.to_parquet(study.source.folder / "activations.parquet", index=False)
    assert refused(study) == (
        "`activations.parquet` has 10 target prompts, but the results have 9. Were they made together?"
    )


def test_two_activations_of_a_feature_on_a_prompt(study):
    """The counts fit: another prompt of the feature is left out for it."""
    rows = activation_rows(study, 1)
    key = ["model", "prompt_set", "token_type", "feature_id"]
    first = rows[rows.duplicated(key, keep=False)].index[:2]
    rows.loc[first[1], "prompt_id"] = rows.loc[first[0], "prompt_id"]
    rows.to_parquet(study.source.folder / "activations.parquet", index=False)
    message = "`activations.parquet` has two activations of one feature on one prompt in one model. Expected one."
    assert refused(study) == message


@pytest.mark.parametrize("column", COLUMNS)
def test_column_that_is_missing(study, column):
    activation_rows(study, 1).drop(columns=column).to_parquet(study.source.folder / "activations.parquet", index=False)
    others = ", ".join(repr(name) for name in COLUMNS if name != column)
    assert refused(study) == (
        f"`activations.parquet` has the columns {others}, but expected '{column}' as well, once each."
    )


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [("model", "it", "'base', 'chat'"), ("prompt_set", "targets", "'target', 'control'")],
)
def test_model_or_prompt_set_that_is_neither(study, column, value, expected):
    rows = activation_rows(study, 1)
    rows.loc[[2, 5, 6], column] = value
    rows.to_parquet(study.source.folder / "activations.parquet", index=False)
    assert refused(study) == f"`activations.parquet`: `{column}` is {value!r} in 3 rows, but expected {expected}."


def test_activation_that_is_no_number(study):
    rows = activation_rows(study, 1)
    rows.loc[[0, 3], "activation"] = [np.nan, np.inf]
    rows.to_parquet(study.source.folder / "activations.parquet", index=False)
    message = "`activations.parquet`: `activation` is missing or not finite in 2 rows, but expected fractions."
    assert refused(study) == message


def test_no_parquet(study):
    (study.source.folder / "activations.parquet").write_bytes(b"PAR1 and then nothing")
    assert refused(study).startswith("`activations.parquet` cannot be read as Parquet (")


def test_group_in_both_sets(study):
    names = {"target": ["a", "a", "b", "b", "b", "c", "c", "d", "d"], "control": ["e", "e", "e", "b", "b", "d", "d"]}
    write_prompts(study, everywhere(names))
    assert refused(study) == (
        "`prompts.parquet` has the group 'b' in target and in control (2 such), but a group's prompts must be of one "
        "set, as they are exchanged together."
    )


def test_numbered_group_in_both_sets(study):
    write_prompts(study, everywhere({"target": [1, 1, 1, 2, 2, 2, 3, 3, 3], "control": [3, 3, 3, 4, 4, 4, 5]}))
    assert refused(study).startswith("`prompts.parquet` has the group 3 in target and in control (1 such), but ")


def test_groups_that_are_fractions(study):
    frame = pd.DataFrame(everywhere({"target": [0.5] * 9, "control": [1.5] * 7}))
    frame.columns = ["prompt_set", "prompt_id", "content", "group"]
    write_prompts(study, frame)
    assert refused(study) == "`prompts.parquet`: `group` holds 'double', but expected text or whole numbers."


def test_two_texts_of_a_prompt(study):
    write_prompts(study, [("target", 0, "Who?", "a"), ("target", 0, "What?", "a")])
    assert refused(study) == "`prompts.parquet` has two texts of one prompt. Expected one."


def test_prompts_without_a_column(study):
    write_prompts(study, [("target", 0)], ("prompt_set", "prompt_id"))
    message = "`prompts.parquet` has the columns 'prompt_set', 'prompt_id', but expected 'content' as well, once each."
    assert refused(study) == message


# ----------------------------------------------------------------------------
# What is said.


def described(groups, alike=None):
    sizes = {"target": 40, "control": 37}
    cells = {"model": {v: {p: np.ones((n, 1)) for p, n in sizes.items()} for v in SIDES}}
    pairs = from_activations(cells)[1]
    numbered = {p: None if n is None else np.arange(sizes[p]) % n for p, n in groups.items()}
    return describe_pairs(Pairs(pairs.positions, numbered, alike))


@pytest.mark.parametrize(
    ("target", "control", "alike", "said"),
    [
        (None, None, None, "40 target and 37 control prompts"),
        (None, None, 0, "40 target and 37 control prompts"),
        (8, 7, 12, "40 target prompts in 8 groups and 37 control prompts in 7 groups"),
        (8, None, 3, "40 target prompts in 8 groups and 37 control prompts"),
        (6, 5, None, "40 target prompts in 6 groups and 37 control prompts in 5 groups"),
        (
            5,
            None,
            None,
            "40 target prompts in 5 groups and 37 control prompts; fewer than 6 groups can show no change",
        ),
        (
            1,
            1,
            None,
            "40 target prompts in 1 group and 37 control prompts in 1 group; fewer than 6 groups can show no change",
        ),
        (
            None,
            None,
            12,
            "40 target and 37 control prompts; 12 prompts are the same as another but for case, spaces and "
            "punctuation: say with `group` which belong together",
        ),
    ],
)
def test_pairs_in_words(target, control, alike, said):
    assert described({"target": target, "control": control}, alike) == said


def test_prompts_that_are_alike_are_counted(study):
    """Case, spaces and punctuation do not tell prompts apart; sets do. Each one of a pair counts."""
    texts = ["Who are you?", "who  ARE you", "Who are you, then?", "(Who are you)", "a b", "ab", "A-B", "ß", "SS"]
    rows = [("target", i, text) for i, text in enumerate(texts)] + [("control", 0, "Who are you?")]
    write_prompts(study, rows, ("prompt_set", "prompt_id", "content"))
    pairs = pairs_of(study)
    assert pairs.alike == 3 + 2 + 2
    assert describe_pairs(pairs).endswith(
        "; 7 prompts are the same as another but for case, spaces and punctuation: say with `group` which belong "
        "together"
    )
    (study.source.folder / "prompts.parquet").unlink()
    assert pairs_of(study).alike is None


def test_sample_without_pairs(tmp_path):
    folder = make_source(tmp_path / "source")
    unknown = "; unpaired tests"
    assert load(folder).sample() == f"8 and 9 target prompts and 7 and 6 control prompts{unknown}"
    make_source(folder, num_target_prompts=9, num_control_prompts=7)
    assert load(folder).sample() == f"9 target and 7 control prompts{unknown}"
    study = load(folder)
    activation_rows(study).to_parquet(folder / "activations.parquet", index=False)
    assert load(folder).sample() == "9 target and 7 control prompts"


def test_no_activations(tmp_path):
    assert find_activations(tmp_path) is None
    (tmp_path / "activations.parquet").touch()
    assert find_activations(tmp_path) == Activations(tmp_path / "activations.parquet", None)
