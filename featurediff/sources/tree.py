"""Results trees: find, name and describe sources."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from featurediff.errors import DataError
from featurediff.files import MAX_READS, file_identity, kind_of
from featurediff.wording import legible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")
FILES = ("base.pt", "chat.pt")
"""What makes a folder a source."""

BESIDE = ("activations.parquet", "prompts.parquet", "difference.parquet")
"""What may stand beside them."""

_SAE_FOLDER = re.compile(r"(?P<model>.+)_trainer(?P<trainer>.+)_layer(?P<layer>[0-9]{1,9})")
_MAX_DEPTH = 4


@dataclass(frozen=True)
class Source:
    """A folder with the results of one prompt set, and what its path says."""

    folder: Path
    """Where `base.pt` and `chat.pt` are."""

    name: str
    """
    Path relative to the results tree, with slashes; of a lone folder, its last two parts. Here and below, what of a
    path is not UTF-8 stands as escapes.
    """

    model: str | None
    """Model family; like `trainer` and `layer` None when no folder is called {model}_trainer{trainer}_layer{layer}."""

    trainer: str | None
    """Which SAE of that layer."""

    layer: int | None
    """Layer of the model that the SAE reads."""

    prompt_set: str | None
    """Path below the SAE's folder; the folder's own name where no folder names the SAE; None for the SAE's folder."""

    explanations: Path | None
    """The SAE's explanation file, if one was found."""

    missing: tuple[str, ...]
    """Which of `base.pt` and `chat.pt` are not there."""


def describe_source(folder: Path) -> Source:
    """
    Describe one folder by its path.

    Parameters
    ----------
    folder : Path
        The folder; it is not read.

    Returns
    -------
    Source
        Named by the last two parts of the path.
    """
    folder = _normal(folder)
    sae_folder, match = _find_sae_folder(folder)
    return Source(
        folder=folder,
        name=legible("/".join(part for part in (folder.parent.name, folder.name) if part)),
        model=legible(match["model"]) if match else None,
        trainer=legible(match["trainer"]) if match else None,
        layer=int(match["layer"]) if match else None,
        prompt_set=None if folder == sae_folder else legible(folder.relative_to(sae_folder).as_posix()),
        explanations=_find_explanations(sae_folder) if match else None,
        missing=tuple(name for name in FILES if kind_of(folder / name) != "file"),
    )


def find_sources(results: Path) -> list[Source]:
    """
    Find every source of a results tree.

    Parameters
    ----------
    results : Path
        The tree, a folder that holds it as `results/`, or a source itself.

    Returns
    -------
    list of Source
        All folders with a `base.pt` or a `chat.pt`, at most four levels down, layer 9 before layer 20. Hidden folders
        and links to folders are not followed.

    Raises
    ------
    DataError
        If `results` is not a folder, a folder in it cannot be read, or there is no source in it.
    """
    if kind_of(results) != "folder":
        msg = f"`{results}` is not a folder. Expected a results tree or a folder with `base.pt` and `chat.pt`."
        raise DataError(msg)
    root = _normal(results)
    sources = [describe_source(folder) for folder in _walk(root, _MAX_DEPTH)]
    if not sources:
        msg = (
            f"`{results}` has no `base.pt` or `chat.pt` in it or up to {_MAX_DEPTH} levels down. "
            "Expected results/{model}_trainer{trainer}_layer{layer}/{prompt_set}/base.pt and chat.pt."
        )
        raise DataError(msg)
    if all(source.folder.is_relative_to(root / "results") for source in sources):
        root = root / "results"
    return sorted((_named_from(root, source) for source in sources), key=lambda source: _natural(source.name))


def _normal(folder: Path) -> Path:
    return folder.resolve() if ".." in folder.parts else folder.absolute()


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    if any(kind_of(folder / name) == "file" for name in FILES):
        yield folder
    if depth == 0:
        return
    try:
        inside = list(folder.iterdir())
    except OSError as error:
        msg = f"`{folder}` cannot be read ({error.strerror}). May you read it?"
        raise DataError(msg) from error
    for child in inside:
        if not child.name.startswith(".") and not child.is_symlink() and kind_of(child) == "folder":
            yield from _walk(child, depth - 1)


def _named_from(root: Path, source: Source) -> Source:
    if source.folder == root:
        return source
    return replace(source, name=legible(source.folder.relative_to(root).as_posix()))


def _natural(name: str) -> list[list[str | int]]:
    return [
        [int(part) if part.isascii() and part.isdigit() else part for part in re.split(r"([0-9]+)", level)]
        for level in name.split("/")
    ]


def identify(source: Source) -> tuple[str, ...]:
    """
    Return the state of a source's files: a key for what is read from them, equal until one of them changes.

    Raises
    ------
    DataError
        If a file disappears meanwhile.
    """
    files = [source.folder / name for name in (*FILES, *BESIDE)] + [source.explanations]
    return tuple(str(file_identity(file)) for file in files if file and kind_of(file) == "file")


def in_one_state(
    source: Source, read: Callable[[tuple[str, ...]], T], forget: Callable[[tuple[str, ...]], None] | None = None
) -> tuple[tuple[str, ...], T]:
    """
    Read the files of a source as they were at one time: they are read again if one of them changed meanwhile.

    Parameters
    ----------
    source : Source
        What is read.
    read : callable
        Reads the source; gets the key from `identify`.
    forget : callable, optional
        Called with the key of a reading that is thrown away, as it may mix two states.

    Returns
    -------
    tuple of str, and what was read
        The key, from `identify`.

    Raises
    ------
    DataError
        If it changes each time, or `read` raises.
    """
    for _ in range(MAX_READS):
        key = identify(source)
        found = read(key)
        if identify(source) == key:
            return key, found
        if forget:
            forget(key)
    msg = (
        f"`{source.folder}` changed each of the {MAX_READS} times it was read. Try again when it is written completely."
    )
    raise DataError(msg)


def place_for_explanations(source: Source) -> Path | None:
    """Return the explanation file of a source's SAE, or where it will be found; None where no folder names the SAE."""
    sae_folder, match = _find_sae_folder(source.folder)
    return source.explanations or (_explanation_files(sae_folder)[-1] if match else None)


def _find_sae_folder(folder: Path) -> tuple[Path, re.Match[str] | None]:
    """Return the folder that names the SAE, with what it says; the parent folder where none does."""
    named = ((at, match) for at in (folder, *folder.parents) if (match := _SAE_FOLDER.fullmatch(at.name)))
    return next(named, (folder.parent, None))


def _find_explanations(sae_folder: Path) -> Path | None:
    return next((file for file in _explanation_files(sae_folder) if kind_of(file) == "file"), None)


def _explanation_files(sae_folder: Path) -> tuple[Path, Path]:
    """Return where an SAE's explanations may be: inside the results tree, and beside it."""
    tree = sae_folder.parent
    return tree / "explanations" / f"{sae_folder.name}.csv", tree.parent / "explanations" / f"{sae_folder.name}.csv"
