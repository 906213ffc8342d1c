"""Explanation files → text by feature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from featurediff.csv_files import parse_csv, read_header, unguarded
from featurediff.errors import DataError
from featurediff.files import kind_of, read_whole
from featurediff.meaning import delphi
from featurediff.wording import legible, listed, quoted

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_TEXT_COLUMNS = ("claude_desc", "description", "explanation")
_KIND_COLUMNS = ("type", "model")
_OURS = (
    {"feature_id", "explanation", "type", "model", "url"},  # of `featurediff explain`
    {"feature_id", "explanation", "exclusivity", "neuronpedia_url"},  # of `featurediff export`
)
"""Columns of the CSVs that featurediff writes, whose texts are guarded; in others `'-ing' endings` stays as it is."""

_DIGITS = 18
_FEATURE_ID = rf"-?[0-9]{{1,{_DIGITS}}}(\.0*)?"  # pandas writes ids as 12.0 when one of them is missing


@dataclass(frozen=True, eq=False)
class Explanations:
    """What features mean, in words. A feature may have several texts, of which one is shown."""

    name: str
    """Name of the file or folder as shown to people."""

    sha256: str
    """SHA-256 of the whole file, in hex; of a folder, that of its files' names and contents, one after the other."""

    rows: pd.DataFrame
    """
    `explanation` and, where the source carries them, `explanation_type` and `explanation_model`; blank is missing.
    The index `feature_id` is int64 and sorted; rows of one feature are in the order of the file.
    """

    outside: int
    """Number of explained ids that the SAE does not have and that were left out; 0 until restricted."""

    skipped: int
    """Number of rows without a feature id."""

    preferred: str | None = None
    """Type of explanation that is shown where a feature has one, instead of the feature's last."""

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """The row of each explained feature that is shown, with the columns of `rows`; the index is unique."""
        rows = self.rows
        if self.preferred is not None and "explanation_type" in rows:
            is_preferred = (rows["explanation_type"] == self.preferred) & rows["explanation"].notna()
            rows = rows.iloc[np.lexsort((is_preferred, rows.index))]  # last of its feature, the others in order
        ids = rows.index.to_numpy()
        is_last = np.ones(len(ids), dtype=bool)
        is_last[:-1] = ids[1:] != ids[:-1]
        counts = is_last & rows["explanation"].notna().to_numpy()
        return rows if counts.all() else rows[counts]

    def of(self, ids: NDArray[np.integer]) -> pd.DataFrame:
        """
        Look up features.

        Parameters
        ----------
        ids : ndarray of shape (n,), int

        Returns
        -------
        DataFrame of n rows
            Those of `chosen`; missing where a feature has no explanation.
        """
        chosen = self.chosen
        known = chosen.index.to_numpy()
        places = np.searchsorted(known, ids)
        found = np.append(known, -1)[places] == ids
        places = np.where(found, places, -1)
        return pd.DataFrame({name: cells.array.take(places, allow_fill=True) for name, cells in chosen.items()})

    @property
    def texts(self) -> pd.Series[str]:
        """The text of each explained feature; the index `feature_id` is int64, unique and sorted."""
        return self.chosen["explanation"]

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The types of explanation that occur, the most frequent first; none where the source names no types."""
        explained = self.rows[self.rows["explanation"].notna()]
        return tuple(explained["explanation_type"].value_counts().index) if "explanation_type" in explained else ()

    def preferring(self, explanation_type: str | None) -> Explanations:
        """Return the same explanations with another preferred type; None for no preference."""
        return replace(self, preferred=explanation_type)

    def restricted(self, num_features: int) -> Explanations:
        """
        Keep the explanations of features that the SAE has.

        Parameters
        ----------
        num_features : int
            Width of the SAE; its ids run from 0 to num_features − 1.

        Returns
        -------
        Explanations
            `outside` grows by the number of ids left out.
        """
        ids = self.rows.index.to_numpy()
        start, end = np.searchsorted(ids, [0, num_features])
        if end - start == len(ids):
            return self
        kept = replace(self, rows=self.rows.iloc[start:end])
        return replace(kept, outside=self.outside + len(self.texts) - len(kept.texts))


def read_explanations(path: Path, num_features: int | None = None) -> Explanations:
    """
    Read an explanation file, or a folder of delphi's.

    Parameters
    ----------
    path : Path
        The CSV file; or a folder with a text file per feature, as delphi writes them.
    num_features : int, optional
        Width of the SAE, to leave out features that it does not have.

    Returns
    -------
    Explanations
        See `parse_explanations`; a folder's have the type "delphi", and the model where delphi's settings are at hand.

    Raises
    ------
    DataError
        If the file cannot be read or breaks the format; see `parse_explanations` and `delphi.read_folder`.
    """
    if kind_of(path) != "folder":
        return parse_explanations(read_whole(path), legible(path.name), num_features)
    frame, digest = delphi.read_folder(path)
    rows = _rows(frame, "explanation", frame["feature_id"].to_numpy())
    explanations = Explanations(legible(path.name), digest, rows, 0, 0)
    return explanations if num_features is None else explanations.restricted(num_features)


def parse_explanations(data: bytes, name: str, num_features: int | None = None) -> Explanations:
    """
    Find the text of each feature in a CSV with `feature_id` and one of `claude_desc`, `description`, `explanation`.

    The last row of a feature is shown; if its text is empty, the feature has no explanation. `type` and `model` may say
    how each text was made and by which model.

    Parameters
    ----------
    data : bytes
        The whole file, UTF-8 with or without a byte order mark.
    name : str
        What it is called in messages.
    num_features : int, optional
        Width of the SAE, to leave out features that it does not have.

    Returns
    -------
    Explanations
        Texts as written. An empty or blank cell is missing; words such as "null" and "NA" are text.

    Raises
    ------
    DataError
        If the file is not UTF-8, not CSV, lacks the columns, or a feature id is not a whole number.
    """
    there = read_header(data, name)
    column = next((column for column in _TEXT_COLUMNS if column in there), None)
    if column is None or "feature_id" not in there:
        msg = (
            f"`{name}` has the columns {listed(there)}, but expected `feature_id` "
            f"and one of {', '.join(f'`{column}`' for column in _TEXT_COLUMNS)}."
        )
        raise DataError(msg)
    frame = parse_csv(data, name, ("feature_id", column, *_KIND_COLUMNS))
    if any(ours <= set(there) for ours in _OURS):
        frame = unguarded(frame)
    has_id, ids = _parse_ids(frame["feature_id"], name)
    if not has_id.all():
        frame = frame[has_id]
    rows = _rows(frame, column, ids)
    explanations = Explanations(name, sha256(data).hexdigest(), rows, 0, int((~has_id).sum()))
    return explanations if num_features is None else explanations.restricted(num_features)


def _rows(frame: pd.DataFrame, text_column: str, ids: NDArray[np.int64]) -> pd.DataFrame:
    """Return `Explanations.rows` of a file's cells."""
    columns = {"explanation": frame[text_column]}
    columns |= {f"explanation_{kind}": frame[kind].str.strip() for kind in _KIND_COLUMNS if kind in frame}
    index = pd.Index(ids, name="feature_id")
    rows = pd.DataFrame({name: _without_blanks(cells) for name, cells in columns.items()}).set_axis(index)
    return rows if index.is_monotonic_increasing else rows.sort_index(kind="stable")


def _without_blanks(cells: pd.Series[str]) -> pd.Series[str]:
    """Return cells, missing where there is nothing in them but white space."""
    arrow = pa.chunked_array(cells)
    is_blank = pc.or_(pc.equal(pc.binary_length(arrow), 0), pc.utf8_is_space(arrow))
    return cells.mask(is_blank.to_numpy()) if pc.any(is_blank).as_py() else cells


def _parse_ids(cells: pd.Series[str], name: str) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
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
        msg = (
            f"`{name}`: `feature_id` in row {row} below the header is {quoted(ids.iloc[first])}, "
            f"but expected a whole number ({is_bad.sum()} such rows)."
        )
        raise DataError(msg)
    return has_id, ids.str.split(".").str[0].to_numpy().astype(np.int64)
