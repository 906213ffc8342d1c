import gc
import io
import os
import subprocess
import sys
import weakref
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import make_source, model_data
from corpus import saved
from hypothesis import given, settings
from hypothesis import strategies as st

from featurediff.sources.pt_plain import read_plain


def records_of(data):
    with zipfile.ZipFile(io.BytesIO(saved(data))) as archive:
        return {name: memoryview(archive.read(name)) for name in archive.namelist()}


DTYPES = ["float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64"]


@settings(deadline=None)
@given(st.sampled_from(DTYPES), st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))
def test_vectors_are_those_that_were_saved(dtype, size, before, after):
    """Also parts of a longer storage, which is saved whole."""
    whole = torch.arange(before + size + after).to(getattr(torch, dtype)) / 1
    part = whole.to(getattr(torch, dtype))[before : before + size]
    array = read_plain(records_of({"model": {"target_max": part}, "metadata": {}}))["model"]["target_max"]
    assert array.dtype == dtype
    assert array.tolist() == part.tolist()
    assert not array.flags.writeable


def test_whole_source_is_read_as_torch_reads_it():
    data = model_data("chat", num_features=100)
    content = read_plain(records_of(data))
    assert content["metadata"] == data["metadata"]
    for token_type in data["metadata"]["token_types"]:
        assert list(content[token_type]) == list(data[token_type])
        for name, tensor in data[token_type].items():
            np.testing.assert_array_equal(content[token_type][name], tensor.numpy(), strict=True)


def test_numbers_are_not_copied():
    records = records_of(model_data("base"))
    content = read_plain(records)
    assert any(np.shares_memory(content["model"]["target_max"], np.frombuffer(r, np.uint8)) for r in records.values())


@pytest.mark.parametrize(("part", "is_plain"), [("model", True), ("metadata", False)])
def test_file_is_forgotten_without_a_search(part, is_plain):
    """Each opened source left its files in memory, 50 MB at 131,072 features, until Python searched for garbage."""
    record = np.frombuffer(np.arange(8, dtype="float32").tobytes(), "uint8")
    records = records_of({part: {"target_max": torch.ones(8)}})
    records["archive/data/0"] = memoryview(record)
    held = weakref.ref(record)
    gc.collect()
    gc.disable()
    try:
        content = read_plain(records)
        assert (content is not None) == is_plain, "others are left to torch"
        del content, records, record
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(8, dtype=torch.bfloat16), torch.ones(8, dtype=torch.bool), torch.ones(8, dtype=torch.complex64),
        torch.ones(2, 4), torch.tensor(1.0), torch.ones(0), torch.ones(16)[::2], torch.ones(1).expand(8),
        torch.ones(8, requires_grad=True), torch.nn.Parameter(torch.ones(8)), torch.ones(8, device="meta"),
    ],
)  # fmt: skip
def test_other_tensors_are_left_to_torch(tensor):
    assert read_plain(records_of({"model": {"target_max": tensor}, "metadata": {}})) is None


@pytest.mark.parametrize("value", [[1.0], None, 1, "text"])
def test_what_is_no_tensor_is_read_as_it_is(value):
    data = {"model": {"target_max": value}, "metadata": {}}
    assert read_plain(records_of(data)) == data


@pytest.mark.parametrize(
    "data",
    [[1], {"metadata": {"num_features": torch.ones(8)}}, {"model": torch.ones(8)}, {"model": [torch.ones(8)]},
     {"model": OrderedDict(target_max=torch.ones(8, 1))}],
)  # fmt: skip
def test_tensors_in_other_places_are_left_to_torch(data):
    assert read_plain(records_of(data)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"archive/byteorder": b"big"}, {"archive/version": None}, {"archive/constants.pkl": b""}, {"other/x": b""},
        {"archive/data/0": b"123"}, {"archive/data/0": None}, {"archive/data.pkl": b"\x80\x02}."[:2] + b"]."},
        {"archive/data.pkl": b"\x80\x02}r\xff\xff\xff\x7f."}, {"archive/data.pkl": b"\x80\x04}."},
        {"archive/data.pkl": b"\x80\x02ccollections\nCounter\n."}, {"archive/data.pkl": b"\x80\x02}K\x01a."},
    ],
    ids=str,
)  # fmt: skip
def test_archives_that_torch_did_not_write_are_left_to_it(change):
    """A place in the memo far beyond the pickle would take gigabytes."""
    records = records_of(model_data("base")) | {k: v and memoryview(v) for k, v in change.items() if v is not None}
    records = {name: record for name, record in records.items() if change.get(name, b"") is not None}
    assert read_plain(records) is None


def test_source_is_read_without_torch(tmp_path):
    """Its import took a second and 200 MB."""
    code = "import sys, featurediff; print(len(featurediff.load(sys.argv[1]).table()), 'torch' in sys.modules)"
    run = [sys.executable, "-c", code, str(make_source(tmp_path))]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=os.environ | path)
    assert done.stdout.split()[1] == "False"
