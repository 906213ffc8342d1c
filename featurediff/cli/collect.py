"""`featurediff collect` on the command line; what it runs is imported when it is called."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.table import Column
from rich.text import Text
from typer.core import TyperCommand

from featurediff.errors import DataError

if TYPE_CHECKING:
    from featurediff.collect.settings import Settings

_NEEDED = {"collect": ("transformers", "sae_lens", "accelerate"), "cluster": ("ray",)}
"""Extras of the package, and what they bring."""


class Dtype(StrEnum):
    """A dtype, as typer can offer it in a list."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class GenerateBy(StrEnum):
    """Who writes responses, as typer can offer it in a list."""

    BASE = "base"
    CHAT = "chat"
    EACH = "each"


class CollectCommand(TyperCommand):
    """A command whose `--ray` may stand without an address, which typer does not offer."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  not public
        """Give a `--ray` that is last, or that another option follows, the address "auto"."""
        following = [*args[1:], "-"]
        filled = [
            [arg, "auto"] if arg == "--ray" and after.startswith("-") else [arg]
            for arg, after in zip(args, following, strict=False)
        ]
        return super().parse_args(ctx, [arg for pair in filled for arg in pair])


def collect(
    base: Annotated[str, typer.Option(metavar="MODEL", help="The model before tuning: hub id or folder.")],
    chat: Annotated[str, typer.Option(metavar="MODEL", help="The model after tuning; its chat template is used.")],
    sae: Annotated[str, typer.Option(metavar="RELEASE:SAE_ID", help="The SAE, as SAELens names it, or a folder.")],
    target: Annotated[Path, typer.Option(help="Prompts that show the behaviour: JSON, a table, or lines of text.")],
    control: Annotated[Path, typer.Option(help="All other prompts.")],
    out: Annotated[Path, typer.Option(help="The results tree to write into.")],
    column: Annotated[str, typer.Option(help="Where JSON and tables hold the prompt.")] = "content",
    target_column: Annotated[str | None, typer.Option(help="The same, of the target file only.")] = None,
    control_column: Annotated[str | None, typer.Option(help="The same, of the control file only.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt, where a prompt has none of its own.")] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Where the files say which prompts belong together.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Positions of a family, such as gemma-2-9b.")] = None,
    header: Annotated[str | None, typer.Option(help="Text that opens the assistant's turn.")] = None,
    position: Annotated[
        list[str] | None, typer.Option(metavar="NAME=OFFSET", help="A token to read; 0 is the first after the header.")
    ] = None,
    template_option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What the chat template is told.")
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PART:max|mean", help="Read all tokens of the prompt or the response as one."),
    ] = None,
    response_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Where the files hold responses to read.")
    ] = None,
    generate: Annotated[
        int | None, typer.Option(min=1, help="Have the responses generated, of so many tokens.")
    ] = None,
    generate_by: Annotated[GenerateBy, typer.Option(help="Who writes the responses, read by both or by each.")] = (
        GenerateBy.CHAT
    ),
    name: Annotated[str | None, typer.Option(help="The model, in the folder's name.")] = None,
    trainer: Annotated[str | None, typer.Option(help="The SAE, in the folder's name.")] = None,
    layer: Annotated[int | None, typer.Option(min=0, help="Of the SAE, if it does not say.")] = None,
    prompt_set: Annotated[str | None, typer.Option(help="The folder; by default the target file's name.")] = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Of the models; bfloat16 on a GPU, float32 on a CPU.")] = None,
    batch_size: Annotated[str, typer.Option(metavar="N|auto", help="Prompts that are run together.")] = "auto",
    fit: Annotated[
        bool, typer.Option(help="Say how well the SAE reads both models; takes memory for its decoder.")
    ] = True,
    tf32: Annotated[
        bool, typer.Option("--tf32", help="On a GPU, multiply with the SAE in TF32: faster, but not as exact.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad prompts out, and count them.")] = False,
    ray: Annotated[
        str | None, typer.Option(metavar="[ADDRESS]", help="Run on a Ray cluster; by default one on this machine.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Copies of the model on the cluster.")] = None,
    gpus_per_model: Annotated[int, typer.Option(min=1, help="GPUs that one model is spread over, by its layers.")] = 1,
) -> None:
    """Run a base and a chat model on target and control prompts, read one SAE, and write a source."""
    _check_installed("collect", *(["cluster"] if ray is not None else []))
    if workers is not None and ray is None:
        msg = "--workers is the number of models on a Ray cluster. Give --ray as well."
        raise DataError(msg)
    from featurediff.collect.settings import Settings

    settings = Settings(
        base=base,
        chat=chat,
        sae=sae,
        target=target,
        control=control,
        out=out,
        column=column,
        target_column=target_column,
        control_column=control_column,
        system=system,
        group=group,
        preset=preset,
        header=header,
        positions=tuple(position or ()),
        template_options=tuple(template_option or ()),
        pools=tuple(pool or ()),
        response_column=response_column,
        generate=generate,
        generate_by=generate_by.value,
        name=name,
        trainer=trainer,
        layer=layer,
        prompt_set=prompt_set,
        dtype=dtype.value if dtype else None,
        batch_size=_parse_batch_size(batch_size),
        fit=fit,
        tf32=tf32,
        skip_bad=skip_bad,
        ray=ray,
        workers=workers,
        gpus_per_model=gpus_per_model,
        command=shlex.join(["featurediff", *sys.argv[1:]]),
    )
    _run(settings)


def _run(settings: Settings) -> None:
    """Plan, run and write, and tell about it."""
    from featurediff.cli.terminal import err, printable
    from featurediff.collect.early import Early

    with Early() as early:  # before torch and transformers, which take seconds to import
        from featurediff.collect.planning import plan
        from featurediff.collect.run import execute

        with err.status("Reading prompts and SAE"):
            planned = plan(settings, early)
        for remark in planned.remarks:
            err.print(printable(f"Note: {remark}", "yellow"))
        for note in planned.notes:
            err.print(printable(f"Skipped {note}", "yellow"))
        with Progress(*COLUMNS, console=err) as bar:
            folder = execute(planned, Bar(bar))
    counts = " and ".join(f"{len(chats):,} {prompts}" for prompts, chats in planned.chats.items())
    skipped = f"; {len(planned.notes):,} skipped" if planned.notes else ""
    err.print(printable(f"{folder}: {counts} prompts{skipped}"))


class Bar:
    """Shows on one line what is done and how fast."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("Starting", total=None)

    def start(self, prompts: int) -> None:
        """Say how many prompts are to go through a model, from now on."""
        self._bar.reset(self._task, total=prompts)

    def stage(self, text: str) -> None:
        """Say what is done now."""
        self._bar.update(self._task, description=text)

    def note(self, text: str) -> None:
        """Say what was left out, above the bar."""
        from featurediff.cli.terminal import printable

        self._bar.console.print(printable(f"Skipped {text}", "yellow"))

    def advance(self, prompts: int) -> None:
        """Count prompts that went through a model."""
        self._bar.advance(self._task, prompts)


class Speed(ProgressColumn):
    """Prompts in a second."""

    def render(self, task: Task) -> Text:
        """Return the speed of the last moments, or of all when done."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} prompts/s")


class Stage(ProgressColumn):
    """What is done now, cut where a narrow terminal has no room for it, so that the numbers stay whole."""

    def render(self, task: Task) -> Text:
        """Return the description on one line."""
        return Text(task.description, no_wrap=True, overflow="ellipsis")


COLUMNS = (
    Stage(),
    BarColumn(bar_width=20),
    MofNCompleteColumn(table_column=Column(no_wrap=True)),
    Speed(table_column=Column(no_wrap=True)),
    TimeRemainingColumn(table_column=Column(no_wrap=True)),
)


def _parse_batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**6):
        msg = f"--batch-size is a number of prompts or auto, but {text[:40]!r} was given."
        raise DataError(msg)
    return int(text)


def _check_installed(*extras: str) -> None:
    for extra in extras:
        missing = [module for module in _NEEDED[extra] if importlib.util.find_spec(module) is None]
        if missing:
            msg = f"This needs {', '.join(missing)}, not installed here: pip install 'featurediff[{','.join(extras)}]'"
            raise DataError(msg)
