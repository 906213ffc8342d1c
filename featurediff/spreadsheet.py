"""
CSV that a spreadsheet shows and does not run.

To a spreadsheet, a text cell that starts with `=`, `+`, `-`, `@`, a tab or a line break is a formula. It gets an
apostrophe in front, and so does a cell that has apostrophes before such a start: taking one away gives back what was
written. Numbers stay as they are. After OWASP, "CSV Injection".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import is_numeric_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    header = ",".join(_quoted(pa.array([str(name) for name in frame.columns], pa.large_string())).to_pylist())
    if frame.empty:
        return f"{header}\n"
    cells = [_cells(column) for _, column in frame.items()]
    if len(cells) == 1:  # a row with nothing in it is no row
        cells = [pc.if_else(pc.equal(cells[0], ""), '""', cells[0])]
    rows = pc.binary_join_element_wise(*cells, pa.scalar(",", pa.large_string()))
    # A list of all rows as it lies in memory: one text without a loop over them.
    whole = pa.LargeListArray.from_arrays(pa.array([0, len(rows)], pa.int64()), rows)
    return f"{header}\n{pc.binary_join(whole, pa.scalar(chr(10), pa.large_string()))[0].as_py()}\n"


def _cells(column: pd.Series) -> pa.Array:
    """Return a column as the text of its cells in a CSV."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return _written(column.to_numpy())
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = _cells(pd.Series(column.cat.categories))
        return pc.fill_null(texts.take(pa.array(column.cat.codes, mask=(column.cat.codes < 0).to_numpy())), "")
    texts = column.astype("str")
    if not is_numeric_dtype(column):
        texts = texts.str.replace(rf"\A({_RUNS})", r"'\1", regex=True)
    whole = pa.chunked_array(texts.where(column.notna())).combine_chunks()
    return _quoted(whole.cast(pa.large_string()))


def _written(numbers: NDArray[Any]) -> pa.Array:
    """Return numbers as numpy writes them, each that occurs once; NaN as nothing."""
    bits = numbers.view(f"u{numbers.dtype.itemsize}")  # 0 and −0 are equal, and written differently
    _, first, which = np.unique(bits, return_index=True, return_inverse=True)
    distinct = numbers[first]
    texts = pa.array(distinct.astype("str").astype(object), pa.large_string(), mask=distinct != distinct)
    return pc.fill_null(texts, "").take(pa.array(which))


def _quoted(texts: pa.Array) -> pa.Array:
    """Return texts with quotes around those that need them; missing is empty."""
    needs = pc.match_substring_regex(texts, '[,"\r\n]')
    quote = pa.scalar('"', pa.large_string())
    inside = pc.replace_substring(texts, '"', '""')
    quoted = pc.binary_join_element_wise(quote, inside, quote, pa.scalar("", pa.large_string()))
    return pc.fill_null(pc.if_else(needs, quoted, texts), "")


def read_back(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the text of a CSV that `to_csv` wrote as it was before; every column was read as text."""
    made: pd.DataFrame = frame.apply(lambda cells: cells.str.replace(rf"\A'({_RUNS})", r"\1", regex=True))
    return made
