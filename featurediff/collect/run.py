"""The whole of `featurediff collect` after its plan: encode, then write."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import shutil
from typing import TYPE_CHECKING, Protocol

from featurediff.collect.answers import answer
from featurediff.collect.encoder import Encoder
from featurediff.collect.loading import load
from featurediff.collect.origin import facts, local_files, metadata
from featurediff.collect.output import SourceWriter
from featurediff.collect.planning import choose_dtype, refuse_existing
from featurediff.collect.prompt_table import write_prompts
from featurediff.collect.recipe import Recipe
from featurediff.collect.shards import Shard, Workshop, cut, fingerprint
from featurediff.errors import DataError
from featurediff.files import sync
from featurediff.labels import SIDES
from featurediff.locks import alone
from featurediff.sources.result_files import read_results
from featurediff.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from featurediff.collect.planning import Plan
    from featurediff.labels import Side


class Progress(Protocol):
    """Whom to tell how far it is."""

    def start(self, prompts: int) -> None:
        """Say how many prompts are to go through a model, from now on; one that goes through both counts twice."""

    def stage(self, text: str) -> None:
        """Say what is done now."""

    def advance(self, prompts: int) -> None:
        """Count prompts that went through a model."""

    def note(self, text: str) -> None:
        """Say what was left out."""


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
        If another run writes the same source, a model cannot be loaded or run, the cluster fails, or the results cannot
        be written.
    """
    dtype = choose_dtype(plan.settings)
    key = fingerprint({**facts(plan, dtype), "files": local_files(plan)}, plan.chats)
    workshop = Workshop(plan.settings.out / f".collect-{key}")
    with _alone(plan, workshop):
        refuse_existing(plan.folder)  # another run may have written it since this one was planned
        answered = answer(plan, workshop, lambda kept, shards: _work(plan, dtype, kept, shards, progress))
        for note in answered.notes:
            progress.note(note)
        shards = cut(answered.chats)
        made = _empty_folder(workshop.folder / "source")
        with SourceWriter(made, workshop, shards, plan.shape) as writer:
            _work(plan, dtype, workshop, shards, progress, writer.add)
            progress.stage(f"Writing {plan.folder}")
            with _writing(plan.folder):
                decoder = plan.sae.decoder if plan.settings.fit else None
                writer.finish(decoder, {side: metadata(plan, answered, side, dtype) for side in SIDES})
                write_prompts(made / "prompts.parquet", plan, answered)
                _put_in_place(made, plan.folder)
                shutil.rmtree(workshop.folder)
    return plan.folder


def _empty_folder(folder: Path) -> Path:
    """Make a folder, or empty the one that a run before has left."""
    with _writing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    return folder


@contextlib.contextmanager
def _alone(plan: Plan, workshop: Workshop) -> Iterator[None]:
    """Keep others from the source that will be written, and from the hidden folder, which runs of one plan share."""
    name = hashlib.sha256("/".join(plan.folder.parts[-2:]).encode(errors="surrogateescape")).hexdigest()[:16]
    with (
        alone(plan.settings.out / f".collect-{name}.lock", "run of collect"),
        alone(workshop.folder.with_name(f"{workshop.folder.name}.lock"), "run of collect"),
    ):
        yield


def _work(
    plan: Plan,
    dtype: str,
    workshop: Workshop,
    shards: Sequence[Shard],
    progress: Progress,
    tell: Callable[[Shard], None] = lambda _: None,
) -> None:
    """Do what is not done yet of some shards, here or on the cluster, save what comes of each, and tell that it is."""
    todo = []
    for shard in shards:
        if workshop.has(shard):
            tell(shard)
        else:
            todo.append(shard)
    progress.start(sum(len(shard.chats) for shard in todo))
    generates = workshop.stage == "responses"
    pooled = plan.positions.pooled
    recipes = {side: Recipe.of(plan.settings, plan.models[side], pooled, dtype, generates=generates) for side in SIDES}
    do = _work_here if plan.settings.ray is None else _work_on_ray
    for shard, table in do(plan, recipes, todo, progress) if todo else ():
        with _writing(workshop.folder):
            workshop.save(shard, table)
            tell(shard)


def _work_here(
    plan: Plan, recipes: Mapping[Side, Recipe], shards: Sequence[Shard], progress: Progress
) -> Iterator[tuple[Shard, pa.Table]]:
    """Load one model after the other, and yield what comes of its shards as they are done."""
    for side, recipe in recipes.items():
        of_model = [shard for shard in shards if shard.side == side]
        if of_model:
            progress.stage(f"Loading {recipe.model}")
            gc.collect()  # the model before holds references to itself, and there may be no room for two
            loaded = (plan.early.take(recipe) if plan.early else None) or load(recipe, plan.sae)
            if isinstance(loaded, Encoder):
                loaded.warm_up(max(of_model, key=lambda shard: shard.chats.lengths.max()).chats)
            progress.stage(f"{_verb(recipe)} {recipe.model}")
            yield from loaded.work(of_model, progress.advance)
            del loaded


def _work_on_ray(
    plan: Plan, recipes: Mapping[Side, Recipe], shards: Sequence[Shard], progress: Progress
) -> Iterator[tuple[Shard, pa.Table]]:
    """Have workers do the shards, and yield what comes of them in the order in which they are done."""
    from featurediff.collect.cluster import work_on_ray

    settings, at = plan.settings, None
    progress.stage(f"Waiting for workers on {settings.ray}, and for the first {plural(len(shards[0].chats), 'prompt')}")
    for shard, table in work_on_ray(recipes, shards, settings.workers):
        if shard.side != at:
            at, recipe = shard.side, recipes[shard.side]
            progress.stage(f"{_verb(recipe)} {recipe.model} on {settings.ray}")
        progress.advance(len(shard.chats))
        yield shard, table


def _verb(recipe: Recipe) -> str:
    return "Asking" if recipe.generate else "Running"


def _put_in_place(made: Path, folder: Path) -> None:
    """Check a source that is whole, and give it its name."""
    read_results(made)
    for path in (*made.iterdir(), made):
        sync(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made.rename(folder)
    sync(folder.parent)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"`{path}` cannot be written ({error.strerror or error}). Is there room, and may you write there?"
        raise DataError(msg) from error
