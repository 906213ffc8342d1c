"""Prompt files, positions and statistics of `featurediff collect`: what needs no model."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff.collect.positions import PRESETS, Positions, find_preset, parse_positions
from featurediff.collect.prompts import read_prompts
from featurediff.collect.statistics import Statistics
from featurediff.errors import DataError


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def contents(file):
    return [(prompt.prompt_id, prompt.line, prompt.content, prompt.label) for prompt in file.prompts]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"content": "One?", "label": "x"}\n\n{"content": ""}\r\n{"label": 7, "content": "a\u2028b"}'),
        ("a.csv", '\ufefflabel,content\nx,One?\n,""\n7,"a\u2028b"\n'),
    ],
)
def test_reads_prompts(tmp_path, name, text):
    file = read_prompts(write(tmp_path, name, text))
    assert [content for _, _, content, _ in contents(file)] == ["One?", "", "a\u2028b"]
    assert [label for *_, label in contents(file)] == ["x", None, "7"]
    assert file.name == name
    assert file.skipped == ()


def test_reads_lines_and_another_column(tmp_path):
    assert contents(read_prompts(write(tmp_path, "a.txt", "One?\r\n你好\n"))) == [
        (0, 1, "One?", None),
        (1, 2, "你好", None),
    ]
    file = read_prompts(write(tmp_path, "b.csv", 'text,n\n"two\nlines",1\nthree,2\n'), "text")
    assert contents(file) == [(0, 2, "two\nlines", None), (1, 4, "three", None)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.jsonl",
            '{"content": "x"}\n{"prompt": 1, "x": 2}',
            "line 2: no 'content', only 'prompt', 'x'. Name another with --column.",
        ),
        ("a.jsonl", '{"content": 5}', "line 1: 'content' is 5, but expected a string."),
        (
            "a.jsonl",
            "1",
            "line 1: 1, but expected a string, a list of messages or an object with 'content'.",
        ),
        ("a.jsonl", '{"content": "\\ud800"}', "line 1: 'content' holds half a surrogate pair, which is no text."),
        ("a.csv", "content,b\n1,2\n3\n", "line 3: 1 fields, but the header has 2."),
        ("a.txt", "one\n\nthree\n", "line 2: blank, but expected a prompt on each line."),
    ],
)
def test_refuses_bad_prompts_by_line_or_skips_them(tmp_path, name, text, message):
    path = write(tmp_path, name, text)
    end = " Mend it, or leave such prompts out with --skip-bad."
    with pytest.raises(DataError, match=f"^{re.escape(f'`{path}`, {message}{end}')}$"):
        read_prompts(path)
    more = {".jsonl": '\n{"content": "y"}', ".csv": "5,6\n", ".txt": "y\n"}[path.suffix]
    file = read_prompts(write(tmp_path, name, text + more), skip_bad=True)
    assert file.skipped == (f"`{path}`, {message}",)
    assert file.prompts[-1].prompt_id == len(file.prompts)  # a prompt's id is its place in the file


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.jsonl",
            "\n",
            "`{}` has no prompt in it. Expected JSON or a table with 'content', or .txt with a prompt a line.",
        ),
        ("a.csv", "text\nx\n", "`{}` has no column 'content', but 'text'. Name the column with --column."),
        ("a.txt", b"a\xff", "`{}` is not UTF-8: byte 1 is b'\\xff'. Save it as UTF-8."),
        (
            "a.csv",
            'content\n"x',
            "`{}`, line 2: not CSV (unexpected end of data). Expected quotes round fields with commas or line breaks.",
        ),
    ],
)
def test_refuses_bad_files(tmp_path, name, text, message):
    path = write(tmp_path, name, text)
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path))}$"):
        read_prompts(path, skip_bad=True)


# The header is 7, 8. Index = where the last header begins + 2 + offset.
POSITIONS = Positions("<header>", (("last", -1), ("first", -2), ("after", 0)))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([1, 7, 8, 9], [2, 1, 3]),
        ([7, 8, 9, 7, 8, 5, 6], [4, 3, 5]),
        ([7, 7, 8, 8], [2, 1, 3]),
        ([1, 2, 3], "no header '<header>' among its 3 tokens."),
        ([8, 7], "no header '<header>' among its 2 tokens."),
        ([7], "no header '<header>' among its 1 tokens."),
        (
            [1, 7, 8],
            "position 'after' at offset +0 is outside: the header '<header>' ends before token 3 of 3.",
        ),
    ],
)
def test_finds_positions_by_the_last_header(tokens, expected):
    assert POSITIONS.find(tokens, [7, 8]) == expected


def test_refuses_a_position_before_the_sequence():
    found = Positions("<header>", (("early", -4),)).find([1, 7, 8], [7, 8])
    assert found == "position 'early' at offset -4 is outside: the header '<header>' ends before token 3 of 3."


def test_takes_positions_from_options_before_the_preset():
    preset = find_preset(None, "gemma2")
    assert preset is PRESETS["gemma-2-9b"]
    assert parse_positions(None, [], preset) == preset.positions
    assert parse_positions("<h>", [], preset) == Positions("<h>", preset.positions.offsets)
    assert parse_positions("<h>", ["a=-1", "b = +2"], None) == Positions("<h>", (("a", -1), ("b", 2)))


@pytest.mark.parametrize("text", ["newline", "=1", "a=x", "a=1.5", "metadata=0", "a=", "a=--1"])
def test_refuses_a_bad_position(text):
    message = f"--position is a new name and an offset, such as newline=0, but {text!r} was given."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        parse_positions("<h>", [text], None)


def test_asks_for_a_header_where_no_preset_fits():
    message = (
        "Where does the assistant's turn begin? No preset fits the chat model: give --header with the text that opens "
        "it and --position NAME=OFFSET, or one of the presets 'gemma-2-9b', 'gemma-3-4b', 'llama-3.1-8b', "
        "'qwen-2.5-7b', 'qwen-3-8b' and 2 more."
    )
    for header, given_positions in ((None, []), ("<h>", []), (None, ["a=0"]), ("", ["a=0"])):
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            parse_positions(header, given_positions, find_preset(None, "gpt2"))
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        parse_positions("", [], PRESETS["gemma-2-9b"])  # an empty --header was taken for none
    with pytest.raises(DataError, match=re.escape("There is no preset 'gemma'. Known are 'gemma-2-9b', ")):
        find_preset("gemma", "gemma2")


def test_statistics_by_hand():
    """Four prompts: feature 0 on two of them (3, 1), feature 1 on none, feature 2 on all (1, 1, 1, 5)."""
    features = np.array([0, 2, 0, 2, 2, 2], dtype=np.int32)
    vectors = Statistics.of(features, np.array([3, 1, 1, 1, 1, 5], dtype=np.float32), 4, 3).vectors("target")
    assert vectors["target_all_mean"].tolist() == [1, 0, 2]
    np.testing.assert_allclose(vectors["target_all_std"], [np.sqrt(6 / 3), 0, np.sqrt(12 / 3)], rtol=1e-7)
    assert vectors["target_max"].tolist() == [3, 0, 5]
    assert vectors["target_num_active"].tolist() == [2, 0, 4]
    assert vectors["target_num_active"].dtype == np.int64
    assert vectors["target_sparsity"].tolist() == [0.5, 0, 1]


activations = st.lists(
    st.lists(st.floats(-(2.0**20), 2.0**20, width=32).map(lambda x: 0.0 if x < 0 else x), min_size=3, max_size=3),
    min_size=2,
    max_size=12,
)


@given(activations, st.data())
def test_merged_statistics_do_not_depend_on_pieces_or_their_order(rows, data):
    dense = np.array(rows, dtype=np.float32)
    cuts = data.draw(st.lists(st.integers(0, len(dense)), max_size=4).map(sorted))
    pieces = data.draw(st.permutations(np.split(dense, cuts)))
    merged = None
    for piece in pieces:
        _, features = np.nonzero(piece)
        part = Statistics.of(features.astype(np.int32), piece[piece != 0], len(piece), 3)
        merged = part if merged is None else merged + part
    exact = dense.astype(np.float64)
    assert merged.active.tolist() == (exact != 0).sum(axis=0).tolist()
    assert merged.largest.tolist() == dense.max(axis=0).tolist()
    np.testing.assert_allclose(merged.mean, exact.mean(axis=0), rtol=1e-12, atol=1e-300)
    scale = max(1.0, float(exact.max()) ** 2)
    np.testing.assert_allclose(merged.squares, exact.var(axis=0) * len(dense), rtol=1e-9, atol=1e-12 * scale)


def test_a_large_mean_does_not_drown_the_std():
    """A sum of squares loses 1e-3 beside 1e4 in float32, and the difference of two large sums in any precision."""
    values = (10_000 + np.arange(1000) % 2 * 0.0078125).astype(np.float32)
    parts = [Statistics.of(np.zeros(250, dtype=np.int32), piece, 250, 1) for piece in np.split(values, 4)]
    merged = parts[0] + parts[1] + parts[2] + parts[3]
    expected = values.astype(np.float64).std(ddof=1)
    np.testing.assert_allclose(merged.vectors("control")["control_all_std"], [expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"content": "a", "kind": "x"}\n{"content": "b", "kind": 7}\n{"content": "c"}\n'),
        ("a.csv", "content,kind\na,x\nb,7\nc,\n"),
    ],
)
def test_reads_groups_where_they_are_asked_for(tmp_path, name, text):
    path = write(tmp_path, name, text)
    assert [prompt.group for prompt in read_prompts(path, group="kind").prompts] == ["x", "7", None]
    assert [prompt.group for prompt in read_prompts(path).prompts] == [None] * 3


def test_refuses_groups_that_are_not_there_or_are_no_names(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"content": "a", "kind": ""}\n{"content": "b"}\n')
    for group in ("kind", "group"):
        with pytest.raises(
            DataError, match=f"^{re.escape(f'`{path}` has no {group!r} in any prompt, which --group names.')}$"
        ):
            read_prompts(path, group=group)
    path = write(tmp_path, "b.jsonl", '{"content": "a", "kind": 1.5}\n')
    message = f"`{path}`, line 1: 'kind' is 1.5, but expected a text or a whole number."
    with pytest.raises(DataError, match=f"^{re.escape(message)} Mend it"):
        read_prompts(path, group="kind")
