"""Explanation files → texts by feature."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from featurediff.errors import DataError
from featurediff.files import kind_of, read_whole
from featurediff.meaning import columns, delphi
from featurediff.meaning.explanations import Explanations
from featurediff.meaning.tables import read_table
from featurediff.meaning.this_sae import rows_of
from featurediff.wording import legible, listed, quoted

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from featurediff.meaning.tables import Table
    from featurediff.meaning.this_sae import ThisSae

_DIGITS = 18
_USED = frozenset(
    columns.plain(name)
    for wanted in (columns.ID_COLUMNS, columns.TEXT_COLUMNS, columns.TYPE_COLUMNS, columns.MODEL_COLUMNS)
    for name in (*wanted, *columns.SAE_COLUMNS)
)
_FEATURE_ID = rf"-?[0-9]{{1,{_DIGITS}}}(\.0*)?"  # pandas writes ids as 12.0 when one of them is missing


def read_explanations(path: Path, num_features: int | None = None, sae: ThisSae | None = None) -> Explanations:
    """
    Read an explanation file, or a folder of delphi's.

    Parameters
    ----------
    path : Path
        The file; or a folder with a text file per feature, as delphi writes them.
    num_features : int, optional
        Width of the SAE, to leave out features that it does not have.
    sae : ThisSae, optional
        The SAE, to leave out what is said of others.

    Returns
    -------
    Explanations
        See `parse_explanations`; a folder's have the type "delphi", and the model where delphi's settings are at hand.

    Raises
    ------
    DataError
        If it cannot be read or breaks the format; see `parse_explanations` and `delphi.read_folder`.
    """
    if kind_of(path) != "folder":
        return parse_explanations(read_whole(path), legible(path.name), num_features, sae)
    found = delphi.read_folder(path, sae.layer if sae else None)
    rows = _rows(found.frame, ["explanation"], found.frame["feature_id"].to_numpy(), found.kinds)
    explanations = Explanations(legible(path.name), found.digest, rows, 0, 0, found.left_out)
    return explanations if num_features is None else explanations.restricted(num_features)


def parse_explanations(
    data: bytes, name: str, num_features: int | None = None, sae: ThisSae | None = None
) -> Explanations:
    """
    Find the text of each feature in a table with one of `columns.ID_COLUMNS` and one of `columns.TEXT_COLUMNS`.

    The last row of a feature is shown; if its text is empty, the feature has no explanation. Where a table has several
    columns of texts, each fills what the one before leaves blank.

    Parameters
    ----------
    data : bytes
        The whole file: CSV, JSON or JSON lines, maybe zipped; see `tables.read_table`.
    name : str
        What it is called in messages.
    num_features : int, optional
        Width of the SAE, to leave out features that it does not have.
    sae : ThisSae, optional
        The SAE, to leave out rows that are of others; by default every row is taken for one of it.

    Returns
    -------
    Explanations
        Texts as written. An empty or blank cell is missing; words such as "null" and "NA" are text.

    Raises
    ------
    DataError
        If the file is not such a table, lacks the columns, a feature id is not a whole number, or no row is of the SAE.
    """
    table = read_table(data, name, _is_used)
    ids, texts = (columns.find(table.columns, wanted) for wanted in (columns.ID_COLUMNS, columns.TEXT_COLUMNS))
    if not ids or not texts:
        msg = (
            f"`{name}` has the columns {listed(table.columns)}, but expected one of {_named(columns.ID_COLUMNS)}, "
            f"and one of {_named(columns.TEXT_COLUMNS)}."
        )
        raise DataError(msg)
    frame, left_out = table.cells, table.left_out
    if sae is not None:
        keep, notes = rows_of(sae, _named_saes(table, sae), name)
        frame, left_out = frame if keep.all() else frame[keep], [*left_out, *notes]
    has_id, numbers = _parse_ids(frame[ids[0]], name, ids[0])
    if not has_id.all():
        frame = frame[has_id]
    rows = _rows(frame, texts, numbers, _kinds(table, sae))
    explanations = Explanations(name, sha256(data).hexdigest(), rows, 0, int((~has_id).sum()), tuple(left_out))
    return explanations if num_features is None else explanations.restricted(num_features)


def _is_used(column: str) -> bool:
    return columns.plain(column) in _USED


def _named(wanted: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in wanted)


def _named_saes(table: Table, sae: ThisSae) -> pd.DataFrame:
    """Return what says of which SAE each row is, as `this_sae.rows_of` takes it."""
    found = {columns.plain(column): table.cells[column] for column in columns.find(table.columns, columns.SAE_COLUMNS)}
    if "model" in found and not sae.is_of_models(_different(found["model"])):
        del found["model"]
    return pd.DataFrame(found, index=table.cells.index)


def _kinds(table: Table, sae: ThisSae | None) -> dict[str, str]:
    """Return which columns say how each text was made and by which model: `explanation_type` → the file's column."""
    types = columns.find(table.columns, columns.TYPE_COLUMNS)
    models = columns.find(table.columns, columns.MODEL_COLUMNS)
    kinds = {}
    if types and (types[0] != "type" or columns.says_how(table.columns, _different(table.cells["type"]))):
        kinds["explanation_type"] = types[0]
    if models and (models[0] != "model" or sae is None or not sae.is_of_models(_different(table.cells["model"]))):
        kinds["explanation_model"] = models[0]
    return kinds


def _different(cells: pd.Series[str]) -> list[str]:
    """Return what stands in a column, each once, without blanks."""
    return [text for text in cells.str.strip().unique() if text]


def _rows(frame: pd.DataFrame, texts: list[str], ids: NDArray[np.int64], kinds: dict[str, str]) -> pd.DataFrame:
    """Return `Explanations.rows` of a file's cells."""
    explanation = _without_blanks(frame[texts[0]])
    for column in texts[1:]:
        explanation = explanation.fillna(_without_blanks(frame[column]))
    found = {"explanation": explanation}
    found |= {kind: _without_blanks(frame[column].str.strip()) for kind, column in kinds.items()}
    index = pd.Index(ids, name="feature_id")
    rows = pd.DataFrame(found).set_axis(index)
    return rows if index.is_monotonic_increasing else rows.sort_index(kind="stable")


def _without_blanks(cells: pd.Series[str]) -> pd.Series[str]:
    """Return cells, missing where there is nothing in them but white space."""
    arrow = pa.chunked_array(cells)
    is_blank = pc.or_(pc.equal(pc.binary_length(arrow), 0), pc.utf8_is_space(arrow))
    return cells.mask(is_blank.to_numpy()) if pc.any(is_blank).as_py() else cells


def _parse_ids(cells: pd.Series[str], name: str, column: str) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which rows have an id, of shape (rows,), and the ids of those."""
    arrow = pa.chunked_array(cells)
    if pc.all(pc.ascii_is_decimal(arrow)).as_py() and (pc.max(pc.binary_length(arrow)).as_py() or 0) <= _DIGITS:
        return np.ones(len(cells), dtype=bool), arrow.cast(pa.int64()).to_numpy()
    cells = cells.str.strip()
    has_id = (cells != "").to_numpy()
    ids = cells[has_id]
    is_bad = ~ids.str.fullmatch(_FEATURE_ID)
    if is_bad.any():
        first = int(is_bad.to_numpy().argmax())
        row = int(np.flatnonzero(has_id)[first]) + 1
        called = f"`{column}`" if column.isidentifier() else quoted(column)
        msg = (
            f"`{name}`: {called} in row {row} below the header is {quoted(ids.iloc[first])}, "
            f"but expected a whole number ({is_bad.sum()} such rows)."
        )
        raise DataError(msg)
    return has_id, ids.str.split(".").str[0].to_numpy().astype(np.int64)
