"""SAE folders as people have them: hooks of transformers, dictionary_learning's files, other models, damage."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from collecting import FEATURES, WIDTH, Quiet, make_family, save_sae

from featurediff.collect.planning import plan
from featurediff.collect.run import execute
from featurediff.collect.saes import load_sae
from featurediff.errors import DataError
from featurediff.wording import quoted

EXPECTED = "but expected the residual stream after a block, such as 'blocks.20.hook_resid_post' or 'model.layers.20'."


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    return make_family(tmp_path_factory.mktemp("gemma"), "gemma")


def refusal(folder, **options):
    with pytest.raises(DataError) as raised:
        load_sae(str(folder), **options)
    return str(raised.value)


def change(folder, metadata=None, **config):
    path = folder / "cfg.json"
    content = json.loads(path.read_text()) | config
    content["metadata"] |= metadata or {}
    path.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("hook_name", "place"),
    [
        ("model.layers.2", (2, 2)),
        ("language_model.model.layers.2", (2, 2)),
        ("model.language_model.layers.2", (2, 2)),
        ("base_model.model.model.layers.2", (2, 2)),
        ("transformer.h.2", (2, 2)),
        ("gpt_neox.layers.0", (0, 0)),
        ("layers.3", (3, 3)),
        ("model.layers.2.output", (2, 2)),
        ("blocks.2.hook_resid_pre", (2, 1)),
    ],
)
def test_a_block_of_transformers_means_its_output(tmp_path, hook_name, place):
    sae = load_sae(str(save_sae(tmp_path / "sae", hook_name=hook_name)))
    assert (sae.layer, sae.block) == place


def test_the_name_in_transformers_is_read_where_there_is_no_other(tmp_path):
    sae = load_sae(str(save_sae(tmp_path / "sae", hook_name=None, hf_hook_name="model.layers.1.output")))
    assert (sae.layer, sae.block) == (1, 1)


@pytest.mark.parametrize(
    "hook_name",
    [
        *["model.layers.2.mlp", "model.layers.2.self_attn", "blocks.2.hook_mlp_out", "blocks.2.attn.hook_z"],
        *[
            "blocks.2.hook_resid_mid",
            "vision_tower.layers.2",
            "model.layers.2.input",
            "model.layers.-1",
            "model.layers.",
        ],
    ],
)
def test_what_is_no_residual_stream_is_refused_by_name(tmp_path, hook_name):
    folder = save_sae(tmp_path / "sae", hook_name=hook_name)
    assert refusal(folder) == f"The SAE {quoted(str(folder))} reads {hook_name!r}, {EXPECTED}"


def test_both_names_of_a_block_give_the_same_source(family, tmp_path):
    folders = []
    for name, hook_name in (("lens", "blocks.2.hook_resid_post"), ("path", "model.layers.2")):
        sae = save_sae(tmp_path / name, hook_name=hook_name)
        planned = plan(replace(family, sae=str(sae), out=tmp_path / "out", prompt_set=name))
        folders.append(execute(planned, Quiet()))
    first, second = (torch.load(folder / "chat.pt", weights_only=True)["newline"] for folder in folders)
    assert first["target_num_active"].sum() > 0
    assert all(torch.equal(first[name], second[name]) for name in first)


# ----------------------------------------------------------------------------
# dictionary_learning: each class with the library's own formula, one token at a time.


def relu(x):
    return np.maximum(x, 0)


def topk(x, k=5):
    return np.where(x >= np.sort(x)[-k], x, 0)


FORMULAS = {
    "AutoEncoder": lambda x, w: relu(w["encoder.weight"] @ (x - w["bias"]) + w["encoder.bias"]),
    "AutoEncoderNew": lambda x, w: relu(w["encoder.weight"] @ x + w["encoder.bias"]),
    "AutoEncoderTopK": lambda x, w: topk(relu(w["encoder.weight"] @ (x - w["b_dec"]) + w["encoder.bias"])),
    "BatchTopKSAE": lambda x, w: above(relu(w["encoder.weight"] @ (x - w["b_dec"]) + w["encoder.bias"]), w),
    "MatryoshkaBatchTopKSAE": lambda x, w: above(relu((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]), w),
    "JumpReluAutoEncoder": lambda x, w: above(relu(x @ w["W_enc"] + w["b_enc"]), w),
    "GatedAutoEncoder": lambda x, w: (
        (w["encoder.weight"] @ (x - w["decoder_bias"]) + w["gate_bias"] > 0)
        * relu(np.exp(w["r_mag"]) * (w["encoder.weight"] @ (x - w["decoder_bias"])) + w["mag_bias"])
    ),
}


def above(x, w):
    return np.where(x > w["threshold"], x, 0)


def shapes_of(dict_class):
    linear = {"encoder.weight": (FEATURES, WIDTH), "decoder.weight": (WIDTH, FEATURES)}
    plain = {"W_enc": (WIDTH, FEATURES), "W_dec": (FEATURES, WIDTH), "b_enc": (FEATURES,), "b_dec": (WIDTH,)}
    return {
        "AutoEncoder": linear | {"encoder.bias": (FEATURES,), "bias": (WIDTH,)},
        "AutoEncoderNew": linear | {"encoder.bias": (FEATURES,), "decoder.bias": (WIDTH,)},
        "AutoEncoderTopK": linear | {"encoder.bias": (FEATURES,), "b_dec": (WIDTH,), "threshold": ()},
        "BatchTopKSAE": linear | {"encoder.bias": (FEATURES,), "b_dec": (WIDTH,), "threshold": ()},
        "MatryoshkaBatchTopKSAE": plain | {"threshold": ()},
        "JumpReluAutoEncoder": plain | {"threshold": (FEATURES,)},
        "GatedAutoEncoder": linear
        | {"decoder_bias": (WIDTH,), "r_mag": (FEATURES,), "gate_bias": (FEATURES,), "mag_bias": (FEATURES,)},
    }[dict_class]


def save_dictionary(folder, made, buffer=None, **trainer):
    """Save `ae.pt` and `config.json` as the library does; weights are random."""
    generator = torch.Generator().manual_seed(3)
    weights = {key: torch.randn(shape, generator=generator) for key, shape in shapes_of(made).items()}
    if "threshold" in weights:
        weights["threshold"] = weights["threshold"].abs()
    if made.endswith(("TopK", "TopKSAE")):
        weights["k"] = torch.tensor(5)
    said = {
        "dict_class": made,
        "layer": 2,
        "lm_name": "google/gemma-2-2b",
        "submodule_name": "resid_post_layer_2",
    }
    if made == "AutoEncoderTopK":
        said["k"] = 5
    folder.mkdir(parents=True)
    torch.save(weights, folder / "ae.pt")
    content = {"trainer": said | trainer, "buffer": {"ctx_len": 128, "io": "out"} | (buffer or {})}
    (folder / "config.json").write_text(json.dumps(content))
    return folder, {key: value.numpy().astype(np.float64) for key, value in weights.items()}


@pytest.mark.parametrize("dict_class", FORMULAS)
def test_a_dictionary_encodes_as_its_library_says(tmp_path, dict_class):
    folder, weights = save_dictionary(tmp_path / "sae", dict_class)
    sae = load_sae(str(folder))
    assert (sae.layer, sae.block, sae.width, sae.num_features) == (2, 2, WIDTH, FEATURES)
    residual = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(7))
    expected = np.stack([FORMULAS[dict_class](token, weights) for token in residual.double().numpy()])
    assert 0.01 < (expected > 0).mean() < 0.9
    np.testing.assert_allclose(sae.encode(residual).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_dictionary_makes_a_source(family, tmp_path):
    folder, _ = save_dictionary(tmp_path / "sae", "BatchTopKSAE")
    planned = plan(replace(family, sae=str(folder), out=tmp_path / "out"))
    assert planned.remarks[0].startswith("The SAE was trained on 'google/gemma-2-2b', and the models are ")
    written = torch.load(execute(planned, Quiet()) / "base.pt", weights_only=True)
    assert written["metadata"]["sae_config"]["architecture"] == "jumprelu"
    assert written["metadata"]["sae_config"]["metadata"]["model_name"] == "google/gemma-2-2b"


@pytest.mark.parametrize(
    ("trainer", "buffer", "place"),
    [
        ({"submodule_name": None}, {}, (2, 2)),
        ({"layer": None, "submodule_name": "resid_post_layer_1"}, {}, (1, 1)),
        ({}, {"io": "in"}, (2, 1)),
        ({"submodule_name": "model.layers.2"}, {}, (2, 2)),
    ],
)
def test_places_a_dictionary(tmp_path, trainer, buffer, place):
    folder, _ = save_dictionary(tmp_path / "sae", "AutoEncoder", buffer, **trainer)
    sae = load_sae(str(folder))
    assert (sae.layer, sae.block) == place


@pytest.mark.parametrize(
    ("trainer", "buffer", "hook_name"),
    [
        ({"submodule_name": "mlp_out_layer_2"}, {}, "mlp_out_layer_2"),
        ({"submodule_name": "attention_out_layer_2"}, {}, "attention_out_layer_2"),
        ({"submodule_name": "resid_post_layer_3"}, {}, "resid_post_layer_3"),
        ({}, {"io": "in_and_out"}, "blocks.2.hook_resid_in_and_out"),
    ],
)
def test_refuses_a_dictionary_of_something_else(tmp_path, trainer, buffer, hook_name):
    folder, _ = save_dictionary(tmp_path / "sae", "AutoEncoder", buffer, **trainer)
    assert refusal(folder) == f"The SAE {quoted(str(folder))} reads {hook_name!r}, {EXPECTED}"


def test_refuses_a_dictionary_that_it_does_not_know(tmp_path):
    folder, _ = save_dictionary(tmp_path / "a", "AutoEncoder", dict_class="CrossCoder")
    assert refusal(folder) == (
        f"`{folder}/config.json`: dict_class is 'CrossCoder', but expected one of 'AutoEncoder', 'AutoEncoderNew', "
        "'AutoEncoderTopK', 'BatchTopKSAE', 'MatryoshkaBatchTopKSAE' and 2 more."
    )
    folder, _ = save_dictionary(tmp_path / "b", "AutoEncoder", dict_class="GatedAutoEncoder")
    assert refusal(folder) == (
        f"`{folder}/ae.pt` lacks 'decoder_bias', 'gate_bias', 'mag_bias', 'r_mag', which an GatedAutoEncoder has. Does "
        "`config.json` belong to it?"
    )
    (folder / "config.json").write_text('{"model_type": "gemma2"}')
    assert refusal(folder) == f"`{folder}/config.json` has no `trainer` in it, as dictionary_learning writes it."


# ----------------------------------------------------------------------------
# Of another model; damaged.


def test_says_that_the_sae_is_of_another_model_and_does_not_refuse_it(family, tmp_path):
    folder = save_sae(tmp_path / "sae", model_name="google/gemma-2-2b")
    models = [family.base, family.chat]
    assert plan(replace(family, sae=str(folder), out=tmp_path)).remarks[:1] == (
        f"The SAE was trained on 'google/gemma-2-2b', and the models are {quoted(models[0])}, {quoted(models[1])}. If "
        "neither was made from it, the features mean nothing.",
    )
    sae = load_sae(str(folder))
    for same in ("google/gemma-2-2b", "/models/Gemma-2-2b/", "gemma-2-2b"):
        assert sae.remarks([family.chat, same]) == ()
    assert load_sae(str(save_sae(tmp_path / "silent"))).remarks(models) == ()


def test_says_how_the_model_of_the_sae_was_loaded_and_refuses_centred_weights(tmp_path):
    """SAELens's warning on this was silenced."""
    folder = save_sae(tmp_path / "sae")
    change(folder, {"model_from_pretrained_kwargs": {"fold_ln": True, "dtype": "bfloat16"}})
    assert load_sae(str(folder)).remarks([]) == (
        "The SAE was trained on a model that was loaded with fold_ln=True, and featurediff loads it without.",
    )
    change(folder, {"model_from_pretrained_kwargs": {"center_writing_weights": False}})
    assert load_sae(str(folder)).remarks([]) == ()
    change(folder, {"model_from_pretrained_kwargs": {"center_writing_weights": True}})
    assert refusal(folder) == (
        f"The SAE {quoted(str(folder))} reads a model whose weights were centred first (model_from_pretrained_kwargs: "
        "center_writing_weights), and featurediff reads models as they are. If the model normalises by RMS, as Gemma, "
        "Llama and Qwen do, nothing was centred: take the entry out of the SAE's configuration."
    )


def test_the_source_keeps_the_configuration_of_the_sae(family, tmp_path):
    folder = save_sae(tmp_path / "sae", "topk", model_name="base", training_tokens=123)
    planned = plan(replace(family, sae=str(folder), out=tmp_path / "out"))
    metadata = torch.load(execute(planned, Quiet()) / "base.pt", weights_only=True)["metadata"]
    config = metadata["sae_config"]
    assert (config["architecture"], config["k"], config["d_sae"]) == ("topk", 7, FEATURES)
    assert config["metadata"]["training_tokens"] == 123
    assert not {"device", "dtype"} & config.keys()
    long = save_sae(tmp_path / "long", story="x" * 200_000)
    assert load_sae(str(long)).config is None


def test_a_folder_of_neither_kind_is_said(tmp_path):
    (tmp_path / "sae").mkdir()
    (tmp_path / "sae" / "ae.pt").write_bytes(b"")
    for path in (tmp_path / "sae", tmp_path / "sae" / "ae.pt"):
        assert refusal(path) == (
            f"The SAE {quoted(str(path))} is not a folder with sae_weights.safetensors and cfg.json, as SAELens saves "
            "it, or with ae.pt and config.json, as dictionary_learning does."
        )
    assert refusal(tmp_path / "none") == (
        f"--sae {quoted(str(tmp_path / 'none'))} is neither a folder nor RELEASE:SAE_ID as SAELens lists them."
    )


def cut(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda folder: cut(folder, "sae_weights.safetensors"), "SafetensorError"),
        (write("sae_weights.safetensors", ""), "SafetensorError"),
        (lambda folder: (folder / "sae_weights.safetensors").unlink(), "FileNotFoundError"),
        (lambda folder: cut(folder, "cfg.json"), "JSONDecodeError"),
        (write("cfg.json", "[]"), "TypeError|AttributeError"),
        (write("cfg.json", "{}"), "KeyError|TypeError"),
        (lambda folder: change(folder, architecture="unheard_of"), "KeyError"),
        (lambda folder: change(folder, d_sae=7), "RuntimeError"),
        (lambda folder: change(folder, d_in="many"), "TypeError"),
    ],
)
def test_a_damaged_folder_is_one_message(tmp_path, damage, kind):
    """A SafetensorError, which is of no common kind, was a traceback."""
    folder = save_sae(tmp_path / "sae")
    damage(folder)
    assert re.fullmatch(
        rf"The SAE {re.escape(quoted(str(folder)))} cannot be loaded \(({kind}): .{{1,200}}\)\.", refusal(folder)
    )


def test_a_damaged_dictionary_is_one_message_and_its_code_is_not_run(tmp_path):
    folder, _ = save_dictionary(tmp_path / "sae", "AutoEncoder")
    code = b"cos\nsystem\n(V" + f"touch {tmp_path}/ran".encode() + b"\ntR."
    for content in (b"", b"PK\x03\x04", code):
        (folder / "ae.pt").write_bytes(content)
        assert refusal(folder).startswith(f"The SAE {quoted(str(folder))} cannot be loaded (")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", ["W_enc", "b_enc", "W_dec", "threshold"])
def test_weights_that_are_no_numbers_are_refused(tmp_path, key):
    from safetensors.torch import load_file, save_file

    folder = save_sae(tmp_path / "sae")
    weights = load_file(folder / "sae_weights.safetensors")
    weights[key].view(-1)[5] = torch.nan
    save_file(weights, folder / "sae_weights.safetensors")
    assert refusal(folder) == (
        f"The SAE {quoted(str(folder))} has NaN or infinite numbers among its weights {key!r}. Is it whole?"
    )
    weights[key].view(-1)[5] = torch.inf
    save_file(weights, folder / "sae_weights.safetensors")
    if key == "threshold":  # a feature that was turned off
        assert load_sae(str(folder)).num_features == FEATURES
    else:
        assert "NaN or infinite" in refusal(folder)
