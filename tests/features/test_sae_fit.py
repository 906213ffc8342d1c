"""How well the SAE reads both models, in words and warnings."""

import math

import numpy as np
import pytest
from builders import COUNTS, NUM_PROMPTS, make_source, model_data

from featurediff.charts.view import View
from featurediff.features.filters import Filters
from featurediff.features.sae_fit import SaeFit, fit_table
from featurediff.labels import Labels
from featurediff.loading import load
from featurediff.sources.shares import SharesAt

LABELS = Labels(base="Base", chat="Chat")


def numbers(variance_explained=0.8, relative_error=0.1, norm=20.0):
    return {
        "variance_explained": variance_explained,
        "relative_error": relative_error,
        "cosine": 0.9,
        "norm": norm,
        "l0": 3.0,
    }


def studied(folder, base, chat, token_types=("newline",), **metadata):
    """A source whose files say so of the target prompts at each position, and nothing of the control prompts."""
    fits = {
        model: {token_type: {"target": said} for token_type, said in zip(token_types, of_model, strict=True)}
        for model, of_model in (("base", base), ("chat", chat))
    }
    files = {model: model_data(model, token_types=token_types, fit=fit, **metadata) for model, fit in fits.items()}
    return load(make_source(folder, token_types=token_types, **files))


def test_l0_is_counted_and_what_is_not_said_is_unknown(tmp_path):
    study = load(make_source(tmp_path))
    row = study.sae_fit.table.loc[("model", "target")]
    for side in ("base", "chat"):
        assert row[f"{side}_l0"] == sum(COUNTS[side]["target"]) / NUM_PROMPTS[side]["target"]
    assert row.drop(["base_l0", "chat_l0", "hardly_varies"]).isna().all()
    assert study.sae_fit.table.index.tolist() == [
        ("model", "target"),
        ("model", "control"),
        ("newline", "target"),
        ("newline", "control"),
    ]
    view = View(labels=LABELS, filters=Filters(token_types=("newline",)))
    assert study.reading_in_words(view) == ("L0 3.5 and 3.8 on Target at newline (by name 114); SAE fit unknown")


def test_what_is_not_recorded_at_one_position_is_said_of_it(tmp_path):
    study = studied(tmp_path, [numbers(0.9), {}], [numbers(0.9), {}], ("asst", "newline"), sae_trainer="16k")
    assert study.reading_in_words(View(labels=LABELS)) == (
        "SAE explains 90 % of Base and 90 % of Chat on Target at asst; L0 3.5 and 3.8 · "
        "L0 3.5 and 3.8 at newline; SAE fit at newline unknown"
    )


def test_says_how_much_is_explained(tmp_path):
    study = studied(tmp_path, [numbers(0.89)], [numbers(0.861)], sae_trainer="16k")
    assert study.reading_in_words(View(labels=LABELS)) == (
        "SAE explains 89 % of Base and 86 % of Chat on Target at newline; L0 3.5 and 3.8"
    )


def test_speaks_of_both_of_two_positions_and_of_the_worst_of_three(tmp_path):
    said = [numbers(0.9), numbers(0.7), numbers(0.8)]
    two = studied(tmp_path / "two", said[:2], said[:2], ("asst", "newline"), sae_trainer="16k")
    assert two.reading_in_words(View(labels=LABELS)) == (
        "SAE explains 90 % of Base and 90 % of Chat on Target at asst; L0 3.5 and 3.8 · "
        "SAE explains 70 % of Base and 70 % of Chat on Target at newline; L0 3.5 and 3.8"
    )
    three = studied(tmp_path / "three", said, said, ("asst", "end", "newline"), sae_trainer="16k")
    assert three.reading_in_words(View(labels=LABELS)) == (
        "SAE explains 70 % of Base and 70 % of Chat on Target at end, the worst of 3 positions; L0 3.5 and 3.8"
    )


def test_the_error_speaks_where_prompts_hardly_vary(tmp_path):
    """Variance 0.009 / (1 − 0.4) = 1.5 % of the power in base."""
    study = studied(tmp_path, [numbers(0.4, 0.009)], [numbers(-3.0, 0.2)], sae_trainer="16k")
    assert study.reading_in_words(View(labels=LABELS)) == (
        "SAE misses 1 % of Base and 20 % of Chat on Target at newline, where the prompts hardly vary; L0 3.5 and 3.8"
    )
    assert study.sae_fit.notes() == []
    none = studied(tmp_path / "none", [numbers(None, 0.1)], [numbers(None, 0.55)], sae_trainer="16k")
    assert none.sae_fit.notes() == [
        "At 'newline' on target prompts the SAE misses 55 % of chat and 10 % of base: it may not describe chat."
    ]


@pytest.mark.parametrize(
    ("base", "chat", "is_warned"),
    [(0.9, 0.71, False), (0.9, 0.69, True), (0.55, 0.5, False), (0.55, 0.49, True), (0.3, 0.95, False)],
)
def test_warns_where_chat_is_explained_too_little(tmp_path, base, chat, is_warned):
    study = studied(tmp_path, [numbers(base, 0.2)], [numbers(chat, 0.2)])
    warned = (
        f"At 'newline' on target prompts the SAE explains {100 * chat:.0f} % of chat and {100 * base:.0f} % of base: "
        "it may not describe chat."
    )
    assert study.sae_fit.notes() == [warned] * is_warned
    assert (warned in study.notes()) == is_warned


def test_warns_where_l0_differs_by_more_than_half(tmp_path):
    files = {model: model_data(model, token_types=("newline",)) for model in ("base", "chat")}
    counts = files["chat"]["newline"]["target_num_active"]
    counts[:] = 0
    counts[0] = 9
    study = load(make_source(tmp_path, token_types=("newline",), **files))
    assert study.sae_fit.notes() == [
        "At 'newline' on target prompts the SAE has an L0 of 1 in chat and 3.5 in base: it may not read both alike."
    ]


def test_says_how_many_tokens_are_read_as_one_and_that_texts_differ(tmp_path):
    more = {"pool_tokens": {"newline": {"target": {"mean": 31.25}, "control": {"mean": 12.0}}}, "sae_trainer": "16k"}
    study = studied(tmp_path, [numbers()], [numbers()], **more, responses={"by": "each", "generated_tokens": 64})
    assert study.reading_in_words(View(labels=LABELS)) == (
        "SAE explains 80 % of Base and 80 % of Chat on Target at newline; L0 3.5 and 3.8; "
        "tokens 31.2 and 31.2 on Target, 12 and 12 on Control"
    )
    assert study.sample().endswith("; each model read its own response, so that the texts differ too")
    read_by_both = studied(tmp_path / "both", [numbers()], [numbers()], responses={"by": "chat"})
    assert "own response" not in read_by_both.sample()


def test_share_in_words():
    at = SharesAt(np.array([2, 5]), np.array([-0.031, 0.5]), np.array([-0.2, 0.25]))
    nowhere = SharesAt(np.array([], dtype=int), np.array([]), np.array([]))
    shares = {("a", "target"): at, ("a", "control"): at, ("b", "target"): nowhere, ("b", "control"): at}
    fit = SaeFit(None, shares, None, ())
    assert fit.share_in_words("a", 2, LABELS) == (
        "Share of what differs between Base and Chat: −3 % (cosine −0.20) on Target, −3 % (cosine −0.20) on Control"
    )
    assert fit.share_in_words("b", 5, LABELS) == (
        "Share of what differs between Base and Chat: 50 % (cosine 0.25) on Control"
    )
    assert (
        fit.share_in_words("a", 3, LABELS)
        == "Share of what differs between Base and Chat: 0 % on Target, 0 % on Control"
    )
    assert SaeFit(None, None, None, ()).share_in_words("a", 2, LABELS) is None


def test_nominal_l0_from_registry_or_names(tmp_path):
    for trainer, more, expected in (
        ("131k-l0-114", {}, "114"),
        ("16k", {}, None),
        ("x", {"sae_release": "gemma-scope-9b-pt-res", "sae_id": "layer_20/width_131k/average_l0_34"}, "34"),
        ("x", {"neuronpedia_id": "gemma-2-9b/20-gemmascope-res-131k__l0-12"}, "12"),
        ("model0-7", {}, None),
    ):
        study = load(make_source(tmp_path / f"{trainer}{expected}", sae_trainer=trainer, **more))
        assert study.sae_fit.nominal_l0 == expected


def test_fit_says_where_no_residual_differs(tmp_path):
    difference = {"newline": {"target": {"norm": 0.0, "share": None}}}
    study = studied(tmp_path, [numbers()], [numbers()], difference=difference)
    row = fit_table(study.results).loc[("newline", "target")]
    assert (row["norm"], math.isnan(row["share"])) == (0.0, True)
