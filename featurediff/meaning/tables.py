"""Explanation files as tables of text: CSV or JSON, zipped or not, whole or still being written."""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from featurediff.csv_files import MAX_COLUMNS, parse_open_csv, read_header, unguarded
from featurediff.errors import DataError
from featurediff.files import other_kind
from featurediff.meaning.columns import ID_COLUMNS, find
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_UNPACKED = 2**30
"""Bytes that a zipped file may have when unpacked."""

_OURS = (
    {"feature_id", "explanation", "type", "model", "url"},  # of `featurediff explain`
    {"feature_id", "explanation", "exclusivity", "neuronpedia_url"},  # of `featurediff export`
)
"""Columns of the CSVs that featurediff writes, whose texts are guarded; in others `'-ing' endings` stays as it is."""

_ITEM = re.compile(r"[^\s,]")
_BROKEN = object()


class Table(NamedTuple):
    """What a file holds."""

    columns: list[str]
    """All its columns."""

    cells: pd.DataFrame
    """The wanted ones, as text; blank where a row has nothing."""

    left_out: list[str]
    """What was left out because the file is not whole: a sentence each."""


def read_table(data: bytes, name: str, is_wanted: Callable[[str], bool]) -> Table:
    """
    Read a table in any of its forms.

    Parameters
    ----------
    data : bytes
        The whole file: a CSV with commas, a JSON array of objects, or JSON lines; in UTF-8, maybe zipped by gzip.
    name : str
        What it is called in messages.
    is_wanted : callable
        Tells by its name whether a column is needed.

    Returns
    -------
    Table
        The rows that are whole. A file that ends in the middle of a row is read without that row.

    Raises
    ------
    DataError
        If the file is in none of these forms, or has no whole row.
    """
    plain, is_cut = _unpacked(data, name) if data.startswith(b"\x1f\x8b") else (data, False)
    is_json = plain.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{")
    table = _read_json(plain, name, is_wanted) if is_json else _read_csv(plain, name, is_wanted)
    if is_cut and not table.left_out:
        table.left_out.append(f"`{name}` breaks off: its gzip data have no end. The rows up to there are read.")
    return table


def _unpacked(data: bytes, name: str) -> tuple[bytes, bool]:
    """Return the contents of a gzip file, and whether it breaks off."""
    parts, size, rest, is_cut = [], 0, data, False
    while rest and not is_cut:
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(rest, MAX_UNPACKED - size + 1))
        except zlib.error as error:
            if not parts:
                msg = f"`{name}` is damaged: its gzip data cannot be unpacked ({error}). Copy or write it again."
                raise DataError(msg) from error
            break  # what follows a whole member is padding
        size += len(parts[-1])
        if size > MAX_UNPACKED:
            msg = f"`{name}` has more than {MAX_UNPACKED:,} bytes when unpacked, but expected at most that."
            raise DataError(msg)
        rest, is_cut = member.unused_data, not member.eof
    return b"".join(parts), is_cut


def _read_csv(data: bytes, name: str, is_wanted: Callable[[str], bool]) -> Table:
    if data.startswith(b"PK\x03\x04"):
        msg = f"`{name}` is an Excel workbook, or another zip archive. Save it as CSV in UTF-8."
        raise DataError(msg)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        msg = f"`{name}` is UTF-16, as Excel saves “Unicode text”. Save it as CSV in UTF-8."
        raise DataError(msg)
    if kind := other_kind(data):
        msg = f"`{name}` is {kind}, but expected a CSV file. Save its table as CSV in UTF-8."
        raise DataError(msg)
    columns = read_header(data, name)
    for mark, words in ((";", "semicolons"), ("\t", "tabs")):
        if len(columns) == 1 and mark in columns[0]:
            msg = f"`{name}` has {words} between its columns, but expected commas. Save it as CSV with commas."
            raise DataError(msg)
    wanted = [column for column in columns if is_wanted(column)]
    cells, left_out = parse_open_csv(data, name, wanted, whole=find(columns, ID_COLUMNS))
    if any(ours <= set(columns) for ours in _OURS):
        cells = unguarded(cells)
    return Table(columns, cells, [left_out] if left_out else [])


def _read_json(data: bytes, name: str, is_wanted: Callable[[str], bool]) -> Table:
    columns: dict[str, None] = {}
    rows: list[dict[str, str]] = []
    left_out = []
    for item in _items(data.decode("utf-8-sig", errors="replace")):
        if item is _BROKEN:
            left_out.append(f"`{name}` is not JSON after row {len(rows)}, or breaks off there. The rest is left out.")
            break
        if not isinstance(item, dict):
            msg = f"`{name}` holds {quoted(item)} as row {len(rows) + 1}, but expected a JSON object in each row."
            raise DataError(msg)
        columns |= dict.fromkeys(item)
        if len(columns) > MAX_COLUMNS:
            msg = f"`{name}` has more than {MAX_COLUMNS} different fields, but expected at most that."
            raise DataError(msg)
        rows.append({key: _text(value) for key, value in item.items() if is_wanted(key)})
    if not rows:
        msg = f"`{name}` has no whole JSON object, but expected an array of objects, or an object in each line."
        raise DataError(msg)
    wanted = [column for column in columns if is_wanted(column)]
    cells = {column: pd.array([row.get(column, "") for row in rows], dtype="str") for column in wanted}
    return Table(list(columns), pd.DataFrame(cells), left_out)


def _items(text: str) -> Iterator[object]:
    """Return the items of a JSON array, or those that follow each other, and `_BROKEN` where the text is neither."""
    decoder, is_array = json.JSONDecoder(), text.lstrip().startswith("[")
    at = text.find("[") + 1 if is_array else 0
    while match := _ITEM.search(text, at):
        at = match.start()
        if is_array and text[at] == "]":
            if text[at + 1 :].strip():
                yield _BROKEN
            return
        try:
            item, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            item, at = _BROKEN, len(text)
            is_array = False
        yield item
    if is_array:
        yield _BROKEN


def _text(value: object) -> str:
    """Write a field as a cell of a CSV: a text as it is, numbers as digits, anything else as nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return value.encode(errors="replace").decode() if isinstance(value, str) else str(value)
