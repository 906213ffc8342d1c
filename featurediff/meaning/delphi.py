"""Explanations as EleutherAI's delphi writes them: a folder with a text file per feature."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING

import pandas as pd

from featurediff.errors import DataError
from featurediff.files import kind_of, read_whole
from featurediff.wording import is_name, listed, quoted

if TYPE_CHECKING:
    from pathlib import Path

_FILE = re.compile(r"(?P<module>.+)_(?:latent|feature)(?P<feature_id>[0-9]{1,9})\.txt")
"""Older versions of delphi wrote "feature" where it now writes "latent"."""

_FAILED = "Explanation could not be parsed."
"""What delphi writes where its model's answer did not have the form that delphi asked for."""


def read_folder(folder: Path) -> tuple[pd.DataFrame, str]:
    """
    Read `results/…/explanations/`: files such as `layers.20_latent123.txt`, each of which holds a JSON string.

    Parameters
    ----------
    folder : Path
        Files with other names are ignored.

    Returns
    -------
    frame : DataFrame with a row per file
        `feature_id` (int64), `explanation` (empty where delphi failed), `type` ("delphi"), and `model` where the
        `run_config.json` that delphi writes beside the folder names its `explainer_model`.
    digest : str
        SHA-256 of the files' names and contents, in hex.

    Raises
    ------
    DataError
        If there are no such files, they are of several modules, one cannot be read or holds anything else.
    """
    try:
        files = sorted((path.name, match) for path in folder.iterdir() if (match := _FILE.fullmatch(path.name)))
    except OSError as error:
        msg = f"`{folder}` cannot be read ({error.strerror}). May you read it?"
        raise DataError(msg) from error
    if not files:
        msg = f"`{folder}` has no file of delphi such as `layers.20_latent123.txt`. Expected those, or name a CSV file."
        raise DataError(msg)
    modules = sorted({match["module"] for _, match in files})
    if len(modules) > 1:
        msg = f"`{folder}` explains several modules: {listed(modules)}. Move the files of one to a folder of their own."
        raise DataError(msg)
    digest = sha256()
    texts = []
    for name, _ in files:
        data = read_whole(folder / name)
        digest.update(name.encode(errors="surrogateescape") + data)
        texts.append(_parse(data, f"{folder.name}/{name}"))
    ids = [int(match["feature_id"]) for _, match in files]
    frame = pd.DataFrame({"feature_id": ids, "explanation": pd.Series(texts, dtype="str"), "type": "delphi"})
    model = _explainer_model(folder.parent / "run_config.json")
    return (frame.assign(model=model) if model else frame), digest.hexdigest()


def _parse(data: bytes, name: str) -> str:
    try:
        text = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"`{name}` is not JSON, but expected a file of delphi: one string in quotes."
        raise DataError(msg) from error
    if not isinstance(text, str):
        msg = f"`{name}` holds {quoted(text)}, but expected a file of delphi: one string in quotes."
        raise DataError(msg)
    return "" if text == _FAILED else text.encode(errors="replace").decode()  # half a surrogate pair is no text


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
