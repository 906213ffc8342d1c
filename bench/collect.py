"""
Measure `featurediff collect` against its floor: the forward passes through the same blocks on the same batches.

Everything is made here from a config and random numbers: a model in the shape of Gemma 2 9B, cut after block 20, saved
once and linked a second time as the chat model; a JumpReLU SAE whose threshold leaves about 114 of its 131,072 features
active, as in Gemma Scope; and prompts that are 30 to 60 tokens long in the chat template. It takes some minutes and
16 GB of disk. Where there are two GPUs, it also measures a Ray cluster of one and of two workers, and a model that is
spread over both.

    python bench/collect.py                   on one GPU or more; writes its section of bench/README.md
    python bench/collect.py --only cluster    some of the rows, which are printed and not written
    python bench/collect.py --tiny            to try the script on a CPU; with --ray the cluster too
"""

# ruff: noqa: E402  as in the command, something starts before what takes seconds to import

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from featurediff.collect.early import Early


class Watched(Early):
    """Notes when the first model begins to be loaded, while prompts are still read."""

    began: float | None = None

    def load(self, *what: Any) -> None:  # noqa: ANN401  recipe and SAE
        """Note the time, and load."""
        self.began = time.perf_counter()
        super().load(*what)


EARLY = Watched() if sys.argv[1:3] == ["--step", "collect"] else None

import pandas as pd
import torch
from report import publish, table
from sae_lens.saes import JumpReLUSAE, JumpReLUSAEConfig
from sae_lens.saes.sae import SAEMetadata
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import AutoModel, Gemma2Config, PreTrainedTokenizerFast

from featurediff.collect import planning
from featurediff.collect.encoder import Encoder, split
from featurediff.collect.models import describe_model
from featurediff.collect.recipe import Recipe
from featurediff.collect.responses import Writer
from featurediff.collect.run import execute
from featurediff.collect.saes import load_sae
from featurediff.collect.settings import Settings
from featurediff.collect.shards import cut

LAYER = 20
GEMMA = {"hidden_size": 3584, "intermediate_size": 14336, "num_attention_heads": 16, "num_key_value_heads": 8}
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LIBRARIES = ("numpy", "pyarrow", "sae-lens", "torch", "transformers")
ACTIVE, PASSES, NEW_TOKENS = 114, 3, 32
KINDS = ("collect", "parts", "cluster")
"""What can be measured by itself: the usual run; pools and responses; several workers and GPUs."""


@dataclass
class Clock:
    """Notes when each stage begins, when prompts are done, and the host's memory while the model runs."""

    stages: list[tuple[str, float]] = field(default_factory=list)
    done: list[tuple[float, int]] = field(default_factory=list)
    prompts: int = 0
    memory: float = 0

    def start(self, prompts: int) -> None:
        """Take the number of prompts."""
        self.prompts = prompts
        self.done.clear()

    def note(self, text: str) -> None:
        """Pass on what was left out."""
        print(text, file=sys.stderr)

    def after_first(self) -> float:
        """Return prompts a second of the first model, from its first shard that is done to its last."""
        count, of_model = 0, []
        for at, prompts in self.done:
            count += prompts
            if count <= self.prompts // 2:
                of_model.append((at, prompts))
        if len(of_model) < 2:
            return 0.0
        return sum(prompts for _, prompts in of_model[1:]) / (of_model[-1][0] - of_model[0][0])

    def stage(self, text: str) -> None:
        """Note the time."""
        self.stages.append((text, time.perf_counter()))

    def advance(self, prompts: int) -> None:
        """Note the time and the memory."""
        self.done.append((time.perf_counter(), prompts))
        status = Path("/proc/self/status").read_text()
        self.memory = max(self.memory, int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) / 2**20)

    def seconds(self, word: str) -> float:
        """Return the time spent in stages that begin with a word."""
        ends = [at for _, at in self.stages[1:]] + [time.perf_counter()]
        return sum(end - at for (text, at), end in zip(self.stages, ends, strict=True) if text.startswith(word))


def make(folder: Path, shape: dict[str, int], width: int) -> None:
    """Save both models, the tokenizer, the SAE and the prompts."""
    config = Gemma2Config(**shape, num_hidden_layers=LAYER + 1, head_dim=256 if shape is GEMMA else 16)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModel.from_config(config, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    model.save_pretrained(folder / "base")
    del model
    (folder / "chat").mkdir()
    for file in (folder / "base").iterdir():
        (folder / "chat" / file.name).hardlink_to(file)
    words = make_tokenizer(folder / "chat")
    for prompts, seed in (("target", 1), ("control", 2)):
        texts = make_prompts(folder / "chat", words, seed)
        (folder / f"{prompts}.all").write_text("\n".join(json.dumps({"content": text}) for text in texts))
    keep_prompts(folder, 100)
    make_sae(folder, config.hidden_size, width, device)


def make_tokenizer(folder: Path) -> list[str]:
    """Train a tokenizer on made-up words, save it, and return the words."""
    rng = random.Random(0)
    syllables = [a + b + c for a in "bdfgklmnprstv" for b in "aeiou" for c in ("", "n", "r", "st")]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(4000)]
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    special = [
        AddedToken(name, special=True) for name in ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")
    ]
    trainer = BpeTrainer(
        vocab_size=8000, special_tokens=special, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    texts = [" ".join(rng.choices(words, k=30)) for _ in range(4000)]
    tokenizer.train_from_iterator([*texts, *["user model\n"] * 99], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", pad_token="<pad>", chat_template=TEMPLATE
    )
    made.save_pretrained(folder)
    return words


def make_prompts(chat: Path, words: list[str], seed: int, most: int = 2000) -> list[str]:
    """Return prompts that are 30 to 60 tokens long in the template, spread evenly over these lengths."""
    tokenizer, rng = Tokenizer.from_file(str(chat / "tokenizer.json")), random.Random(seed)
    around = len(tokenizer.encode("<bos><start_of_turn>user\n<end_of_turn>\n<start_of_turn>model\n").ids)
    texts = []
    while len(texts) < most:
        ids = tokenizer.encode(" ".join(rng.choices(words, k=60))).ids[: rng.randint(30, 60) - around]
        texts.append(tokenizer.decode(ids, skip_special_tokens=False).replace(" ", "").replace("Ġ", " ").strip())
    return texts


def keep_prompts(folder: Path, most: int) -> None:
    """Write prompt files with so many prompts each."""
    for prompts in ("target", "control"):
        lines = (folder / f"{prompts}.all").read_text().splitlines()[:most]
        (folder / f"{prompts}.jsonl").write_text("\n".join(lines))


def make_sae(folder: Path, d_in: int, width: int, device: str) -> None:
    """Save an SAE with random weights, and a threshold that leaves about `ACTIVE` features active."""
    metadata = SAEMetadata(hook_name=f"blocks.{LAYER}.hook_resid_post")
    with torch.device(device):
        sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=d_in, d_sae=width, device=device, metadata=metadata))
        sae.threshold.data.zero_()
    sae.save_model(folder / "sae")
    encoder, shards = load_encoder(folder)
    with torch.inference_mode():
        chats = encoder.batches(shards[0].chats)[0]
        acts = sae.encode(encoder.residual(chats)[:, -1].float())
        largest, _ = acts.flatten().topk(ACTIVE * len(acts))
        sae.threshold.data.fill_(largest[-1].item())
    sae.save_model(folder / "sae")


def settings(folder: Path, name: str, changes: dict[str, Any] | None = None) -> Settings:
    """Return what `featurediff collect` is asked for."""
    return Settings(
        base=str(folder / "base"),
        chat=str(folder / "chat"),
        sae=str(folder / "sae"),
        target=folder / "target.jsonl",
        control=folder / "control.jsonl",
        out=folder / "results",
        prompt_set=name,
        skip_bad=True,  # a model of random weights may answer nothing
        **changes or {},
    )


def load_encoder(folder: Path) -> tuple[Encoder, list[Any]]:
    """Load the base model and the SAE, and cut the prompts."""
    planned = planning.plan(settings(folder, "none"))
    dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    recipe = Recipe(planned.settings.base, None, planned.settings.sae, None, dtype, None, 1, planned.positions.pooled)
    shards = cut({"base": planned.chats})
    return Encoder(describe_model(recipe.model), load_sae(recipe.sae), recipe), shards


def measure_collect(folder: Path, changes: dict[str, Any], early: Watched) -> dict[str, Any]:
    """Run collect once, in this process; model and SAE loading do not count."""
    clock, spent = Clock(), []

    def timed(*args: Any) -> Any:  # noqa: ANN401  those of `load_sae`
        began = time.perf_counter()
        sae = load_sae(*args)
        spent.append(time.perf_counter() - began)
        return sae

    planning.load_sae = timed
    with early:
        began = time.perf_counter()
        planned = planning.plan(settings(folder, f"run_{os.getpid()}", changes), early)
        planned_at = time.perf_counter()
        source = execute(planned, clock)
        ended = time.perf_counter()
    not_hidden = (early.began or planned_at) - began - sum(spent)
    after = next(at for text, at in clock.stages if text.startswith(("Loading", "Waiting")))
    hidden = after - (early.began or after)  # the first model was being loaded
    return {
        "prompts": clock.prompts,
        "seconds": ended - began - sum(spent) - hidden - clock.seconds("Loading"),
        "planning": not_hidden,
        "running": clock.seconds("Running"),
        "writing": clock.seconds("Writing"),
        "waiting": clock.seconds("Waiting"),
        "asking": clock.seconds("Asking"),
        "after_first": clock.after_first(),
        "gpu_allocated": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0,
        "gpu_reserved": torch.cuda.max_memory_reserved() / 2**30 if torch.cuda.is_available() else 0,
        "host": clock.memory,
        **digest(source),
    }


def digest(source: Path) -> dict[str, Any]:
    """Return how many activations were written, and a hash of them and of all statistics."""
    active = pd.read_parquet(source / "activations.parquet")
    found = hashlib.sha256(pd.util.hash_pandas_object(active, index=False).to_numpy().tobytes())
    for side in ("base", "chat"):
        content = torch.load(source / f"{side}.pt", weights_only=True)
        for token_type in content["metadata"]["token_types"]:
            for vector in content[token_type].values():
                found.update(vector.numpy().tobytes())
    return {"rows": len(active), "digest": found.hexdigest()[:12]}


def measure_floor(folder: Path) -> dict[str, Any]:
    """Return prompts a second of the forward passes alone: the first time that a process makes them, then the best."""
    encoder, shards = load_encoder(folder)
    encoder.warm_up(shards[-1].chats)
    batches = [chats for shard in shards for chats in encoder.batches(shard.chats)]
    prompts = sum(len(chats) for chats in batches)
    rates = []
    for _ in range(PASSES + 1):
        began = time.perf_counter()
        with torch.inference_mode():
            for chats in batches:
                encoder.residual(chats)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        rates.append(prompts / (time.perf_counter() - began))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {"prompts": prompts, "first": rates[0], "rate": max(rates[1:]), "device": device}


def measure_generate(folder: Path) -> dict[str, Any]:
    """Return prompts a second of the chat model's own `generate` on the batches that collect makes."""
    planned = planning.plan(settings(folder, "none", {"generate": NEW_TOKENS}))
    dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    recipe = Recipe(planned.settings.chat, None, planned.settings.sae, None, dtype, None, 1, (), generate=NEW_TOKENS)
    writer = Writer(describe_model(recipe.model), recipe)
    chats = [shard.chats for shard in cut({"chat": planned.chats})]
    device = writer._device.type
    batches = [batch for of_shard in chats for batch in split(of_shard, None, device, NEW_TOKENS)]
    writer._answer(batches[0])  # what a process does once
    began = time.perf_counter()
    for batch in batches:
        writer._answer(batch)
    prompts = sum(map(len, batches))
    return {"prompts": prompts, "rate": prompts / (time.perf_counter() - began)}


def alone(step: str, folder: Path, *more: str) -> dict[str, Any]:
    """Take one step in a process of its own, which leaves nothing on the GPU, and return the JSON that it prints."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), *more]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=offline)
    if done.returncode:
        sys.exit(f"The step {step} failed.")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{step}: {found}", flush=True)
    return found


def main() -> None:
    """Make everything, measure, and write down what was found; or take one step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the script on a CPU; writes nothing")
    parser.add_argument("--runs", type=int, default=3, help="of collect on all prompts")
    parser.add_argument("--only", choices=KINDS, help="measure these rows only, and write nothing")
    parser.add_argument("--ray", action="store_true", help="measure the cluster also where there are no two GPUs")
    parser.add_argument("--step", choices=("make", "collect", "floor", "generate"), help=argparse.SUPPRESS)
    parser.add_argument("--changes", default="{}", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where to make everything; a temporary folder by default")
    args = parser.parse_args()
    if args.step == "make":
        make(args.folder, TINY if args.tiny else GEMMA, 512 if args.tiny else 131_072)
        print("{}")
    elif args.step:
        if args.step == "collect":
            print(json.dumps(measure_collect(args.folder, json.loads(args.changes), EARLY)))
        else:
            print(json.dumps((measure_floor if args.step == "floor" else measure_generate)(args.folder)))
    else:
        with tempfile.TemporaryDirectory(dir=args.folder) as made:
            alone("make", Path(made), *(["--tiny"] if args.tiny else []))
            few, many = (10, 40) if args.tiny else (500, 2000)
            has_two = args.ray or torch.cuda.device_count() > 1
            kinds = [args.only] if args.only else [kind for kind in KINDS if kind != "cluster" or has_two]
            report(Path(made), few, [many] * args.runs, kinds, write=not args.tiny and not args.only)


def runs_of(kinds: list[str], few: int, many: list[int]) -> list[tuple[str, int, dict[str, Any]]]:
    """Return what is measured: a name, prompts in each file, and changes of the settings."""
    pools = {"pools": ["asked=prompt:max"], "positions": ["newline=0"]}
    runs: list[tuple[str, int, dict[str, Any]]] = []
    if "collect" in kinds:
        runs += [("without fit", keep, {"fit": False}) for keep in (few, many[0])]
        runs += [("with fit", keep, {}) for keep in (few, *many)]
        runs += [("--tf32, without fit", keep, {"fit": False, "tf32": True}) for keep in (few, many[0])]
    if "parts" in kinds:
        runs += [("all tokens of the prompt", few, pools)]
        runs += [("all tokens of the prompt, --tf32", few, {**pools, "tf32": True})]
        runs += [("generated responses", few, {"generate": NEW_TOKENS, "positions": ["newline=0"]})]
    if "cluster" in kinds:
        runs += [("here", many[0], {})] * ("collect" not in kinds)
        runs += [(f"Ray, workers: {n}", many[0], {"ray": "auto", "workers": n}) for n in (1, 2)]
        if torch.cuda.device_count() > 1:
            runs += [("a model over 2 GPUs", many[0], {"gpus_per_model": 2})]
    return runs


def report(folder: Path, few: int, many: list[int], kinds: list[str], *, write: bool) -> None:
    """Measure with few prompts a file and with many, and publish a row for each run."""
    keep_prompts(folder, many[0])
    floor = alone("floor", folder)
    rows = [["floor: forward passes", f"{floor['prompts']:,}", f"{floor['rate']:,.0f}", *[""] * 10]]
    asks = None
    same: dict[int, str] = {}
    for name, keep, changes in runs_of(kinds, few, many):
        keep_prompts(folder, keep)
        if "generate" in changes:
            asks = alone("generate", folder)
            rows.append(["floor: generate", f"{asks['prompts']:,}", f"{asks['rate']:,.0f}", *[""] * 10])
        found = alone("collect", folder, "--changes", json.dumps(changes))
        rate = found["prompts"] / found["seconds"]
        ratio = rate / floor["rate"]
        if asks and "generate" in changes:
            rate = asks["prompts"] / found["asking"]
            ratio = rate / asks["rate"]
        seconds = [f"{found[name]:.2f}" for name in ("planning", "waiting", "asking", "running", "writing")]
        memory = [f"{found[name]:.2f}" for name in ("gpu_reserved", "host")]
        is_plain = not changes.keys() & {"pools", "generate", "tf32"}
        known = same.setdefault(keep, found["digest"]) if is_plain else ""
        is_same = ("yes" if found["digest"] == known else "NO") if is_plain else ""
        after_first = f"{found['after_first']:,.0f}"
        rows.append(
            [name, f"{found['prompts']:,}", f"{rate:,.0f}", f"{ratio:.3f}", *seconds, after_first, *memory, is_same]
        )
    rows.append(["to reach", "", "", "≥ 0.94; ≥ 0.85 at 2,000", *[""] * 6, "< 16", "does not grow", "yes"])
    head = ["", "prompts", "prompts/s", "of the floor", "planning s", "waiting s", "asking s", "running s", "writing s"]
    head += ["after the first shard", "GPU GiB", "host GiB", "same to the bit"]
    text = (
        f"`python bench/collect.py` on {torch.cuda.device_count()} × {floor['device']}: a model in the shape of Gemma "
        f"2 9B up to block {LAYER} and a 131,072-wide SAE, both of random weights. Each row is a process of its own; "
        "prompts through both models count twice. The floor is the best pass of several; a process's first pass, as "
        f"collect makes it, ran at {floor['first'] / floor['rate']:.2f} of it. Loading models and SAE, with the first "
        "batch of each model, does not count, but on a cluster it does; reading and tokenising prompts, encoding and "
        f"writing do. Responses have {NEW_TOKENS} tokens; their rate is that of the answers alone, and their floor the "
        "model's own `generate`. After the first shard: prompts a second of the first model from then on. GPU: the "
        "most that torch reserved here; host: the most memory of its own while a model ran. The last column compares "
        "activations and statistics with those of the first row of as many prompts.\n\n"
    )
    publish("collect", "Collecting", text + table(head, rows), libraries=LIBRARIES, write=write)


if __name__ == "__main__":
    main()
