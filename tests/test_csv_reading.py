import re

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from limited import under_limit

from featurediff.csv_fast import read_fast
from featurediff.csv_files import MAX_COLUMNS, MAX_HEADER, parse_csv, read_by_pandas, read_header
from featurediff.errors import DataError


def names_of(data):
    return read_header(data, "x.csv")


PIECES = st.sampled_from(
    ['"', '""', ",", "\n", "\r", "\r\n", "\t", " ", "\ufeff", "\u2028", "\x85", "\x1c", "a", "b,c", '"d"', "1,2\n", "é"]
)  # fmt: skip


@settings(max_examples=1000)
@given(
    st.sampled_from(["a,b", "feature_id,x", "\ufeffa,b,c", '"a",b']),
    st.sampled_from("\n\r"),
    st.lists(PIECES, max_size=14),
)
@example("a,b", "\n", ['1,"a'])
@example("a,b", "\n", ['1,a"b\n2,"c'])
@example("a,b", "\n", ['1,"a\n'])
@example("a,b", "\n", ['1,"a""'])
@example("a,b", "\n", ["1,a\r\r\n2,b"])
@example("a,b", "\n", ["  \n1,a"])
@example("a,b", "\n", ['1,"a"b"c"\n'])
@example("a,b", "\n", ["1,a\0b\n"])
def test_fast_reader_reads_what_pandas_reads_or_leaves_it_to_pandas(header, end, pieces):
    data = (header + end + "".join(pieces)).encode()
    for columns in (names_of(data), names_of(data)[:1]):
        fast = read_fast(data, columns)
        if fast is not None:
            pd.testing.assert_frame_equal(fast, read_by_pandas(data, "x.csv", columns))


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,x\n", 'a,b\r\n1,"x, ""y""\nz"\r\n,\r\n', '\ufeffa,b_2,C\n"","é",3', "a,b\n\n1,2\n\n", '"a",b\n1,2\n'],
)
def test_usual_files_are_read_fast(text):
    data = text.encode()
    columns = names_of(data)
    pd.testing.assert_frame_equal(read_fast(data, columns), read_by_pandas(data, "x.csv", columns))


@pytest.mark.parametrize(
    "text", ["a,b\n", " a,b\n1,2\n", "a\n1\n", "a,b\n1\n", 'a,b\n1,"2', "a,a\n1,2\n", "a,b\n1,\0\n"]
)
def test_other_files_are_left_to_pandas(text):
    assert read_fast(text.encode(), ["a"]) is None


def test_cells_that_are_not_utf_8_are_left_to_pandas():
    assert read_fast(b"a,b\n1,\xff\n", ["a", "b"]) is None
    message = "`x.csv` is not UTF-8: line 2 has the byte 0xff. Save it as CSV in UTF-8."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        parse_csv(b"a,b\n1,\xff\n", "x.csv")


WIDE = {
    "names alike": (b"a,b" + b",c" * 200_000 + b"\n1,x\n", "`x.csv` has no header in its first 131,072 bytes."),
    "names that differ": (
        b"a," + b",".join(b"c%d" % number for number in range(250_000)) + b"\n1,x\n",
        "`x.csv` has no header in its first 131,072 bytes.",
    ),
    "no names": (b"a,b" + b"," * 1_000_000 + b"\n1,x\n", "`x.csv` has no header in its first 131,072 bytes."),
    "a row": (b"a,b\n1,x" + b",c" * 2_000_000 + b"\n", "`x.csv` is not a CSV file: 'Expected 2 fields in line 2, saw"),
    "all in one cell": (b'a,"b' + b"\n" * 40_000_000, "`x.csv` has no header in its first 131,072 bytes."),
    "blank lines": (b"\n" * 40_000_000 + b"a,b\n", "`x.csv` has no header in its first 131,072 bytes."),
}


def parse_wide(kind):
    return parse_csv(WIDE[kind][0], "x.csv")


@pytest.mark.parametrize("kind", WIDE)
def test_wide_file_takes_no_memory(kind):
    """400 kB of 200,000 equal names had no end, 2 MB of different ones took 2.8 GB."""
    outcome = under_limit(parse_wide, kind, megabytes=300)
    assert outcome.said.startswith(WIDE[kind][1])
    assert outcome.megabytes < 200


def test_header_is_bounded():
    names = [f"c{number}" for number in range(MAX_COLUMNS)]
    assert names_of(",".join(names).encode()) == names
    message = "`x.csv` has 201 columns, but expected at most 200. Keep those that are needed."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        names_of(",".join([*names, "more"]).encode())
    long = b"a," + b"b" * (MAX_HEADER - 4) + b"\n1,2\n"
    assert len(names_of(long)) == 2
    message = "`x.csv` has no header in its first 131,072 bytes. Expected the names of its columns there."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        names_of(b"b" + long)


def test_character_that_the_bound_cuts_is_no_fault():
    assert names_of(b"a,b\n" + b"x" * (MAX_HEADER - 5) + "é\n".encode()) == ["a", "b"]


@pytest.mark.parametrize("header", ["a,b,b", "a, b ,b", '"a",b,a'])
def test_names_that_occur_twice_are_refused(header):
    """pandas called the second one `b.1`, so a file with two columns of texts was read as if it had one."""
    with pytest.raises(
        DataError, match=r"^`x\.csv` has the columns .*, one of them twice, but expected different names\.$"
    ):
        parse_csv(f"{header}\n1,2,3\n".encode(), "x.csv")


def test_columns_without_a_name_are_left_out():
    """A spreadsheet leaves commas at the ends of lines."""
    frame = parse_csv(b"a,b,,\n1,2,,\n3,4,,\n", "x.csv")
    assert frame.to_dict("list") == {"a": ["1", "3"], "b": ["2", "4"]}


@pytest.mark.parametrize("data", [b"a,b,c\n1,2,3\n", b"a, b,c\n1,2,3\n"])
def test_only_the_wanted_columns_are_read(data):
    assert parse_csv(data, "x.csv", ("c", "b", "d")).to_dict("list") == {"b": ["2"], "c": ["3"]}
