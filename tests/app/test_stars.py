import pytest
from hypothesis import given
from hypothesis import strategies as st
from limited import under_limit

from featurediff.app.dashboard.small_csv import MAX_BYTES, MOST
from featurediff.app.dashboard.stars import MAX_NOTE, parse_stars, stars_csv, with_stars
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
            b"source,feature_id\n" + bytes(MAX_BYTES),
            "`x.csv` has 1,048,594 bytes, but expected at most 1,048,576. Cut it into several files.",
        ),
        (
            b"source,feature_id\n\xff,1\n",
            "`x.csv` is not a CSV file in UTF-8 (\"'utf-8' codec can't decode byte 0xff in position 18: invalid start "
            "byte\"). Expected one with 'source', 'feature_id'.",
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


HUNGRY = {
    "many rows": (b"source,feature_id\n" + b"x,1\n" * 5_000_000, "`s.csv` has 20,000,018 bytes, but expected at most"),
    "many columns": (b"source,feature_id" + b",a" * 200_000 + b"\n" + b"x,1\n" * 100_000, "`s.csv` has 100000 rows"),
    "a long row": (b"source,feature_id\nx,1" + b",a" * 500_000, "{('x', 1): ''}"),
}


def parse_hungry(kind):
    return parse_stars(HUNGRY[kind][0], "s.csv")


@pytest.mark.parametrize("kind", HUNGRY)
def test_stars_take_no_memory(kind):
    """Each row became a dict before they were counted: 20 MB took 1.2 GB, and many columns had no end."""
    outcome = under_limit(parse_hungry, kind, megabytes=300)
    assert outcome.said.startswith(HUNGRY[kind][1])
    assert outcome.megabytes < 100


def test_stars_of_a_file_join_those_of_the_session():
    mine, theirs = {("x", 1): "mine", ("x", 2): "kept"}, {("x", 1): "theirs", ("y", 1): "new"}
    assert with_stars(mine, theirs, "s.csv") == {("x", 1): "theirs", ("x", 2): "kept", ("y", 1): "new"}
    assert mine[("x", 1)] == "mine"


def test_session_has_a_largest_number_of_stars():
    """Files one after the other had no end together."""
    mine = {("x", feature_id): "" for feature_id in range(MOST)}
    assert with_stars(mine, {("x", 5): "a note"}, "s.csv")[("x", 5)] == "a note"
    with pytest.raises(DataError) as caught:
        with_stars(mine, {("y", 5): ""}, "s.csv")
    assert str(caught.value) == (
        "`s.csv` would make 10001 stars of the 10000 that you have, but expected at most 10000."
    )
