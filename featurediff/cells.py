"""CSV files → cells of text."""

from __future__ import annotations

import io
import re
import warnings

import pandas as pd
import pyarrow as pa
from pyarrow import csv

from featurediff.errors import DataError
from featurediff.wording import listed, shown

_HEADER = re.compile(rb'(\w+|"\w+")(,(\w+|"\w+"))+\r?\n', re.ASCII)

_BLOCK = 1 << 26
"""Bytes that become a piece of a column: rows are taken faster from one piece than from many."""


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
        detail = shown(str(error).strip().removeprefix("Error tokenizing data. C error: "))
        msg = f"`{name}` is not a CSV file: {detail}. Is a comma or a quote within a text left unquoted?"
        raise DataError(msg) from error
