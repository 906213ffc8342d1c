"""Explanation files → text by feature."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pandas as pd

from featurediff.errors import DataError
from featurediff.files import read_whole
from featurediff.wording import listed, shown

if TYPE_CHECKING:
    from pathlib import Path

_TEXT_COLUMNS = ("claude_desc", "description", "explanation")
_FEATURE_ID = r"-?[0-9]{1,18}(\.0*)?"  # pandas writes ids as 12.0 when one of them is missing


@dataclass(frozen=True, eq=False)
class Explanations:
    """What features mean, in words."""

    name: str
    """File name as shown to people."""

    sha256: str
    """Of the whole file, in hex."""

    texts: pd.Series[str]
    """Non-empty texts; the index `feature_id` is int64, unique and sorted."""

    outside: int
    """Number of explained ids that the SAE does not have and that were left out; 0 until restricted."""

    skipped: int
    """Number of rows without a feature id."""

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
        ids = self.texts.index
        texts = self.texts[(ids >= 0) & (ids < num_features)]
        return replace(self, texts=texts, outside=self.outside + len(ids) - len(texts))


def read_explanations(path: Path, num_features: int | None = None) -> Explanations:
    """
    Read an explanation file.

    Parameters
    ----------
    path : Path
        The CSV file.
    num_features : int, optional
        Width of the SAE, to leave out features that it does not have.

    Returns
    -------
    Explanations
        See `parse_explanations`.

    Raises
    ------
    DataError
        If the file cannot be read or breaks the format; see `parse_explanations`.
    """
    return parse_explanations(read_whole(path), path.name, num_features)


def parse_explanations(data: bytes, name: str, num_features: int | None = None) -> Explanations:
    """
    Find the text of each feature in a CSV with `feature_id` and one of `claude_desc`, `description`, `explanation`.

    The last row of an id counts: when its text is empty, the id has none.

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
    frame = _parse_csv(data, name)
    column = next((column for column in _TEXT_COLUMNS if column in frame), None)
    if column is None or "feature_id" not in frame:
        msg = (
            f"`{name}` has the columns {listed(frame.columns)}, but expected `feature_id` "
            f"and one of {', '.join(f'`{column}`' for column in _TEXT_COLUMNS)}."
        )
        raise DataError(msg)
    ids = frame["feature_id"].str.strip()
    has_id = ids != ""
    ids = ids[has_id]
    is_bad = ~ids.str.fullmatch(_FEATURE_ID)
    if is_bad.any():
        first = int(is_bad.to_numpy().argmax())
        row = ids.index.to_numpy()[first] + 1
        msg = (
            f"`{name}`: `feature_id` in row {row} below the header is {shown(ids.iloc[first])}, "
            f"but expected a whole number ({is_bad.sum()} such rows)."
        )
        raise DataError(msg)
    index = pd.Index(ids.str.split(".").str[0].astype("int64"), name="feature_id")
    texts = pd.Series(frame.loc[has_id, column].array, index=index, name="explanation")
    texts = texts[~index.duplicated(keep="last")].sort_index()
    texts = texts[texts.str.strip() != ""]
    explanations = Explanations(name, sha256(data).hexdigest(), texts, outside=0, skipped=int((~has_id).sum()))
    return explanations if num_features is None else explanations.restricted(num_features)


def _parse_csv(data: bytes, name: str) -> pd.DataFrame:
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
    return frame.rename(columns=str.strip)
