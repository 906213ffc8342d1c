"""A small Neuronpedia on loopback: the API and the bucket of bulk files, as clients see them, with faults on demand."""

import gzip
import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
EMBEDDING = [0.001 * n for n in range(256)]


class Fault:
    """What a server does instead of answering; headers change what it says, `drip` is the seconds between bytes."""

    def __init__(self, status=200, cut=False, body=None, drip=0, **headers):
        self.status, self.cut, self.body, self.drip = status, cut, body, drip
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class FakeServer(ThreadingHTTPServer):
    """Answers GETs, remembers them, and fails where it was told to."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies = {}
        self.faults = defaultdict(list)
        self.requests, self.headers, self.connections = [], [], 0
        self.page_size = 1000
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self):
        """Return what was asked for since the last time."""
        asked, self.requests = self.requests, []
        return asked

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def stop(self):
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self.thread.join()

    def answer(self, path, query):  # noqa: ARG002  FakeExports needs it
        """Return status, body and headers."""
        if path in self.bodies:
            return 200, self.bodies[path], {}
        return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}


class FakeApi(FakeServer):
    """Answers `/api/feature/…`: JSON, zipped for clients that take it, `null` for a feature that it does not know."""

    def put(self, source, index, *explanations):
        """Give a feature its explanations, the best scored first, as (description, type, model)."""
        said = [explanation_of(source, index, *each) for each in explanations]
        body = {"modelId": source.split("/")[0], "index": str(index), "activations": [], "explanations": said}
        self.bodies[f"/api/feature/{source}/{index}"] = json.dumps(body).encode()

    def answer(self, path, query):  # noqa: ARG002  FakeExports needs it
        body = self.bodies.get(path, b"null")
        return 200, gzip.compress(body), {"Content-Encoding": "gzip", "Content-Type": "application/json"}


class FakeExports(FakeServer):
    """Answers keys and ListObjectsV2, in pages."""

    def put(self, source, rows, size=3, folder="explanations"):
        """Hold (index, description, type, model) in files of some rows, ordered by index as a string."""
        rows = sorted(rows, key=lambda row: str(row[0]))
        prefix = f"/v1/{source}/{folder}/"
        self.bodies = {key: body for key, body in self.bodies.items() if not key.startswith(prefix)}
        for number, start in enumerate(range(0, len(rows), size)):
            lines = [json.dumps(explanation_of(source, *row)) + "\n" for row in rows[start : start + size]]
            self.bodies[f"{prefix}batch-{number}.jsonl.gz"] = gzip.compress("".join(lines).encode(), mtime=0)

    def answer(self, path, query):
        return (200, self.page(query), {}) if path == "/" else super().answer(path, query)

    def page(self, query):
        prefix, after = query["prefix"], query.get("continuation-token", "")
        keys = sorted(key[1:] for key in self.bodies if key[1:].startswith(prefix) and key[1:] > after)
        here, more = keys[: self.page_size], keys[self.page_size :]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><ETag>&quot;{hash(self.bodies['/' + key]):x}&quot;</ETag></Contents>"
            for key in here
        )
        token = f"<NextContinuationToken>{escape(here[-1])}</NextContinuationToken>" if more else ""
        return (
            f'<?xml version="1.0"?><ListBucketResult xmlns="{NAMESPACE}">{token}{entries}</ListBucketResult>'.encode()
        )


def explanation_of(source, index, description, kind=None, model=None):
    """One explanation with the fields that Neuronpedia writes."""
    return {
        "id": f"id-{index}-{kind}",
        "modelId": source.split("/")[0],
        "layer": source.split("/")[1],
        "index": str(index),
        "description": description,
        "embedding": EMBEDDING,
        "typeName": kind,
        "explanationModelName": model,
        "umap_x": 0.5,
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    wbufsize = -1  # header and body in one packet: a second one would wait 40 ms

    def do_GET(self):
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), {name: value[0] for name, value in parse_qs(parts.query).items()}
        self.server.requests.append(path)
        self.server.headers.append(dict(self.headers))
        status, body, headers = self.server.answer(path, query)
        if self.server.faults[path]:
            fault = self.server.faults[path].pop(0)
            status, headers = fault.status, headers | fault.headers
            body = body if fault.body is None else fault.body
            if fault.drip:
                self.drip(body, fault.drip)
                return
            self.send(status, body, headers, body[: len(body) // 2] if fault.cut else body)
            self.close_connection |= fault.cut
        else:
            self.send(status, body, headers, body)

    def send(self, status, body, headers, sent):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(sent)

    def drip(self, body, seconds):
        """Send a byte every few seconds, until nobody listens or all is sent."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            try:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
            except OSError:
                break
            if self.server.stopping.wait(seconds):
                break
        self.close_connection = True

    def log_message(self, *_):
        pass
