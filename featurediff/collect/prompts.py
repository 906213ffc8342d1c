"""Prompt files → prompts, each with the place it came from."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from featurediff.errors import DataError
from featurediff.files import read_whole
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Prompt:
    """One prompt as a file has it."""

    prompt_id: int
    """Its place among the file's prompts, from 0; those that are skipped count too."""

    line: int
    """Where it begins in the file, from 1."""

    content: str
    """What the user says; may be empty."""

    label: str | None
    """What the file calls it; None where it says nothing."""

    def where(self, file: str) -> str:
        """Say where the prompt is and how it begins, for messages."""
        return f"`{file}`, line {self.line}, prompt {self.prompt_id} ({quoted(self.content)})"


class Bad(NamedTuple):
    """A record that is no prompt."""

    line: int
    """Where it begins in the file, from 1."""

    reason: str
    """What is wrong and what was expected, as the rest of a sentence."""


@dataclass(frozen=True)
class PromptFile:
    """The prompts of one set."""

    name: str
    """Name of the file, as messages have it."""

    sha256: str
    """Of the whole file, in hex."""

    prompts: tuple[Prompt, ...]
    """In the file's order."""

    skipped: tuple[str, ...]
    """Why each bad record was left out: a sentence each."""


def read_prompts(path: Path, column: str = "content", *, skip_bad: bool = False) -> PromptFile:
    """
    Read a file of prompts.

    Parameters
    ----------
    path : Path
        `.jsonl`: an object a line with the prompt under `column` and perhaps a `label`; lines of white space do not
        count. `.csv`: a table with these columns. Anything else: a prompt a line; a blank line is bad.
    column : str
        The key or column that holds the prompt.
    skip_bad : bool
        Leave bad records out and say so, instead of refusing the file.

    Raises
    ------
    DataError
        If the file cannot be read, is not UTF-8, has no such column or no prompt, or a record of it is bad.
    """
    data = read_whole(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = quoted(data[error.start : error.start + 1])
        msg = f"`{path}` is not UTF-8: byte {error.start} is {found}. Save it as UTF-8."
        raise DataError(msg) from error
    read = {".jsonl": _read_jsonl, ".csv": _read_csv}.get(path.suffix.lower())
    prompts: list[Prompt] = []
    skipped: list[str] = []
    for prompt_id, record in enumerate(read(text, column, str(path)) if read else _read_lines(text)):
        if isinstance(record, Bad):
            reason = f"`{path}`, line {record.line}: {record.reason}"
            if not skip_bad:
                msg = f"{reason} Mend it, or leave such prompts out with --skip-bad."
                raise DataError(msg)
            skipped.append(reason)
        else:
            line, content, label = record
            prompts.append(Prompt(prompt_id, line, content, label))
    if not prompts:
        msg = f"`{path}` has no prompt in it. Expected JSONL or CSV with {column!r}, or a prompt a line."
        raise DataError(msg)
    return PromptFile(path.name, hashlib.sha256(data).hexdigest(), tuple(prompts), tuple(skipped))


_Record = tuple[int, str, str | None] | Bad


def _read_jsonl(text: str, column: str, _: str) -> Iterator[_Record]:
    for line, record in enumerate(
        text.split("\n"), start=1
    ):  # a string in JSON may hold U+2028, which splitlines cuts at
        if record.strip():
            yield _parse_json(line, record, column)


def _parse_json(line: int, record: str, column: str) -> _Record:
    try:
        fields = json.loads(record)
    except (ValueError, RecursionError) as error:
        return Bad(line, f'not JSON ({error}). Expected an object such as {{{json.dumps(column)}: "…"}}.')
    if not isinstance(fields, dict):
        return Bad(line, f"{quoted(fields)}, but expected a JSON object with {column!r}.")
    if column not in fields:
        return Bad(line, f"no {column!r}, only {listed(fields)}. Name another with --column.")
    content, label = fields[column], fields.get("label")
    if not isinstance(content, str):
        return Bad(line, f"{column!r} is {quoted(content)}, but expected a string.")
    if not _is_text(content):
        return Bad(line, f"{column!r} holds half a surrogate pair, which is no text.")
    return line, content, None if label is None else str(label)


def _read_csv(text: str, column: str, path: str) -> Iterator[_Record]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = next(rows, [])
        if column not in header:
            msg = f"`{path}` has no column {column!r}, but {listed(header)}. Name the column with --column."
            raise DataError(msg)
        content, label = header.index(column), header.index("label") if "label" in header else None
        line = rows.line_num + 1
        for row in rows:
            if len(row) == len(header):
                yield line, row[content], (row[label] or None) if label is not None else None
            elif row:
                yield Bad(line, f"{len(row)} fields, but the header has {len(header)}.")
            line = rows.line_num + 1
    except csv.Error as error:
        msg = f"`{path}`, line {line}: not CSV ({error}). Expected quotes round fields with commas or line breaks."
        raise DataError(msg) from error


def _read_lines(text: str) -> Iterator[_Record]:
    for line, content in enumerate(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), start=1):
        yield (line, content, None) if content.strip() else Bad(line, "blank, but expected a prompt on each line.")


def _is_text(content: str) -> bool:
    try:
        content.encode()
    except UnicodeEncodeError:
        return False
    return True
