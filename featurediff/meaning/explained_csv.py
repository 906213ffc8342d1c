"""The CSV of explanations that `featurediff explain` writes, and adds to."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pandas as pd

from featurediff.csv_files import parse_csv, to_csv, unguarded
from featurediff.errors import DataError
from featurediff.files import is_stream, kind_of, may_access, read_whole, write_whole
from featurediff.locks import alone

if TYPE_CHECKING:
    from pathlib import Path

    from featurediff.meaning.explain import Explained

_HEADER = b"feature_id,explanation,type,model,url"


def check_place(path: Path) -> None:
    """
    Hold a place to be one where a file can be written, before anything is asked for.

    Raises
    ------
    DataError
        If the file, or the `explanations` folder that it is in, is a link: what a link leads to is another's. If its
        folder may not be written to.
    """
    if is_stream(path):
        return
    folder = path.parent
    link = path if path.is_symlink() else folder if folder.name == "explanations" and folder.is_symlink() else None
    if link:
        msg = f"`{link}` is a link, and nothing is written through links. Name a file that is none with --out."
        raise DataError(msg)
    there = next(at for at in path.absolute().parents if at == at.parent or kind_of(at))
    if kind_of(there) == "folder" and not may_access(there, os.W_OK | os.X_OK):
        msg = f"`{path}` cannot be written: you may not write in `{there}`. Name a file elsewhere with --out."
        raise DataError(msg)


def written_rows(path: Path) -> pd.DataFrame | None:
    """
    Return the rows that an earlier run wrote, as text; None where there is no file.

    Raises
    ------
    DataError
        If something else wrote the file, or it cannot be read.
    """
    if kind_of(path) is None or is_stream(path):
        return None
    beside = shlex.quote(str(path.with_suffix(".neuronpedia.csv")))
    advice = f"Write beside it with --out {beside}, or replace it with --force."
    try:
        data = read_whole(path)
        is_ours = data.partition(b"\n")[0].replace(b'"', b"") == _HEADER
        rows = unguarded(parse_csv(data, path.name)) if is_ours else None
    except DataError as error:
        msg = f"{error} {advice}"
        raise DataError(msg) from error
    if rows is None:
        msg = f"`{path}` is there already, and was not written by `featurediff explain`. {advice}"
        raise DataError(msg)
    return rows.mask(rows == "")  # so that what is missing stays missing when it is written again


def add_rows(path: Path, explained: Explained, *, replace: bool = False) -> None:
    """
    Add rows to an explanation file as it is by now: another run, or a person, may have changed it meanwhile.

    Parameters
    ----------
    path : Path
        The file; it may not exist yet.
    explained : Explained
        The new rows.
    replace : bool
        Whether to write the new rows alone.

    Raises
    ------
    DataError
        If something else wrote the file, or it cannot be written.
    """
    with alone(path.with_name(f".{path.name}.lock"), "run of explain", wait=True):
        write_rows(path, explained, None if replace else written_rows(path))


def write_rows(path: Path, explained: Explained, written: pd.DataFrame | None) -> None:
    """
    Write an explanation file: the new rows, and the written ones of other features.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    rows = explained.rows.astype({"feature_id": "str"})
    if written is not None:
        rows = pd.concat([written[~written["feature_id"].isin(rows["feature_id"])], rows])
        rows = rows.iloc[pd.to_numeric(rows["feature_id"], errors="coerce").to_numpy().argsort(kind="stable")]
    write_whole(path, to_csv(rows))
