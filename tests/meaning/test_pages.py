import json
import re
from collections import Counter, defaultdict
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff.errors import DataError
from featurediff.meaning import folder_saes, registry
from featurediff.meaning.find_pages import find_page
from featurediff.meaning.pages import FeaturePages, quick_list_url
from scripts import extract_registry

REGISTRY = registry.table()
ANCESTOR = "gemma-2-9b/20-gemmascope-res-131k"


def page(model=None, trainer=None, layer=None, **named):
    return find_page(model=model, trainer=trainer, layer=layer, **named)


def id_of(found):
    """Return the Neuronpedia id in a page's template."""
    if found.template is None:
        assert found.source is None
    else:
        assert found.template == f"https://www.neuronpedia.org/{found.source}/{{feature_id}}"
    return found.source


# ----------------------------------------------------------------------------
# What folders say.


@pytest.mark.parametrize(
    ("model", "trainer", "layer", "expected"),
    [
        # Gemma Scope 9b: residual stream, attention, MLP.
        ("gemma", "131k-l0-114", 20, ANCESTOR),
        ("gemma", "131k_l0_114", 20, ANCESTOR),
        ("Gemma", "131K-L0-114", 20, ANCESTOR),
        ("gemma-2-9b", "131k-l0-114", 20, ANCESTOR),
        ("google/gemma-2-9b", "131k-l0-114", 20, ANCESTOR),
        ("google--gemma-2-9b", "131k-l0-114", 20, ANCESTOR),
        ("gemma2_9b", "res-131k-l0-114", 20, ANCESTOR),
        ("gemma-2-9b-pt", "layer_20/width_131k/average_l0_114", 20, ANCESTOR),
        ("gemma", "131k-canonical", 20, ANCESTOR),
        ("gemma", "gemmascope-res-131k-canonical", 20, ANCESTOR),
        ("gemma", "131k-l0-121", 16, "gemma-2-9b/16-gemmascope-res-131k"),
        ("gemma", "131k-l0-109", 21, "gemma-2-9b/21-gemmascope-res-131k"),
        ("gemma", "131k-l0-34", 20, "gemma-2-9b/20-gemmascope-res-131k__l0-34"),
        ("gemma", "16k-l0-68", 20, "gemma-2-9b/20-gemmascope-res-16k"),
        ("gemma", "16k-l0-69", 1, "gemma-2-9b/1-gemmascope-res-16k"),  # the registry also has …__l0-69
        ("gemma", "16k-l0-67", 2, "gemma-2-9b/2-gemmascope-res-16k"),
        ("gemma", "16k-l0-114", 31, "gemma-2-9b/31-gemmascope-res-16k"),
        ("gemma", "65k-l0-55", 20, "gemma-2-9b/20-gemmascope-res-65k"),
        ("gemma", "1m-l0-101", 20, "gemma-2-9b/20-gemmascope-res-1m"),
        ("gemma", "524k-l0-48", 20, "gemma-2-9b/20-gemmascope-res-524k"),
        ("gemma", "mlp-16k-canonical", 0, "gemma-2-9b/0-gemmascope-mlp-16k"),
        ("gemma", "mlp-16k-l0-50", 0, "gemma-2-9b/0-gemmascope-mlp-16k"),
        ("gemma", "att-131k-l0-55", 0, "gemma-2-9b/0-gemmascope-att-131k"),
        ("gemma", "attn-131k-canonical", 41, "gemma-2-9b/41-gemmascope-att-131k"),
        # The other sizes of Gemma Scope; of these only 9b has SAEs of the instruct model.
        ("gemma-2-9b-it", "131k-l0-81", 20, "gemma-2-9b-it/20-gemmascope-res-131k"),
        ("google/gemma-2-9b-it", "16k-canonical", 31, "gemma-2-9b-it/31-gemmascope-res-16k"),
        ("gemma-2-2b", "16k-l0-105", 0, "gemma-2-2b/0-gemmascope-res-16k"),
        ("gemma-2-2b", "1m-l0-114", 5, "gemma-2-2b/5-gemmascope-res-1m"),
        ("gemma-2-2b-it", "65k-canonical", 25, "gemma-2-2b/25-gemmascope-res-65k"),
        ("gemma-2-2b", "transcoder-16k-l0-76", 0, "gemma-2-2b/0-gemmascope-transcoder-16k"),
        ("gemma-2-27b", "131k-canonical", 22, "gemma-2-27b/22-gemmascope-res-131k"),
        ("gemma-2-27b-it", "131k-l0-72", 34, "gemma-2-27b/34-gemmascope-res-131k"),
        # Gemma Scope 2.
        ("gemma-3-4b", "16k-medium", 17, "gemma-3-4b/17-gemmascope-2-res-16k"),
        ("gemma-3-4b-pt", "1m-l0-medium", 17, "gemma-3-4b/17-gemmascope-2-res-1m"),
        ("gemma-3-4b-it", "layer_17_width_16k_l0_medium", 17, "gemma-3-4b-it/17-gemmascope-2-res-16k"),
        ("google/gemma-3-270m-it", "res-262k-medium", 12, "gemma-3-270m-it/12-gemmascope-2-res-262k"),
        ("gemma-3-12b", "65k-medium", 12, "gemma-3-12b/12-gemmascope-2-res-65k"),
        ("gemma-3-27b-it", "transcoder-262k-small-affine", 0, "gemma-3-27b-it/0-gemmascope-2-transcoder-262k"),
        # Llama Scope.
        ("llama", "32x", 10, "llama3.1-8b/10-llamascope-res-131k"),
        ("llama", "32x", 0, "llama3.1-8b/0-llamascope-res-131k"),
        ("llama", "8x", 31, "llama3.1-8b/31-llamascope-res-32k"),
        ("llama", "32X", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "lxr_32x", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "llamascope-32x", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "llama_scope_lxr_8x", 15, "llama3.1-8b/15-llamascope-res-32k"),
        ("llama", "llamascope-res-131k", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "l15r_32x", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "131k", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "32k", 15, "llama3.1-8b/15-llamascope-res-32k"),
        ("llama", "lxm_8x", 15, "llama3.1-8b/15-llamascope-mlp-32k"),
        ("llama-3.1-8b", "att-32x", 15, "llama3.1-8b/15-llamascope-att-131k"),
        ("meta-llama/Llama-3.1-8B", "l3a_8x", 3, "llama3.1-8b/3-llamascope-att-32k"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "32x", 3, "llama3.1-8b/3-llamascope-res-131k"),
        # The SAEs of andyrdt and Goodfire, all of instruct models.
        ("llama", "1", 15, "llama3.1-8b-it/15-resid-post-aa"),
        ("llama3.1-8b-it", "trainer_1", 3, "llama3.1-8b-it/3-resid-post-aa"),
        ("qwen", "1", 15, "qwen2.5-7b-it/15-resid-post-aa"),
        ("Qwen/Qwen2.5-7B-Instruct", "resid_post_layer_11_trainer_1", 11, "qwen2.5-7b-it/11-resid-post-aa"),
        ("openai/gpt-oss-20b", "trainer_0", 23, "gpt-oss-20b/23-resid-post-aa"),
        ("llama", "goodfire", 19, "llama3.1-8b-it/19-resid-post-gf"),
        ("llama-3.3-70b-instruct", "goodfire-l50", 50, "llama3.3-70b-it/50-resid-post-gf"),
    ],
)
def test_folder_names_its_page(model, trainer, layer, expected):
    assert id_of(page(model, trainer, layer)) == expected


GEMMA_AT_20 = "Gemma Scope 9b, residual stream, layer 20"
KNOWN = "Gemma 2 and 3, Llama 3.1 8B and 3.3 70B, Qwen2.5 7B and gpt-oss 20b"
LLAMAS = "32x (Llama Scope 8B) or trainer_1 (andyrdt Llama 3.1 8B) or goodfire (Goodfire Llama 3.1 8B)"


@pytest.mark.parametrize(
    ("model", "trainer", "layer", "reason"),
    [
        (None, "32x", 10, "The model is not known."),
        ("", "32x", 10, "The model is not known."),
        ("gemma", None, 20, "The trainer of the 'gemma' SAE is not known."),
        ("gemma", "131k-l0-114", None, "The layer of the 'gemma' SAE is not known."),
        *(
            (model, "1", 15, f"No Neuronpedia pages are known for the SAEs of model '{model}', only for {KNOWN}.")
            for model in ("demo", "gemma-3-12b-it", "gemma-2b", "llama-3-8b", "qwen2-57b", "qwen3-8b", "gpt-oss-120b")
        ),
        *(
            ("gemma", trainer, 20, f"Trainer {trainer!r} of 'gemma' is not understood. {expected}")
            for expected in ["Expected one such as 131k-l0-114 (Gemma Scope 9b)."]
            for trainer in ("1", "new", "131k-114", "131k-l0-114x", "x131k-l0-114", "131k-l0-١١٤", "16k-medium", "8x")
        ),
        ("gemma", "131k", 20, f"Trainer '131k' does not say which L0 is meant; {GEMMA_AT_20}, width 131k has pages for "
         "canonical L0, 11, 19, 34, 53 and 4 more."),
        ("gemma", "res-131k", 5, "Trainer 'res-131k' does not say which L0 is meant; Gemma Scope 9b, residual stream, "
         "layer 5, width 131k has pages for canonical L0, 51, 94."),
        # The L0 that the registry gives this SAE by mistake, and the canonical L0 of the instruct model's.
        *(
            ("gemma", f"131k-l0-{l0}", 20, f"{GEMMA_AT_20}, width 131k has no page for L0 {l0}, "
             "only for canonical L0, 11, 19, 34, 53 and 4 more.")
            for l0 in (12, 10, 81, 0, 115)
        ),
        # The registry gives this SAE the page of another layer and width.
        ("gemma", "16k-l0-8", 2, "Gemma Scope 9b, residual stream, layer 2, width 16k has no page for L0 8, "
         "only for canonical L0, 67."),
        ("gemma", "33k-l0-114", 20, f"{GEMMA_AT_20} has no page for width 33k, "
         "only for 16k, 32k, 65k, 131k, 524k and 1 more."),
        ("gemma", "131k-l0-114", 42, "Gemma Scope 9b, residual stream has no page for layer 42, only for 0 to 41."),
        ("gemma", "131k-l0-114", -1, "Gemma Scope 9b, residual stream has no page for layer -1, only for 0 to 41."),
        ("gemma", "131k-l0-114", 10**80, "Gemma Scope 9b, residual stream has no page for layer a huge integer, "
         "only for 0 to 41."),
        ("gemma", "layer_20/width_131k/average_l0_114", 19, "Trainer 'layer_20/width_131k/average_l0_114' "
         "is of layer 20, not of layer 19."),
        ("gemma-2-9b-it", "131k-l0-114", 20, "Gemma Scope 9b-it, residual stream, layer 20, width 131k "
         "has no page for L0 114, only for canonical L0, 81."),
        ("gemma-2-9b-it", "131k-canonical", 16, "Gemma Scope 9b-it, residual stream has no page for layer 16, "
         "only for 9, 20, 31."),
        ("gemma-2-9b-it", "mlp-16k-canonical", 20, "Gemma Scope 9b-it has no page for MLP, only for residual stream."),
        ("gemma-2-2b", "131k-canonical", 20, "Gemma Scope 2b, residual stream, layer 20 has no page for width 131k, "
         "only for 16k, 65k."),
        ("gemma-3-4b-it", "16k", 17, "Trainer '16k' does not say which L0 is meant; "
         "Gemma Scope 2 4b-it, residual stream, layer 17, width 16k has pages for medium."),
        ("gemma-3-4b-it", "16k-small", 17, "Gemma Scope 2 4b-it, residual stream, layer 17, width 16k "
         "has no page for L0 small, only for medium."),
        ("gemma-3-4b-it", "att-16k-medium", 17, "Gemma Scope 2 4b-it has no page for attention, "
         "only for residual stream, transcoder."),
        ("gemma-3-4b", "262k-medium-seed-1", 17, "Trainer '262k-medium-seed-1' of 'gemma-3-4b' is not understood. "
         "Expected one such as 16k-l0-medium (Gemma Scope 2 4b)."),
        ("llama", "32x", 32, "Llama Scope 8B, residual stream has no page for layer 32, only for 0 to 31."),
        ("llama", "l15r_32x", 14, "Trainer 'l15r_32x' is of layer 15, not of layer 14."),
        ("llama", "131k-l0-114", 15, "Trainer '131k-l0-114' of 'llama' is not understood. "
         f"Expected one such as {LLAMAS}."),
        ("llama", "16k", 15, f"Trainer '16k' of 'llama' is not understood. Expected one such as {LLAMAS}."),
        # On the instruct model this may be andyrdt's SAE, which is as wide.
        ("llama3.1-8b-it", "131k", 15, f"Trainer '131k' of 'llama3.1-8b-it' is not understood. "
         f"Expected one such as {LLAMAS}."),
        ("llama", "1", 16, "andyrdt Llama 3.1 8B, residual stream has no page for layer 16, "
         "only for 3, 7, 11, 15, 19 and 2 more."),
        ("qwen", "0", 15, "andyrdt Qwen2.5 7B, residual stream, layer 15 has no page for trainer 0, only for 1."),
        ("qwen", "32x", 15, "Trainer '32x' of 'qwen' is not understood. "
         "Expected one such as trainer_1 (andyrdt Qwen2.5 7B)."),
        ("gpt-oss-20b", "trainer_0", 27, "andyrdt gpt-oss 20b, residual stream has no page for layer 27, "
         "only for 3, 7, 11, 15, 19 and 1 more."),
        ("llama", "goodfire", 50, "Goodfire Llama 3.1 8B, residual stream has no page for layer 50, only for 19."),
        ("llama", "goodfire-l19", 20, "Trainer 'goodfire-l19' is of layer 19, not of layer 20."),
        ("llama", f"l{'9' * 5000}r_8x", 9, f"Trainer 'l{'9' * 77}… of 'llama' is not understood. "
         f"Expected one such as {LLAMAS}."),
    ],
)  # fmt: skip
def test_folder_without_a_page_says_why(model, trainer, layer, reason):
    assert page(model, trainer, layer) == FeaturePages(None, reason)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (("gemma", "131k-l0-114", 20), f"{GEMMA_AT_20}, width 131k, L0 114."),
        (("gemma", "131k-canonical", 20), f"{GEMMA_AT_20}, width 131k, canonical L0."),
        (("gemma-2-27b-it", "131k-l0-82", 22), "Gemma Scope 27b, residual stream, layer 22, width 131k, L0 82."),
        (("llama", "lxm_32x", 10), "Llama Scope 8B, MLP, layer 10, width 131k."),
        (("qwen", "1", 11), "andyrdt Qwen2.5 7B, residual stream, layer 11, trainer 1."),
        (("llama", "gf", 19), "Goodfire Llama 3.1 8B, residual stream, layer 19."),
    ],
)
def test_reason_says_which_sae_a_folder_names(named, reason):
    assert page(*named).reason == f"Found by model, trainer and layer: {reason}"


@pytest.mark.parametrize("width", ["16k", "131k"])
@pytest.mark.parametrize("layer", range(42))
def test_canonical_l0_gives_the_plain_id(layer, width):
    canonical = REGISTRY["gemma-scope-9b-pt-res-canonical", f"layer_{layer}/width_{width}/canonical"]
    expected = f"gemma-2-9b/{layer}-gemmascope-res-{width}"
    assert canonical.neuronpedia_id == expected
    assert id_of(page("gemma", f"{width}-l0-{canonical.l0}", layer)) == expected
    assert id_of(page("gemma", f"{width}-canonical", layer)) == expected


def test_every_sae_of_every_family_is_found_by_its_own_name():
    """A folder may call the trainer as the registry calls the SAE."""
    found = 0
    for family in folder_saes._FAMILIES:
        for sae, facts in folder_saes._saes(family):
            mark = facts["site"] or ""
            trainer = "goodfire" if "goodfire" in sae.release else sae.sae_id
            if "scope" in sae.release and "llama" not in sae.release and mark != "res":
                trainer = f"{mark}-{re.sub(r'^layer_[0-9]+.', '', trainer)}"
            assert {id_of(page(model, trainer, sae.layer)) for model in family.models} == {sae.neuronpedia_id}
            found += 1
    assert found == 1713


MODELS = ("", "gemma", "gemma-2-2b", "gemma-2-9b-it", "gemma-2-27b-it", "gemma-3-4b", "gemma-3-27b-it", "llama",
          "llama3.1-8b-it", "llama3.3-70b", "qwen", "gpt-oss-20b")  # fmt: skip


@given(
    st.sampled_from(MODELS),
    st.sampled_from(["", "res-", "att-", "mlp_", "transcoder-", "lxr_", "lxa_", "l7m_", "resid_post_layer_11_"]),
    st.sampled_from(["16k", "65k", "131k", "262k", "1m", "8x", "32x", "32k", "trainer_1", "0", "goodfire"]),
    st.one_of(
        st.sampled_from(["", "-canonical", "-medium", "-l0-small-affine"]), st.integers(0, 200).map("-l0-{}".format)
    ),
    st.integers(-2, 60),
)
def test_linked_page_is_of_the_asked_layer(model, site, width, rest, layer):
    found = id_of(page(model, site + width + rest, layer))
    if found is not None:
        assert layer in {sae.layer for sae in REGISTRY.values() if sae.neuronpedia_id == found}
        assert found.split("/")[1].startswith(f"{layer}-")


# ----------------------------------------------------------------------------
# What the metadata says.


@pytest.mark.parametrize(
    ("release", "sae_id", "expected"),
    [
        ("gemma-scope-9b-pt-res", "layer_20/width_131k/average_l0_114", ANCESTOR),
        ("gemma-scope-9b-pt-res", "layer_1/width_16k/average_l0_69", "gemma-2-9b/1-gemmascope-res-16k"),
        ("gemma-scope-9b-pt-res-canonical", "layer_20/width_131k/canonical", ANCESTOR),
        ("gemma-scope-9b-pt-att-canonical", "layer_7/width_16k/canonical", "gemma-2-9b/7-gemmascope-att-16k"),
        ("gemma-scope-9b-pt-mlp", "layer_0/width_16k/average_l0_50", "gemma-2-9b/0-gemmascope-mlp-16k"),
        ("gemma-scope-9b-it-res-canonical", "layer_20/width_131k/canonical", "gemma-2-9b-it/20-gemmascope-res-131k"),
        ("gemma-scope-9b-it-res", "layer_20/width_131k/average_l0_81", "gemma-2-9b-it/20-gemmascope-res-131k"),
        ("gemma-scope-2b-pt-res", "layer_5/width_1m/average_l0_114", "gemma-2-2b/5-gemmascope-res-1m"),
        ("gemma-scope-2b-pt-mlp-canonical", "layer_25/width_65k/canonical", "gemma-2-2b/25-gemmascope-mlp-65k"),
        ("gemma-scope-2b-pt-transcoders", "layer_0/width_16k/average_l0_76", "gemma-2-2b/0-gemmascope-transcoder-16k"),
        ("gemma-scope-27b-pt-res-canonical", "layer_34/width_131k/canonical", "gemma-2-27b/34-gemmascope-res-131k"),
        ("gemma-scope-2-4b-pt-res", "layer_17_width_1m_l0_medium", "gemma-3-4b/17-gemmascope-2-res-1m"),
        ("gemma-scope-2-4b-it-res", "layer_17_width_16k_l0_medium", "gemma-3-4b-it/17-gemmascope-2-res-16k"),
        (
            "gemma-scope-2-4b-it-transcoders-all",
            "layer_0_width_16k_l0_small_affine",
            "gemma-3-4b-it/0-gemmascope-2-transcoder-16k",
        ),
        ("llama_scope_lxr_32x", "l15r_32x", "llama3.1-8b/15-llamascope-res-131k"),
        ("llama_scope_lxm_32x", "l15m_32x", "llama3.1-8b/15-llamascope-mlp-131k"),
        ("llama_scope_lxa_8x", "l3a_8x", "llama3.1-8b/3-llamascope-att-32k"),
        ("llama-3.1-8b-instruct-andyrdt", "resid_post_layer_11_trainer_1", "llama3.1-8b-it/11-resid-post-aa"),
        ("qwen2.5-7b-instruct-andyrdt", "resid_post_layer_27_trainer_1", "qwen2.5-7b-it/27-resid-post-aa"),
        ("gpt-oss-20b-andyrdt", "resid_post_layer_3_trainer_0", "gpt-oss-20b/3-resid-post-aa"),
        ("goodfire-llama-3.1-8b-instruct", "layer_19", "llama3.1-8b-it/19-resid-post-gf"),
        ("goodfire-llama-3.3-70b-instruct", "layer_50", "llama3.3-70b-it/50-resid-post-gf"),
        ("mwhanna-qwen3-4b-transcoders", "layer_9", "qwen3-4b/9-transcoder-hp"),
        ("gpt2-small-res-jb", "blocks.11.hook_resid_post", "gpt2-small/12-res-jb"),
    ],
)
def test_registry_name_gives_its_page(release, sae_id, expected):
    found = page(sae_release=release, sae_id=sae_id)
    assert id_of(found) == expected
    assert found.reason == f"Found in the SAELens registry by the metadata's sae_id '{sae_id}' of release '{release}'."


@pytest.mark.parametrize(
    ("release", "sae_id"),
    [
        ("gemma-scope-9b-pt-res", "layer_2/width_16k/average_l0_8"),
        ("pythia-70m-deduped-res-sm", "blocks.0.hook_resid_pre"),
        ("gemma-scope-2b-pt-res-canonical", "layer_20/width_131k/canonical"),
        ("gemma-scope-2-4b-it-res", "layer_17_width_16k_l0_small"),
        ("qwen-scope-3", "layer_20"),
    ],
)
def test_registry_name_without_a_page_is_not_linked(release, sae_id):
    assert page("gemma", "131k-l0-114", 20, sae_release=release, sae_id=sae_id) == FeaturePages(
        None, f"The SAELens registry has no Neuronpedia page for '{sae_id}' of release '{release}'."
    )


def test_every_sae_of_the_table_is_linked_at_its_layer_only():
    for (release, sae_id), sae in REGISTRY.items():
        for layer in (None, sae.layer):
            assert id_of(page(layer=layer, sae_release=release, sae_id=sae_id)) == sae.neuronpedia_id
        for layer in {-1, 0, sae.layer + 1, 20} - {sae.layer}:
            assert id_of(page(layer=layer, sae_release=release, sae_id=sae_id)) is None


def test_table_is_clean():
    assert len(REGISTRY) == 2858
    canonical = {sae.neuronpedia_id for sae in REGISTRY.values() if sae.release.endswith("-canonical")}
    for sae in REGISTRY.values():
        layer, _, source_set = sae.neuronpedia_id.split("/")[1].partition("-")
        if sae.neuronpedia_id != "gpt2-small/12-res-jb":
            assert int(layer) == sae.layer
        if l0 := re.search(r"__l0-(\d+)", source_set):
            assert int(l0[1]) == sae.l0
            assert sae.sae_id.endswith(f"_l0_{sae.l0}")
        if named := re.search(r"average_l0_(\d+)$", sae.sae_id):
            assert int(named[1]) == sae.l0
        if named := re.search(r"width_(\d+[km])/", sae.sae_id):
            assert named[1] == sae.width
    names = Counter(sae.neuronpedia_id for sae in REGISTRY.values())
    assert {i for i, n in names.items() if n > 1} <= canonical


def test_order_of_evidence():
    folder = {"model": "gemma", "trainer": "131k-l0-114", "layer": 20}
    names = {"sae_release": "gemma-scope-9b-it-res-canonical", "sae_id": "layer_20/width_131k/canonical"}
    unknown = {"sae_release": "mine", "sae_id": "mine"}
    given_id = {"neuronpedia_id": "gemma-2-9b/20-gemmascope-res-16k"}
    unnamed = folder | {"trainer": "mine"}
    mine = {"template": "http://localhost:3000/{feature_id}"}
    assert id_of(page(**folder)) == ANCESTOR
    assert id_of(page(**folder, **unknown)) is None
    assert id_of(page(**unnamed, **unknown, **given_id)) == "gemma-2-9b/20-gemmascope-res-16k"
    assert id_of(page(**unnamed, **given_id)) == "gemma-2-9b/20-gemmascope-res-16k"
    assert id_of(page(**unnamed, **names, **given_id)) == "gemma-2-9b-it/20-gemmascope-res-131k"
    assert page(**folder, **names, **given_id, **mine).template == "http://localhost:3000/{feature_id}"


def test_id_in_the_metadata():
    """A model that nothing else knows is linked by the id alone."""
    found = page("mine", "1", 3, neuronpedia_id="my-model/3-my-saes")
    assert id_of(found) == "my-model/3-my-saes"
    assert found.reason == "Found by the metadata's neuronpedia_id 'my-model/3-my-saes'."


def test_id_filed_under_the_index_after_its_layer():
    assert id_of(page(layer=11, neuronpedia_id="gpt2-small/12-res-jb")) == "gpt2-small/12-res-jb"
    assert id_of(page(layer=12, neuronpedia_id="gpt2-small/12-res-jb")) is None


@pytest.mark.parametrize(
    "wrong", ["gemma-2-9b/20-gemmascope-res-131k__l0-12", "gemma-2-9b/20-gemmascope-res-131k__l0-10"]
)
def test_id_that_saelens_gives_by_mistake_is_passed_over(wrong):
    slip = (
        f" The metadata's neuronpedia_id '{wrong}' is not used: "
        "the SAELens registry has no SAE of this layer, width and L0."
    )
    found = page("gemma", "131k-l0-114", 20, neuronpedia_id=wrong)
    assert id_of(found) == ANCESTOR
    assert found.reason == page("gemma", "131k-l0-114", 20).reason + slip
    assert page("demo", "1", 20, neuronpedia_id=wrong) == FeaturePages(None, page("demo", "1", 20).reason + slip)
    named = {"sae_release": "gemma-scope-9b-pt-res", "sae_id": "layer_2/width_16k/average_l0_8"}
    assert page("gemma", "16k-l0-8", 2, **named, neuronpedia_id=wrong) == FeaturePages(
        None,
        "The SAELens registry has no Neuronpedia page for 'layer_2/width_16k/average_l0_8' "
        "of release 'gemma-scope-9b-pt-res'." + slip,
    )


@pytest.mark.parametrize(
    "older",
    [
        "gemma-2-2b/5-gemmascope-res-1m__l0-114",
        "gemma-2-9b/0-gemmascope-mlp-16k__l0-50",
        "gemma-2-9b/1-gemmascope-res-16k__l0-69",
        "gemma-2-9b/31-gemmascope-res-16k__l0-114",
        "gemma-2-9b/20-gemmascope-res-131k__l0-114",
    ],
)
def test_canonical_page_of_the_same_weights_is_preferred(older):
    found = page(neuronpedia_id=older)
    assert id_of(found) == older.partition("__")[0]
    assert found.reason == f"Found by the metadata's neuronpedia_id '{older}': the canonical page of the same weights."


@pytest.mark.parametrize(
    ("release", "sae_id", "other", "fault"),
    [
        (
            "gemma-scope-9b-pt-res",
            "layer_20/width_131k/average_l0_114",
            f"{ANCESTOR}__l0-12",
            "says L0 12 instead of 114",
        ),
        (
            "gemma-scope-9b-pt-res-canonical",
            "layer_2/width_16k/canonical",
            f"{ANCESTOR}__l0-10",
            "says layer 20 instead of 2, width 131k instead of 16k, L0 10 instead of canonical",
        ),
        (
            "gemma-scope-9b-it-res-canonical",
            "layer_20/width_131k/canonical",
            ANCESTOR,
            "says model gemma-2-9b instead of gemma-2-9b-it",
        ),
        (
            "gemma-scope-9b-pt-mlp-canonical",
            "layer_20/width_131k/canonical",
            ANCESTOR,
            "says site res instead of mlp",
        ),
        (
            "gemma-scope-9b-pt-res",
            "layer_1/width_16k/average_l0_69",
            "gemma-2-9b/1-gemmascope-res-16k__l0-69",
            "is not the canonical page of these weights",
        ),
        (
            "gemma-scope-9b-pt-res-canonical",
            "layer_20/width_131k/canonical",
            f"{ANCESTOR}__l0-114",
            "is not the canonical page of these weights",
        ),
    ],
)
def test_registry_is_preferred_to_an_id_that_disagrees(release, sae_id, other, fault):
    alone = page(sae_release=release, sae_id=sae_id)
    found = page(sae_release=release, sae_id=sae_id, neuronpedia_id=other)
    assert found.template == alone.template
    assert found.reason == f"{alone.reason} Preferred to the metadata's neuronpedia_id '{other}', which {fault}."
    assert page(sae_release=release, sae_id=sae_id, neuronpedia_id=alone.source) == alone


@pytest.mark.parametrize(
    ("sae_id", "given_id", "differs"),
    [
        ("layer_2/width_16k/average_l0_8", ANCESTOR, "layer 20 instead of 2, width 131k instead of 16k"),
        ("layer_20/width_131k/average_l0_115", f"{ANCESTOR}__l0-34", "L0 34 instead of 115"),
        # The page has no L0 in its id: the registry knows it.
        ("layer_20/width_131k/average_l0_115", ANCESTOR, "L0 114 instead of 115"),
        ("l15r_8x", "llama3.1-8b/15-llamascope-res-131k", "width 131k instead of 32k"),
        ("layer_3", "my-model/4-my-saes", "layer 4 instead of 3"),
    ],
)
def test_id_that_disagrees_with_an_unknown_sae_is_not_linked(sae_id, given_id, differs):
    found = page(sae_release="mine", sae_id=sae_id, neuronpedia_id=given_id)
    assert found.template is None
    assert differs in found.reason
    assert found.reason.startswith(
        f"The metadata's neuronpedia_id '{given_id}' disagrees with its sae_id '{sae_id}': it says "
    )


def test_id_that_agrees_with_an_unknown_sae_is_linked():
    for release, sae_id in (
        ("mine", "layer_20/width_131k/average_l0_114"),
        ("mine", "mine"),
        (None, "20"),
        ("r", None),
    ):
        assert id_of(page(sae_release=release, sae_id=sae_id, neuronpedia_id=ANCESTOR)) == ANCESTOR


def test_every_id_of_the_table_is_linked_at_its_layer_only():
    layers = defaultdict(set)
    for sae in REGISTRY.values():
        layers[sae.neuronpedia_id].add(sae.layer)
    for neuronpedia_id in list(layers)[::7]:
        own = layers[neuronpedia_id]
        assert {id_of(page(layer=layer, neuronpedia_id=neuronpedia_id)) for layer in {None} | own} == {neuronpedia_id}
        assert {id_of(page(layer=layer, neuronpedia_id=neuronpedia_id)) for layer in {-1, max(own) + 1}} == {None}


@pytest.mark.parametrize(
    "malformed",
    [
        "gemma-2-9b",
        "/20-gemmascope-res-131k",
        "gemma-2-9b/",
        "gemma-2-9b/20",
        "gemma-2-9b/res-131k",
        "gemma-2-9b/020-gemmascope-res-131k",
        "gemma-2-9b/20-gemmascope-res-131k/7",
        "gemma-2-9b/20-gemmascope-res-131k\n",
        "gemma-2-9b/20-gemmascope res",
        "gemma-2-9b/20-gemmascope%2fres",
        "gemma-2-9b/20-{feature_id}",
        "../20-gemmascope",
        "gemma-2-9b/20-x?y#z",
        "gemma-2-9b/20-é",
        "javascript:alert(1)//20-x",
    ],
)
def test_malformed_id_is_not_linked(malformed):
    """The folder alone would be linked, but a source that says something else about itself is not guessed at."""
    assert page("gemma", "131k-l0-114", 20, neuronpedia_id=malformed) == FeaturePages(
        None,
        f"The metadata's neuronpedia_id {malformed!r} does not have the form modelId/layer-sourceSet, "
        "such as gemma-2-9b/20-gemmascope-res-131k.",
    )


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"neuronpedia_id": ANCESTOR}, f"The metadata's neuronpedia_id '{ANCESTOR}' is not of layer 9."),
        (
            {"sae_release": "gemma-scope-9b-pt-res-canonical", "sae_id": "layer_20/width_131k/canonical"},
            "The metadata's sae_id 'layer_20/width_131k/canonical' of release 'gemma-scope-9b-pt-res-canonical' "
            "is not of layer 9.",
        ),
        (
            {"sae_release": "qwen-scope-3", "sae_id": "layer_9"},
            "The SAELens registry has no Neuronpedia page for 'layer_9' of release 'qwen-scope-3'.",
        ),
        (
            {"sae_release": "qwen-scope-3"},
            "The metadata has sae_release 'qwen-scope-3' but no sae_id, and both are needed.",
        ),
        ({"sae_id": "layer_9"}, "The metadata has sae_id 'layer_9' but no sae_release, and both are needed."),
    ],
)
def test_metadata_that_cannot_be_linked_says_why(named, reason):
    assert page("gemma", "131k-l0-114", 9, **named) == FeaturePages(None, reason)


# ----------------------------------------------------------------------------
# What the files and the folder contradict.


@pytest.mark.parametrize(
    ("named", "num_features", "neuronpedia_id", "width"),
    [
        ({"model": "gemma", "trainer": "16k-l0-68", "layer": 20}, 600, "gemma-2-9b/20-gemmascope-res-16k", "16k"),
        ({"model": "gemma", "trainer": "16k-l0-68", "layer": 20}, 131_072, "gemma-2-9b/20-gemmascope-res-16k", "16k"),
        ({"model": "gemma", "trainer": "131k-l0-114", "layer": 20}, 16_384, ANCESTOR, "131k"),
        ({"model": "gemma", "trainer": "1m-l0-101", "layer": 20}, 524_288, "gemma-2-9b/20-gemmascope-res-1m", "1m"),
        ({"model": "llama", "trainer": "8x", "layer": 3}, 131_072, "llama3.1-8b/3-llamascope-res-32k", "32k"),
        ({"neuronpedia_id": ANCESTOR}, 16_384, ANCESTOR, "131k"),
        ({"neuronpedia_id": "mine/3-my-saes-24k"}, 16_384, "mine/3-my-saes-24k", "24k"),
        (
            {"sae_release": "llama_scope_lxr_32x", "sae_id": "l15r_32x"},
            32_768,
            "llama3.1-8b/15-llamascope-res-131k",
            "131k",
        ),
        ({"neuronpedia_id": "gpt2-small/3-res_post_32k-oai"}, 131_072, "gpt2-small/3-res_post_32k-oai", "32k"),
        ({"neuronpedia_id": "gpt2-small/8-res_fs12288-jb"}, 24_576, "gpt2-small/8-res_fs12288-jb", "12288"),
    ],
)
def test_files_of_another_width_are_not_linked(named, num_features, neuronpedia_id, width):
    """A file with 600 or 131,072 features in a folder named …16k-l0-68 was linked to the dictionary of 16,384."""
    assert id_of(page(**named)) == neuronpedia_id
    assert page(**named, num_features=num_features) == FeaturePages(
        None,
        f"The files have {num_features:,} features, but the SAE of {neuronpedia_id} is {width} wide.",
    )


@pytest.mark.parametrize(
    ("named", "num_features"),
    [
        ({"model": "gemma", "trainer": "16k-l0-68", "layer": 20}, 16_384),
        ({"model": "gemma", "trainer": "131k-l0-114", "layer": 20}, 131_072),
        ({"model": "gemma", "trainer": "1m-l0-101", "layer": 20}, 1_048_576),
        ({"model": "gemma-2-2b", "trainer": "524k-canonical", "layer": 12}, 524_288),
        ({"model": "gemma-3-4b", "trainer": "262k-medium", "layer": 17}, 262_144),
        ({"model": "llama", "trainer": "8x", "layer": 3}, 32_768),
        ({"neuronpedia_id": "mine/3-my-saes-24k"}, 24_576),
        ({"neuronpedia_id": "mine/3-my-saes-24k"}, 24_000),
        ({"neuronpedia_id": "gpt2-small/3-res_post_128k-oai"}, 131_072),
        ({"neuronpedia_id": "gpt2-small/8-res_fs12288-jb"}, 12_288),
        # The registry does not say how wide these are; 70m is the model's size.
        ({"model": "qwen", "trainer": "1", "layer": 15}, 8),
        ({"neuronpedia_id": "gpt2-small/3-res-jb"}, 8),
        ({"neuronpedia_id": "pythia-70m-deduped/3-res-sm"}, 8),
        ({"template": "http://localhost:3000/20-gemmascope-res-131k/{feature_id}"}, 8),
    ],
)
def test_files_of_the_right_or_an_unknown_width_are_linked(named, num_features):
    assert page(**named, num_features=num_features) == page(**named)
    assert page(**named).template


SAYS = "disagrees with model 'gemma' and trainer {!r}: it says {}."
RES, MLP, IT = (f"gemma-scope-9b-{part}-canonical" for part in ("pt-res", "pt-mlp", "it-res"))
OURS = "131k-l0-114"


@pytest.mark.parametrize(
    ("trainer", "said", "differs"),
    [
        (OURS, "llama3.1-8b/20-llamascope-res-131k", "model llama3.1-8b instead of gemma-2-9b, L0 50 instead of 114"),
        (OURS, "gemma-2-2b/20-gemmascope-res-65k", "model gemma-2-2b instead of gemma-2-9b, width 65k instead of 131k"),
        ("mine", "gemma-2-2b/20-gemmascope-res-65k", "model gemma-2-2b instead of gemma-2-9b"),
        (OURS, "gemma-2-9b/20-gemmascope-res-16k", "width 16k instead of 131k, L0 68 instead of 114"),
        ("131k-l0-34", ANCESTOR, "L0 114 instead of 34"),
        ("mlp-131k-canonical", ANCESTOR, "site res instead of mlp, L0 114 instead of canonical"),
        ("131k", "gemma-2-9b/20-gemmascope-att-131k", "site att instead of res"),
        (OURS, (MLP, "layer_20/width_131k/canonical"), "site mlp instead of res, L0 93 instead of 114"),
        (OURS, (RES, "layer_20/width_16k/canonical"), "width 16k instead of 131k, L0 68 instead of 114"),
        (OURS, (IT, "layer_20/width_131k/canonical"), "L0 81 instead of 114"),
        (OURS, ("llama_scope_lxr_32x", "l20r_32x"), "model llama3.1-8b instead of gemma-2-9b, L0 50 instead of 114"),
    ],
)
def test_metadata_that_contradict_the_folder_are_not_linked(trainer, said, differs):
    """The id or the names in the metadata were linked, whatever the folder called the SAE."""
    if isinstance(said, str):
        fields, name = {"neuronpedia_id": said}, f"neuronpedia_id {said!r}"
    else:
        fields, name = (
            dict(zip(("sae_release", "sae_id"), said, strict=True)),
            f"sae_id {said[1]!r} of release {said[0]!r}",
        )
    found = page("gemma", trainer, 20, **fields)
    assert found == FeaturePages(None, f"The metadata's {name} {SAYS.format(trainer, differs)}")


@pytest.mark.parametrize(
    ("model", "trainer", "said"),
    [
        ("gemma", "131k-l0-114", ANCESTOR),
        ("gemma", "131k-canonical", ANCESTOR),
        ("gemma-2-9b", "mine", ANCESTOR),
        # The chat model that was read with the base model's SAE, and a tuned model.
        ("gemma-2-9b-it", "131k", ANCESTOR),
        ("my-tuned-gemma", "131k-l0-114", ANCESTOR),
        ("llama", "20", "llama3.1-8b/20-llamascope-res-131k"),
        ("gemma", "131k-l0-114", "mine/20-my-saes"),
        (None, None, ANCESTOR),
    ],
)
def test_metadata_that_do_not_contradict_the_folder_are_linked(model, trainer, said):
    assert id_of(page(model, trainer, 20, neuronpedia_id=said)) == said


def test_width_of_a_folder_whose_model_has_no_pages():
    found = page("my-model", "65k", 20, neuronpedia_id=ANCESTOR)
    assert found.reason == (
        f"The metadata's neuronpedia_id '{ANCESTOR}' disagrees with model 'my-model' and trainer '65k': "
        "it says width 131k instead of 65k."
    )


# ----------------------------------------------------------------------------
# Templates and URLs.


@pytest.mark.parametrize(
    "template",
    [
        "https://www.neuronpedia.org/gemma-2-9b/20-gemmascope-res-131k/{feature_id}",
        "http://localhost:3000/m/s/{feature_id}?embed=true",
        "HTTPS://example.org?f={feature_id}&50%25",
    ],
)
def test_template_of_the_user_is_taken_as_it_is(template):
    found = page("qwen", template=template)
    assert found == FeaturePages(template, "The template given by the user.", source=None)
    assert found.describes is None
    assert found.url(7) == template.replace("{feature_id}", "7")


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("", "holds {feature_id} 0 times instead of once"),
        ("https://x.org/", "holds {feature_id} 0 times instead of once"),
        ("https://x.org/{feature}", "holds {feature_id} 0 times instead of once"),
        ("https://x.org/{feature_id}/{feature_id}", "holds {feature_id} 2 times instead of once"),
        ("https://x.org/{layer}/{feature_id}", "holds braces other than {feature_id}"),
        ("https://x.org/{{feature_id}}", "holds braces other than {feature_id}"),
        ("https://x.org/}{feature_id}", "holds braces other than {feature_id}"),
        ("https://x.org/a b/{feature_id}", "holds a character that a URL cannot hold"),
        ('https://x.org/"onclick="{feature_id}', "holds a character that a URL cannot hold"),
        ("https://x.org/{feature_id}\n", "holds a character that a URL cannot hold"),
        ("javascript:alert({feature_id})", "does not start with http:// or https:// and a host"),
        ("ftp://x.org/{feature_id}", "does not start with http:// or https:// and a host"),
        ("x.org/{feature_id}", "does not start with http:// or https:// and a host"),
        ("https:///{feature_id}", "does not start with http:// or https:// and a host"),
        ("https://{feature_id}/x", "does not start with http:// or https:// and a host"),
        ("https://[x/{feature_id}", "has a host that cannot be read"),
    ],
)
def test_template_that_is_no_feature_url_is_refused(template, fault):
    with pytest.raises(DataError) as error:
        page("gemma", "131k-l0-114", 20, template=template)
    assert str(error.value) == (
        f"The Neuronpedia template {template!r} {fault}. "
        "Give one like https://www.neuronpedia.org/gemma-2-9b/20-gemmascope-res-131k/{feature_id}."
    )


@given(st.lists(st.integers(0, 2**31 - 1)))
def test_urls_are_what_url_says(ids):
    found = page("gemma", "131k-l0-114", 20)
    urls = found.urls(np.array(ids, dtype=np.int32))
    assert urls.dtype == "str"
    assert list(urls) == [found.url(feature_id) for feature_id in ids]


@pytest.mark.parametrize("n", [0, 3])
def test_urls_are_missing_where_there_is_no_page(n):
    urls = page("qwen").urls(np.arange(n, dtype=np.int32))
    assert urls.dtype == "str"
    assert len(urls) == n
    assert urls.isna().all()
    assert page("qwen").url(7) is None


def test_urls_are_assigned_by_position():
    frame = pd.DataFrame({"feature_id": np.array([5, 6], dtype=np.int32)}, index=[1, 0])
    frame = frame.assign(url=page("llama", "8x", 2).urls(frame["feature_id"].to_numpy()))
    assert list(frame["url"].str[-2:]) == ["/5", "/6"]


def test_page_says_which_model_it_is_about():
    assert page("gemma-2-2b-it", "16k-canonical", 3).describes == (
        "The page, its examples and its explanation describe the feature on gemma-2-2b, "
        "the model that the SAE was trained on."
    )
    assert " on llama3.1-8b-it, " in page("llama", "goodfire", 19).describes
    assert page("demo", "1", 3).describes is None


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("http://[::1]:3000/m/s/{feature_id}", "http://[::1]:3000/m/s/7?embed=true&embedtest=false&embedsteer=false"),
        ("https://x.org?f={feature_id}&50%25", "https://x.org?f=7&50%25&embed=true&embedtest=false&embedsteer=false"),
        ("https://x.org/{feature_id}?embedtest=true&embed=", "https://x.org/7?embedtest=true&embed=&embedsteer=false"),
        ("https://x.org/a?b#c/{feature_id}", "https://x.org/a?b&embed=true&embedtest=false&embedsteer=false#c/7"),
        ("https://x.org/{feature_id}?", "https://x.org/7?embed=true&embedtest=false&embedsteer=false"),
    ],
)
def test_page_to_embed(template, expected):
    assert page(template=template).embed_url(7) == expected


def test_page_to_embed_is_neuronpedias_own():
    assert page("gemma", "131k-l0-114", 20).embed_url(np.int32(7)) == (
        f"https://www.neuronpedia.org/{ANCESTOR}/7?embed=true&embedtest=false&embedsteer=false"
    )
    assert page("demo").embed_url(7) is None


def test_quick_list():
    found = quick_list_url(page("llama", "32x", 10), np.array([7, 131071], dtype=np.int32), "a & b/“c” +\udcff")
    assert found == (
        "https://www.neuronpedia.org/quick-list/?name=a%20%26%20b%2F%E2%80%9Cc%E2%80%9D%20%2B%3F&features="
        "%5B%7B%22modelId%22%3A%22llama3.1-8b%22%2C%22layer%22%3A%2210-llamascope-res-131k%22%2C%22index%22%3A%227%22%7D%2C"
        "%7B%22modelId%22%3A%22llama3.1-8b%22%2C%22layer%22%3A%2210-llamascope-res-131k%22%2C%22index%22%3A%22131071%22%7D%5D"
    )


def test_quick_list_is_read_as_neuronpedia_reads_it():
    """Its page takes name and features from the query, parses the features as JSON, and compares indices as text."""
    ids = [2**17 - 1 - step for step in range(50)]
    found = quick_list_url(page("llama", "32x", 10), ids, "Features of my run")
    query = parse_qs(urlsplit(found).query, strict_parsing=True)
    assert query.keys() == {"name", "features"}
    assert query["name"] == ["Features of my run"]
    assert json.loads(query["features"][0]) == [
        {"modelId": "llama3.1-8b", "layer": "10-llamascope-res-131k", "index": str(feature_id)} for feature_id in ids
    ]
    assert len(found) < 8000


@pytest.mark.parametrize("found", [page("demo"), page(template="https://www.neuronpedia.org/m/1-s/{feature_id}")])
def test_quick_list_needs_a_known_source(found):
    assert quick_list_url(found, [1], "x") is None


@pytest.mark.parametrize(
    ("ids", "name", "message"),
    [
        ([], "x", "A Neuronpedia quick list takes 1 to 50 features, but got 0."),
        (range(51), "x", "A Neuronpedia quick list takes 1 to 50 features, but got 51."),
        ([1], " ", "A Neuronpedia quick list needs a name, but it is blank."),
    ],
)
def test_quick_list_that_neuronpedia_would_not_show_is_refused(ids, name, message):
    with pytest.raises(DataError) as error:
        quick_list_url(page("llama", "32x", 10), ids, name)
    assert str(error.value) == message


# ----------------------------------------------------------------------------
# The script that makes the table.

YAML = """
scope-res-canonical:
  repo_id: someone/scope-res
  saes:
  - {id: layer_3/width_16k/canonical, path: layer_3/width_16k/average_l0_70, neuronpedia: m/3-scope-res-16k}
scope-res:
  repo_id: someone/scope-res
  saes:
  - {id: layer_3/width_16k/average_l0_70, path: layer_3/width_16k/average_l0_70, neuronpedia: m/3-scope-res-16k__l0-7}
  - {id: layer_3/width_16k/average_l0_9, path: layer_3/width_16k/average_l0_9, neuronpedia: m/3-scope-res-16k__l0-9}
  - {id: layer_4/width_16k/average_l0_9, path: layer_4/width_16k/average_l0_9, neuronpedia: m/3-scope-res-16k__l0-9}
  - {id: layer_5/width_16k/average_l0_9, path: layer_5/width_16k/average_l0_9, neuronpedia: m/5-scope-res-65k__l0-9}
  - {id: layer_6/width_16k/average_l0_9, path: layer_6/width_16k/average_l0_9, l0: 9.0}
scope-again:
  repo_id: someone/scope-res
  saes:
  - {id: layer_3/width_16k/average_l0_9, path: layer_3/width_16k/average_l0_9, l0: 9.0}
"""
TABLE = """\
# From the registry of SAELens unknown, MIT licence: see LICENSE-sae-lens.
release\tsae_id\tlayer\twidth\tl0\tneuronpedia_id
scope-again\tlayer_3/width_16k/average_l0_9\t3\t16k\t9\tm/3-scope-res-16k__l0-9
scope-res\tlayer_3/width_16k/average_l0_70\t3\t16k\t70\tm/3-scope-res-16k
scope-res\tlayer_3/width_16k/average_l0_9\t3\t16k\t9\tm/3-scope-res-16k__l0-9
scope-res-canonical\tlayer_3/width_16k/canonical\t3\t16k\t70\tm/3-scope-res-16k
"""
COUNTS = """\
not trusted: scope-res layer_3/width_16k/average_l0_70 → m/3-scope-res-16k__l0-7 (L0 70 ≠ 7)
not trusted: scope-res layer_4/width_16k/average_l0_9 → m/3-scope-res-16k__l0-9 (layer 4 ≠ 3)
not trusted: scope-res layer_5/width_16k/average_l0_9 → m/5-scope-res-65k__l0-9 (width 16k ≠ 65k)
     2 dropped: its only page is not trusted
     1 dropped: no page
     2 kept: its own page
     1 kept: no page of its own, but the same weights have one
     1 kept: the canonical page of the same weights instead of its own
     4 rows written to table.tsv
"""


def test_registry_is_extracted_without_its_faults(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.yaml").write_text(YAML, encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["extract_registry.py", "registry.yaml", "table.tsv"])
    extract_registry.main()
    assert (tmp_path / "table.tsv").read_text(encoding="utf-8") == TABLE
    assert capsys.readouterr().out == COUNTS
