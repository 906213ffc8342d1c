"""The whole of `featurediff collect` after its plan: encode, then write."""

from __future__ import annotations

import contextlib
import gc
import shutil
from typing import TYPE_CHECKING, Protocol

from featurediff.collect.encoder import Encoder, Recipe
from featurediff.collect.origin import facts, local_files, metadata
from featurediff.collect.output import write_files, write_prompts
from featurediff.collect.shards import Shard, Workshop, cut, fingerprint
from featurediff.errors import DataError
from featurediff.labels import SIDES, Side
from featurediff.sources.results import read_results

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from featurediff.collect.planning import Plan
    from featurediff.collect.settings import Settings
    from featurediff.collect.shards import Encoded


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
    key = fingerprint({**facts(plan, dtype), "files": local_files(plan)}, plan.chats)
    workshop = Workshop(plan.settings.out / f".collect-{key}")
    todo = [shard for shard in shards if not workshop.has(shard)]
    progress.start(sum(len(shard.chats) for shard in todo))
    for side, model in plan.models.items():
        of_version = [shard for shard in todo if shard.side == side]
        if of_version:
            progress.stage(f"Loading {model.name}")
            gc.collect()  # the model before holds references to itself, and there may be no room for two
            encoded = _encode(plan, side, dtype, of_version, progress)
            for shard, found in encoded:
                with _writing(workshop.folder):
                    workshop.save(shard, found)
    progress.stage(f"Writing {plan.folder}")
    with _writing(plan.folder):
        _write(plan, workshop, shards, dtype)
    return plan.folder


def _encode(
    plan: Plan, side: Side, dtype: str, shards: Sequence[Shard], progress: Progress
) -> Iterator[tuple[Shard, Encoded]]:
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
        fit=settings.fit,
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
    said = {side: metadata(plan, side, dtype) for side in SIDES}
    write_files(made, workshop, shards, plan.shape, plan.sae.decoder if plan.settings.fit else None, said)
    write_prompts(made / "prompts.parquet", plan.files, plan.chats, grouped=plan.settings.group is not None)
    read_results(made)
    plan.folder.parent.mkdir(parents=True, exist_ok=True)
    made.rename(plan.folder)
    shutil.rmtree(workshop.folder)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"`{path}` cannot be written ({error.strerror or error}). Is there room, and may you write there?"
        raise DataError(msg) from error
