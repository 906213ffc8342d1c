"""`activations.parquet` beside a source's two files → which prompts a feature was active on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.labels import PROMPTS, SIDES, Prompts, Side
from featurediff.sources.tree import BESIDE
from featurediff.wording import listed, plural, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from featurediff.sources.results import Results

_PROMPT_COLUMNS = ("prompt_set", "prompt_id", "content")
_CHOICES = {"model": SIDES, "prompt_set": PROMPTS}
_HOLDS = dict.fromkeys(("model", "prompt_set", "token_type", "content"), "text") | {"group": "text or whole numbers"}
_HOLDS |= {"prompt_id": "whole numbers", "feature_id": "whole numbers", "activation": "fractions"}
_HOLDS |= {"share": "fractions", "cosine": "fractions"}


@dataclass(frozen=True)
class Activations:
    """The activations of one source, on the disk: they may be too many to keep."""

    path: Path
    """A Parquet file with a row per active (model, prompt_set, token_type, prompt_id, feature_id)."""

    prompts: Path | None
    """A Parquet file with the text of every prompt, where there is one."""

    def read(self, columns: Sequence[str], only: Mapping[str, object] | None = None) -> pd.DataFrame:
        """
        Read columns of the rows that have these values in some columns.

        Raises
        ------
        DataError
            If the file cannot be read, lacks a column, or names another model or prompt set than there are.
        """
        rows = read_parquet(self.path, columns, only or {})
        for column in rows.columns.intersection(list(_CHOICES)):
            odd = rows[column][~rows[column].isin(_CHOICES[column])]
            if len(odd):
                msg = f"`{self.path.name}`: `{column}` is {quoted(odd.iloc[0])} in {len(odd)} rows, but expected "
                raise DataError(msg + f"{listed(_CHOICES[column])}.")
        return rows

    def compare_counts(
        self, features: NDArray[np.int64], results: Results, side: Side, prompts: Prompts, token_type: str
    ) -> None:
        """
        Hold the active features of a model's prompts against the counts of its results.

        Parameters
        ----------
        features : ndarray of shape (active,), int64
            A feature id for each prompt of a set on which it is active.

        Raises
        ------
        DataError
            If a feature is active on another number of prompts.
        """
        model = results.of(side)
        expected = model.vectors[token_type][f"{prompts}_num_active"]
        counts = np.bincount(features, minlength=len(expected))
        differ = counts != expected
        if differ.any():
            first = int(differ.argmax())
            msg = (
                f"`{self.path.name}` has feature {first} active on {counts[first]} {prompts} prompts in {side} at "
                f"{quoted(token_type)}, but `{model.name}` says {expected[first]} "
                f"({differ.sum()} such features). Were they made together?"
            )
            raise DataError(msg)

    def of_feature(self, feature_id: int, token_type: str, results: Results | None = None) -> pd.DataFrame:
        """
        List the prompts on which a feature is active at one position.

        Parameters
        ----------
        feature_id : int
            The feature.
        token_type : str
            The position.
        results : Results, optional
            The two files beside the activations; if given, the listing is checked against their counts.

        Returns
        -------
        DataFrame
            A row per (prompt_set, prompt_id) that is active in a model, target before control and the strongest
            first: `prompt_set`, `prompt_id`, `base` and `chat` (the activation; 0 where the feature is silent) and
            `content` (missing where the prompts are not there).

        Raises
        ------
        DataError
            If a file cannot be read, lacks a column, says something twice, or if the listing does not fit the results.
        """
        wanted = {"feature_id": feature_id, "token_type": token_type}
        rows = self.read(["model", "prompt_set", "prompt_id", "activation"], wanted)
        if rows.duplicated(["model", "prompt_set", "prompt_id"]).any():
            msg = (
                f"`{self.path.name}` has two activations of feature {feature_id} at {quoted(token_type)} on one prompt "
                "in one model. Expected one."
            )
            raise DataError(msg)
        if results is not None:
            self._compare_listing(rows, results, feature_id, token_type)
        by_prompt = rows.pivot_table(index=["prompt_set", "prompt_id"], columns="model", values="activation")
        by_prompt = by_prompt.reindex(columns=list(SIDES)).fillna(0.0).rename_axis(columns=None)
        order = by_prompt.max(axis="columns")
        listing = by_prompt.assign(order=order).reset_index()
        listing["prompt_set"] = pd.Categorical(
            listing["prompt_set"].astype("str"), categories=list(PROMPTS), ordered=True
        )
        listing = listing.sort_values(["prompt_set", "order", "prompt_id"], ascending=[True, False, True])
        listing = listing.drop(columns="order").astype({"prompt_set": "str"}).reset_index(drop=True)
        if self.prompts is None:
            return listing.assign(content=pd.Series(np.nan, index=listing.index, dtype="str"))
        texts = read_parquet(self.prompts, _PROMPT_COLUMNS)
        if texts.duplicated(["prompt_set", "prompt_id"]).any():
            msg = f"`{self.prompts.name}` has two texts of one prompt. Expected one."
            raise DataError(msg)
        return listing.merge(texts, on=["prompt_set", "prompt_id"], how="left", validate="one_to_one")

    def _compare_listing(self, rows: pd.DataFrame, results: Results, feature_id: int, token_type: str) -> None:
        for side in SIDES:
            model = results.of(side)
            for prompts in PROMPTS:
                count = ((rows["model"] == side) & (rows["prompt_set"] == prompts)).sum()
                expected = model.vectors[token_type][f"{prompts}_num_active"][feature_id]
                if count != expected:
                    msg = (
                        f"`{self.path.name}` has feature {feature_id} active on {plural(count, f'{prompts} prompt')} "
                        f"in {side} at {quoted(token_type)}, but `{model.name}` says {expected}. "
                        "Were they made together?"
                    )
                    raise DataError(msg)


def find_activations(folder: Path) -> Activations | None:
    """Return the activations beside a source's files, or None where there are none."""
    path, prompts = (folder / name for name in BESIDE[:2])
    if not path.is_file():
        return None
    return Activations(path, prompts if prompts.is_file() else None)


def read_parquet(
    path: Path, columns: Sequence[str], only: Mapping[str, object] | None = None, optional: Sequence[str] = ()
) -> pd.DataFrame:
    """
    Read columns of a Parquet file, of the rows that have these values in some columns.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        Must be there, without missing values.
    only : mapping, optional
        Column → the value that it must have.
    optional : sequence of str
        Read where the file has them; values may be missing.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or a value is missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    only = only or {}
    try:
        there = [name for name in optional if name in pq.read_schema(path).names]
        table = _matching(path, list(dict.fromkeys((*columns, *there, *only))), only).select([*columns, *there])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        msg = f"`{path.name}` cannot be read as Parquet ({quoted(str(error).splitlines()[0])}). Was it written whole?"
        raise DataError(msg) from error
    for name in columns:
        is_there = pc.is_finite(table[name]) if _HOLDS[name] == "fractions" else table[name].is_valid()
        missing = table.num_rows - (pc.sum(is_there).as_py() or 0)
        if missing:
            msg = f"`{path.name}`: `{name}` is missing or not finite in {missing} rows, but expected {_HOLDS[name]}."
            raise DataError(msg)
    return cast("pd.DataFrame", table.replace_schema_metadata().to_pandas())


def _matching(path: Path, columns: list[str], only: Mapping[str, object]) -> pa.Table:
    """
    Go through all rows of a file.

    `pq.read_table` skips rows because of statistics in the footer, which no checksum protects.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    _check_schema(pq.read_schema(path), columns, path.name)
    with pq.ParquetFile(path, read_dictionary=[name for name in columns if _HOLDS[name] == "text"]) as file:
        rows = file.metadata.num_rows
        if rows > path.stat().st_size:  # repeated values take no room: a kilobyte can say a billion rows
            msg = f"`{path.name}` claims {rows} rows, but has fewer bytes. Expected an activation in each row."
            raise DataError(msg)
        parts = [file.read_row_groups([], columns=columns)]
        for batch in file.iter_batches(columns=columns):
            batch.validate(full=True)
            wanted = [pc.equal(batch[name], value) for name, value in only.items()]
            parts.append(pa.table(batch.filter(reduce(pc.and_, wanted)) if wanted else batch))
            rows -= len(batch)
    if rows:
        msg = f"`{path.name}` is damaged: {rows} more rows are announced than there are. Write it again."
        raise DataError(msg)
    return pa.concat_tables(parts)


def _check_schema(schema: pa.Schema, columns: Sequence[str], name: str) -> None:
    odd = [column for column in columns if schema.names.count(column) != 1]
    if odd:
        msg = f"`{name}` has the columns {listed(schema.names)}, but expected {listed(odd)} as well, once each."
        raise DataError(msg)
    for column in columns:
        kind = schema.field(column).type
        if not _is(kind, _HOLDS[column]):
            msg = f"`{name}`: `{column}` holds {quoted(str(kind))}, but expected {_HOLDS[column]}."
            raise DataError(msg)


def _is(kind: pa.DataType, expected: str) -> bool:
    import pyarrow.types as at

    if at.is_dictionary(kind):
        kind = kind.value_type
    text, whole = (at.is_string, at.is_large_string), (at.is_integer,)
    tests = {"text": text, "whole numbers": whole, "text or whole numbers": (*text, *whole, at.is_null)}
    return any(is_kind(kind) for is_kind in tests.get(expected, (at.is_floating,)))
