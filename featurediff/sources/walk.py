"""The folders of a results tree, through links too, and what could not be looked at."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from featurediff.errors import DataError
from featurediff.files import kind_of

if TYPE_CHECKING:
    from pathlib import Path

_Identity = tuple[int, int]


@dataclass
class Walk:
    """A way through a results tree."""

    home: Path
    """The tree, without links in its path."""

    leave: bool
    """Whether links that lead out of the tree are followed."""

    unread: list[str] = field(default_factory=list)
    """Folders that could not be read: a sentence each."""

    passed_over: set[Path] = field(default_factory=set)
    """Links that lead out of the tree and were not followed."""

    def may_follow(self, path: Path) -> bool:
        """Tell whether a path may be followed: no link, or one into the tree. Links that may not are remembered."""
        if self.leave or not path.is_symlink() or path.resolve().is_relative_to(self.home):
            return True
        self.passed_over.add(path)
        return False

    def folders(self, folder: Path, depth: int, above: frozenset[_Identity] = frozenset()) -> list[Path]:
        """
        Return a folder and those in it.

        Parameters
        ----------
        folder : Path
            Where to start.
        depth : int
            How many levels down to go.
        above : frozenset of (device, inode)
            Real folders that this one lies in: a link to one of them would lead in a circle.

        Returns
        -------
        list of Path
            Through links as the links are called. Hidden folders are left out.

        Raises
        ------
        DataError
            If the folder to start with cannot be read. Others are named in `unread`.
        """
        try:
            status = os.stat(f"{folder}/.")  # noqa: PTH116  the dot asks whether the folder may be entered; pathlib drops it
            inside = sorted(folder.iterdir()) if depth else []
        except OSError as error:
            said = f"`{folder}` cannot be read ({error.strerror})."
            if not above:
                msg = f"{said} May you read it?"
                raise DataError(msg) from error
            self.unread.append(f"{said} It is left out.")
            return []
        here = (status.st_dev, status.st_ino)
        if here in above:
            return []
        found = [folder]
        for child in inside:
            if not child.name.startswith(".") and kind_of(child) == "folder" and self.may_follow(child):
                found += self.folders(child, depth - 1, above | {here})
        return found
