"""Which features a question keeps, by which questions, and in which direction."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paired import from_activations, sources

from featurediff.features.evidence import assess_changes, assess_exclusive
from featurediff.features.evidence_columns import count_evidence, evidence_q, question_q, with_evidence
from featurediff.features.filters import Filters, blocking_filter, filter_table
from featurediff.features.questions import (
    EFFECTS,
    QUESTIONS,
    Asked,
    effect_of,
    is_tested,
    quantity_of,
)
from featurediff.features.table import KEPT_BY, feature_table
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.labels import EXCLUSIVITIES, SIDES

METRICS = ("target_all_mean", "target_sparsity", "target_all_std")


def test_effects_and_what_a_metric_is_about():
    assert EFFECTS == ("all_mean_change", "all_mean_specific", "sparsity_change", "sparsity_specific")
    assert [quantity_of(metric) for metric in (*METRICS, "control_sparsity", "target_max")] == [
        "all_mean", "sparsity", "all_mean", "sparsity", "all_mean",
    ]  # fmt: skip
    assert [metric for metric in (*METRICS, "control_sparsity", "control_all_mean") if is_tested(metric)] == [
        "target_all_mean",
        "target_sparsity",
    ]
    assert [effect_of(question, "target_sparsity") for question in QUESTIONS] == [
        "sparsity_change", "sparsity_change", "sparsity_specific", "sparsity_change",
    ]  # fmt: skip
    assert Asked("any", "target_max").quantities == ("all_mean", "sparsity")
    assert Asked("specific", "target_max").quantities == ("all_mean",)
    assert KEPT_BY == (
        "exclusive", "changed", "exclusive;changed", "specific", "exclusive;specific", "changed;specific",
        "exclusive;changed;specific",
    )  # fmt: skip


# ----------------------------------------------------------------------------
# By hand.


@pytest.fixture(scope="module")
def source():
    """
    Twelve target and twelve control prompts, and seven features; only the first three are the published rule's.

    0: on once on target in chat, never else: exclusive alone. 1: on 12 target prompts in chat, in base never: all
    three. 2: in both models only on target, weaker by 1 in chat on all 12: exclusive, changed and specific, downwards.
    3: stronger by 1 on target and by 1 on control: changed alone. 4: as 3, but on target only: changed and specific.
    5: stronger by 1 on all control prompts alone: specific alone, downwards. 6: silent.
    """
    rng = np.random.default_rng(7)
    noise = {p: rng.normal(0, 0.1, (12, 7)) for p in ("target", "control")}
    level = {
        ("base", "target"): [0, 0, 3, 2, 2, 2, 0],
        ("base", "control"): [0, 0, 0, 2, 2, 2, 0],
        ("chat", "target"): [0, 2, 2, 3, 3, 2, 0],
        ("chat", "control"): [0, 0, 0, 3, 2, 3, 0],
    }
    cells = {
        side: {
            p: np.where(np.array(level[side, p]) == 0, 0, np.array(level[side, p]) + noise[p] * (side == "chat"))
            for p in ("target", "control")
        }
        for side in SIDES
    }
    cells["chat"]["target"][0, 0] = 1
    return from_activations({"model": cells})


def ask(source, question, metric="target_all_mean", alpha=0.05, **how):
    results, pairs = source
    changes = assess_changes(results, pairs)
    kept = feature_table(results, changes=changes, asked=Asked(question, metric, alpha), **how)
    return with_evidence(kept, assess_exclusive(results, pairs), changes)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("exclusive", [
            (0, "chat", "exclusive", "increase"), (1, "chat", "exclusive;changed;specific", "increase"),
            (2, "both", "exclusive;changed;specific", "decrease"),
        ]),
        ("changed", [
            (1, "chat", "exclusive;changed;specific", "increase"),
            (2, "both", "exclusive;changed;specific", "decrease"), (3, "neither", "changed", "increase"),
            (4, "neither", "changed;specific", "increase"),
        ]),
        ("specific", [
            (1, "chat", "exclusive;changed;specific", "increase"),
            (2, "both", "exclusive;changed;specific", "decrease"),
            (4, "neither", "changed;specific", "increase"), (5, "neither", "specific", "decrease"),
        ]),
    ],
)  # fmt: skip
def test_what_each_question_keeps(source, question, expected):
    kept = ask(source, question)
    columns = [kept[name] for name in ("feature_id", "exclusivity", "kept_by", "direction")]
    assert list(zip(*columns, strict=True)) == expected
    assert not kept["inconsistent"].any()
    assert list(kept["exclusivity"].cat.categories) == list(EXCLUSIVITIES)


def test_any_is_the_union_and_goes_by_the_smallest_q(source):
    kept = ask(source, "any")
    assert kept["feature_id"].tolist() == [0, 1, 2, 3, 4, 5]
    by_question = {name: ask(source, name) for name in QUESTIONS[:3]}
    for feature_id, kept_by in zip(kept["feature_id"], kept["kept_by"], strict=True):
        names = [n for n, table in by_question.items() if feature_id in set(table["feature_id"])]
        assert kept_by == ";".join(names)
    # Of 5 the change on target is noise round 0.
    assert kept["direction"].tolist()[:5] == ["increase", "increase", "decrease", "increase", "increase"]
    q = question_q(kept, "any", "target_all_mean")
    columns = [f"{effect}_q" for effect in EFFECTS]
    wanted = np.fmin.reduce([evidence_q(kept), *kept[columns].to_numpy().T])
    assert q.tolist() == wanted.tolist()
    assert question_q(kept, "changed", "target_sparsity").tolist() == kept["sparsity_change_q"].tolist()
    assert question_q(kept, "specific", "target_max").tolist() == kept["all_mean_specific_q"].tolist()


def test_the_metric_decides_which_quantity_has_changed(source):
    """Only 1 is switched on; 2 to 5 are active in both models wherever they are active in one."""
    for question in ("changed", "specific"):
        assert ask(source, question, "target_sparsity")["feature_id"].tolist() == [1]
    assert ask(source, "exclusive", "target_sparsity")["direction"].tolist() == ["increase", "increase", "none"]


def test_alpha_is_a_largest_q(source):
    q = np.sort(ask(source, "changed")["all_mean_change_q"].to_numpy())
    for alpha in (q[0], q[-1]):
        kept = ask(source, "changed", alpha=alpha)
        assert len(kept) == (q <= alpha).sum()
        assert (kept["all_mean_change_q"] <= alpha).all()
    assert ask(source, "changed", alpha=q[0] * (1 - 1e-9)).empty
    assert len(ask(source, "exclusive", alpha=0)) == 3


def test_filters_work_under_every_question(source):
    kept = ask(source, "any")
    for filters, ids in (
        (Filters(exclusivity=("neither",)), [3, 4, 5]),
        (Filters(exclusivity=("both", "neither")), [2, 3, 4, 5]),
        (Filters(consistency="inconsistent"), []),
        (Filters(min_value=1), [1, 2, 3, 4, 5]),
    ):
        found = filter_table(kept, filters, "target_all_mean", "any")
        assert found["feature_id"].tolist() == ids
    for question, ids in (("exclusive", [1, 2]), ("changed", [1, 2, 3, 4]), ("specific", [1, 2, 4, 5])):
        found = filter_table(kept, Filters(max_q=0.05), "target_all_mean", question)
        assert found["feature_id"].tolist() == ids, "q of the question"
    assert filter_table(kept, Filters(max_q=0.05), "target_all_mean", "any")["feature_id"].tolist() == [1, 2, 3, 4, 5]
    assert blocking_filter(kept, Filters(max_q=0.0), "target_all_mean", "any") == "largest q"


def test_thresholds_move_exclusivity_and_not_what_changed(source):
    strict = Thresholds(Threshold(2), Threshold(0))
    assert ask(source, "exclusive", thresholds=strict)["feature_id"].tolist() == [1, 2]
    lax = Thresholds(Threshold(1), Threshold(12))
    for question in ("changed", "specific"):
        plain = ask(source, question)
        for thresholds in (strict, lax):
            kept = ask(source, question, thresholds=thresholds)
            assert kept["feature_id"].tolist() == plain["feature_id"].tolist()
            assert kept["all_mean_change_q"].tolist() == plain["all_mean_change_q"].tolist()
    assert set(ask(source, "changed", thresholds=lax)["exclusivity"]) == {"both", "chat"}


def test_counts_of_what_is_kept_and_significant(source):
    kept = ask(source, "any")
    counts = count_evidence(kept, 0.05, "any", "target_all_mean")
    assert counts.to_numpy().tolist() == [[1, 1], [0, 0], [2, 1], [3, 3]]
    assert count_evidence(kept)["significant"].tolist() == [1, 0, 1, 0]
    assert counts.index.get_level_values("exclusivity").tolist() == list(EXCLUSIVITIES)


def test_without_changes_only_the_published_rule_can_be_asked(source):
    results, pairs = source
    kept = with_evidence(feature_table(results), assess_exclusive(results, pairs), None)
    assert kept["feature_id"].tolist() == [0, 1, 2]
    assert kept[["kept_by", "direction"]].isna().all(axis=None)
    assert (
        kept[[f"{effect}{end}" for effect in EFFECTS for end in ("", "_low", "_high", "_p", "_q", "_test")]]
        .isna()
        .all(axis=None)
    )
    assert list(kept) == list(ask(source, "exclusive"))


# ----------------------------------------------------------------------------
# Properties.


@given(sources(most=8), st.sampled_from(QUESTIONS), st.sampled_from(METRICS), st.sampled_from([0.05, 0.3, 1.0]))
@settings(max_examples=60)
def test_what_is_kept_is_that_of_a_slow_reference(drawn, question, metric, alpha):
    """Each row's questions and sign from the tests of its feature, one at a time."""
    results, pairs = from_activations(*drawn)
    changes = assess_changes(results, pairs)
    kept = feature_table(results, changes=changes, asked=Asked(question, metric, alpha))
    published = feature_table(results).set_index(["token_type", "feature_id"])
    expected = []
    for token_type, features in changes.features.items():
        for at, feature in enumerate(features.tolist()):
            of = {name: changes.effects[name, token_type] for name in EFFECTS}
            quantities = ("all_mean", "sparsity") if question == "any" else (quantity_of(metric),)
            why = ["exclusive"] if (token_type, feature) in published.index else []
            for name, ending in (("changed", "change"), ("specific", "specific")):
                if any(of[f"{quantity}_{ending}"].tested.q[at] <= alpha for quantity in quantities):
                    why.append(name)
            if why if question == "any" else question in why:
                value = of[effect_of(question, metric)].value[at]
                direction = "increase" if value > 0 else "decrease" if value < 0 else "none"
                exclusivity = "neither"
                if "exclusive" in why:
                    exclusivity = published.loc[(token_type, feature), "exclusivity"]
                expected.append((token_type, feature, ";".join(why), direction, exclusivity))
    names = ["token_type", "feature_id", "kept_by", "direction", "exclusivity"]
    assert list(kept[names].itertuples(index=False, name=None)) == expected
    assert not kept.loc[(kept["exclusivity"] == "neither").to_numpy(), "inconsistent"].any()


@given(sources(most=8), st.sampled_from(METRICS))
@settings(max_examples=30)
def test_the_default_question_is_the_published_rule(drawn, metric):
    results, pairs = from_activations(*drawn)
    published = feature_table(results).drop(columns=["kept_by", "direction"])
    asked = feature_table(results, changes=assess_changes(results, pairs), asked=Asked(metric=metric))
    pd.testing.assert_frame_equal(asked.drop(columns=["kept_by", "direction"]), published)
    assert all("exclusive" in names.split(";") for names in asked["kept_by"])
    assert "neither" not in set(published["exclusivity"])


@given(sources(most=8), st.sampled_from(QUESTIONS))
@settings(max_examples=30)
def test_swapping_base_and_chat_turns_the_direction(drawn, question):
    cells, groups = drawn
    turned = {t: {"base": of["chat"], "chat": of["base"]} for t, of in cells.items()}
    here, there = (ask(from_activations(c, groups), question, alpha=0.3) for c in (cells, turned))
    assert here["feature_id"].tolist() == there["feature_id"].tolist()
    assert here["kept_by"].tolist() == there["kept_by"].tolist()
    other = {"increase": "decrease", "decrease": "increase", "none": "none"}
    assert [other[direction] for direction in here["direction"]] == there["direction"].tolist()
    sides = {"base": "chat", "chat": "base", "both": "both", "neither": "neither"}
    assert [sides[name] for name in here["exclusivity"]] == there["exclusivity"].tolist()
