import re
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff import neuronpedia
from featurediff.errors import DataError
from featurediff.neuronpedia import Page, find_page
from scripts import extract_registry

REGISTRY = neuronpedia._registry()
ANCESTOR = "gemma-2-9b/20-gemmascope-res-131k"


def page(model=None, trainer=None, layer=None, **named):
    return find_page(model=model, trainer=trainer, layer=layer, **named)


def id_of(found):
    """Return the Neuronpedia id in a page's template."""
    match = found.template and re.fullmatch(
        r"https://www\.neuronpedia\.org/([^/]+/[^/]+)/\{feature_id\}", found.template
    )
    assert found.template is None or match
    return match and match[1]


@pytest.mark.parametrize(
    ("model", "trainer", "layer", "expected"),
    [
        ("gemma", "131k-l0-114", 20, ANCESTOR),
        ("gemma", "131k_l0_114", 20, ANCESTOR),
        ("Gemma", "131K-L0-114", 20, ANCESTOR),
        ("gemma-2-9b", "131k-l0-114", 20, ANCESTOR),
        ("gemma", "131k-canonical", 20, ANCESTOR),
        ("gemma", "131k-l0-121", 16, "gemma-2-9b/16-gemmascope-res-131k"),
        ("gemma", "131k-l0-109", 21, "gemma-2-9b/21-gemmascope-res-131k"),
        ("gemma", "131k-l0-34", 20, "gemma-2-9b/20-gemmascope-res-131k__l0-34"),
        ("gemma", "16k-l0-68", 20, "gemma-2-9b/20-gemmascope-res-16k"),
        ("gemma", "16k-l0-129", 0, "gemma-2-9b/0-gemmascope-res-16k"),
        ("gemma", "16k-l0-69", 1, "gemma-2-9b/1-gemmascope-res-16k"),
        ("gemma", "16k-l0-67", 2, "gemma-2-9b/2-gemmascope-res-16k"),
        ("gemma", "16k-l0-114", 31, "gemma-2-9b/31-gemmascope-res-16k"),
        ("gemma", "65k-l0-55", 20, "gemma-2-9b/20-gemmascope-res-65k"),
        ("gemma", "32k-l0-57", 20, "gemma-2-9b/20-gemmascope-res-32k"),
        ("gemma", "1m-l0-101", 20, "gemma-2-9b/20-gemmascope-res-1m"),
        ("gemma", "524k-l0-48", 20, "gemma-2-9b/20-gemmascope-res-524k"),
        ("gemma", "131k-l0-114", 19, None),
        ("gemma", "131k-l0-81", 20, None),  # the canonical L0 of the instruct model's SAE
        ("gemma", "131k-l0-12", 20, None),
        ("gemma", "131k-l0-0", 20, None),
        ("gemma", "131k-l0-114x", 20, None),
        ("gemma", "x131k-l0-114", 20, None),
        ("gemma", "131k-l0-١١٤", 20, None),
        ("gemma", "131k", 20, None),
        ("gemma", "131k-l0-114", 42, None),
        ("gemma", "131k-l0-114", -1, None),
        ("gemma-2-9b-it", "131k-l0-114", 20, None),
        ("gemma-2-2b", "16k-l0-105", 0, None),
        ("llama", "32x", 10, "llama3.1-8b/10-llamascope-res-131k"),
        ("llama", "32x", 0, "llama3.1-8b/0-llamascope-res-131k"),
        ("llama", "8x", 31, "llama3.1-8b/31-llamascope-res-32k"),
        ("llama", "32X", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "lxr_32x", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "lxr-8x", 15, "llama3.1-8b/15-llamascope-res-32k"),
        ("llama", "llamascope-32x", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "llama_scope_lxr_8x", 15, "llama3.1-8b/15-llamascope-res-32k"),
        ("llama", "llamascope-res-131k", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "l15r_32x", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "131k", 15, "llama3.1-8b/15-llamascope-res-131k"),
        ("llama", "32k", 15, "llama3.1-8b/15-llamascope-res-32k"),
        ("llama", "l15r_32x", 14, None),
        ("llama", "32x", 32, None),
        ("llama", "lxa_32x", 15, None),
        ("llama", "lxm_8x", 15, None),
        ("llama", "131k-l0-114", 15, None),
        ("llama", "16k", 15, None),
        ("llama", "1", 15, None),
        ("qwen", "1", 15, None),
        ("", "32x", 15, None),
    ],
)
def test_folder_names_its_page(model, trainer, layer, expected):
    assert id_of(page(model, trainer, layer)) == expected


@pytest.mark.parametrize("width", ["16k", "131k"])
@pytest.mark.parametrize("layer", range(42))
def test_canonical_l0_gives_the_plain_id(layer, width):
    canonical = REGISTRY["gemma-scope-9b-pt-res-canonical", f"layer_{layer}/width_{width}/canonical"]
    expected = f"gemma-2-9b/{layer}-gemmascope-res-{width}"
    assert canonical.neuronpedia_id == expected
    assert id_of(page("gemma", f"{width}-l0-{canonical.l0}", layer)) == expected
    assert id_of(page("gemma", f"{width}-canonical", layer)) == expected


def test_every_gemma_l0_of_the_table_is_found():
    saes = [sae for sae in REGISTRY.values() if sae.release == "gemma-scope-9b-pt-res"]
    assert len(saes) == 215
    for sae in saes:
        assert id_of(page("gemma", f"{sae.width}-l0-{sae.l0}", sae.layer)) == sae.neuronpedia_id


@given(
    st.sampled_from(["gemma", "llama"]),
    st.sampled_from(["16k", "131k", "1m", "8x", "32x", "lxr_8x", "32k"]),
    st.one_of(st.just(""), st.just("-canonical"), st.integers(0, 200).map("-l0-{}".format)),
    st.integers(-2, 60),
)
def test_linked_page_is_of_the_asked_layer(model, width, rest, layer):
    found = id_of(page(model, width + rest, layer))
    assert found is None or found.split("/")[1].startswith(f"{layer}-")


@given(st.sampled_from(sorted(REGISTRY)), st.one_of(st.none(), st.integers(0, 60)))
def test_linked_registry_page_is_of_the_asked_layer(name, layer):
    found = id_of(page(layer=layer, sae_release=name[0], sae_id=name[1]))
    assert (found is not None) == (layer in (None, REGISTRY[name].layer))


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (("gemma", "131k-l0-114", 20), "Gemma Scope 9b, layer 20, width 131k, canonical L0 114."),
        (("gemma", "131k-l0-34", 20), "Gemma Scope 9b, layer 20, width 131k, L0 34."),
        (("llama", "32x", 10), "Llama Scope 3.1 8B, layer 10, width 131k (32x)."),
        ((None, "32x", 10), "The model is not known."),
        (
            ("qwen", "32x", 10),
            "No Neuronpedia pages are known for the SAEs of model 'qwen', only for gemma and llama.",
        ),
        (("gemma", None, 20), "The trainer of the gemma SAE is not known."),
        (("gemma", "131k-l0-114", None), "The layer of the gemma SAE is not known."),
        (("gemma", "new", 20), "Trainer 'new' is not understood as one of Gemma Scope's, such as 131k-l0-114."),
        (("gemma", "131k-l0-114", 42), "Gemma Scope 9b has no page for layer 42; its layers are 0 to 41."),
        (
            ("gemma", "33k-l0-114", 20),
            "Gemma Scope 9b, layer 20, width 33k has no page; "
            "at this layer there are pages for width 16k, 32k, 65k, 131k, 524k and 1 more.",
        ),
        (
            ("gemma", "131k-l0-115", 20),
            "Gemma Scope 9b, layer 20, width 131k has pages for L0 114, 62, 53, 34, 19 and 3 more, not for L0 115.",
        ),
        (
            ("gemma", "131k", 5),
            "Trainer '131k' does not say which L0 is meant; "
            "Gemma Scope 9b, layer 5, width 131k has pages for L0 51, 94.",
        ),
        (("llama", "1", 10), "Trainer '1' is not understood as one of Llama Scope's, such as 8x or 32x."),
        (("llama", "l9r_8x", 10), "Trainer 'l9r_8x' is of layer 9, not of layer 10."),
        (("llama", "8x", 32), "Llama Scope has no page for layer 32; its layers are 0 to 31."),
    ],
)
def test_reason_says_how_or_why_not(named, reason):
    assert page(*named).reason == reason


# ----------------------------------------------------------------------------
# What the metadata says.


@pytest.mark.parametrize(
    ("release", "sae_id", "expected"),
    [
        ("gemma-scope-9b-pt-res", "layer_20/width_131k/average_l0_114", ANCESTOR),
        ("gemma-scope-9b-pt-res-canonical", "layer_20/width_131k/canonical", ANCESTOR),
        ("gemma-scope-9b-it-res-canonical", "layer_20/width_131k/canonical", "gemma-2-9b-it/20-gemmascope-res-131k"),
        ("gemma-scope-9b-it-res", "layer_20/width_131k/average_l0_81", "gemma-2-9b-it/20-gemmascope-res-131k"),
        ("gemma-scope-9b-pt-mlp", "layer_0/width_16k/average_l0_50", "gemma-2-9b/0-gemmascope-mlp-16k"),
        ("gemma-scope-2b-pt-res", "layer_5/width_1m/average_l0_114", "gemma-2-2b/5-gemmascope-res-1m"),
        ("llama_scope_lxa_8x", "l3a_8x", "llama3.1-8b/3-llamascope-att-32k"),
        ("llama-3.1-8b-instruct-andyrdt", "resid_post_layer_11_trainer_1", "llama3.1-8b-it/11-resid-post-aa"),
        ("gpt2-small-res-jb", "blocks.11.hook_resid_post", "gpt2-small/12-res-jb"),
        ("gemma-scope-9b-pt-res", "layer_2/width_16k/average_l0_8", None),
        ("pythia-70m-deduped-res-sm", "blocks.0.hook_resid_pre", None),
        ("gemma-scope-2b-pt-res-canonical", "layer_20/width_131k/canonical", None),
        ("qwen-scope-3", "layer_20", None),
    ],
)
def test_registry_name_gives_its_page_and_faults_are_not_linked(release, sae_id, expected):
    assert id_of(page(sae_release=release, sae_id=sae_id)) == expected


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
    given_id = {"neuronpedia_id": "gemma-2-9b/20-gemmascope-res-16k"}
    mine = {"template": "http://localhost:3000/{feature_id}"}
    assert id_of(page(**folder)) == ANCESTOR
    assert id_of(page(**folder, **names)) == "gemma-2-9b-it/20-gemmascope-res-131k"
    assert id_of(page(**folder, **names, **given_id)) == "gemma-2-9b/20-gemmascope-res-16k"
    assert page(**folder, **names, **given_id, **mine).template == "http://localhost:3000/{feature_id}"


def test_id_in_the_metadata():
    """A model that nothing else knows is linked by the id alone."""
    found = page("qwen", "1", 3, neuronpedia_id="qwen2.5-7b-it/3-resid-post-aa")
    assert id_of(found) == "qwen2.5-7b-it/3-resid-post-aa"
    assert found.reason == "The metadata's neuronpedia_id 'qwen2.5-7b-it/3-resid-post-aa'."


def test_id_filed_under_the_index_after_its_layer():
    assert id_of(page(layer=11, neuronpedia_id="gpt2-small/12-res-jb")) == "gpt2-small/12-res-jb"
    assert id_of(page(layer=12, neuronpedia_id="gpt2-small/12-res-jb")) is None


@pytest.mark.parametrize(
    "wrong", ["gemma-2-9b/20-gemmascope-res-131k__l0-12", "gemma-2-9b/20-gemmascope-res-131k__l0-10"]
)
def test_id_that_saelens_gives_by_mistake_is_passed_over(wrong):
    assert id_of(page("gemma", "131k-l0-114", 20, neuronpedia_id=wrong)) == ANCESTOR
    assert id_of(page("gemma", "16k-l0-8", 2, neuronpedia_id=wrong)) is None
    assert id_of(page("qwen", "1", 20, neuronpedia_id=wrong)) is None


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
    assert page("gemma", "131k-l0-114", 20, neuronpedia_id=malformed) == Page(
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
    assert page("gemma", "131k-l0-114", 9, **named) == Page(None, reason)


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
    assert found == Page(template, "The template given by the user.")
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


def test_table_is_read_in_20_ms():
    times = []
    for _ in range(5):
        start = time.perf_counter()
        neuronpedia._registry.__wrapped__()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02


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
