"""`featurediff collect --ray` on clusters that Ray starts on this machine, losing a worker and a whole node."""

import os
import signal
from dataclasses import replace

import pandas as pd
import psutil
import pytest
import torch
from collecting import Quiet, make_family, write_prompts

from featurediff.collect import shards
from featurediff.collect.run import execute, plan

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray", reason="Ray has no build for every Python")
from ray.cluster_utils import Cluster  # noqa: E402  after the environment is set

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
def cluster():
    """A head without room for work, and two nodes with room for one worker each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made, nodes
    ray.shutdown()
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
    """Takes something from the cluster once, after some prompts of the first model."""

    def __init__(self, lose):
        super().__init__()
        self.lose = lose

    def advance(self, prompts):
        super().advance(prompts)
        if self.lose and self.done >= 8:
            lose, self.lose = self.lose, None
            lose()


def kill_a_worker():
    workers = [process for process in psutil.process_iter() if process.name().startswith("ray::MapWorker")]
    assert workers  # precondition: there is one to lose
    workers[0].send_signal(signal.SIGKILL)


@pytest.mark.parametrize(("workers", "loss"), [(1, None), (2, "worker"), (2, "node")])
def test_gives_the_same_whatever_is_lost(family, tmp_path, monkeypatch, cluster, workers, loss):
    monkeypatch.setattr(shards, "_SIZE", 4)
    made, nodes = cluster
    expected = execute(plan(replace(family, out=tmp_path / "here")), Quiet())
    lose = {None: None, "worker": kill_a_worker, "node": lambda: made.remove_node(nodes[0], allow_graceful=False)}
    progress = Losing(lose[loss])
    settings = replace(family, out=tmp_path / "there", ray="auto", workers=workers)
    folder = execute(plan(settings), progress)
    assert progress.lose is None  # precondition: it was lost
    assert progress.done == progress.total == 98
    assert_same(folder, expected)
