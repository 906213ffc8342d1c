import json
import re
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from builders import make_explanations
from hypothesis import given
from hypothesis import strategies as st

from featurediff import load
from featurediff.errors import DataError
from featurediff.meaning.explanation_files import parse_explanations, read_explanations


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
        "`gemma.csv` has the columns 'a', 'b', 'c', 'd', 'e' and 2 more, but expected one of `feature_id`, `feature`, "
        "`feature_index`, `latent`, `latent_id`, `latent_index`, `index`, and one of `claude_desc`, `description`, "
        "`explanation`, `label`, `text`, `chat_desc`."
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
        ("1,a,b\n", "'Expected 2 fields in line 2, saw 3'"),
    ],
)
def test_not_csv(rows, detail):
    with refuses(f"`gemma.csv` is not a CSV file: {detail}. Is a comma or a quote within a text left unquoted?"):
        parse(f"feature_id,description\n{rows}")


def test_no_such_file(tmp_path):
    path = tmp_path / "gemma.csv"
    with refuses(f"`{path}` cannot be found (No such file or directory). Does it exist, and may you read it?"):
        read_explanations(path)


# ----------------------------------------------------------------------------
# Types and models.

TYPED = """feature_id,explanation,type,model
7,acts of seven,acts,gpt-4o-mini
3,acts of three,acts,gpt-4o-mini
3,logits of three, logits ,claude
5,,acts,gpt-4o-mini
5,logits of five,logits,
2,untyped,,
3,acts of three again,acts,claude
"""


def chosen(explanations):
    """The rows that count, as (text, type, model) by feature; missing is None."""
    rows = explanations.chosen
    return {
        feature_id: tuple(None if pd.isna(cell) else cell for cell in cells)
        for feature_id, cells in zip(rows.index, rows.itertuples(index=False), strict=True)
    }


def test_the_last_row_counts_whatever_its_type_until_one_is_preferred():
    explanations = parse(TYPED)
    assert chosen(explanations) == {
        2: ("untyped", None, None),
        3: ("acts of three again", "acts", "claude"),
        5: ("logits of five", "logits", None),
        7: ("acts of seven", "acts", "gpt-4o-mini"),
    }
    assert explanations.chosen.columns.tolist() == ["explanation", "explanation_type", "explanation_model"]
    assert explanations.chosen.index.name == "feature_id"


def test_a_preferred_type_counts_where_a_feature_has_it():
    explanations = parse(TYPED)
    assert chosen(explanations.preferring("logits")) == chosen(explanations) | {
        3: ("logits of three", "logits", "claude")
    }
    # The text of feature 5 of type "acts" is empty.
    assert chosen(explanations.preferring("acts")) == chosen(explanations)
    assert chosen(explanations.preferring("no such type")) == chosen(explanations)
    assert chosen(explanations.preferring("logits").preferring(None)) == chosen(explanations)


def test_types_are_told_by_how_many_texts_have_them():
    assert parse(TYPED).types == ("acts", "logits")
    assert parse(TYPED + "8,x,logits,\n9,x,logits,\n").types == ("logits", "acts")
    assert parse(TYPED, num_features=6).types == ("acts", "logits")
    assert parse("feature_id,explanation\n1,a\n").types == ()


def test_a_file_without_types_has_no_columns_of_them():
    explanations = parse("feature_id,link,explanation\n1,x,a\n")
    assert explanations.chosen.columns.tolist() == ["explanation"]
    assert explanations.preferring("acts").texts.to_dict() == {1: "a"}
    only_model = parse("feature_id,model,explanation\n1,claude,a\n")
    assert chosen(only_model) == {1: ("a", "claude")}
    assert only_model.types == ()


def test_a_preference_outlives_a_restriction():
    preferring = parse(TYPED).preferring("logits")
    assert chosen(preferring.restricted(4)) == {2: ("untyped", None, None), 3: ("logits of three", "logits", "claude")}
    assert preferring.restricted(4).outside == 2


KIND = st.sampled_from(["", "acts", "logits"])


@given(st.lists(st.tuples(st.integers(0, 4), TEXT, KIND)), KIND)
def test_preferring_agrees_with_plain_python(rows, preferred):
    lines = ['{},"{}",{}'.format(key, text.replace('"', '""'), kind) for key, text, kind in rows]
    explanations = parse("\n".join(["feature_id,description,type", *lines, ""])).preferring(preferred or None)
    expected = {}
    for feature_id in {key for key, _, _ in rows}:
        of_feature = [(text, kind) for key, text, kind in rows if key == feature_id]
        wanted = [row for row in of_feature if preferred and row[1] == preferred and row[0].strip()]
        text, kind = (wanted or of_feature)[-1]
        if text.strip():
            expected[feature_id] = (text, kind or None)
    assert chosen(explanations) == expected


def test_the_feature_table_has_type_and_model_where_the_file_has_them(source_dir, tmp_path):
    plain = load(source_dir).table().columns.tolist()
    assert "explanation_type" not in plain
    (tmp_path / "typed.csv").write_text(TYPED)
    table = load(source_dir, tmp_path / "typed.csv").table()
    at = plain.index("explanation") + 1
    assert table.columns.tolist() == [*plain[:at], "explanation_type", "explanation_model", *plain[at:]]
    of_7 = table[table["feature_id"] == 7].iloc[0]
    assert tuple(of_7[["explanation", "explanation_type", "explanation_model"]]) == (
        "acts of seven",
        "acts",
        "gpt-4o-mini",
    )
    assert table.loc[table["feature_id"] == 4, ["explanation", "explanation_type"]].isna().all(axis=None)


# ----------------------------------------------------------------------------
# Delphi's folders.


def make_delphi(folder, texts, module="layers.20", word="latent"):
    """Write a folder as delphi does: a JSON string per feature."""
    folder.mkdir(parents=True, exist_ok=True)
    for feature_id, text in texts.items():
        (folder / f"{module}_{word}{feature_id}.txt").write_text(json.dumps(text), encoding="utf-8")
    return folder


def test_reads_a_folder_of_delphi(tmp_path):
    folder = make_delphi(tmp_path / "run" / "explanations", {12: 'naïve "漢字"', 3: "a\nb", 5: " "})
    (folder / "notes.txt").write_text("not of delphi")
    explanations = read_explanations(folder)
    assert chosen(explanations) == {3: ("a\nb", "delphi"), 12: ('naïve "漢字"', "delphi")}
    assert (explanations.name, explanations.outside, explanations.skipped) == ("explanations", 0, 0)
    assert explanations.types == ("delphi",)
    assert explanations.texts.index.dtype == "int64"
    assert read_explanations(folder, num_features=12).outside == 1


def test_delphis_settings_name_the_model(tmp_path):
    folder = make_delphi(tmp_path / "run" / "explanations", {3: "a"})
    (tmp_path / "run" / "run_config.json").write_text('{"explainer_model": "Llama-70B"}')
    assert chosen(read_explanations(folder)) == {3: ("a", "delphi", "Llama-70B")}


@pytest.mark.parametrize(
    "settings", ["no JSON", "[]", "{}", '{"explainer_model": 3}', '{"explainer_model": "\\ud800"}', "[" * 100_000]
)
def test_delphis_settings_may_be_anything(tmp_path, settings):
    folder = make_delphi(tmp_path / "run" / "explanations", {3: "a"})
    (tmp_path / "run" / "run_config.json").write_text(settings)
    assert chosen(read_explanations(folder)) == {3: ("a", "delphi")}


def test_what_delphi_could_not_parse_is_missing(tmp_path):
    folder = make_delphi(tmp_path / "d", {3: "Explanation could not be parsed.", 4: "b"})
    assert read_explanations(folder).texts.to_dict() == {4: "b"}


def test_older_names_hidden_modules_and_halves_of_surrogates(tmp_path):
    assert read_explanations(make_delphi(tmp_path / "old", {3: "a"}, word="feature")).texts.to_dict() == {3: "a"}
    assert read_explanations(make_delphi(tmp_path / "dot", {3: "a"}, module=".model.layers.20")).texts.to_dict() == {
        3: "a"
    }
    assert read_explanations(make_delphi(tmp_path / "half", {3: "a\ud800b"})).texts.to_dict() == {3: "a?b"}


def test_the_digest_of_a_folder_tells_names_and_contents_apart(tmp_path):
    folders = [
        make_delphi(tmp_path / str(n), texts) for n, texts in enumerate([{3: "a"}, {3: "b"}, {4: "a"}, {3: "a"}])
    ]
    digests = [read_explanations(folder).sha256 for folder in folders]
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]


def test_folders_that_are_not_of_delphi(tmp_path):
    """Brackets in brackets were a RecursionError."""
    empty = tmp_path / "empty"
    empty.mkdir()
    message = f"`{empty}` has no file of delphi such as `layers.20_latent123.txt`. Expected those, or name a CSV file."
    with refuses(message):
        read_explanations(empty)
    two = make_delphi(make_delphi(tmp_path / "two", {3: "a"}), {3: "a"}, module="layers.9")
    message = (
        f"`{two}` explains several modules: 'layers.20', 'layers.9'. Move the files of one to a folder of their own."
    )
    with refuses(message):
        read_explanations(two)
    bad = make_delphi(tmp_path / "bad", {3: 7})
    with refuses("`bad/layers.20_latent3.txt` holds 7, but expected a file of delphi: one string in quotes."):
        read_explanations(bad)
    for data in (b"\xff", b"", b'"open', b"1" * 10_000, b"[" * 100_000):
        (bad / "layers.20_latent3.txt").write_bytes(data)
        with refuses("`bad/layers.20_latent3.txt` is not JSON, but expected a file of delphi: one string in quotes."):
            read_explanations(bad)


def test_a_source_takes_a_folder_of_delphi(source_dir, tmp_path):
    folder = make_delphi(tmp_path / "explanations", {0: "of zero", 99: "outside"})
    study = load(source_dir, folder)
    assert study.explanation(0) == "of zero"
    assert study.notes()[-1:] == ["`explanations` has 1 explanation of features that this SAE does not have: left out."]
    assert np.array_equal(study.table()["explanation_type"].notna(), study.table()["feature_id"] == 0)
