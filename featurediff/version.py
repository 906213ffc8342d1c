"""Which version of featurediff this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache  # it is looked up on the disk
def package_version() -> str:
    """Return the installed version, or the one that this folder is on the way to."""
    try:
        return version("featurediff")
    except PackageNotFoundError:
        return "0.1.0 (not installed)"
