"""
Parquet files that a stranger may have written → tables of bounded size.

A Parquet file unfolds: 11 kB may hold 2 GB of text. What its footer says is bounded before anything is unpacked. As a
footer may lie, what comes out is bounded too, batch by batch.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from featurediff.errors import DataError
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

HOLDS = dict.fromkeys(("model", "prompt_set", "token_type", "content"), "text") | {"group": "text or whole numbers"}
HOLDS |= {"prompt_id": "whole numbers", "feature_id": "whole numbers", "activation": "fractions"}
HOLDS |= {"share": "fractions", "cosine": "fractions"}
"""What each column holds."""

MAX_FOOTER = 2**24
"""Bytes of a footer, which says what is where: pyarrow makes an object of each of its words."""

MAX_ROWS = 50_000_000
"""Of a file."""

MAX_TEXT = 2**28
"""Bytes that a file may unfold to beside its cells: the texts of a million prompts of 250 characters."""

MAX_CELL = 16
"""Bytes that each cell may take besides: a number has 8 of them."""

MAX_KEPT = 2**30
"""Bytes that are kept of a file."""

MAX_CHARACTERS = 10_000
"""Of a prompt; the rest is cut."""

_BATCH = 2**16


def read_parquet(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """
    Read columns of a Parquet file.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        Must be there, without missing values.
    optional : sequence of str
        Read where the file has them; values may be missing.

    Returns
    -------
    DataFrame
        Prompts are cut after `MAX_CHARACTERS`.

    Raises
    ------
    DataError
        If the file cannot be read or is too large, lacks a column, or a value is missing.
    """
    import pyarrow as pa

    parts, size = [], 0
    for batch in read_batches(path, columns, optional):
        with refusing_parquet(path):
            parts.append(_cut(batch))
        size += parts[-1].get_total_buffer_size()
        if size > MAX_KEPT:
            msg = f"`{path.name}` unfolds to more than {MAX_KEPT:,} bytes, which are more than featurediff reads."
            raise DataError(msg)
    with refusing_parquet(path):
        table = pa.Table.from_batches(parts).unify_dictionaries()
        for name in columns:
            check_missing(path, name, count_missing(table[name], name))
        return cast("pd.DataFrame", table.replace_schema_metadata().to_pandas())


def read_batches(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """
    Go through all rows of a file; the first batch may be empty, so that there is one.

    `pq.read_table` skips rows because of statistics in the footer, which no checksum protects.

    Raises
    ------
    DataError
        As `read_parquet`, but for values that are missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_footer_size(path)
    with refusing_parquet(path):
        schema = pq.read_schema(path)
    there = [*columns, *(name for name in optional if name in schema.names)]
    _check_schema(schema, there, path.name)
    texts = [name for name in there if HOLDS[name].startswith("text")]
    with refusing_parquet(path), pq.ParquetFile(path, read_dictionary=texts) as file:
        rows = file.metadata.num_rows
        _check_footer(path, file.metadata)
        yield pa.RecordBatch.from_pylist([], schema=file.read_row_groups([], columns=there).select(there).schema)
        for batch in file.iter_batches(_BATCH, columns=there):
            batch.validate(full=True)
            rows -= len(batch)
            yield batch.select(there)
    if rows:
        msg = f"`{path.name}` is damaged: {rows} more rows are announced than there are. Write it again."
        raise DataError(msg)


@contextmanager
def refusing_parquet(path: Path) -> Iterator[None]:
    """Refuse a file that pyarrow cannot read, whatever it raises."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        reason = quoted(next(iter(str(error).splitlines()), type(error).__name__))
        msg = f"`{path.name}` cannot be read as Parquet ({reason}). Was it written whole?"
        raise DataError(msg) from error


def count_missing(column: pa.ChunkedArray | pa.Array, name: str) -> int:
    """Return how many values of a column are missing; of fractions also those that are not finite."""
    import pyarrow.compute as pc

    is_there = pc.is_finite(column) if HOLDS[name] == "fractions" else column.is_valid()
    return len(column) - (pc.sum(is_there).as_py() or 0)


def check_missing(path: Path, name: str, missing: int) -> None:
    """Refuse a file in which values of a column are missing."""
    if missing:
        msg = f"`{path.name}`: `{name}` is missing or not finite in {missing} rows, but expected {HOLDS[name]}."
        raise DataError(msg)


def _check_footer_size(path: Path) -> None:
    with refusing_parquet(path), path.open("rb") as file:
        file.seek(-8, 2)
        size, mark = int.from_bytes(file.read(4), "little"), file.read()
    if mark == b"PAR1" and MAX_FOOTER < size < path.stat().st_size:
        msg = f"`{path.name}` has a footer of {size:,} bytes, but expected at most {MAX_FOOTER:,}."
        raise DataError(msg)


def _check_footer(path: Path, metadata: pq.FileMetaData) -> None:
    rows, size = metadata.num_rows, path.stat().st_size
    if rows > size:  # repeated values take no room: a kilobyte can say a billion rows
        msg = f"`{path.name}` claims {rows} rows, but has fewer bytes. Expected an activation in each row."
        raise DataError(msg)
    if rows > MAX_ROWS:  # zeros in front of the footer make a file as large as one likes
        msg = f"`{path.name}` claims {rows:,} rows, but expected at most {MAX_ROWS:,}."
        raise DataError(msg)
    # Not asked of each column: of one whose footer contradicts itself, pyarrow ends the whole process.
    claimed = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    most = MAX_TEXT + MAX_CELL * rows * metadata.num_columns
    if claimed > most:
        msg = f"`{path.name}` unfolds to {claimed:,} bytes, but expected at most {most:,} of {rows:,} rows."
        raise DataError(msg)


def _check_schema(schema: pa.Schema, columns: Sequence[str], name: str) -> None:
    odd = [column for column in columns if schema.names.count(column) != 1]
    if odd:
        msg = f"`{name}` has the columns {listed(schema.names)}, but expected {listed(odd)} as well, once each."
        raise DataError(msg)
    for column in columns:
        kind = schema.field(column).type
        if not _is(kind, HOLDS[column]):
            msg = f"`{name}`: `{column}` holds {quoted(str(kind))}, but expected {HOLDS[column]}."
            raise DataError(msg)


def _is(kind: pa.DataType, expected: str) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    text, whole = (types.is_string, types.is_large_string), (types.is_integer,)
    tests = {"text": text, "whole numbers": whole, "text or whole numbers": (*text, *whole, types.is_null)}
    return any(is_kind(kind) for is_kind in tests.get(expected, (types.is_floating,)))


def _cut(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Cut prompts, each different one once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "content" not in batch.schema.names:
        return batch
    place = batch.schema.get_field_index("content")
    content = batch.column(place)
    words = pc.utf8_slice_codeunits(content.dictionary, 0, MAX_CHARACTERS)
    return batch.set_column(place, "content", pa.DictionaryArray.from_arrays(content.indices, words))
