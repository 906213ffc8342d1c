"""Explanation files → text by feature."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff import delphi
from featurediff.errors import DataError
from featurediff.files import kind_of, read_whole
from featurediff.spreadsheet import read_back
from featurediff.wording import legible, listed, shown

if TYPE_CHECKING:
    from pathlib import Path

_TEXT_COLUMNS = ("claude_desc", "description", "explanation")
_KIND_COLUMNS = ("type", "model")
_OURS = (
    {"feature_id", "explanation", "type", "model", "url"},  # of `featurediff explain`
    {"feature_id", "explanation", "exclusivity", "neuronpedia_url"},  # of `featurediff export`
)
"""Columns by which a CSV of our own is known, whose text is guarded; a stranger's `'-ing' endings` is left as it is."""

_FEATURE_ID = r"-?[0-9]{1,18}(\.0*)?"  # pandas writes ids as 12.0 when one of them is missing


@dataclass(frozen=True, eq=False)
class Explanations:
    """What features mean, in words; a feature may have several texts, of which one is shown."""

    name: str
    """Name of the file or folder as shown to people."""

    sha256: str
    """Of the whole file, in hex; of a folder's names and files, one after the other."""

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
    """Type of explanation that counts before the last row of a feature, where a feature has it."""

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """The row of each explained feature that counts, with the columns of `rows`; the index is unique."""
        rows = self.rows
        if self.preferred is not None and "explanation_type" in rows:
            is_preferred = (rows["explanation_type"] == self.preferred) & rows["explanation"].notna()
            rows = rows.iloc[np.lexsort((is_preferred, rows.index))]  # last of its feature, the others in order
        last = rows[~rows.index.duplicated(keep="last")]
        return last[last["explanation"].notna()]

    @property
    def texts(self) -> pd.Series[str]:
        """The text of each explained feature; the index `feature_id` is int64, unique and sorted."""
        return self.chosen["explanation"]

    @property
    def types(self) -> tuple[str, ...]:
        """The types of explanation that occur, the most frequent first; none where the source names no types."""
        explained = self.rows[self.rows["explanation"].notna()]
        return tuple(explained["explanation_type"].value_counts().index) if "explanation_type" in explained else ()

    def preferring(self, explanation_type: str | None) -> Explanations:
        """Return the same explanations, where this type counts for the features that have it; None is no preference."""
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
        ids = self.rows.index
        kept = replace(self, rows=self.rows[(ids >= 0) & (ids < num_features)])
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
    explanations = Explanations(legible(path.name), digest, _rows(frame, "explanation", frame["feature_id"]), 0, 0)
    return explanations if num_features is None else explanations.restricted(num_features)


def parse_explanations(data: bytes, name: str, num_features: int | None = None) -> Explanations:
    """
    Find the text of each feature in a CSV with `feature_id` and one of `claude_desc`, `description`, `explanation`.

    The last row of an id counts: when its text is empty, the id has none. `type` and `model` may say how each text
    was made and by which model.

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
    frame = parse_csv(data, name)
    column = next((column for column in _TEXT_COLUMNS if column in frame), None)
    if column is None or "feature_id" not in frame:
        msg = (
            f"`{name}` has the columns {listed(frame.columns)}, but expected `feature_id` "
            f"and one of {', '.join(f'`{column}`' for column in _TEXT_COLUMNS)}."
        )
        raise DataError(msg)
    if any(ours <= set(frame.columns) for ours in _OURS):
        frame = read_back(frame)
    has_id = frame["feature_id"].str.strip() != ""
    frame = frame[has_id]
    rows = _rows(frame, column, _parse_ids(frame["feature_id"], name))
    explanations = Explanations(name, sha256(data).hexdigest(), rows, outside=0, skipped=int((~has_id).sum()))
    return explanations if num_features is None else explanations.restricted(num_features)


def _rows(frame: pd.DataFrame, text_column: str, ids: pd.Series[int]) -> pd.DataFrame:
    """Return `Explanations.rows` of a file's cells."""
    columns = {"explanation": frame[text_column]}
    columns |= {f"explanation_{kind}": frame[kind].str.strip() for kind in _KIND_COLUMNS if kind in frame}
    rows = pd.DataFrame({name: cells.where(cells.str.strip() != "") for name, cells in columns.items()})
    return rows.set_axis(pd.Index(ids, name="feature_id")).sort_index(kind="stable")


def _parse_ids(ids: pd.Series[str], name: str) -> pd.Series[int]:
    """Return feature ids as int64; the index tells the row below the header, from 0."""
    ids = ids.str.strip()
    is_bad = ~ids.str.fullmatch(_FEATURE_ID)
    if is_bad.any():
        first = int(is_bad.to_numpy().argmax())
        row = ids.index.to_numpy()[first] + 1
        msg = (
            f"`{name}`: `feature_id` in row {row} below the header is {shown(ids.iloc[first])}, "
            f"but expected a whole number ({is_bad.sum()} such rows)."
        )
        raise DataError(msg)
    return ids.str.split(".").str[0].astype("int64")


def parse_csv(data: bytes, name: str) -> pd.DataFrame:
    """
    Read a CSV as text, cell by cell.

    Raises
    ------
    DataError
        If the file is not UTF-8 or not CSV, or has two columns of one name.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        msg = f"`{name}` is not UTF-8: line {line} has the byte 0x{data[error.start]:02x}. Save it as CSV in UTF-8."
        raise DataError(msg) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header lose their last cells
            frame = pd.read_csv(io.StringIO(text), dtype="str", na_filter=False, index_col=False)
    except pd.errors.EmptyDataError as error:
        msg = f"`{name}` is empty, but expected a CSV file with a header."
        raise DataError(msg) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        detail = shown(str(error).strip().removeprefix("Error tokenizing data. C error: "))
        msg = f"`{name}` is not a CSV file: {detail}. Is a comma or a quote within a text left unquoted?"
        raise DataError(msg) from error
    frame = frame.rename(columns=str.strip)
    if frame.columns.has_duplicates:
        msg = f"`{name}` has the columns {listed(frame.columns)}, one of them twice, but expected different names."
        raise DataError(msg)
    return frame
