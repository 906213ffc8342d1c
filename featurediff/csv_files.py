"""
CSV that a spreadsheet shows and does not run, and CSV as it is read.

To a spreadsheet, a text cell that starts with `=`, `+`, `-`, `@`, a tab or a line break is a formula. It gets an
apostrophe in front. So does a cell that has apostrophes before such a start: taking one away gives back what was
written. Numbers stay as they are. After OWASP, "CSV Injection".
"""

from __future__ import annotations

import io
import re
import warnings

import pandas as pd
import pyarrow as pa
from pandas.api.types import is_numeric_dtype
from pyarrow import csv

from featurediff.csv_fast import read_fast
from featurediff.errors import DataError
from featurediff.wording import listed, quoted

_FORMULA = "'*[ \u00a0]*[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""
How a text starts that gets an apostrophe. A spreadsheet drops blanks before a sign, and in East Asian settings it takes
full-width signs for signs. The pattern means the same to Python and to Arrow, which pandas uses.
"""


def guard(text: str) -> str:
    """Return a text so that no spreadsheet runs it; most texts are returned as they are."""
    return f"'{text}" if re.match(_FORMULA, text) else text


def unguard(text: str) -> str:
    """Return the text that `guard` was given."""
    return text[1:] if re.match(f"'{_FORMULA}", text) else text


def to_csv(frame: pd.DataFrame) -> str:
    """
    Write a frame as CSV, without its index.

    Parameters
    ----------
    frame : DataFrame
        Its columns hold numbers, booleans, texts, or categories that are texts.

    Returns
    -------
    str
        As pyarrow writes it: names and texts in quotes, missing cells and NaN empty, numbers with as few digits as
        give back the same number, and `true` and `false`. Texts are guarded.
    """
    table = pa.table({str(name): pa.Array.from_pandas(_guarded(column)) for name, column in frame.items()})
    file = pa.BufferOutputStream()
    csv.write_csv(table, file)
    return str(file.getvalue(), "utf-8")


def _guarded(column: pd.Series) -> pd.Series:
    """Return a column whose texts are guarded."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.rename_categories(guard)
    if is_numeric_dtype(column):
        return column
    return column.astype("str").str.replace(rf"\A({_FORMULA})", r"'\1", regex=True)


def unguarded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of texts as it was before `to_csv` guarded it."""
    made: pd.DataFrame = frame.apply(lambda cells: cells.str.replace(rf"\A'({_FORMULA})", r"\1", regex=True))
    return made


def parse_csv(data: bytes, name: str) -> pd.DataFrame:
    """
    Read a CSV as text, cell by cell.

    Parameters
    ----------
    data : bytes
        The whole file, UTF-8 with or without a byte order mark.
    name : str
        What it is called in messages.

    Returns
    -------
    DataFrame
        Each cell as it is written; empty cells are empty texts.

    Raises
    ------
    DataError
        If the file is not UTF-8 or not CSV, or has two columns of one name.
    """
    frame = read_fast(data)
    if frame is None:
        frame = read_by_pandas(data, name)
    if frame.columns.has_duplicates:
        msg = f"`{name}` has the columns {listed(frame.columns)}, one of them twice, but expected different names."
        raise DataError(msg)
    return frame


def read_by_pandas(data: bytes, name: str) -> pd.DataFrame:
    """
    Read any CSV as text, without blanks around the columns' names.

    Raises
    ------
    DataError
        If the file is not UTF-8 or not CSV.
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
        detail = quoted(str(error).strip().removeprefix("Error tokenizing data. C error: "))
        msg = f"`{name}` is not a CSV file: {detail}. Is a comma or a quote within a text left unquoted?"
        raise DataError(msg) from error
    return frame.rename(columns=str.strip)
