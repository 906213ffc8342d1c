"""
CSV that a spreadsheet shows and does not run, and CSV as it is read.

To a spreadsheet, a text cell that starts with `=`, `+`, `-`, `@`, a tab or a line break is a formula. It gets an
apostrophe in front. So does a cell that has apostrophes before such a start: taking one away gives back what was
written. Numbers stay as they are. After OWASP, "CSV Injection".
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
from pandas.api.types import is_numeric_dtype
from pyarrow.csv import write_csv

from featurediff.csv_fast import read_fast
from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

MAX_COLUMNS = 200
"""Columns of a CSV at most: each takes time and memory, whatever is in it."""

MAX_HEADER = 2**17
"""Bytes of a CSV in which its header must end."""

_CUT_CHARACTER = rb"[\xc2-\xf4]\Z|[\xe0-\xf4][\x80-\xbf]\Z|[\xf0-\xf4][\x80-\xbf]{2}\Z"
"""The start of a character in UTF-8, without its end."""

_MARK = "\x1a"
"""Put behind a file whose last line has no end: it is in the last column if the line has all its cells."""

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
    write_csv(table, file)
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


def read_header(data: bytes, name: str) -> list[str]:
    """
    Return the names of a CSV's columns, without blanks around them; no other line is read.

    Parameters
    ----------
    data : bytes
        The whole file, UTF-8 with or without a byte order mark.
    name : str
        What it is called in messages.

    Raises
    ------
    DataError
        If there is no header, it is too long, or two columns have one name. Columns without a name may be several.
    """
    head = _decode(data[:MAX_HEADER], name, is_whole=False)
    text = io.StringIO(head, newline="")
    rows = csv.reader(text)
    names = next(([cell.strip() for cell in row] for row in rows if "".join(row).strip("\ufeff \t\r\n")), None)
    if names is None and len(data) <= MAX_HEADER:
        msg = f"`{name}` is empty, but expected a CSV file with a header."
        raise DataError(msg)
    if names is None or (len(data) > MAX_HEADER and text.tell() == len(head)):
        msg = f"`{name}` has no header in its first {MAX_HEADER:,} bytes. Expected the names of its columns there."
        raise DataError(msg)
    if len(names) > MAX_COLUMNS:
        msg = f"`{name}` has {len(names):,} columns, but expected at most {MAX_COLUMNS}. Keep those that are needed."
        raise DataError(msg)
    named = [column for column in names if column]
    if len(set(named)) < len(named):
        msg = f"`{name}` has the columns {listed(names)}, one of them twice, but expected different names."
        raise DataError(msg)
    return names


def parse_csv(data: bytes, name: str, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """
    Read a CSV as text, cell by cell.

    Parameters
    ----------
    data : bytes
        The whole file, UTF-8 with or without a byte order mark.
    name : str
        What it is called in messages.
    columns : iterable of str, optional
        The columns that are needed, as far as the file has them; by default all that have a name.

    Returns
    -------
    DataFrame
        Each cell as it is written; empty cells are empty texts. Columns are in the order of the file.

    Raises
    ------
    DataError
        If `read_header` refuses the header, or the file is not UTF-8 or not CSV.
    """
    there = read_header(data, name)
    wanted = [column for column in there if column and (columns is None or column in set(columns))]
    frame = read_fast(data, wanted)
    return read_by_pandas(data, name, wanted) if frame is None else frame


def parse_open_csv(
    data: bytes, name: str, columns: Iterable[str], whole: Collection[str] = ()
) -> tuple[pd.DataFrame, str | None]:
    """
    Read the whole rows of a CSV that may still be being written.

    A file breaks off where it ends within a character, where its last line has no end and fewer cells than the header,
    and where a quote is never closed. A last line without an end that has all its cells is a row: many files end so.

    Parameters
    ----------
    data, name, columns
        As for `parse_csv`.
    whole : collection of str
        Columns whose cells must be whole, such as ids: if the last column is one of them, a line without an end is not
        read.

    Returns
    -------
    DataFrame
        As of `parse_csv`.
    str or None
        What was left out, a sentence.

    Raises
    ------
    DataError
        As from `parse_csv`, if more is wrong than that.
    """
    wanted, broken = list(columns), f"`{name}` breaks off in its last row, which is left out."
    if re.search(_CUT_CHARACTER, data[-3:]):
        frame, more = parse_open_csv(data[: data.rfind(b"\n") + 1], name, wanted)
        return frame, more or broken
    header, marked = read_header(data, name), data + _MARK.encode()
    has_end = data.rstrip(b" \t").endswith((b"\n", b"\r"))
    last = header[-1] if not has_end and read_header(marked, name) == header else ""  # else the header has no end
    try:
        frame = parse_csv(marked if last else data, name, {*wanted, *([last] if last else [])})
    except DataError as error:
        quote = re.search(r"EOF inside string starting at row ([1-9][0-9]*)", str(error.__cause__))
        if quote is None:
            raise
        frame = read_by_pandas(data, name, wanted, rows=int(quote[1]))
        return frame, f"`{name}`: a quote in row {len(frame) + 1} is never closed. What follows is left out."
    if not last:
        return frame, None
    cell = frame[last].iloc[-1]
    frame = frame.assign(**{last: pd.array([*frame[last].iloc[:-1], cell.removesuffix(_MARK)], dtype="str")})
    is_row = cell.endswith(_MARK) and last not in whole
    return (frame[wanted], None) if is_row else (frame[wanted].iloc[:-1], broken)


def read_by_pandas(data: bytes, name: str, columns: Sequence[str], rows: int | None = None) -> pd.DataFrame:
    """
    Read columns of any CSV as text; `read_header` has passed it.

    The header is read as a row, the first of `rows`. pandas lets the first row below a header have more cells than the
    header, millions of them, but not the second row of a file.

    Raises
    ------
    DataError
        If the file is not UTF-8 or not CSV.
    """
    text = _decode(data, name)
    try:
        frame = pd.read_csv(io.StringIO(text), header=None, dtype="str", na_filter=False, nrows=rows)
    except pd.errors.ParserError as error:
        detail = quoted(str(error).strip().removeprefix("Error tokenizing data. C error: "))
        msg = f"`{name}` is not a CSV file: {detail}. Is a comma or a quote within a text left unquoted?"
        raise DataError(msg) from error
    places = {cell.strip(): place for place, cell in frame.iloc[0].items()}
    return pd.DataFrame({column: frame[places[column]].array[1:] for column in columns})


def _decode(data: bytes, name: str, *, is_whole: bool = True) -> str:
    """Return a text without a mark of byte order; where it is not whole, its last character may be cut."""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data, is_whole)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        msg = f"`{name}` is not UTF-8: line {line} has the byte 0x{data[error.start]:02x}. Save it as CSV in UTF-8."
        raise DataError(msg) from error
