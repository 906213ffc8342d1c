"""Small CSV files that a reader brings along: of stars, and of groups of features."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_BYTES = 2**20
"""Bytes of a file at most; its rows were set by hand."""

MOST = 10_000
"""Rows of a file at most."""


def read_small_csv(
    data: bytes, name: str, needed: Sequence[str], wanted: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """
    Read a small CSV file row by row.

    Parameters
    ----------
    data : bytes
        CSV in UTF-8 with a header.
    name : str
        What the file is called in messages.
    needed, wanted : sequence of str
        Columns that it must have, and columns that it may have; others are left out.

    Yields
    ------
    number : int
        The row, from 1.
    cells : list of str
        Of the columns needed and wanted; "" where there is none.

    Raises
    ------
    DataError
        If the file is larger than `MAX_BYTES` or not UTF-8, lacks a column, or has more than `MOST` rows.
    """
    if len(data) > MAX_BYTES:
        msg = f"`{name}` has {len(data):,} bytes, but expected at most {MAX_BYTES:,}. Cut it into several files."
        raise DataError(msg)
    try:
        rows = filter(None, csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
        columns = next(rows, [])
        missing = [column for column in needed if column not in columns]
        if missing:
            msg = f"`{name}` has the columns {listed(columns)}, but expected {listed(missing)} as well."
            raise DataError(msg)
        at = {column: place for place, column in enumerate(columns)}
        for number, row in enumerate(rows, 1):
            if number > MOST:
                msg = f"`{name}` has {number + sum(1 for _ in rows)} rows, but expected at most {MOST}."
                raise DataError(msg)
            cells = dict(enumerate(row))
            yield number, [cells.get(at.get(column, -1), "") for column in (*needed, *wanted)]
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"`{name}` is not a CSV file in UTF-8 ({quoted(str(error))}). Expected one with {listed(needed)}."
        raise DataError(msg) from error


def read_id(cell: str, number: int, name: str) -> int:
    """
    Read the feature id of a row.

    Raises
    ------
    DataError
        If it is not a whole number of at most nine digits.
    """
    feature_id = cell.strip()
    if not re.fullmatch(r"[0-9]{1,9}", feature_id):
        msg = f"`{name}`: `feature_id` in row {number} is {quoted(feature_id)}, but expected a whole number."
        raise DataError(msg)
    return int(feature_id)
