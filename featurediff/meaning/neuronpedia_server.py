"""Neuronpedia's servers: what they send is bounded in size and in time, whoever answers in their name."""

from __future__ import annotations

import gzip
import io
import os
import queue
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from featurediff.errors import DataError
from featurediff.version import package_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

API = "https://www.neuronpedia.org"
EXPORTS = "https://neuronpedia-datasets.s3.us-east-1.amazonaws.com"
API_KEY = "NEURONPEDIA_API_KEY"
"""The environment variable that holds a person's key; without one Neuronpedia answers too."""

_TRIES = 7
_MAX_WAIT = 120
"""Seconds that a server may ask to wait; above that, a person is told to come back later."""

PATIENCE = 900.0
"""Seconds that one answer may take with all retries, however slowly it drips."""

MAX_SENT = 2**26
"""Bytes of an answer as it is sent."""

MAX_ANSWER = 2**28
"""Bytes of an answer when it is unzipped."""

_TIMEOUT = urllib3.Timeout(connect=15, read=60)
_BUSY = (429, 500, 502, 503, 504)
COME_BACK = "What was received is kept: run the same command again later to go on from there."


class _Retry(Retry):
    """Wait before the first retry too, and as long as the server asks for, up to `_MAX_WAIT`."""

    def get_backoff_time(self) -> float:
        return float(self.backoff_factor * 2 ** (len(self.history) - 1))

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        seconds = super().get_retry_after(response)
        if seconds is not None and seconds > _MAX_WAIT:
            msg = f"Neuronpedia asks to wait {seconds:,.0f} seconds. {COME_BACK}"
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
    patience : float
        Seconds that one answer may take with all retries.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, pause: float = 1.0, patience: float = PATIENCE
    ) -> None:
        self.url, self._pause, self._patience = url.rstrip("/"), pause, patience
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
            If the server cannot be reached, gives no complete answer 200 after all retries, or one that is too large
            or too slow.
        """
        url = f"{self.url}/{path}" + (f"?{urlencode(fields)}" if fields else "")
        try:
            return within(self._patience, lambda: self._get_whole(url))
        except TimeoutError as error:
            msg = f"{url} has not answered completely within {self._patience:g} seconds. {COME_BACK}"
            raise DataError(msg) from error

    def _get_whole(self, url: str) -> bytes | None:
        """Ask until the answer is whole; what is cut short on the way may be as long as was announced."""
        fault: Exception | None = None
        for number in range(_TRIES):
            if number:
                time.sleep(min(self._pause * 2 ** (number - 1), _MAX_WAIT))
            try:
                data = self._get(url)
                return _unzip(data, url) if data and data.startswith(b"\x1f\x8b") else data
            except (EOFError, OSError, zlib.error, HTTPError) as error:
                fault = error
        if isinstance(fault, HTTPError):
            self._refuse(fault)
        msg = f"{url} is cut short or damaged, {_TRIES} times in a row. {COME_BACK}"
        raise DataError(msg)

    def _get(self, url: str) -> bytes | None:
        """Return the body as it was sent, all of it."""
        try:
            # Redirects are not followed, so that a key never reaches another host.
            response = self._pool.request("GET", url, redirect=False, decode_content=False, preload_content=False)
        except HTTPError as error:
            self._refuse(error)
        data = _read(response, url)
        if response.status == 404:
            return None
        if response.status != 200:
            msg = f"{url} answers {response.status} {response.reason}, but expected 200. {COME_BACK}"
            raise DataError(msg)
        return data

    def _refuse(self, error: HTTPError) -> NoReturn:
        reason = type(getattr(error, "reason", None) or error).__name__
        msg = f"{self.url} cannot be reached, or not for long enough ({reason}). Is there a network? {COME_BACK}"
        raise DataError(msg) from error


def _read(response: BaseHTTPResponse, url: str) -> bytes:
    """Return a body of bounded size, and give its connection back."""
    data = bytearray()
    for part in response.stream(2**16, decode_content=False):
        data += part
        if len(data) > MAX_SENT:
            response.close()
            msg = f"{url} sends more than {MAX_SENT:,} bytes. Neuronpedia does not: is it another server?"
            raise DataError(msg)
    response.release_conn()
    return bytes(data)


def _unzip(data: bytes, url: str) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        found = file.read(MAX_ANSWER + 1)
    if len(found) > MAX_ANSWER:
        msg = f"{url} unfolds to more than {MAX_ANSWER:,} bytes. Neuronpedia's answers do not: is it another server?"
        raise DataError(msg)
    return found


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


def within(seconds: float, work: Callable[[], T]) -> T:
    """
    Return what some work gives, if it does so in time.

    The work goes on in a thread that does not keep the process alive. So it must not be what takes memory, and must
    not write anything.

    Parameters
    ----------
    seconds : float
        How long to wait.
    work : callable
        What it raises is raised here.

    Raises
    ------
    TimeoutError
        If the work is not done after so many seconds.
    """
    done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            done.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        found, error = done.get(timeout=seconds)
    except queue.Empty as empty:
        raise TimeoutError from empty
    if error is not None:
        raise error
    return found  # type: ignore[return-value]
