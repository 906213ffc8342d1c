"""
Sources that are wrong, each in one way, made by hand: what DESIGN calls bad input, in several forms.

Each is written over a good source; `says` has what its message must name: file, place, what was expected, what came.
"""

import bz2
import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from builders import NUM_FEATURES, TOKEN_TYPES, make_source, model_data

RAN = "ran.txt"
"""What code of a stranger's would leave behind, in the folder that one is in."""


@dataclass(frozen=True)
class Bad:
    """One way to be wrong."""

    write: Callable[[Path], object]
    """Spoils a good source's folder."""

    says: tuple[str, ...]
    """Parts of the message, in their order."""


def saved(data, **options):
    buffer = io.BytesIO()
    torch.save(data, buffer, **options)
    return buffer.getvalue()


def bytes_of(model="base", **changes):
    return saved(model_data(model, **changes))


def put(data, name="base.pt"):
    """Write bytes, or an object to save, over a file of the source."""
    return lambda folder: (folder / name).write_bytes(data if isinstance(data, bytes) else saved(data))


def rewritten(edit=lambda name, content: content, data=None, compression=zipfile.ZIP_STORED):  # noqa: ARG005
    """Write the archive of a good file again, entry by entry; an entry that is edited to None is left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data or bytes_of())) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            content = edit(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return buffer.getvalue()


def with_pickle(content):
    return rewritten(lambda name, old: content if name == "archive/data.pkl" else old)


def patched(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def with_metadata(**fields):
    data = model_data("base")
    data["metadata"] |= fields
    return data


def without(field):
    data = model_data("base")
    del data["metadata"][field]
    return data


def with_vector(name, tensor):
    data = model_data("base")
    data["newline"][name] = tensor
    return data


def eight(*first, dtype=None):
    """A vector of eight numbers, the last of which are 1."""
    return torch.tensor([*first, *[1] * (NUM_FEATURES - len(first))], dtype=dtype)


# Files that are not what torch.save writes

DAMAGED = ("`base.pt` is cut short or damaged", "archive cannot be read", "Copy or write it again")
NO_TORCH = ("`base.pt` is not a torch file", "expected what torch.save writes")


def an_entry_that_lies(data, field, value):
    """Change a field of the first entry of an archive's directory, where torch's own files have nothing behind it."""
    start = zipfile.ZipFile(io.BytesIO(data)).start_dir
    return patched(data, start + field, value)


def two_directories():
    """An archive whose end points to a directory that zipfile does not see, of entries that are compressed."""
    shown, hidden = rewritten(), rewritten(compression=zipfile.ZIP_DEFLATED)
    (first, listed), (others, hidden_listed) = (
        (data[:start], bytearray(data[start:-22]))
        for data in (shown, hidden)
        for start in [zipfile.ZipFile(io.BytesIO(data)).start_dir]
    )
    before = others + bytes(len(first)) + hidden_listed  # so that no offset is below 0
    shift = len(before) - (len(hidden_listed) + len(first))
    at = 0
    while at < len(listed):
        offset = struct.unpack_from("<I", listed, at + 42)[0]
        struct.pack_into("<I", listed, at + 42, offset + shift)
        at += 46 + sum(struct.unpack_from("<HHH", listed, at + 28))
    end = patched(shown[-22:], 16, struct.pack("<I", len(before) - len(hidden_listed)))
    return before + first + bytes(listed) + end


def excel_file():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


def files():
    for model in ("base", "chat"):
        data = bytes_of(model)
        for tenth in range(1, 10):
            cut = data[: len(data) * tenth // 10]
            says = (f"`{model}.pt` is cut short or damaged", "archive cannot be read", "Copy or write it again")
            yield f"{model} cut at {tenth} tenths", Bad(put(cut, f"{model}.pt"), says)
    good = bytes_of()
    yield "one byte short", Bad(put(good[:-1]), DAMAGED)
    yield "one byte longer", Bad(put(good + b"\n"), ("`base.pt` is damaged", "does not end with its one directory"))
    yield "first byte lost", Bad(put(good[1:]), (*NO_TORCH[:1], "starts with b'K", *NO_TORCH[1:]))
    yield "empty", Bad(put(b""), ("`base.pt` is empty", "expected a file written by torch.save", "cut short"))
    yield "zeros", Bad(put(bytes(5000)), (NO_TORCH[0], r"b'\x00\x00", NO_TORCH[1]))
    for name, data, start in (
        ("a text", b"Dear reader,", "b'Dear rea'"),
        ("a page", b"<!DOCTYPE html><html>", "b'<!DOCTYP'"),
        ("a pointer of git-lfs", b"version https://git-lfs.github.com/spec/v1\n", "b'version '"),
        ("a bare pickle", pickle.dumps({"metadata": {}}), r"b'\x80\x04"),
        ("bzip2", bz2.compress(good), "b'BZh9"),
        ("numpy", b"\x93NUMPY\x01\x00", r"b'\x93NUMPY"),
    ):
        yield name, Bad(put(data), (NO_TORCH[0], start, NO_TORCH[1]))
    for name, data, kind in (
        ("gzip", gzip.compress(good), "it is compressed with gzip: unpack it first."),
        ("UTF-16", "feature_id".encode("utf-16"), "it is text in UTF-16"),
        ("an old Excel file", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is an Excel file"),
        ("an Excel file", excel_file(), "it is an Excel file"),
        ("Parquet", pd.DataFrame({"a": [1]}).to_parquet(), "it is a Parquet file"),
    ):
        yield name, Bad(put(data), (NO_TORCH[0], kind, "Expected what torch.save writes"))
    legacy = saved(model_data("base"), _use_new_zipfile_serialization=False)
    yield "torch before 1.6", Bad(put(legacy), ("`base.pt` is in the torch format from before 1.6", "re-save it"))
    buffer = io.BytesIO()
    np.savez(buffer, target_max=np.ones(8))
    npz = ("`base.pt` is a zip archive but not a torch file", "it has no data.pkl", "Write it with torch.save")
    yield "an archive of numpy's", Bad(put(buffer.getvalue()), npz)
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    yield "an empty archive", Bad(put(empty.getvalue()), NO_TORCH)
    gone = ("has no `base.pt`", "Expected a folder with `base.pt` and `chat.pt`")
    yield "missing", Bad(lambda folder: (folder / "base.pt").unlink(), gone)
    yield "a link to nothing", Bad(lambda folder: relink(folder, "nothing"), gone)
    yield "a link to itself", Bad(lambda folder: relink(folder, "base.pt"), gone)
    no_file = ("base.pt` is not a file", "expected one here")
    yield "a folder", Bad(lambda folder: ((folder / "base.pt").unlink(), (folder / "base.pt").mkdir()), no_file)
    yield "a device without end", Bad(lambda folder: relink(folder, "/dev/zero"), no_file)
    yield "a pipe", Bad(lambda folder: ((folder / "base.pt").unlink(), os.mkfifo(folder / "base.pt")), no_file)


def relink(folder, target):
    (folder / "base.pt").unlink()
    (folder / "base.pt").symlink_to(target)


def archives():
    good = bytes_of()
    for name, method in (("deflate", zipfile.ZIP_DEFLATED), ("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        compressed = ("`base.pt`: the archive entry 'archive/data.pkl' is compressed", "torch.save stores entries as")
        yield f"compressed by {name}", Bad(put(rewritten(compression=method)), compressed)
    bomb = io.BytesIO(rewritten())
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/bomb", bytes(50_000_000))
    says = ("`base.pt`: the archive entry 'archive/data/bomb' is compressed", "torch.save stores entries as they are")
    yield "a zip bomb", Bad(put(bomb.getvalue()), says)
    yield (
        "encrypted",
        Bad(
            put(an_entry_that_lies(good, 8, b"\x01")), ("'archive/data.pkl' is compressed or encrypted", "as they are")
        ),
    )
    yield (
        "an entry marked as a folder",
        Bad(
            put(an_entry_that_lies(good, 38, b"\x10")),
            ("`base.pt` is damaged", "'archive/data.pkl' is marked as a folder"),
        ),
    )
    yield (
        "an entry that claims 4 GB",
        Bad(
            put(an_entry_that_lies(good, 24, b"\xfe\xff\xff\xff")),
            ("`base.pt` is damaged", "its archive entries claim 429", f"but the file has {len(good)}"),
        ),
    )
    checksum = ("`base.pt` is damaged", "the checksum of its entry 'archive/data.pkl' is wrong", "write it again")
    yield "another checksum", Bad(put(an_entry_that_lies(good, 16, b"\0\0\0\0")), checksum)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        cells = good.index(archive.read("archive/data/3"))
    says = ("`base.pt` is damaged", "the checksum of its entry 'archive/data/3' is wrong", "Copy or write it again")
    yield "a flipped bit", Bad(put(patched(good, cells, bytes([good[cells] ^ 64]))), says)
    yield (
        "an entry under another name",
        Bad(put(an_entry_that_lies(good, 46, b"x")), ("`base.pt` is damaged", "the checksum of its entry 'xrchive")),
    )
    nameless = an_entry_that_lies(good, 28, struct.pack("<HHH", 0, 0, 16))  # its name is its comment now
    yield (
        "an entry without a name",
        Bad(put(nameless), ("`base.pt` is a zip archive but not a torch file", "no data.pkl")),
    )
    yield (
        "two directories",
        Bad(put(two_directories()), ("`base.pt` is damaged", "does not end with its one directory", "write it again")),
    )
    twice = io.BytesIO(rewritten())
    with zipfile.ZipFile(twice, "a") as archive:
        archive.writestr("archive/data.pk_", b"")
    says = ("`base.pt` is damaged", "two entries of the same name", "Write it again with torch.save")
    yield "an entry twice", Bad(put(twice.getvalue().replace(b"data.pk_", b"data.pkl")), says)
    for gone in ("data.pkl", "data/0", "version"):
        data = rewritten(lambda name, content, gone=gone: None if name == f"archive/{gone}" else content)
        says = ("it has no data.pkl",) if gone == "data.pkl" else ("`base.pt` cannot be read by torch.load", "Error")
        yield f"without {gone}", Bad(put(data), says)
    short = rewritten(lambda name, content: content[:-4] if name == "archive/data/2" else content)
    yield "a storage that is cut", Bad(put(short), ("`base.pt` cannot be read by torch.load", "record size"))
    middle = rewritten(lambda name, content: b"middle" if name.endswith("byteorder") else content)
    yield "an unknown order of bytes", Bad(put(middle), ("`base.pt` cannot be read by torch.load", "'Unknown endian"))


# Pickles


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Local:
    """A class of somebody's own."""


class Named(torch.Tensor):
    """A tensor of somebody's own."""


def touching(function, argument):
    """A file whose pickle calls a function that would leave `RAN` behind."""

    def write(folder):
        data = model_data("base")
        data["metadata"]["more"] = Call(function, argument.format(folder / RAN))
        torch.save(data, folder / "base.pt")

    return write


CODE = ("which is not run", "may come from a stranger", "Store only tensors, and plain Python ints and strings")


def pickles():
    for function, argument, name in (
        (os.system, "touch '{}'", f"{os.system.__module__}.system"),
        (os.mkdir, "{}", f"{os.mkdir.__module__}.mkdir"),
        (open, "{}", "open"),
        (eval, "__import__('pathlib').Path({!r}).touch()", "eval"),
        (exec, "open({!r}, 'w').close()", "exec"),
        (__import__, "{}", "__import__"),
        (torch.load, "{}", "torch.serialization.load"),
    ):
        yield f"wants {name}", Bad(touching(function, argument), ("`base.pt` wants the code", f"{name}'", *CODE))
    for value, name, cure in (
        (np.int64(20), "numpy._core.multiarray.scalar", "a numpy scalar: store int(x), float(x) or str(x)."),
        (np.str_("x"), "numpy._core.multiarray.scalar", "a numpy scalar: store int(x), float(x) or str(x)."),
        ([1, np.float32(2)], "numpy._core.multiarray.scalar", "a numpy scalar: store int(x), float(x) or str(x)."),
        (np.arange(3), "numpy._core.multiarray._reconstruct", "a numpy array: store x.tolist()."),
        (Path("x"), "pathlib", "a Path: store str(x)."),
        (date(2026, 1, 1), "datetime.date", "a date: store str(x)."),
        (defaultdict(int), "collections.defaultdict", "a defaultdict: store dict(x)."),
        (Counter("a"), "collections.Counter", "a Counter: store dict(x)."),
        (Fraction(1, 2), "fractions.Fraction", "a Fraction: store float(x)."),
        (Local(), "corpus.Local", ""),
        (b"bytes", "_codecs.encode", "bytes: store x.decode()."),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear", ""),
        (pd.Series([1]), "pandas.Series", "a pandas object: store x.tolist()."),
        (Call(bytearray, 10**11), "bytearray", ""),
        (Call(torch.FloatTensor, 8), "torch.FloatTensor", ""),
        (Call(torch.UntypedStorage, 10**11), "torch.storage.UntypedStorage", ""),
        (Call(torch._utils._rebuild_device_tensor_from_cpu_tensor, torch.ones(1).expand(10**10), torch.float64, "cpu",
              False), "torch._utils._rebuild_device_tensor_from_cpu_tensor", "of another device: store x.cpu()."),
    ):  # fmt: skip
        data = model_data("base")
        data["metadata"]["more"] = value
        ends = ("'more' in the metadata is", cure) if cure else ()
        says = ("`base.pt` wants the code", name.rpartition(".")[2], *CODE, *ends)
        yield f"holds {name}" + f" of {type(value).__name__}" * isinstance(value, str | list), Bad(put(data), says)
    for value, cure in (
        (np.ones(8), "a numpy array: store torch.from_numpy(x)."),
        (pd.Series([1]), "a pandas object: store torch.tensor(x.to_numpy())."),
        (
            torch.ones(8).as_subclass(Named),
            "such as a DTensor: store x.full_tensor(), or for other classes x.as_subclass(",
        ),
    ):
        says = ("`base.pt` wants the code", *CODE, "Token type 'newline', 'target_max' is", cure)
        yield f"a vector is a {type(value).__name__}", Bad(put(with_vector("target_max", value)), says)
    whole = defaultdict(dict, model_data("base"))
    yield "a defaultdict", Bad(put(whole), (*CODE, "The whole file is a defaultdict: store dict(x)."))
    for key, place in (("metadata", "The metadata"), ("model", "Token type 'model'")):
        data = model_data("base")
        data[key] = defaultdict(int, data[key])
        yield f"{key} is a defaultdict", Bad(put(data), (*CODE, f"{place} is a defaultdict: store dict(x)."))
    for protocol in (0, 1, 4, 5):
        says = (
            "`base.pt` was saved with another pickle_protocol than torch.save's default, 2.",
            "without that argument",
        )
        yield f"pickle_protocol {protocol}", Bad(put(saved(model_data("base"), pickle_protocol=protocol)), says)
    broken = ("`base.pt` is damaged: its pickle cannot be read", "Error", "Write it again with torch.save")
    yield "no pickle", Bad(put(with_pickle(b"")), broken)
    yield "a pickle that ends early", Bad(put(with_pickle(b"\x80\x02}q\x00(X\x05\x00\x00\x00mo")), broken)
    yield "a pickle that takes from an empty stack", Bad(put(with_pickle(b"\x80\x02s.")), broken)
    yield "a pickle that gets what was not put", Bad(put(with_pickle(b"\x80\x02h\x07.")), broken)
    folds = b"\x80\x02})" + b"q\x01h\x01\x86" * 60 + b"Ns."
    yield (
        "tuples that take years to hash",
        Bad(
            put(with_pickle(folds)),
            ("`base.pt`: its pickle of 307 bytes", "unfolds to more than 20000000 objects", "dict"),
        ),
    )
    many = b"\x80\x02" + b"(" + b"K\x01" * 5000 + b"tq\x01" + b"}" + b"h\x01Ns" * 5000 + b"."
    yield (
        "a long key, thousands of times",
        Bad(
            put(with_pickle(many)),
            ("`base.pt`: its pickle of", "unfolds to more than 20000000 objects", "a dict of token"),
        ),
    )
    yield (
        "a dict of another protocol",
        Bad(
            put(with_pickle(pickle.dumps({"metadata": {}}, protocol=4))),
            ("`base.pt` was saved with another pickle_protocol than torch.save's default, 2.", "without that argument"),
        ),
    )


# What a file holds


def contents():
    expected = "expected a dict of token types and `metadata`"
    for value, shown in (([1], "a list"), (torch.ones(8), "a Tensor"), ("text", "'text'"), (None, "None"), (7, "7")):
        yield f"holds {shown} only", Bad(put(value), (f"`base.pt` holds {shown}", expected))
    no_dict = ("`base.pt`: token type 'newline' is", "expected a dict of vectors")
    for value in ([], None, torch.ones(8), "newline", 1.5):
        yield f"a token type is a {type(value).__name__}", Bad(put(model_data("base") | {"newline": value}), no_dict)
    deep = b"]" * 50_000 + b"a" * 49_999
    says = ("`base.pt`: its pickle of 100014 bytes unfolds to more than 20000000 objects", "expected a dict")
    yield "lists in lists in lists", Bad(put(with_pickle(b"\x80\x02}X\x05\x00\x00\x00model" + deep + b"s.")), says)
    selfish = model_data("base")
    selfish["newline"] = selfish
    lacks = ("`base.pt`: token type 'newline' has no 'target_num_active'", "expected the number of prompts")
    yield "a token type is the file again", Bad(put(selfish), lacks)
    yield (
        "no token type",
        Bad(
            put({"metadata": model_data("base")["metadata"]}),
            ("`base.pt` has the token types none", "its metadata lists 'model', 'newline'", "Expected the same ones"),
        ),
    )
    yield (
        "a token type too many",
        Bad(
            put(model_data("base") | {"asst": model_data("base")["model"]}),
            ("`base.pt` has the token types 'model', 'newline', 'asst'", "metadata lists 'model', 'newline'"),
        ),
    )
    yield (
        "a token type is missing",
        Bad(
            put({name: value for name, value in model_data("base").items() if name != "newline"}),
            ("`base.pt` has the token types 'model', but its metadata lists 'model', 'newline'", "Expected the same"),
        ),
    )
    old = {"all_mean": torch.ones(8), "all_std": torch.ones(8), "num_active": torch.ones(8)}
    for name, value in (
        ("older format", old),
        ("older format, half of it", {"num_active": torch.ones(8)}),
        ("older format among others", old | {"prompts": ["a"]}),
    ):
        data = dict.fromkeys(TOKEN_TYPES, value) | {"metadata": {"num_prompts": 8}}
        says = ("`base.pt`: token type 'model' is in the older format", "'num_active'", "expected 'target_num_active'")
        yield name, Bad(put(data), says)
    yield (
        "no metadata",
        Bad(
            put({name: value for name, value in model_data("base").items() if name != "metadata"}),
            ("`base.pt` has no `metadata`", "expected a dict of model, SAE and prompt counts"),
        ),
    )
    for value, shown in ((None, "None"), ([], "a list"), ("gemma", "'gemma'"), (torch.ones(1), "a Tensor")):
        says = (f"`base.pt`: `metadata` is {shown}", "expected a dict")
        yield f"the metadata is {shown}", Bad(put(model_data("base") | {"metadata": value}), says)


# Metadata

STRING = "expected a string of at most 500 Unicode characters"
LAYER = "expected an integer from 0 to 10000"
PROMPTS = "expected an integer from 1 to 1000000"
WIDTH = "expected an integer from 1 to 2147483647"
NAMES = "expected a list of different, non-empty strings of at most 500 Unicode characters"
TRAINER = STRING + " or an integer"
FIELDS = {
    "source": STRING,
    "model_type": STRING,
    "model_ver": STRING,
    "sae_layer": LAYER,
    "sae_trainer": TRAINER,
    "num_target_prompts": PROMPTS,
    "num_control_prompts": PROMPTS,
    "num_features": WIDTH,
    "token_types": NAMES,
}
WRONG = {
    STRING: {"a number": (3, "3"), "a list": (["gemma"], "a list"), "half a character": ("a\ud800", r"'a\ud800'")},
    LAYER: {"a string": ("20", "'20'"), "negative": (-1, "-1"), "a list": ([20], "a list"), "nan": (np.nan, "nan")},
    PROMPTS: {"a string": ("8", "'8'"), "negative": (-8, "-8"), "zero": (0, "0"), "a fraction": (8.0, "8.0")},
    TRAINER: {"a list": ([1], "a list"), "a fraction": (1.5, "1.5")},
    NAMES: {"a string": ("model", "'model'"), "a set": ({"model", "newline"}, "a set"), "empty": ([], "empty")},
}
WRONG[WIDTH] = WRONG[PROMPTS]
HUGE = {"huge": (10**100, "a huge integer"), "large": (10**12, "1000000000000")}
TEXTS = {"a megabyte": ("x" * 1_000_000, "'" + "x" * 78 + "…")}


def metadata():
    for field, expected in FIELDS.items():
        yield f"{field} is missing", Bad(put(without(field)), (f"`base.pt`: `metadata` has no `{field}`", expected))
        wrong = {"None": (None, "None"), "True": (True, "True"), "a tensor": (torch.ones(1), "a Tensor")}
        wrong |= WRONG[expected] | (HUGE if "from" in expected else TEXTS if expected == STRING else {})
        for name, (value, shown) in wrong.items():
            says = (f"`base.pt`: `{field}` in the metadata is {shown}", expected)
            yield f"{field} is {name}", Bad(put(with_metadata(**{field: value})), says)
    for name, value, shown in (
        ("twice", ["model", "model"], "'model'"),
        ("empty", ["model", ""], "''"),
        ("a number", ["model", 3], "3"),
        ("a list", ["model", ["newline"]], "a list"),
        ("half a character", ["model", "\udc00"], r"'\udc00'"),
        ("long", ["model", "x" * 501], "'" + "x" * 78 + "…"),
    ):
        says = (f"`base.pt`: `token_types[1]` in the metadata is {shown}", "expected different, non-empty strings")
        yield f"a name in token_types is {name}", Bad(put(with_metadata(token_types=value)), says)


# Vectors

PLACE = "`base.pt`: token type 'newline', 'target_max'"
COUNT = "`base.pt`: token type 'newline', 'target_num_active'"


NO_VECTORS = {
    **{
        f"{length} features": (torch.ones(length), (f"has {length} feature", "`num_features` in the metadata is 8"))
        for length in (0, 1, 7, 9, 800)
    },
    **{
        f"of shape {shape}": (
            torch.ones(shape),
            (f"has {len(shape)} dimensions", "expected 1: a number for each of 8 features"),
        )
        for shape in ((), (1, 8), (8, 1), (2, 2, 2), (8, 0))
    },
    **{
        f"is {shown}": (value, (f"is {shown}", "expected a tensor of 8 numbers"))
        for shown, value in (
            ("a list", [1.0] * 8), ("None", None), ("1.5", 1.5), ("12", 12), ("a dict", {}), ("'text'", "text")
        )
    },
    **{
        f"is {kind}, {value.numel()} long, {value.dtype}": (
            value,
            ("is a tensor that is", kind, "expected a dense tensor of real numbers"),
        )
        for kind, value in (
            ("without data (on the meta device)", torch.empty(8, device="meta")),
            ("without data (on the meta device)", torch.empty(10**12, device="meta")),
            ("complex", torch.ones(8, dtype=torch.complex64)),
            ("complex", torch.ones(8, dtype=torch.complex128)),
            ("of dtype float4_e2m1fn_x2", torch.zeros(8, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)),
        )
    },
}  # fmt: skip
"""What stands for a vector and is none; and how that is said, after the place."""


def vectors():
    sparse = (f"{PLACE} is a tensor that is sparse", "expected a dense tensor of real numbers")
    yield "a vector is sparse", Bad(put(with_vector("target_max", torch.ones(8).to_sparse())), sparse)
    for claimed in (10**12, 10**9):
        tensor = torch.ones(1).expand(claimed)
        says = (f"{PLACE} claims {claimed} elements", f"{4 * claimed} bytes", "the whole file has", "torch.save")
        yield f"a vector claims {claimed}", Bad(put(with_vector("target_max", tensor)), says)
    data = model_data("base")
    data["newline"] |= {f"target_{index}": torch.ones(1).expand(2000) for index in range(100)}
    says = ("`base.pt`: its tensors claim", "more than 8 times the", "bytes of the file", ".clone()")
    yield "vectors claim much together", Bad(put(data), says)
    for prompts, n in (("target", 8), ("control", 7)):
        place = f"`base.pt`: token type 'newline', '{prompts}_num_active'"
        expected = f"Expected whole numbers from 0 to {n} (`num_{prompts}_prompts`)"
        for value, fault, dtype in (
            (-1, "is negative", torch.int64),
            (-0.5, "is negative", torch.float32),
            (n + 1, "is above the number of prompts", torch.int64),
            (n + 1, "is above the number of prompts", torch.uint8),
            (200, "is above the number of prompts", torch.float16),
            (0.5, "is not a whole number", torch.float64),
            (1e-30, "is not a whole number", torch.float32),
            (np.nan, "is NaN or infinite", torch.float32),
            (np.inf, "is NaN or infinite", torch.bfloat16),
            (-np.inf, "is NaN or infinite", torch.float64),
            (2**62, "is above the number of prompts", torch.int64),
            (2**64 - 1, "is above the number of prompts", torch.uint64),
        ):
            tensor = eight(0, 0, 0, value, dtype=dtype)
            yield (
                f"{prompts} count {value} in {dtype}",
                Bad(
                    put(with_vector(f"{prompts}_num_active", tensor)),
                    (place, fault, "1 of 8 features", "feature 3", expected),
                ),
            )
        any_active = model_data("base")["newline"][f"{prompts}_num_active"] > 0
        says = (f"{place} holds booleans", f"on how many of {n} prompts each", "(a > 0).sum(0), not with .any(0)")
        yield f"{prompts} counts are booleans", Bad(put(with_vector(f"{prompts}_num_active", any_active)), says)
        for value, says in NO_VECTORS.values():
            yield f"{prompts} counts: {says[0]}", Bad(put(with_vector(f"{prompts}_num_active", value)), (place, *says))
        data = model_data("base")
        del data["newline"][f"{prompts}_num_active"]
        says = ("`base.pt`: token type 'newline' has no", f"'{prompts}_num_active'", "expected the number of prompts")
        yield f"no {prompts} counts", Bad(put(data), says)


# The pair


def twin(folder):
    (folder / "chat.pt").write_bytes((folder / "base.pt").read_bytes())


def pairs():
    yield (
        "swapped",
        Bad(
            lambda folder: (put(bytes_of("chat"))(folder), put(bytes_of("base"), "chat.pt")(folder)),
            ("`base.pt` says model_ver 'chat', `chat.pt` says 'base'", "Expected 'base' and then 'chat'", "swapped"),
        ),
    )
    for side in ("chat", " Chat ", "CHAT"):
        says = (f"`base.pt` says model_ver {side!r}", "`chat.pt` says 'chat'", "Is it the same model twice?")
        yield f"base says {side}", Bad(put(bytes_of(model_ver=side)), says)
    for first, second in (("gemma-2-9b-it", "gemma-2-9b-pt"), ("finetuned", "pretrained"), ("tuned", "Base")):
        says = (f"`base.pt` says model_ver {first!r}", f"`chat.pt` says {second!r}", "Were the two files swapped?")
        yield (
            f"swapped {first} and {second}",
            Bad(
                lambda folder, first=first, second=second: (
                    put(bytes_of(model_ver=first))(folder),
                    put(bytes_of("chat", model_ver=second), "chat.pt")(folder),
                ),
                says,
            ),
        )
    yield (
        "the same file twice",
        Bad(twin, ("`base.pt` and `chat.pt` are the same file", "Expected")),
    )
    yield (
        "the same model twice",
        Bad(
            put(bytes_of(source="again"), "chat.pt"),
            ("`base.pt` says model_ver 'base', `chat.pt` says 'base'", "Expected a base and a chat model", "twice"),
        ),
    )
    for field, value in (("sae_layer", 21), ("sae_trainer", "other"), ("sae_trainer", 7)):
        says = (f"`chat.pt` says {field} {str(value)!r}" if field == "sae_trainer" else f"says {field} 21", "same SAE?")
        yield f"another {field} {value}", Bad(put(bytes_of("chat", **{field: value}), "chat.pt"), says)
    yield (
        "another width",
        Bad(
            put(bytes_of("chat", num_features=16), "chat.pt"),
            ("`chat.pt` has 16 features but `base.pt` has 8", "same SAE?"),
        ),
    )
    yield (
        "other token types",
        Bad(
            put(bytes_of("chat", token_types=("model", "asst")), "chat.pt"),
            (
                "`chat.pt` has the token types 'model', 'asst'",
                "`base.pt` has 'model', 'newline'",
                "Expected the same ones",
            ),
        ),
    )


# What is left out, and said


def left_out():
    out, place = "It is left out.", "`base.pt`: token type 'newline', 'target_max'"
    for name, (value, says) in NO_VECTORS.items():
        yield f"a vector: {name}", Bad(put(with_vector("target_max", value)), (place, *says, out))
    everywhere = model_data("base")
    for token_type in TOKEN_TYPES:
        everywhere[token_type]["target_n"] = 12
    says = (
        "`base.pt`: token type 'model', 'target_n' is 12",
        "expected a tensor of 8 numbers (so at 2 token types)",
        out,
    )
    yield "target_n in every token type", Bad(put(everywhere), says)
    for value in (np.nan, np.inf, -np.inf):
        for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            tensor = eight(0, value, 2, value, dtype=dtype)
            says = (
                "`base.pt`: 'target_max' is NaN, infinite or beyond 2^53",
                "2 of 8 at 'newline'. It is blank there.",
            )
            yield f"{value} in {dtype}", Bad(put(with_vector("target_max", tensor)), says)
    for value, dtype in (
        (1e300, torch.float64),
        (-3e38, torch.float32),
        (2**62, torch.int64),
        (-(2**63), torch.int64),
        (2**64 - 1, torch.uint64),
    ):
        says = ("`base.pt`: 'target_max' is NaN, infinite or beyond 2^53", "1 of 8 at 'newline'. It is blank there.")
        yield f"{value} in {dtype}", Bad(put(with_vector("target_max", eight(0, 1, value, dtype=dtype))), says)
    for name in ("all_mean", "all_std", "max", "sparsity"):
        data = model_data("base")
        for token_type in TOKEN_TYPES:
            data[token_type][f"target_{name}"] = torch.full((8,), np.nan)
        says = (f"`base.pt`: 'target_{name}' is NaN", "8 of 8 at 'model', 8 of 8 at 'newline'. It is blank there.")
        yield f"{name} is NaN everywhere", Bad(put(data), says)
        if name == "sparsity":  # what the counts say is shown
            continue
        yield (
            f"no {name}",
            Bad(
                put(without_vector(f"target_{name}")), (f"`base.pt` has no 'target_{name}', but `chat.pt` has. {out}",)
            ),
        )
    for name, says in (
        ("target_\ud800", r"'target_\ud800' is no name"),
        ("control_" + "x" * 500, "'control_" + "x" * 70),
    ):
        yield f"a vector called {name[:12]!r}", Bad(put(with_vector(name, torch.ones(8))), ("token type", says, out))
    for key, value, shown in (
        (3, {}, "3"),
        (None, {}, "None"),
        (("model",), {}, "a tuple"),
        ("config", {"max": 3, "hook": "x"}, "'config'"),
        ("feature_ids", torch.arange(8), "'feature_ids'"),
        ("target_n", 12, "'target_n'"),
    ):
        says = (f"`base.pt` has {shown} beside its token types: left out.",)
        yield f"the key {shown}", Bad(put(model_data("base") | {key: value}), says)
    data = model_data("base")
    for token_type in TOKEN_TYPES:
        data[token_type] |= {"prompts": ["a"], "all_mean": torch.ones(3), 7: None}
    says = ("`base.pt` has 'prompts', 'all_mean', 7 beside the vectors of its token types: left out.",)
    yield "entries beside the vectors", Bad(put(data), says)
    for field in ("sae_release", "sae_id", "neuronpedia_id"):
        says = (
            f"`base.pt`: `{field}` in the metadata is a list",
            f"expected a string of at most 500 Unicode characters. {out}",
        )
        yield f"{field} is a list", Bad(put(with_metadata(**{field: ["x"]})), says)
    data = model_data("chat")
    for token_type in TOKEN_TYPES:
        data[token_type]["target_p90"] = torch.ones(8)
    yield (
        "a vector of one model only",
        Bad(put(data, "chat.pt"), (f"`base.pt` has no 'target_p90', but `chat.pt` has. {out}",)),
    )
    says = ("`base.pt`: token type 'model' has no 'target_p90'", f"token type 'newline' has. {out}")
    yield "a vector of one token type only", Bad(put(with_vector("target_p90", torch.ones(8))), says)


def without_vector(name):
    data = model_data("base")
    for token_type in TOKEN_TYPES:
        del data[token_type][name]
    return data


LEFT_OUT = dict(left_out())
"""Sources that are shown, with a note that has these parts."""

SOURCES = {
    name: bad for group in (files, archives, pickles, contents, metadata, vectors, pairs) for name, bad in group()
}


# Explanation files, of which only the bytes matter

COLUMNS = ("expected one of `feature_id`, `feature`", "and one of `claude_desc`, `description`, `explanation`")
COMMAS = "between its columns, but expected commas"
NO_CSV = ("`e.csv` is not a CSV file", "Is a comma or a quote within a text left unquoted?")
EXPLANATIONS = {
    "empty": (b"", ("`e.csv` is empty", "expected a CSV file with a header")),
    "blank lines": (b"\n\n\n", ("`e.csv` is empty", "expected a CSV file with a header")),
    "no text column": (b"feature_id,link\n1,x\n", ("`e.csv` has the columns 'feature_id', 'link'", *COLUMNS)),
    "no ids": (b"id,description\n1,x\n", ("`e.csv` has the columns 'id', 'description'", *COLUMNS)),
    "no header": (b"1,some text\n2,more\n", ("`e.csv` has the columns '1', 'some text'", *COLUMNS)),
    "ids and links only": (b"feature_id,link\n1,https://x/1\n", ("`e.csv` has the columns", *COLUMNS)),
    "semicolons": (b"feature_id;description\n1;x\n", ("`e.csv` has semicolons", COMMAS, "Save it as CSV with commas")),
    "tabs": (b"feature_id\tdescription\n1\tx\n", ("`e.csv` has tabs", COMMAS, "Save it as CSV with commas")),
    "JSON without a text": (
        json.dumps([{"feature_id": 1}]).encode(),
        ("`e.csv` has the columns 'feature_id'", *COLUMNS),
    ),
    "JSON of numbers": (b"[1, 2]", ("`e.csv` holds 1 as row 1", "expected a JSON object in each row")),
    "JSON of lists": (b'[["feature_id", 1]]', ("`e.csv` holds a list as row 1", "expected a JSON object in each row")),
    "an empty JSON array": (b"[]", ("`e.csv` has no whole JSON object", "expected an array of objects")),
    "brackets in brackets": (b"[" * 100_000, ("`e.csv` has no whole JSON object", "expected an array of objects")),
    "half an object": (b'{"feature_id": 1, "desc', ("`e.csv` has no whole JSON object", "an object in each line")),
    "201 fields": (
        json.dumps([{f"field {n}": n for n in range(201)}]).encode(),
        ("`e.csv` has more than 200 different fields", "expected at most that"),
    ),
    "not what gzip says": (b"\x1f\x8b" + bytes(30), ("`e.csv` is damaged: its gzip data", "Copy or write it again")),
    "gzip of nothing": (gzip.compress(b""), ("`e.csv` is empty", "expected a CSV file with a header")),
    "a column twice": (
        b"feature_id, feature_id,description\n1,2,x\n",
        ("`e.csv` has the columns 'feature_id', 'feature_id'", "twice"),
    ),
    "Latin-1": ("feature_id,description\n1,naïve\n".encode("latin-1"), ("`e.csv` is not UTF-8: line 2", "0xef")),
    "UTF-16": ("feature_id,description\n1,x\n".encode("utf-16"), ("`e.csv` is UTF-16", "Save it as CSV in UTF-8")),
    "an archive": (rewritten(), ("`e.csv` is an Excel workbook, or another zip archive", "Save it as CSV in UTF-8")),
    "a row too long": (b"feature_id,description\n1,a,b\n", NO_CSV),
    "a row too long after others": (b"feature_id,description\n1,a\n2,b\n3,c,d\n", NO_CSV),
    "a quote left open in the header": (b'feature_id,"description\n1,x\n2,b\n', NO_CSV),
    **{
        f"the id {cell}": (
            f"feature_id,description\n0,a\n{cell},x\n".encode(),
            ("`e.csv`: `feature_id` in row 2 below the header is", repr(cell), "expected a whole number (1 such rows)"),
        )
        for cell in ("one", "1.5", "1e3", "0x10", "--1", "\u0661", "1_000", "9" * 19, "=1", "nan")
    },
}

TWO = b"feature_id,description\n1,one\n2,two\n"
LINE = b'{"feature_id": 1, "description": "one"}'
BREAKS_OFF = ("`e.csv` breaks off in its last row", "left out")
NEVER_CLOSED = ("is never closed", "left out")
NO_JSON = ("`e.csv` is not JSON after row", "left out")

PARTLY = {
    "a quote left open": (TWO + b'3,"never closed\n4,d\n', ("`e.csv`: a quote in row 3", *NEVER_CLOSED)),
    "a quote left open at once": (TWO[:23] + b'1,"never closed\n', ("`e.csv`: a quote in row 1", *NEVER_CLOSED)),
    "half a row": (TWO + b"3", BREAKS_OFF),
    "half a character": (TWO + "3,漢".encode()[:-1], BREAKS_OFF),
    "half a character in quotes": (TWO + '3,"x\n漢'.encode()[:-2], ("`e.csv`: a quote in row 3", *NEVER_CLOSED)),
    "half an array": (b"[" + LINE + b', {"feature_id"', NO_JSON),
    "an array without its end": (b"[" + LINE, NO_JSON),
    "an array and more": (b"[" + LINE + b"] x", NO_JSON),
    "half a line of JSON": (LINE + b'\n{"feature_id": 2, "description": "tw', NO_JSON),
    "a line that is not JSON": (LINE + b"\nfeature 2\n" + LINE, NO_JSON),
    "a number of too many digits": (LINE + b'\n{"feature_id": ' + b"9" * 5000 + b"}", NO_JSON),
    "gzip without its end": (
        gzip.compress(TWO)[:-8],
        ("`e.csv` breaks off: its gzip data have no end", "read"),
    ),
}
"""Explanation files that are read as far as they are whole."""

STARS = {
    "empty": (b"", ("`s.csv` has the columns none", "expected 'source', 'feature_id' as well")),
    "no ids": (b"source,note\nx,y\n", ("`s.csv` has the columns 'source', 'note'", "expected 'feature_id' as well")),
    "Latin-1": (b"source,feature_id,note\nx,1,na\xefve\n", ("`s.csv` is not a CSV file in UTF-8", "0xef", "Expected")),
    "a quote left open": (b'source,feature_id\n"x,1\n', ("`s.csv` is not a CSV file in UTF-8", "Expected one with")),
    "a field without end": (
        b"source,feature_id\n" + b"x" * 200_000,
        ("`s.csv` is not a CSV file", "field larger", "Expected"),
    ),
    "a long note": (
        b"source,feature_id,note\nx,1," + b"n" * 301,
        ("`s.csv`: the note in row 1 has 301 characters", "expected at most 300"),
    ),
    "many rows": (b"source,feature_id\n" + b"x,1\n" * 10_001, ("`s.csv` has 10001 rows", "expected at most 10000")),
    **{
        f"the id {cell!r}": (
            f"source,feature_id\nx,{cell}\n".encode(),
            ("`s.csv`: `feature_id` in row 1 is", repr(cell), "expected a whole number"),
        )
        for cell in ("", "-1", "1.0", "one", "1" * 10, "=1")
    },
}


# Activations

KEYS = ("model", "prompt_set", "token_type", "prompt_id", "feature_id", "activation")
GOOD_ROW = {
    "model": "base",
    "prompt_set": "target",
    "token_type": "model",
    "prompt_id": 0,
    "feature_id": 1,
    "activation": 1.5,
}


def parquet(**columns):
    table = pa.table({name: columns.get(name, [value]) for name, value in GOOD_ROW.items()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


NO_PARQUET = ("`activations.parquet` cannot be read as Parquet", "Was it written whole?")


def activations():
    good = parquet()
    for tenth in range(10):
        yield f"cut at {tenth} tenths", (good[: len(good) * tenth // 10], NO_PARQUET)
    yield "a CSV", (b"model,prompt_set\nbase,target\n" * 9, NO_PARQUET)
    yield "zeros", (bytes(1000), NO_PARQUET)
    yield "an archive", (rewritten(), NO_PARQUET)
    for name in KEYS[:-1]:
        table = pq.read_table(io.BytesIO(good)).drop_columns(name)
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        yield f"no {name}", (buffer.getvalue(), ("`activations.parquet` has the columns", f"expected '{name}' as well"))
    for name, cells, shown, expected in (
        ("feature_id", ["1"], "string", "whole numbers"),
        ("feature_id", [1.5], "double", "whole numbers"),
        ("feature_id", [[1]], "list", "whole numbers"),
        ("feature_id", pa.array([1], pa.timestamp("s")), "timestamp", "whole numbers"),
        ("prompt_id", ["a"], "string", "whole numbers"),
        ("prompt_id", [None], "null", "whole numbers"),
        ("model", [1], "int64", "text"),
        ("token_type", [b"model"], "binary", "text"),
        ("prompt_set", [True], "bool", "text"),
    ):
        says = (f"`activations.parquet`: `{name}` holds '{shown}", f"expected {expected}")
        yield f"{name} of type {shown}", (parquet(**{name: cells}), says)
    for name in ("feature_id", "prompt_id", "model"):
        expected = "text" if name == "model" else "whole numbers"
        says = (f"`activations.parquet`: `{name}` is missing or not finite in 1 rows", f"expected {expected}")
        yield (
            f"{name} missing",
            (parquet(**{name: pa.array([None], pa.string() if name == "model" else pa.int64())}), says),
        )
    says = ("`activations.parquet`: `model` is 'instruct' in 1 rows", "expected 'base', 'chat'")
    yield "another model", (parquet(model=["instruct"]), says)
    for value in (-1, 8, 2**40):
        says = (f"`activations.parquet` has feature {value}", "run from 0 to 7 (1 such rows)", "same SAE?")
        yield f"feature {value}", (parquet(feature_id=[value]), says)
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: [value] for name, value in GOOD_ROW.items()}).take([0] * 1_000_000), buffer)
    says = ("`activations.parquet` claims 1000000 rows, but has fewer bytes", "Expected an activation in each row")
    yield "a million rows in a few bytes", (buffer.getvalue(), says)
    twice = pa.table([[value] for value in (*GOOD_ROW.values(), 1)], names=[*KEYS, "feature_id"])
    buffer = io.BytesIO()
    pq.write_table(twice, buffer)
    says = ("`activations.parquet` has the columns", "expected 'feature_id' as well, once each")
    yield "a column twice", (buffer.getvalue(), says)
    says = ("`activations.parquet` has feature", "but `base.pt` says", "Were they made together?")
    yield "other counts", (good, says)


ACTIVATIONS = dict(activations())


def good_source(folder):
    return make_source(folder, num_target_prompts=9, num_control_prompts=7)
