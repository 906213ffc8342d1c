"""Settings → a plan: everything that can be read and checked before a model is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from featurediff.collect.chat import Chats, Tokenised, tokenise
from featurediff.collect.models import ModelInfo, describe_model, load_tokenizer
from featurediff.collect.pools import Pool, parse_pools
from featurediff.collect.positions import Positions, Preset, find_preset, parse_positions
from featurediff.collect.prompts import PromptFile, read_prompts
from featurediff.collect.recipe import Recipe
from featurediff.collect.remarks import say_adapters, say_context, say_repeats
from featurediff.collect.saes import Sae, load_sae
from featurediff.collect.shape import Shape
from featurediff.collect.templates import TemplateProcess, parse_options, read_template
from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.labels import PROMPTS, Prompts, Side
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurediff.collect.early import Early
    from featurediff.collect.settings import Settings


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

    examples: dict[Prompts, str]
    """The first prompt of each set in the chat template."""

    notes: tuple[str, ...]
    """Why prompts were left out: a sentence each."""

    remarks: tuple[str, ...]
    """What is odd and not refused: a sentence each."""

    names: tuple[str, str]
    """Model and trainer in the folder's name."""

    folder: Path
    """The source that will be written."""

    early: Early | None
    """Where the first model is being loaded; None where nothing is."""

    @property
    def shape(self) -> Shape:
        """Positions and features."""
        return Shape(self.positions.token_types, self.sae.num_features, self.positions.pooled)


def plan(settings: Settings, early: Early | None = None) -> Plan:
    """
    Read the prompts, load the SAE, and check everything that can be checked before a model runs.

    Parameters
    ----------
    settings : Settings
        What was asked for.
    early : Early or None
        Where the first model is loaded while prompts are read, for a plan that is carried out; None to load nothing.

    Raises
    ------
    DataError
        If a file, name or setting is bad, or the parts do not belong together; see the modules of this room.
    """
    if early is None:
        with TemplateProcess() as process:
            return _plan(settings, process, None)
    return _plan(settings, early.process, early)


def _plan(settings: Settings, process: TemplateProcess, early: Early | None) -> Plan:
    if settings.base == settings.chat:
        msg = f"--base and --chat are both {settings.base!r}. Expected a model and what was tuned from it."
        raise DataError(msg)
    files = _read_files(settings)
    models: dict[Side, ModelInfo] = {"base": describe_model(settings.base), "chat": describe_model(settings.chat)}
    preset = find_preset(settings.preset, models["chat"].config.model_type)
    positions = parse_positions(settings.header, settings.positions, preset)
    positions = replace(positions, pools=_read_pools(settings, positions))
    sae = load_sae(settings.sae, settings.layer)
    names = _names(settings, preset)
    folder = _folder(settings, names, sae)
    for model in models.values():
        model.check_size(block=sae.block, width=sae.width)
    if early and settings.ray is None and not _has_begun(settings):
        first = settings.writers[0] if settings.writers else "base"
        dtype, generates = choose_dtype(settings), bool(settings.writers)
        early.load(Recipe.of(settings, models[first], positions.pooled, dtype, generates=generates), sae)
    read = _read_chats(settings, models, preset, positions, files, process)
    chats = {prompts: found.chats for prompts, found in read.items()}
    largest = max(int(of_set.tokens.max()) for of_set in chats.values())
    for model in models.values():
        model.check_tokens(largest)
    return Plan(
        settings,
        models,
        sae,
        positions,
        files,
        chats,
        examples={prompts: found.example for prompts, found in read.items()},
        notes=tuple(why for prompts, file in files.items() for why in (*file.skipped, *read[prompts].skipped)),
        remarks=(
            *sae.remarks([name for model in models.values() for name in model.names]),
            *say_adapters(models),
            *say_context(files, settings.system),
            *say_repeats(files, chats),
        ),
        names=names,
        folder=folder,
        early=early,
    )


def _has_begun(settings: Settings) -> bool:
    """Tell whether a run before was stopped, which may have done all that the first model has to do."""
    return any(path.is_dir() for path in settings.out.glob(".collect-*"))


def choose_dtype(settings: Settings) -> str:
    """Return the dtype that was asked for, or the one that suits the GPUs here or of the cluster, which is joined."""
    if settings.dtype:
        return settings.dtype
    if settings.ray is None:
        import torch

        num_gpus = torch.cuda.device_count()
    else:
        from featurediff.collect.cluster import connect

        num_gpus = connect(settings.ray)
    return "bfloat16" if num_gpus else "float32"


def _read_pools(settings: Settings, positions: Positions) -> tuple[Pool, ...]:
    """Read `--pool`, and hold it and `--generate` to the responses that there are."""
    if settings.generate and settings.response_column:
        msg = "--generate makes responses, and --response-column reads them. Give one of them."
        raise DataError(msg)
    if settings.generate_by != "chat" and not settings.generate:
        msg = "--generate-by says which model generates the responses. Give --generate as well."
        raise DataError(msg)
    pools = parse_pools(settings.pools, positions.token_types)
    lacking = next((pool.name for pool in pools if pool.part == "response"), None)
    if lacking is not None and not (settings.generate or settings.response_column):
        msg = f"--pool {quoted(lacking)} reads responses. Give them with --response-column or --generate."
        raise DataError(msg)
    return pools


def _read_files(settings: Settings) -> dict[Prompts, PromptFile]:
    """Read both prompt files."""
    of_files = (settings.target, settings.target_column), (settings.control, settings.control_column)
    files: dict[Prompts, PromptFile] = {
        prompts: read_prompts(
            path,
            column or settings.column,
            system=settings.system,
            group=settings.group,
            response=settings.response_column,
            skip_bad=settings.skip_bad,
        )
        for prompts, (path, column) in zip(PROMPTS, of_files, strict=True)
    }
    _check_groups(files)
    return files


def _read_chats(
    settings: Settings,
    models: Mapping[Side, ModelInfo],
    preset: Preset | None,
    positions: Positions,
    files: Mapping[Prompts, PromptFile],
    process: TemplateProcess,
) -> dict[Prompts, Tokenised]:
    """Put both prompt files into the chat model's template."""
    tokenizer = load_tokenizer(models["chat"])
    options = parse_options(preset.options if preset else ()) | parse_options(settings.template_options)
    template = read_template(tokenizer, options, process)
    longest = min(model.text.max_position_embeddings for model in models.values()) - (settings.generate or 0)
    return {
        prompts: tokenise(tokenizer, file, template, positions, longest=longest, skip_bad=settings.skip_bad)
        for prompts, file in files.items()
    }


def _check_groups(files: Mapping[Prompts, PromptFile]) -> None:
    """Refuse a group whose prompts are in both sets, which no test could exchange together."""
    target, control = ({prompt.group for prompt in files[prompts].prompts} - {None} for prompts in PROMPTS)
    shared = target & control
    if shared:
        names = " and ".join(f"`{files[prompts].name}`" for prompts in PROMPTS)
        msg = (
            f"{names} both have the group {quoted(min(map(str, shared)))} ({len(shared)} such), but "
            "a group's prompts must be of one set. Rename it in one file."
        )
        raise DataError(msg)


def _names(settings: Settings, preset: Preset | None) -> tuple[str, str]:
    """Return model and trainer for the folder's name."""
    is_local = kind_of(Path(settings.sae)) == "folder"
    own = Path(settings.sae).resolve().name if is_local else settings.sae.partition(":")[2].replace("/", "-")
    known = {preset.sae: preset.trainer} if preset and preset.trainer else {}
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
    refuse_existing(folder)
    return folder


def refuse_existing(folder: Path) -> None:
    """
    Refuse to write over what is there.

    Raises
    ------
    DataError
        If there is a file or folder of that name.
    """
    if kind_of(folder) is not None:
        msg = f"`{folder}` is there already. Remove it, or give this run another --prompt-set."
        raise DataError(msg)
