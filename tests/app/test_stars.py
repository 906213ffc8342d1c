import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff.app.dashboard.stars import MAX_NOTE, parse_stars, stars_csv
from featurediff.errors import DataError

LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def test_stars_as_csv():
    stars = {("gemma/personal", 7): "", ("gemma/personal", 3): 'says "I", twice', ("demo", 7): "another SAE"}
    assert stars_csv(stars) == (
        '"source","feature_id","note"\n'
        '"gemma/personal",7,""\n"gemma/personal",3,"says ""I"", twice"\n"demo",7,"another SAE"\n'
    )


@given(st.dictionaries(st.tuples(LINES, st.integers(0, 999_999_999)), LINES))
def test_stars_come_back_as_they_went(stars):
    found = parse_stars(stars_csv(stars).encode(), "stars.csv")
    assert found == stars
    assert list(found) == list(stars)


def test_file_with_other_columns_and_without_notes():
    assert parse_stars(b"\xef\xbb\xbfrank,feature_id,source\n1, 12 ,demo\n2,12,demo\n", "x.csv") == {("demo", 12): ""}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "`x.csv` has the columns none, but expected 'source', 'feature_id' as well."),
        (b"source,id\n", "`x.csv` has the columns 'source', 'id', but expected 'feature_id' as well."),
        (
            b"source,feature_id\ndemo,7\ndemo,-1\n",
            "`x.csv`: `feature_id` in row 2 is '-1', but expected a whole number.",
        ),
        (b"source,feature_id\ndemo\n", "`x.csv`: `feature_id` in row 1 is '', but expected a whole number."),
        (
            b"source,feature_id,note\ndemo,1," + b"x" * (MAX_NOTE + 1),
            "`x.csv`: the note in row 1 has 301 characters, but expected at most 300.",
        ),
        (b"source,feature_id\n" + b"demo,1\n" * 10_001, "`x.csv` has 10001 rows, but expected at most 10000."),
        (
            b"source,feature_id\n\xff,1\n",
            "`x.csv` is not a CSV file in UTF-8 (\"'utf-8' codec can't decode byte 0xff in position 18: invalid start "
            'byte"). Expected one that featurediff wrote.',
        ),
    ],
)
def test_what_is_no_list_of_stars(data, message):
    with pytest.raises(DataError) as caught:
        parse_stars(data, "x.csv")
    assert str(caught.value) == message


def test_last_of_several_notes_counts():
    data = b"source,feature_id,note\nx,1,first\nx,2,other\nx,1,last\n"
    assert parse_stars(data, "s.csv") == {("x", 1): "last", ("x", 2): "other"}


def test_note_may_be_as_long_as_is_said():
    note = "x" * MAX_NOTE
    assert parse_stars(stars_csv({("x", 1): note}).encode(), "s.csv") == {("x", 1): note}
