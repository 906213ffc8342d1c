"""Which features sources of one SAE share, and which sources are never compared."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from featurediff.compare.overlap import group_by_sae, overlap, shared_features
from featurediff.compare.same_sae import SAME_SAE, SaeNames
from featurediff.compare.summary import Summary
from featurediff.labels import EXCLUSIVITIES
from featurediff.meaning.pages import FeaturePages

PAGE = "gemma-2-9b/20-a"
TOKEN_TYPES = ("model", "newline", "end")
SAE = SaeNames(50, PAGE)


def summary(name, rows=(), sae=SAE, token_types=TOKEN_TYPES, page=None):
    """A source that keeps rows of (feature_id, token_type, exclusivity, base_q, chat_q, explanation)."""
    columns = ["feature_id", "token_type", "exclusivity", "base_q", "chat_q", "explanation"]
    frame = pd.DataFrame(list(rows), columns=columns).astype({"explanation": "str", "feature_id": "int32"})
    frame["token_type"] = pd.Categorical(frame["token_type"], token_types)
    frame["exclusivity"] = pd.Categorical(frame["exclusivity"], EXCLUSIVITIES)
    frame[["base_q", "chat_q"]] = frame[["base_q", "chat_q"]].astype(float)
    page = page or FeaturePages(f"https://www.neuronpedia.org/{PAGE}/{{feature_id}}", "", PAGE)
    return Summary(name, "gemma", "16k", 20, name, token_types, sae, page, {}, False, frame)


def dealt(name, rng, most=40):
    """A source with random rows, each (token_type, feature) at most once."""
    places = [(feature, token_type) for feature in range(50) for token_type in TOKEN_TYPES]
    chosen = rng.choice(len(places), rng.integers(0, most), replace=False)
    rows = []
    for place in sorted(chosen.tolist(), key=lambda i: (TOKEN_TYPES.index(places[i][1]), places[i][0])):
        q = [math.nan if rng.random() < 0.2 else float(rng.random() ** 3) for _ in range(2)]
        text = None if rng.random() < 0.4 else f"text {places[place][0]}"
        rows.append((*places[place], str(rng.choice(EXCLUSIVITIES)), *q, text))
    return summary(name, rows)


def judged(exclusivity, base_q, chat_q):
    """The smaller q of the models in which a row is exclusive, in plain Python."""
    found = [q for q, models in ((base_q, ("both", "base")), (chat_q, ("both", "chat"))) if exclusivity in models]
    found = [q for q in found if not math.isnan(q)]
    return min(found) if found else math.inf if exclusivity != "both" else math.nan


def features(source, token_type, max_q):
    """The features of a source as a set, row by row."""
    found = set()
    for feature, at, exclusivity, base_q, chat_q, _ in source.kept.itertuples(index=False):
        if token_type in (None, at) and (max_q is None or judged(exclusivity, base_q, chat_q) <= max_q):
            found.add(feature)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_overlap_is_what_sets_say(seed):
    rng = np.random.default_rng(seed)
    group = [dealt(str(i), rng) for i in range(rng.integers(2, 6))]
    for token_type in (None, *TOKEN_TYPES):
        for max_q in (None, 0.05, 0.5):
            found = overlap(group, token_type, max_q)
            sets = [features(source, token_type, max_q) for source in group]
            for i, ours in enumerate(sets):
                for j, theirs in enumerate(sets):
                    assert found.shared[i, j] == len(ours & theirs)
                    either = len(ours | theirs)
                    expected = len(ours & theirs) / either if either else math.nan
                    assert found.jaccard[i, j] == pytest.approx(expected, nan_ok=True)


def test_overlap_worked_out_by_hand():
    one = summary("one", [(1, "model", "base", 0.01, 1, None), (2, "model", "both", 0.5, 0.01, None)])
    rows = [(2, "newline", "chat", 1, 0.2, None), (3, "model", "base", 0.3, 1, None), (1, "end", "base", 1, 1, None)]
    other = summary("other", rows)
    found = overlap([one, other])
    assert found.shared.tolist() == [[2, 2], [2, 3]]
    assert found.jaccard.tolist() == [[1, 2 / 3], [2 / 3, 1]]
    assert overlap([one, other], "model").shared.tolist() == [[2, 0], [0, 1]]
    assert overlap([one, other], max_q=0.2).shared.tolist() == [[2, 1], [1, 1]]
    assert overlap([one, other], max_q=0.2).jaccard.tolist() == [[1, 1 / 2], [1 / 2, 1]]


def test_two_sources_without_features_have_no_overlap_to_speak_of():
    found = overlap([summary("one"), summary("other"), summary("some", [(1, "model", "base", 0, 1, None)])])
    assert found.shared.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert np.isnan(found.jaccard[:2, :2]).all()
    assert found.jaccard[2].tolist() == [0, 0, 1]


@pytest.mark.parametrize("seed", range(8))
def test_shared_features_are_what_sets_say(seed):
    rng = np.random.default_rng(100 + seed)
    first, second = dealt("first", rng), dealt("second", rng)
    for token_type in (None, *TOKEN_TYPES):
        for max_q in (None, 0.5):
            found = shared_features(first, second, token_type, max_q)
            wanted = features(first, token_type, max_q) & features(second, token_type, max_q)
            expected = []
            for feature in sorted(wanted):
                for at in TOKEN_TYPES if token_type is None else [token_type]:
                    sides = [
                        [row for row in source.kept.itertuples(index=False) if row[:2] == (feature, at)]
                        for source in (first, second)
                    ]
                    if any(sides):
                        expected.append((feature, at, *(side[0][2] if side else None for side in sides)))
            rows = found[["feature_id", "token_type", "first_exclusivity", "second_exclusivity"]].astype("object")
            rows = rows.where(rows.notna(), None)
            assert list(rows.itertuples(index=False, name=None)) == expected
            for row in found.itertuples():
                for source, q in ((first, row.first_q), (second, row.second_q)):
                    here = [r for r in source.kept.itertuples(index=False) if r[:2] == (row.feature_id, row.token_type)]
                    assert q == pytest.approx(judged(*here[0][2:5]) if here else math.nan, nan_ok=True)


def test_shared_features_carry_what_they_mean_and_their_page():
    one = summary("one", [(7, "end", "base", 0.1, 1, None), (3, "model", "chat", 1, 0.2, "three")])
    other = summary("other", [(3, "end", "both", 0.5, 0.4, "other three"), (7, "model", "chat", 1, 0.3, "seven")])
    found = shared_features(one, other)
    columns = ["first_exclusivity", "second_exclusivity", "first_q", "second_q", "explanation", "neuronpedia_url"]
    assert found.columns.tolist() == ["feature_id", "token_type", *columns]
    url = f"https://www.neuronpedia.org/{PAGE}/"
    assert found.astype("object").where(found.notna(), None).to_numpy().tolist() == [
        [3, "model", "chat", None, 0.2, None, "three", f"{url}3"],
        [3, "end", None, "both", None, 0.4, "three", f"{url}3"],
        [7, "model", None, "chat", None, 0.3, "seven", f"{url}7"],
        [7, "end", "base", None, 0.1, None, "seven", f"{url}7"],
    ]
    assert len(shared_features(one, other, "model")) == 0
    assert shared_features(one, other, "model").columns.tolist() == found.columns.tolist()


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
