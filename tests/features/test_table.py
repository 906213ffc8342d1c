from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import make_model, make_results

from featurediff import load
from featurediff.errors import DataError
from featurediff.features.filters import Filters, blocking_filter, filter_table
from featurediff.features.questions import QUESTIONS, Asked
from featurediff.features.table import count_answers, feature_table, values, with_difference
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.meaning.pages import FeaturePages
from featurediff.sources import demo
from featurediff.sources.results import Results

PROMPTS = {"base": (8, 7), "chat": (9, 40)}
SWAP = {"base": "chat", "chat": "base", "both": "both"}

# One feature a column: in both; base only; base only, also on chat's control; chat only; chat only, also on base's
# control; active on both controls; silent.
COUNTS = {
    "model": {
        "base": {"target": [3, 2, 4, 0, 5, 6, 0], "control": [0, 0, 0, 0, 2, 1, 0]},
        "chat": {"target": [5, 0, 6, 7, 4, 3, 0], "control": [0, 0, 3, 0, 0, 20, 0]},
    }
}


def categories(table):
    columns = table[["token_type", "feature_id", "exclusivity", "inconsistent"]]
    return [tuple(row) for row in columns.itertuples(index=False)]


# ----------------------------------------------------------------------------
# The table, by hand.


def test_published_rule():
    assert categories(feature_table(make_results(COUNTS, PROMPTS))) == [
        ("model", 0, "both", False),
        ("model", 1, "base", False),
        ("model", 2, "base", True),
        ("model", 3, "chat", False),
        ("model", 4, "chat", True),
    ]


@pytest.mark.parametrize(
    ("min_target", "max_control", "expected"),
    [
        ("4", "0", [(0, "chat", False), (2, "base", True), (3, "chat", False), (4, "chat", True)]),
        ("1", "1", [(0, "both", False), (1, "base", False), (2, "base", True), (3, "chat", False), (4, "chat", True),
                    (5, "base", True)]),
        ("1", "2", [(0, "both", False), (1, "base", False), (2, "base", True), (3, "chat", False), (4, "both", False),
                    (5, "base", True)]),
        ("50%", "0", [(0, "chat", False), (2, "base", True), (3, "chat", False)]),
        ("25%", "7.5%", [(0, "both", False), (1, "base", False), (2, "both", False), (3, "chat", False),
                         (4, "chat", True)]),
    ],
)  # fmt: skip
def test_moved_thresholds(min_target, max_control, expected):
    """Shares are of each model's own prompts: 8 and 9 target, 7 and 40 control."""
    thresholds = Thresholds(Threshold.parse(min_target), Threshold.parse(max_control))
    found = feature_table(make_results(COUNTS, PROMPTS), thresholds)
    assert [row[1:] for row in categories(found)] == expected


def test_columns_and_types():
    explanations = parse_explanations(b"feature_id,description\n3,three\n0,zero\n9,none\n", "e.csv")
    page = FeaturePages("https://example.org/{feature_id}", "So.")
    table = feature_table(make_results(COUNTS, PROMPTS), None, explanations, page)
    names = ["target_num_active", "control_num_active", "target_sparsity", "control_sparsity"]
    assert list(table) == [
        "feature_id", "token_type", "exclusivity", "inconsistent", "kept_by", "direction",
        *(f"base_{name}" for name in names), *(f"chat_{name}" for name in names),
        "explanation", "neuronpedia_url",
    ]  # fmt: skip
    assert table.dtypes.astype(str).to_dict() == {
        "feature_id": "int32",
        "token_type": "category",
        "exclusivity": "category",
        "inconsistent": "bool",
        "kept_by": "category",
        "direction": "category",
        **{f"{v}_{n}": "int64" if n.endswith("active") else "float32" for v in PROMPTS for n in names},
        "explanation": "str",
        "neuronpedia_url": "str",
    }
    assert list(table["exclusivity"].cat.categories) == ["both", "base", "chat", "neither"]
    assert list(table["direction"].cat.categories) == ["increase", "decrease", "none"]
    assert table[["kept_by", "direction"]].isna().all(axis=None), "not known without the tests of a change"
    assert table.index.equals(pd.RangeIndex(5))
    assert table["base_target_num_active"].tolist() == [3, 2, 4, 0, 5]
    assert table["base_control_num_active"].tolist() == [0, 0, 0, 0, 2]
    assert table["chat_target_num_active"].tolist() == [5, 0, 6, 7, 4]
    assert table["chat_control_num_active"].tolist() == [0, 0, 3, 0, 0]
    np.testing.assert_array_equal(table["chat_control_sparsity"], np.float32([0, 0, 0.075, 0, 0]))
    assert table["explanation"].fillna("–").tolist() == ["zero", "–", "–", "three", "–"]
    assert table["neuronpedia_url"].tolist() == [f"https://example.org/{i}" for i in range(5)]


def test_no_explanations_and_no_page():
    table = feature_table(make_results(COUNTS, PROMPTS))
    assert table["explanation"].isna().all()
    assert table["neuronpedia_url"].isna().all()
    assert table["explanation"].dtype == table["neuronpedia_url"].dtype == "str"


def test_token_types_keep_the_order_of_the_files():
    """Also a token type without any exclusive feature stays a category."""
    silent = {side: {prompts: [0] * 7 for prompts in ("target", "control")} for side in ("base", "chat")}
    counts = {"newline": COUNTS["model"], "asst": silent, "model": COUNTS["model"]}
    table = feature_table(make_results(counts, PROMPTS))
    assert list(table["token_type"].cat.categories) == ["newline", "asst", "model"]
    assert table["token_type"].tolist() == ["newline"] * 5 + ["model"] * 5
    assert table["feature_id"].tolist() == [0, 1, 2, 3, 4] * 2


def test_no_exclusive_feature_at_all():
    counts = {"model": {v: {"target": [0, 1], "control": [1, 1]} for v in ("base", "chat")}}
    explanations = parse_explanations(b"feature_id,description\n", "e.csv")
    for table in (
        feature_table(make_results(counts, PROMPTS)),
        feature_table(
            make_results(counts, PROMPTS), None, explanations, FeaturePages("https://x.org/{feature_id}", "")
        ),
    ):
        assert len(table) == 0
        assert table["token_type"].dtype == "category"
        assert table["feature_id"].dtype == np.int32
        assert len(with_difference(table, "target_sparsity")) == 0
        assert len(filter_table(table, Filters(search="x", ids=(1,), min_value=0.5), "target_sparsity")) == 0


def test_difference_is_chat_minus_base():
    table = feature_table(make_results(COUNTS, PROMPTS))
    before = list(table)
    made = with_difference(table, "target_num_active")
    assert made["difference"].tolist() == [2, -2, 2, 7, -1]
    assert list(table) == before
    assert [cells.tolist() for cells in values(table, "target_num_active")] == [[3, 2, 4, 0, 5], [5, 0, 6, 7, 4]]


# ----------------------------------------------------------------------------
# Against a slow reference, and properties.


def slow_table(counts, prompts, min_target, max_control):
    """The rule of the design in plain Python; thresholds are Fractions, and shares of them if the flag is set."""

    def measured(side, prompt_set, token_type, feature, is_share):
        count = counts[token_type][side][prompt_set][feature]
        return Fraction(count, prompts[side][prompt_set == "control"]) if is_share else Fraction(count)

    rows = []
    for token_type, of_versions in counts.items():
        for feature in range(len(of_versions["base"]["target"])):
            over = {
                v: measured(v, "control", token_type, feature, max_control[1]) > max_control[0] for v in of_versions
            }
            exclusive = {
                v: measured(v, "target", token_type, feature, min_target[1]) >= min_target[0] and not over[v]
                for v in of_versions
            }
            if exclusive["base"] and exclusive["chat"]:
                rows.append((token_type, feature, "both", False))
            elif exclusive["base"]:
                rows.append((token_type, feature, "base", over["chat"]))
            elif exclusive["chat"]:
                rows.append((token_type, feature, "chat", over["base"]))
    return rows


def exactly(text):
    """A threshold as (Fraction, whether a share), read without `Threshold`."""
    if text.endswith("%"):
        return Fraction(text[:-1]) / 100, True
    return Fraction(text), "." in text


SIZES = st.sampled_from([1, 7, 8, 9, 40, 100])


@st.composite
def sources(draw):
    """Counts of one to three token types, and prompts of four different sizes as a rule."""
    prompts = {side: (draw(SIZES), draw(SIZES)) for side in ("base", "chat")}
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.integers(1, 40))
    counts = {}
    for token_type in draw(st.lists(st.sampled_from(["model", "newline", "asst"]), min_size=1, unique=True)):
        counts[token_type] = {}
        for side, sizes in prompts.items():
            sets = zip(("target", "control"), sizes, (0.6, 0.3), strict=True)
            counts[token_type][side] = {
                name: np.where(rng.random(width) < active, rng.integers(0, n + 1, width), 0).tolist()
                for name, n, active in sets
            }
    return counts, prompts


TARGETS = st.sampled_from(["1", "2", "3", "7", "7%", "30%", "12.5%", "0.125", "100%", "0.025", "11.1111%"])
CONTROLS = st.sampled_from(["0", "1", "3", "7%", "30%", "12.5%", "0.0", "2.5%", "100%", "14.2857%"])


@settings(deadline=None)
@given(sources(), TARGETS, CONTROLS)
def test_classification_agrees_with_the_slow_reference(source, min_target, max_control):
    counts, prompts = source
    table = feature_table(
        make_results(counts, prompts), Thresholds(Threshold.parse(min_target), Threshold.parse(max_control))
    )
    assert categories(table) == slow_table(counts, prompts, exactly(min_target), exactly(max_control))


@pytest.mark.parametrize("n", [7, 8, 9, 40, 100, 1000])
def test_a_share_that_is_reached_exactly_counts(n):
    """7 % of 100 prompts is 7 of them: as floats, 0.07 * 100 is more than 7."""
    everything = np.arange(n + 1)
    for count in range(1, n + 1):
        share = Fraction(count, n)
        percent = share * 10**6
        if percent.denominator > 1:
            continue
        threshold = Threshold.parse(f"{int(percent) / 10**4:.4f}%")
        assert (threshold.measure(everything, n) >= threshold.value).tolist() == [k >= count for k in everything]


@settings(deadline=None)
@given(sources(), st.integers(0, 2**32 - 1), TARGETS, CONTROLS)
def test_order_of_features_does_not_matter(source, seed, min_target, max_control):
    counts, prompts = source
    thresholds = Thresholds(Threshold.parse(min_target), Threshold.parse(max_control))
    width = len(next(iter(counts.values()))["base"]["target"])
    order = np.random.default_rng(seed).permutation(width)
    moved = {
        token_type: {v: {p: [cells[i] for i in order] for p, cells in sets.items()} for v, sets in versions.items()}
        for token_type, versions in counts.items()
    }
    here = feature_table(make_results(counts, prompts), thresholds)
    there = feature_table(make_results(moved, prompts), thresholds)
    there = there.assign(feature_id=order[there["feature_id"]].astype(np.int32))
    there = there.sort_values(["token_type", "feature_id"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(here, there)


@settings(deadline=None)
@given(sources(), TARGETS, CONTROLS)
def test_swapping_the_models_swaps_categories_and_negates_differences(source, min_target, max_control):
    counts, prompts = source
    thresholds = Thresholds(Threshold.parse(min_target), Threshold.parse(max_control))
    results = make_results(counts, prompts)
    here, there = (feature_table(r, thresholds) for r in (results, Results(results.chat, results.base)))
    assert [(t, i, SWAP[e], inconsistent) for t, i, e, inconsistent in categories(here)] == categories(there)
    for metric in results.vector_names:
        np.testing.assert_array_equal(
            with_difference(here, metric)["difference"], -with_difference(there, metric)["difference"]
        )
        np.testing.assert_array_equal(here[f"base_{metric}"], there[f"chat_{metric}"])


# ----------------------------------------------------------------------------
# Thresholds as text.


@pytest.mark.parametrize(
    ("text", "value", "share", "again"),
    [
        ("3", 3, False, "3"),
        (" 40 ", 40, False, "40"),
        ("0", 0, False, "0"),
        ("1234567", 1234567, False, "1234567"),
        ("7.5%", 0.075, True, "7.5%"),
        ("7.5 %", 0.075, True, "7.5%"),
        ("7%", 0.07, True, "7%"),
        ("0.07", 0.07, True, "7%"),
        (".125", 0.125, True, "12.5%"),
        ("10%", 0.1, True, "10%"),
        ("100%", 1, True, "100%"),
        ("0%", 0, True, "0%"),
        ("0.0000000001%", 1e-12, True, "0.0000000001%"),
    ],
)
def test_threshold_from_text_and_back(text, value, share, again):
    """A count of a million and more was written as 1.23457e+06, which is another number."""
    threshold = Threshold.parse(text)
    assert threshold == Threshold(value, share)
    assert str(threshold) == again
    assert Threshold.parse(str(threshold)) == threshold


@pytest.mark.parametrize(
    "text",
    [
        "", "%", "three", "-1", "-1%", "-0", "1.5", "3.0", "101%", "nan", "inf", "1/3", "7,5%", "3%%", "1e-2", "1e400",
        "1e999999999", "1_000", "٣", "0.00000000001", "1" * 400,
    ],
)  # fmt: skip
def test_threshold_that_is_neither(text):
    """
    Whole message, whatever was written.

    1e999999999 ended in a decimal.Overflow, 1e400 was infinitely many prompts, and 1e-2 a hundredth of one, which
    was written back as the share 0.01.
    """
    with pytest.raises(DataError) as caught:
        Threshold.parse(text)
    expected = f"A threshold is a count such as 3, or a share such as 7.5% or 0.075, but {text!r} was given."
    assert str(caught.value) == expected


@pytest.mark.parametrize("text", ["1.0", " 1. ", "1.000"])
def test_a_threshold_that_may_be_one_prompt_or_all_is_asked_for(text):
    """`--max-control 1.0` was 100 %, so that no control prompt counted."""
    with pytest.raises(DataError) as caught:
        Threshold.parse(text)
    assert str(caught.value) == f"The threshold {text!r} may be one prompt or all of them. Write 1 or 100%."


@pytest.mark.parametrize(("text", "shown"), [("0", "0"), ("0%", "0%"), ("0.0", "0%")])
def test_least_target_prompts_above_zero(text, shown):
    with pytest.raises(DataError) as caught:
        Thresholds(min_target=Threshold.parse(text))
    assert str(caught.value) == (
        f"The least number of target prompts must be above 0, but is {shown}: "
        "at 0, features that never fire would count as exclusive."
    )


# ----------------------------------------------------------------------------
# Filters.


@pytest.fixture
def table():
    text = b'feature_id,description\n0,"Asks (who) it is"\n1,about the SELF\n3,a.b\n4,Stra\xc3\x9fe\n'
    return feature_table(make_results(COUNTS, PROMPTS), None, parse_explanations(text, "e.csv"))


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(), [0, 1, 2, 3, 4]),
        (Filters(token_types=("model",)), [0, 1, 2, 3, 4]),
        (Filters(token_types=("newline",)), []),
        (Filters(exclusivity=("base", "both")), [0, 1, 2]),
        (Filters(consistency="inconsistent"), [2, 4]),
        (Filters(consistency="consistent"), [0, 1, 3]),
        (Filters(min_value=5), [0, 2, 3, 4]),
        (Filters(min_value=7), [3]),
        (Filters(ids=(4, 0, 99)), [0, 4]),
        (Filters(search="self"), [1]),
        (Filters(search="(WHO)"), [0]),
        (Filters(search="a.b"), [3]),
        (Filters(search=".*"), []),
        (Filters(exclusivity=("chat",), consistency="inconsistent", min_value=5, ids=(4,), search="stra"), [4]),
    ],
)
def test_filters(table, filters, kept):
    """The minimum is of the larger of 3, 2, 4, 0, 5 and 5, 0, 6, 7, 4."""
    found = filter_table(table, filters, "target_num_active")
    assert found["feature_id"].tolist() == kept
    assert found.index.tolist() == kept
    assert len(table) == 5


@pytest.mark.parametrize(
    ("max_q", "kept"), [(0.3, [0, 1, 2, 3, 4]), (0.2, [0, 1, 3]), (0.1, [0, 3]), (0.0999, [0]), (0.01, [])]
)
def test_filter_by_q_holds_at_most_that_q(table, max_q, kept):
    """Of a feature that is exclusive in both models the smaller q counts, of another the q of its own model."""
    tested = table.assign(base_q=[0.5, 0.2, 0.3, 0.01, 0.01], chat_q=[0.05, 0.01, 0.01, 0.1, 0.3])
    found = filter_table(tested, Filters(max_q=max_q), "target_num_active")
    assert found["feature_id"].tolist() == kept


@pytest.mark.parametrize(
    ("filters", "name"),
    [
        (Filters(), None),
        (Filters(token_types=("newline",)), "position"),
        (Filters(exclusivity=("nobody",)), "exclusivity"),
        (Filters(min_value=99), "minimum value"),
        (Filters(ids=(99,)), "feature ids"),
        (Filters(search="zzz"), "search"),
        (Filters(exclusivity=("both",), consistency="inconsistent"), "consistency"),
        (Filters(exclusivity=("base",), ids=(3,)), "feature ids"),
        (Filters(exclusivity=("both",), consistency="inconsistent", search="zzz"), "search"),
        (Filters(min_value=3, search="who"), None),
    ],
)
def test_filter_that_leaves_nothing_is_named(table, filters, name):
    """One that leaves nothing by itself, or else the first that does after the others."""
    assert blocking_filter(table, filters, "target_num_active") == name
    assert (name is None) == (len(filter_table(table, filters, "target_num_active")) > 0)


def test_model_files_may_have_their_token_types_in_another_order():
    vectors = {
        name: {"target_num_active": [1, 0], "control_num_active": [0, 0], "target_max": [value, 0]}
        for name, value in (("model", 1), ("newline", 2))
    }
    base = make_model("base", vectors, (4, 5))
    chat = make_model("chat", dict(reversed(vectors.items())), (6, 7))
    table = feature_table(Results(base, chat))
    assert table["token_type"].tolist() == ["model", "newline"]
    assert table["chat_target_max"].tolist() == [1, 2]


def test_answers_are_counted_as_the_tables_have_them(tmp_path):
    """The sidebar's numbers are those of the tables that it does not make."""
    study = load(demo.make_demo().write(tmp_path))
    for metric in ("target_all_mean", "target_sparsity"):
        for thresholds in (Thresholds(), Thresholds(Threshold(2), Threshold(1))):
            found = count_answers(study.results, thresholds, study.changes(), Asked(metric=metric))
            tables = {q: study.table(thresholds, question=q, metric=metric) for q in QUESTIONS}
            assert found == {question: len(table) for question, table in tables.items()}
    assert count_answers(study.results, Thresholds(), None, Asked()) == {"exclusive": len(study.table())}
