"""What is written without torch is what torch reads, and what is read without it."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch

from featurediff.sources.demo import make_demo
from featurediff.sources.pt_plain import read_plain
from featurediff.sources.pt_write import write_plain
from featurediff.sources.pt_zip import read_records

VECTORS = {
    "float32": np.array([1.5, -2, np.nan, 0], np.float32),
    "float64": np.array([1e300, 2]),
    "int32": np.array([2**31 - 1, -1], np.int32),
    "int64": np.array([2**40, -3, 7]),
}
METADATA = {"name": "ä\n", "size": -(2**31), "names": ["a", "b"], "none": []}


def expect_same(found):
    assert found["metadata"] == METADATA
    assert list(found["newline"]) == list(VECTORS)
    for name, vector in VECTORS.items():
        np.testing.assert_array_equal(np.asarray(found["newline"][name]), vector)
        assert np.asarray(found["newline"][name]).dtype == vector.dtype


def test_torch_reads_what_is_written():
    written = write_plain({"newline": VECTORS, "metadata": METADATA})
    expect_same(torch.load(io.BytesIO(written), weights_only=True))


def test_it_is_read_without_torch():
    records, is_usual = read_records(write_plain({"newline": VECTORS, "metadata": METADATA}), "x.pt")
    assert is_usual
    found = read_plain(records)
    assert found is not None
    expect_same(found)


def test_other_kinds_of_vectors_are_no_plain_ones():
    with pytest.raises(KeyError, match="<c8"):
        write_plain({"newline": {"x": np.array([1j], np.complex64)}})


def test_vectors_begin_where_torch_lets_them_begin():
    data = write_plain({"newline": VECTORS})
    assert data.index(VECTORS["int64"].tobytes()) % 64 == 0
    assert data.index(VECTORS["float64"].tobytes()) % 64 == 0


def test_the_demo_is_what_torch_reads():
    demo = make_demo(600, 10)
    found = torch.load(io.BytesIO(demo.chat), weights_only=True)
    assert found["metadata"]["num_features"] == 600
    assert found["newline"]["target_num_active"].dtype == torch.int64
    assert found["newline"]["target_all_mean"].shape == (600,)


def test_a_demo_is_made_and_read_without_torch(tmp_path):
    """Importing it took more than half of the first start on the demo, and 200 MB of the server."""
    code = (
        "import sys, featurediff\nfrom pathlib import Path\nfrom featurediff.sources.demo import make_demo\n"
        "featurediff.load(make_demo().write(Path(sys.argv[1]))).table()\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
