"""
Small valid files, spoilt at random but the same for the same number, and what must hold of each.

A spoilt file is either refused with a `DataError`, or read as something else reads it.
"""

import csv
import gzip
import io
import json
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from builders import TOKEN_TYPES, model_data
from corpus import bytes_of, rewritten, saved
from neuronpedia_server import FakeServer, explanation_of

from featurediff.app.dashboard.stars import parse_stars, stars_csv
from featurediff.errors import DataError
from featurediff.export import csv_text
from featurediff.labels import PROMPTS, SIDES
from featurediff.loading import assemble
from featurediff.meaning import columns
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.meaning.neuronpedia_api import BulkFile, read_bulk
from featurediff.meaning.neuronpedia_cache import Cache
from featurediff.meaning.neuronpedia_server import Server
from featurediff.sources.activations import Activations
from featurediff.sources.notes import notes
from featurediff.sources.pairs import read_pairs
from featurediff.sources.result_files import parse_results

Outcome = Literal["refused", "right"]
Check = Callable[[bytes, Path], object]


@dataclass(frozen=True)
class Kind:
    """One of the files that featurediff reads."""

    seeds: Callable[[], list[bytes]]
    """Valid files."""

    spoil: Callable[[random.Random, bytes], bytes]
    """Changes one of them."""

    check: Check
    """Reads the result in a folder of its own; raises DataError if it is refused, AssertionError if it is misread."""


def spoilt(kind: str, seed: int, number: int) -> bytes:
    """Return a spoilt file, the same for the same arguments."""
    chance = random.Random(f"{kind} {seed} {number}")
    return KINDS[kind].spoil(chance, chance.choice(KINDS[kind].seeds()))


def outcome(kind: str, data: bytes, folder: Path) -> Outcome:
    """Read a spoilt file; anything but the two outcomes is an exception, and a fault."""
    try:
        KINDS[kind].check(data, folder)
    except DataError as error:
        message = str(error)
        assert message.startswith(("`", "http://127.0.0.1")), message
        assert len(message) < 1500, message
        return "refused"
    return "right"


# Bytes

EDGES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x80",
    b"\xff\xff\xff\x7f",
    b"\xff" * 8,
    b"PK\x05\x06",
)


def spoil_bytes(chance: random.Random, data: bytes) -> bytes:
    """Flip, overwrite, cut, insert, repeat or move bytes, once or a few times."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        at = chance.randrange(len(made) + 1)
        end = min(len(made), at + chance.choice((1, 2, 4, 8, 100, len(made))))
        match chance.randrange(8):
            case 0 | 1 if at < len(made):
                made[at] ^= 1 << chance.randrange(8)
            case 2:
                made[at:end] = chance.randbytes(end - at)
            case 3:
                edge = chance.choice(EDGES)
                made[at : at + len(edge)] = edge
            case 4:
                del made[at:end]
            case 5:
                made[at:at] = made[at:end]
            case 6:
                made[at:at] = chance.randbytes(chance.choice((1, 4, 50)))
            case 7:
                del made[at:]
    return bytes(made)


# `.pt` files


def pt_seeds() -> list[bytes]:
    data = model_data("base")
    halves = {name: {key: tensor.to(torch.bfloat16) for key, tensor in data[name].items()} for name in TOKEN_TYPES}
    whole = torch.stack(list(data["model"].values()), dim=1)
    views = dict(zip(data["model"], whole.unbind(1), strict=True))
    return [saved(data), saved(data | halves), saved(data | {"model": views}), rewritten()]


def spoil_pt(chance: random.Random, data: bytes) -> bytes:
    """Spoil bytes anywhere, the archive's directory, or an entry whose checksum is then made right again."""
    match chance.randrange(6):
        case 0:
            return spoil_bytes(chance, data)
        case 1:
            return spoil_directory(chance, data)
        case 2:
            return spoil_entry(chance, data, spoil_bytes)
        case 3:
            return spliced(chance, data)
        case _:
            return spoil_entry(chance, data, spoil_pickle, "archive/data.pkl")


def spoil_directory(chance: random.Random, data: bytes) -> bytes:
    """Overwrite a field of the archive's directory or of its end."""
    made, start = bytearray(data), zipfile.ZipFile(io.BytesIO(data)).start_dir
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(start, len(made) - 4)
        value = chance.choice(
            (chance.randbytes(chance.choice((1, 2, 4))), struct.pack("<I", chance.randrange(len(made))))
        )
        made[at : at + len(value)] = value
    return bytes(made)


def spoil_entry(chance: random.Random, data: bytes, spoil, entry: str | None = None) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = entry or chance.choice(archive.namelist())
    return rewritten(lambda name, content: spoil(chance, content) if name == entry else content, data)


def spliced(chance: random.Random, data: bytes) -> bytes:
    """Put a part of another file of the same kind in the place of a part, or behind the whole."""
    other = chance.choice([*pt_seeds(), bytes_of("chat")])
    at, to = chance.randrange(len(data)), chance.randrange(len(other))
    return chance.choice(
        (data[:at] + other[to:], data + other, data[:at] + other[at:], data[:at] + other[to:] + data[at:])
    )


CALLS = (
    "torch FloatTensor", "torch FloatStorage", "torch DoubleStorage", "torch.storage UntypedStorage", "torch Size",
    "os system", "builtins eval", "builtins bytearray", "__builtin__ set", "collections OrderedDict", "torch device",
    "torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor_v3", "torch float16",
    "torch._utils _rebuild_meta_tensor_no_storage",
)  # fmt: skip
VALUES = (
    b"K\0", b"K\xff", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f", b"N", b")", b"]", b"}", b"\x88",
    b"\x8a\5\0\0\0\0\x10", *(b"G" + struct.pack(">d", number) for number in (0.5, np.nan, 1e300)),
)  # fmt: skip
STRINGS = [
    "cpu",
    "cuda:0",
    "meta",
    "model",
    "newline",
    "metadata",
    "target_max",
    "target_num_active",
    "0",
    "99",
    "\ud800",
]


def spoil_pickle(chance: random.Random, pickle: bytes) -> bytes:
    """Change, drop, repeat, swap or move opcodes, so that what comes is a pickle still."""
    places = [position for _, _, position in pickletools.genops(pickle)] + [len(pickle)]
    codes = [pickle[start:end] for start, end in pairwise(places)]
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at, other = chance.randrange(1, len(codes)), chance.randrange(1, len(codes))
        code = codes[at]
        match chance.randrange(7):
            case 0:
                codes[at] = b""
            case 1:
                codes[at] = code * chance.choice((2, 3))
            case 2:
                codes[at], codes[other] = codes[other], code
            case 3:
                codes.insert(other, code)
            case 4:
                codes[at] = chance.choice(VALUES)
            case 5:
                codes[at] = b"c" + chance.choice(CALLS).replace(" ", "\n").encode() + b"\n"
            case 6:
                text = chance.choice(STRINGS).encode(errors="surrogatepass")
                codes[at] = b"X" + struct.pack("<I", len(text)) + text
    return b"".join(codes)


def check_pt(data: bytes, _folder: Path) -> None:
    """
    What is read is what torch reads, twice the same, and goes all the way to a table and a chart.

    Numbers beyond 2^53 are blank, and shares that are left out come from the counts.
    """
    results = parse_results(data, CHAT)
    again = parse_results(data, CHAT).base.vectors
    expected = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    n = {prompts: expected["metadata"][f"num_{prompts}_prompts"] for prompts in ("target", "control")}
    for token_type, vectors in results.base.vectors.items():
        for name, array in vectors.items():
            prompts, _, statistic = name.partition("_")
            if statistic == "sparsity" and (name in results.base.left_out or name not in expected[token_type]):
                saved = vectors[f"{prompts}_num_active"] / n[prompts]
            else:
                saved = expected[token_type][name].detach().to(torch.float64).numpy()
            np.testing.assert_array_equal(array, np.where(np.abs(saved) <= 2**53, saved, np.nan))
            np.testing.assert_array_equal(array, again[token_type][name])
        for prompts, most in n.items():
            counts = vectors[f"{prompts}_num_active"]
            assert counts.dtype == np.int64
            assert (counts >= 0).all()
            assert (counts <= most).all()
    study = assemble(results, None, None)
    table = study.table()
    for token_type in results.token_types:
        kept = set()
        for model in (results.base, results.chat):
            target, control = (model.vectors[token_type][f"{prompts}_num_active"] for prompts in n)
            kept |= {i for i in range(results.num_features) if target[i] > 0 and control[i] == 0}
        assert set(table["feature_id"][table["token_type"] == token_type]) == kept
    metric = "target_max" if "target_max" in results.vector_names else "target_sparsity"
    csv_text(table, metric).encode()
    study.scatter(metric).to_json()
    notes(results)


CHAT = bytes_of("chat")


# CSV

TEXTS = 'feature_id,link,claude_desc,type\n0,https://x/0,the first,a\n2,,"commas, and ""quotes""",b\n2,,last,a\n7,,–,\n'
OURS = 'feature_id,explanation,type,model,url\n1,\'=x,t,m,https://x\n12,"two\nlines",t,m,https://x\n'
CSV_PIECES = (
    b",", b'"', b"\n", b"\r", b"\r\n", b"''", b"=", b"\t", b"\xef\xbb\xbf", b"\xff", b"\0", b" ", b",,,,,", b'","',
    b"feature_id", b"explanation", b"1e9", b"-1", b"9" * 30, b"1.0", b"NaN", b"x" * 400, "\u2028".encode(),
)  # fmt: skip


def spoil_csv(chance: random.Random, data: bytes) -> bytes:
    if chance.random() < 0.4:
        return spoil_bytes(chance, data)
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(made) + 1)
        made[at : at + chance.choice((0, 0, 1, 5))] = chance.choice(CSV_PIECES)
    return bytes(made)


def explanation_seeds() -> list[bytes]:
    rows = [{"index": str(n), "modelId": "m", "layer": "3-x", "description": f"text {n}"} for n in range(4)]
    lines = "\n".join(map(json.dumps, rows)).encode()
    plain = [TEXTS.encode(), b"\xef\xbb\xbf" + TEXTS.encode(), OURS.encode(), TEXTS.replace("\n", "\r\n").encode()]
    return [*plain, *plain, lines, json.dumps(rows, indent=1).encode(), gzip.compress(lines, mtime=0)]


def check_explanations(data: bytes, _folder: Path) -> None:
    """What is read is what Python's own reader of CSV makes of it; of a file that breaks off, a part of that."""
    found = parse_explanations(data, "e.csv")
    if data.startswith(b"\x1f\x8b") or data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        assert all(isinstance(text, str) and text.strip() for text in found.texts)
        return
    ours = {"feature_id", "explanation", "type", "model", "url"} <= set(header(data))
    named = {wanted: columns.find(header(data), wanted) for wanted in (columns.ID_COLUMNS, columns.TEXT_COLUMNS)}
    last, ever = {}, set()
    for row in csv.DictReader(lines_of(data)):
        cells = {(name or "").strip(): cell or "" for name, cell in row.items()}
        texts = [without_guard(cells[column]) if ours else cells[column] for column in named[columns.TEXT_COLUMNS]]
        text = next((text for text in texts if text.strip()), "")
        if feature := cells[named[columns.ID_COLUMNS][0]].strip():
            if found.left_out and not feature.partition(".")[0].isdigit():
                continue
            last[int(feature.partition(".")[0])] = text
            ever.add((int(feature.partition(".")[0]), text))
    if found.left_out:
        assert set(found.texts.items()) <= ever
    else:
        assert found.texts.to_dict() == {feature: text for feature, text in last.items() if text.strip()}


def header(data: bytes) -> list[str]:
    return [name.strip() for name in next(csv.reader(lines_of(data)))]


def lines_of(data: bytes) -> io.StringIO:
    """Return the text as Python's reader takes it: without marks of byte order, and from the first line with text."""
    return io.StringIO(data.decode(errors="ignore").lstrip("\ufeff\r\n"), newline="")


def star_seeds() -> list[bytes]:
    stars = {("gemma/personal", 7): "", ("gemma/personal", 3): 'says "I", twice', ("=demo", 999_999_999): "two\nlines"}
    return [stars_csv(stars).encode(), b"feature_id,source\n1,x\n2,y\n", b"\xef\xbb\xbf" + stars_csv(stars).encode()]


def check_stars(data: bytes, _folder: Path) -> None:
    """What is read can be written and read again, and is what Python's own reader of CSV makes of it."""
    stars = parse_stars(data, "s.csv")
    assert parse_stars(stars_csv(stars).encode(), "s.csv") == stars
    assert all(0 <= feature < 10**9 and len(note) <= 300 for (_, feature), note in stars.items())
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig").lstrip("\r\n"), newline=""))  # after blank lines
    assert stars == {
        (without_guard(row["source"] or ""), int(row["feature_id"])): without_guard(row.get("note") or "")
        for row in rows
    }


def without_guard(text: str) -> str:
    """Return a text as it was before an apostrophe was put in front of what a spreadsheet would run."""
    rest = text.lstrip("'")
    runs = rest.lstrip(" \u00a0")[:1] in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
    return text[1:] if runs and rest != text else text


# Activations


def activation_rows(shift: int = 1) -> pd.DataFrame:
    """Rows that fire as often as the files say: in base on the first prompts, in chat on those after `shift`."""
    rows = []
    for side, results in zip(SIDES, (RESULTS.base, RESULTS.chat), strict=True):
        for token_type, vectors in results.vectors.items():
            for prompts in ("target", "control"):
                n = results.metadata.num_prompts(prompts)
                for feature, count in enumerate(vectors[f"{prompts}_num_active"]):
                    start = shift if side == "chat" else 0
                    rows += [(side, prompts, token_type, (start + i) % n, feature, 1.5 + i) for i in range(count)]
    return pd.DataFrame(rows, columns=["model", "prompt_set", "token_type", "prompt_id", "feature_id", "activation"])


RESULTS = parse_results(bytes_of(num_target_prompts=9), bytes_of("chat", num_control_prompts=7))


def as_parquet(frame: pd.DataFrame, **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer, **options)
    return buffer.getvalue()


def activation_seeds() -> list[bytes]:
    frame = activation_rows()
    coded = frame.astype(dict.fromkeys(("model", "prompt_set", "token_type"), "category"))
    return [
        as_parquet(frame),
        as_parquet(coded, compression="zstd"),
        as_parquet(frame, compression="none", use_dictionary=False),
    ]


def spoil_activations(chance: random.Random, data: bytes) -> bytes:
    """Spoil bytes anywhere or in the footer, or a cell or a column of the table."""
    match chance.randrange(4):
        case 0:
            return spoil_bytes(chance, data)
        case 1:
            made, size = bytearray(data), int.from_bytes(data[-8:-4], "little")
            for _ in range(chance.choice((1, 1, 3))):
                made[chance.randrange(len(made) - size - 8, len(made) - 8)] = chance.randrange(256)
            return bytes(made)
        case _:
            return as_parquet(spoil_frame(chance, activation_rows(chance.randrange(9))))


def spoil_frame(chance: random.Random, frame: pd.DataFrame) -> pd.DataFrame:
    name = chance.choice(list(frame))
    row = chance.randrange(len(frame))
    match chance.randrange(6):
        case 0:
            return frame.drop(columns=name)
        case 1:
            return frame.drop(index=row)
        case 2:
            return pd.concat([frame, frame.iloc[[row]]])
        case 3:
            return frame.assign(**{name: chance.choice((1, -1, 0.5, "x", None, b"x", True, 2**40))})
        case 4:
            values = [-1, 99, 2**31, 2**62, None] if name.endswith("_id") else [None, "", "x"]
            values = [np.nan, np.inf, -1.0, 1e300] if name == "activation" else values
            cells = frame[name].astype("object").tolist()
            cells[row] = chance.choice(values)
            return frame.assign(**{name: cells})
        case _:
            return frame.sample(frac=1, random_state=chance.randrange(1000))


def check_activations(data: bytes, folder: Path) -> None:
    """Every activation of the pairs, and each feature's list, is what pyarrow reads."""
    path = folder / "activations.parquet"
    path.write_bytes(data)
    activations = Activations(path, None)
    try:
        found = read_pairs(activations, RESULTS)
        listing = activations.of_feature(2, "model", RESULTS)
    finally:
        path.unlink()
    rows = pq.read_table(io.BytesIO(data)).to_pylist()
    places = {
        prompts: {i: at for at, i in enumerate(sorted({r["prompt_id"] for r in rows if r["prompt_set"] == prompts}))}
        for prompts in PROMPTS
    }
    for (token_type, at), side, prompts in product(found.positions.items(), SIDES, PROMPTS):
        expected = np.zeros((at.num_prompts[prompts], RESULTS.num_features))
        for row in rows:
            if (row["model"], row["token_type"], row["prompt_set"]) == (side, token_type, prompts):
                expected[places[prompts][row["prompt_id"]], row["feature_id"]] = row["activation"]
        whole = np.zeros_like(expected)
        whole[:, at.features] = at.activations(side, prompts, 0, len(at.features))
        np.testing.assert_array_equal(whole, expected)
    shown = {
        (row["prompt_set"], row["prompt_id"]) for row in rows if (row["feature_id"], row["token_type"]) == (2, "model")
    }
    assert set(zip(listing["prompt_set"], listing["prompt_id"], strict=True)) == shown
    for side, prompts in product(SIDES, PROMPTS):
        count = getattr(RESULTS, side).vectors["model"][f"{prompts}_num_active"][2]
        assert (listing.loc[listing["prompt_set"] == prompts, side] != 0).sum() == count
    assert np.isfinite(listing[["base", "chat"]].to_numpy()).all()


# Wide CSVs


def spoil_width(chance: random.Random, data: bytes) -> bytes:
    """Add columns, cells or blank lines, few or hundreds of thousands of them."""
    lines = data.split(b"\n")
    count = chance.randrange(1, chance.choice((50, 190, 400, 20_000, 300_000)))
    at = chance.randrange(min(2, len(lines)))
    more = chance.choice((b",", b",x", b',""', b",c"))
    if chance.random() < 0.2:
        return b"\n" * count + data
    if chance.random() < 0.5:  # columns of different names, with cells or without
        lines[0] += b"".join(b",c%d" % number for number in range(count))
        rows = [line + b"," * count if line and chance.random() < 0.7 else line for line in lines[1:]]
        return b"\n".join([lines[0], *rows])
    lines[at] += more * count
    return b"\n".join(lines)


def wide_seeds() -> list[bytes]:
    return [b"feature_id,explanation\n0,the first\n2,last\n", b"feature_id,description,type\n1,x,a\n"]


# Prompts


def prompt_frame(text: str = "Prompt") -> pd.DataFrame:
    sizes = {prompts: RESULTS.base.metadata.num_prompts(prompts) for prompts in PROMPTS}
    rows = [(prompts, i, f"{text} {i}") for prompts, n in sizes.items() for i in range(n)]
    return pd.DataFrame(rows, columns=["prompt_set", "prompt_id", "content"])


def prompt_seeds() -> list[bytes]:
    frame = prompt_frame()
    return [
        as_parquet(frame),
        as_parquet(frame.assign(group=range(len(frame)))),
        as_parquet(prompt_frame("long " * 5000), compression="zstd"),
        as_parquet(prompt_frame("wide " * 5000), use_dictionary=False, row_group_size=3),
    ]


def spoil_footer(chance: random.Random, data: bytes) -> bytes:
    """Put zeros in front of the footer, change what it says, or change the table."""
    size = int.from_bytes(data[-8:-4], "little") + 8
    match chance.randrange(4):
        case 0:
            return data[:-size] + bytes(chance.randrange(chance.choice((10, 10**4, 10**7)))) + data[-size:]
        case 1:
            made = bytearray(data)
            for _ in range(chance.choice((1, 1, 3))):
                made[len(made) - 8 - chance.randrange(size)] = chance.randrange(256)
            return bytes(made)
        case 2:
            return data[:-8] + chance.choice((0, 2**31, size, chance.randrange(2**32))).to_bytes(4, "little") + b"PAR1"
        case _:
            frame = prompt_frame(chance.choice(("x", "x" * 200_000, "\0", "é" * 12_000)))
            if chance.random() < 0.5:
                frame = pd.concat([frame] * chance.choice((1, 2, 5)), ignore_index=True)
            options = {"use_dictionary": chance.random() < 0.5, "compression": chance.choice(("zstd", "none"))}
            return as_parquet(frame.sample(frac=1, random_state=chance.randrange(100)), **options)


def check_prompts(data: bytes, folder: Path) -> None:
    """The texts beside a feature are those that pyarrow reads, cut."""
    path, prompts = folder / "activations.parquet", folder / "prompts.parquet"
    path.write_bytes(as_parquet(activation_rows()))
    prompts.write_bytes(data)
    try:
        listing = Activations(path, prompts).of_feature(2, "model", RESULTS)
    finally:
        path.unlink()
        prompts.unlink()
    used = ["prompt_set", "prompt_id", "content"]  # another column may be spoilt
    rows = pq.ParquetFile(io.BytesIO(data)).read(used).to_pylist()
    texts = {(row["prompt_set"], row["prompt_id"]): row["content"][:10_000] for row in rows}
    for row in listing.itertuples():
        expected = texts.get((row.prompt_set, row.prompt_id))
        assert pd.isna(row.content) if expected is None else row.content == expected


# Neuronpedia's answers, and what is kept of them


def answer_seeds() -> list[bytes]:
    rows = [explanation_of("m/s", i, f"text {i}", "kind", "model") | {"embedding": [0.5]} for i in (3, 11, 200)]
    plain = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return [plain, gzip.compress(plain, mtime=0), b'{"index": 7, "description": "x"}\n']


JSON_PIECES = (
    b"1.9", b"true", b'"1_0"', b"null", b"-1", b"1e999", b"[" * 2000, b"{}", b'"\\ud800"', b'"' + b"x" * 11_000 + b'"',
    b"9" * 5000, b"\n", b",", b'"', b"[]", b'{"index": "5"}', b"NaN",
)  # fmt: skip


def spoil_json(chance: random.Random, data: bytes) -> bytes:
    """Change bytes, or put other values where one stands; zipped files are also spoilt inside."""
    is_zipped = data.startswith(b"\x1f\x8b")
    if chance.random() < 0.3:
        return spoil_bytes(chance, data)
    made = bytearray(gzip.decompress(data) if is_zipped else data)
    for _ in range(chance.choice((1, 1, 2))):
        at = chance.randrange(len(made) + 1)
        colon = made.find(b":", at)
        end = made.find(b",", colon) if colon > 0 else at + 1
        if colon > 0 and chance.random() < 0.7:
            made[colon + 1 : end if end > 0 else len(made)] = chance.choice(JSON_PIECES)
        else:
            made[at:at] = chance.choice(JSON_PIECES)
    return gzip.compress(bytes(made), mtime=0) if is_zipped else bytes(made)


def check_answer(data: bytes, _folder: Path) -> None:
    """A server that sends these bytes is believed only where each line is an object with a feature id."""
    server = FakeServer()
    try:
        server.bodies["/file.gz"] = data
        texts = read_bulk(Server(server.url, pause=0), BulkFile("file.gz", "file"))
    finally:
        server.stop()
    lines = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).split(b"\n")
    said = [json.loads(line) for line in lines if line.strip()]
    for row in said:
        assert not isinstance(row["index"], bool | float)
        assert str(row["index"]).isdecimal()
    expected = [(int(row["index"]), row["description"]) for row in said if is_text(row.get("description"))]
    assert [(text.feature_id, text.explanation) for text in texts] == [
        (i, text[:10_000].encode(errors="replace").decode()) for i, text in expected
    ]


def is_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def cache_seeds() -> list[bytes]:
    rows = [[3, "three", "kind", "model"], [11, "eleven – é", None, None], [3, "three", "kind", "model"]]
    return [json.dumps(rows).encode(), b"[]", json.dumps(rows[:1]).encode()]


def check_cache(data: bytes, folder: Path) -> None:
    """What is kept is read as JSON reads it, each text once."""
    path = folder / "feature-3.json"
    path.write_bytes(data)
    try:
        texts = Cache(folder).texts()
    finally:
        path.unlink()
    expected = list(dict.fromkeys(map(tuple, json.loads(data)))) if json.loads(data) else []
    found = [tuple(None if pd.isna(cell) else cell for cell in row) for row in texts.itertuples(index=False)]
    assert sorted(found, key=str) == sorted(expected, key=str)


KINDS = {
    "base.pt": Kind(pt_seeds, spoil_pt, check_pt),
    "explanations.csv": Kind(explanation_seeds, spoil_csv, check_explanations),
    "stars.csv": Kind(star_seeds, spoil_csv, check_stars),
    "activations.parquet": Kind(activation_seeds, spoil_activations, check_activations),
    "wide.csv": Kind(wide_seeds, spoil_width, check_explanations),
    "prompts.parquet": Kind(prompt_seeds, spoil_footer, check_prompts),
    "Neuronpedia's answer": Kind(answer_seeds, spoil_json, check_answer),
    "feature-3.json": Kind(cache_seeds, spoil_json, check_cache),
}
