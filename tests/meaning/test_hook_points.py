"""What an SAE reads, in words."""

import pytest
import torch
from builders import make_source, model_data

from featurediff import load
from featurediff.sources.hooks import place_of

HOOKS = {
    "blocks.20.hook_resid_post": "residual stream after layer 20",
    "blocks.20.hook_resid_pre": "residual stream before layer 20",
    "blocks.0.hook_resid_mid": "residual stream between attention and MLP of layer 0",
    "blocks.3.hook_mlp_out": "MLP output of layer 3",
    "blocks.3.hook_mlp_in": "MLP input of layer 3",
    "blocks.3.hook_attn_out": "attention output of layer 3",
    "blocks.3.attn.hook_z": "attention head outputs of layer 3",
    "blocks.3.hook_z": "attention head outputs of layer 3",
    "blocks.8.hook_resid_pre_24576": "residual stream before layer 8",
    "blocks.5.hook_resid_post__trainer_20_step_0": "residual stream after layer 5",
    "resid_post_layer_11_trainer_1": "residual stream after layer 11",
    "mlp_out_layer_7": "MLP output of layer 7",
    "attention_out_layer_7": "attention output of layer 7",
    "model.layers.16": "residual stream after layer 16",
    "language_model.model.layers.16": "residual stream after layer 16",
    "transformer.h.16": "residual stream after layer 16",
    "model.layers.16.mlp": "MLP output of layer 16",
    "model.layers.16.self_attn": "attention output of layer 16",
    "layers.12": "residual stream after layer 12",
    "model.layers.16.input_layernorm": None,
    "blocks.3.ln2.hook_normalized": None,
    "blocks.99999999999.hook_resid_post": None,
    "something else": None,
    "": None,
}


@pytest.mark.parametrize("name", HOOKS)
def test_words_of_a_hook_name(name):
    place = place_of(name)
    assert (str(place) if place else None) == HOOKS[name]


def caption_of(folder, sae_folder="x_trainery_layer20", **metadata):
    return load(make_source(folder / sae_folder / "p", **metadata)).origin.caption


NAMED = {"model_type": "x", "sae_trainer": "y"}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, "layer 20"),
        ({"hook_name": "blocks.20.hook_mlp_out"}, "MLP output of layer 20"),
        ({"hook_point": "blocks.20.hook_resid_pre"}, "residual stream before layer 20"),
        ({"sae_config": {"d_sae": 8, "hook_name": "blocks.20.hook_attn_out"}}, "attention output of layer 20"),
        ({"sae_config": {"metadata": {"hook_name": "model.layers.20.mlp"}}}, "MLP output of layer 20"),
        ({"cfg": {"hook_name": None, "hf_hook_name": "model.layers.20"}}, "residual stream after layer 20"),
        ({"hook_name": "blocks.20.ln2.hook_normalized"}, "hook point 'blocks.20.ln2.hook_normalized'"),
        ({"hook_name": ["x"], "sae_id": "blocks.20.hook_resid_mid"},
         "residual stream between attention and MLP of layer 20"),
        ({"sae_release": "gemma-scope-9b-pt-mlp", "sae_id": "layer_20/width_16k/x"}, "MLP output of layer 20"),
        ({"sae_release": "gemma-scope-9b-pt-att-canonical", "sae_id": "layer_20/width_16k/canonical"},
         "attention output of layer 20"),
        ({"sae_release": "gemma-scope-9b-pt-res", "sae_id": "layer_20/width_16k/x"}, "residual stream after layer 20"),
        ({"sae_release": "gemma-scope-2b-pt-transcoders", "sae_id": "layer_20/x"}, "MLP transcoder of layer 20"),
        ({"sae_release": "llama_scope_lxm_8x", "sae_id": "l20m_8x"}, "MLP output of layer 20"),
        ({"sae_release": "llama_scope_lxa_8x", "sae_id": "l20a_8x"}, "attention output of layer 20"),
        ({"sae_release": "llama_scope_lxr_8x", "sae_id": "l20r_8x"}, "residual stream after layer 20"),
        ({"neuronpedia_id": "gemma-2-9b/20-gemmascope-att-16k"}, "attention output of layer 20"),
        ({"neuronpedia_id": "gemma-2-9b/20-gemmascope-res-16k"}, "residual stream after layer 20"),
        ({"neuronpedia_id": "other/20-xyz-mlp-16k"}, "MLP output of layer 20"),
        # The same source set, whose last layer is that after block 11: what is read is what the registry says.
        ({"neuronpedia_id": "gpt2-small/8-res-jb", "sae_layer": 8}, "residual stream before layer 8"),
        ({"neuronpedia_id": "other/20-res-jb"}, "residual stream at layer 20"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_read_is_what_the_files_say(tmp_path, metadata, words):
    """Every source was said to be of the residual stream after its layer."""
    said = caption_of(tmp_path, **(NAMED | metadata)).split(" · ")
    assert said == ["x", "SAE y", words, "p"]


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("gemma_trainer131k-l0-114_layer20", "residual stream after layer 20"),
        ("gemma_trainermlp-16k-canonical_layer20", "MLP output of layer 20"),
        ("gemma_traineratt-16k-canonical_layer20", "attention output of layer 20"),
        ("llama_trainer32x_layer20", "residual stream after layer 20"),
        ("llama_trainerlxa_8x_layer20", "attention output of layer 20"),
        ("llama_trainerlxm-8x_layer20", "MLP output of layer 20"),
        ("qwen_trainer1_layer15", "residual stream after layer 20"),
        ("mine_trainertranscoder-4k_layer20", "MLP transcoder of layer 20"),
        ("mine_trainerresid_pre_4k_layer20", "residual stream before layer 20"),
        ("mine_trainer4k_layer20", "layer 20"),
    ],
)
def test_what_is_read_is_what_the_folder_says(tmp_path, folder, words):
    assert words in caption_of(tmp_path, folder, **NAMED).split(" · ")


def test_a_user_s_own_pages_do_not_change_what_is_read(tmp_path):
    study = load(
        make_source(tmp_path / "gemma_trainer131k-l0-114_layer20" / "p"), template="https://x.org/{feature_id}"
    )
    assert "residual stream after layer 20" in study.origin.caption


def test_hooks_that_contradict_each_other_or_the_layer_are_said(tmp_path):
    for side, hook in (("base", "blocks.16.hook_resid_post"), ("chat", "model.layers.20")):
        (tmp_path / "s").mkdir(exist_ok=True)
        torch.save(model_data(side, hook_name=hook), tmp_path / "s" / f"{side}.pt")
    notes = load(tmp_path / "s").notes()
    assert notes[:2] == [
        "`base.pt` says sae_layer 20, but its hook 'blocks.16.hook_resid_post' is of layer 16.",
        "`base.pt` says that its hook is 'blocks.16.hook_resid_post', `chat.pt` says 'model.layers.20'. "
        "Were they read at the same place?",
    ]
    same = {"base": "blocks.20.hook_resid_post", "chat": "model.layers.20"}
    for side, hook in same.items():
        torch.save(model_data(side, hook_name=hook), tmp_path / "s" / f"{side}.pt")
    assert not [note for note in load(tmp_path / "s").notes() if "hook" in note]
