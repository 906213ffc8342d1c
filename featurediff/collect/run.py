"""The work of `featurediff collect`: encode what was planned, and write the source."""

from __future__ import annotations

import contextlib
import gc
import platform
import shutil
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from featurediff.collect.encoder import Encoder, Recipe
from featurediff.collect.output import write_files, write_prompts
from featurediff.collect.shards import Shard, Workshop, cut, fingerprint
from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.labels import SIDES, Side
from featurediff.sources.results import read_results
from featurediff.version import package_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from featurediff.collect.planning import Plan
    from featurediff.collect.settings import Settings

_LIBRARIES = ("torch", "transformers", "sae-lens", "numpy")


class Progress(Protocol):
    """Whom to tell how far it is."""

    def start(self, prompts: int) -> None:
        """Say how many prompts are to go through a model; one that goes through both counts twice."""

    def stage(self, text: str) -> None:
        """Say what is done now."""

    def advance(self, prompts: int) -> None:
        """Count prompts that went through a model."""


def execute(plan: Plan, progress: Progress) -> Path:
    """
    Run both models, and write the source.

    Finished shards are kept in a hidden folder until the source is whole, and a run of the same plan goes on from them.

    Parameters
    ----------
    plan : Plan
        What to do.
    progress : Progress
        Whom to tell.

    Returns
    -------
    Path
        The source.

    Raises
    ------
    DataError
        If a model cannot be loaded or run, the cluster fails, or the results cannot be written.
    """
    has_gpu = _count_gpus(plan.settings) > 0
    dtype = plan.settings.dtype or ("bfloat16" if has_gpu else "float32")
    shards = cut(plan.chats)
    key = fingerprint({**_facts(plan, dtype), "files": _local_files(plan.settings)}, plan.chats)
    workshop = Workshop(plan.settings.out / f".collect-{key}")
    todo = [shard for shard in shards if not workshop.has(shard)]
    progress.start(sum(len(shard.chats) for shard in todo))
    for side, model in plan.models.items():
        of_version = [shard for shard in todo if shard.side == side]
        if of_version:
            progress.stage(f"Loading {model.name}")
            gc.collect()  # the model before holds references to itself, and there may be no room for two
            encoded = _encode(plan, side, dtype, of_version, progress)
            for shard, active in encoded:
                with _writing(workshop.folder):
                    workshop.save(shard, active)
    progress.stage(f"Writing {plan.folder}")
    with _writing(plan.folder):
        _write(plan, workshop, shards, dtype)
    return plan.folder


def _encode(
    plan: Plan, side: Side, dtype: str, shards: Sequence[Shard], progress: Progress
) -> Iterator[tuple[Shard, pa.Table]]:
    """Load one model, here or on the cluster, and yield the shards as they are encoded."""
    settings, model = plan.settings, plan.models[side]
    recipe = Recipe(
        model=model.name,
        revision=model.revision,
        sae=settings.sae,
        layer=settings.layer,
        dtype=dtype,
        batch_size=settings.batch_size,
        num_gpus=settings.tensor_parallel,
    )
    if settings.ray is None:
        encoder = Encoder(model, plan.sae, recipe)
        encoder.warm_up(max(shards, key=lambda shard: shard.chats.lengths.max()).chats)
        progress.stage(f"Running {model.name}")
        yield from encoder.encode(shards, progress.advance)
    else:
        from featurediff.collect.cluster import encode_on_ray

        progress.stage(f"Running {model.name} on {settings.ray}")
        yield from encode_on_ray(recipe, shards, settings.workers, progress.advance)


def _count_gpus(settings: Settings) -> int:
    """Return the number of GPUs here, or of those of the cluster, which is joined."""
    if settings.ray is None:
        import torch

        return torch.cuda.device_count()
    from featurediff.collect.cluster import connect

    return connect(settings.ray)


def _write(plan: Plan, workshop: Workshop, shards: Sequence[Shard], dtype: str) -> None:
    made = workshop.folder / "source"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    metadata = {side: _metadata(plan, side, dtype) for side in SIDES}
    write_files(made, workshop, shards, plan.shape, metadata)
    write_prompts(made / "prompts.parquet", plan.files, plan.chats)
    read_results(made)
    plan.folder.parent.mkdir(parents=True, exist_ok=True)
    made.rename(plan.folder)
    shutil.rmtree(workshop.folder)


def _metadata(plan: Plan, side: Side, dtype: str) -> dict[str, Any]:
    model, trainer = plan.names
    return {
        "source": f"{plan.folder.name}, {side}, collected by featurediff {package_version()}",
        "model_type": model,
        "model_ver": side,
        "sae_layer": plan.sae.layer,
        "sae_trainer": trainer,
        "num_target_prompts": len(plan.chats["target"]),
        "num_control_prompts": len(plan.chats["control"]),
        "num_features": plan.sae.num_features,
        "token_types": list(plan.positions.token_types),
        "sae_release": plan.sae.release,
        "sae_id": plan.sae.sae_id,
        "neuronpedia_id": plan.sae.neuronpedia_id,
        "model_id": plan.models[side].name,
        "model_revision": plan.models[side].revision,
        "skipped_prompts": len(plan.notes),
        "command": plan.settings.command,
        **_facts(plan, dtype),
    }


def _facts(plan: Plan, dtype: str) -> dict[str, Any]:
    """Return what a result depends on, in plain Python values."""
    return {
        "models": {side: [model.name, model.revision] for side, model in plan.models.items()},
        "sae": plan.settings.sae,
        "sae_block": plan.sae.block,
        "dtype": dtype,
        "header": plan.positions.header,
        "positions": dict(plan.positions.offsets),
        "prompt_files": {prompts: {"name": file.name, "sha256": file.sha256} for prompts, file in plan.files.items()},
        "versions": {
            "featurediff": package_version(),
            "python": platform.python_version(),
            **{library: version_of(library) for library in _LIBRARIES},
        },
    }


def _local_files(settings: Settings) -> list[list[Any]]:
    """Return name, size and time of every file of local models and SAEs, so that another run notices a change."""
    folders = [Path(name) for name in (settings.base, settings.chat, settings.sae) if kind_of(Path(name)) == "folder"]
    found = [(path, path.stat()) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return [[str(path), status.st_size, status.st_mtime_ns] for path, status in found]


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"`{path}` cannot be written ({error.strerror or error}). Is there room, and may you write there?"
        raise DataError(msg) from error
