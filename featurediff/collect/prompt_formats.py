"""Text of a prompt file → records: JSON in its three layouts, tables with three separators, and lines of text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from featurediff.collect.prompt_records import Bad, Record
from featurediff.collect.prompt_tables import SEPARATORS, is_table, read_table
from featurediff.errors import DataError
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_JSON = (".jsonl", ".ndjson", ".json")
ENDINGS = (*_JSON, *SEPARATORS, ".txt")
"""Of the files that are read."""

_BLANK = re.compile(r"\s*")
_JSON_START = re.compile(r'\s*(?:\{\s*["}]|\[\s*["{\]]|[\[{]\s*\n)')
_OTHER_KINDS = {
    b"\x1f\x8b": "is compressed with gzip. Unpack it.",
    b"PK\x03\x04": "is an Excel file or another archive. Save its table as CSV in UTF-8.",
    b"PAR1": "is a Parquet file. Save its table as CSV or JSON lines.",
    b"\xff\xfe": "is UTF-16, as Excel and Notepad write it. Save it as UTF-8.",
    b"\xfe\xff": "is UTF-16, as Excel and Notepad write it. Save it as UTF-8.",
}
"""How files of other kinds begin, and what to do with them."""


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
    if ending in SEPARATORS:
        if _JSON_START.match(text):
            msg = f"`{path}` looks like JSON. Give it the ending .json or .jsonl."
            raise DataError(msg)
        return read_table(text, column, path)
    return _read_lines(text, column, path)


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
# Lines of text.


def _read_lines(text: str, column: str, path: Path) -> Iterator[Record | Bad]:
    if _JSON_START.match(text) or isinstance(_parse(text), dict | list):
        msg = f"`{path}` looks like JSON, but .txt is a prompt a line. Give it the ending .json or .jsonl."
        raise DataError(msg)
    if is_table(text, column):
        msg = (
            f"`{path}` looks like a table, but .txt is a prompt a line. Give it the ending .csv or .tsv; if these are "
            "prompts, save them as .jsonl."
        )
        raise DataError(msg)
    for line, content in enumerate(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), start=1):
        is_blank = not content.strip()
        yield Bad(line, "blank, but expected a prompt on each line.") if is_blank else Record(line, {column: content})
