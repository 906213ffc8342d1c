"""
The pickle inside a `.pt` file, gone through before torch loads it.

`torch.load(weights_only=True)` runs no code of a stranger's, but it lets a pickle call some of torch's own, such as
`torch.FloatTensor(8)`, which is whatever stood in memory, or `bytearray(10**11)`. And sixty tuples, each twice in the
next, take years to hash as a key.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass

from featurediff.errors import DataError
from featurediff.wording import quoted

_CALLED = re.compile(
    r"torch\._utils _rebuild_(tensor_v2|tensor_v3|parameter|meta_tensor_no_storage)"
    r"|torch (Size|device)|collections OrderedDict|(__builtin__|builtins) set"
)
_NAMED = re.compile(r"torch(\.storage)? \w+Storage|torch (b?float\d\w*|u?int\d\w*|complex\w+|bool)")
_KINDS = {
    "torch._utils _rebuild_sparse_tensor": "sparse",
    "torch._utils _rebuild_nested_tensor": "nested",
    "torch._utils _rebuild_qtensor": "quantized",
}
_IN_PLACE = ("APPEND", "APPENDS", "SETITEM", "SETITEMS")
_MOST = 10_000_000
"""Objects, each counted as often as it is looked at; a source of 100 token types has some 100,000."""


@dataclass(slots=True, eq=False)
class _Item:
    """What stands on the unpickler's stack."""

    weight: int = 1
    """Objects in it, the same one counted as often as it occurs."""

    text: str | None = None
    """Its characters, of a string."""

    is_mark: bool = False
    """Whether it only separates what comes after it."""


def check_pickle(pickle: bytes, name: str) -> None:
    """
    Refuse a pickle that calls anything but what puts a dense tensor together, or that unfolds without end.

    Parameters
    ----------
    pickle : bytes
        As torch wrote it; nothing in it is called.
    name : str
        What the file is called in messages.

    Raises
    ------
    DataError
        If it does, or is broken.
    """
    stack: list[_Item] = []
    memo: dict[object, _Item] = {}
    spent = 0
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name == "GLOBAL" and not _NAMED.fullmatch(str(argument)):
                _check_call(str(argument), stack, name)
            elif opcode.name in ("REDUCE", "BUILD", "NEWOBJ"):
                _check_call(stack[-2].text or "", stack, name)
            if opcode.name.endswith("PUT"):
                memo[argument] = stack[-1]
            elif opcode.name.endswith("GET"):
                stack.append(memo[argument])
            else:
                spent += _step(opcode, argument, stack)
            if spent > _MOST:
                msg = (
                    f"`{name}`: its pickle of {len(pickle)} bytes unfolds to more than {_MOST} objects, but expected "
                    "a dict of token types and `metadata`. Write it again with torch.save."
                )
                raise DataError(msg)
    except (ValueError, IndexError, KeyError) as error:
        if isinstance(error, DataError):
            raise
        detail = f"{type(error).__name__}, {quoted(str(error))}"
        msg = f"`{name}` is damaged: its pickle cannot be read ({detail}). Write it again with torch.save."
        raise DataError(msg) from error


def _step(opcode: pickletools.OpcodeInfo, argument: object, stack: list[_Item]) -> int:
    """Do to the stack what an opcode does, and return how many objects it looks at."""
    weight = 1
    if pickletools.markobject in opcode.stack_before:
        while not (item := stack.pop()).is_mark:
            weight += item.weight
    operands = [kind for kind in opcode.stack_before if kind not in (pickletools.markobject, pickletools.stackslice)]
    for _ in operands[opcode.name in _IN_PLACE :]:
        weight += stack.pop().weight
    if opcode.name in _IN_PLACE:
        stack[-1].weight += weight
    elif opcode.stack_after:
        text = argument if isinstance(argument, str) else None
        stack.append(_Item(weight, text, opcode.name == "MARK"))
    return weight


def _check_call(called: str, stack: list[_Item], name: str) -> None:
    if called in _KINDS:
        # The key of what is being put together is the last string, and the token type the last one of the dict outside.
        frames: list[list[str]] = [[]]
        for item in stack:
            if item.is_mark:
                frames.append([])
            elif item.text is not None:
                frames[-1].append(item.text)
        path = [frame[-1] for frame in frames if frame][-2:]
        where = f"`{name}`: token type {', '.join(map(quoted, path))}" if len(path) == 2 else f"`{name}`"
        msg = f"{where} is a tensor that is {_KINDS[called]}, but expected a dense tensor of real numbers."
        raise DataError(msg)
    if not _CALLED.fullmatch(called):
        msg = (
            f"`{name}` wants the code {quoted(called.replace(' ', '.'))}, which is not run: the file may come from a "
            "stranger. Store only tensors, and plain Python ints and strings in the metadata."
        )
        raise DataError(msg)
