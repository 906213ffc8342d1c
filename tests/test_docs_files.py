"""What `docs/files.md` says of the two result files: each phrase is held to a file."""

import re
from pathlib import Path

import pytest
import torch
from builders import TOKEN_TYPES, make_source, model_data
from corpus import LEFT_OUT, SOURCES

from featurediff import load
from featurediff.errors import DataError
from featurediff.sources import metadata

TEXT = (Path(__file__).parents[1] / "docs/files.md").read_text(encoding="utf-8")
ROW = next(line for line in TEXT.splitlines() if line.startswith("| `base.pt`, `chat.pt` |"))
FORGIVEN, REFUSED = ROW.strip(" |").split(" | ")[2:]


def changed(change):
    """Write a base file whose vectors are changed."""

    def write(folder):
        data = model_data("base")
        for token_type in TOKEN_TYPES:
            data[token_type] = {name: change(name, tensor) for name, tensor in data[token_type].items()}
        torch.save(data, folder / "base.pt")

    return write


def saved(side="base", **fields):
    return lambda folder: torch.save(model_data(side, **fields), folder / f"{side}.pt")


READ = {
    "counts stored as whole floats": changed(lambda name, t: t.double() if name.endswith("num_active") else t),
    "other number types, also half precision": changed(
        lambda name, t: t.to(torch.uint8) if name.endswith("num_active") else t.bfloat16()
    ),
    "token types in another order": lambda folder: torch.save(
        dict(reversed(model_data("base").items())), folder / "base.pt"
    ),
    "another `model_type` or number of prompts in each model": saved(
        "chat", model_type="llama", num_target_prompts=20, num_control_prompts=30
    ),
    "two models that are not base and chat": saved(model_ver="v1"),
    "other entries (left out, with a note)": LEFT_OUT["the key 'config'"].write,
    "what is no vector, or is not in both files (likewise)": LEFT_OUT["target_n in every token type"].write,
    "numbers that are not finite (blank, with a note)": LEFT_OUT["nan in torch.float32"].write,
}
NOT_READ = {
    "a file that is cut short": "base cut at 5 tenths",
    "compressed": "compressed by deflate",
    "from before torch 1.6": "torch before 1.6",
    "another `pickle_protocol` than the default": "pickle_protocol 4",
    "code, numpy scalars, paths and the like": "holds numpy._core.multiarray.scalar",
    "sparse or quantized tensors": "a vector is sparse",
    "a missing or misspelt field": "sae_layer is missing",
    "counts that are missing": "no target counts",
    "booleans for counts": "target counts are booleans",
    "shares for counts": "target count 0.5 in torch.float64",
    "NaN or impossible counts": "target count nan in torch.float32",
    "two files of different SAEs": "another sae_layer 21",
    "of the same model": "the same model twice",
    "swapped": "swapped",
}


def test_phrases_of_the_table_are_those_that_are_tested():
    assert FORGIVEN.split("; ") == sorted(READ, key=FORGIVEN.index)
    assert REFUSED.split("; ") == sorted(NOT_READ, key=REFUSED.index)


@pytest.mark.parametrize("phrase", READ)
def test_what_is_forgiven_is_read(tmp_path, phrase):
    READ[phrase](make_source(tmp_path))
    study = load(tmp_path)
    assert len(study.table()) >= 12
    noted = any("left out" in note or "blank" in note for note in study.notes())
    assert noted == ("a note" in phrase or "likewise" in phrase)


@pytest.mark.parametrize("phrase", NOT_READ)
def test_what_is_refused_is_refused(tmp_path, phrase):
    SOURCES[NOT_READ[phrase]].write(make_source(tmp_path))
    with pytest.raises(DataError):
        load(tmp_path)


FIELDS = {
    name: need
    for names, need in re.findall(r"^\| (`[^|]+`) \| [^|]+ \| (required|optional) \|$", TEXT, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", names)
}


def test_every_field_that_is_read_is_in_the_table():
    assert set(FIELDS) == set(metadata.Metadata.__dataclass_fields__) | {"pool_tokens", "responses"}  # part of `fit`


@pytest.mark.parametrize("field", FIELDS)
def test_fields_are_required_where_the_table_says_so(tmp_path, field):
    for side in ("base", "chat"):
        data = model_data(side)
        data["metadata"].pop(field, None)
        torch.save(data, tmp_path / f"{side}.pt")
    if FIELDS[field] == "required":
        with pytest.raises(DataError, match=f"`metadata` has no `{field}`"):
            load(tmp_path)
    else:
        assert len(load(tmp_path).table()) == 12
