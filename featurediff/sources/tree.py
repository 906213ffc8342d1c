"""Results trees: find, name and describe sources."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from featurediff.errors import DataError
from featurediff.files import kind_of
from featurediff.sources.walk import Walk
from featurediff.wording import legible, plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILES = ("base.pt", "chat.pt")
"""What makes a folder a source."""

BESIDE = ("activations.parquet", "prompts.parquet", "difference.parquet")
"""What may stand beside them."""

ENDINGS = (".csv", ".csv.gz", ".json", ".jsonl", ".json.gz", ".jsonl.gz")
"""How files of explanations end, which are called like the SAE's folder; the first of them counts."""

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

    @property
    def sae(self) -> tuple[str, str, int] | None:
        """Model, trainer and layer, which together name the SAE; None where no folder's name says them."""
        if self.model is None or self.trainer is None or self.layer is None:
            return None
        return self.model, self.trainer, self.layer


@dataclass(frozen=True)
class Tree:
    """What was found in a results tree."""

    sources: list[Source]
    """All folders with a `base.pt` or a `chat.pt`, at most four levels down, layer 9 before layer 20."""

    notes: list[str]
    """Which folders could not be read, and how many links were not followed: a sentence each."""


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
        Named by the last two parts of the path. Explanations are looked for beside the folder and those above it, as
        far up as if it lay at the bottom of a results tree.
    """
    folder = _normal(folder)
    return _describe(folder, (folder, *folder.parents)[: _MAX_DEPTH + 2])


def _describe(folder: Path, beside: Sequence[Path], walk: Walk | None = None) -> Source:
    """Describe a folder; explanations are looked for beside some folders, the first of them first."""
    sae_folder, match = _find_sae_folder(folder)
    return Source(
        folder=folder,
        name=legible("/".join(part for part in (folder.parent.name, folder.name) if part)),
        model=legible(match["model"]) if match else None,
        trainer=legible(match["trainer"]) if match else None,
        layer=int(match["layer"]) if match else None,
        prompt_set=None if folder == sae_folder else legible(folder.relative_to(sae_folder).as_posix()),
        explanations=_find_explanations(sae_folder.name, beside, walk) if match else None,
        missing=tuple(name for name in FILES if kind_of(folder / name) != "file"),
    )


def find_sources(results: Path) -> list[Source]:
    """Find every source of a results tree; see `search_tree`, which also says what could not be looked at."""
    return search_tree(results).sources


def search_tree(results: Path, *, leave: bool = True, advice: str = "") -> Tree:
    """
    Find every source of a results tree.

    Parameters
    ----------
    results : Path
        The tree, a folder that holds it as `results/`, or a source itself.
    leave : bool
        Whether links that lead out of the tree are followed. Links within it are; none is followed in a circle.
    advice : str
        A sentence that says how to have links followed.

    Returns
    -------
    Tree
        Hidden folders are left out. Explanations are looked for beside every folder from the source up to the one
        above `results`.

    Raises
    ------
    DataError
        If `results` is not a folder or cannot be read, or there is no source in it.
    """
    if kind_of(results) != "folder":
        give = f" Give `{results.parent}`." if kind_of(results) == "file" and results.name in FILES else ""
        msg = f"`{results}` is not a folder. Expected a results tree or a folder with `base.pt` and `chat.pt`.{give}"
        raise DataError(msg)
    root = _normal(results)
    walk = Walk(root.resolve(), leave)
    sources = [
        _describe(folder, [at for at in (folder, *folder.parents) if at.is_relative_to(root.parent)], walk)
        for folder in walk.folders(root, _MAX_DEPTH)
        if _is_source(folder, walk)
    ]
    passed_over = f"{_links_not_followed(len(walk.passed_over))} {advice}".strip()
    notes = walk.unread + [passed_over] * bool(walk.passed_over)
    if not sources:
        msg = (
            f"`{results}` has no `base.pt` or `chat.pt` in it or up to {_MAX_DEPTH} levels down. "
            "Expected results/{model}_trainer{trainer}_layer{layer}/{prompt_set}/base.pt and chat.pt."
        )
        raise DataError(" ".join([msg, *notes]))
    if all(source.folder.is_relative_to(root / "results") for source in sources):
        root = root / "results"
    named = sorted((_named_from(root, source) for source in sources), key=lambda source: _natural(source.name))
    return Tree(named, notes)


def _links_not_followed(count: int) -> str:
    """Say how many links lead out of a tree."""
    verbs = ("leads", "is") if count == 1 else ("lead", "are")
    return f"{plural(count, 'link')} {verbs[0]} out of the results folder and {verbs[1]} not followed."


def _is_source(folder: Path, walk: Walk) -> bool:
    """Tell whether a folder has one of the two files, and no file whose link may not be followed."""
    if not any(kind_of(folder / name) == "file" for name in FILES):
        return False
    return not [name for name in (*FILES, *BESIDE) if not walk.may_follow(folder / name)]


def _normal(folder: Path) -> Path:
    return folder.resolve() if ".." in folder.parts else folder.absolute()


def _named_from(root: Path, source: Source) -> Source:
    if source.folder == root:
        return source
    return replace(source, name=legible(source.folder.relative_to(root).as_posix()))


def _natural(name: str) -> list[list[str | int]]:
    return [
        [int(part) if part.isascii() and part.isdigit() else part for part in re.split(r"([0-9]+)", level)]
        for level in name.split("/")
    ]


def place_for_explanations(source: Source) -> Path | None:
    """
    Return the explanation file of a source's SAE, or where it will be found; None where no folder names the SAE.

    A new file goes into `explanations/` beside the results tree.
    """
    sae_folder, match = _find_sae_folder(source.folder)
    if source.explanations or match is None:
        return source.explanations
    return sae_folder.parent.parent / "explanations" / f"{sae_folder.name}.csv"


def _find_sae_folder(folder: Path) -> tuple[Path, re.Match[str] | None]:
    """Return the folder that names the SAE, with what it says; the parent folder where none does."""
    named = ((at, match) for at in (folder, *folder.parents) if (match := _SAE_FOLDER.fullmatch(at.name)))
    return next(named, (folder.parent, None))


def _find_explanations(name: str, beside: Sequence[Path], walk: Walk | None) -> Path | None:
    """Return the first explanation file of an SAE's folder; where not all links may be followed, one that may."""
    for folder in dict.fromkeys(at.parent / "explanations" for at in beside):
        found = next((file for end in ENDINGS if kind_of(file := folder / f"{name}{end}") == "file"), None)
        if found and (walk is None or (walk.may_follow(folder) and walk.may_follow(found))):
            return found
    return None
