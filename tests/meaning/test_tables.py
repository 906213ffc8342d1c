import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff.csv_files import to_csv
from featurediff.errors import DataError
from featurediff.meaning import columns, tables
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.meaning.tables import read_table


def texts(data, name="e.csv"):
    return parse_explanations(data if isinstance(data, bytes) else data.encode(), name).texts.to_dict()


# ----------------------------------------------------------------------------
# What columns are called.


@pytest.mark.parametrize("name", [*columns.ID_COLUMNS, "Feature ID", "FEATURE", " featureId ", "latent-id", "Index"])
def test_ids_may_be_called(name):
    assert texts(f"{name},description\n7,seven\n") == {7: "seven"}


@pytest.mark.parametrize("name", [*columns.TEXT_COLUMNS, "Claude desc", "EXPLANATION", " Chat_Desc "])
def test_texts_may_be_called(name):
    assert texts(f"feature_id,{name}\n7,seven\n") == {7: "seven"}


def test_an_id_of_a_row_is_no_id_of_a_feature():
    """pandas writes `index` beside the column that a frame had."""
    assert texts("index,feature,label\n0,12,a\n1,7,b\n") == {12: "a", 7: "b"}
    assert texts("index,latent,label\n0,12,a\n") == {12: "a"}
    assert texts("Feature ID,feature_id,label\n5,12,a\n") == {12: "a"}
    with pytest.raises(DataError, match="has the columns 'id', 'label'"):
        texts("id,label\n12,a\n")


def test_the_second_text_fills_what_the_first_leaves_blank():
    rows = "feature_id,chat_desc,claude_desc,pt_desc\n1,chat,claude,pt\n2,chat, ,pt\n3,,,pt\n4,,claude,\n"
    assert texts(rows) == {1: "claude", 2: "chat", 4: "claude"}


def test_types_and_models_may_be_called():
    rows = "index,description,typeName,explanationModelName\n1,one,np_max-act,gpt-4o\n"
    chosen = parse_explanations(rows.encode(), "e.csv").chosen
    assert chosen.loc[1].to_dict() == {
        "explanation": "one",
        "explanation_type": "np_max-act",
        "explanation_model": "gpt-4o",
    }
    rows = "feature_id,explanation,explanation_type,explanation_model,type\n1,one,t,m,chat_only\n"
    assert parse_explanations(rows.encode(), "e.csv").chosen.loc[1, "explanation_type"] == "t"


@pytest.mark.parametrize(
    ("header", "values", "is_how"),
    [
        ("feature_id,claude_desc,type", ("acts", "logits"), True),
        ("feature_id,claude_desc,type", ("", ""), True),
        # Of persona-subspace: what kind of feature it is.
        ("feature_id,claude_desc,type", ("entity", "semantic"), False),
        ("feature_id,claude_desc,type", ("chat_only", "both"), False),
        ("source,feature_id,claude_desc,type", ("mine", "other"), False),
        ("token,feature_id,claude_desc,type", ("mine", "other"), False),
        ("source,feature_id,claude_desc,type", ("oai_token-act-pair", "eleuther_acts_top20"), True),
    ],
)
def test_type_counts_only_where_it_says_how_a_text_was_made(header, values, is_how):
    before = "x," * header.startswith(("source", "token"))
    rows = "".join(f"{before}{n},text,{value}\n" for n, value in enumerate(values))
    assert ("explanation_type" in parse_explanations(f"{header}\n{rows}".encode(), "e.csv").chosen) is is_how


# ----------------------------------------------------------------------------
# JSON and gzip.

ROWS = [
    {"index": "12", "modelId": "m", "description": 'zwölf, "12"\n', "embedding": [0.1, 0.2], "typeName": "t"},
    {"index": 3, "description": None, "extra": {"a": 1}},
    {"index": 4.0, "description": "half \ud800"},
    {"index": None, "description": "no id"},
    {"index": True, "description": "no id either"},
]
READ = {12: 'zwölf, "12"\n', 4: "half ?"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2, ensure_ascii=True),
        "\n".join(map(json.dumps, ROWS)),
        "\r\n".join(map(json.dumps, ROWS)) + "\r\n\r\n",
        "\ufeff\n" + json.dumps(ROWS),
        "\n\n".join(json.dumps(row, indent=1) for row in ROWS),
    ],
    ids=["array", "indented", "lines", "Windows lines", "a mark first", "objects on several lines"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_json_is_read_as_a_csv_is(text, pack):
    found = parse_explanations(pack(text.encode(errors="surrogatepass")), "e.json")
    assert found.texts.to_dict() == READ
    assert found.skipped == 2
    assert found.left_out == ()
    assert found.types == ("t",)


def test_gzip_may_have_several_members_and_padding():
    head, tail = b"feature_id,label\n1,one\n", b"2,two\n"
    assert texts(gzip.compress(head) + gzip.compress(tail)) == {1: "one", 2: "two"}
    assert texts(gzip.compress(head) + bytes(100)) == {1: "one"}


def test_gzip_that_unfolds_is_refused(monkeypatch):
    monkeypatch.setattr(tables, "MAX_UNPACKED", 1000)
    data = gzip.compress(b"feature_id,label\n1," + b"x" * 10_000)
    with pytest.raises(DataError) as caught:
        texts(data)
    assert str(caught.value) == "`e.csv` has more than 1,000 bytes when unpacked, but expected at most that."
    with pytest.raises(DataError):
        texts(gzip.compress(b"feature_id,label\n1," + b"x" * 600) + gzip.compress(b"x" * 600))


# ----------------------------------------------------------------------------
# Files that are still being written.

GROWING = {
    "as featurediff writes it": to_csv(
        parse_explanations(
            b'feature_id,explanation\n1,"a, ""b""\nc"\n12,"\xe6\xbc\xa2"\n123,=x\n', "x.csv"
        ).rows.reset_index()
    ).encode(),
    "without quotes": 'feature_id,link,claude_desc\n1,x,one\n12,,"two, 2"\n123,,été\n'.encode(),
    "Windows lines": b'feature_id,claude_desc,link\r\n1,one,x\r\n12,"t""w\r\no",\r\n123,y,z\r\n',
    "the id last": b"claude_desc,feature_id\none,1\ntwo,12\nthree,123\n",
    "JSON lines": b'{"index": "1", "text": "one"}\n{"index": "12", "text": "t\xc3\xa9"}\n',
    "a JSON array": b'[{"index": "1", "text": "one"},\n {"index": "12", "text": "two"}]\n',
}


@pytest.mark.parametrize("name", GROWING)
def test_every_prefix_of_a_growing_file_has_only_what_the_whole_file_says(name):
    """A file that broke off in the middle of a row was refused, and took the statistics with it."""
    data = GROWING[name]
    whole = texts(data)
    assert len(whole) >= 2
    for end in range(len(data)):
        try:
            found = parse_explanations(data[:end], "e.csv")
        except DataError as error:
            assert str(error).startswith("`e.csv`")  # noqa: PT017  no row is whole yet
            assert data[:end].count(b"\n") < 2
            continue
        for feature, text in found.texts.items():
            assert whole[feature].startswith(text), (data[:end], feature, text)
        assert len(found.texts) >= len(whole) - 1 or data[:end].count(b"\n") < data.count(b"\n") - 1
        assert len(found.left_out) <= 1


@given(st.lists(st.tuples(st.integers(0, 300), st.text(max_size=6)), min_size=1), st.data())
def test_a_prefix_never_gives_a_feature_the_text_of_another(rows, draw):
    lines = ['{},"{}"'.format(feature, text.replace('"', '""').replace("\r", "")) for feature, text in rows]
    data = "\n".join(["feature_id,text", *lines, ""]).encode(errors="replace")
    cut = data[: draw.draw(st.integers(16, len(data)))]
    said = {(feature, text.replace("\r", "").encode(errors="replace").decode()) for feature, text in rows}
    assert set(parse_explanations(cut, "e.csv").texts.items()) <= said


@pytest.mark.parametrize("header", ["\nfeature_id,explanation", '"feature\nid",explanation'])
def test_a_header_of_several_lines_that_has_no_end_is_a_table_without_rows(header):
    """The mark for a last line without an end became part of the last column's name: a KeyError."""
    assert texts(header) == {}


def test_only_what_is_needed_is_read():
    table = read_table(b'[{"a": 1, "b": [2]}, {"c": "x"}]', "e.json", lambda name: name in ("a", "c"))
    assert table.columns == ["a", "b", "c"]
    assert table.cells.to_dict("list") == {"a": ["1", ""], "c": ["", "x"]}
