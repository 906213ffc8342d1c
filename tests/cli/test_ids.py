"""Ids from an option or from a file."""

import re

import pytest

from featurediff.cli.ids import ids_of_option
from featurediff.cli.options import check_outputs
from featurediff.errors import DataError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.csv", 'source,"feature_id",note\nx,12,a\nx,3,"b, c"\nx,12,again\n'),
        ("ranking.csv", "rank,Feature,base\n1,12,0.5\n2,3.0,1\n"),
        ("ids.csv", "feature-id\n12\n3\n"),
        ("ids.txt", "12\n3\n"),
        ("ids.txt", "\ufeff12, 3; 12"),
        ("no_ending", "12 3"),
    ],
)
def test_ids_of_a_file(tmp_path, name, content):
    """A path was refused as no whole number."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert ids_of_option(str(tmp_path / name)) == (12, 3)


@pytest.mark.parametrize(("text", "ids"), [("", ()), ("12, 3", (12, 3)), ("7", (7,))])
def test_ids_of_an_option(text, ids):
    assert ids_of_option(text) == ids


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv", "source,feature_id\nx,1\ny,2\n",
         "`s.csv` has features of the sources 'x', 'y', but expected those of one. Keep its rows alone."),
        ("s.csv", "feature_id\n", "`s.csv` has no feature ids. Expected a column `feature_id`, or ids alone."),
        ("s.csv", "feature_id\n1.5\n",
         "`s.csv`: Feature ids are whole numbers such as 12, 345, but '1.5' was given (1 such)."),
        ("s.txt", "1\ntwo\n", "`s.txt`: Feature ids are whole numbers such as 12, 345, but 'two' was given (1 such)."),
    ],
)  # fmt: skip
def test_bad_files_of_ids(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        ids_of_option(str(tmp_path / name))


def test_ids_of_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be found"):
        ids_of_option(str(tmp_path / "gone.csv"))
    with pytest.raises(DataError, match=r"^Feature ids are whole numbers such as 12, 345, but 'abc' was given"):
        ids_of_option("abc")


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--html", "p.png",
         "--html writes a page, but `p.png` ends in .png. Call it `p.html`. It has a button that saves a picture."),
        ("--html", "a/p.PDF",
         "--html writes a page, but `a/p.PDF` ends in .PDF. Call it `a/p.html`. It has a button that saves a picture."),
        ("--html", "p.csv", "--html writes a page, but `p.csv` ends in .csv. Call it `p.html`."),
        ("--csv", "t.xlsx", "--csv writes a table, but `t.xlsx` ends in .xlsx. Call it `t.csv`."),
        ("--csv", "t.tsv", "--csv writes a table, but `t.tsv` ends in .tsv. Call it `t.csv`."),
        ("--parquet", "t.csv", "--parquet writes a table, but `t.csv` ends in .csv. Call it `t.parquet`."),
    ],
)  # fmt: skip
def test_files_with_the_ending_of_another_kind(tmp_path, option, name, message):
    """`--html p.png` wrote a page that no viewer of pictures opens."""
    from pathlib import Path

    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        check_outputs({option: Path(name), "--csv" if option != "--csv" else "--html": None})
    check_outputs({option: tmp_path / "without", "--html": tmp_path / "p.htm", "--csv": Path("/dev/stdout")})
