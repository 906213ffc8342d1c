"""The finding in words says what the table holds."""

import re
from dataclasses import replace

import numpy as np
import pytest
from builders import activation_rows, make_source
from paired import write_source

from featurediff import load
from featurediff.charts.finding import Found, count_found
from featurediff.charts.view import View
from featurediff.features.questions import QUESTIONS
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.labels import Labels
from featurediff.sources import demo

MINE = Labels("Pre", "Post", "Self", "Other")
RULE = "12 are active on Self only; chance alone gives at least 1."


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return load(demo.make_demo().write(tmp_path_factory.mktemp("demo")))


def numbers(sentence):
    return [
        int(word.replace(",", "")) for word in sentence.replace(";", " ").split() if word.replace(",", "").isdigit()
    ]


@pytest.mark.parametrize("question", QUESTIONS)
def test_first_number_is_that_of_the_table(planted, question):
    view = View(question=question)
    said = planted.finding(view)
    table = planted.table_of(view)
    assert numbers(said)[0] == len(table) > 0
    if question == "changed":
        ways = [int((table["direction"] == way).sum()) for way in ("increase", "decrease")]
        assert f"{ways[0]:,} up and {ways[1]:,} down" in said
    kept = len(planted.table())
    assert f"{kept:,}" in said
    by_chance = planted.by_chance()["either_expected"].sum()
    assert f"chance alone gives at least {by_chance:,.0f}." in said


def test_sentences_by_question(source_dir):
    study = load(source_dir)
    view = View(labels=MINE)
    assert study.finding(view) == (
        "12 features are active on Self only; chance alone gives at least 1. 2 do not change as their class suggests."
    )
    assert study.finding(replace(view, question="changed")) == (
        f"6 features changed on Self (q ≤ 0.05), 6 up and 0 down. {RULE}"
    )
    assert study.finding(replace(view, question="specific", alpha=0.2)) == (
        "6 features changed by different amounts on Self and on Other (q ≤ 0.2): 5 more on Self (5 up, 0 down), "
        f"1 more on Other. {RULE}"
    )
    assert study.finding(replace(view, question="any")) == (
        f"12 features answer at least one question; nothing corrects for asking several. {RULE}"
    )


def test_nothing_found_says_how_many_were_tested(source_dir):
    study = load(source_dir)
    view = View(question="specific", alpha=1e-9, labels=MINE)
    tested = sum(
        int(np.isfinite(study.changes().effects["all_mean_specific", name].tested.p).sum())
        for name in study.results.token_types
    )
    assert study.finding(view) == f"No feature changed on Self more than on Other (q ≤ 1e−9; {tested} tested). {RULE}"


def test_without_standard_deviations_the_mean_cannot_be_tested(tmp_path):
    from builders import model_data

    models = {}
    for side in ("base", "chat"):
        data = model_data(side)
        for name in data["metadata"]["token_types"]:
            for prompts in ("target", "control"):
                del data[name][f"{prompts}_all_std"]
        models[side] = data
    study = load(make_source(tmp_path, **models))
    said = study.finding(View(question="changed", labels=MINE))
    assert said.startswith(
        "What changed on Self cannot be tested: the files hold no means with standard deviations. 12 are active "
    )


def test_with_pairs_the_expectation_is_no_bound(tmp_path):
    folder = make_source(tmp_path, num_target_prompts=9, num_control_prompts=7)
    activation_rows(load(folder)).to_parquet(folder / "activations.parquet")
    said = load(folder).finding(View())
    assert "about" in said
    assert "at least" not in said


def test_features_that_do_not_move_towards_their_model_are_counted_apart(planted):
    table = planted.table()
    towards = table["exclusivity"].map({"chat": "increase", "base": "decrease"}).astype("str")
    expected = table["exclusivity"].isin(["base", "chat"]) & (table["direction"].astype("str") != towards)
    ways = [int((table["direction"] == way).sum()) for way in ("increase", "decrease")]
    on_target, specific = table["all_mean_change"].abs(), table["all_mean_specific"]
    on_control = (table["all_mean_change"] - specific).abs()
    more = [
        int(((on_target > on_control + 1e-9) & (table["direction"] == way)).sum()) for way in ("increase", "decrease")
    ]
    less = int((on_control > on_target + 1e-9).sum())
    assert count_found(table, "target_all_mean") == Found(len(table), *ways, int(expected.sum()), *more, less)
    assert int(expected.sum()) > 0


def test_other_thresholds_are_not_called_the_published_rule(source_dir):
    """With other thresholds the sentence still spoke of the published rule, and of features active on target only."""
    view = View(thresholds=Thresholds(Threshold(2), Threshold(1)), labels=MINE)
    study = load(source_dir)
    kept = len(study.table(view.thresholds))
    rule = "active on at least 2 of a model’s Self prompts and on at most 1 of its Other prompts"
    assert study.finding(view).startswith(f"{kept} features are {rule}; chance alone gives at least ")
    assert f"The rule with these thresholds keeps {kept}; " in study.finding(replace(view, question="changed"))


# ----------------------------------------------------------------------------
# Every number of every sentence, of sources of every kind.

KINDS = ("published", "demo", "paired", "groups", "nothing")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    home = tmp_path_factory.mktemp("kinds")
    rng = np.random.default_rng(1)
    base = rng.gamma(1, 1, (24, 30)) * (rng.random((24, 30)) < 0.3)
    pushed = base + (np.arange(30) < 9) * rng.gamma(3, 1, (24, 30))
    cells = {
        "model": {"base": {"target": base, "control": base[::-1]}, "chat": {"target": pushed, "control": base[::-1]}},
        "asst": {"base": {"target": base, "control": 0 * base}, "chat": {"target": base, "control": base}},
    }
    alike = {
        name: {side: {"target": base, "control": base[::-1]} for side in ("base", "chat")} for name in ("model", "x")
    }
    groups = {"target": np.arange(24) // 2, "control": np.arange(24) // 2}
    return {
        "published": load(make_source(home / "published")),
        "demo": load(demo.make_demo().write(home / "demo")),
        "paired": load(write_source(home / "paired", cells)),
        "groups": load(write_source(home / "groups", cells, groups)),
        "nothing": load(write_source(home / "nothing", alike)),
    }


PLACES = ("on target, up", "on target, down", "on control")


def counted(study, view):
    """What a finding should say, counted feature by feature."""
    found = dict.fromkeys(("kept", "up", "down", "exclusive", "against", "tested", *PLACES), 0)
    quantity = "sparsity" if view.metric == "target_sparsity" else "all_mean"
    changes = study.changes()
    for name in study.results.token_types:
        base, chat = study.results.base.vectors[name], study.results.chat.vectors[name]
        effects = {key: changes.effects[f"{quantity}_{key}", name] for key in ("change", "specific")}
        others = [changes.effects[f"{q}_{key}", name] for q in ("all_mean", "sparsity") for key in effects]
        asked = effects["specific" if view.question == "specific" else "change"]
        for at, i in enumerate(changes.features[name].tolist()):
            in_base, in_chat = (m["target_num_active"][i] > 0 and m["control_num_active"][i] == 0 for m in (base, chat))
            change, specific = (effects[key].value[at] for key in ("change", "specific"))
            found["exclusive"] += in_base or in_chat
            found["against"] += bool((in_base > in_chat and change >= 0) or (in_chat > in_base and change <= 0))
            found["tested"] += bool(np.isfinite(asked.tested.p[at]))
            answers = {
                "exclusive": in_base or in_chat,
                "any": in_base or in_chat or any(other.tested.q[at] <= view.alpha for other in others),
            }
            if answers.get(view.question, asked.tested.q[at] <= view.alpha):
                found["kept"] += 1
                found["up"] += bool(asked.value[at] > 0)
                found["down"] += bool(asked.value[at] < 0)
                on_control = abs(specific - change)
                found["on control"] += bool(on_control > abs(change) * (1 + 1e-9))
                is_more = abs(change) > on_control * (1 + 1e-9)
                found["on target, up"] += bool(is_more and asked.value[at] > 0)
                found["on target, down"] += bool(is_more and asked.value[at] < 0)
    return found


@pytest.mark.parametrize("metric", ["target_all_mean", "target_sparsity"])
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_that_of_the_files(sources, kind, question, metric):
    study, view = sources[kind], View(metric, question=question, labels=MINE)
    found, by_chance = counted(study, view), study.by_chance()["either_expected"].sum()
    chance = [] if by_chance < 0.05 else [round(by_chance) if by_chance >= 1 else round(by_chance, 1)]
    published = [found["exclusive"], *chance]
    if question == "exclusive":
        expected = [*published, *[found["against"]] * (found["against"] > 0)]
    elif question == "any":
        expected = [found["kept"], *published]
    elif found["kept"] and question == "specific" and found["kept"] > sum(found[place] for place in PLACES[:2]):
        up, down, on_control = (found[place] for place in PLACES)
        on_target = [up + down, up, down] if up + down else []
        others = [number for number in (on_control, found["kept"] - up - down - on_control) if number]
        expected = [found["kept"], 0.05, *on_target, *others, *published]
    elif found["kept"]:
        expected = [found["kept"], 0.05, found["up"], found["down"], *published]
    else:
        expected = [0.05, found["tested"], *published]
    said = study.finding(view)
    written = [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", said)]
    assert written == pytest.approx(expected, abs=1e-9), said
    assert len(study.table_of(view)) == found["kept"]
    assert study.finding(view, study.table_of(view)) == said


def test_kinds_of_sources_are_what_they_are_called(sources):
    """Otherwise the test above holds nothing: each must find something of its own, and one nothing at all."""
    assert all(sources[kind].pairs is None for kind in ("published", "demo"))
    assert sources["groups"].pairs.groups["target"] is not None
    assert sources["paired"].pairs.groups["target"] is None
    for kind in KINDS[:-1]:
        assert len(sources[kind].table(question="changed"))
        assert len(sources[kind].table(question="specific"))
    for question in ("changed", "specific"):
        assert sources["nothing"].finding(View(question=question)).startswith("No feature changed on Target")
