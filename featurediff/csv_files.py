"""
CSV that a spreadsheet shows and does not run.

To a spreadsheet, a text cell that starts with `=`, `+`, `-`, `@`, a tab or a line break is a formula. It gets an
apostrophe in front, and so does a cell that has apostrophes before such a start: taking one away gives back what was
written. Numbers stay as they are. After OWASP, "CSV Injection".
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import is_numeric_dtype
from pyarrow import csv

from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RUNS = "'*[ \u00a0]*[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""
A start that a spreadsheet runs, or that is told from one by its apostrophes. Blanks before a sign are dropped, and East
Asian settings take full-width signs for signs. To Python and to pandas' own library the pattern means the same.
"""

_HEADER = re.compile(rb'(\w+|"\w+")(,(\w+|"\w+"))+\r?\n', re.ASCII)

_BLOCK = 1 << 26
"""Bytes that become a piece of a column: rows are taken faster from one piece than from many."""


def guard(text: str) -> str:
    """Return a text so that no spreadsheet runs it; most texts are returned as they are."""
    return f"'{text}" if re.match(_RUNS, text) else text


def unguard(text: str) -> str:
    """Return the text that `guard` was given."""
    return text[1:] if re.match(f"'{_RUNS}", text) else text


def to_csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV, without its index and with its text guarded; missing is empty, numbers are exact."""
    header = ",".join(_quoted(pa.array([str(name) for name in frame.columns], pa.large_string())).to_pylist())
    if frame.empty:
        return f"{header}\n"
    cells = [_cells(column) for _, column in frame.items()]
    if len(cells) == 1:  # a row with nothing in it is no row
        cells = [pc.if_else(pc.equal(cells[0], ""), '""', cells[0])]
    rows = pc.binary_join_element_wise(*cells, pa.scalar(",", pa.large_string()))
    # A list of all rows as it lies in memory: one text without a loop over them.
    whole = pa.LargeListArray.from_arrays(pa.array([0, len(rows)], pa.int64()), rows)
    return f"{header}\n{pc.binary_join(whole, pa.scalar(chr(10), pa.large_string()))[0].as_py()}\n"


def _cells(column: pd.Series) -> pa.Array:
    """Return a column as the text of its cells in a CSV."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return _written(column.to_numpy())
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = _cells(pd.Series(column.cat.categories))
        return pc.fill_null(texts.take(pa.array(column.cat.codes, mask=(column.cat.codes < 0).to_numpy())), "")
    texts = column.astype("str")
    if not is_numeric_dtype(column):
        texts = texts.str.replace(rf"\A({_RUNS})", r"'\1", regex=True)
    whole = pa.chunked_array(texts.where(column.notna())).combine_chunks()
    return _quoted(whole.cast(pa.large_string()))


def _written(numbers: NDArray[Any]) -> pa.Array:
    """Return numbers as numpy writes them, each that occurs once; NaN as nothing."""
    bits = numbers.view(f"u{numbers.dtype.itemsize}")  # 0 and −0 are equal, and written differently
    _, first, which = np.unique(bits, return_index=True, return_inverse=True)
    distinct = numbers[first]
    texts = pa.array(distinct.astype("str").astype(object), pa.large_string(), mask=distinct != distinct)
    return pc.fill_null(texts, "").take(pa.array(which))


def _quoted(texts: pa.Array) -> pa.Array:
    """Return texts with quotes around those that need them; missing is empty."""
    needs = pc.match_substring_regex(texts, '[,"\r\n]')
    quote = pa.scalar('"', pa.large_string())
    inside = pc.replace_substring(texts, '"', '""')
    quoted = pc.binary_join_element_wise(quote, inside, quote, pa.scalar("", pa.large_string()))
    return pc.fill_null(pc.if_else(needs, quoted, texts), "")


def read_back(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the text of a CSV that `to_csv` wrote as it was before; every column was read as text."""
    made: pd.DataFrame = frame.apply(lambda cells: cells.str.replace(rf"\A'({_RUNS})", r"\1", regex=True))
    return made


def parse_csv(data: bytes, name: str) -> pd.DataFrame:
    """
    Read a CSV as text, cell by cell.

    Raises
    ------
    DataError
        If the file is not UTF-8 or not CSV, or has two columns of one name.
    """
    frame = read_fast(data)
    if frame is None:
        frame = _read(data, name).rename(columns=str.strip)
    if frame.columns.has_duplicates:
        msg = f"`{name}` has the columns {listed(frame.columns)}, one of them twice, but expected different names."
        raise DataError(msg)
    return frame


def read_fast(data: bytes) -> pd.DataFrame | None:
    """
    Read a CSV by pyarrow, in a twentieth of pandas' time.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    DataFrame or None
        What pandas reads. None where pandas may refuse the file or read it otherwise: where the header is not just
        words, rows differ in length, NUL or a carriage return alone is in a cell, the last one lacks its closing
        quote, or bytes are no UTF-8.
    """
    start = 3 * data.startswith(b"\xef\xbb\xbf")
    header = _HEADER.match(data, start)
    if header is None or b"\0" in data or data.startswith(b"\xef\xbb\xbf", header.end()):
        return None
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return None
    names = header[0].decode().strip().replace('"', "").split(",")
    if len(set(names)) < len(names):
        return None
    try:
        table = csv.read_csv(
            pa.py_buffer(data)[header.end() :],
            read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=_BLOCK),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    last = table[-1][-1].as_py() if len(table) else ""
    if data.endswith(b'"' + last.replace('"', '""').encode()):  # maybe not closed, which pyarrow does not mind
        return None
    return pd.DataFrame({column: pd.array(table[column], dtype="str") for column in names})


def _read(data: bytes, name: str) -> pd.DataFrame:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        msg = f"`{name}` is not UTF-8: line {line} has the byte 0x{data[error.start]:02x}. Save it as CSV in UTF-8."
        raise DataError(msg) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header lose their last cells
            return pd.read_csv(io.StringIO(text), dtype="str", na_filter=False, index_col=False)
    except pd.errors.EmptyDataError as error:
        msg = f"`{name}` is empty, but expected a CSV file with a header."
        raise DataError(msg) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        detail = quoted(str(error).strip().removeprefix("Error tokenizing data. C error: "))
        msg = f"`{name}` is not a CSV file: {detail}. Is a comma or a quote within a text left unquoted?"
        raise DataError(msg) from error
