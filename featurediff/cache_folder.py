"""Where featurediff keeps what it would else compute or fetch again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from featurediff.errors import DataError
from featurediff.wording import quoted

CACHE = "FEATUREDIFF_CACHE"
"""The environment variable that names another folder than the user's cache folder."""


def cache_folder() -> Path:
    """
    Return where featurediff keeps what can be had again: the user's cache folder, or the one that `CACHE` names.

    Raises
    ------
    DataError
        If `CACHE` names a person's home that is not known.
    """
    chosen = os.environ.get(CACHE)
    try:
        return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("featurediff", appauthor=False)
    except RuntimeError as error:
        msg = f"The environment variable {CACHE} is {quoted(chosen)}, but whose home that is, is not known."
        raise DataError(msg) from error
