"""Parquet files that unfold, each read in a process of its own under a limit of memory."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import make_source
from limited import under_limit

from featurediff import load
from featurediff.errors import DataError
from featurediff.sources.activations import find_activations
from featurediff.sources.parquet import MAX_CHARACTERS

KEYS = ("model", "prompt_set", "token_type", "prompt_id", "feature_id", "activation")
ROW = ("base", "target", "model", 0, 2, 1.5)


def parquet(columns, **options):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def activations(count=1):
    """The same row, so many times."""
    words = {
        name: pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), [word])
        for name, word in zip(KEYS[:3], ROW[:3], strict=True)
    }
    return words | {
        "prompt_id": np.zeros(count, np.int32),
        "feature_id": np.full(count, 2, np.int32),
        "activation": np.full(count, 1.5, np.float32),
    }


def many(count):
    """The same row in so many row groups of a million."""
    buffer = io.BytesIO()
    table = pa.table(activations(1_000_000))
    with pq.ParquetWriter(buffer, table.schema) as writer:
        for _ in range(count):
            writer.write_table(table)
    return buffer.getvalue()


def prompts(text, count):
    content = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), [text])
    return {"prompt_set": ["target"] * count, "prompt_id": range(count), "content": content}


def plain(columns):
    """The same with each text written out."""
    return columns | {"content": columns["content"].cast(pa.large_string())}


def with_zeros(data, count):
    """Put zeros in front of the footer, which make the file larger than what it claims."""
    size = int.from_bytes(data[-8:-4], "little") + 8
    return data[:-size] + bytes(count) + data[-size:]


def look_up(folder):
    """Open a source as the app does, click a feature, and return the first cells of the list."""
    study = load(folder)
    listing = find_activations(study.source.folder).of_feature(2, "model")
    return listing["content"].str[:3].tolist()[:3], len(listing), study.pairs is not None


def nested(depth):
    """A footer that announces groups within groups, in the bytes of Thrift's compact protocol."""
    group, leaf = b"\x35\x02\x18\x01x\x15\x02\x00", b"\x15\x02\x25\x02\x18\x01y\x00"
    schema = b"\x48\x01s\x15\x02\x00" + group * depth + leaf
    footer = b"\x15\x02\x19\xfc" + in_bytes_of_seven(depth + 2) + schema + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def in_bytes_of_seven(number):
    return bytes([number & 127 | 128]) + in_bytes_of_seven(number >> 7) if number > 127 else bytes([number])


def contradicting(columns):
    """The footer says that no text is missing, and in another place how many are."""
    optional, required = (b"\x25" + mark + b"\x18\x07content" for mark in (b"\x02", b"\x00"))
    data = parquet(columns)
    assert data.count(optional) == 1
    return data.replace(optional, required)


HOSTILE = {
    # 11 kB came to 2 GB, and 31 kB to 4.3 GB and a traceback.
    "one long text in each row": (
        {"prompts": lambda: parquet(plain(prompts("x" * 200_000, 1_500)), use_dictionary=False, compression="zstd")},
        "`prompts.parquet` unfolds to",
    ),
    "one long text, referred to by each row": (
        {"prompts": lambda: parquet(prompts("x" * 200_000, 11_000), compression="zstd")},
        "(['xxx'], 1, False)",
    ),
    "a text of 100 MB": (
        {"prompts": lambda: parquet(plain(prompts("x" * 100_000_000, 1)), use_dictionary=False, compression="zstd")},
        "(['xxx'], 1, False)",
    ),
    "a text of 300 MB": (
        {"prompts": lambda: parquet(plain(prompts("x" * 300_000_000, 1)), use_dictionary=False, compression="zstd")},
        "`prompts.parquet` unfolds to 300,000,",
    ),
    "rows in a few bytes": (
        {"activations": lambda: parquet(activations(1_000_000))},
        "`activations.parquet` claims 1000000 rows, but has fewer bytes.",
    ),
    "rows in a few bytes and zeros": (
        {"activations": lambda: with_zeros(many(4), 4_000_000)},
        "`activations.parquet` has two activations of feature 2 at 'model' on one prompt in one model.",
    ),
    "more rows than there may be, and zeros": (
        {"activations": lambda: with_zeros(many(51), 51_000_000)},
        "`activations.parquet` claims 51,000,000 rows, but expected at most 50,000,000.",
    ),
    # With pyarrow before version 26, the process died.
    "groups within groups": (
        {"activations": lambda: nested(200_000)},
        "`activations.parquet` cannot be read as Parquet ('Parquet schema too deeply nested,",
    ),
    # One byte ended the server: pyarrow could not hand on what is wrong with a column.
    "a footer that contradicts itself": (
        {"prompts": lambda: contradicting(prompts("x", 3))},
        "`prompts.parquet` cannot be read as Parquet ('Definition level histogram size mismatch",
    ),
    "zeros for a footer": (
        {"activations": lambda: b"PAR1" + bytes(2**24 + 99) + (2**24 + 1).to_bytes(4, "little") + b"PAR1"},
        "`activations.parquet` has a footer of 16,777,217 bytes, but expected at most 16,777,216.",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_parquet_that_unfolds_takes_no_memory(tmp_path, name):
    files, message = HOSTILE[name]
    folder = make_source(tmp_path / "source", num_target_prompts=9, num_control_prompts=7)
    (folder / "activations.parquet").write_bytes(parquet(activations()))
    for file, make in files.items():
        (folder / f"{file}.parquet").write_bytes(make())
    outcome = under_limit(look_up, folder, megabytes=4000)  # Arrow reserves addresses that it does not use
    assert outcome.said.startswith(message)
    assert outcome.megabytes < 800


def test_prompt_is_cut(tmp_path):
    folder = make_source(tmp_path / "source")
    (folder / "activations.parquet").write_bytes(parquet(activations()))
    texts = {"prompt_set": ["target"] * 2, "prompt_id": [0, 1], "content": ["é" * (MAX_CHARACTERS + 1), "short"]}
    (folder / "prompts.parquet").write_bytes(parquet(texts))
    (content,) = find_activations(folder).of_feature(2, "model")["content"]
    assert content == "é" * MAX_CHARACTERS


def test_number_of_token_types_has_an_end(tmp_path):
    folder = make_source(tmp_path / "source")
    many = {name: [value] * 1001 for name, value in zip(KEYS, ROW, strict=True)}
    many |= {"token_type": [f"position {number}" for number in range(1001)]}
    (folder / "activations.parquet").write_bytes(parquet(many))
    message = r"^`activations.parquet` has more than 1000 token types, models or prompt sets\.$"
    with pytest.raises(DataError, match=message):
        find_activations(folder).of_feature(2, "model")


def test_refusal_is_kept_and_the_file_not_read_again(tmp_path):
    """Each click read a spoilt file anew."""
    folder = make_source(tmp_path / "source")
    path = folder / "activations.parquet"
    path.write_bytes(parquet(activations())[:-20])
    found = find_activations(folder)
    with pytest.raises(DataError) as first:
        found.of_feature(2, "model")
    path.unlink()
    with pytest.raises(DataError) as second:
        found.of_feature(3, "model")
    assert str(first.value) == str(second.value)
    assert first.value is not second.value
