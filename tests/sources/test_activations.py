import os

import numpy as np
import pandas as pd
import pytest
from builders import activation_rows, make_source

from featurediff import load
from featurediff.errors import DataError
from featurediff.sources.activations import find_activations

TYPES = ("model", "newline")


def write(folder, rows, columns=("model", "prompt_set", "token_type", "prompt_id", "feature_id", "activation")):
    pd.DataFrame(rows, columns=list(columns)).to_parquet(folder / "activations.parquet", index=False)


def firing(study, shift):
    return list(activation_rows(study, shift).itertuples(index=False, name=None))


@pytest.fixture
def folder(tmp_path):
    return make_source(tmp_path / "gemma_trainer131k-l0-114_layer20" / "personal_40", num_target_prompts=9)


def test_missing_column_and_a_file_that_is_no_parquet(folder):
    write(folder, [("base", 0)], ("model", "feature_id"))
    with pytest.raises(DataError) as caught:
        find_activations(folder).of_feature(0, "model")
    assert str(caught.value) == (
        "`activations.parquet` has the columns 'model', 'feature_id', but expected 'prompt_set', 'token_type', "
        "'prompt_id', 'activation' as well, once each."
    )
    (folder / "activations.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"^`activations.parquet` cannot be read as Parquet \(.+\)\. Was it written"):
        find_activations(folder).of_feature(0, "model")


def test_prompts_of_a_feature_side_by_side(folder):
    rows = [
        ("base", "target", "model", 0, 2, 1.5),
        ("chat", "target", "model", 0, 2, 2.5),
        ("chat", "target", "model", 3, 2, 7.0),
        ("base", "control", "model", 1, 2, 9.0),
        ("base", "target", "newline", 5, 2, 4.0),
        ("base", "target", "model", 5, 1, 4.0),
    ]
    write(folder, rows)
    listing = find_activations(folder).of_feature(2, "model")
    assert listing.drop(columns="content").to_numpy().tolist() == [
        ["target", 3, 0.0, 7.0],
        ["target", 0, 1.5, 2.5],
        ["control", 1, 9.0, 0.0],
    ]
    assert listing["content"].isna().all()
    prompts = [("target", 0, "Who are you?"), ("target", 3, "*Who*\nelse?"), ("control", 0, "2 + 2")]
    pd.DataFrame(prompts, columns=["prompt_set", "prompt_id", "content"]).to_parquet(folder / "prompts.parquet")
    texts = find_activations(folder).of_feature(2, "model")["content"]
    assert texts.tolist()[:2] == ["*Who*\nelse?", "Who are you?"]
    assert texts.isna().tolist() == [False, False, True]
    assert find_activations(folder).of_feature(0, "model").empty
    assert np.array_equal(listing.index, [0, 1, 2])


def test_prompt_set_that_is_neither(folder):
    """It was listed with no prompt set, behind a warning of pandas'."""
    write(folder, [("base", "targets", "model", 0, 2, 1.5), ("base", "target", "model", 0, 2, 1.5)])
    with pytest.raises(DataError) as caught:
        find_activations(folder).of_feature(2, "model")
    assert str(caught.value) == (
        "`activations.parquet`: `prompt_set` is 'targets' in 1 rows, but expected 'target', 'control'."
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, None])
def test_activation_that_is_no_number(folder, value):
    """A missing activation was shown as 0, that is as a silent feature."""
    write(folder, [("base", "target", "model", 0, 2, value), ("base", "target", "model", 1, 2, 1.5)])
    with pytest.raises(DataError) as caught:
        find_activations(folder).of_feature(2, "model")
    message = "`activations.parquet`: `activation` is missing or not finite in 1 rows, but expected fractions."
    assert str(caught.value) == message


def test_metadata_of_pandas_is_not_read(folder):
    """Pandas' notes on a table are JSON in the file; damaged ones were a JSONDecodeError."""
    write(folder, [("base", "target", "model", 0, 2, 1.5)])
    path = folder / "activations.parquet"
    path.write_bytes(path.read_bytes().replace(b'{"index_columns"', b'{"index_columns}'))
    assert len(find_activations(folder).of_feature(2, "model")) == 1


def test_word_of_the_footer_on_what_is_in_the_file_does_not_count(folder):
    """Damaged statistics in the footer, which no checksum covers, hid the prompts: the feature looked silent."""
    write(folder, [("base", "target", "model", 0, 77_777, 1.5)])
    path = folder / "activations.parquet"
    data, said = path.read_bytes(), (77_777).to_bytes(8, "little")
    head, _, tail = data.partition(said)  # the cell itself; then least and largest, in the footer
    assert tail.count(said) >= 2
    path.write_bytes(head + said + tail.replace(said, (99_999).to_bytes(8, "little")))
    assert len(find_activations(folder).of_feature(77_777, "model")) == 1


def test_listing_that_does_not_fit_the_counts_is_refused(folder):
    """The prompts of another run were listed beside a feature that fires on others."""
    study = load(folder)
    rows = [row for row in firing(study, 1) if row[3:5] != (0, 2)]
    write(folder, rows)
    assert len(find_activations(folder).of_feature(2, "model")) == 6 + 3
    assert len(find_activations(folder).of_feature(0, "model", study.results)) == 6
    with pytest.raises(DataError) as caught:
        find_activations(folder).of_feature(2, "model", study.results)
    assert str(caught.value) == (
        "`activations.parquet` has feature 2 active on 3 target prompts in base at 'model', but `base.pt` says 4. "
        "Were they made together?"
    )


def test_what_is_said_twice_is_refused(folder):
    """Of two activations on one prompt their mean was shown; two texts of one prompt ended the app."""
    write(folder, [("base", "target", "model", 0, 2, 1.5), ("base", "target", "model", 0, 2, 9.5)])
    with pytest.raises(DataError) as caught:
        find_activations(folder).of_feature(2, "model")
    assert str(caught.value) == (
        "`activations.parquet` has two activations of feature 2 at 'model' on one prompt in one model. Expected one."
    )
    write(folder, [("base", "target", "model", 0, 2, 1.5)])
    prompts = pd.DataFrame(
        [("target", 0, "Who?"), ("target", 0, "What?")], columns=["prompt_set", "prompt_id", "content"]
    )
    prompts.to_parquet(folder / "prompts.parquet")
    with pytest.raises(DataError) as caught:
        find_activations(folder).of_feature(2, "model")
    assert str(caught.value) == "`prompts.parquet` has two texts of one prompt. Expected one."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", ["activations.parquet", "prompts.parquet", "difference.parquet"])
def test_pipe_beside_the_results_is_read_by_nobody(folder, name):
    """It took the statistics away, though what lies beside them is optional."""
    write(folder, [("base", "target", "model", 0, 2, 1.5)])
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    study = load(folder)
    assert len(study.table()) == len(load(make_source(folder.parent / "plain", num_target_prompts=9)).table())
    study.notes()
