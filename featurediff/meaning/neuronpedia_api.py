"""Explanations from Neuronpedia: out of its bulk files, or feature by feature through its API."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass
from xml.etree import ElementTree

import urllib3
from urllib3.util.retry import Retry

from featurediff.errors import DataError
from featurediff.version import package_version
from featurediff.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from urllib3 import BaseHTTPResponse

API = "https://www.neuronpedia.org"
EXPORTS = "https://neuronpedia-datasets.s3.us-east-1.amazonaws.com"
API_KEY = "NEURONPEDIA_API_KEY"
"""The environment variable that holds a person's key; without one Neuronpedia answers too."""

_TRIES = 7
_MAX_WAIT = 120
"""Seconds that a server may ask to wait; above that, a person is told to come back later."""

_TIMEOUT = urllib3.Timeout(connect=15, read=60)
_BUSY = (429, 500, 502, 503, 504)
_OTHER_FORMAT = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading JSON raises that is damaged or says something else; the last two for 1e999 and thousands of brackets."""

_COME_BACK = "What was received is kept: run the same command again later to go on from there."
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


class _Retry(Retry):
    """Wait before the first retry too, and as long as the server asks for, up to `_MAX_WAIT`."""

    def get_backoff_time(self) -> float:
        return float(self.backoff_factor * 2 ** (len(self.history) - 1))

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        seconds = super().get_retry_after(response)
        if seconds is not None and seconds > _MAX_WAIT:
            msg = f"Neuronpedia asks to wait {seconds:,.0f} seconds. {_COME_BACK}"
            raise DataError(msg)
        return seconds


class Server:
    """
    One host, which gets one request at a time over one connection that stays open.

    After a fault that may pass (no connection, a cut one, an answer 429 or 5xx) the request is sent again. The wait
    doubles each time.

    Parameters
    ----------
    url : str
        Scheme and host, such as `API`. The proxy that the environment names for it is used.
    headers : mapping of str to str, optional
        Sent with each request.
    pause : float
        Seconds before the first retry.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, pause: float = 1.0) -> None:
        self.url = url.rstrip("/")
        retries = _Retry(_TRIES - 1, connect=2, status_forcelist=_BUSY, backoff_factor=pause, raise_on_status=False)
        sent = {"User-Agent": f"featurediff/{package_version()}", "Accept-Encoding": "gzip", **(headers or {})}
        options: dict[str, Any] = {"headers": sent, "retries": retries, "timeout": _TIMEOUT}
        parts = urlsplit(self.url)
        proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
        self._pool = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)

    def get(self, path: str, **fields: str) -> bytes | None:
        """
        Return the answer to a GET, unzipped; None where the server has no such thing (404).

        Raises
        ------
        DataError
            If the server cannot be reached, or gives no complete answer 200 after all retries.
        """
        url = f"{self.url}/{path}" + (f"?{urlencode(fields)}" if fields else "")
        for _ in range(_TRIES):
            data = self._get(url)
            try:
                return gzip.decompress(data) if data and data.startswith(b"\x1f\x8b") else data
            except (EOFError, OSError, zlib.error):  # cut short on the way, but as long as was announced
                continue
        msg = f"{url} is cut short or damaged, {_TRIES} times in a row. {_COME_BACK}"
        raise DataError(msg)

    def _get(self, url: str) -> bytes | None:
        """Return the body as it was sent, all of it."""
        try:
            # Redirects are not followed, so that a key never reaches another host.
            response = self._pool.request("GET", url, redirect=False, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            reason = type(getattr(error, "reason", None) or error).__name__
            msg = f"{self.url} cannot be reached, or not for long enough ({reason}). Is there a network? {_COME_BACK}"
            raise DataError(msg) from error
        if response.status == 404:
            return None
        if response.status != 200:
            msg = f"{url} answers {response.status} {response.reason}, but expected 200. {_COME_BACK}"
            raise DataError(msg)
        return response.data


class Servers(NamedTuple):
    """Where explanations come from."""

    api: Server
    """Answers feature by feature."""

    exports: Server
    """Holds the bulk files."""

    @classmethod
    def at(cls, api: str = API, exports: str = EXPORTS, pause: float = 1.0) -> Servers:
        """
        Return the servers at these addresses; the key in the environment is sent to the API only.

        Raises
        ------
        DataError
            If the key has characters that keys do not have.
        """
        key = os.environ.get(API_KEY, "").strip()
        if not (key.isascii() and key.isprintable()):
            msg = f"The environment variable {API_KEY} holds characters that a key does not have."
            raise DataError(msg)
        return cls(Server(api, {"x-api-key": key} if key else None, pause), Server(exports, pause=pause))


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
    while True:
        page = _parse_list(exports.get("", **fields), exports.url)
        for entry in page.iterfind("{*}Contents"):
            key = entry.findtext("{*}Key", "")
            if match := _BATCH.fullmatch(key.removeprefix(prefix)):
                state = re.sub(r"\W", "", entry.findtext("{*}ETag", ""))
                name = f"{match['folder']}-{match['number']}-{state}"
                found.append(((match["folder"], int(match["number"])), BulkFile(key, name)))
        token = page.findtext("{*}NextContinuationToken")
        if token is None:
            return [file for _, file in sorted(found)]
        fields["continuation-token"] = token


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
    texts = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            said = json.loads(line)
            texts += _texts([said], int(said["index"]))
        except _OTHER_FORMAT as error:
            msg = f"{exports.url}/{file.key}: line {number} is not an object with an `index`, but {quoted(line)}."
            raise DataError(msg) from error
    return texts


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
        return _texts(reversed(said["explanations"]), feature_id) if said else []
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
    """Return a text that is not blank, with `?` for what UTF-8 cannot hold; None for anything else."""
    return value.encode(errors="replace").decode() if isinstance(value, str) and value.strip() else None
