"""A Streamlit server on loopback, and sessions that speak to it as a browser does."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
APP = ROOT / "streamlit_app.py"
PATIENCE = 120
"""Seconds that an answer may take."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    """On loopback."""

    pid: int
    """Of its process."""

    log: Path
    """What it prints."""


@contextmanager
def running(results: Path | None = None, script: Path = APP) -> Iterator[Server]:
    """Start a server, on a results tree or the demo, and stop it at the end of the block; it may not listen yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"),
        *("--server.address=127.0.0.1", f"--server.port={port}", "--server.fileWatcherType=none", "--"),
        *(["--results", str(results)] if results else []),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FEATUREDIFF_")}
    with tempfile.NamedTemporaryFile("w+b", suffix=".log") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Server(port, process.pid, Path(log.name))
        finally:
            process.terminate()
            process.wait(20)


def wait_for(server: Server) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
        except ConnectionError:
            time.sleep(0.01)
        else:
            return
    sys.exit(f"The server does not listen.\n{server.log.read_text()}")


@dataclass
class Answer:
    """What one run of the script sent."""

    seconds: float = 0
    """From the request to the message that the script has ended."""

    chart_after: float | None = None
    """Seconds until the chart came."""

    sent: int = 0
    """Bytes of all messages."""

    chart: int = 0
    """Bytes of messages with a chart; 0 where the browser is told to take the one that it has."""

    errors: list[str] = field(default_factory=list)
    """Exceptions and error boxes on the screen."""


class Session:
    """One person's connection: remembers widgets and messages as a browser does."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._states: dict[str, WidgetState] = {}
        self._widgets: dict[str, str] = {}
        self._cached: dict[str, ForwardMsg] = {}
        self._page = ""
        self._query = ""
        self.has_chart = False

    @classmethod
    async def open(cls, server: Server) -> Session:
        """Connect."""
        url = f"ws://127.0.0.1:{server.port}/_stcore/stream"
        return cls(await connect(url, subprotocols=["streamlit"], max_size=None, compression=None))  # type: ignore[list-item]

    async def close(self) -> None:
        """Leave."""
        await self._socket.close()

    def set(self, key: str, **value: Any) -> None:  # noqa: ANN401  the type is the field's
        """Change a widget; `value` is one field of Streamlit's WidgetState, such as `string_value`."""
        widget = self._widgets[key]
        self._states[widget] = WidgetState(id=widget, **value)

    def trigger(self, key: str, event: str, value: object) -> None:
        """Let a component report an event; its own state goes with it, as a browser sends it."""
        self.set(key, json_value="{}")
        widget = f"$$STREAMLIT_INTERNAL_KEY_{self._widgets[key]}__events"
        payload = json.dumps([{"event": event, "value": value}])
        self._states[widget] = WidgetState(id=widget, json_trigger_value=payload)

    async def run(self) -> Answer:
        """Ask for a run, and return what it sent; a trigger is given once."""
        message = BackMsg()
        rerun = message.rerun_script
        rerun.query_string, rerun.page_script_hash = self._query, self._page
        rerun.widget_states.widgets.extend(self._states.values())
        rerun.cached_message_hashes.extend(self._cached)
        self._states = {name: state for name, state in self._states.items() if not state.json_trigger_value}
        began = time.perf_counter()
        await self._socket.send(message.SerializeToString())
        answer = Answer()
        while True:
            data = await asyncio.wait_for(self._socket.recv(decode=False), PATIENCE)
            found = ForwardMsg.FromString(data)
            answer.sent += len(data)
            kind = found.WhichOneof("type")
            if kind == "ref_hash":
                self._read(self._cached[found.ref_hash], answer, began, 0)
            elif kind == "new_session":
                self._page = found.new_session.page_script_hash
            elif kind == "page_info_changed":
                self._query = found.page_info_changed.query_string
            elif kind == "delta":
                self._read(found, answer, began, len(data))
            elif kind == "script_finished" and found.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                answer.seconds = time.perf_counter() - began
                self.has_chart = answer.chart_after is not None
                return answer

    def _read(self, message: ForwardMsg, answer: Answer, began: float, size: int) -> None:
        """Note a new element: a widget, a chart, an error."""
        if message.metadata.cacheable:
            self._cached[message.hash] = message
        if message.delta.WhichOneof("type") != "new_element":
            return
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            answer.errors.append(element.exception.message)
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            answer.errors.append(element.alert.body)
        elif kind == "plotly_chart":
            answer.chart += size
            answer.chart_after = answer.chart_after or time.perf_counter() - began
        # The id of a widget is $$ID-<hash>-<key>.
        widget = str(getattr(getattr(element, str(kind)), "id", ""))
        if widget.startswith("$$ID-"):
            self._widgets[widget.split("-", 2)[2]] = widget
