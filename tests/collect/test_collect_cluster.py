"""`featurediff collect --ray` on clusters that Ray starts on this machine, losing a worker and a whole node."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from collecting import Quiet, make_family, write_prompts

from featurediff.collect import cluster, shards
from featurediff.collect.cluster import connect
from featurediff.collect.planning import plan
from featurediff.collect.run import execute
from featurediff.errors import DataError

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before it is imported
import ray
from ray.cluster_utils import Cluster

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Settings and the result of a run without Ray, both with shards of four prompts."""
    folder = tmp_path_factory.mktemp("family")
    settings = make_family(folder, "llama")
    target, control = write_prompts(
        folder / "prompts",
        {"target": [f"Is {i} odd?" for i in range(40)], "control": [f"Is {i} even?" for i in range(9)]},
    )
    return replace(settings, target=target, control=control, batch_size=4)


@pytest.fixture
def one_thread():
    """
    Give torch one thread, as each of Ray's workers has.

    With two, some processors add a product's terms in another order: activations differed by 1.4e-5 of themselves.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def start():
    """Start a head without room for work, and nodes with these resources beside it."""
    clusters = []

    def start(*resources):
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        clusters.append(made)
        nodes = [made.add_node(**given) for given in resources]
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        return made, nodes

    yield start
    ray.shutdown()
    for made in clusters:
        made.shutdown()


def assert_same(folder, expected):
    active = [pd.read_parquet(path / "activations.parquet") for path in (folder, expected)]
    pd.testing.assert_frame_equal(*active, rtol=1e-5)
    for name in ("base.pt", "chat.pt"):
        ours, theirs = (torch.load(path / name, weights_only=True) for path in (folder, expected))
        for token_type in ("asst", "endheader", "newline"):
            for vector, values in theirs[token_type].items():
                torch.testing.assert_close(ours[token_type][vector], values)


class Losing(Quiet):
    """Takes things from the cluster, each once, after so many prompts."""

    def __init__(self, losses):
        super().__init__()
        self.losses = dict(losses)

    def advance(self, prompts):
        super().advance(prompts)
        for after in [after for after in self.losses if self.done >= after]:
            self.losses.pop(after)()


def kill_a_worker():
    below = psutil.Process().children(recursive=True)
    workers = [process for process in below if process.name().startswith("ray::MapWorker")]
    assert workers  # precondition: there is one to lose
    workers[0].send_signal(signal.SIGKILL)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("workers", [1, 3])
def test_gives_the_same_whatever_is_lost(family, tmp_path, monkeypatch, start, workers):
    """Of three workers one is lost while the first model runs, and a whole node while the second does."""
    monkeypatch.setattr(shards, "_SIZE", 4)
    expected = execute(plan(replace(family, out=tmp_path / "here")), Quiet())
    cluster, nodes = start({"num_cpus": 2}, {"num_cpus": 2})
    losses = {8: kill_a_worker, 57: lambda: cluster.remove_node(nodes[0], allow_graceful=False)}
    progress = Losing(losses if workers > 1 else {})
    folder = execute(plan(replace(family, out=tmp_path / "there", ray="auto", workers=workers)), progress)
    assert progress.losses == {}  # precondition: they were lost
    assert progress.done == progress.total == 98
    assert_same(folder, expected)


class Waiting(cluster.Worker):
    """Does a shard only once those that it did before were given out."""

    given_out: Path
    calls = 0

    def __call__(self, batch):
        until = time.monotonic() + 20
        while len(list(self.given_out.glob("*.out"))) < self.calls:
            if time.monotonic() > until:
                return {"shard": batch["item"].tolist(), "table": [b""], "refused": ["A shard is kept back."]}
            time.sleep(0.05)
        self.calls += 1
        return super().__call__(batch)


class Telling(Quiet):
    """Makes a file for each shard that is given out."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.shards = folder, 0

    def advance(self, prompts):
        super().advance(prompts)
        (self.folder / f"{self.shards}.out").touch()
        self.shards += 1


def test_a_shard_is_given_out_before_the_next_is_done(family, tmp_path, monkeypatch, start):
    """Ray Data fetches one ahead: each shard was kept back until the next, and lost with it in a crash."""
    monkeypatch.setattr(shards, "_SIZE", 40)
    monkeypatch.setattr(cluster, "Worker", Waiting)
    monkeypatch.setattr(Waiting, "given_out", tmp_path, raising=False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    start({"num_cpus": 1})
    progress = Telling(tmp_path)
    execute(plan(replace(family, out=tmp_path / "out", ray="auto", workers=1)), progress)
    assert progress.shards == 4


def test_says_at_once_that_there_is_no_cluster():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        why = r"\(ConnectionRefusedError: \[Errno \d+\] Connection refused\)"
        with pytest.raises(DataError, match=rf"^No Ray cluster answers at '{re.escape(address)}' {why}\.$"):
            connect(address)


def test_what_is_not_ray_is_given_up(monkeypatch):
    """A server that took the connection and said nothing was waited for without end."""
    monkeypatch.setattr(cluster, "PATIENCE", 3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        message = rf"^No Ray cluster answers at '{address}' \(TimeoutError: no answer in 3 seconds\)\.$"
        with pytest.raises(DataError, match=message):
            connect(address)


def test_client_without_the_token_is_refused(tmp_path):
    """In a process of its own, with a home of its own: Ray reads the token once."""
    code = (
        "import os, stat, subprocess, sys, logging; logging.basicConfig()\n"
        "import ray\n"
        "from pathlib import Path\n"
        "from featurediff.collect import cluster\n"
        "from featurediff.errors import DataError\n"
        "cluster.connect('auto')\n"
        "print(oct(stat.S_IMODE((Path.home() / '.ray' / 'auth_token').stat().st_mode)))\n"
        "at = ray.get_runtime_context().gcs_address\n"
        "cluster._knock(at)\n"
        "os.environ |= {'HOME': sys.argv[1], 'RAY_AUTH_MODE': 'disabled'}\n"
        "try:\n    cluster._knock(at)\n"
        "except ConnectionError as error:\n    print('refused', error)\n"
        "ray.shutdown()\n"
    )
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "theirs")],
        env=others | {"HOME": str(tmp_path / "mine"), "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    mode, refused = done.stdout.splitlines()[-2:]
    assert mode == "0o600"
    assert refused.startswith("refused ")
    assert re.search(r"Ray listens at [\d.]+:\d+ and .*Only who has the token can use it\.", done.stderr)


def test_says_what_a_worker_meets_and_what_the_cluster_lacks(family, tmp_path, start):
    """What a worker met while it loaded a model was lost in Ray's report; too few GPUs were waited for without end."""
    start({"num_cpus": 1, "num_gpus": 1})
    settings = replace(family, out=tmp_path / "results", ray="auto", dtype="float32")
    planned = plan(settings)
    shutil.move(family.base, tmp_path / "moved")
    try:
        with pytest.raises(
            DataError, match=r"^The model '.*base' cannot be loaded \(.*\)\. There is no such folder either\.$"
        ):
            execute(planned, Quiet())
    finally:
        shutil.move(tmp_path / "moved", family.base)
    message = "--gpus-per-model 2 needs as many GPUs on one node, but those of the cluster have 0, 1."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        execute(plan(replace(settings, gpus_per_model=2)), Quiet())
