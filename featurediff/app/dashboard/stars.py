"""Features that a reader keeps, with a line on each: as a CSV that goes out and comes in."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from featurediff.app.dashboard.small_csv import MOST, read_id, read_small_csv
from featurediff.csv_files import guard, unguard
from featurediff.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("source", "feature_id", "note")
MAX_NOTE = 300
"""Characters of a note; it is a line."""

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
        If the file is larger than `MAX_BYTES` or not UTF-8, lacks a column, has a feature id that is not a whole
        number, a note that is too long, or more than `MOST` rows.
    """
    return {
        (unguard(source), read_id(feature_id, number, name)): _parse_note(note, number, name)
        for number, (source, feature_id, note) in read_small_csv(data, name, COLUMNS[:2], COLUMNS[2:])
    }


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
