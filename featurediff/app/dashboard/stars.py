"""Features that a reader keeps, with a line on each: as a CSV that goes out and comes in."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from featurediff.csv_files import guard, unguard
from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("source", "feature_id", "note")
MAX_NOTE = 300
"""Characters of a note; it is a line."""

MOST = 10_000
"""Stars of a file, and of a session, at most: they are set by hand."""

MAX_BYTES = 2**20
"""Of a file of stars."""

Key = tuple[str, int]
"""A source's name and a feature id: ids of different SAEs have nothing to do with each other."""


def stars_csv(stars: Mapping[Key, str]) -> str:
    """Return stars and notes as CSV with the columns `source`, `feature_id` and `note`, in the order of setting."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    writer.writerows((guard(source), feature_id, guard(note)) for (source, feature_id), note in stars.items())
    return text.getvalue()


def parse_stars(data: bytes, name: str) -> dict[Key, str]:
    """
    Read stars and notes back.

    Parameters
    ----------
    data : bytes
        CSV in UTF-8 with `source`, `feature_id` and, optionally, `note`; other columns are left out.
    name : str
        What the file is called in messages.

    Returns
    -------
    dict
        (source, feature id) → note, in the file's order; the last row of a feature counts.

    Raises
    ------
    DataError
        If the file is larger than `MAX_BYTES` or not UTF-8, lacks a column, has a feature id that is no whole number, a
        note that is too long, or more than `MOST` rows.
    """
    if len(data) > MAX_BYTES:
        msg = f"`{name}` has {len(data):,} bytes, but expected at most {MAX_BYTES:,}. Cut it into several files."
        raise DataError(msg)
    stars: dict[Key, str] = {}
    try:
        rows = filter(None, csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
        columns = next(rows, [])
        missing = [column for column in COLUMNS[:2] if column not in columns]
        if missing:
            msg = f"`{name}` has the columns {listed(columns)}, but expected {listed(missing)} as well."
            raise DataError(msg)
        at = {column: place for place, column in enumerate(columns)}
        for number, row in enumerate(rows, 1):
            if number > MOST:
                msg = f"`{name}` has {number + sum(1 for _ in rows)} rows, but expected at most {MOST}."
                raise DataError(msg)
            cells = dict(enumerate(row))
            source, feature_id, note = (cells.get(at.get(column, -1), "") for column in COLUMNS)
            stars[unguard(source), _parse_id(feature_id.strip(), number, name)] = _parse_note(note, number, name)
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"`{name}` is not a CSV file in UTF-8 ({quoted(str(error))}). Expected one that featurediff wrote."
        raise DataError(msg) from error
    return stars


def _parse_id(feature_id: str, number: int, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", feature_id):
        msg = f"`{name}`: `feature_id` in row {number} is {quoted(feature_id)}, but expected a whole number."
        raise DataError(msg)
    return int(feature_id)


def _parse_note(cell: str, number: int, name: str) -> str:
    note = unguard(cell)
    if len(note) > MAX_NOTE:
        msg = f"`{name}`: the note in row {number} has {len(note)} characters, but expected at most {MAX_NOTE}."
        raise DataError(msg)
    return note


def with_stars(stars: Mapping[Key, str], more: Mapping[Key, str], name: str) -> dict[Key, str]:
    """
    Add the stars of a file to those of a session; where both have a note, the file's replaces it.

    Raises
    ------
    DataError
        If they are more than `MOST` together.
    """
    both = {**stars, **more}
    if len(both) > MOST:
        msg = f"`{name}` would make {len(both)} stars of the {len(stars)} that you have, but expected at most {MOST}."
        raise DataError(msg)
    return both
