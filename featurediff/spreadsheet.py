"""
CSV that a spreadsheet shows and does not run.

To a spreadsheet, a text cell that starts with `=`, `+`, `-`, `@`, a tab or a line break is a formula. It gets an
apostrophe in front, and so does a cell that has apostrophes before such a start: taking one away gives back what was
written. Numbers stay as they are. After OWASP, "CSV Injection".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pandas.api.types import is_numeric_dtype

if TYPE_CHECKING:
    import pandas as pd

_RUNS = "'*[ \u00a0]*[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""
A start that a spreadsheet runs, or that is told from one by its apostrophes. Blanks before a sign are dropped, and East
Asian settings take full-width signs for signs. To Python and to pandas' own library the pattern means the same.
"""


def guard(text: str) -> str:
    """Return a text so that no spreadsheet runs it; most texts are returned as they are."""
    return f"'{text}" if re.match(_RUNS, text) else text


def unguard(text: str) -> str:
    """Return the text that `guard` was given."""
    return text[1:] if re.match(f"'{_RUNS}", text) else text


def to_csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV, without its index and with its text guarded; missing is empty, numbers are exact."""
    # Python 3.11 quotes a carriage return only where rows end in one. Outside quotes, "\r\n" is the end of a row.
    parts = frame.apply(_guarded).to_csv(index=False, lineterminator="\r\n").split('"')
    parts[::2] = [part.replace("\r\n", "\n") for part in parts[::2]]
    return '"'.join(parts)


def _guarded(column: pd.Series[str]) -> pd.Series[str]:
    if is_numeric_dtype(column):
        return column
    return column.astype("str").str.replace(rf"\A({_RUNS})", r"'\1", regex=True)


def read_back(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the text of a CSV that `to_csv` wrote as it was before; every column was read as text."""
    made: pd.DataFrame = frame.apply(lambda cells: cells.str.replace(rf"\A'({_RUNS})", r"\1", regex=True))
    return made
