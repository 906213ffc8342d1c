"""Explanations from Neuronpedia: out of its bulk files, or feature by feature through its API."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from xml.etree import ElementTree

from featurediff.errors import DataError
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from featurediff.meaning.neuronpedia_server import Server

MAX_PAGES = 100
"""Of a list of files, with 1,000 files each."""

MAX_TEXTS = 250_000
"""Explanations in one answer; in one of Neuronpedia's files are some thousands."""

MAX_TEXT = 10_000
"""Characters of an explanation; the rest is cut."""

_OTHER_FORMAT = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading JSON raises that is damaged or says something else; the last two for 1e999 and thousands of brackets."""

_MAX_STATE = 64
"""Characters of a file's ETag, of which its name on the disk is made."""

_BATCH = re.compile(r"(?P<folder>explanations[^/]*)/batch-(?P<number>[0-9]{1,9})\.jsonl\.gz")


class Text(NamedTuple):
    """One explanation of one feature."""

    feature_id: int
    """Index in the SAE."""

    explanation: str
    """Never blank."""

    type: str | None
    """How it was made, such as "oai_token-act-pair"."""

    model: str | None
    """Which model wrote it."""


class BulkFile(NamedTuple):
    """One of the files in which Neuronpedia gives away the explanations of a source."""

    key: str
    """Path on the server."""

    name: str
    """Name of its answer on disk: another one for each file, and for each version of a file."""


def bulk_files(exports: Server, source: str) -> list[BulkFile]:
    """
    List the files that hold a source's explanations, of all folders such as `explanations/`.

    Rows are ordered by index as a string, so any feature may be in any of them.

    Parameters
    ----------
    exports : Server
        The host of `EXPORTS`; its list has at most 1,000 keys a page.
    source : str
        `modelId/sourceId`.

    Raises
    ------
    DataError
        If the server cannot be reached or gives no list.
    """
    prefix = f"v1/{source}/"
    fields = {"list-type": "2", "prefix": f"{prefix}explanations"}
    found = []
    for _ in range(MAX_PAGES):
        page = _parse_list(exports.get("", **fields), exports.url)
        for entry in page.iterfind("{*}Contents"):
            key = entry.findtext("{*}Key", "")
            if match := _BATCH.fullmatch(key.removeprefix(prefix)):
                state = re.sub(r"\W", "", entry.findtext("{*}ETag", ""))[:_MAX_STATE]
                name = f"{match['folder']}-{match['number']}-{state}"
                found.append(((match["folder"], int(match["number"])), BulkFile(key, name)))
        token = page.findtext("{*}NextContinuationToken")
        if token is None:
            return [file for _, file in sorted(found)]
        fields["continuation-token"] = token
    msg = f"{exports.url} lists files on more than {MAX_PAGES} pages. Neuronpedia does not: is it another server?"
    raise DataError(msg)


def _parse_list(data: bytes | None, url: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(data or b"")
    except ElementTree.ParseError as error:
        msg = f"{url} does not list its files as S3 does (XML, {error})."
        raise DataError(msg) from error


def read_bulk(exports: Server, file: BulkFile) -> list[Text]:
    """
    Return the explanations in a bulk file: JSON lines, of which embeddings and the like are dropped.

    Raises
    ------
    DataError
        If the file cannot be got, or a line of it is in another format.
    """
    data = exports.get(file.key)
    if data is None:
        msg = f"{exports.url}/{file.key} is gone since it was listed. Run the same command again."
        raise DataError(msg)
    texts: list[Text] = []
    for number, line in enumerate(io.BytesIO(data), start=1):
        try:
            said = json.loads(line)
            texts += _texts([said], _index(said["index"]))
        except _OTHER_FORMAT as error:
            shown = quoted(line.rstrip(b"\r\n"))
            msg = f"{exports.url}/{file.key}: line {number} is not an object with an `index`, but {shown}."
            raise DataError(msg) from error
        if len(texts) > MAX_TEXTS:
            msg = f"{exports.url}/{file.key} has more than {MAX_TEXTS:,} explanations, which is no file of Neuronpedia."
            raise DataError(msg)
    return texts


def _index(value: object) -> int:
    """Return a feature id, which Neuronpedia writes as text; Python alone would also take 1.9, true and "1_0"."""
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", str(value) if isinstance(value, int | str) else ""):
        raise ValueError(value)
    return int(cast("str", value))


def read_feature(api: Server, source: str, feature_id: int) -> list[Text]:
    """
    Return the explanations of one feature, the best scored last; none where Neuronpedia does not know the feature.

    Raises
    ------
    DataError
        If the feature cannot be got, or the answer is in another format.
    """
    path = f"api/feature/{source}/{feature_id}"
    data = api.get(path)
    try:
        said = json.loads(data) if data else None  # an unknown feature is `null` or 404
        explanations = said["explanations"] if said else []
        return _texts(reversed(explanations[:MAX_TEXTS]), feature_id)
    except _OTHER_FORMAT as error:
        msg = f"{api.url}/{path} is not an object with a list of `explanations`, but {quoted(data)}."
        raise DataError(msg) from error


def _texts(items: Iterable[dict[str, Any]], feature_id: int) -> list[Text]:
    found = []
    for item in items:
        text, kind, model = (_clean(item.get(key)) for key in ("description", "typeName", "explanationModelName"))
        if text:
            found.append(Text(feature_id, text, kind, model))
    return found


def _clean(value: object) -> str | None:
    """Return a text that is not blank, with `?` for what UTF-8 cannot hold, and cut; None for anything else."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value[:MAX_TEXT].encode(errors="replace").decode()
