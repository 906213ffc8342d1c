"""What a user of `featurediff collect` asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from featurediff.labels import SIDES

if TYPE_CHECKING:
    from pathlib import Path

    from featurediff.labels import Side


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
    """Where JSON and tables hold the prompt."""

    target_column: str | None = None
    """Where the target file holds it; None for `column`."""

    control_column: str | None = None
    """Where the control file holds it; None for `column`."""

    system: str | None = None
    """System prompt of all prompts that have none of their own."""

    group: str | None = None
    """Where the prompt files say which prompts belong together; None for nowhere."""

    template_options: tuple[str, ...] = ()
    """NAME=VALUE that the chat template is told."""

    preset: str | None = None
    """Name of a preset; None for the one that fits the chat model's architecture, if any."""

    header: str | None = None
    """Text that opens the assistant's turn; None for the preset's."""

    positions: tuple[str, ...] = ()
    """NAME=OFFSET; none for the preset's."""

    pools: tuple[str, ...] = ()
    """NAME=PART:max or NAME=PART:mean."""

    response_column: str | None = None
    """Where the prompt files hold responses; None for nowhere."""

    generate: int | None = None
    """New tokens of each response that a model generates; None for no responses of this kind."""

    generate_by: Literal["base", "chat", "each"] = "chat"
    """The model whose responses both read, or "each" where each reads its own."""

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

    fit: bool = True
    """Say how well the SAE reads the models."""

    tf32: bool = False
    """Let a GPU multiply with the SAE in TF32, which is faster and moves activations near a threshold."""

    skip_bad: bool = False
    """Leave bad prompts out, instead of refusing the file."""

    ray: str | None = None
    """Address of a Ray cluster, or "auto"; None to run here."""

    workers: int | None = None
    """Copies of the model on the cluster; None for as many as fit its GPUs."""

    gpus_per_model: int = 1
    """GPUs that one model is spread over, by its layers."""

    command: str = ""
    """How the user asked, for the metadata."""

    @property
    def writers(self) -> tuple[Side, ...]:
        """The models that write responses, in the order in which they are loaded; none where no one does."""
        if not self.generate:
            return ()
        return SIDES if self.generate_by == "each" else (self.generate_by,)
