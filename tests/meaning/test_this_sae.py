"""Which rows of an explanation file are of the SAE that a source reads."""

import re

import pytest
from builders import make_source

from featurediff import load
from featurediff.errors import DataError
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.meaning.this_sae import ThisSae

PAGE = "https://www.neuronpedia.org/"
GEMMA = ThisSae(
    num_features=131_072,
    models=("gemma", "gemma-2-9b"),
    trainers=("131k-l0-114",),
    layer=20,
    page="gemma-2-9b/20-gemmascope-res-131k",
    names=("gemma_trainer131k-l0-114_layer20", "gemma_trainer131k-l0-114_layer20/personal_40", "my run"),
)
LLAMA = ThisSae(131_072, ("llama", "llama3.1-8b-it"), ("1",), 15, "llama3.1-8b-it/15-resid-post-aa")
MINE = ThisSae(8192, ("smollm2",), ("topk-8k",), 18, names=("smollm2_trainertopk-8k_layer18",))
"""An SAE that Neuronpedia does not have."""


def read(text, sae=GEMMA):
    return parse_explanations(text.encode(), "e.csv", None, sae)


def texts(text, sae=GEMMA):
    return read(text, sae).texts.to_dict()


def table(header, *cells):
    """A row for each cell or cells: what says which SAE it is of, and a text that says which row it is."""
    rows = [",".join([cell] if isinstance(cell, str) else cell) for cell in cells]
    return "\n".join([f"{header},feature_id,claude_desc", *(f"{row},7,row {n}" for n, row in enumerate(rows)), ""])


# ----------------------------------------------------------------------------
# How rows say of which SAE they are.


@pytest.mark.parametrize(
    ("header", "ours", "theirs"),
    [
        ("source", "gemma_trainer131k-l0-114_layer20", "gemma_trainer131k-l0-114_layer21"),
        ("source", "gemma_trainer131k_l0_114_layer20", "gemma_trainer131k-l0-34_layer20"),
        ("source", "gemma_trainer131k-canonical_layer20", "gemma_trainer16k-l0-68_layer20"),
        ("source", "gemma-2-9b_trainer131k-l0-114_layer20/personal_40", "llama_trainer131k-l0-114_layer20"),
        ("source", "gemma_trainer131k-l0-114_layer20_chat", "qwen_trainer1_layer15_chat"),
        ("source", "my run", "llama_trainer1_layer15"),
        ("source", "20-gemmascope-res-131k", "20-gemmascope-res-131k__l0-34"),
        ("source", "gemma-2-9b/20-gemmascope-res-131k", "gemma-2-9b/20-gemmascope-mlp-131k"),
        ("Source", "gemma", "llama"),
        ("sae", "gemma_trainer131k-l0-114_layer20", "gemma_trainer131k-l0-114_layer9"),
        ("neuronpedia_id", "gemma-2-9b/20-gemmascope-res-131k__l0-114", "gemma-2-9b/20-gemmascope-res-131k__l0-12"),
        ("modelId,layer", ("gemma-2-9b", "20-gemmascope-res-131k"), ("gemma-2-9b-it", "20-gemmascope-res-131k")),
        ("modelId,layer", ("gemma-2-9b", "20-gemmascope-res-131k"), ("gemma-2-9b", "20-gemmascope-res-16k")),
        ("modelId,layer", ("google/gemma-2-9b", "20"), ("google/gemma-2-9b", "21")),
        ("model,layer", ("gemma", "20.0"), ("llama", "20.0")),
        ("model,layer", ("chat", "20"), ("chat", "21")),
        ("layer", "20", "2"),
        ("layer", "L20", "layer_0"),
        ("hook_name", "blocks.20.hook_resid_post", "blocks.9.hook_resid_post"),
        ("model,trainer,layer", ("gemma", "131k-l0-114", "20"), ("gemma", "16k-l0-68", "20")),
        (
            "sae_release,sae_id",
            ("gemma-scope-9b-pt-res", "layer_20/width_131k/average_l0_114"),
            ("gemma-scope-9b-pt-res", "layer_20/width_131k/average_l0_34"),
        ),
        ("url", f"{PAGE}gemma-2-9b/20-gemmascope-res-131k/7", f"{PAGE}gemma-2-9b/21-gemmascope-res-131k/7"),
        ("link", f"{PAGE}gemma-2-9b/20-gemmascope-res-131k/7?embed=true", f"{PAGE}gpt2-small/6-res-jb/7"),
        ("Link", "http://localhost/gemma-2-9b/20-gemmascope-res-131k/7", f"{PAGE}llama3.1-8b/20-llamascope-res-131k/7"),
        ("link", "https://x.app/?model=gemma&layer=20&trainer=131k-l0-114&fids=7", "https://x.app/?layer=9&fids=7"),
    ],
)  # fmt: skip
def test_only_rows_of_the_sae_are_used(header, ours, theirs):
    """The last row of a feature counted, whatever SAE it was of."""
    found = read(table(header, ours, theirs))
    assert found.texts.to_dict() == {7: "row 0"}
    (note,) = found.left_out
    assert re.fullmatch(r"`e\.csv` has 1 row of other SAEs \('.+'\): left out\.", note)
    alone = read(table(header, ours))
    assert (alone.texts.to_dict(), alone.left_out) == ({7: "row 0"}, ())
    with pytest.raises(DataError, match=r"no row of it can be told to be of the SAE of this source\. Expected"):
        read(table(header, theirs))


def test_lists_of_persona_subspace():
    """Its `type` is one of features, and its links lead to another dashboard."""
    header = "feature_id,chat_desc,pt_desc,type,source,token,link,claude_desc"
    link = "https://x.ngrok-free.app/?model={}&layer={}&trainer=1&fids={}"
    rows = [
        f"7,chat,pt,entity,qwen_trainer1_layer15,asst,{link.format('qwen', 15, 7)},of qwen",
        f"7,chat,pt,entity,llama_trainer1_layer15,asst,{link.format('llama', 15, 7)},of llama",
        f"9,chat of llama,pt,semantic,llama_trainer1_layer15,newline,{link.format('llama', 15, 9)},",
        f"9,chat,pt,semantic,llama_trainer1_layer11,newline,{link.format('llama', 11, 9)},of layer 11",
    ]
    found = read("\n".join([header, *rows, ""]), LLAMA)
    assert found.texts.to_dict() == {7: "of llama", 9: "chat of llama"}
    assert found.chosen.columns.tolist() == ["explanation"]
    assert found.left_out == (
        "`e.csv` has 2 rows of other SAEs ('qwen_trainer1_layer15', 'llama_trainer1_layer11'): left out.",
    )


def test_exports_of_neuronpedia():
    rows = [
        '{"modelId": "gemma-2-9b", "layer": "20-gemmascope-res-131k", "index": "7", "description": "ours"}',
        '{"modelId": "gemma-2-9b", "layer": "20-gemmascope-res-16k", "index": "7", "description": "theirs"}',
    ]
    assert texts("\n".join(rows)) == {7: "ours"}


# ----------------------------------------------------------------------------
# Rows that do not say it, or not certainly.


@pytest.mark.parametrize(
    "text",
    [
        "feature_id,claude_desc\n7,row 0\n",
        table("link", "https://example.org/7"),
        table("link", ""),
        table("source", ""),
        table("model", "gpt-4o-mini"),
        table("model", "Llama-3.3-70B-Instruct-AWQ"),
        table("model", "chat"),
        table("source", "my notebook"),
        table("url", "https://[::1/7"),
        table("layer", "none"),
    ],
)
def test_rows_that_do_not_say_it_are_used(text):
    found = read(text)
    assert (found.texts.to_dict(), found.left_out) == ({7: "row 0"}, ())


def test_rows_that_do_not_say_it_are_used_only_where_none_is_of_another_sae():
    ours, theirs = "gemma_trainer131k-l0-114_layer20", "llama_trainer1_layer15"
    assert texts(table("source", ours, "")) == {7: "row 1"}
    mixed = read(table("source", ours, theirs, "", "no name"))
    assert mixed.texts.to_dict() == {7: "row 0"}
    assert mixed.left_out == (
        "`e.csv` has 1 row of other SAEs ('llama_trainer1_layer15'): left out.",
        "`e.csv` has 2 rows that cannot be told to be of the SAE of this source: left out.",
    )
    with pytest.raises(DataError) as caught:
        read(table("source", theirs, "", theirs))
    assert str(caught.value) == (
        "`e.csv` explains 'llama_trainer1_layer15', and no row of it can be told to be of the SAE of this source. "
        "Expected a `source` such as 'gemma_trainer131k-l0-114_layer20'."
    )


def test_of_several_names_that_mean_nothing_none_is_used():
    with pytest.raises(DataError) as caught:
        read(table("source", "sae A", "sae B"))
    assert str(caught.value) == (
        "`e.csv` explains 'sae A', 'sae B', and no row of it can be told to be of the SAE of this source. "
        "Expected a `source` such as 'gemma_trainer131k-l0-114_layer20'."
    )
    assert texts(table("source,layer", ("sae A", "20"), ("sae B", "20-gemmascope-res-131k"))) == {7: "row 1"}
    assert texts(table("source", "neuronpedia", "Claude 3.5", "by hand")) == {7: "row 2"}
    assert read(table("layer", "20", "9")).left_out == ("`e.csv` has 1 row of other SAEs ('layer 9'): left out.",)


def test_an_sae_without_a_page_is_told_by_what_its_files_say():
    page = "smollm2/18-topk-8k"
    assert texts(table("source", "smollm2_trainertopk-8k_layer18", page), MINE) == {7: "row 0"}
    assert texts(table("neuronpedia_id", page), MINE) == {7: "row 0"}
    for theirs in ("smollm2/17-topk-8k", "smollm2/18-topk-16k", "gemma-2-9b/18-x-8k"):
        with pytest.raises(DataError):
            read(table("neuronpedia_id", theirs), MINE)
    with pytest.raises(DataError):
        read(table("neuronpedia_id", page, "smollm2/18-other-8k"), MINE)


def test_a_page_that_a_person_gave_is_the_saes():
    given = ThisSae(8192, ("smollm2",), ("topk-8k",), 18, template="https://x.org/f/{feature_id}")
    assert texts(table("url", "https://x.org/f/7", f"{PAGE}gpt2-small/6-res-jb/7"), given) == {7: "row 0"}


def test_a_model_that_wrote_the_texts_is_told_from_one_that_was_read():
    chosen = read("feature_id,explanation,model\n7,a,gpt-4o\n").chosen
    assert chosen.loc[7].to_dict() == {"explanation": "a", "explanation_model": "gpt-4o"}
    chosen = read("feature_id,explanation,model\n7,a,gemma-2-9b\n7,b,llama\n").chosen
    assert chosen.loc[7].to_dict() == {"explanation": "a"}


def test_a_source_says_how_many_rows_are_of_other_saes(tmp_path):
    folder = make_source(tmp_path / "results" / "mine_trainerx_layer20" / "p", model_type="mine", sae_trainer="x")
    (tmp_path / "explanations").mkdir()
    file = tmp_path / "explanations" / "mine_trainerx_layer20.csv"
    file.write_text(table("source", "mine_trainerx_layer20", "mine_trainerx_layer21", "mine_trainery_layer20"))
    study = load(folder)
    assert study.explanation(7) == "row 0"
    assert study.notes()[-1] == (
        "`mine_trainerx_layer20.csv` has 2 rows of other SAEs "
        "('mine_trainerx_layer21', 'mine_trainery_layer20'): left out."
    )
    file.write_text(table("source", "mine_trainerx_layer21"))
    assert load(folder).notes()[-1] == (
        "`mine_trainerx_layer20.csv` explains 'mine_trainerx_layer21', and no row of it can be told to be of the SAE "
        "of this source. Expected a `source` such as 'mine_trainerx_layer20'. "
        "So features are shown without explanations."
    )
