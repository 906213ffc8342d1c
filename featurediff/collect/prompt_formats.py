"""Text of a prompt file → records: JSON in its three layouts, tables with three separators, and lines of text."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_JSON = (".jsonl", ".ndjson", ".json")
_SEPARATORS = {".csv": (",", ";", "\t"), ".tsv": ("\t", ";", ",")}
"""By ending, what may stand between the cells of a table; the first that fits the header is taken."""

ENDINGS = (*_JSON, *_SEPARATORS, ".txt")
"""Of the files that are read."""

CONVERSATIONS = ("messages", "conversation", "conversations")
"""Keys under which people keep a whole conversation; the first that is there is read where there is no prompt."""

_DEFAULT_COLUMN = "content"
_BLANK = re.compile(r"\s*")
_JSON_START = re.compile(r'\s*(?:\{\s*["}]|\[\s*["{\]]|[\[{]\s*\n)')
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

_OTHER_KINDS = {
    b"\x1f\x8b": "is compressed with gzip. Unpack it.",
    b"PK\x03\x04": "is an Excel file or another archive. Save its table as CSV in UTF-8.",
    b"PAR1": "is a Parquet file. Save its table as CSV or JSON lines.",
    b"\xff\xfe": "is UTF-16, as Excel and Notepad write it. Save it as UTF-8.",
    b"\xfe\xff": "is UTF-16, as Excel and Notepad write it. Save it as UTF-8.",
}
"""How files of other kinds begin, and what to do with them."""


class Bad(NamedTuple):
    """A record that is no prompt."""

    line: int
    """Where it begins in the file, from 1."""

    reason: str
    """What is wrong and what was expected, as the rest of a sentence."""


class Record(NamedTuple):
    """What a file says of one prompt."""

    line: int
    """Where it begins in the file, from 1."""

    fields: dict[str, Any]
    """By name; a line of text and a bare JSON string stand under the column that was asked for."""


def read_records(path: Path, data: bytes, column: str) -> Iterator[Record | Bad]:
    """
    Read the records of a prompt file, in the format that its ending names.

    Parameters
    ----------
    path : Path
        Of the file, for its ending and for messages.
    data : bytes
        All of it.
    column : str
        The key or column that holds the prompt.

    Raises
    ------
    DataError
        If the ending is unknown, or the content is of another kind than the ending says.
    """
    for start, kind in _OTHER_KINDS.items():
        if data.startswith(start):
            msg = f"`{path}` {kind}"
            raise DataError(msg)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        msg = f"`{path}` ends in {quoted(path.suffix)}, but expected one of {', '.join(ENDINGS)}, which say what it is."
        raise DataError(msg)
    text = _decode(path, data)
    if ending in _JSON:
        return _read_json(text, column, path)
    if ending in _SEPARATORS:
        return _read_table(text, column, path)
    return _read_lines(text, column, path)


def prompt_key(names: Iterable[str], column: str) -> str | None:
    """Return the key that holds the prompt or a conversation; None if there is neither."""
    names = tuple(names)
    others = CONVERSATIONS if column == _DEFAULT_COLUMN else ()
    return next((name for name in (column, *others) if name in names), None)


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = quoted(data[error.start : error.start + 1])
        msg = f"`{path}` is not UTF-8: byte {error.start} is {found}. Save it as UTF-8."
        raise DataError(msg) from error


# ----------------------------------------------------------------------------
# JSON: an array, values that follow each other, or a value a line where some lines are damaged.


def _read_json(text: str, column: str, path: Path) -> Iterator[Record | Bad]:
    try:
        values = list(_scan(text))
    except (ValueError, RecursionError) as error:
        lines = text.split("\n")  # a string in JSON may hold U+2028, which splitlines cuts at
        first = next(line for line in lines if line.strip())
        is_cut_array = first.lstrip().startswith("[") and _parse(first) is None
        if is_cut_array or not any(isinstance(_parse(line), dict | list) for line in lines):
            example = f"a line such as {_example(column)} for each prompt"
            msg = f"`{path}` is not JSON ({error}). Expected an array, or {example}."
            raise DataError(msg) from error
        yield from (_read_json_line(line, record, column) for line, record in enumerate(lines, 1) if record.strip())
        return
    line, before = 1, 0
    for at, value in values:
        line, before = line + text.count("\n", before, at), at
        yield _as_record(line, value, column)


def _scan(text: str) -> Iterator[tuple[int, Any]]:
    """Yield the values of a text and where each begins; of a lone array, its elements."""
    values = list(_scan_from(text, 0, ""))
    if len(values) == 1 and isinstance(values[0][1], list):
        return _scan_from(text, values[0][0] + 1, ",")
    return iter(values)


def _scan_from(text: str, at: int, separator: str) -> Iterator[tuple[int, Any]]:
    """Yield values up to the end of the text, or of the array that it is in."""
    decoder = json.JSONDecoder()
    while (at := _skip_blanks(text, at)) < len(text) and not (separator and text[at] == "]"):
        value, end = decoder.raw_decode(text, at)
        yield at, value
        at = _skip_blanks(text, end)
        at += bool(separator) and text[at] == separator


def _skip_blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _read_json_line(line: int, record: str, column: str) -> Record | Bad:
    try:
        return _as_record(line, json.loads(record), column)
    except (ValueError, RecursionError) as error:
        return Bad(line, f"not JSON ({error}). Expected an object such as {_example(column)}.")


def _as_record(line: int, value: object, column: str) -> Record | Bad:
    if isinstance(value, str):
        return Record(line, {column: value})
    if isinstance(value, dict):
        return Record(line, value)
    if isinstance(value, list) and all(isinstance(turn, dict) for turn in value):
        return Record(line, {column: value})
    return Bad(line, f"{quoted(value)}, but expected a string, a list of messages or an object with {column!r}.")


def _parse(text: str) -> Any:  # noqa: ANN401  JSON
    """Return the value of a text; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _example(column: str) -> str:
    return f'{{{json.dumps(column)}: "…"}}'


# ----------------------------------------------------------------------------
# Tables: commas, semicolons or tabs.


def _read_table(text: str, column: str, path: Path) -> Iterator[Record | Bad]:
    if _JSON_START.match(text):
        msg = f"`{path}` looks like JSON. Give it the ending .json or .jsonl."
        raise DataError(msg)
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
    headers = {separator: _header(text, separator) for separator in _SEPARATORS[path.suffix.lower()]}
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


# ----------------------------------------------------------------------------
# Lines of text.


def _read_lines(text: str, column: str, path: Path) -> Iterator[Record | Bad]:
    if _JSON_START.match(text) or isinstance(_parse(text), dict | list):
        msg = f"`{path}` looks like JSON, but .txt is a prompt a line. Give it the ending .json or .jsonl."
        raise DataError(msg)
    if _is_table(text, column):
        msg = (
            f"`{path}` looks like a table, but .txt is a prompt a line. Give it the ending .csv or .tsv; if these are "
            "prompts, save them as .jsonl."
        )
        raise DataError(msg)
    for line, content in enumerate(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), start=1):
        is_blank = not content.strip()
        yield Bad(line, "blank, but expected a prompt on each line.") if is_blank else Record(line, {column: content})


def _is_table(text: str, column: str) -> bool:
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
