"""Which tokens of a chat are read: named offsets from the end of the assistant's header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurediff.collect.pools import Pool, Pooled


@dataclass(frozen=True)
class Positions:
    """Where to read a sequence of tokens."""

    header: str
    """Text with which the chat template opens the assistant's turn."""

    offsets: tuple[tuple[str, int], ...]
    """Token type and its distance from the first token after the header: −1 is the header's last token."""

    pools: tuple[Pool, ...] = ()
    """Parts of the chat that are read as one, after the positions."""

    @property
    def token_types(self) -> tuple[str, ...]:
        """Names of the positions and pools, in order."""
        return (*(name for name, _ in self.offsets), *(pool.name for pool in self.pools))

    @property
    def pooled(self) -> tuple[Pooled, ...]:
        """How the tokens of each token type become one."""
        single: list[Pooled] = ["no" for _ in self.offsets]
        return (*single, *(pool.how for pool in self.pools))

    def find(self, tokens: Sequence[int], header: Sequence[int]) -> list[int] | str:
        """
        Find the positions in one sequence, counted from the end of its last header.

        Parameters
        ----------
        tokens, header : sequence of int
            Token ids of the whole chat, and of the header alone.

        Returns
        -------
        list of int or str
            An index into `tokens` for each position, or why there is none, as the rest of a sentence.
        """
        start = find_last(tokens, header)
        if start is None:
            return f"no header {quoted(self.header)} among its {len(tokens)} tokens."
        end = start + len(header)
        for name, offset in self.offsets:
            if not 0 <= end + offset < len(tokens):
                return (
                    f"position {quoted(name)} at offset {offset:+d} is outside: the header {quoted(self.header)} ends "
                    f"before token {end} of {len(tokens)}."
                )
        return [end + offset for _, offset in self.offsets]


@dataclass(frozen=True)
class Preset:
    """What is known of a family of models and of the SAE that is read in it."""

    model: str
    """Model family, as in folder names."""

    model_types: tuple[str, ...]
    """What `config.json` calls the architectures that take this preset by themselves."""

    positions: Positions
    """Of the family's chat template."""

    sae: str | None
    """RELEASE:SAE_ID that `trainer` stands for; None where SAELens lists none."""

    trainer: str | None
    """Which SAE of the layer, as in folder names."""

    options: tuple[str, ...] = ()
    """NAME=VALUE that the chat template is told."""


_GEMMA = Positions("<start_of_turn>model", (("model", -1), ("newline", 0)))
_CHATML = Positions("<|im_start|>assistant", (("asst", -1), ("newline", 0)))

PRESETS = {
    "gemma-2-9b": Preset(
        model="gemma",
        model_types=("gemma2",),
        positions=_GEMMA,
        sae="gemma-scope-9b-pt-res-canonical:layer_20/width_131k/canonical",
        trainer="131k-l0-114",
    ),
    "gemma-3-4b": Preset(
        model="gemma-3-4b",
        model_types=("gemma3", "gemma3_text"),
        positions=_GEMMA,
        sae="gemma-scope-2-4b-pt-res:layer_17_width_16k_l0_medium",
        trainer="16k-l0-medium",
    ),
    "llama-3.1-8b": Preset(
        model="llama",
        model_types=("llama",),
        positions=Positions(
            "<|start_header_id|>assistant<|end_header_id|>", (("asst", -2), ("endheader", -1), ("newline", 0))
        ),
        sae="llama_scope_lxr_32x:l15r_32x",
        trainer="32x",
    ),
    "qwen-2.5-7b": Preset(
        model="qwen",
        model_types=("qwen2",),
        positions=_CHATML,
        sae="qwen2.5-7b-instruct-andyrdt:resid_post_layer_15_trainer_1",
        trainer="1",
    ),
    "qwen-3-8b": Preset(  # thinks, as its template does by itself
        model="qwen3-8b",
        model_types=("qwen3", "qwen3_moe"),
        positions=_CHATML,
        sae="qwen-scope-3-8b-base-w64k-l50:layer18",
        trainer="w64k-l50",
    ),
    "qwen-3-8b-no-thinking": Preset(  # its template then writes <think>, a blank line, </think> and a blank line
        model="qwen3-8b",
        model_types=(),
        positions=Positions(
            _CHATML.header, (("asst", -1), ("newline", 0), ("think", 1), ("endthink", 3), ("answer", 4))
        ),
        sae="qwen-scope-3-8b-base-w64k-l50:layer18",
        trainer="w64k-l50",
        options=("enable_thinking=false",),
    ),
    "smollm2-135m": Preset(  # its architecture is Llama's
        model="smollm2-135m",
        model_types=(),
        positions=_CHATML,
        sae=None,
        trainer=None,
    ),
}
"""By name, as `--preset` takes it."""


def find_preset(name: str | None, model_type: str) -> Preset | None:
    """
    Find a preset by name, or by what the chat model's configuration says of itself.

    Raises
    ------
    DataError
        If there is no preset of that name.
    """
    if name is None:
        return next((preset for preset in PRESETS.values() if model_type in preset.model_types), None)
    if name not in PRESETS:
        msg = f"There is no preset {quoted(name)}. Known are {listed(PRESETS)}; or give --header and --position."
        raise DataError(msg)
    return PRESETS[name]


def parse_positions(header: str | None, positions: Sequence[str], preset: Preset | None) -> Positions:
    """
    Read `--header` and `--position NAME=OFFSET`; what is not given comes from the preset.

    Raises
    ------
    DataError
        If there is neither one nor the other, or a position is not a new NAME=OFFSET.
    """
    if header is None and preset:
        header = preset.positions.header
    if not header or not (positions or preset):
        msg = (
            "Where does the assistant's turn begin? No preset fits the chat model: give --header with the text that "
            f"opens it and --position NAME=OFFSET, or one of the presets {listed(PRESETS)}."
        )
        raise DataError(msg)
    if not positions and preset:
        return Positions(header, preset.positions.offsets)
    offsets: dict[str, int] = {}
    for text in positions:
        name, _, offset = (part.strip() for part in text.rpartition("="))
        digits = offset.removeprefix("-").removeprefix("+")
        if not name or name in offsets or name == "metadata" or not (digits.isascii() and digits.isdigit()):
            msg = f"--position is a new name and an offset, such as newline=0, but {quoted(text)} was given."
            raise DataError(msg)
        offsets[name] = int(offset)
    return Positions(header, tuple(offsets.items()))


def find_last(tokens: Sequence[int], header: Sequence[int]) -> int | None:
    """Return where the last occurrence of the header begins; None if there is none."""
    tokens, header = list(tokens), list(header)
    for start in range(len(tokens) - len(header), -1, -1):
        if tokens[start : start + len(header)] == header:
            return start
    return None
