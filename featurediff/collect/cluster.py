"""The same work on a Ray cluster, by Ray Data actors that hold one model each."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError, RayTaskError

from featurediff.collect.loading import load
from featurediff.errors import DataError
from featurediff.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from featurediff.collect.encoder import Encoder
    from featurediff.collect.recipe import Recipe
    from featurediff.collect.responses import Writer
    from featurediff.collect.shards import Shard
    from featurediff.labels import Side

PATIENCE = 30
"""Seconds that a cluster has to answer."""


def connect(address: str) -> int:
    """
    Join a Ray cluster, and say in the log where it listens.

    Ray listens on every address of a machine, and runs the code of whoever has its token. The token's file is made so
    that only its owner can read it.

    Parameters
    ----------
    address : str
        Of the cluster; "auto" is the one that runs on this machine, or else a new one on it.

    Returns
    -------
    int
        GPUs of the cluster.

    Raises
    ------
    DataError
        If there is no cluster at the address, or it does not answer in time.
    """
    if not ray.is_initialized():
        # Ray writes to the terminal, over the progress bar, that it cannot start a worker again whose data is lost.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        try:
            _knock(address)
            _guard_token(makes=address == "auto")
            ray.init(address=None if address == "auto" else address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            msg = f"No Ray cluster answers at {address!r} ({type(error).__name__}: {error})."
            raise DataError(msg) from error
        logging.getLogger(__name__).warning(_where())
    return int(ray.cluster_resources().get("GPU", 0))


def work_on_ray(
    recipes: Mapping[Side, Recipe], shards: Sequence[Shard], workers: int | None
) -> Iterator[tuple[Shard, pa.Table]]:
    """
    Do shards on the cluster that was joined.

    A shard is one task and comes back as one row, so that it counts once, however often workers are lost and the task
    runs again. Workers take some seconds to start, so that they are kept from one model to the next.

    Parameters
    ----------
    recipes : mapping
        Of each model, what a worker loads.
    shards : sequence of Shard
        What is to be done; those of one model after those of the other, as a worker holds one at a time.
    workers : int or None
        Copies of the model; None for as many as the cluster has GPUs for, and 1 where it has none.

    Yields
    ------
    shard, table : Shard, Table
        In the order in which they are done.

    Raises
    ------
    DataError
        If a worker meets what a user can mend, no node has GPUs enough for a model, or the cluster is lost.
    """
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells of every plan, over the progress bar
    each, room = _share_gpus(next(iter(recipes.values())).num_gpus)
    data = ray.data.from_items(list(range(len(shards))), override_num_blocks=len(shards)).map_batches(
        Worker,
        fn_constructor_args=(dict(recipes), ray.put(list(shards))),
        batch_size=1,
        num_gpus=each,
        num_cpus=1,
        concurrency=min(len(shards), workers or room),
    )
    data.context.enable_progress_bars = False
    try:
        # Without prefetching, a shard is given out when it is done, and not when the next one is.
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in batch.to_pylist():
                if row["refused"]:
                    raise DataError(row["refused"])
                yield shards[row["shard"]], pa.ipc.open_stream(row["table"]).read_all()
    except RayTaskError:  # a bug
        raise
    except RayError as error:
        msg = (
            f"The Ray cluster failed ({type(error).__name__}: {error}). What is done is kept: run this again to go on."
        )
        raise DataError(msg) from error


class Worker:
    """
    What an actor does: it loads a model at its first shard, and then does one shard after the other.

    Parameters
    ----------
    recipes : mapping
        Of each model, what to load.
    shards : ObjectRef
        All shards, in the cluster's memory.
    """

    def __init__(self, recipes: Mapping[Side, Recipe], shards: Any) -> None:  # noqa: ANN401  ray.ObjectRef
        self._shards: list[Shard] = ray.get(shards)
        self._recipes = recipes
        self._loaded: tuple[Side, Encoder | Writer] | None = None

    def _load(self, side: Side) -> Encoder | Writer:
        """
        Load a model in place of the one before.

        Not when the actor is made: what goes wrong there is lost in Ray's report that it died.
        """
        if self._loaded is None or self._loaded[0] != side:
            self._loaded = None
            gc.collect()  # the model before holds references to itself, and there may be no room for two
            self._loaded = side, load(self._recipes[side])
        return self._loaded[1]

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """
        Do the one shard of a batch.

        The table travels as bytes, so that an empty one does too, and a DataError as what it says: of an exception Ray
        brings home only the trace.
        """
        (index,) = batch["item"].tolist()
        try:
            shard = self._shards[index]
            ((_, table),) = self._load(shard.side).work([shard])
        except DataError as error:
            return {"shard": [index], "table": [b""], "refused": [str(error)]}
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return {"shard": [index], "table": [sink.getvalue().to_pybytes()], "refused": [""]}


def _knock(address: str) -> None:
    """
    Raise OSError where nobody listens at HOST:PORT, or what listens is no Ray that lets us in.

    `ray.init` waits for minutes for the first, and for what is not Ray without end.
    """
    at = urlsplit(address if "://" in address else f"//{address}")
    if not (at.hostname and at.port):
        return
    socket.create_connection((at.hostname, at.port), timeout=10).close()
    if at.scheme:  # a Ray client's address, which answers in another language
        return
    ask = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        msg = f"no answer in {PATIENCE} seconds"
        raise TimeoutError(msg) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason"])[-1][:300]
        raise ConnectionError(reason)


def _guard_token(*, makes: bool) -> None:
    """Let only its owner read the file of Ray's token; Ray itself makes one that all users of a machine can read."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    if path.exists():
        if path.stat().st_uid == os.getuid():
            path.chmod(0o600)
        return
    if not makes:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))


def _where() -> str:
    """Say where the cluster listens, and what keeps others out."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    ports = [f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}, {node['ObjectManagerPort']}" for node in nodes]
    mode = os.environ.get("RAY_AUTH_MODE")
    kept = "Only who has the token can use it." if mode == "token" else "WITHOUT a token: all who reach it can use it."
    return f"Ray listens at {ray.get_runtime_context().gcs_address} and {'; '.join(ports)}. {kept}"


def _share_gpus(each: int) -> tuple[int, int]:
    """Return how many GPUs a worker takes, and for how many workers there is room; a model stays on one node."""
    nodes = sorted(int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"])
    if not any(nodes):
        return 0, 1
    room = sum(gpus // each for gpus in nodes)
    if not room:
        msg = f"--gpus-per-model {each} needs as many GPUs on one node, but those of the cluster have {listed(nodes)}."
        raise DataError(msg)
    return each, room
