"""Explanations as EleutherAI's delphi writes them: a folder with a text file per feature."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from featurediff.errors import DataError
from featurediff.files import kind_of, read_whole
from featurediff.wording import is_name, listed, plural, quoted

if TYPE_CHECKING:
    from pathlib import Path

_FILE = re.compile(r"(?P<module>.+)_(?:latent|feature)(?P<feature_id>[0-9]{1,9})\.txt")
"""Older versions of delphi wrote "feature" where it now writes "latent"."""

_LAYER = re.compile(r"(?:layers|blocks|h|layer)[._]([0-9]{1,4})(?![0-9])")
"""Where the name of a module says its layer."""

_FAILED = "Explanation could not be parsed."
"""What delphi writes where its model's answer did not have the form that delphi asked for."""


class Found(NamedTuple):
    """What a folder of delphi's holds."""

    frame: pd.DataFrame
    """
    A row per file: `feature_id` (int64), `explanation` (empty where delphi failed), `type` ("delphi"), and `model`
    where the `run_config.json` that delphi writes beside the folder names its `explainer_model`.
    """

    digest: str
    """SHA-256 of the files' names and contents, in hex."""

    left_out: tuple[str, ...]
    """What was left out, and why: a sentence each."""

    @property
    def kinds(self) -> dict[str, str]:
        """The columns that say how each text was made: `explanation_type` → its column."""
        return {f"explanation_{kind}": kind for kind in ("type", "model") if kind in self.frame}


def read_folder(folder: Path, layer: int | None = None) -> Found:
    """
    Read `results/…/explanations/`: files such as `layers.20_latent123.txt`, each of which holds a JSON string.

    Parameters
    ----------
    folder : Path
        Files with other names are ignored; files that hold anything else are left out.
    layer : int, optional
        Where the folder explains modules of several layers, those of this one are taken. A module whose name has no
        layer may be of any.

    Raises
    ------
    DataError
        If there are no such files, they are of several modules or of another layer, or none of them can be read.
    """
    try:
        files = sorted((path.name, match) for path in folder.iterdir() if (match := _FILE.fullmatch(path.name)))
    except OSError as error:
        msg = f"`{folder}` cannot be read ({error.strerror}). May you read it?"
        raise DataError(msg) from error
    if not files:
        msg = f"`{folder}` has no file of delphi such as `layers.20_latent123.txt`. Expected those, or name a CSV file."
        raise DataError(msg)
    module, left_out = _choose_module(folder, sorted({match["module"] for _, match in files}), layer)
    digest, texts, ids = sha256(), [], []
    faults = []
    for name, match in files:
        if match["module"] != module:
            continue
        data = read_whole(folder / name)
        digest.update(name.encode(errors="surrogateescape") + data)
        try:
            texts.append(_parse(data, f"{folder.name}/{name}"))
        except DataError as error:
            faults.append(str(error))
            continue
        ids.append(int(match["feature_id"]))
    if not ids:
        raise DataError(faults[0])
    if faults:
        left_out += (f"{faults[0]} {plural(len(faults), 'such file')}: left out.",)
    frame = pd.DataFrame({"feature_id": ids, "explanation": pd.Series(texts, dtype="str"), "type": "delphi"})
    model = _explainer_model(folder.parent / "run_config.json")
    return Found(frame.assign(model=model) if model else frame, digest.hexdigest(), left_out)


def _choose_module(folder: Path, modules: list[str], layer: int | None) -> tuple[str, tuple[str, ...]]:
    """Return the module that is of a layer, or the only one, and what is left out."""
    layers = {module: int(match[1]) for module in modules if (match := _LAYER.search(module))}
    fitting = [module for module in modules if layer is None or layers.get(module, layer) == layer]
    if not fitting:
        msg = f"`{folder}` explains {listed(modules)}, but the source reads layer {quoted(layer)}."
        raise DataError(msg)
    if len(fitting) > 1:
        msg = f"`{folder}` explains several modules: {listed(fitting)}. Move the files of one to a folder of their own."
        raise DataError(msg)
    others = [module for module in modules if module != fitting[0]]
    return fitting[0], ((f"`{folder.name}` also explains {listed(others)}: left out.",) if others else ())


def _parse(data: bytes, name: str) -> str:
    try:
        text = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"`{name}` is not JSON, but expected a file of delphi: one string in quotes."
        raise DataError(msg) from error
    if not isinstance(text, str):
        msg = f"`{name}` holds {quoted(text)}, but expected a file of delphi: one string in quotes."
        raise DataError(msg)
    return "" if text == _FAILED else text.encode(errors="replace").decode()  # UTF-8 cannot hold half a surrogate pair


def _explainer_model(config: Path) -> str | None:
    """Return the model that wrote the explanations, or None where delphi's settings are not at hand."""
    if kind_of(config) != "file":
        return None
    try:
        said = json.loads(read_whole(config))
    except (ValueError, RecursionError):
        return None
    model = said.get("explainer_model") if isinstance(said, dict) else None
    return model if is_name(model) else None
