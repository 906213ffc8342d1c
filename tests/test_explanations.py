import re
from hashlib import sha256

import pandas as pd
import pytest
from builders import make_explanations
from hypothesis import given
from hypothesis import strategies as st

from featurediff.errors import DataError
from featurediff.explanations import parse_explanations, read_explanations


def parse(text, num_features=None):
    return parse_explanations(text.encode(), "gemma.csv", num_features)


def texts(text, num_features=None):
    return parse(text, num_features).texts.to_dict()


def refuses(message):
    return pytest.raises(DataError, match=f"^{re.escape(message)}$")


def test_reads_the_file_as_it_is_named(tmp_path):
    path = make_explanations(tmp_path / "gemma.csv")
    explanations = read_explanations(path, num_features=2)
    assert explanations.name == "gemma.csv"
    assert explanations.sha256 == sha256(path.read_bytes()).hexdigest()
    assert explanations.texts.to_dict() == {0: "the first feature"}
    assert (explanations.outside, explanations.skipped) == (1, 0)


def test_the_index_is_sorted_unique_and_int64():
    series = parse("feature_id,description\n12,b\n3,a\n12,c\n").texts
    assert series.index.name == "feature_id"
    assert series.index.dtype == "int64"
    assert series.index.tolist() == [3, 12]
    assert series.tolist() == ["a", "c"]
    assert isinstance(series.dtype, pd.StringDtype)


@pytest.mark.parametrize("column", ["claude_desc", "description", "explanation"])
def test_text_columns(column):
    assert texts(f"link,{column},feature_id\nhttps://example.org,a text,4\n") == {4: "a text"}


def test_the_first_text_column_counts():
    header = "feature_id,explanation,description,claude_desc"
    assert texts(f"{header}\n1,third,second,first\n") == {1: "first"}


def test_quoted_commas_quotes_and_lines():
    assert texts('feature_id,description\n1,"a, ""b""\nand c"\n') == {1: 'a, "b"\nand c'}


def test_missing_texts_and_words_that_only_look_missing():
    rows = 'feature_id,description\n1,\n2,"  "\n3,null\n4,NA\n5,None\n6\n7,nan\n'
    assert texts(rows) == {3: "null", 4: "NA", 5: "None", 7: "nan"}


def test_the_last_row_of_an_id_counts_even_when_empty():
    assert texts("feature_id,description\n1,a\n2,b\n1,\n2,c\n") == {2: "c"}


def test_ids_as_pandas_writes_them():
    explanations = parse("feature_id,description\n12.0,a\n 7 ,b\n,c\n0.,d\n  ,e\n")
    assert explanations.texts.to_dict() == {0: "d", 7: "b", 12: "a"}
    assert explanations.skipped == 2


def test_byte_order_mark_spaces_in_the_header_and_windows_lines():
    assert texts("\ufefffeature_id, description\r\n1,naïve 漢字\r\n") == {1: "naïve 漢字"}


def test_ids_that_the_sae_does_not_have_are_counted():
    rows = "feature_id,description\n-1,a\n0,b\n7,c\n8,d\n8,e\n9,\n"
    explanations = parse(rows, num_features=8)
    assert explanations.texts.to_dict() == {0: "b", 7: "c"}
    assert explanations.outside == 2
    unrestricted = parse(rows)
    assert unrestricted.outside == 0
    assert unrestricted.restricted(8).texts.equals(explanations.texts)
    assert unrestricted.restricted(9).restricted(8).outside == 2


def test_a_header_alone_explains_nothing():
    explanations = parse("feature_id,description\n", num_features=8)
    assert len(explanations.texts) == 0
    assert explanations.texts.index.dtype == "int64"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), max_size=8)


@given(st.lists(st.tuples(st.none() | st.integers(-3, 12), TEXT)))
def test_agrees_with_plain_python(rows):
    lines = ['{},"{}"'.format("" if key is None else key, text.replace('"', '""')) for key, text in rows]
    explanations = parse("\n".join(["feature_id,description", *lines, ""]), num_features=10)
    last = {key: text for key, text in rows if key is not None}
    explained = {key: text for key, text in last.items() if text.strip()}
    assert explanations.texts.to_dict() == {key: text for key, text in explained.items() if 0 <= key < 10}
    assert explanations.texts.index.is_monotonic_increasing
    assert explanations.outside == sum(not 0 <= key < 10 for key in explained)
    assert explanations.skipped == sum(key is None for key, _ in rows)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data):
    try:
        parse_explanations(data, "gemma.csv")
    except DataError as error:
        assert str(error).startswith("`gemma.csv`")  # noqa: PT017  either outcome is right


@pytest.mark.parametrize("value", ["x", "1.5", "1e3", "٣", "9" * 30, "1 2", "inf"])
def test_ids_that_are_no_whole_numbers(value):
    message = (
        f"`gemma.csv`: `feature_id` in row 3 below the header is {value!r}, but expected a whole number (2 such rows)."
    )
    with refuses(message):
        parse(f"feature_id,description\n1,a\n,b\n{value},c\n{value},d\n")


def test_columns_that_are_missing():
    message = (
        "`gemma.csv` has the columns 'a', 'b', 'c', 'd', 'e' and 2 more, but expected `feature_id` "
        "and one of `claude_desc`, `description`, `explanation`."
    )
    with refuses(message):
        parse("a,b,c,d,e,f,description\n")
    with refuses(message.replace("'a', 'b', 'c', 'd', 'e' and 2 more", "'feature_id'")):
        parse("feature_id\n1\n")


def test_not_utf_8():
    with refuses("`gemma.csv` is not UTF-8: line 2 has the byte 0xef. Save it as CSV in UTF-8."):
        parse_explanations("feature_id,description\n1,naïve\n".encode("latin-1"), "gemma.csv")


def test_empty_file():
    for data in (b"", b"\n\n", b"\xef\xbb\xbf"):
        with refuses("`gemma.csv` is empty, but expected a CSV file with a header."):
            parse_explanations(data, "gemma.csv")


@pytest.mark.parametrize(
    ("rows", "detail"),
    [
        ("1,a\n2,b,c\n", "'Expected 2 fields in line 3, saw 3'"),
        ('1,"a\n', "'EOF inside string starting at row 1'"),
        ("1,a,b\n", "'Length of header or names does not match length of data. This leads to a loss …"),
    ],
)
def test_not_csv(rows, detail):
    with refuses(f"`gemma.csv` is not a CSV file: {detail}. Is a comma or a quote within a text left unquoted?"):
        parse(f"feature_id,description\n{rows}")


def test_no_such_file(tmp_path):
    path = tmp_path / "gemma.csv"
    with refuses(f"`{path}` cannot be found (No such file or directory). Does it exist, and may you read it?"):
        read_explanations(path)
