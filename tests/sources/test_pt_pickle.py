import io
import pickle
import re
import zipfile

import pytest
import torch
from builders import TOKEN_TYPES, model_data
from corpus import saved

from featurediff.errors import DataError
from featurediff.sources.pt_pickle import MAX_BYTES, check_pickles


def pickle_of(data) -> bytes:
    """What torch writes of an object, without the numbers of its tensors."""
    with zipfile.ZipFile(io.BytesIO(saved(data))) as archive:
        return archive.read("archive/data.pkl")


def refused(content):
    with pytest.raises(DataError) as caught:
        check_pickles([content], "x.pt")
    return str(caught.value)


@pytest.mark.parametrize("num_token_types", [1, 2, 1000])
def test_pickle_of_a_source_passes(num_token_types):
    names = [f"position {number}" for number in range(num_token_types)]
    check_pickles([pickle_of(model_data("base", names))], "x.pt")


@pytest.mark.parametrize(("levels", "passes"), [(21, True), (22, False), (10_000, False)])
def test_tuples_that_unfold(levels, passes):
    """Each is twice in the next: 2^21 objects are looked at in no time, and are few enough; 2^10000 are not."""
    content = b"\x80\x02)" + b"q\x01h\x01\x86" * levels + b"."
    if passes:
        check_pickles([content], "x.pt")
        return
    assert refused(content) == (
        f"`x.pt`: its pickle of {len(content)} bytes unfolds to more than 20000000 objects, but expected a dict of "
        "token types and `metadata`. Write it again with torch.save."
    )


def test_list_counts_as_long_as_it_has_become():
    """It is put into the memo while it is empty; made a set of later, it takes as long as it is."""
    filled = b"\x80\x02]q\x01(" + b"K\x01" * 10_000 + b"e"
    calls = b"c__builtin__\nset\nh\x01\x85R" * 2000
    assert "unfolds to more than 20000000 objects" in refused(filled + calls + b".")
    check_pickles([filled + calls[: len(calls) // 20] + b"."], "x.pt")


@pytest.mark.parametrize("token_type", TOKEN_TYPES)
@pytest.mark.parametrize("name", ["target_all_mean", "target_max", "control_sparsity", "target_new"])
def test_place_of_a_sparse_tensor(token_type, name):
    data = model_data("base")
    data[token_type][name] = torch.ones(8).to_sparse()
    assert refused(pickle_of(data)) == (
        f"`x.pt`: token type {token_type!r}, {name!r} is a tensor that is sparse, but expected a dense tensor of real "
        "numbers. Store x.to_dense()."
    )


@pytest.mark.parametrize(
    ("content", "called"),
    [
        (b"cos\nsystem\n)R.", "os.system"),
        (b"X\t\0\0\0os system)R.", "os.system"),
        (b"X\1\0\0\0a)R.", "a"),
        (b"}}R.", ""),
        (b"ctorch\nFloatStorage\n)R.", "torch.FloatStorage"),
        (b"ccollections\nOrderedDict\n)R}b.", ""),
        (b"ctorch\nFloatStorage\n)\x81.", "torch.FloatStorage"),
    ],
)
def test_what_would_be_called_is_named(content, called):
    """A string is no function, a storage is none to call, and nothing is set up after it was made."""
    assert refused(b"\x80\x02" + content) == (
        f"`x.pt` wants the code {called!r}, which is not run: the file may come from a stranger. "
        "Store only tensors, and plain Python ints and strings in the metadata."
    )


@pytest.mark.parametrize("data", [b"", b"\x80", b"no pickle", b"\x80\x02.", b"\x80\x02(", b"\x80\x02h\x05."])
def test_broken_pickle(data):
    assert refused(data).startswith("`x.pt` is damaged: its pickle cannot be read (")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_python_of_every_protocol_is_gone_through(protocol):
    """Torch refuses most of them afterwards; here they are neither code nor broken."""
    check_pickles([pickle.dumps({"a": [1, 2.5, None, True, ("b", {"c": 10**30})]}, protocol)], "x.pt")


START = b"\x80\x02Nq\x01"  # three steps


@pytest.mark.parametrize("step", [b"N", b"0N", b"h\x01", b"q\x01"])
def test_every_step_counts(step):
    """What went into the memo and came from it did not count: a file of 20 MB took 13 s."""
    each = 96 // (2 if step == b"0N" else 1)
    check_pickles([START + step * each + b"."], "x.pt", most_steps=100)
    content = START + step * (each + 1) + b"."
    message = (
        f"`x.pt`: its pickle of {len(content)} bytes has too many steps, but expected a dict of token types and "
        "`metadata`. Write it again with torch.save."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        check_pickles([content], "x.pt", most_steps=100)


def test_steps_of_several_pickles_count_together():
    content = START + b"h\x01" * 60 + b"."
    check_pickles([content], "x.pt", most_steps=100)
    with pytest.raises(DataError, match="has too many steps"):
        check_pickles([content, content], "x.pt", most_steps=100)


def test_pickles_have_a_largest_size():
    content = b"\x80\x02X" + (MAX_BYTES - 8).to_bytes(4, "little") + b"x" * (MAX_BYTES - 8) + b"."
    check_pickles([content], "x.pt")
    message = (
        "`x.pt`: its pickle has 32,000,005 bytes, more than 32,000,000, but expected a dict of token types and "
        "`metadata`. Write it again with torch.save."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        check_pickles([content, START], "x.pt")
