"""`featurediff collect` as a person runs it: from files to an exported table, and through a kill."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from collecting import make_family, write_prompts

from featurediff.sources.result_files import read_results

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Settings for two Gemma models, a JumpReLU SAE, and prompts enough for several shards."""
    folder = tmp_path_factory.mktemp("family")
    settings = make_family(folder, "gemma")
    write_prompts(folder / "prompts", {"target": [f"Is {i} odd?" for i in range(1600)], "control": ["a", "b", "c"]})
    return settings


def command(*args):
    return [sys.executable, "-m", "featurediff", *map(str, args)]


def collect_command(settings, out, *more):
    given = {name: getattr(settings, name) for name in ("base", "chat", "sae", "target", "control")}
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    return command("collect", *options, "--out", out, "--batch-size", "16", *more)


def run(args):
    return subprocess.run(args, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_goes_on_after_a_kill_and_gives_the_same(family, tmp_path):
    whole = run(collect_command(family, tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    assert "1,600 target and 3 control prompts" in whole.stderr
    process = subprocess.Popen(collect_command(family, tmp_path / "killed"), cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (done := list(tmp_path.glob("killed/.collect-*/*.parquet"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # precondition: it was not through yet
    assert done
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    assert {name for name in left if not name.endswith(".lock")} == {done[0].parent.name}
    times = {path.name: path.stat().st_mtime_ns for path in done[0].parent.glob("*.parquet")}
    again = run(collect_command(family, tmp_path / "killed"))
    assert again.returncode == 0, again.stderr
    assert times
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["base_trainersae_layer2"]  # no lock is left
    source, resumed = (tmp_path / name / "base_trainersae_layer2" / "target_set" for name in ("whole", "killed"))
    pd.testing.assert_frame_equal(
        *(pd.read_parquet(folder / "activations.parquet") for folder in (source, resumed)), rtol=1e-5
    )
    for name in ("base.pt", "chat.pt"):
        ours, theirs = (torch.load(folder / name, weights_only=True) for folder in (resumed, source))
        for token_type in ("model", "newline"):
            for vector, values in theirs[token_type].items():
                torch.testing.assert_close(ours[token_type][vector], values)


def test_from_models_to_an_exported_table(family, tmp_path):
    made = run(
        collect_command(
            *(family, tmp_path / "results", "--preset", "gemma-2-9b", "--trainer", "tiny"),
            *("--prompt-set", "odd", "--position", "model=-1", "--system", "Be brief."),
            *("--target-column", "content", "--control-column", "label", "--template-option", "bos_token=<bos>"),
        )
    )
    assert made.returncode == 0, made.stderr
    source = tmp_path / "results" / "gemma_trainertiny_layer2" / "odd"
    assert read_results(source).token_types == ("model",)
    exported = run(command("export", source, "--csv", tmp_path / "table.csv"))
    assert exported.returncode == 0, exported.stderr
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(table) > 0
    active = pd.read_parquet(source / "activations.parquet")
    of_target = active[(active["prompt_set"] == "target") & (active["model"] == "chat")]
    counts = of_target.groupby("feature_id")["prompt_id"].nunique()
    expected = counts.reindex(table["feature_id"], fill_value=0).tolist()
    assert table["chat_target_num_active"].tolist() == expected
    metadata = torch.load(source / "base.pt", weights_only=True)["metadata"]
    assert metadata["command"].startswith("featurediff collect --base ")
    start, end = "<bos><start_of_turn>system\nBe brief.<end_of_turn>\n<start_of_turn>user\n", "<end_of_turn>\n"
    assert metadata["rendered_prompts"] == {
        "target": f"{start}Is 0 odd?{end}<start_of_turn>model\n",
        "control": f"{start}control 0{end}<start_of_turn>model\n",
    }


def test_errors_are_printed_and_exit_with_2(family, tmp_path):
    (tmp_path / "bad.jsonl").write_text(json.dumps({"text": "x"}))
    args = collect_command(family, tmp_path / "results")
    args[args.index("--target") + 1] = str(tmp_path / "bad.jsonl")
    failed = run(args)
    assert failed.returncode == 2
    assert failed.stderr == (
        f"`{tmp_path}/bad.jsonl`, line 1: no 'content', only 'text'. Name another with --column. "
        "Mend it, or leave such prompts out with --skip-bad.\n"
    )
    assert not (tmp_path / "results").exists()
    failed = run(collect_command(family, tmp_path / "results", "--batch-size", "0"))
    assert failed.returncode == 2
    assert failed.stderr == "--batch-size is a number of prompts or auto, but '0' was given.\n"
    failed = run(collect_command(family, tmp_path / "results", "--workers", "3"))
    assert failed.returncode == 2
    assert failed.stderr == "--workers is the number of models on a Ray cluster. Give --ray as well.\n"


def test_the_other_commands_import_neither_torch_nor_transformers():
    code = (
        "import sys; from featurediff.cli import app; app(['--help'], standalone_mode=False); "
        "sys.exit(bool({'torch', 'transformers', 'sae_lens', 'ray'} & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", code]).returncode == 0
