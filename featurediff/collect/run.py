"""The whole of `featurediff collect`, in order: plan, encode, write."""

from __future__ import annotations

import contextlib
import gc
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from featurediff.collect.chat import Chats, tokenise
from featurediff.collect.encoder import Encoder, Recipe
from featurediff.collect.models import ModelInfo, describe_model, load_tokenizer
from featurediff.collect.output import Shape, write_files, write_prompts
from featurediff.collect.positions import Positions, Preset, find_preset, parse_positions
from featurediff.collect.prompts import PromptFile, read_prompts
from featurediff.collect.saes import Sae, load_sae
from featurediff.collect.shards import Shard, Workshop, cut, fingerprint
from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.labels import PROMPTS, SIDES, Prompts, Side
from featurediff.sources.results import read_results
from featurediff.version import package_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

_LIBRARIES = ("torch", "transformers", "sae-lens", "numpy")


@dataclass(frozen=True)
class Settings:
    """What a user asks for."""

    base: str
    """The model before tuning: hub id or local folder."""

    chat: str
    """The model after tuning; its tokenizer and chat template are used for both."""

    sae: str
    """RELEASE:SAE_ID in SAELens, or a local folder."""

    target: Path
    """File with the prompts that show the behaviour under study."""

    control: Path
    """File with all other prompts."""

    out: Path
    """Results tree to write into."""

    column: str = "content"
    """Where JSONL and CSV files hold the prompt."""

    preset: str | None = None
    """Name of a preset; None for the one that fits the chat model's architecture, if any."""

    header: str | None = None
    """Text that opens the assistant's turn; None for the preset's."""

    positions: tuple[str, ...] = ()
    """NAME=OFFSET; none for the preset's."""

    name: str | None = None
    """Model in the folder's name; None for the preset's, or else the base model's."""

    trainer: str | None = None
    """SAE in the folder's name; None for the preset's if it is the preset's SAE, or else from the SAE's id."""

    layer: int | None = None
    """Layer of the SAE, where it does not say."""

    prompt_set: str | None = None
    """Folder of this pair of prompt files; None for the target file's name."""

    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """Of the models; None for bfloat16 on a GPU and float32 on a CPU."""

    batch_size: int | None = None
    """Prompts that are run together; None for as many as the device likes."""

    skip_bad: bool = False
    """Leave bad prompts out, instead of refusing the file."""

    ray: str | None = None
    """Address of a Ray cluster, or "auto"; None to run here."""

    workers: int | None = None
    """Copies of the model on the cluster; None for as many as fit its GPUs."""

    tensor_parallel: int = 1
    """GPUs that one model is spread over."""

    command: str = ""
    """How the user asked, for the metadata."""


class Progress(Protocol):
    """Whom to tell how far it is."""

    def start(self, prompts: int) -> None:
        """Say how many prompts are to go through a model; one that goes through both counts twice."""

    def stage(self, text: str) -> None:
        """Say what is done now."""

    def advance(self, prompts: int) -> None:
        """Count prompts that went through a model."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What is known before any model is loaded."""

    settings: Settings
    """What was asked for."""

    models: dict[Side, ModelInfo]
    """Both models, without weights."""

    sae: Sae
    """The SAE."""

    positions: Positions
    """What is read in each sequence."""

    files: dict[Prompts, PromptFile]
    """Both prompt files."""

    chats: dict[Prompts, Chats]
    """The prompts that are run."""

    notes: tuple[str, ...]
    """Why prompts were left out: a sentence each."""

    names: tuple[str, str]
    """Model and trainer in the folder's name."""

    folder: Path
    """The source that will be written."""

    @property
    def shape(self) -> Shape:
        """Positions and features."""
        return Shape(self.positions.token_types, self.sae.num_features)


def plan(settings: Settings) -> Plan:
    """
    Read the prompts, load the SAE, and check everything that can be checked before a model is loaded.

    Raises
    ------
    DataError
        If a file, name or setting is bad, or the parts do not belong together; see the modules of this room.
    """
    if settings.base == settings.chat:
        msg = f"--base and --chat are both {settings.base!r}. Expected a model and what was tuned from it."
        raise DataError(msg)
    files: dict[Prompts, PromptFile] = {
        prompts: read_prompts(path, settings.column, skip_bad=settings.skip_bad)
        for prompts, path in zip(PROMPTS, (settings.target, settings.control), strict=True)
    }
    models: dict[Side, ModelInfo] = {"base": describe_model(settings.base), "chat": describe_model(settings.chat)}
    preset = find_preset(settings.preset, models["chat"].config.model_type)
    positions = parse_positions(settings.header, settings.positions, preset)
    sae = load_sae(settings.sae, settings.layer)
    names = _names(settings, preset)
    folder = _folder(settings, names, sae)
    tokenizer = load_tokenizer(models["chat"])
    longest = min(model.text.max_position_embeddings for model in models.values())
    chats: dict[Prompts, Chats] = {}
    notes: list[str] = []
    for prompts, file in files.items():
        chats[prompts], skipped = tokenise(tokenizer, file, positions, longest=longest, skip_bad=settings.skip_bad)
        notes += [*file.skipped, *skipped]
    largest = max(int(of_set.tokens.max()) for of_set in chats.values())
    for model in models.values():
        model.check(block=sae.block, width=sae.width, largest_token=largest)
    return Plan(settings, models, sae, positions, files, chats, tuple(notes), names, folder)


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


def _names(settings: Settings, preset: Preset | None) -> tuple[str, str]:
    """Return model and trainer for the folder's name."""
    is_local = kind_of(Path(settings.sae)) == "folder"
    own = Path(settings.sae).resolve().name if is_local else settings.sae.partition(":")[2].replace("/", "-")
    known = {preset.sae: preset.trainer} if preset else {}
    # An architecture has models of several sizes, so that only a preset that was asked for says which one this is.
    family = preset.model if preset and settings.preset else Path(settings.base).name
    return settings.name or family, settings.trainer or known.get(settings.sae, own)


def _folder(settings: Settings, names: tuple[str, str], sae: Sae) -> Path:
    """Return the folder to write, which must not be there yet."""
    parts = (f"{names[0]}_trainer{names[1]}_layer{sae.layer}", settings.prompt_set or settings.target.stem)
    for part in parts:
        if not part or part.startswith(".") or Path(part).name != part:
            msg = f"{part!r} cannot be a folder's name. Choose --name, --trainer and --prompt-set without slashes."
            raise DataError(msg)
    folder = settings.out.joinpath(*parts)
    if kind_of(folder) is not None:
        msg = f"`{folder}` is there already. Remove it, or give this run another --prompt-set."
        raise DataError(msg)
    return folder


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"`{path}` cannot be written ({error.strerror or error}). Is there room, and may you write there?"
        raise DataError(msg) from error
