"""The tests of a whole source, held to plain Python: families, groups, with and without activations."""

import numpy as np
import pytest
import slow_evidence as slow
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from paired import STRENGTHS, from_activations, sources
from tables import make_results

from featurediff.features.evidence import assess_changes, assess_exclusive
from featurediff.features.questions import CONTRASTS, EFFECTS
from featurediff.labels import PROMPTS, SIDES
from featurediff.sources import demo
from featurediff.sources.pairs import Pairs
from featurediff.sources.result_files import parse_results
from featurediff.sources.results import Results


def column(cells, token_type, side, feature):
    """The activations of one feature, by prompt set."""
    return {p: [float(x) for x in cells[token_type][side][p][:, feature]] for p in PROMPTS}


def slow_changes(cells, groups, paired):
    """Effect, token type and feature → (value, low, high, p, test), of all features that are active."""
    found = {}
    for token_type, of_sides in cells.items():
        for feature in range(of_sides["base"]["target"].shape[1]):
            of = {side: column(cells, token_type, side, feature) for side in SIDES}
            if not any(x for side in SIDES for p in PROMPTS for x in of[side][p]):
                continue
            effects = slow.paired(of["base"], of["chat"], groups) if paired else slow.unpaired(moments(of))
            on_target = any(x for side in SIDES for x in of[side]["target"])
            for name, (value, low, high, p, test) in effects.items():
                is_tested = on_target or name.endswith("_specific")
                known = (low, high, p) if is_tested else (np.nan,) * 3
                found[name, token_type, feature] = (value, *known, test)
    return found


def moments(of):
    """What the files say of one feature: they hold float32."""
    return {
        (side, p): (
            sum(x != 0 for x in values),
            float(np.float32(np.mean(values))),
            float(np.float32(np.std(values, ddof=1))),
            len(values),
        )
        for side in SIDES
        for p, values in of[side].items()
    }


def check_changes(changes, expected):
    """Hold every value, end and p against the slow ones, and every q against the step-up over their family."""
    for name in EFFECTS:
        families = {}
        for (effect, token_type, feature), row in expected.items():
            if effect == name and not np.isnan(row[3]):
                key = token_type if changes.family == "position" else "all"
                families.setdefault(key, {})[token_type, feature] = row[3]
        q = {key: found for p in families.values() for key, found in named_step_up(p).items()}
        for token_type, features in changes.features.items():
            effect = changes.effects[name, token_type]
            rows = [expected[name, token_type, feature] for feature in features.tolist()]
            assert len(rows) == len({key for key in expected if key[:2] == (name, token_type)})
            columns = zip(*rows, strict=True) if rows else [(), (), (), (), ()]
            for found, wanted in zip(
                (effect.value, effect.low, effect.high, effect.tested.p), list(columns)[:4], strict=True
            ):
                assert found == pytest.approx(np.array(wanted, dtype=float), rel=1e-6, abs=1e-7, nan_ok=True)
            wanted = [q.get((token_type, feature), np.nan) for feature in features.tolist()]
            assert effect.tested.q == pytest.approx(np.array(wanted), rel=1e-6, nan_ok=True)
            assert {effect.tested.test} == {row[4] for row in rows} or not rows


def named_step_up(p):
    return dict(zip(p, slow_list(list(p.values())), strict=True))


def slow_list(p):
    return [slow.step_up(p)[i] for i in range(len(p))]


def family_sizes(cells, contrast):
    """How many features a position has that are active on a target prompt, or on any prompt."""
    sets = PROMPTS if contrast == "specific" else ("target",)
    return {
        token_type: int(np.logical_or.reduce([(of[v][p] != 0).any(axis=0) for v in SIDES for p in sets]).sum())
        for token_type, of in cells.items()
    }


# ----------------------------------------------------------------------------
# Slow references.


@given(sources(), st.sampled_from(["position", "source"]))
@settings(max_examples=60)
def test_every_paired_change_is_that_of_a_slow_reference(source, family):
    cells, groups = source
    changes = assess_changes(*from_activations(cells, groups), family)
    check_changes(changes, slow_changes(cells, groups, paired=True))
    for contrast in CONTRASTS:
        sizes = family_sizes(cells, contrast)
        for token_type, n in sizes.items():
            tested = changes.effects[f"all_mean_{contrast}", token_type].tested
            assert tested.family == (n if family == "position" else sum(sizes.values()))
    assert changes.family == family


@given(sources(most=9, may_group=False), st.sampled_from(["position", "source"]))
@settings(max_examples=60)
def test_every_unpaired_change_is_that_of_a_slow_reference(source, family):
    """Features that vary nowhere and yet differ have a p of their own, which `test_moments` holds to its formula."""
    cells, _ = source
    results, _ = from_activations(cells)
    expected = slow_changes(cells, None, paired=False)
    means = [row for (name, *_), row in expected.items() if name.startswith("all_mean")]
    assume(not any(row[0] and np.isnan(row[1]) for row in means))
    check_changes(assess_changes(results, None, family), expected)


@given(sources())
@settings(max_examples=60)
def test_every_p_of_target_over_control_is_that_of_a_slow_reference(source):
    cells, groups = source
    results, pairs = from_activations(cells, groups)
    is_grouped = any(group is not None for group in groups.values())
    exclusive = assess_exclusive(results, pairs)
    for token_type, features in exclusive.features.items():
        for side in SIDES:
            p = {}
            for feature in features.tolist():
                active = {s: [float(x != 0) for x in column(cells, token_type, side, feature)[s]] for s in PROMPTS}
                target, control = active["target"], active["control"]
                if not any(target + control):
                    continue
                if is_grouped:
                    target, control = ([slow.Fraction(x) for x in values] for values in (target, control))
                    p[feature] = slow.exchange_rates(target, control, groups["target"], groups["control"])
                else:
                    p[feature] = slow.fisher(int(sum(target)), int(sum(control)), len(target), len(control))
            tested, q = exclusive.tested[side, token_type], named_step_up(p)
            assert tested.p == pytest.approx(np.array([p.get(i, np.nan) for i in features.tolist()]), nan_ok=True)
            assert tested.q == pytest.approx(np.array([q.get(i, np.nan) for i in features.tolist()]), nan_ok=True)
            assert (tested.family, tested.test) == (len(p), "exchange-grouped" if is_grouped else "fisher")
    if not is_grouped:
        alone = assess_exclusive(results)
        for key, tested in exclusive.tested.items():
            np.testing.assert_array_equal(tested.p, alone.tested[key].p)


def test_the_demo_is_tested_as_by_slow_references():
    """2,000 features on 40 + 37 prompts, of which only counts and moments are known."""
    made = demo.make_demo(num_features=2_000, seed=3)
    results = parse_results(made.base, made.chat)
    exclusive, changes = assess_exclusive(results), assess_changes(results)
    for token_type, features in exclusive.features.items():
        cells = {
            (v, p): tuple(
                results.of(v).vectors[token_type][f"{p}_{name}"][features].astype(float)
                for name in ("num_active", "all_mean", "all_std")
            )
            for v in SIDES
            for p in PROMPTS
        }
        n = {(v, p): results.of(v).metadata.num_prompts(p) for v, p in cells}
        wanted = {name: [] for name in EFFECTS}
        for i in range(len(features)):
            one = {key: (int(cell[0][i]), cell[1][i], cell[2][i], n[key]) for key, cell in cells.items()}
            for name, row in slow.unpaired(one).items():
                wanted[name].append(row[:4])
        on_target = cells["base", "target"][0] + cells["chat", "target"][0] > 0
        for name in EFFECTS:
            effect, rows = changes.effects[name, token_type], np.array(wanted[name])
            known = on_target if name.endswith("_change") else np.ones(len(features), dtype=bool)
            found = np.stack([effect.value, effect.low, effect.high, effect.tested.p], axis=1)
            assert found[known] == pytest.approx(rows[known], rel=1e-5, abs=1e-7, nan_ok=True)
            assert np.isnan(found[~known, 1:]).all()
            assert effect.tested.q[known] == pytest.approx(slow_list(effect.tested.p[known].tolist()))
            assert effect.tested.family == known.sum()


# ----------------------------------------------------------------------------
# By hand.


def by_hand():
    """
    Three target and two control prompts, and five features; every cell is base → chat.

    0: stronger by 1 on every target prompt, still on control. 1: switched on twice on target, never on control.
    2: active on control only. 3: silent. 4: off once on target.
    """
    base = {
        "target": [[1, 0, 0, 0, 2], [2, 0, 0, 0, 0], [3, 0, 0, 0, 0]],
        "control": [[1, 0, 1, 0, 0], [4, 0, 0, 0, 0]],
    }
    chat = {
        "target": [[2, 4, 0, 0, 0], [3, 2, 0, 0, 0], [4, 0, 0, 0, 0]],
        "control": [[1, 0, 0, 0, 0], [4, 0, 2, 0, 0]],
    }
    return {
        "model": {side: {p: np.array(x, float) for p, x in v.items()} for side, v in (("base", base), ("chat", chat))}
    }


def test_changes_by_hand():
    changes = assess_changes(*from_activations(by_hand()))
    assert changes.features["model"].tolist() == [0, 1, 2, 4]
    of = {name: changes.effects[name, "model"] for name in EFFECTS}
    assert [effect.tested.test for effect in of.values()] == ["sign-flip", "exchange", "mcnemar", "exchange"]
    assert [effect.tested.family for effect in of.values()] == [3, 4, 3, 4]
    mean = of["all_mean_change"]
    assert mean.value.tolist() == pytest.approx([1, 2, 0, -2 / 3])
    # 1, 1, 1: both patterns of equal signs of 8. 4, 2, 0: the third sign does nothing, 4 of 8. −2, 0, 0: all of them.
    assert mean.tested.p.tolist() == pytest.approx([0.25, 0.5, np.nan, 1], nan_ok=True)
    assert mean.tested.q.tolist() == pytest.approx([0.75, 0.75, np.nan, 1], nan_ok=True)
    # Standard error of 4, 2, 0: 2 / √3; the t of 2 degrees of freedom at 0.975 is 4.30265.
    assert (mean.low[1], mean.high[1]) == pytest.approx((2 - 4.30265 * 2 / 3**0.5, 2 + 4.30265 * 2 / 3**0.5), rel=1e-5)
    assert np.isnan([mean.low[0], mean.high[0]]).all(), "equal changes have no spread"
    frequency = of["sparsity_change"]
    assert frequency.value.tolist() == pytest.approx([0, 2 / 3, 0, -1 / 3])
    assert frequency.tested.p.tolist() == pytest.approx([1, 0.5, np.nan, 1], nan_ok=True)
    assert np.isnan([frequency.low[0], frequency.high[0]]).all(), "nothing is switched"
    specific = of["all_mean_specific"]
    # On control: 0 and 0; 0 and 0; −1 and +2, on average 1/2; 0 and 0.
    assert specific.value.tolist() == pytest.approx([1, 2, -0.5, -2 / 3])
    # 1, 1, 1 | 0, 0: only the observed one of 10 has no variance in either set, and t = ∞.
    assert specific.tested.p[0] == pytest.approx(0.1)
    assert specific.tested.family == 4


def test_families_of_a_position_and_of_a_source_by_hand():
    """A p of 1/4 at one position, 1/2 and 1 at the other: q is 1/4, or 3/4 of three together."""
    cells = by_hand()["model"]
    only = {v: {p: x[:, [0]] for p, x in of.items()} for v, of in cells.items()}
    others = {v: {p: x[:, [1]] for p, x in of.items()} for v, of in cells.items()}
    source = from_activations({"model": only, "newline": others})
    for family, expected, size in (("position", (0.25, 0.5), 1), ("source", (0.5, 0.5), 2)):
        changes = assess_changes(*source, family)
        tested = [changes.effects["all_mean_change", t].tested for t in ("model", "newline")]
        assert tuple(t.q[0] for t in tested) == pytest.approx(expected)
        assert [t.family for t in tested] == [size, size]


def test_groups_by_hand():
    """
    Six target prompts in three groups, four control prompts in two: signs and labels go with the groups.

    The changes 1, 1, 1, 1, 1, 3 have group means 1, 1, 2: two of eight patterns reach 4. Their effect is 8/6 over
    prompts, with the t interval of the group means round it: their standard error is 1/3.
    """
    d = np.array([1, 1, 1, 1, 1, 3.0])[:, None]
    cells = {
        "model": {
            "base": {"target": np.ones((6, 1)), "control": np.zeros((4, 1))},
            "chat": {"target": 1 + d, "control": np.zeros((4, 1))},
        }
    }
    results, pairs = from_activations(cells, {"target": [0, 0, 1, 1, 2, 2], "control": [0, 0, 1, 1]})
    changes = assess_changes(results, pairs)
    effect = changes.effects["all_mean_change", "model"]
    assert (effect.value[0], effect.tested.p[0], effect.tested.test) == pytest.approx(
        (8 / 6, 0.25, "sign-flip-grouped")
    )
    assert (effect.low[0], effect.high[0]) == pytest.approx((8 / 6 - 4.30265 / 3, 8 / 6 + 4.30265 / 3), rel=1e-5)
    specific = changes.effects["all_mean_specific", "model"]
    # Group means 1, 1, 2 | 0, 0: of the 10 exchanges, {1, 1, 2} has t² = (4/3)² / (1/9) = 16, {0, 0, 2} | {1, 1} less.
    assert (specific.tested.p[0], specific.tested.test) == (pytest.approx(0.1), "exchange-grouped")
    exclusive = assess_exclusive(results, pairs).tested["base", "model"]
    assert (exclusive.p[0], exclusive.test) == (pytest.approx(0.1), "exchange-grouped")
    assert assess_exclusive(results).tested["base", "model"].p[0] == pytest.approx(1 / 210)


def test_one_set_with_groups():
    """Where only control prompts belong together, what changed on target prompts is tested prompt by prompt."""
    results, pairs = from_activations(by_hand(), {"target": None, "control": [0, 0]})
    changes = assess_changes(results, pairs)
    assert {name: changes.effects[name, "model"].tested.test for name in EFFECTS} == {
        "all_mean_change": "sign-flip",
        "all_mean_specific": "exchange-grouped",
        "sparsity_change": "mcnemar",
        "sparsity_specific": "exchange-grouped",
    }
    assert np.isnan(changes.effects["all_mean_specific", "model"].tested.p).all(), "one group says nothing"


def test_nothing_moves():
    """Active alike in both models: p is 1, and there is no interval."""
    same = {"target": np.array([[1.0, 0], [2, 0], [0, 0]]), "control": np.array([[0, 1.0], [3, 0]])}
    results, pairs = from_activations({"model": {"base": same, "chat": same}})
    changes = assess_changes(results, pairs)
    for name in EFFECTS:
        effect = changes.effects[name, "model"]
        assert effect.value.tolist() == [0, 0]
        assert np.isnan([effect.low, effect.high]).all()
        assert effect.tested.p.tolist() == pytest.approx([1, 1 if name.endswith("specific") else np.nan], nan_ok=True)


@pytest.mark.parametrize("is_paired", [True, False])
def test_frequencies_that_change_alike_have_an_effect_of_0(is_paired):
    """From 4 to 5 of 6 target prompts, from 0 to 1 of 6 control prompts: 1e-16 was an increase."""
    on = {("base", "target"): 4, ("base", "control"): 0, ("chat", "target"): 5, ("chat", "control"): 1}
    cells = {v: {p: (np.arange(6) < on[v, p])[:, None] * 1.0 for p in PROMPTS} for v in SIDES}
    results, pairs = from_activations({"model": cells})
    effect = assess_changes(results, pairs if is_paired else None).effects["sparsity_specific", "model"]
    assert effect.value.tolist() == [0]


@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize("family", ["position", "source"])
def test_nothing_active_anywhere(is_paired, family):
    """With activations a position at which nothing is active was a ValueError."""
    none = {"target": np.zeros((3, 2)), "control": np.zeros((3, 2))}
    results, pairs = from_activations({"model": {"base": none, "chat": none}})
    changes = assess_changes(results, pairs if is_paired else None, family)
    exclusive = assess_exclusive(results, pairs)
    assert [len(of["model"]) for of in (changes.features, exclusive.features)] == [0, 0]
    assert {effect.tested.family for effect in changes.effects.values()} == {0}
    assert all(len(effect.tested.q) == 0 for effect in changes.effects.values())


def test_files_without_means_have_no_test_of_them():
    counts = {"target": [1, 2], "control": [0, 3]}
    results = make_results({"model": {"base": counts, "chat": counts}}, {"base": (4, 4), "chat": (4, 4)})
    changes = assess_changes(results)
    for name in EFFECTS:
        effect = changes.effects[name, "model"]
        if name.startswith("all_mean"):
            assert effect.tested.test == ""
            assert np.isnan([effect.value, effect.low, effect.high, effect.tested.p, effect.tested.q]).all()
        else:
            assert effect.tested.p.tolist() == [1, pytest.approx(1)]


# ----------------------------------------------------------------------------
# Properties.


def swapped(cells, prompts=False):
    """Base for chat, or target for control."""
    other = dict(zip(PROMPTS, PROMPTS[::-1], strict=True)) if prompts else dict(zip(PROMPTS, PROMPTS, strict=True))
    sides = dict(zip(SIDES, SIDES if prompts else SIDES[::-1], strict=True))
    return {t: {v: {p: of[sides[v]][other[p]] for p in PROMPTS} for v in SIDES} for t, of in cells.items()}


def check_negated(one, other, names):
    for name in names:
        for token_type in one.features:
            here, there = one.effects[name, token_type], other.effects[name, token_type]
            assert there.value == pytest.approx(-here.value, rel=1e-6, abs=1e-7, nan_ok=True)
            assert there.low == pytest.approx(-here.high, rel=1e-6, abs=1e-7, nan_ok=True)
            assert there.high == pytest.approx(-here.low, rel=1e-6, abs=1e-7, nan_ok=True)
            assert there.tested.p == pytest.approx(here.tested.p, nan_ok=True)
            assert there.tested.q == pytest.approx(here.tested.q, nan_ok=True)
            assert there.tested.test == here.tested.test


@given(sources(most=9), st.booleans())
@settings(max_examples=40)
def test_swapping_base_and_chat_negates_every_effect_and_keeps_every_p(source, is_paired):
    cells, groups = source
    here, there = from_activations(cells, groups), from_activations(swapped(cells), groups)
    if not is_paired:
        here, there = (here[0], None), (there[0], None)
    check_negated(assess_changes(*here), assess_changes(*there), EFFECTS)
    one, other = assess_exclusive(*here), assess_exclusive(*there)
    for token_type in one.features:
        for side, its in (("base", "chat"), ("chat", "base")):
            np.testing.assert_allclose(one.tested[side, token_type].p, other.tested[its, token_type].p)


@given(sources(most=6), st.booleans())
@settings(max_examples=40)
def test_swapping_target_and_control_negates_what_is_specific(source, is_paired):
    """As long as all exchanges are listed; of drawn ones others are drawn."""
    cells, groups = source
    turned = {"target": groups["control"], "control": groups["target"]}
    here, there = from_activations(cells, groups), from_activations(swapped(cells, prompts=True), turned)
    if not is_paired:
        here, there = (here[0], None), (there[0], None)
    names = [name for name in EFFECTS if name.endswith("_specific")]
    check_negated(assess_changes(*here), assess_changes(*there), names)


@given(sources(most=12), st.randoms(use_true_random=False), st.sampled_from(["position", "source"]))
@settings(max_examples=30)
def test_order_of_features_does_not_matter(source, random, family):
    cells, groups = source
    order = list(range(next(iter(cells.values()))["base"]["target"].shape[1]))
    random.shuffle(order)
    moved = {t: {v: {p: x[:, order] for p, x in of[v].items()} for v in SIDES} for t, of in cells.items()}
    one = assess_changes(*from_activations(cells, groups), family)
    other = assess_changes(*from_activations(moved, groups), family)
    for token_type, features in one.features.items():
        back = np.argsort(np.array(order)[other.features[token_type]])
        assert np.array(order)[other.features[token_type]][back].tolist() == features.tolist()
        for name in EFFECTS:
            here, there = one.effects[name, token_type], other.effects[name, token_type]
            for value in ("value", "low", "high"):
                np.testing.assert_allclose(getattr(here, value), getattr(there, value)[back], rtol=1e-12)
            np.testing.assert_array_equal(here.tested.p, there.tested.p[back])
            np.testing.assert_allclose(here.tested.q, there.tested.q[back], rtol=1e-12)


@given(sources(most=8, may_group=False))
@settings(max_examples=30)
def test_groups_of_one_are_no_groups(source):
    """As the reader says it: where no two prompts belong together there are no groups; the numbers are the same."""
    cells, groups = source
    results, pairs = from_activations(cells, groups)
    ones = Pairs(pairs.positions, {p: np.arange(pairs.num_prompts(p)) for p in PROMPTS}, None)
    here, there = assess_changes(results, pairs), assess_changes(results, ones)
    for (name, token_type), effect in here.effects.items():
        other = there.effects[name, token_type]
        np.testing.assert_allclose(effect.value, other.value, atol=1e-15)
        if name.startswith("all_mean"):
            np.testing.assert_allclose(effect.low, other.low)
            np.testing.assert_allclose(effect.high, other.high)
        np.testing.assert_allclose(effect.tested.p, other.tested.p)
    one, other = assess_exclusive(results, pairs), assess_exclusive(results, ones)
    for key, tested in one.tested.items():
        np.testing.assert_allclose(tested.p, other.tested[key].p, rtol=1e-9)


def test_features_are_the_same_in_any_number_of_blocks(monkeypatch):
    """A million features are tested some at a time."""
    rng = np.random.default_rng(5)
    sides = {v: {p: rng.choice(STRENGTHS, (6, 50)) for p in PROMPTS} for v in SIDES}
    source = from_activations({"model": sides}, {"target": [0, 0, 1, 2, 3, 4], "control": None})
    whole = assess_changes(*source)
    monkeypatch.setattr("featurediff.sources.pairs._CELLS", 12 * 7)
    for key, effect in assess_changes(*source).effects.items():
        np.testing.assert_array_equal(effect.tested.p, whole.effects[key].tested.p)
        np.testing.assert_array_equal(effect.value, whole.effects[key].value)


def test_results_alone_know_no_pairs():
    """The tests of counts do not look at who wrote the file: base and chat swapped in the folder are swapped here."""
    results, _ = from_activations(by_hand())
    here, there = assess_changes(results), assess_changes(Results(results.chat, results.base))
    check_negated(here, there, EFFECTS)
