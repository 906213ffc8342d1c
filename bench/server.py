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
PATIENCE = 300
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
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:  # it still tests what changed, of millions of activations
                process.kill()
                process.wait()


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
        self._fragments: dict[str, str] = {}
        self._changed = ""
        self._seen: set[str] = set()
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
        widget = self._changed = self._widgets[key]
        self._states[widget] = WidgetState(id=widget, **value)

    def trigger(self, key: str, event: str, value: object) -> None:
        """Let a component report an event; its own state goes with it, as a browser sends it."""
        self.set(key, json_value="{}")
        widget = f"$$STREAMLIT_INTERNAL_KEY_{self._widgets[key]}__events"
        payload = json.dumps([{"event": event, "value": value}])
        self._states[widget] = WidgetState(id=widget, json_trigger_value=payload)

    async def run(self) -> Answer:
        """
        Ask for a run, and return what it sent; a trigger is given once.

        Where the widget that was changed is of a fragment, only that is asked for, as a browser does.
        """
        message = BackMsg()
        rerun = message.rerun_script
        rerun.fragment_id = self._fragments.get(self._changed, "")
        self._changed = ""
        self._seen.clear()
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
                self._forget(rerun.fragment_id)
                self.has_chart = answer.chart_after is not None
                return answer

    def _forget(self, fragment: str) -> None:
        """Forget the widgets that have gone: all that did not come again, in a fragment's run only those of it."""
        gone = {name for name, of in self._fragments.items() if name not in self._seen and fragment in ("", of)}
        for name in gone:
            del self._fragments[name]
            self._states.pop(name, None)

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
            self._seen.add(widget)
            self._widgets[widget.split("-", 2)[2]] = widget
            self._fragments[widget] = message.delta.fragment_id
            value = shows(str(kind), getattr(element, str(kind)))
            if value and (widget not in self._states or getattr(element, str(kind)).set_value):
                self._states[widget] = WidgetState(id=widget, **value)


def shows(kind: str, widget: Any) -> dict[str, Any]:  # noqa: ANN401  a message of that kind
    """Return what a new widget shows, as a field of WidgetState: a browser sends it with every rerun."""
    if kind == "button_group":
        chosen = widget.raw_values if widget.set_value else [widget.options[i].content for i in widget.default]
        return {"string_array_value": {"data": chosen}}
    if kind == "selectbox":
        return {"string_value": widget.raw_value if widget.set_value else widget.options[widget.default]}
    if kind == "checkbox":
        return {"bool_value": widget.value if widget.set_value else widget.default}
    if kind in ("text_input", "text_area", "number_input"):
        name = "value" if widget.set_value else "default"
        field = "double_value" if kind == "number_input" else "string_value"
        return {field: getattr(widget, name)} if widget.HasField(name) else {}
    return {}
