import csv
import io
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featurediff.app.dashboard.stars import parse_stars, stars_csv
from featurediff.csv_files import guard, to_csv, unguard, unguarded
from featurediff.export import csv_text
from featurediff.features.questions import Asked
from featurediff.features.ranked import ranking_csv
from featurediff.meaning.explain import Explained
from featurediff.meaning.explained_csv import write_rows, written_rows
from featurediff.meaning.explanation_files import parse_explanations, read_explanations

FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "＝1", "＋1", "－1", "＠x"]  # noqa: RUF001
STARTS = st.text(st.sampled_from("'=+-@ \t\r\n\"a,"), max_size=6)
TEXTS = st.builds(str.__add__, STARTS, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))


def runs(cell):
    """Tell a cell that a spreadsheet runs, by the first character that it does not drop."""
    return cell.lstrip(" \u00a0")[:1] in set("=+-@\t\r\n＝＋－＠")  # noqa: RUF001


@pytest.mark.parametrize("text", FORMULAS)
def test_formula_gets_an_apostrophe(text):
    assert runs(text)
    assert guard(text) == "'" + text
    assert guard("'" + text) == "''" + text


@pytest.mark.parametrize(
    "text", ["", "a", "a=1", "'", "''", "'a", "'quoted'", "1-2", "–", "−1", "\u200b", " a", '"=1"']
)
def test_other_text_is_left_as_it_is(text):
    assert guard(text) == unguard(text) == text


@given(TEXTS)
@example("'=1")
def test_guarded_text_runs_nowhere_and_comes_back(text):
    assert unguard(guard(text)) == text
    assert not runs(guard(text))


@given(st.lists(TEXTS, min_size=1))
@example(["a\rb", "\r", "\r\n", 'x"\r\n"y', "'\r", ""])
def test_frame_comes_back(texts):
    """A lone carriage return stood unquoted in the CSV, and its row came back as two."""
    n = len(texts)
    frame = pd.DataFrame({"text": texts, "other": texts[::-1], "kind": pd.Categorical(texts), "n": -np.arange(n)})
    text = to_csv(frame)
    assert [len(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)] == [4] * (n + 1)
    cells = pd.read_csv(io.StringIO(text), dtype="str", na_filter=False)
    assert not any(runs(cell) for name in ("text", "other", "kind") for cell in cells[name])
    assert cells["text"].tolist() == [guard(text) for text in texts]
    assert cells["n"].astype("int64").tolist() == frame["n"].tolist()
    back = unguarded(cells)
    assert back["text"].tolist() == back["kind"].tolist() == texts
    assert back["other"].tolist() == texts[::-1]


def test_numbers_stay_numbers_and_missing_is_empty():
    """Every kind of column that an export has; a formula beside them."""
    frame = pd.DataFrame(
        {
            "float32": np.array([-0.1, np.nan], dtype=np.float32),
            "int": [-7, 7],
            "bool": [True, False],
            "text": ["-7", None],
            "object": pd.Series([None, "=x"], dtype="object"),
            "kind": pd.Categorical([None, "@x"]),
        }
    )
    assert to_csv(frame) == (
        '"float32","int","bool","text","object","kind"\n'
        """-0.1,-7,true,"'-7",,\n"""
        """,7,false,,"'=x","'@x"\n"""
    )
    assert frame["text"].tolist()[0] == "-7"
    assert frame["kind"].cat.categories.tolist() == ["@x"]


def test_names_and_texts_are_in_quotes():
    frame = pd.DataFrame({'a "b", c': ["", 'd "e"', "f,g", "h\r\ni", None], "n": range(5)})
    assert to_csv(frame) == '"a ""b"", c","n"\n"",0\n"d ""e""",1\n"f,g",2\n"h\r\ni",3\n,4\n'


# Every CSV that leaves


def test_exported_table_and_ranking_do_not_run():
    said = ["=HYPERLINK(1)", "'-ing' endings"]
    token_types = pd.Categorical(["=t", "@t"])
    table = pd.DataFrame({"feature_id": [1, 2], "token_type": token_types, "exclusivity": ["both", "base"]})
    table = table.assign(base_m=[0.5, 2.0], chat_m=[0.25, 2.0], explanation=said, neuronpedia_url=["https://x/1", None])
    assert csv_text(table, "m") == (
        '"feature_id","token_type","exclusivity","base_m","chat_m","explanation","neuronpedia_url","difference"\n'
        """1,"'=t","both",0.5,0.25,"'=HYPERLINK(1)","https://x/1",-0.25\n"""
        """2,"'@t","base",2,2,"''-ing' endings",,0\n"""
    )
    assert parse_explanations(csv_text(table, "m").encode(), "x.csv").texts.tolist() == said
    ranked = pd.DataFrame(
        {"rank": [1], "token_type": ["=t"], "way": ["decrease"], "feature_id": [1], "base": [0.5], "chat": [0.25]}
    )
    ranked = ranked.assign(change=-0.25, neuronpedia_url="-x")
    assert (
        ranking_csv(ranked, Asked(metric="target_max")).splitlines()[1] == '1,"\'=t","decrease",1,0.5,0.25,-0.25,"\'-x"'
    )


@given(st.dictionaries(st.tuples(TEXTS, st.integers(0, 999)), TEXTS.map(lambda text: text[:300])))
def test_stars_do_not_run_and_come_back(stars):
    text = stars_csv(stars)
    assert not any(runs(row[0]) or runs(row[2]) for row in csv.reader(io.StringIO(text, newline="")))
    assert parse_stars(text.encode(), "x.csv") == stars


def test_long_note_that_is_guarded_comes_back():
    """The apostrophe in front is none of the note's 300 characters."""
    stars = {("demo", 1): "=" * 300}
    assert parse_stars(stars_csv(stars).encode(), "x.csv") == stars


def texts_of(texts):
    ids = np.arange(len(texts))
    columns = {"feature_id": ids, "explanation": texts, "type": "-t", "model": "@m", "url": "https://x"}
    return Explained(pd.DataFrame(columns), wanted=len(texts), unasked=0)


@given(st.lists(TEXTS.filter(str.strip), min_size=1, max_size=5))
def test_explanations_that_featurediff_wrote_come_back(tmp_path_factory, texts):
    path = tmp_path_factory.getbasetemp() / "e.csv"
    write_rows(path, texts_of(texts), None)
    with path.open(newline="") as file:
        assert not any(runs(cell) for row in csv.reader(file) for cell in row)
    explanations = read_explanations(path)
    assert explanations.texts.tolist() == texts
    assert set(explanations.rows["explanation_type"]) == {"-t"}
    assert set(explanations.rows["explanation_model"]) == {"@m"}


def test_rows_that_are_kept_are_guarded_once(tmp_path):
    path = tmp_path / "e.csv"
    write_rows(path, texts_of(["=a", "'=b", "c"]), None)
    before = path.read_bytes()
    write_rows(path, texts_of(["=a"]), written_rows(path))
    assert path.read_bytes() == before


def test_apostrophe_of_a_stranger_stays():
    """A file of somebody else's is not guarded: its quotation marks are its own."""
    explanations = parse_explanations(b"feature_id,description\n1,'-ing' endings\n2,'=x\n3,=x\n", "x.csv")
    assert explanations.texts.tolist() == ["'-ing' endings", "'=x", "=x"]


CELLS = st.text(st.sampled_from("ab'=-,\"\r\n\t é"), max_size=5)


def lists(size):
    kinds = st.none() | st.sampled_from(["a", "=b", "c,d", ""])
    cells = st.integers(-(2**53), 2**53), st.floats(width=32), st.floats(), st.booleans(), st.none() | CELLS, kinds
    return st.tuples(*(st.lists(some, min_size=size, max_size=size) for some in cells))


@settings(deadline=None)
@given(st.integers(1, 5).flatmap(lists), CELLS.filter(bool))
def test_every_cell_comes_back(columns, name):
    """Numbers bit by bit, as Python reads them; NaN, missing and empty texts are nothing."""
    whole, narrow, wide, flags, texts, kinds = columns
    frame = pd.DataFrame({
        "whole": pd.Series(whole, dtype="int64"), "narrow": pd.Series(narrow, dtype="float32"),
        name: pd.Series(wide, dtype="float64"), "flag": pd.Series(flags, dtype="bool"),
        "text": pd.Series(texts, dtype="str"), "kind": pd.Categorical(kinds, ["a", "=b", "c,d", ""]),
    })  # fmt: skip
    header, *rows = csv.reader(io.StringIO(to_csv(frame), newline=""), strict=True)
    assert header == list(frame)
    found = dict(zip(header, zip(*rows, strict=True), strict=True))
    assert [int(cell) for cell in found["whole"]] == whole
    for column, numbers, dtype in (("narrow", narrow, np.float32), (name, wide, np.float64)):
        numbers = np.array(numbers, dtype=dtype)
        known = ~np.isnan(numbers)
        assert [bool(cell) for cell in found[column]] == known.tolist()
        assert (
            np.array([float(cell) for cell in found[column] if cell], dtype=dtype).tobytes() == numbers[known].tobytes()
        )
    assert list(found["flag"]) == ["true" if flag else "false" for flag in flags]
    assert list(found["text"]) == [guard(text or "") for text in texts]
    assert list(found["kind"]) == [guard(text or "") for text in kinds]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_single_precision_gains_no_digits(numbers):
    """0.1 in single precision is 0.1, and not 0.10000000149011612: as few digits as numpy needs."""
    numbers = np.array(numbers, dtype=np.float32)
    cells = to_csv(pd.DataFrame({"n": numbers})).splitlines()[1:]
    digits = [np.format_float_scientific(number, trim="-") for number in numbers]
    assert [Decimal(cell) for cell in cells] == [Decimal(digit) for digit in digits]


def test_texts_that_lie_in_several_pieces():
    """A column that was put together of two frames lies in two pieces of memory, and could not be written."""
    frame = pd.concat([pd.DataFrame({"a": pd.Series([text], dtype="str"), "n": 1}) for text in ("x", '=y,"z')])
    assert to_csv(frame) == '"a","n"\n"x",1\n"\'=y,""z",1\n'
