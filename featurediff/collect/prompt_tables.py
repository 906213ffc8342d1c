"""Tables of prompts, with commas, semicolons or tabs between the cells."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from featurediff.collect.prompt_records import Bad, Record, prompt_key
from featurediff.errors import DataError
from featurediff.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEPARATORS = {".csv": (",", ";", "\t"), ".tsv": ("\t", ";", ",")}
"""By ending, what may stand between the cells of a table; the first that fits the header is taken."""

_HEADERS = {
    "category",
    "content",
    "group",
    "id",
    "input",
    "instruction",
    "label",
    "prompt",
    "question",
    "text",
    "topic",
}
"""Names of columns by which a table is known under an ending that says nothing."""


def read_table(text: str, column: str, path: Path) -> Iterator[Record | Bad]:
    """
    Read the rows of a table below its header; blank lines do not count.

    Raises
    ------
    DataError
        If it has no such column, two of one name, or is no CSV.
    """
    separator, text, before = _separator(text, column, path)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = before + 1
    try:
        header = _trimmed([name.strip() for name in next(rows, [])], 0)
        repeated = sorted({name for name in header if header.count(name) > 1})
        if repeated:
            msg = f"`{path}` has the column {listed(repeated)} twice, but expected different names."
            raise DataError(msg)
        line = before + rows.line_num + 1
        for row in rows:
            cells = _trimmed(row, len(header))
            if len(cells) == len(header):
                yield Record(line, dict(zip(header, cells, strict=True)))
            elif row:
                yield Bad(line, f"{len(row)} fields, but the header has {len(header)}.")
            line = before + rows.line_num + 1
    except csv.Error as error:
        msg = f"`{path}`, line {line}: not CSV ({error}). Expected quotes round fields with commas or line breaks."
        raise DataError(msg) from error


def _separator(text: str, column: str, path: Path) -> tuple[str, str, int]:
    """Return what separates the cells, the table, and the number of lines before it."""
    said = re.match(r"sep=(.)\r?\n", text)  # Excel's own first line
    if said:
        return said[1], text[said.end() :], 1
    headers = {separator: _header(text, separator) for separator in SEPARATORS[path.suffix.lower()]}
    for separator, header in headers.items():
        if prompt_key(header, column):
            return separator, text, 0
    longest = max(headers.values(), key=len)
    msg = f"`{path}` has no column {column!r}, but {listed(longest)}. Name the column with --column."
    raise DataError(msg)


def _header(text: str, separator: str) -> list[str]:
    """Return the names of the columns; none if the first line is no header with this separator."""
    try:
        return [
            name.strip()
            for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), [])
        ]
    except csv.Error:
        return []


def _trimmed(row: list[str], length: int) -> list[str]:
    """Leave out empty cells behind the last column: Excel writes them where a cell was once filled."""
    while len(row) > length and not row[-1].strip():
        row = row[:-1]
    return row


def is_table(text: str, column: str) -> bool:
    """
    Tell whether lines are the rows of a table.

    Its first row names the column of the prompts, or others that tables have; or every line has equally many cells,
    which are separated by tabs, or follow their separator without a blank, as in no sentence.
    """
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3})", "", text)
    for separator in (",", ";", "\t"):
        try:
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
        except csv.Error:
            continue
        header = [name.strip() for name in rows[0]] if rows else []
        if len(rows) > 1 and prompt_key(header, column):
            return True
        if len(rows) < 2 or any(len(row) != len(header) for row in rows):
            continue
        is_tight = not any(cell.startswith(" ") for row in rows for cell in row[1:])
        if _HEADERS & {name.lower() for name in header} or (len(header) > 1 and (separator == "\t" or is_tight)):
            return True
    return False
