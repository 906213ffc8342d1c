"""`base.pt` and `chat.pt` → checked, typed arrays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from featurediff.errors import DataError
from featurediff.files import kind_of, read_whole
from featurediff.sources.metadata import Metadata, parse_metadata
from featurediff.sources.model_pair import pair
from featurediff.sources.pt_archive import is_vector_name, load_archive
from featurediff.sources.results import ModelResults, Results
from featurediff.sources.vectors import parse_vectors
from featurediff.wording import listed, quoted

if TYPE_CHECKING:
    from pathlib import Path

_OLDER_KEYS = ("all_mean", "all_std", "max", "num_active", "sparsity")


def read_results(folder: Path) -> Results:
    """
    Read `base.pt` and `chat.pt` of one source.

    Both are read whole into memory, and read again if they change meanwhile.

    Parameters
    ----------
    folder : Path
        The source.

    Returns
    -------
    Results
        The pair, checked.

    Raises
    ------
    DataError
        If a file is missing, keeps changing, or breaks the format; see `parse_results`.
    """
    if kind_of(folder) == "file":
        msg = f"`{folder}` is a file, but expected the folder with `base.pt` and `chat.pt`: give `{folder.parent}`."
        raise DataError(msg)
    paths = [folder / "base.pt", folder / "chat.pt"]
    missing = [path.name for path in paths if kind_of(path) is None]
    if missing:
        lacking = " and no ".join(f"`{name}`" for name in missing)
        msg = f"`{folder}` has no {lacking}. Expected a folder with `base.pt` and `chat.pt`."
        raise DataError(msg)
    with ThreadPoolExecutor(2) as pool:
        return pair(*pool.map(lambda path: _parse_model(read_whole(path), path.name), paths))


def parse_results(base: bytes, chat: bytes, base_name: str = "base.pt", chat_name: str = "chat.pt") -> Results:
    """
    Check the two files of one source, as from an upload.

    Parameters
    ----------
    base, chat : bytes
        The whole files.
    base_name, chat_name : str
        What they are called in messages.

    Returns
    -------
    Results
        Both models, with the same token types, vectors and features.

    Raises
    ------
    DataError
        If a file is not what `torch.save` writes, breaks the format, or if the two do not belong together.
    """
    with ThreadPoolExecutor(2) as pool:
        return pair(*pool.map(_parse_model, (base, chat), (base_name, chat_name)))


def _parse_model(data: bytes, name: str) -> ModelResults:
    content = load_archive(data, name)
    _check_not_older(content, name)
    metadata, remarks = parse_metadata(content, name)
    others = _beside_token_types(content, metadata, name)
    if others:
        remarks.append(f"`{name}` has {listed(others)} beside its token types: left out.")
    vectors = parse_vectors(content, metadata, name)
    remarks += [*vectors.left_out.values(), *vectors.remarks]
    return ModelResults(
        name,
        sha256(data).hexdigest(),
        metadata,
        vectors.arrays,
        rounding=vectors.rounding,
        left_out=frozenset(vectors.left_out),
        remarks=tuple(remarks),
    )


def _beside_token_types(content: dict[Any, Any], metadata: Metadata, name: str) -> list[object]:
    """List what a file holds beside its token types; refuse other token types than the metadata lists."""
    others = [key for key in content if key not in ("metadata", *metadata.token_types)]
    unlisted = [key for key in others if isinstance(content[key], dict) and any(map(is_vector_name, content[key]))]
    if unlisted or not all(token_type in content for token_type in metadata.token_types):
        found = [key for key in content if key in metadata.token_types or key in unlisted]
        msg = (
            f"`{name}` has the token types {listed(found)}, but its metadata lists {listed(metadata.token_types)}. "
            "Expected the same ones."
        )
        raise DataError(msg)
    return others


def _check_not_older(content: dict[Any, Any], name: str) -> None:
    for token_type, vectors in content.items():
        if token_type != "metadata" and isinstance(vectors, dict) and not any(is_vector_name(key) for key in vectors):
            older = [key for key in vectors if key in _OLDER_KEYS and hasattr(vectors[key], "dtype")]
            if older:
                msg = (
                    f"`{name}`: token type {quoted(token_type)} is in the older format without a control half: it has "
                    f"{listed(older)}, but expected 'target_num_active', 'control_num_active' and so on. "
                    "Collect it again on target and control prompts."
                )
                raise DataError(msg)
