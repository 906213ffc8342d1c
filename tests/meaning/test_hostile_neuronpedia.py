"""Servers that answer in Neuronpedia's name, and cache files of any shape."""

import gzip
import json
import re
import zlib

import pytest
from limited import under_limit
from neuronpedia_server import FakeExports, FakeServer, Fault

from featurediff.errors import DataError
from featurediff.meaning.neuronpedia_api import MAX_PAGES, MAX_TEXT, BulkFile, bulk_files, read_bulk, read_feature
from featurediff.meaning.neuronpedia_cache import Cache
from featurediff.meaning.neuronpedia_server import MAX_ANSWER, MAX_SENT, Server

FILE = BulkFile("file.gz", "file")


@pytest.fixture
def hostile():
    server = FakeServer()
    yield server
    server.stop()


def refused(read, *arguments):
    with pytest.raises(DataError) as caught:
        read(*arguments)
    return str(caught.value)


def zipped(size):
    """So many bytes of zeros, zipped to a thousandth."""
    made = zlib.compressobj(9, wbits=31)
    return b"".join([*(made.compress(bytes(2**20)) for _ in range(size // 2**20)), made.flush()])


def get(url):
    return Server(url).get("file.gz")


def test_zip_that_unfolds_is_refused(hostile):
    """3 MB that unzip to 3 GB were unzipped."""
    hostile.bodies["/file.gz"] = zipped(2 * MAX_ANSWER)
    assert len(hostile.bodies["/file.gz"]) < 10**6
    outcome = under_limit(get, hostile.url, megabytes=1500)
    assert outcome.said == (
        f"{hostile.url}/file.gz unfolds to more than 268,435,456 bytes. Neuronpedia's answers do not: is it another "
        "server?"
    )
    assert outcome.megabytes < 700


def test_answer_without_end_is_refused(hostile):
    hostile.bodies["/file.gz"] = bytes(MAX_SENT + 1)
    outcome = under_limit(get, hostile.url, megabytes=1000)
    assert outcome.said == (
        f"{hostile.url}/file.gz sends more than 67,108,864 bytes. Neuronpedia does not: is it another server?"
    )
    assert outcome.megabytes < 300


def test_answer_that_drips_is_given_up(hostile):
    """A byte every two seconds met no limit, because each was in time."""
    hostile.bodies["/file.gz"] = b"x" * 1000
    hostile.faults["/file.gz"] = [Fault(drip=0.1)]
    message = refused(Server(hostile.url, patience=0.5).get, "file.gz")
    assert message == (
        f"{hostile.url}/file.gz has not answered completely within 0.5 seconds. What was received is kept: run the "
        "same command again later to go on from there."
    )


class Endless(FakeExports):
    """A list of files that always has one more page."""

    def page(self, query):
        after = int(query.get("continuation-token", 0)) + 1
        return f"<r><NextContinuationToken>{after}</NextContinuationToken></r>".encode()


def test_list_without_end_is_refused():
    server = Endless()
    try:
        message = refused(bulk_files, Server(server.url), "m/s")
        assert len(server.asked()) == MAX_PAGES
    finally:
        server.stop()
    assert message == (f"{server.url} lists files on more than 100 pages. Neuronpedia does not: is it another server?")


@pytest.mark.parametrize("index", ["1.9", "true", '"1_0"', "null", '"-1"', "-1", '"9999999999"', "1e2", "[1]", '" 1"'])
def test_index_is_a_whole_number(hostile, index):
    """Python's int() takes 1.9, true and "1_0" for 1, 1 and 10: the texts of other features."""
    line = f'{{"index": {index}, "description": "x"}}'
    hostile.bodies["/file.gz"] = gzip.compress(line.encode())
    message = refused(read_bulk, Server(hostile.url), FILE)
    assert message.startswith(f'{hostile.url}/file.gz: line 1 is not an object with an `index`, but b\'{{"index"')


@pytest.mark.parametrize("index", ["7", '"7"'])
def test_index_may_be_text_or_a_number(hostile, index):
    hostile.bodies["/file.gz"] = f'{{"index": {index}, "description": "x"}}\n'.encode()
    assert read_bulk(Server(hostile.url), FILE) == [(7, "x", None, None)]


def test_long_text_is_cut(hostile):
    hostile.bodies["/file.gz"] = json.dumps({"index": 1, "description": "é" * (MAX_TEXT + 5)}).encode()
    assert read_bulk(Server(hostile.url), FILE) == [(1, "é" * MAX_TEXT, None, None)]


@pytest.mark.parametrize("body", ['{"explanations": 1}', '{"explanations": {"a": 1}}', '{"explanations": [1]}', '"x"'])
def test_feature_of_another_shape(hostile, body):
    hostile.bodies["/api/feature/m/s/1"] = body.encode()
    assert refused(read_feature, Server(hostile.url), "m/s", 1) == (
        f"{hostile.url}/api/feature/m/s/1 is not an object with a list of `explanations`, but {body.encode()!r}."
    )


@pytest.mark.parametrize(
    "content",
    [
        "7", "null", '"x"', '{"a": 1}', "[1]", "[[1]]", '[["1", "x", null, null]]', '[[true, "x", null, null]]',
        '[[1, null, null, null]]', '[[1, "x", 7, null]]', '[[1, "x", null, null, null]]', '[[-1, "x", null, null]]',
        '[[1.5, "x", null, null]]', '[[1, "", null, null]]', '[[1, "\\ud800", null, null]]', "[" * 100_000,
        json.dumps([[1, "x" * (MAX_TEXT + 1), None, None]]),
    ],
)  # fmt: skip
def test_cache_file_of_any_shape_is_named(tmp_path, content):
    """What was no list of rows was a traceback, and an id that was none stood in the CSV."""
    path = tmp_path / "feature-1.json"
    path.write_text(content)
    message = f"`{path}` is damaged. Delete it, and run the same command again."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        Cache(tmp_path).texts()


def test_cache_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "feature-1.json"
    with path.open("wb") as file:
        file.truncate(MAX_ANSWER + 1)
    assert refused(Cache(tmp_path).texts) == f"`{path}` is damaged. Delete it, and run the same command again."
