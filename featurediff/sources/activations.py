"""`activations.parquet` beside a source's two files → which prompts a feature was active on."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.labels import PROMPTS, SIDES, Prompts, Side
from featurediff.sources.active import Active, read_active
from featurediff.sources.tree import BESIDE
from featurediff.wording import plural, quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from featurediff.sources.results import Results


@dataclass(frozen=True)
class Activations:
    """The activations of one source: on the disk, and in memory once somebody asks for them."""

    path: Path
    """A Parquet file with a row per active (model, prompt_set, token_type, prompt_id, feature_id)."""

    prompts: Path | None
    """A Parquet file with the text of every prompt, where there is one."""

    reader: Callable[[Path, Path | None], Active] = field(default=read_active, repr=False, compare=False)
    """Reads both files."""

    _read: list[Active | str] = field(default_factory=list, repr=False, compare=False)
    """What was read, or why it was refused; empty until it is needed. Whoever else asks meanwhile waits for it."""

    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def is_read(self) -> bool:
        """Whether the files were read before."""
        return bool(self._read)

    @property
    def active(self) -> Active:
        """
        Which feature is active on which prompt; the files are read once.

        Raises
        ------
        DataError
            If a file cannot be read, lacks a column, names another model or prompt set than there are, or says a
            prompt's text twice.
        """
        with self._lock:
            if not self._read:
                try:
                    self._read.append(self.reader(self.path, self.prompts))
                except DataError as error:
                    self._read.append(str(error))  # the words alone: an error keeps alive all that was read
        (found,) = self._read
        if isinstance(found, str):
            raise DataError(found)
        return found

    def compare_counts(
        self, features: NDArray[np.integer], results: Results, side: Side, prompts: Prompts, token_type: str
    ) -> None:
        """
        Hold the active features of a model's prompts against the counts of its results.

        Parameters
        ----------
        features : ndarray of shape (active,), int
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
            If `active` cannot be read, says something twice, or if the listing does not fit the results.
        """
        found = {
            (side, prompts): self.active.of_feature(feature_id, token_type, side, prompts)
            for side in SIDES
            for prompts in PROMPTS
        }
        if any((np.diff(prompt) == 0).any() for prompt, _ in found.values()):
            msg = (
                f"`{self.path.name}` has two activations of feature {feature_id} at {quoted(token_type)} on one prompt "
                "in one model. Expected one."
            )
            raise DataError(msg)
        if results is not None:
            counts = {key: len(prompt) for key, (prompt, _) in found.items()}
            self._compare_listing(counts, results, feature_id, token_type)
        parts = [self._listing(prompts, *(found[side, prompts] for side in SIDES)) for prompts in PROMPTS]
        return pd.concat(parts, ignore_index=True)

    def _listing(self, prompts: Prompts, *models: tuple[NDArray[np.intp], NDArray[np.floating]]) -> pd.DataFrame:
        """List the prompts of a set, the strongest first, given rows and activations of base and of chat."""
        rows = np.union1d(models[0][0], models[1][0])
        values = np.zeros((len(rows), 2))
        for side, (prompt, activation) in enumerate(models):
            values[np.searchsorted(rows, prompt), side] = activation
        order = np.argsort(-values.max(axis=1), kind="stable")
        ids = self.active.ids[prompts][rows[order]]
        listing = pd.DataFrame({"prompt_set": pd.Series(prompts, range(len(ids)), dtype="str"), "prompt_id": ids})
        base, chat = values[order].T
        return listing.assign(base=base, chat=chat, content=self.active.texts_of(prompts, ids))

    def _compare_listing(
        self, counts: dict[tuple[Side, Prompts], int], results: Results, feature_id: int, token_type: str
    ) -> None:
        for (side, prompts), count in counts.items():
            model = results.of(side)
            expected = model.vectors[token_type][f"{prompts}_num_active"][feature_id]
            if count != expected:
                msg = (
                    f"`{self.path.name}` has feature {feature_id} active on {plural(count, f'{prompts} prompt')} "
                    f"in {side} at {quoted(token_type)}, but `{model.name}` says {expected}. Were they made together?"
                )
                raise DataError(msg)


def find_activations(folder: Path) -> Activations | None:
    """Return the activations beside a source's files, or None where there are none."""
    path, prompts = (folder / name for name in BESIDE[:2])
    if not path.is_file():
        return None
    return Activations(path, prompts if prompts.is_file() else None)
