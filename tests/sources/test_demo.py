import re
from hashlib import sha256

import numpy as np
import pytest

from featurediff import load
from featurediff.errors import DataError
from featurediff.features.table import feature_table
from featurediff.labels import PROMPTS, SIDES
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.sources.demo import Demo, make_demo
from featurediff.sources.demo_features import PLANTED_EACH, TOKEN_TYPES
from featurediff.sources.notes import notes
from featurediff.sources.result_files import parse_results
from featurediff.sources.results import is_synthetic

SIZES = [(16_384, 40, 0), (16_384, 40, 1), (16_384, 40, 7), (8_192, 100, 2), (32_768, 25, 3)]
CATEGORIES = {
    "exclusive in both models": ("both", False),
    "exclusive in base": ("base", False),
    "exclusive in base, but active on control prompts in chat": ("base", True),
    "exclusive in chat": ("chat", False),
    "exclusive in chat, but active on control prompts in base": ("chat", True),
}
SAID = re.compile(r"Planted: (?P<category>.+) at (?P<token_type>\w+)\. Fires on (?P<counts>.+)\.")
COUNT = re.compile(r"(?P<version>base|chat) (?P<prompts>target|control) (?P<active>[0-9]+) of (?P<n>[0-9]+)")


@pytest.fixture(scope="module", params=SIZES, ids=str)
def made(request):
    """A demo's feature table, results and explanations, and what was asked for."""
    features, prompts, seed = request.param
    demo = make_demo(features, prompts, seed)
    results = parse_results(demo.base, demo.chat)
    explanations = parse_explanations(demo.explanations, "demo.csv", features)
    return feature_table(results, explanations=explanations), results, explanations, request.param


def planted_in(explanations):
    texts = explanations.texts[explanations.texts.str.startswith("Planted:")]
    return {feature_id: SAID.fullmatch(text) for feature_id, text in texts.items()}


def active_share(results, token_type):
    active = np.zeros(results.num_features, dtype=bool)
    for side in SIDES:
        for prompts in PROMPTS:
            active |= results.of(side).vectors[token_type][f"{prompts}_num_active"] > 0
    return active.mean()


def test_is_made_with_the_sizes_asked_for():
    demo = make_demo()
    results = parse_results(demo.base, demo.chat)
    assert results.num_features == 16_384
    assert results.token_types == TOKEN_TYPES == ("model", "newline")
    for model in (results.base, results.chat):
        assert (model.metadata.num_target_prompts, model.metadata.num_control_prompts) == (40, 37)
    assert len(demo.base) + len(demo.chat) + len(demo.explanations) < 5_000_000


def test_the_loader_finds_nothing_odd(made):
    _, results, explanations, (features, prompts, _) = made
    assert notes(results) == []
    assert (explanations.outside, explanations.skipped) == (0, 0)
    assert results.num_features == features
    assert results.base.metadata.num_target_prompts == prompts
    assert results.base.metadata.num_control_prompts == prompts - 3
    assert is_synthetic(results)
    assert results.base.metadata.source.startswith("synthetic demo")


def test_is_distributed_as_a_real_run(made):
    """The published Gemma run: 98 % silent in one model, 46 % on one prompt, 86 % in chat only, levels from 3.2."""
    table, results, _, _ = made
    for token_type in TOKEN_TYPES:
        assert 0.01 <= active_share(results, token_type) <= 0.03
        kept = table[table["token_type"] == token_type]
        base, chat = kept["base_target_num_active"], kept["chat_target_num_active"]
        assert 0.92 <= ((base == 0) | (chat == 0)).mean() <= 0.99
        assert 0.35 <= (np.maximum(base, chat) == 1).mean() <= 0.65
        assert 0.7 <= (kept["exclusivity"] == "chat").mean() <= 0.9
        assert 0.7 <= kept["explanation"].notna().mean() <= 0.9
        counts = {"base": base, "chat": chat}
        n = results.base.metadata.num_target_prompts
        for side, active in counts.items():
            fires = active > 0
            level = kept[f"{side}_target_all_mean"][fires] * n / active[fires]
            assert level.min() > 3.19
            assert 3.4 < level.median() < 4.5


def test_statistics_agree_with_each_other(made):
    _, results, _, _ = made
    for side in SIDES:
        model = results.of(side)
        for token_type in TOKEN_TYPES:
            vectors = model.vectors[token_type]
            for prompts in PROMPTS:
                active, n = vectors[f"{prompts}_num_active"], model.metadata.num_prompts(prompts)
                mean, std, peak = (vectors[f"{prompts}_{name}"] for name in ("all_mean", "all_std", "max"))
                for vector in (mean, peak):
                    assert np.array_equal(vector > 0, active > 0)
                assert (std[active == 0] == 0).all()
                assert (std[(active > 0) & (active < n)] > 0).all()
                assert (peak * active >= mean * n * (1 - 1e-5)).all()
                once = active == 1
                np.testing.assert_allclose(peak[once], mean[once] * n, rtol=1e-5)
                np.testing.assert_allclose(std[once], peak[once] / np.sqrt(n), rtol=1e-3)


def test_every_category_is_planted_at_every_token_type(made):
    _, _, explanations, _ = made
    found = [(said["category"], said["token_type"]) for said in planted_in(explanations).values()]
    assert PLANTED_EACH >= 4
    assert len(found) == PLANTED_EACH * 10 == 60
    assert {pair: found.count(pair) for pair in found} == {
        (category, token_type): PLANTED_EACH for category in CATEGORIES for token_type in TOKEN_TYPES
    }


def test_planted_explanations_tell_the_truth(made):
    table, results, explanations, (_, prompts, _) = made
    rows = table.set_index(["token_type", "feature_id"])
    for feature_id, said in planted_in(explanations).items():
        row = rows.loc[said["token_type"], feature_id]
        assert (row["exclusivity"], row["inconsistent"]) == CATEGORIES[said["category"]]
        counts = COUNT.findall(said["counts"])
        assert len(counts) == 4
        for side, prompt_set, active, n in counts:
            assert row[f"{side}_{prompt_set}_num_active"] == int(active)
            assert results.of(side).metadata.num_prompts(prompt_set) == int(n)
        assert max(row["base_target_num_active"], row["chat_target_num_active"]) >= prompts // 3


def test_planted_features_fire_at_their_own_token_type_only(made):
    """A planted feature could also be drawn for the other position's background, where its text was not true."""
    _, results, explanations, _ = made
    for feature_id, said in planted_in(explanations).items():
        for token_type in set(TOKEN_TYPES) - {said["token_type"]}:
            for side in SIDES:
                vectors = results.of(side).vectors[token_type]
                assert not any(vectors[f"{prompts}_num_active"][feature_id] for prompts in PROMPTS)


def test_what_is_not_planted_says_so(made):
    _, _, explanations, _ = made
    others = explanations.texts[~explanations.texts.str.startswith("Planted:")]
    assert others.str.endswith("(synthetic, not planted).").all()
    assert not others.index.isin(list(planted_in(explanations))).any()
    assert others.nunique() > 50


def test_the_same_seed_makes_the_same_bytes():
    assert make_demo(1000, 12, 4) == make_demo(1000, 12, 4)


def test_different_seeds_differ():
    one, other = make_demo(1000, 12, 4), make_demo(1000, 12, 5)
    for field in ("base", "chat", "explanations"):
        assert getattr(one, field) != getattr(other, field)
    ids = [set(planted_in(parse_explanations(demo.explanations, "demo.csv"))) for demo in (one, other)]
    assert ids[0] != ids[1]


def test_smallest_demo_is_a_source():
    demo = make_demo(600, 10)
    results = parse_results(demo.base, demo.chat)
    assert notes(results) == []
    groups = feature_table(results).groupby(["token_type", "exclusivity", "inconsistent"], observed=True).size()
    assert len(groups) == 10
    assert groups.min() >= PLANTED_EACH


def test_writes_a_results_tree_with_explanations_beside_it(tmp_path):
    demo = make_demo(600, 10)
    folder = demo.write(tmp_path / "new" / "out")
    assert folder == tmp_path / "new" / "out" / "results" / "demo_trainer16k_layer12" / "synthetic_40"
    written = sorted(path.relative_to(tmp_path / "new" / "out").as_posix() for path in tmp_path.rglob("*.*"))
    assert written == [
        "explanations/demo_trainer16k_layer12.csv",
        "results/demo_trainer16k_layer12/synthetic_40/base.pt",
        "results/demo_trainer16k_layer12/synthetic_40/chat.pt",
    ]
    study = load(folder)
    assert study.notes() == study.sae_fit.notes()  # its chat model has more active features
    assert study.pages.template is None
    assert study.explanations.sha256 == sha256(demo.explanations).hexdigest()
    assert Demo(*(path.read_bytes() for path in (folder / "base.pt", folder / "chat.pt")), demo.explanations) == demo


def test_other_results_are_not_synthetic(source_dir):
    assert not is_synthetic(load(source_dir).results)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (599, 40, 0),
            "The demo needs at least 600 features and 10 prompts to plant its features, "
            "but 599 features and 40 prompts were asked for.",
        ),
        (
            (600, 9, 0),
            "The demo needs at least 600 features and 10 prompts to plant its features, "
            "but 600 features and 9 prompts were asked for.",
        ),
        ((600, 10, -1), "The demo's seed must be 0 or more, but is -1."),
    ],
)
def test_what_cannot_be_made(arguments, message):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        make_demo(*arguments)
