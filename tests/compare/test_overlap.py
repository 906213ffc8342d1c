"""Which features sources of the same SAE share, and which sources are never compared."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from featurediff.compare.by_sae import group_by_sae
from featurediff.compare.evidence import Evidence
from featurediff.compare.overlap import asked_of_overlap, list_pairs, overlap, overlaps_of, shared_features
from featurediff.compare.same_sae import SAME_SAE, SaeNames
from featurediff.compare.summary import Summary
from featurediff.features.questions import EFFECTS, Asked
from featurediff.labels import EXCLUSIVITIES, PROMPTS, SIDES
from featurediff.meaning.pages import FeaturePages

PAGE = "gemma-2-9b/20-a"
TOKEN_TYPES = ("model", "newline", "end")
SAE = SaeNames(50, PAGE)
CHANGED = Asked("changed")


def summary(name, rows=(), sae=SAE, token_types=TOKEN_TYPES, page=None, **more):
    """
    A source with rows of (feature_id, token_type, exclusivity, base_q, chat_q, explanation, q of change, its sign).

    The last two may be left out. The rows are all features that are active; those that are "neither" are not kept.
    """
    columns = ["feature_id", "token_type", "exclusivity", "base_q", "chat_q", "explanation", "change_q", "sign"]
    padded = [(*row, 1.0, 0)[:8] for row in rows]
    frame = pd.DataFrame(padded, columns=columns).astype({"explanation": "str", "feature_id": "int32", "sign": "int8"})
    frame["token_type"] = pd.Categorical(frame["token_type"], token_types)
    frame["exclusivity"] = pd.Categorical(frame["exclusivity"], EXCLUSIVITIES)
    frame[["base_q", "chat_q", "change_q"]] = frame[["base_q", "chat_q", "change_q"]].astype(float)
    table = frame[["base_q", "chat_q"]].assign(**{f"{effect}_q": frame["change_q"] for effect in EFFECTS})
    table = table.assign(**{f"{effect}_sign": frame["sign"] for effect in EFFECTS})
    evidence = Evidence(table, dict.fromkeys(EFFECTS, "welch"), dict.fromkeys(PROMPTS), is_paired=False)
    texts = frame.dropna(subset="explanation").drop_duplicates("feature_id").set_index("feature_id")["explanation"]
    page = page or FeaturePages(f"https://www.neuronpedia.org/{PAGE}/{{feature_id}}", "", PAGE)
    place = ("gemma", "16k", 20, name)
    sizes = {(side, prompts): 40 for side in SIDES for prompts in PROMPTS}
    marks = {prompts: frozenset() for prompts in PROMPTS} | more.pop("marks", {})
    active = frame[["feature_id", "token_type", "exclusivity"]]
    made = Summary(name, *place, token_types, sae, page, {}, False, sizes, marks, active, texts, evidence=evidence)
    return replace(made, **more)


def dealt(name, rng, most=60):
    """A source with random rows, each (token_type, feature) at most once, some of which are not kept."""
    places = [(feature, token_type) for feature in range(50) for token_type in TOKEN_TYPES]
    chosen = rng.choice(len(places), rng.integers(0, most), replace=False)
    rows = []
    for place in sorted(chosen.tolist(), key=lambda i: (TOKEN_TYPES.index(places[i][1]), places[i][0])):
        q = [math.nan if rng.random() < 0.2 else float(rng.random() ** 3) for _ in range(2)]
        text = None if rng.random() < 0.4 else f"text {places[place][0]}"
        change = math.nan if rng.random() < 0.1 else float(rng.random() ** 3)
        rows.append((*places[place], str(rng.choice(EXCLUSIVITIES)), *q, text, change, int(rng.integers(-1, 2))))
    return summary(name, rows)


def judged(exclusivity, base_q, chat_q):
    """The smaller q of the models in which a row is exclusive, in plain Python."""
    found = [q for q, models in ((base_q, ("both", "base")), (chat_q, ("both", "chat"))) if exclusivity in models]
    found = [q for q in found if not math.isnan(q)]
    return min(found) if found else math.inf if exclusivity != "both" else math.nan


def cells(source):
    """What a source knows of each feature, row by row: id, position, exclusivity, q of both models, q of the change."""
    columns = [
        "feature_id",
        "token_type",
        "exclusivity",
        "base_q",
        "chat_q",
        "all_mean_change_q",
        "all_mean_change_sign",
    ]
    return list(source.rows[columns].itertuples(index=False, name=None))


def is_kept(row, asked, only_evidence=False):
    _, _, exclusivity, base_q, chat_q, change_q, _ = row
    if asked.question == "changed":
        return change_q <= asked.alpha
    kept = exclusivity != "neither"
    return kept and (not only_evidence or judged(exclusivity, base_q, chat_q) <= asked.alpha)


def features(source, token_type, asked, only_evidence=False):
    """The features that a source keeps as a set, row by row."""
    return {row[0] for row in cells(source) if token_type in (None, row[1]) and is_kept(row, asked, only_evidence)}


CASES = [
    (token_type, asked, only_evidence)
    for token_type in (None, *TOKEN_TYPES)
    for asked, only_evidence in ((Asked(), False), (Asked(), True), (Asked(alpha=0.5), True), (CHANGED, False))
]


@pytest.mark.parametrize("seed", range(12))
def test_overlap_is_what_sets_say(seed):
    rng = np.random.default_rng(seed)
    group = [dealt(str(i), rng) for i in range(rng.integers(2, 6))]
    for token_type, asked, only_evidence in CASES:
        found = overlap(group, asked, token_type, only_evidence=only_evidence)
        sets = [features(source, token_type, asked, only_evidence) for source in group]
        active = [{row[0] for row in cells(source) if token_type in (None, row[1])} for source in group]
        for i, ours in enumerate(sets):
            for j, theirs in enumerate(sets):
                assert found.shared[i, j] == len(ours & theirs)
                either = len(ours | theirs)
                expected = len(ours & theirs) / either if either else math.nan
                assert found.jaccard[i, j] == pytest.approx(expected, nan_ok=True)
                both = active[i] & active[j]
                chance = len(ours & both) * len(theirs & both) / len(both) if both and i != j else math.nan
                assert found.expected[i, j] == pytest.approx(chance, nan_ok=True)


def test_expected_by_chance_is_the_mean_of_random_draws():
    """Of 6 features that are active in both, one source keeps 4 and the other 3: on average 2 would be shared."""
    rng = np.random.default_rng(0)
    rows = [(i, "model", "base" if i < 4 else "neither", 1, 1, None) for i in range(6)]
    only_here = [(i, "model", "base", 1, 1, None) for i in range(10, 20)]
    draws = []
    for _ in range(400):
        kept = set(rng.choice(6, 3, replace=False).tolist())
        others = [(i, "model", "chat" if i in kept else "neither", 1, 1, None) for i in range(6)]
        found = overlap([summary("one", rows + only_here), summary("other", others)])
        assert found.expected[0, 1] == found.expected[1, 0] == 2
        draws.append(found.shared[0, 1])
    assert np.mean(draws) == pytest.approx(2, abs=0.15)


def test_overlap_worked_out_by_hand():
    one = summary("one", [(1, "model", "base", 0.01, 1, None), (2, "model", "both", 0.5, 0.01, None)])
    rows = [(2, "newline", "chat", 1, 0.2, None), (3, "model", "base", 0.3, 1, None), (1, "end", "base", 1, 1, None)]
    other = summary("other", rows)
    found = overlap([one, other])
    assert found.shared.tolist() == [[2, 2], [2, 3]]
    assert found.jaccard.tolist() == [[1, 2 / 3], [2 / 3, 1]]
    assert overlap([one, other], token_type="model").shared.tolist() == [[2, 0], [0, 1]]
    evidence = overlap([one, other], Asked(alpha=0.2), only_evidence=True)
    assert evidence.shared.tolist() == [[2, 1], [1, 1]]
    assert evidence.jaccard.tolist() == [[1, 1 / 2], [1 / 2, 1]]
    assert evidence.expected[0, 1] == 2 * 1 / 2


def test_an_overlap_is_of_the_question():
    """The published rule keeps 1 and 2 in one source, 2 in the other; 3 alone changed in both."""
    one = [(1, "model", "base", 1, 1, None, 0.9, 1), (2, "model", "chat", 1, 1, None, 0.05, 1)]
    other = [(2, "model", "both", 1, 1, None, 0.06, 1), (3, "model", "neither", 1, 1, None, 0.01, -1)]
    group = [summary("one", [*one, (3, "model", "neither", 1, 1, None, 0.02, 1)]), summary("other", other)]
    assert overlap(group).shared.tolist() == [[2, 1], [1, 1]]
    assert overlap(group, CHANGED).shared.tolist() == [[2, 1], [1, 1]]
    assert shared_features(*group)["feature_id"].tolist() == [2]
    rows = shared_features(*group, CHANGED)
    columns = ["feature_id", "first_exclusivity", "first_direction", "second_direction", "first_q", "second_q"]
    assert rows[columns].to_numpy().tolist() == [[3, "neither", "increase", "decrease", 0.02, 0.01]]


def paired(name):
    source = summary(name, [(1, "model", "base", 1, 1, None, 0.01, 1)])
    return replace(source, evidence=replace(source.evidence, is_paired=True))


@pytest.mark.parametrize(
    ("group", "question", "expected"),
    [
        ([paired("a"), paired("b")], "exclusive", "changed"),
        ([paired("a"), paired("b")], "any", "changed"),
        ([paired("a"), paired("b")], "specific", "specific"),
        ([paired("a"), summary("b")], "exclusive", "exclusive"),
        ([paired("a"), summary("b")], "any", "exclusive"),
        ([paired("a"), summary("b")], "specific", "specific"),
        ([paired("a"), summary("b", evidence=None)], "exclusive", "exclusive"),
        ([paired("a"), summary("b", evidence=None)], "changed", "exclusive"),
    ],
)
def test_an_overlap_is_of_what_changed_where_that_is_well_tested(group, question, expected):
    asked = Asked(question, "target_sparsity", 0.1)
    assert asked_of_overlap(group, asked) == replace(asked, question=expected)


def test_an_overlap_marks_sources_of_the_same_prompts():
    same = {"target": frozenset({"file a"}), "control": frozenset({"file b"})}
    group = [
        summary("one", marks=same),
        summary("other", marks=same | {"target": frozenset({"file c"})}),
        summary("unknown"),
    ]
    marked = overlap(group).same_prompts
    assert marked == (((), ("control",), ()), (("control",), (), ()), ((), (), ()))


def test_pairs_are_listed_once():
    rows = [(1, "model", "base", 1, 1, None), (2, "model", "base", 1, 1, None)]
    marks = {"target": frozenset({"file a"}), "control": frozenset({"file b"})}
    group = [summary("a", rows, marks=marks), summary("b", rows[:1], marks=marks), summary("c")]
    other = SaeNames(50, "gemma-2-9b/21-a")
    pairs = list_pairs(list(overlaps_of([*group, summary("d", sae=other)], Asked())))
    assert pairs.astype("object").where(pairs.notna(), None).to_numpy().tolist() == [
        ["a", "b", 2, 1, 1, 1.0, 0.5, "target;control"],
        ["a", "c", 2, 0, 0, None, 0.0, ""],
        ["b", "c", 1, 0, 0, None, 0.0, ""],
    ]
    assert list_pairs([]).columns.tolist() == pairs.columns.tolist()


def test_two_sources_without_features_have_no_overlap_to_speak_of():
    found = overlap([summary("one"), summary("other"), summary("some", [(1, "model", "base", 0, 1, None)])])
    assert found.shared.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert np.isnan(found.jaccard[:2, :2]).all()
    assert found.jaccard[2].tolist() == [0, 0, 1]


@pytest.mark.parametrize("seed", range(8))
def test_shared_features_are_what_sets_say(seed):
    rng = np.random.default_rng(100 + seed)
    first, second = dealt("first", rng), dealt("second", rng)
    for token_type, asked, only_evidence in CASES:
        found = shared_features(first, second, asked, token_type, only_evidence=only_evidence)
        wanted = features(first, token_type, asked, only_evidence) & features(second, token_type, asked, only_evidence)
        expected = []
        for feature in sorted(wanted):
            for at in TOKEN_TYPES if token_type is None else [token_type]:
                sides = [
                    [row for row in cells(source) if row[:2] == (feature, at) and is_kept(row, asked)]
                    for source in (first, second)
                ]
                if any(sides):
                    expected.append((feature, at, *(side[0] if side else None for side in sides)))
        assert list(zip(found["feature_id"], found["token_type"], strict=True)) == [row[:2] for row in expected]
        for row, (*_, ours, theirs) in zip(found.to_dict("records"), expected, strict=True):
            for side, cell in (("first", ours), ("second", theirs)):
                if cell is None:
                    assert pd.isna([row[f"{side}_{name}"] for name in ("exclusivity", "direction", "q")]).all()
                    continue
                q = cell[5] if asked.question == "changed" else judged(*cell[2:5])
                assert row[f"{side}_q"] == pytest.approx(q, nan_ok=True)
                assert row[f"{side}_exclusivity"] == cell[2]
                assert row[f"{side}_direction"] == {1: "increase", -1: "decrease", 0: "none"}[cell[6]]


def test_shared_features_carry_what_they_mean_and_their_page():
    one = summary("one", [(7, "end", "base", 0.1, 1, None), (3, "model", "chat", 1, 0.2, "three")])
    other = summary("other", [(3, "end", "both", 0.5, 0.4, "other three"), (7, "model", "chat", 1, 0.3, "seven")])
    found = shared_features(one, other)
    columns = ["first_exclusivity", "second_exclusivity", "first_q", "second_q", "explanation", "neuronpedia_url"]
    directions = ["first_direction", "second_direction"]
    assert found.columns.tolist() == ["feature_id", "token_type", *columns[:2], *directions, *columns[2:]]
    url = f"https://www.neuronpedia.org/{PAGE}/"
    cut = found.drop(columns=directions).astype("object")
    assert cut.where(cut.notna(), None).to_numpy().tolist() == [
        [3, "model", "chat", None, 0.2, None, "three", f"{url}3"],
        [3, "end", None, "both", None, 0.4, "three", f"{url}3"],
        [7, "model", None, "chat", None, 0.3, "seven", f"{url}7"],
        [7, "end", "base", None, 0.1, None, "seven", f"{url}7"],
    ]
    assert len(shared_features(one, other, token_type="model")) == 0
    assert shared_features(one, other, token_type="model").columns.tolist() == found.columns.tolist()


def test_the_page_is_that_of_the_source_that_has_one():
    none = FeaturePages(None, "not known")
    one = summary("one", [(3, "model", "chat", 1, 0.2, None)], SaeNames(50, None, ("r", "i")), page=none)
    other = summary("other", [(3, "model", "chat", 1, 0.2, None)], SaeNames(50, PAGE, ("r", "i")))
    for pair in ((one, other), (other, one)):
        assert shared_features(*pair)["neuronpedia_url"].tolist() == [f"https://www.neuronpedia.org/{PAGE}/3"]
    assert shared_features(one, one)["neuronpedia_url"].isna().all()


def test_different_saes_are_never_compared():
    """Feature 3 of two SAEs is two features: an overlap of their ids means nothing."""
    one, other = summary("one"), summary("other", sae=SaeNames(50, "gemma-2-9b/21-a"))
    message = "These sources are not certain to read the same SAE: 'one', 'other'."
    for compare in (lambda: overlap([one, other]), lambda: shared_features(one, other)):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            compare()


def test_sources_are_grouped_by_their_sae_in_their_order():
    other = SaeNames(50, "gemma-2-9b/21-a")
    sources = [
        summary("a"),
        summary("b", sae=other),
        summary("c"),
        summary("d", sae=SaeNames(50)),
        summary("e", sae=other),
    ]
    groups = group_by_sae(sources)
    assert [[source.name for source in group] for group in groups.shared] == [["a", "c"], ["b", "e"]]
    assert [source.name for source in groups.alone] == ["d"]
    assert groups.reason == (
        "A feature’s id means something within one SAE only: feature 12 of another SAE is another feature. So only "
        "sources that read the same SAE are compared feature by feature. No other source here is certain to read the "
        f"SAE of 'd'. {SAME_SAE}"
    )


def test_where_all_share_an_sae_there_is_nothing_to_explain():
    groups = group_by_sae([summary("a"), summary("b")])
    assert len(groups.shared) == 1
    assert groups.alone == ()
    assert groups.reason == ""
    assert group_by_sae([]) == ((), (), "")


def test_a_source_joins_only_sources_that_it_certainly_shares_an_sae_with():
    """One with a folder's name alone fits two SAEs that have different pages: it can be only one of them."""
    folder = ("demo", "16k", 3)
    sources = [
        summary("a", sae=SaeNames(50, "m/3-a", None, folder)),
        summary("b", sae=SaeNames(50, "m/3-b", None, folder)),
        summary("c", sae=SaeNames(50, None, None, folder)),
    ]
    groups = group_by_sae(sources)
    assert [[source.name for source in group] for group in groups.shared] == [["a", "c"]]
    assert [source.name for source in groups.alone] == ["b"]


def test_a_source_joins_no_group_of_which_it_fits_one_alone():
    """`c` may be either's SAE, so `b` is of the SAE of `c`; yet not of that of `a`, which is in the group already."""
    folder = ("m", "t", 3)
    names = {"a": "m/3-a", "c": None, "b": "m/3-b"}
    groups = group_by_sae([summary(name, sae=SaeNames(50, page, None, folder)) for name, page in names.items()])
    assert [[source.name for source in group] for group in groups.shared] == [["a", "c"]]
    assert [source.name for source in groups.alone] == ["b"]
