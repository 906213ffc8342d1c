import re

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featurediff.csv_fast import read_fast
from featurediff.csv_files import parse_csv, read_by_pandas
from featurediff.errors import DataError

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
    fast = read_fast(data)
    if fast is not None:
        pd.testing.assert_frame_equal(fast, read_by_pandas(data, "x.csv"))


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,x\n", 'a,b\r\n1,"x, ""y""\nz"\r\n,\r\n', '\ufeffa,b_2,C\n"","é",3', "a,b\n\n1,2\n\n", '"a",b\n1,2\n'],
)
def test_usual_files_are_read_fast(text):
    data = text.encode()
    fast = read_fast(data)
    pd.testing.assert_frame_equal(fast, read_by_pandas(data, "x.csv"))


@pytest.mark.parametrize(
    "text", ["a,b\n", " a,b\n1,2\n", "a\n1\n", "a,b\n1\n", 'a,b\n1,"2', "a,a\n1,2\n", "a,b\n1,\0\n"]
)
def test_other_files_are_left_to_pandas(text):
    assert read_fast(text.encode()) is None


def test_cells_that_are_not_utf_8_are_left_to_pandas():
    assert read_fast(b"a,b\n1,\xff\n") is None
    message = "`x.csv` is not UTF-8: line 2 has the byte 0xff. Save it as CSV in UTF-8."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        parse_csv(b"a,b\n1,\xff\n", "x.csv")
