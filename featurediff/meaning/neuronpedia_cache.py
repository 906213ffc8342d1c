"""Neuronpedia's answers, kept on disk, so that nothing is asked for twice."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pandas as pd

from featurediff.cache_folder import cache_folder
from featurediff.errors import DataError
from featurediff.files import file_identity, kind_of, may_access, read_whole, write_whole
from featurediff.meaning.neuronpedia_api import MAX_TEXT, Text
from featurediff.meaning.neuronpedia_server import MAX_ANSWER

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_TEXTS = 5_000_000
"""Explanations of one SAE; they take 2 GB."""


@dataclass
class Cache:
    """
    Neuronpedia's answers for one SAE, each in a file that is there whole or not at all.

    Where files cannot be written or read, answers are kept as long as this object, and `fault` says why.
    """

    folder: Path
    """Only for this SAE; may not exist yet."""

    fault: str | None = None
    """Why answers are not all kept on disk; None as long as they are."""

    _unwritten: dict[str, list[Text]] = field(default_factory=dict)
    """Answers that could not be written, by name."""

    @classmethod
    def of(cls, source: str) -> Cache:
        """Return the cache of `modelId/sourceId`, in the folder that `cache_folder` names."""
        return cls(answers_folder() / source)

    def has(self, name: str) -> bool:
        """Tell whether an answer is kept."""
        file = self._file(name)
        return name in self._unwritten or (kind_of(file) == "file" and may_access(file, os.R_OK))

    def forget_bulk(self, names: Collection[str]) -> None:
        """Delete the answers of bulk files that are not among these: the server has newer versions of them."""
        for file in self._files("explanations*.json"):
            if file.stem not in names:
                try:
                    file.unlink(missing_ok=True)
                except OSError as error:
                    self.fault = f"`{file}` cannot be deleted ({error.strerror}). May you write there?"

    def put(self, name: str, texts: list[Text]) -> None:
        """Keep an answer, in memory where it cannot be written."""
        try:
            write_whole(self._file(name), json.dumps(texts))
        except DataError as error:
            self.fault = str(error)
            self._unwritten[name] = texts

    def texts(self) -> pd.DataFrame:
        """
        Return every text of every answer once, with the fields of `Text`; what the API answered comes last.

        Raises
        ------
        DataError
            If a file in the folder is damaged.
        """
        texts: list[list[object]] = []
        for file in self._files("*.json"):
            if kind_of(file) == "file" and not may_access(file, os.R_OK):
                self.fault = f"`{file}` cannot be read (Permission denied). May you read it?"
                continue
            texts += _parse(file)
            if len(texts) > MAX_TEXTS:
                msg = f"`{self.folder}` keeps more than {MAX_TEXTS:,} explanations. Delete it, and run this again."
                raise DataError(msg)
        texts += [list(text) for name in sorted(self._unwritten) for text in self._unwritten[name]]
        return pd.DataFrame(texts, columns=pd.Index(Text._fields)).drop_duplicates(keep="last")

    def _files(self, pattern: str) -> list[Path]:
        try:
            return sorted(self.folder.glob(pattern))
        except OSError as error:
            self.fault = f"`{self.folder}` cannot be read ({error.strerror}). May you read it?"
            return []

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def answers_folder() -> Path:
    """Return where the answers for all SAEs are."""
    return cache_folder() / "explanations"


def find_answers() -> list[Path]:
    """Return the files of all answers, for every SAE."""
    return [file for file in answers_folder().rglob("*.json") if kind_of(file) == "file"]


def _parse(file: Path) -> list[list[object]]:
    """Return the texts of one answer, each with the fields of `Text`."""
    is_small = file_identity(file).size <= MAX_ANSWER
    answer = read_whole(file) if is_small else b""
    try:
        texts = json.loads(answer)
        is_right = isinstance(texts, list) and all(map(_is_text, texts))
    except (ValueError, RecursionError):
        is_right = False
    if not is_right:
        msg = f"`{file}` is damaged. Delete it, and run the same command again."
        raise DataError(msg)
    return cast("list[list[object]]", texts)


def _is_text(row: object) -> bool:
    """Tell whether a row has the fields of `Text`, as the answers are held to."""
    if not isinstance(row, list) or len(row) != len(Text._fields):
        return False
    feature_id, *words = row
    is_id = isinstance(feature_id, int) and not isinstance(feature_id, bool) and 0 <= feature_id < 10**9
    return is_id and isinstance(words[0], str) and all(word is None or _is_word(word) for word in words)


def _is_word(word: object) -> bool:
    return isinstance(word, str) and 0 < len(word) <= MAX_TEXT and word == word.encode(errors="replace").decode()
