"""What stands in a pickle that is refused, where, and what to store instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHER_PROTOCOL = (
    " was saved with another pickle_protocol than torch.save's default, 2. Save it again without that argument."
)


class _Cure(NamedTuple):
    """What a call in a pickle makes, and what to store instead of it, called x."""

    called: re.Pattern[str]
    """Module and name, with a blank between them."""

    kind: str
    """With its article."""

    store: str
    """An expression."""


_CURES = tuple(
    _Cure(re.compile(called), kind, store)
    for called, kind, store in (
        (r"numpy\..*multiarray scalar", "a numpy scalar", "int(x), float(x) or str(x)"),
        (r"numpy\..*(_reconstruct|_frombuffer)", "a numpy array", "torch.from_numpy(x)"),
        (r"pathlib\S* .*", "a Path", "str(x)"),
        (r"collections (defaultdict|Counter)", "a {name}", "dict(x)"),
        (r"datetime .*", "a {name}", "str(x)"),
        (r"(fractions|decimal) .*", "a {name}", "float(x)"),
        (r"_codecs encode", "bytes", "x.decode()"),
        (r"pandas\S* .*", "a pandas object", "torch.tensor(x.to_numpy())"),
        (
            r"torch\._tensor _rebuild_from_type_v2",
            "a tensor of a class of its own, such as a DTensor",
            "x.full_tensor(), or for other classes x.as_subclass(torch.Tensor)",
        ),
        (r"torch\._utils _rebuild_device_tensor\w*", "a tensor of another device", "x.cpu()"),
    )
)


def cure(called: str, path: Sequence[str]) -> str:
    """
    Say what a call in a pickle stands for and what to store instead.

    Parameters
    ----------
    called : str
        Module and name of what is called, with a blank between them.
    path : sequence of str
        Keys of the dicts that it stands in, the outermost first.

    Returns
    -------
    str
        A sentence after a blank; empty where it is not known.
    """
    for known in _CURES:
        if known.called.fullmatch(called):
            kind, store = known.kind.format(name=called.rpartition(" ")[2]), known.store
            if path[:1] == ["metadata"] and store.startswith("torch."):
                store = "x.tolist()"
            return f" {_place(path)} is {kind}: store {store}."
    return ""


def _place(path: Sequence[str]) -> str:
    if not path:
        return "The whole file"
    if len(path) == 1:
        return "The metadata" if path[0] == "metadata" else f"Token type {quoted(path[0])}"
    if path[0] == "metadata":
        return f"{quoted(path[1])} in the metadata"
    return f"Token type {quoted(path[0])}, {quoted(path[1])}"
