"""Pools of tokens, and responses that are given or generated: against one prompt at a time through the full model."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from collecting import (
    _FORMULAS,
    _MODELS,
    _SPECIAL,
    FAMILIES,
    LAYER,
    PROMPTS,
    Quiet,
    _load_weights,
    as_long,
    make_family,
    slow_statistics,
    sort_long,
)
from tokenizers import Tokenizer

from featurediff.collect import shards
from featurediff.collect.planning import plan
from featurediff.collect.pools import Pool, parse_pools
from featurediff.collect.run import execute
from featurediff.errors import DataError
from featurediff.sources.result_files import read_results
from featurediff.wording import quoted

ASKED = {name: [text for text in texts if text] for name, texts in PROMPTS.items()}
POOLS = ("most=prompt:max", "typical=prompt:mean", "said=response:max", "tone=response:mean")
NEW = 6


def collect(settings):
    return execute(plan(settings), Quiet())


def answers_of(contents):
    return [f"Answer {i} to {content[:9]!r}!" for i, content in enumerate(contents)]


@pytest.fixture(scope="module", params=["gemma", "llama"])
def asked(request, tmp_path_factory):
    """Settings of a family whose prompt files have responses, none of the prompts empty."""
    folder = tmp_path_factory.mktemp(request.param)
    architecture = {"gemma": "jumprelu", "llama": "topk"}[request.param]
    padding_side = {"gemma": "left", "llama": "right"}[request.param]
    settings = make_family(folder, request.param, architecture, padding_side)
    for name, contents in ASKED.items():
        rows = [{"content": c, "answer": a} for c, a in zip(contents, answers_of(contents), strict=True)]
        getattr(settings, name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return request.param, architecture, replace(settings, pools=POOLS)


class Slow:
    """One prompt at a time, without padding, through the full model."""

    def __init__(self, settings, family, architecture, side):
        self.text = FAMILIES[family][0]
        self.tokenizer = Tokenizer.from_file(f"{settings.chat}/tokenizer.json")
        self.special = {self.tokenizer.token_to_id(token) for token in _SPECIAL[family]}
        self.model = _MODELS[family][0].from_pretrained(getattr(settings, side), dtype=torch.float32).eval()
        self.encode, self.weights = _FORMULAS[architecture], _load_weights(settings.sae)

    def prompt(self, content):
        """Return the tokens of a prompt, and which are the user's own."""
        before = self.text.partition("{}")[0]
        encoded = self.tokenizer.encode(self.text.format(content.strip()), add_special_tokens=False)
        first, last = len(before), len(before) + len(content.strip())
        own = [
            index
            for index, (token, (start, end)) in enumerate(zip(encoded.ids, encoded.offsets, strict=True))
            if token not in self.special and first <= start < end <= last
        ]
        return encoded.ids, own

    def answer(self, content):
        """Return what the model says, greedily."""
        tokens, _ = self.prompt(content)
        said = []
        with torch.inference_mode():
            while len(said) < NEW:
                said.append(int(self.model(torch.tensor([tokens + said])).logits[0, -1].argmax()))
                if said[-1] == self.model.config.eos_token_id:
                    return said[:-1]
        return said

    def pooled(self, content, response):
        """Return the activations of the four pools, and how many tokens the two parts have."""
        tokens, own = self.prompt(content)
        with torch.inference_mode():
            states = self.model(torch.tensor([tokens + response]), output_hidden_states=True).hidden_states
        acts = self.encode(states[LAYER + 1][0].numpy().astype(np.float64), self.weights)
        parts = acts[own], acts[len(tokens) :]
        return np.array([pool(part, axis=0) for part in parts for pool in (np.max, np.mean)]), [*map(len, parts)]


def assert_pooled(folder, family, slow, responses):
    """Every statistic, activation and number of tokens; `responses` are tokens by model and prompt set."""
    token_types = (*FAMILIES[family][1], "most", "typical", "said", "tone")
    results = read_results(folder)
    assert results.token_types == token_types
    found, lengths = {}, {}
    for side in ("base", "chat"):
        for name, contents in ASKED.items():
            pairs = [
                slow[side].pooled(content, response)
                for content, response in zip(contents, responses[side, name], strict=True)
            ]
            found[side, name] = np.stack([acts for acts, _ in pairs], axis=1)
            lengths[side, name] = [number for _, number in pairs]
    for (side, name), acts in found.items():
        assert 0.05 < (acts != 0).mean() < 0.95  # precondition: some features are active and some are not
        for pooled, token_type in zip(acts, token_types[-4:], strict=True):
            vectors = results.of(side).vectors[token_type]
            for statistic, expected in slow_statistics(pooled).items():
                tolerance = 0 if statistic == "num_active" else 1e-4
                np.testing.assert_allclose(vectors[f"{name}_{statistic}"], expected, rtol=tolerance, atol=tolerance)
    written = pd.read_parquet(folder / "activations.parquet")
    written = sort_long(written[written["token_type"].isin(token_types[-4:])])
    expected = as_long(found, token_types[-4:])
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-3, atol=1e-4)
    return lengths


def test_pools_of_prompts_and_given_responses(asked):
    family, architecture, settings = asked
    slow = {side: Slow(settings, family, architecture, side) for side in ("base", "chat")}
    responses = {
        (side, name): [
            slow["chat"].tokenizer.encode(answer, add_special_tokens=False).ids for answer in answers_of(contents)
        ]
        for side in ("base", "chat")
        for name, contents in ASKED.items()
    }
    for batch_size in (1, 3, 64):
        folder = collect(
            replace(settings, response_column="answer", batch_size=batch_size, prompt_set=f"given_{batch_size}")
        )
        lengths = assert_pooled(folder, family, slow, responses)
        prompts = pd.read_parquet(folder / "prompts.parquet")
        assert prompts.columns.tolist()[4:] == [
            "response",
            "tokens_most",
            "tokens_typical",
            "tokens_said",
            "tokens_tone",
        ]
        assert prompts["response"].tolist() == [*answers_of(ASKED["target"]), *answers_of(ASKED["control"])]
        counted = [*lengths["base", "target"], *lengths["base", "control"]]
        assert prompts[["tokens_most", "tokens_said"]].to_numpy().tolist() == counted
    metadata = torch.load(folder / "base.pt", weights_only=True)["metadata"]
    assert metadata["pools"] == {
        "most": "prompt:max",
        "typical": "prompt:mean",
        "said": "response:max",
        "tone": "response:mean",
    }
    assert metadata["responses"] == {"by": "file", "column": "answer"}
    assert metadata["pool_tokens"].keys() == metadata["pools"].keys()
    assert metadata["pool_tokens"]["said"]["control"]["mean"] == np.mean(
        [number for _, number in lengths["base", "control"]]
    )


@pytest.mark.parametrize("by", ["chat", "base", "each"])
def test_generated_responses(asked, by):
    family, architecture, settings = asked
    slow = {side: Slow(settings, family, architecture, side) for side in ("base", "chat")}
    said = {
        (side, name): [slow[side].answer(content) for content in contents]
        for side in ("base", "chat")
        for name, contents in ASKED.items()
    }
    assert said["base", "target"] != said["chat", "target"]  # precondition: the models answer differently
    responses = {(side, name): said[side if by == "each" else by, name] for side, name in said}
    for batch_size in (1, 3, 64):
        folder = collect(
            replace(settings, generate=NEW, generate_by=by, batch_size=batch_size, prompt_set=f"{by}_{batch_size}")
        )
        assert_pooled(folder, family, slow, responses)
    prompts = pd.read_parquet(folder / "prompts.parquet")
    decoded = {
        side: [slow["chat"].tokenizer.decode(tokens) for name in ASKED for tokens in responses[side, name]]
        for side in ("base", "chat")
    }
    if by == "each":
        assert prompts["base_response"].tolist() == decoded["base"]
        assert prompts["chat_response"].tolist() == decoded["chat"]
    else:
        assert prompts["response"].tolist() == decoded["chat"]
    metadata = torch.load(folder / "base.pt", weights_only=True)["metadata"]
    assert metadata["responses"] == {"by": by, "generated_tokens": NEW}


def test_goes_on_after_a_kill_in_the_middle_of_responses_and_of_reading(asked, monkeypatch):
    _, _, settings = asked
    monkeypatch.setattr(shards, "_SIZE", 2)
    settings = replace(settings, generate=NEW, generate_by="each")
    expected = collect(replace(settings, prompt_set="whole"))

    class Stopped(Quiet):
        def __init__(self, after):
            super().__init__()
            self.left = after

        def advance(self, prompts):
            self.left -= prompts
            if self.left <= 0:
                raise KeyboardInterrupt

    settings = replace(settings, prompt_set="resumed")
    for after in (5, 30):
        with pytest.raises(KeyboardInterrupt):
            execute(plan(settings), Stopped(after))
    again = Quiet()
    folder = execute(plan(settings), again)
    assert not any(stage.startswith("Asking") for stage in again.stages)  # all responses were kept
    assert 0 < again.done < 24
    for name in ("activations.parquet", "prompts.parquet", "difference.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(folder / name), pd.read_parquet(expected / name))


def refused(settings, message):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        collect(settings)


def test_refuses_prompts_and_responses_without_a_token(asked, tmp_path):
    _, _, settings = asked
    rows = [{"content": "a", "answer": "x"}, {"content": " ", "answer": "y"}, {"content": "c", "answer": " "}]
    rows += [{"content": "d"}, {"content": "e", "answer": "z"}]
    target = tmp_path / "odd.jsonl"
    target.write_text("\n".join(map(json.dumps, rows)))
    settings = replace(settings, target=target, out=tmp_path / "results", response_column="answer")
    end = " Mend it, or leave such prompts out with --skip-bad."
    refused(settings, f"`{target}`, line 3: its response 'answer' is ' ', but expected a text.{end}")
    planned = plan(replace(settings, skip_bad=True))
    assert planned.notes == (
        f"`{target}`, line 3: its response 'answer' is ' ', but expected a text.",
        f"`{target}`, line 4: its response 'answer' is missing, but expected a text.",
        "`odd.jsonl`, line 2, prompt 1 (' '): what the user says has no token, but --pool reads those.",
    )
    assert planned.chats["target"].prompt_ids.tolist() == [0, 4]


def test_refuses_a_generated_response_that_is_empty_by_name(asked, tmp_path):
    """The first token that the chat model says to the second prompt is made the one that ends a response."""
    family, architecture, settings = asked
    first = Slow(settings, family, architecture, "chat").answer(ASKED["target"][1])[0]
    chat = tmp_path / "chat"
    chat.mkdir()
    for file in __import__("pathlib").Path(settings.chat).iterdir():
        (chat / file.name).write_bytes(file.read_bytes())
    config = json.loads((chat / "generation_config.json").read_text())
    (chat / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": first}))
    settings = replace(settings, chat=str(chat), generate=2, out=tmp_path / "results")
    with pytest.raises(DataError, match=r"^`target_set\.jsonl`, line \d+, prompt \d+ \(.*\): the chat model answers"):
        collect(settings)
    progress = Quiet()
    folder = execute(plan(replace(settings, skip_bad=True)), progress)
    named = f"prompt 1 ({quoted(ASKED['target'][1])}): the chat model answers nothing."
    assert any(note.endswith(named) for note in progress.notes)
    results = read_results(folder)
    assert results.base.metadata.num_target_prompts < len(ASKED["target"])
    assert 1 not in pd.read_parquet(folder / "prompts.parquet").query("prompt_set == 'target'")["prompt_id"].tolist()


def test_reads_pools_and_refuses_others():
    assert parse_pools(["a=prompt:max", " b = response:mean"], ["c"]) == (
        Pool("a", "prompt", "max"),
        Pool("b", "response", "mean"),
    )
    for texts in (["prompt:max"], ["c=prompt:max"], ["a=prompt:max", "a=prompt:mean"], ["a=words:max"], ["a=prompt"]):
        message = f"--pool is a new name, a part and how, such as said=response:max, but {texts[-1]!r} was given."
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            parse_pools(texts, ["c"])


def test_refuses_options_that_do_not_go_together(asked):
    _, _, settings = asked
    refused(settings, "--pool 'said' reads responses. Give them with --response-column or --generate.")
    refused(
        replace(settings, generate=2, response_column="answer"),
        "--generate makes responses, and --response-column reads them. Give one of them.",
    )
    refused(
        replace(settings, generate_by="base", response_column="answer"),
        "--generate-by says which model generates the responses. Give --generate as well.",
    )
