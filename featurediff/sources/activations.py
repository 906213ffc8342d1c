"""`activations.parquet` beside a source's two files → which prompts a feature was active on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.labels import PROMPTS, SIDES, Side
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
_HOLDS = dict.fromkeys(("model", "prompt_set", "token_type", "content"), "text")
_HOLDS |= {"prompt_id": "whole numbers", "feature_id": "whole numbers", "activation": "fractions"}


@dataclass(frozen=True)
class Activations:
    """The activations of one source, on the disk: they may be too many to keep."""

    path: Path
    """A Parquet file with a row per active (model, prompt_set, token_type, prompt_id, feature_id)."""

    prompts: Path | None
    """A Parquet file with the text of every prompt, where there is one."""

    def discordant(self, results: Results) -> Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """
        Count the target prompts on which one model alone has a feature active.

        Parameters
        ----------
        results : Results
            The two files beside the activations.

        Returns
        -------
        mapping
            Token type → counts for base only and for chat only, each of shape (num_features,).

        Raises
        ------
        DataError
            If the file cannot be read, lacks a column, counts otherwise than the results do, or if the two models have
            not seen the same number of target prompts.
        """
        n = results.base.metadata.num_target_prompts, results.chat.metadata.num_target_prompts
        if n[0] != n[1]:
            msg = f"`{self.path.name}` cannot pair {n[0]} target prompts in base with {n[1]} in chat."
            raise DataError(msg)
        keys = ["model", "token_type", "prompt_id", "feature_id"]
        rows = self._read(keys, {"prompt_set": "target"})
        outside = ~rows["feature_id"].between(0, results.num_features - 1)
        if outside.any():
            first = rows["feature_id"][outside].iloc[0]
            msg = (
                f"`{self.path.name}` has feature {first}, but the SAE's features run from 0 to "
                f"{results.num_features - 1} ({outside.sum()} such rows). Was it made with the same SAE?"
            )
            raise DataError(msg)
        found = {}
        for token_type in results.token_types:
            here = rows[rows["token_type"] == token_type]
            prompts, code = np.unique(here["prompt_id"], return_inverse=True)
            pairs = here["feature_id"].to_numpy(np.int64) * max(len(prompts), 1) + code
            base, chat = (pairs[(here["model"] == side).to_numpy()] for side in SIDES)
            both = self._count(np.intersect1d(base, chat), len(prompts), results.num_features)
            alone = []
            for side, active in zip(SIDES, (base, chat), strict=True):
                counts = self._count(np.unique(active), len(prompts), results.num_features)
                self._compare(counts, results, side, token_type)
                alone.append(counts - both)
            found[token_type] = (alone[0], alone[1])
        return found

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
            The two files beside the activations; by default the listing is not held against their counts.

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
        rows = self._read(["model", "prompt_set", "prompt_id", "activation"], wanted)
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
        texts = _read_parquet(self.prompts, _PROMPT_COLUMNS, {})
        if texts.duplicated(["prompt_set", "prompt_id"]).any():
            msg = f"`{self.prompts.name}` has two texts of one prompt. Expected one."
            raise DataError(msg)
        return listing.merge(texts, on=["prompt_set", "prompt_id"], how="left", validate="one_to_one")

    def _read(self, columns: Sequence[str], only: Mapping[str, object]) -> pd.DataFrame:
        rows = _read_parquet(self.path, columns, only)
        for column in rows.columns.intersection(list(_CHOICES)):
            odd = rows[column][~rows[column].isin(_CHOICES[column])]
            if len(odd):
                msg = f"`{self.path.name}`: `{column}` is {quoted(odd.iloc[0])} in {len(odd)} rows, but expected "
                raise DataError(msg + f"{listed(_CHOICES[column])}.")
        return rows

    @staticmethod
    def _count(pairs: NDArray[np.int64], num_prompts: int, num_features: int) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = np.bincount(pairs // max(num_prompts, 1), minlength=num_features)
        return counts

    def _compare(self, counts: NDArray[np.int64], results: Results, side: Side, token_type: str) -> None:
        expected = results.of(side).vectors[token_type]["target_num_active"]
        differ = counts != expected
        if differ.any():
            first = int(differ.argmax())
            msg = (
                f"`{self.path.name}` has feature {first} active on {counts[first]} target prompts in {side} at "
                f"{quoted(token_type)}, but `{results.of(side).name}` says {expected[first]} "
                f"({differ.sum()} such features). Were they made together?"
            )
            raise DataError(msg)

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
    path, prompts = (folder / name for name in BESIDE)
    if not path.is_file():
        return None
    return Activations(path, prompts if prompts.is_file() else None)


def _read_parquet(path: Path, columns: Sequence[str], only: Mapping[str, object]) -> pd.DataFrame:
    """Read some columns, of the rows that have these values in some columns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        table = _matching(path, list(dict.fromkeys((*columns, *only))), only).select(list(columns))
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

    `pq.read_table` leaves out rows on the footer's word for what is in them, which no checksum covers.
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
    tests = {"text": (at.is_string, at.is_large_string), "whole numbers": (at.is_integer,)}
    return any(is_kind(kind) for is_kind in tests.get(expected, (at.is_floating,)))
