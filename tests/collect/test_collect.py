"""`featurediff collect` against a slow reference: tiny models and SAEs, saved and loaded as real ones are."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from collecting import (
    FAMILIES,
    FEATURES,
    LAYER,
    PROMPTS,
    WIDTH,
    Quiet,
    as_long,
    make_family,
    save_model,
    save_sae,
    save_tokenizer,
    slow_activations,
    slow_statistics,
    sort_long,
    write_prompts,
)
from sae_lens import SAE
from sae_lens.saes.sae import SAEMetadata
from sae_lens.saes.temporal_sae import TemporalSAE, TemporalSAEConfig
from tokenizers import Tokenizer
from transformers import Gemma2ForCausalLM

from featurediff.collect import shards
from featurediff.collect.early import Early
from featurediff.collect.encoder import Encoder
from featurediff.collect.models import Blocks, describe_model
from featurediff.collect.planning import plan
from featurediff.collect.recipe import Recipe
from featurediff.collect.run import execute
from featurediff.collect.saes import load_sae
from featurediff.errors import DataError
from featurediff.loading import load
from featurediff.sources.result_files import read_results
from featurediff.sources.tree import find_sources
from featurediff.wording import quoted


def collect(settings):
    return execute(plan(settings), Quiet())


def assert_same(folder, found, token_types):
    """Every statistic to 1e-5 and counts exactly; every activation."""
    results = read_results(folder)
    for (side, prompts), acts in found.items():
        assert 0.01 < (acts != 0).mean() < 0.7  # precondition: some features are active and some are not
        for index, token_type in enumerate(token_types):
            vectors = results.of(side).vectors[token_type]
            for name, expected in slow_statistics(acts[index]).items():
                tolerance = 0 if name == "num_active" else 1e-5
                np.testing.assert_allclose(vectors[f"{prompts}_{name}"], expected, rtol=tolerance, atol=tolerance)
    written = sort_long(pd.read_parquet(folder / "activations.parquet"))
    pd.testing.assert_frame_equal(written, as_long(found, token_types), check_dtype=False, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "architecture", "padding_side"),
    [
        ("gemma", "jumprelu", "left"),
        ("llama", "topk", "right"),
        ("qwen", "gated", "left"),
        ("gemma", "standard", "right"),
    ],
)
def test_equals_one_prompt_at_a_time(tmp_path, family, architecture, padding_side):
    settings = make_family(tmp_path, family, architecture, padding_side)
    found = slow_activations(settings, family, architecture)
    token_types = tuple(FAMILIES[family][1])
    for batch_size in (1, 3, 64):
        folder = collect(replace(settings, batch_size=batch_size, prompt_set=f"of_{batch_size}"))
        assert read_results(folder).token_types == token_types
        assert_same(folder, found, token_types)


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Settings for two Gemma models and a JumpReLU SAE; each test gives its run a prompt set of its own."""
    return make_family(tmp_path_factory.mktemp("gemma"), "gemma")


def refused(settings, message):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        collect(settings)


def test_says_what_was_run(family, tmp_path):
    folder = collect(replace(family, out=tmp_path, name="tiny", trainer="random", command="featurediff collect …"))
    assert folder == tmp_path / "tiny_trainerrandom_layer2" / "target_set"
    assert sorted(path.name for path in folder.iterdir()) == [
        "activations.parquet",
        "base.pt",
        "chat.pt",
        "difference.parquet",
        "prompts.parquet",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny_trainerrandom_layer2"]  # nothing hidden is left
    results = read_results(folder)
    assert (results.num_features, results.token_types) == (FEATURES, ("model", "newline"))
    metadata = torch.load(folder / "chat.pt", weights_only=True)["metadata"]
    assert (metadata["model_ver"], metadata["model_id"], metadata["dtype"]) == ("chat", family.chat, "float32")
    assert (metadata["num_target_prompts"], metadata["num_control_prompts"]) == (8, 5)
    assert metadata["positions"] == {"model": -1, "newline": 0}
    assert metadata["header"] == "<start_of_turn>model"
    assert metadata["command"] == "featurediff collect …"
    assert len(metadata["prompt_files"]["control"]["sha256"]) == 64
    assert {"torch", "transformers", "sae-lens", "featurediff"} <= metadata["versions"].keys()


def test_writes_prompts_and_activations_as_promised(family, tmp_path):
    folder = collect(replace(family, out=tmp_path))
    prompts = pd.read_parquet(folder / "prompts.parquet")
    assert prompts.columns.tolist() == ["prompt_set", "prompt_id", "content", "label"]
    assert prompts["content"].tolist() == PROMPTS["target"] + PROMPTS["control"]
    assert prompts["label"].tolist()[7:9] == ["target 7", "control 0"]
    assert prompts["prompt_id"].tolist() == [*range(8), *range(5)]
    active = pd.read_parquet(folder / "activations.parquet")
    columns = ["model", "prompt_set", "token_type", "prompt_id", "feature_id", "activation"]
    assert active.columns.tolist() == columns
    assert [str(active[name].dtype) for name in columns[3:]] == ["int32", "int32", "float32"]
    assert not active.duplicated(columns[:5]).any()
    assert (active["activation"] > 0).all()


def write_groups(folder, groups):
    """Write both prompt sets with a group for each prompt, and return their paths."""
    paths = write_prompts(folder)
    for path, of_set in zip(paths, groups, strict=True):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts = [json.dumps(line | {"kind": group}) for line, group in zip(lines, of_set, strict=True)]
        path.write_text("\n".join(texts), encoding="utf-8")
    return paths


def test_writes_groups_and_tests_by_them(family, tmp_path):
    groups = [["a", "a", "b", "b", "c", "c", 7, None], ["x", "x", "y", None, None]]
    target, control = write_groups(tmp_path, groups)
    folder = collect(replace(family, target=target, control=control, group="kind", out=tmp_path / "results"))
    written = pd.read_parquet(folder / "prompts.parquet")["group"]
    assert [None if pd.isna(group) else group for group in written] == [
        group if group is None else str(group) for of_set in groups for group in of_set
    ]
    assert load(folder).sample().startswith("8 target prompts in 5 groups and 5 control prompts in 4 groups")


def test_refuses_a_group_in_both_sets(family, tmp_path):
    target, control = write_groups(tmp_path, [["a", "b"] * 4, ["c", "b", "a", "c", "c"]])
    refused(
        replace(family, target=target, control=control, group="kind"),
        "`target_set.jsonl` and `control_set.jsonl` both have the group 'a' (2 such), but a group's prompts must be of "
        "one set. Rename it in one file.",
    )


def test_writes_one_bos_though_the_tokenizer_adds_one(family):
    """Tokenising the formatted text put a second BOS before the one that the template writes."""
    tokenizer = Tokenizer.from_file(f"{family.chat}/tokenizer.json")
    bos = tokenizer.token_to_id("<bos>")
    assert tokenizer.encode("<bos>x").ids[:2] == [bos, bos]  # precondition: the trap is there
    for chats in plan(family).chats.values():
        starts = chats.ends - chats.lengths
        assert (chats.tokens[starts] == bos).all()
        assert (chats.tokens == bos).sum() == len(chats)


def test_duplicate_prompts_count_each(family, tmp_path):
    folder = collect(replace(family, out=tmp_path))
    active = pd.read_parquet(folder / "activations.parquet")
    first, sixth = (active[active.eval("prompt_set == 'target' and prompt_id == @i")] for i in (0, 5))
    assert len(first) > 10
    pd.testing.assert_series_equal(
        first["activation"].reset_index(drop=True), sixth["activation"].reset_index(drop=True)
    )


def test_does_not_depend_on_shards_or_the_order_of_prompts(family, tmp_path, monkeypatch):
    whole = collect(replace(family, out=tmp_path / "whole"))
    monkeypatch.setattr(shards, "_SIZE", 3)
    turned = {name: texts[::-1] for name, texts in PROMPTS.items()}
    target, control = write_prompts(tmp_path / "turned", turned)
    cut = collect(replace(family, target=target, control=control, out=tmp_path / "cut", batch_size=2))
    expected, found = read_results(whole), read_results(cut)
    for model in ("base", "chat"):
        for token_type, vectors in getattr(expected, model).vectors.items():
            for name, vector in vectors.items():
                other = getattr(found, model).vectors[token_type][name]
                np.testing.assert_allclose(other, vector, rtol=1e-5, atol=1e-5)


def test_reads_the_output_of_the_last_block_before_the_final_norm(family, tmp_path):
    sae = save_sae(tmp_path / "sae", hook_name="blocks.3.hook_resid_post")
    folder = collect(replace(family, sae=str(sae), out=tmp_path))
    model = Gemma2ForCausalLM.from_pretrained(family.base).eval()
    kept = []
    model.model.layers[3].register_forward_hook(lambda *args: kept.append(args[2]))
    tokenizer = Tokenizer.from_file(f"{family.chat}/tokenizer.json")
    text = FAMILIES["gemma"][0].format(PROMPTS["control"][0])
    with torch.inference_mode():
        model(torch.tensor([tokenizer.encode(text, add_special_tokens=False).ids]))
        residual = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
        expected = SAE.load_from_disk(sae).encode(residual.reshape(-1, WIDTH)[-1]).numpy()
    rows = pd.read_parquet(folder / "activations.parquet").query(
        "model == 'base' and prompt_set == 'control' and token_type == 'newline' and prompt_id == 0"
    )
    assert rows["feature_id"].tolist() == np.flatnonzero(expected).tolist()
    np.testing.assert_allclose(rows["activation"], expected[expected != 0], rtol=1e-4)


def stop_after(prompts, settings):
    """Run until so many prompts are done, as if someone pressed Ctrl-C then."""

    class Stopped(Quiet):
        def advance(self, count):
            super().advance(count)
            if self.done >= prompts:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(plan(settings), Stopped())


def prompts_to_do(planned, done):
    """How many prompts stand in shards whose files are not among those done, by name."""
    cut = shards.cut(dict.fromkeys(("base", "chat"), planned.chats))
    return sum(len(shard.chats) for shard in cut if shard.name not in done)


def test_goes_on_from_what_is_complete(family, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_SIZE", 2)
    settings = replace(family, out=tmp_path / "resumed")
    expected = collect(replace(family, out=tmp_path / "whole"))

    stop_after(9, settings)
    hidden = list(settings.out.iterdir())
    assert [path.name.startswith(".collect-") for path in hidden] == [True]  # nothing that looks like a result
    with pytest.raises(DataError, match=r"has no `base.pt` or `chat.pt`"):
        find_sources(settings.out)
    done = {path.name: path.read_bytes() for path in hidden[0].glob("*.parquet")}
    assert 0 < len(done) < 14
    again, planned = Quiet(), plan(settings)
    folder = execute(planned, again)
    assert again.total == again.done == prompts_to_do(planned, done)
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "activations.parquet"), pd.read_parquet(expected / "activations.parquet")
    )
    ours, theirs = (torch.load(path / "base.pt", weights_only=True) for path in (folder, expected))
    for name, vector in theirs["newline"].items():
        assert torch.equal(ours["newline"][name], vector)


def test_a_broken_shard_is_made_again(family, tmp_path, monkeypatch):
    """A shard that was cut ended the run with a traceback, and each later one too."""
    monkeypatch.setattr(shards, "_SIZE", 2)
    settings = replace(family, out=tmp_path / "resumed")
    expected = collect(replace(family, out=tmp_path / "whole"))

    stop_after(12, settings)
    done = sorted(settings.out.glob(".collect-*/*.parquet"))
    whole = [path.read_bytes() for path in done]
    flipped = bytearray(whole[1])
    activations = pq.read_metadata(done[1]).row_group(0).column(3)
    flipped[activations.data_page_offset + activations.total_compressed_size - 1] ^= 1
    done[0].write_bytes(whole[0][: len(whole[0]) // 2])
    done[1].write_bytes(flipped)
    done[2].write_bytes(b"")
    again, planned = Quiet(), plan(settings)
    folder = execute(planned, again)
    assert again.total == prompts_to_do(planned, {path.name for path in done[3:]})
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "activations.parquet"), pd.read_parquet(expected / "activations.parquet")
    )


def test_a_shard_that_breaks_while_it_is_read_is_said(family, tmp_path):
    planned = plan(replace(family, out=tmp_path))
    shard = shards.cut(dict.fromkeys(("base", "chat"), planned.chats))[0]
    workshop = shards.Workshop(tmp_path)
    assert not workshop.has(shard)
    with pytest.raises(DataError) as raised:
        workshop.read(shard)
    assert str(raised.value) == (
        f"`{tmp_path / shard.name}` is damaged or gone. Run this again: what is missing is made anew."
    )


def test_a_second_run_into_the_same_source_is_told_to_wait(family, tmp_path):
    """Two runs took each other's pieces away."""
    first = replace(family, out=tmp_path)
    others = [first, replace(first, positions=("model=-1",)), replace(first, prompt_set="other")]
    said = []

    class Crowded(Quiet):
        def stage(self, text):
            for settings in others if text.startswith("Running") and not said else []:
                with pytest.raises(DataError) as raised:
                    execute(plan(settings), Quiet())
                said.append(str(raised.value))

    planned, late = plan(first), plan(first)
    folder = execute(planned, Crowded())
    assert len(said) == 3
    assert all(message.startswith(f"Another run of collect is at work in `{tmp_path}`, since ") for message in said)
    assert [path.name for path in tmp_path.iterdir()] == [folder.parent.name]
    with pytest.raises(DataError) as raised:
        execute(late, Quiet())
    assert str(raised.value) == f"`{folder}` is there already. Remove it, or give this run another --prompt-set."


def test_does_not_go_on_from_other_prompts_or_models(family, tmp_path):
    plans = [plan(replace(family, out=tmp_path)), plan(replace(family, out=tmp_path, positions=("model=-1",)))]
    names = {shards.fingerprint({"dtype": dtype}, each.chats) for each in plans for dtype in ("float32", "bfloat16")}
    assert len(names) == 4


def test_refuses_a_prompt_without_header_or_too_long_or_counts_it(family, tmp_path):
    long = " ".join(["word"] * 200)
    target, control = write_prompts(tmp_path, {"target": [*PROMPTS["target"][:3], long], "control": PROMPTS["control"]})
    settings = replace(family, target=target, control=control, out=tmp_path / "results")
    with pytest.raises(DataError) as raised:
        collect(settings)
    assert re.fullmatch(
        r"`target_set\.jsonl`, line 4, prompt 3 \('word word .*…\): \d{3,4} tokens in the chat template, but the "
        r"models read 160 at most\. Mend it, or leave such prompts out with --skip-bad\.",
        str(raised.value),
    )
    planned = plan(replace(settings, skip_bad=True))
    assert len(planned.notes) == 1
    folder = execute(planned, Quiet())
    assert read_results(folder).base.metadata.num_target_prompts == 3
    assert torch.load(folder / "base.pt", weights_only=True)["metadata"]["skipped_prompts"] == 1
    assert len(pd.read_parquet(folder / "prompts.parquet")) == 3 + 5
    refused(
        replace(settings, header="<nobody>", positions=("a=0",), prompt_set="other"),
        f"None of the prompts of `target_set.jsonl` has the header '<nobody>' in the chat template of "
        f"{quoted(family.chat)}. One ends in '<bos><start_of_turn>user\\nWho are you?<end_of_turn>\\n"
        "<start_of_turn>model\\n'. Give the text that opens the assistant's turn with --header, and the tokens to read "
        "with --position NAME=OFFSET. Of the presets, 'gemma-2-9b', 'gemma-3-4b' may fit.",
    )


def test_refuses_what_does_not_belong_together(family, tmp_path):
    refused(
        replace(family, base=family.chat),
        f"--base and --chat are both {family.chat!r}. Expected a model and what was tuned from it.",
    )
    wide = save_sae(tmp_path / "wide", d_in=48)
    refused(
        replace(family, sae=str(wide), prompt_set="wide"),
        f"The model {quoted(family.base)} is 32 wide, but the SAE reads 48. Was it trained on this model?",
    )
    deep = save_sae(tmp_path / "deep", hook_name="blocks.4.hook_resid_post")
    refused(
        replace(family, sae=str(deep), prompt_set="deep"),
        f"The model {quoted(family.base)} has 4 blocks, but the SAE reads the output of block 4.",
    )
    small = save_model(tmp_path / "small", "gemma", 3, vocab_size=250)
    with pytest.raises(
        DataError, match=r"knows 250 tokens, but the chat model's tokenizer wrote token \d+\. Do --base"
    ):
        plan(replace(family, base=str(small), prompt_set="small"))


@pytest.mark.parametrize(
    ("hook_name", "layer", "message"),
    [
        (None, None, "does not say which layer it reads. Name it with --layer."),
        ("blocks.2.hook_resid_post", 1, "reads layer 2, but --layer says 1. Leave --layer out."),
        (
            "blocks.2.hook_mlp_out",
            None,
            "reads 'blocks.2.hook_mlp_out', but expected the residual stream after a block, such as "
            "'blocks.20.hook_resid_post' or 'model.layers.20'.",
        ),
        (
            "blocks.0.hook_resid_pre",
            None,
            "reads 'blocks.0.hook_resid_pre', but expected the residual stream after a block, such as "
            "'blocks.20.hook_resid_post' or 'model.layers.20'.",
        ),
    ],
)
def test_refuses_an_sae_that_it_cannot_place(family, tmp_path, hook_name, layer, message):
    sae = save_sae(tmp_path / "sae", hook_name=hook_name)
    refused(replace(family, sae=str(sae), layer=layer), f"The SAE {quoted(str(sae))} {message}")


def test_places_an_sae_by_its_hook_or_by_layer(tmp_path):
    after = load_sae(str(save_sae(tmp_path / "after")))
    before = load_sae(str(save_sae(tmp_path / "before", hook_name="blocks.2.hook_resid_pre", neuronpedia_id="a/b")))
    told = load_sae(str(save_sae(tmp_path / "told", hook_name=None)), layer=3)
    assert [(sae.layer, sae.block) for sae in (after, before, told)] == [(2, 2), (2, 1), (3, 3)]
    assert [sae.neuronpedia_id for sae in (after, before)] == [None, "a/b"]


def test_refuses_an_sae_whose_scale_is_not_known(tmp_path):
    folder = save_sae(tmp_path / "sae")
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | {"normalize_activations": "expected_average_only_in"}))
    with pytest.raises(DataError, match="wants its input scaled"):
        load_sae(str(folder))


def test_refuses_an_sae_that_reads_all_tokens_before(tmp_path):
    metadata = SAEMetadata(hook_name=f"blocks.{LAYER}.hook_resid_post")
    config = TemporalSAEConfig(d_in=128, d_sae=FEATURES, n_heads=2, bottleneck_factor=4, metadata=metadata)
    TemporalSAE(config).save_model(tmp_path)
    message = "is temporal: its features depend on all tokens before, but one is read at a time."
    with pytest.raises(DataError, match=f"^{re.escape(f'The SAE {quoted(str(tmp_path))} {message}')}$"):
        load_sae(str(tmp_path))


def test_refuses_more_gpus_than_there_are(family, tmp_path):
    there = torch.cuda.device_count()
    refused(
        replace(family, out=tmp_path, gpus_per_model=there + 2),
        f"--gpus-per-model {there + 2} needs as many GPUs, but {there} can be seen.",
    )


def test_refuses_a_checkpoint_that_lacks_weights(family, tmp_path):
    """Weights that a checkpoint does not have are random after loading, and nothing else would say so."""
    model = Gemma2ForCausalLM.from_pretrained(family.base)
    state = {name: tensor for name, tensor in model.state_dict().items() if "layers.1.mlp.up_proj" not in name}
    model.save_pretrained(tmp_path / "base", state_dict=state)
    refused(
        replace(family, base=str(tmp_path / "base"), out=tmp_path / "results"),
        f"The model {quoted(str(tmp_path / 'base'))} lacks weights: 'layers.1.mlp.up_proj.weight'.",
    )


def test_refuses_values_that_are_not_numbers(family, tmp_path):
    model = Gemma2ForCausalLM.from_pretrained(family.base)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight.fill_(torch.nan)
    model.save_pretrained(tmp_path / "base")
    with pytest.raises(DataError, match=r"The base model gives NaN or infinite values for control prompt \d\."):
        collect(replace(family, base=str(tmp_path / "base"), out=tmp_path / "results"))


def test_does_not_write_over_a_source(family, tmp_path):
    folder = tmp_path / "base_trainersae_layer2" / "taken"
    folder.mkdir(parents=True)
    refused(
        replace(family, out=tmp_path, prompt_set="taken"),
        f"`{folder}` is there already. Remove it, or give this run another --prompt-set.",
    )
    refused(
        replace(family, out=tmp_path, prompt_set="a/b"),
        "'a/b' cannot be a folder's name. Choose --name, --trainer and --prompt-set without slashes.",
    )


def test_refuses_a_tokenizer_without_a_chat_template(family, tmp_path):
    folder = save_tokenizer(save_model(tmp_path / "plain", "gemma", 3), "gemma")
    (folder / "chat_template.jinja").unlink()
    refused(
        replace(family, chat=str(folder)),
        f"The tokenizer of {quoted(str(folder))} has no chat template. Is --chat the chat model?",
    )


def test_says_which_model_or_sae_is_missing(family, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    for change in ({"base": nowhere}, {"sae": nowhere}, {"sae": "no-such-release:x"}):
        (name,) = change.values()
        with pytest.raises(DataError, match=re.escape(quoted(name))):
            plan(replace(family, **change))


def test_does_not_load_later_blocks_or_the_output_layer(family):
    blocks = Blocks(describe_model(family.base), 2, "float32")
    held = {name.split(".")[1] for name, _ in blocks._model.named_parameters() if name.startswith("layers.")}
    assert held == {"0", "1", "2"}
    assert not any("lm_head" in name for name, _ in blocks._model.named_parameters())
    assert Path(family.base, "model.safetensors.index.json").exists()  # precondition: a checkpoint in several files


def test_what_is_started_early_changes_nothing(family, tmp_path):
    """The first model is loaded while prompts are read, and is used once."""
    with Early() as early:
        planned = plan(replace(family, out=tmp_path / "early"), early)
        first = Recipe.of(family, planned.models["base"], planned.positions.pooled, "float32", generates=False)
        assert isinstance(early.take(first), Encoder)
        assert early.take(first) is None
        early.load(first, planned.sae)
        folders = [execute(planned, Quiet()), collect(replace(family, out=tmp_path / "alone"))]
        assert early.take(first) is None
    for name in ("base.pt", "chat.pt"):
        ours, theirs = (torch.load(folder / name, weights_only=True) for folder in folders)
        for token_type in theirs["metadata"]["token_types"]:
            for vector, values in theirs[token_type].items():
                assert torch.equal(ours[token_type][vector], values)


def test_a_model_that_another_run_may_have_done_is_not_loaded_early(family, tmp_path):
    (tmp_path / ".collect-of-a-run-that-was-stopped").mkdir()
    with Early() as early:
        planned = plan(replace(family, out=tmp_path), early)
        first = Recipe.of(family, planned.models["base"], planned.positions.pooled, "float32", generates=False)
        assert early.take(first) is None


def test_a_model_of_another_recipe_is_dropped(family, tmp_path):
    with Early() as early:
        planned = plan(replace(family, out=tmp_path), early)
        other = Recipe.of(family, planned.models["chat"], planned.positions.pooled, "float32", generates=False)
        assert early.take(other) is None


def test_tf32_is_said_and_is_of_gpus(family, tmp_path):
    folders = [collect(replace(family, out=tmp_path / str(tf32), tf32=tf32)) for tf32 in (False, True)]
    contents = [torch.load(folder / "base.pt", weights_only=True) for folder in folders]
    assert [content["metadata"]["tf32"] for content in contents] == [False, True]
    for token_type in contents[0]["metadata"]["token_types"]:
        for vector, values in contents[0][token_type].items():
            assert torch.equal(contents[1][token_type][vector], values)
