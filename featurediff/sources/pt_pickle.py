"""
The pickle inside a `.pt` file, checked before anything loads it.

This guards against what `torch.load(weights_only=True)` lets through. It runs no code of a stranger, but calls some of
torch's and Python's own: `torch.FloatTensor(8)` shows what was in memory, and `bytearray(10**11)` takes all of it. And
sixty tuples, each of them twice in the next, take years to hash as a key.

`tests/sources/test_pt_pickle.py` holds the check to pickles that torch writes, which must pass, and
`test_hostile_files.py` to those of an attacker. To go back to torch's own guard, delete this module and its call in
`pt_archive`.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featurediff.errors import DataError
from featurediff.sources.pt_cures import OTHER_PROTOCOL, cure
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

_CALLED = re.compile(
    r"torch\._utils _rebuild_(tensor_v2|tensor_v3|parameter|meta_tensor_no_storage)"
    r"|torch (Size|device)|collections OrderedDict|(__builtin__|builtins) set"
)
_NAMED = re.compile(r"torch(\.storage)? \w+Storage|torch (b?float\d\w*|u?int\d\w*|complex\w+|bool)")
_KINDS = {
    "torch._utils _rebuild_sparse_tensor": ("sparse", " Store x.to_dense()."),
    "torch._utils _rebuild_nested_tensor": ("nested", ""),
    "torch._utils _rebuild_qtensor": ("quantized", " Store x.dequantize()."),
}
"""What makes a tensor of another kind; the kind, and what to store instead of it."""

_IN_PLACE = ("APPEND", "APPENDS", "SETITEM", "SETITEMS")
MAX_BYTES = 32_000_000
"""Of all pickles of a file together; those of 100,000 vectors have 8,000,000."""

MAX_STEPS = 4_000_000
"""Opcodes of all pickles of a file together; those of 100,000 vectors have 2,900,000, which takes 3 s."""

MAX_OBJECTS = 20_000_000
"""Of all pickles of a file together, counted each time that one is looked at; 100,000 vectors have 12,500,000."""

_EXPECTED = "but expected a dict of token types and `metadata`. Write it again with torch.save."


def _operands(opcode: pickletools.OpcodeInfo) -> tuple[bool, int]:
    """Return whether an opcode takes all down to the mark, and how many objects it takes besides."""
    has_mark = pickletools.markobject in opcode.stack_before
    kinds = [kind for kind in opcode.stack_before if kind not in (pickletools.markobject, pickletools.stackslice)]
    return has_mark, len(kinds[opcode.name in _IN_PLACE :])


_BEFORE = {opcode.name: _operands(opcode) for opcode in pickletools.opcodes}


@dataclass(slots=True, eq=False)
class _Item:
    """What stands on the unpickler's stack."""

    weight: int = 1
    """Number of objects in it; one that occurs twice counts twice."""

    text: str | None = None
    """What it says, where it is a string."""

    is_mark: bool = False
    """Whether it is only the mark before the members of a tuple, list or dict."""


def check_pickles(pickles: Sequence[bytes], name: str, most_steps: int = MAX_STEPS) -> None:
    """
    Refuse pickles that call anything but what makes a dense tensor, or that unfold to too many objects.

    Parameters
    ----------
    pickles : sequence of bytes
        What the `.pkl` entries of the archive hold; nothing in them is called.
    name : str
        What the file is called in messages.
    most_steps : int
        Opcodes at most, of all together.

    Raises
    ------
    DataError
        If there is such a pickle, one is damaged, or they are too large together.
    """
    size = sum(map(len, pickles))
    if size > MAX_BYTES:
        msg = f"`{name}`: its pickle has {size:,} bytes, more than {MAX_BYTES:,}, {_EXPECTED}"
        raise DataError(msg)
    left = _Left(most_steps, MAX_OBJECTS)
    for pickle in pickles:
        try:
            fault = _first_fault(pickle, left)
        except (ValueError, IndexError, KeyError) as error:
            detail = f"{type(error).__name__}, {quoted(str(error))}"
            msg = f"`{name}` is damaged: its pickle cannot be read ({detail}). Write it again with torch.save."
            raise DataError(msg) from error
        if fault:
            msg = f"`{name}`{fault}"
            raise DataError(msg)


@dataclass(slots=True, eq=False)
class _Left:
    """What the pickles of a file may still take."""

    steps: int
    """Opcodes."""

    objects: int
    """Objects that are looked at."""


def _first_fault(pickle: bytes, left: _Left) -> str | None:
    """Say what is wrong with a pickle, as it follows the file's name in a message; None where nothing is."""
    stack: list[_Item] = []
    memo: dict[object, _Item] = {}
    for opcode, argument, _ in pickletools.genops(pickle):
        fault = None
        if opcode.name == "STACK_GLOBAL":
            fault = OTHER_PROTOCOL
        elif opcode.name == "GLOBAL" and not _NAMED.fullmatch(str(argument)):
            fault = _fault_of_call(str(argument), stack)
        elif opcode.name in ("REDUCE", "BUILD", "NEWOBJ"):
            fault = _fault_of_call(stack[-2].text or "", stack)
        if fault:
            return fault
        if opcode.name.endswith("PUT"):
            memo[argument] = stack[-1]
        elif opcode.name.endswith("GET"):
            stack.append(memo[argument])
        else:
            left.objects -= _step(opcode, argument, stack)
        left.steps -= 1
        if left.steps < 0:
            return f": its pickle of {len(pickle)} bytes has too many steps, {_EXPECTED}"
        if left.objects < 0:
            return f": its pickle of {len(pickle)} bytes unfolds to more than {MAX_OBJECTS} objects, {_EXPECTED}"
    return None


def _step(opcode: pickletools.OpcodeInfo, argument: object, stack: list[_Item]) -> int:
    """Change the stack as an opcode does, and return how many objects it looks at."""
    weight = 1
    has_mark, operands = _BEFORE[opcode.name]
    if has_mark:
        while not (item := stack.pop()).is_mark:
            weight += item.weight
    for _ in range(operands):
        weight += stack.pop().weight
    if opcode.name in _IN_PLACE:
        stack[-1].weight += weight
    elif opcode.stack_after:
        text = argument if isinstance(argument, str) else None
        stack.append(_Item(weight, text, opcode.name == "MARK"))
    return weight


def _fault_of_call(called: str, stack: list[_Item]) -> str | None:
    """Say why a call is refused, as it follows the file's name in a message; None where it makes a dense tensor."""
    if _CALLED.fullmatch(called):
        return None
    # The key of what is made is the last string of the innermost dict, and so on outwards.
    frames: list[list[str]] = [[]]
    for item in stack:
        if item.is_mark:
            frames.append([])
        elif item.text is not None:
            frames[-1].append(item.text)
    path = [frame[-1] for frame in frames if frame]
    if called in _KINDS:
        where = f": token type {', '.join(map(quoted, path[-2:]))}" if len(path) >= 2 else ""
        kind, instead = _KINDS[called]
        return f"{where} is a tensor that is {kind}, but expected a dense tensor of real numbers.{instead}"
    return (
        f" wants the code {quoted(called.replace(' ', '.'))}, which is not run: the file may come from a "
        f"stranger. Store only tensors, and plain Python ints and strings in the metadata.{cure(called, path)}"
    )
