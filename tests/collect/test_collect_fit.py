"""What `featurediff collect` says of the SAE: against sae_lens and plain torch, one prompt at a time."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from collecting import (
    FAMILIES,
    FEATURES,
    WIDTH,
    Quiet,
    make_family,
    save_model,
    save_sae,
    slow_residuals,
    write_prompts,
)
from sae_lens import SAE

from featurediff.collect import shards
from featurediff.collect.decoder import Active
from featurediff.collect.fit import Fit
from featurediff.collect.planning import plan
from featurediff.collect.run import execute
from featurediff.collect.saes import load_sae
from featurediff.sources.result_files import read_results

SIDES, SETS = ("base", "chat"), ("target", "control")
SCALED = {
    "none": torch.ones_like,
    "layer_norm": lambda h: (h - h.mean(-1, keepdim=True)).std(-1, keepdim=True),
    "constant_norm_rescale": lambda h: h.norm(dim=-1, keepdim=True) / WIDTH**0.5,
}


def collect(settings):
    return execute(plan(settings), Quiet())


def metadata_of(folder):
    return {side: torch.load(folder / f"{side}.pt", weights_only=True)["metadata"] for side in SIDES}


def slow_readings(settings, family, normalisation="none"):
    """(model, prompt set) → h, ĥ as sae_lens decodes it, and activations in h's units, float64: (types, prompts, …)."""
    sae = SAE.load_from_disk(settings.sae)
    found = {}
    for key, states in slow_residuals(settings, family).items():
        h = torch.from_numpy(states)
        with torch.inference_mode():
            acts = sae.encode(h)
            decoded = sae.decode(acts)
        units = acts * SCALED[normalisation](h)[..., :1]
        found[key] = tuple(part.numpy().astype(np.float64) for part in (h, decoded, units))
    return found


def slow_fit(h, decoded, acts):
    """The fit of one position, from arrays of shape (prompts, …), as the definitions read."""
    error = ((h - decoded) ** 2).sum()
    norms = np.linalg.norm(h, axis=1)
    return {
        "variance_explained": 1 - error / ((h - h.mean(axis=0)) ** 2).sum(),
        "relative_error": error / (h**2).sum(),
        "cosine": ((h * decoded).sum(axis=1) / norms / np.linalg.norm(decoded, axis=1)).mean(),
        "norm": norms.mean(),
        "l0": (acts != 0).sum(axis=1).mean(),
    }


def assert_fits(folder, readings, token_types):
    for (side, prompts), parts in readings.items():
        for index, token_type in enumerate(token_types):
            found = metadata_of(folder)[side]["fit"][token_type][prompts]
            assert found == pytest.approx(slow_fit(*(part[index] for part in parts)), rel=2e-5, abs=1e-6)


def assert_shares(folder, readings, token_types, directions):
    """Every share and cosine; together with the share of what no feature carries, counted by itself, they sum to 1."""
    written = pd.read_parquet(folder / "difference.parquet")
    assert written.columns.tolist() == ["token_type", "prompt_set", "feature_id", "share", "cosine"]
    lengths = np.linalg.norm(directions, axis=1)
    for (index, token_type), prompts in itertools.product(enumerate(token_types), SETS):
        (h0, _, a0), (h1, _, a1) = ([part[index].mean(axis=0) for part in readings[side, prompts]] for side in SIDES)
        delta, change = h1 - h0, a1 - a0
        shares = change * (directions @ delta) / (delta @ delta)
        rest = ((h1 - a1 @ directions) - (h0 - a0 @ directions)) @ delta / (delta @ delta)
        assert shares.sum() + rest == pytest.approx(1)  # precondition: the reference itself is whole
        rows = written.query("token_type == @token_type and prompt_set == @prompts").set_index("feature_id")
        (moved,) = np.nonzero(change)
        assert rows.index.tolist() == moved.tolist()
        np.testing.assert_allclose(rows["share"], shares[moved], rtol=1e-3, atol=2e-5)
        cosine = (directions @ delta / lengths / np.linalg.norm(delta))[moved]
        np.testing.assert_allclose(rows["cosine"], cosine, rtol=1e-4, atol=1e-5)
        for metadata in metadata_of(folder).values():
            said = metadata["difference"][token_type][prompts]
            assert said["norm"] == pytest.approx(np.linalg.norm(delta), rel=1e-4)
            assert said["share"] + rest == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("family", "architecture", "padding_side", "config"),
    [
        ("gemma", "jumprelu", "left", {}),
        ("llama", "topk", "right", {"normalize_activations": "layer_norm", "rescale_acts_by_decoder_norm": True}),
        ("qwen", "gated", "left", {"normalize_activations": "constant_norm_rescale", "apply_b_dec_to_input": False}),
        ("gemma", "standard", "right", {"normalize_activations": "layer_norm"}),
        ("llama", "abstopk", "left", {}),
    ],
)
def test_fit_and_shares_equal_one_prompt_at_a_time(tmp_path, family, architecture, padding_side, config):
    settings = make_family(tmp_path, family, architecture, padding_side)
    save_sae(tmp_path / "sae", architecture, config=config)
    readings = slow_readings(settings, family, config.get("normalize_activations", "none"))
    token_types = tuple(FAMILIES[family][1])
    sae = SAE.load_from_disk(settings.sae)
    directions = sae.W_dec.detach().numpy().astype(np.float64)
    if config.get("rescale_acts_by_decoder_norm"):
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for batch_size in (1, 3, 64):
        folder = collect(replace(settings, batch_size=batch_size, prompt_set=f"of_{batch_size}"))
        read_results(folder)
        assert_fits(folder, readings, token_types)
        assert_shares(folder, readings, token_types, directions)


@pytest.mark.parametrize("normalisation", SCALED)
@pytest.mark.parametrize(
    ("architecture", "more"),
    [
        ("standard", {}),
        ("standard", {"apply_b_dec_to_input": False}),
        ("jumprelu", {}),
        ("gated", {}),
        ("topk", {}),
        ("topk", {"rescale_acts_by_decoder_norm": True}),
        ("abstopk", {"rescale_acts_by_decoder_norm": True}),
        ("matching_pursuit", {}),
        ("matching_pursuit", {"apply_b_dec_to_input": False}),
    ],
)
def test_decodes_as_sae_lens(tmp_path, architecture, more, normalisation):
    config = {"normalize_activations": normalisation, **more}
    sae = load_sae(str(save_sae(tmp_path, architecture, config=config)))
    tokens = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(3)) * 4
    with torch.inference_mode():
        acts = sae.encode(tokens)
        at = acts.nonzero(as_tuple=True)
        assert 0 < len(at[0]) < acts.numel()  # precondition: some are active and some are not
        found = sae.decoder.decode(Active(at[0], at[1], acts[at]), len(tokens))
        torch.testing.assert_close(found, sae.module.decode(acts), rtol=1e-4, atol=1e-4)


def test_decodes_tokens_on_which_nothing_is_active(tmp_path):
    sae = load_sae(str(save_sae(tmp_path, "standard")))
    with torch.inference_mode():
        sae.module.b_enc.fill_(-1e6)
        acts = sae.encode(torch.ones(3, WIDTH))
        at = acts.nonzero(as_tuple=True)
        found = sae.decoder.decode(Active(at[0], at[1], acts[at]), 3)
    torch.testing.assert_close(found, sae.module.b_dec.expand(3, WIDTH))


def test_fit_worked_out():
    """Tokens (3, 4), (0, 0) and (3, 0) with errors of 4, 0 and 9 in squares, merged from two pieces."""
    first = Fit(
        np.array([2.0]),
        np.array([[1.5, 2.0]]),
        np.array([12.5]),
        np.array([[4.0, 25, 0.5, 5, 6]]),
        np.array([[3.0, 4.0]]),
    )
    second = Fit(
        np.array([1.0]), np.array([[3.0, 0.0]]), np.array([0.0]), np.array([[9.0, 9, 1, 3, 3]]), np.array([[3.0, 0.0]])
    )
    merged = first + second
    np.testing.assert_allclose(merged.mean, [[2, 4 / 3]])
    # Squares: (1, 8/3), (−2, −4/3), (1, −4/3): 1 + 64/9 + 4 + 16/9 + 1 + 16/9.
    np.testing.assert_allclose(merged.squares, [6 + 96 / 9])
    np.testing.assert_allclose(merged.levels, [[6, 4]])
    (said,) = Fit.from_bytes(merged.to_bytes(), 1).describe()
    assert said == pytest.approx(
        {"variance_explained": 1 - 13 / (6 + 96 / 9), "relative_error": 13 / 34, "cosine": 0.5, "norm": 8 / 3, "l0": 3}
    )


def test_says_none_where_nothing_varies_or_all_is_0():
    same = Fit(
        np.array([4.0]), np.array([[1.0, 0.0]]), np.array([0.0]), np.array([[1.0, 4, 2, 4, 8]]), np.zeros((1, 2))
    )
    assert same.describe() == [{"variance_explained": None, "relative_error": 0.25, "cosine": 0.5, "norm": 1, "l0": 2}]
    zero = Fit(np.array([4.0]), np.zeros((1, 2)), np.array([0.0]), np.array([[1.0, 0, 0, 0, 8]]), np.zeros((1, 2)))
    assert zero.describe() == [{"variance_explained": None, "relative_error": None, "cosine": 0, "norm": 0, "l0": 2}]


def test_one_prompt_repeated_has_no_variance_whatever_the_batch(tmp_path):
    """Prompts of one text in batches of other sizes differ by rounding, and a variance of 1e-12 explained nothing."""
    settings = make_family(tmp_path, "gemma")
    target, control = write_prompts(tmp_path / "same", {"target": ["Who are you?"] * 7, "control": ["Who?"] * 3})
    folder = collect(replace(settings, target=target, control=control, batch_size=2))
    fit = metadata_of(folder)["base"]["fit"]
    assert [fit[token_type][prompts]["variance_explained"] for token_type in fit for prompts in SETS] == [None] * 4
    assert all(fit[token_type][prompts]["relative_error"] > 0 for token_type in fit for prompts in SETS)


def test_a_model_against_its_copy_has_no_difference(tmp_path):
    settings = make_family(tmp_path, "gemma")
    save_model(tmp_path / "chat", "gemma", 0)  # the weights of base
    folder = collect(settings)
    assert len(pd.read_parquet(folder / "difference.parquet")) == 0
    said = metadata_of(folder)
    assert said["base"]["fit"] == said["chat"]["fit"]
    nothing = {prompts: {"norm": 0.0, "share": None} for prompts in SETS}
    assert said["chat"]["difference"] == {"model": nothing, "newline": nothing}


def test_does_not_depend_on_shards(tmp_path, monkeypatch):
    settings = make_family(tmp_path, "gemma")
    whole = collect(replace(settings, prompt_set="whole"))
    monkeypatch.setattr(shards, "_SIZE", 3)
    cut = collect(replace(settings, prompt_set="cut", batch_size=2))
    for side, said in metadata_of(cut).items():
        for token_type, prompts in itertools.product(said["fit"], SETS):
            expected = metadata_of(whole)[side]["fit"][token_type][prompts]
            assert said["fit"][token_type][prompts] == pytest.approx(expected, rel=1e-5)
    written, expected = (pd.read_parquet(folder / "difference.parquet") for folder in (cut, whole))
    pd.testing.assert_frame_equal(written, expected, rtol=1e-3, atol=1e-5)


def test_without_fit_nothing_is_said_of_it(tmp_path):
    folder = collect(replace(make_family(tmp_path, "gemma"), fit=False))
    assert sorted(path.name for path in folder.iterdir()) == [
        "activations.parquet",
        "base.pt",
        "chat.pt",
        "prompts.parquet",
    ]
    assert not {"fit", "difference"} & metadata_of(folder)["chat"].keys()
    assert read_results(folder).num_features == FEATURES
