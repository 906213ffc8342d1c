import hashlib
import io
import os
import re
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import COUNTS, NUM_PROMPTS, TOKEN_TYPES, make_source, model_data
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featurediff import files
from featurediff.errors import DataError
from featurediff.files import file_identity
from featurediff.sources.model_pair import words_of_models
from featurediff.sources.notes import notes
from featurediff.sources.result_files import parse_results, read_results
from featurediff.sources.results import ModelResults, Results


def saved(data, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(data, buffer, **options)
    return buffer.getvalue()


GOOD = {"base": saved(model_data("base")), "chat": saved(model_data("chat"))}


def parse_base(data) -> Results:
    """Parse a pair whose base file holds `data` (bytes, or an object to save)."""
    return parse_results(data if isinstance(data, bytes) else saved(data), GOOD["chat"])


def parse_pair(base=None, chat=None) -> Results:
    return parse_results(saved(model_data("base", **base or {})), saved(model_data("chat", **chat or {})))


def with_vector(vector, tensor, model="base", token_type="newline"):
    data = model_data(model)
    data[token_type][vector] = tensor
    return data


def left_out(results):
    """Notes on what of the files is not used, or is blank."""
    return [*results.base.remarks, *results.chat.remarks, *results.remarks]


def refuses(message):
    return pytest.raises(DataError, match=f"^{re.escape(message)}$")


# What is read


def test_every_vector_keeps_its_place(source_dir):
    results = read_results(source_dir)
    for model in ("base", "chat"):
        loaded: ModelResults = getattr(results, model)
        assert loaded.name == f"{model}.pt"
        expected = model_data(model)
        assert list(loaded.vectors) == list(TOKEN_TYPES)
        for token_type in TOKEN_TYPES:
            assert list(loaded.vectors[token_type]) == list(expected[token_type])
            for vector, array in loaded.vectors[token_type].items():
                np.testing.assert_array_equal(array, expected[token_type][vector].numpy())
        for prompts in ("target", "control"):
            assert loaded.vectors["model"][f"{prompts}_num_active"].tolist() == COUNTS[model][prompts]
            assert loaded.metadata.num_prompts(prompts) == NUM_PROMPTS[model][prompts]


def test_properties_follow_the_file():
    results = parse_results(GOOD["base"], GOOD["chat"])
    assert results.token_types == ("model", "newline")
    assert results.num_features == 8
    assert results.vector_names == (
        *("target_all_mean", "target_all_std", "target_max", "target_num_active", "target_sparsity"),
        *("control_all_mean", "control_all_std", "control_max", "control_num_active", "control_sparsity"),
    )
    assert [name for name in results.vector_names if name not in results.metrics] == [
        "target_num_active",
        "control_num_active",
    ]
    for side in ("base", "chat"):
        assert results.of(side).sha256 == hashlib.sha256(GOOD[side]).hexdigest()


def test_token_types_are_in_the_order_of_the_base_metadata():
    results = parse_pair(base={"token_types": ["newline", "model"]})
    assert results.token_types == ("newline", "model")


def test_optional_fields_and_a_numeric_trainer():
    later = {"sae_release": "gemma-scope", "sae_id": "layer_20", "neuronpedia_id": "gemma-2-9b/20", "sae_trainer": 7}
    metadata = parse_pair(later, later).base.metadata
    assert metadata.sae_trainer == "7"
    assert (metadata.sae_release, metadata.sae_id, metadata.neuronpedia_id) == (
        "gemma-scope",
        "layer_20",
        "gemma-2-9b/20",
    )
    assert parse_pair().base.metadata.sae_release is None


def test_a_release_that_only_one_file_names_is_no_conflict():
    assert parse_pair(base={"sae_release": "gemma-scope"}).base.metadata.sae_release == "gemma-scope"


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, np.float32),
        (torch.bfloat16, np.float32),
        (torch.float8_e4m3fn, np.float32),
        (torch.float32, np.float32),
        (torch.float64, np.float64),
        (torch.bool, np.int64),
        (torch.uint8, np.int64),
        (torch.int32, np.int64),
    ],
)
def test_dtypes(dtype, expected):
    tensor = torch.tensor([0, 1, 0, 0, 1, 1, 0, 1]).to(dtype)
    base = model_data("base")
    for token_type in TOKEN_TYPES:
        base[token_type]["target_max"] = tensor
    array = parse_base(base).base.vectors["newline"]["target_max"]
    assert array.dtype == expected
    assert array.tolist() == [0, 1, 0, 0, 1, 1, 0, 1]


def test_arrays_are_read_only():
    vectors = parse_base(with_vector("target_num_active", torch.zeros(8))).base.vectors["newline"]
    assert not any(array.flags.writeable for array in vectors.values())


def test_float_counts_that_are_whole_become_integers():
    counts = parse_base(with_vector("target_num_active", torch.tensor([0.0, 8, 1, 2, 3, 4, 5, 6])))
    array = counts.base.vectors["newline"]["target_num_active"]
    assert (array.dtype, array.tolist()) == (np.int64, [0, 8, 1, 2, 3, 4, 5, 6])


def test_views_parameters_and_gradients_are_plain_numbers():
    base = model_data("base")
    steps = torch.arange(16.0)
    base["newline"]["target_max"] = steps[::2]
    base["newline"]["control_max"] = steps[:8].requires_grad_()
    base["model"]["target_max"] = torch.nn.Parameter(steps[8:].clone())
    base["model"]["control_max"] = torch.complex(steps[:8], steps[8:]).conj().imag
    results = parse_base(base).base.vectors
    assert results["newline"]["target_max"].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert results["newline"]["control_max"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert results["model"]["target_max"].tolist() == [8, 9, 10, 11, 12, 13, 14, 15]
    assert results["model"]["control_max"].tolist() == [-8, -9, -10, -11, -12, -13, -14, -15]


def test_unknown_vectors_are_metrics_and_other_keys_are_ignored():
    pair = []
    for model in ("base", "chat"):
        data = model_data(model)
        for token_type in TOKEN_TYPES:
            data[token_type] |= {"target_p90": torch.ones(8), "prompts": ["a"], "all_mean": torch.ones(3)}
        pair.append(saved(data))
    results = parse_results(*pair)
    assert results.metrics[-1] == "target_p90"
    assert not {"prompts", "all_mean"} & set(results.vector_names)


@given(st.permutations(range(8)))
@settings(max_examples=20, deadline=None)
def test_feature_order_does_not_matter(order):
    data = model_data("base")
    shuffled = {
        name: content if name == "metadata" else {vector: tensor[list(order)] for vector, tensor in content.items()}
        for name, content in data.items()
    }
    plain, moved = parse_base(data).base.vectors, parse_base(shuffled).base.vectors
    for token_type in TOKEN_TYPES:
        for vector, array in plain[token_type].items():
            np.testing.assert_array_equal(moved[token_type][vector], array[list(order)])


# Files


def test_missing_halves(tmp_path):
    with refuses(f"`{tmp_path}` has no `base.pt` and no `chat.pt`. Expected a folder with `base.pt` and `chat.pt`."):
        read_results(tmp_path)
    (make_source(tmp_path) / "chat.pt").unlink()
    with refuses(f"`{tmp_path}` has no `chat.pt`. Expected a folder with `base.pt` and `chat.pt`."):
        read_results(tmp_path)


def test_file_identity_tells_a_replaced_file(tmp_path):
    path = tmp_path / "base.pt"
    path.write_bytes(b"one")
    before = file_identity(path)
    assert before == file_identity(path)
    assert (before.path, before.size) == (path, 3)
    other = tmp_path / "other"
    other.write_bytes(b"two")
    os.utime(other, ns=(before.mtime_ns, before.mtime_ns))
    other.replace(path)
    assert file_identity(path) != before


def copied_over(path, other):
    """Like `cp -p` and `tar --overwrite`: the file stays, with other bytes."""
    shutil.copy2(other, path)


def removed_and_made(path, other):
    """Like `rm` and `tar -x`: the new file may get the inode of the old one."""
    path.unlink()
    shutil.copy2(other, path)


@pytest.mark.parametrize("replace", [copied_over, removed_and_made])
def test_file_of_the_same_size_and_time_is_told_apart(tmp_path, replace):
    """Size, time and inode stayed as they were, so the numbers of the old file were shown as the new one's."""
    path, other = tmp_path / "base.pt", tmp_path / "other"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    for file in (path, other):
        os.utime(file, ns=(10**18, 10**18))
    before = file_identity(path)
    time.sleep(0.02)  # some file systems count time in steps of 4 ms or 10 ms
    replace(path, other)
    after = file_identity(path)
    assert (after.size, after.mtime_ns, path.read_bytes()) == (before.size, before.mtime_ns, b"two")
    assert after != before


def test_no_file_and_a_folder_have_no_identity(tmp_path):
    path = tmp_path / "base.pt"
    with refuses(f"`{path}` cannot be found (No such file or directory). Does it exist, and may you read it?"):
        file_identity(path)
    with refuses(f"`{tmp_path}` is not a file, but expected one here."):
        file_identity(tmp_path)


class ChangingPath(type(Path())):
    """A path whose file is appended to each time it has been read, as many times as `changes` says."""

    changes = 0

    def read_bytes(self) -> bytes:
        data = super().read_bytes()
        if type(self).changes:
            type(self).changes -= 1
            self.write_bytes(data + b"more")
        return data


def test_a_file_that_changes_meanwhile_is_read_again(tmp_path):
    path = ChangingPath(tmp_path / "base.pt")
    path.write_bytes(b"once")
    ChangingPath.changes = 2
    assert files.read_whole(path) == b"oncemoremore"
    ChangingPath.changes = 3
    with refuses(f"`{path}` changed each of the 3 times it was read. Try again when it is written completely."):
        files.read_whole(path)


def test_empty_file():
    with refuses("`base.pt` is empty, but expected a file written by torch.save. Was the upload or copy cut short?"):
        parse_base(b"")


def test_names_of_uploads_are_in_messages():
    with refuses("`b.pt` is empty, but expected a file written by torch.save. Was the upload or copy cut short?"):
        parse_results(b"", GOOD["chat"], "b.pt", "c.pt")
    with refuses("`c.pt` is empty, but expected a file written by torch.save. Was the upload or copy cut short?"):
        parse_results(GOOD["base"], b"", "b.pt", "c.pt")


def test_not_a_torch_file():
    message = "`base.pt` is not a torch file: it starts with b'feature_', but expected what torch.save writes."
    with refuses(message):
        parse_base(b"feature_id,claude_desc\n")


def test_format_of_before_torch_1_6():
    message = "`base.pt` is in the torch format from before 1.6. Load it and re-save it with today's torch.save."
    with refuses(message):
        parse_base(saved(model_data("base"), _use_new_zipfile_serialization=False))


CUT_SHORT = "`base.pt` is cut short or damaged: its zip archive cannot be read. Copy or write it again."


def test_cut_short():
    with refuses(CUT_SHORT):
        parse_base(GOOD["base"][:-100])


def rezipped(data: bytes, compression=zipfile.ZIP_STORED, keep=lambda name: True) -> bytes:  # noqa: ARG005
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for entry in old.namelist():
            if keep(entry):
                new.writestr(entry, old.read(entry))
    return buffer.getvalue()


def test_compressed_entries():
    with refuses(
        "`base.pt`: the archive entry 'archive/data.pkl' is compressed or encrypted, but torch.save stores entries as "
        "they are. Write the file again with torch.save."
    ):
        parse_base(rezipped(GOOD["base"], zipfile.ZIP_DEFLATED))


def test_another_zip_archive():
    with refuses("`base.pt` is a zip archive but not a torch file: it has no data.pkl. Write it with torch.save."):
        parse_base(rezipped(GOOD["base"], keep=lambda name: not name.endswith("data.pkl")))


def test_an_archive_entry_twice():
    buffer = io.BytesIO(GOOD["base"])
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data.pkl", b"other")
    with refuses("`base.pt` is damaged: its archive has two entries of the same name. Write it again with torch.save."):
        parse_base(buffer.getvalue())


def test_a_flipped_bit_in_the_data():
    with zipfile.ZipFile(io.BytesIO(GOOD["base"])) as archive:
        cells = archive.read("archive/data/0")
    flipped = bytearray(GOOD["base"])
    flipped[GOOD["base"].index(cells)] ^= 1
    with refuses("`base.pt` is damaged: the checksum of its entry 'archive/data/0' is wrong. Copy or write it again."):
        parse_base(bytes(flipped))


def test_an_entry_that_is_marked_as_a_folder():
    """One flipped bit in the archive's directory: torch.load then gave whatever stood in memory, without an error."""
    directory = zipfile.ZipFile(io.BytesIO(GOOD["base"])).start_dir
    marked = bytearray(GOOD["base"])
    marked[directory + 38] ^= 0x10  # of the first entry's external attributes
    with refuses("`base.pt` is damaged: its archive entry 'archive/data.pkl' is marked as a folder. Write it again."):
        parse_base(bytes(marked))


@given(st.integers(0, len(GOOD["base"]) - 1), st.integers(1, 255))
@example(6452, 16)
@settings(max_examples=300, deadline=None)
def test_any_damaged_byte_is_refused_or_harmless(position, flip):
    data = bytearray(GOOD["base"])
    data[position] ^= flip
    try:
        results = parse_base(bytes(data))
    except DataError as error:
        assert str(error).startswith("`base.pt`")  # noqa: PT017  either outcome is right
    else:
        for token_type, vectors in parse_base(GOOD["base"]).base.vectors.items():
            for vector, array in vectors.items():
                np.testing.assert_array_equal(results.base.vectors[token_type][vector], array)


@given(st.integers(0, len(GOOD["base"]) - 1))
@settings(max_examples=100, deadline=None)
def test_every_truncation_is_refused(length):
    with pytest.raises(DataError, match=r"^`base\.pt` is "):
        parse_base(GOOD["base"][:length])


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_pickle_is_refused(pickle):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
    with pytest.raises(DataError, match=r"^`base\.pt`"):
        parse_base(buffer.getvalue())


class Order:
    """What a pickle of a stranger may ask for."""

    def __reduce__(self):
        return (os.system, ("echo this must not run",))


WANTS = (
    "which is not run: the file may come from a stranger. "
    "Store only tensors, and plain Python ints and strings in the metadata."
)


def test_a_pickle_that_wants_code(capfd):
    with refuses(f"`base.pt` wants the code '{os.system.__module__}.system', {WANTS}"):
        parse_base(model_data("base") | {"more": Order()})
    assert capfd.readouterr().out == ""


def test_numpy_scalars_in_the_metadata():
    cure = "'sae_layer' in the metadata is a numpy scalar: store int(x), float(x) or str(x)."
    with refuses(f"`base.pt` wants the code 'numpy._core.multiarray.scalar', {WANTS} {cure}"):
        parse_base(model_data("base", sae_layer=np.int64(20)))


def test_a_pickle_that_is_broken():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02]q\x00\xff.")
        archive.writestr("archive/version", b"3\n")
    reason = r"""(ValueError, "at position 5, opcode b'\\xff' unknown")"""
    with refuses(f"`base.pt` is damaged: its pickle cannot be read {reason}. Write it again with torch.save."):
        parse_base(buffer.getvalue())


# What a file holds


def test_not_a_dict():
    with refuses("`base.pt` holds a list, but expected a dict of token types and `metadata`."):
        parse_base([1, 2])
    with refuses("`base.pt` holds a Tensor, but expected a dict of token types and `metadata`."):
        parse_base(torch.ones(3))


def test_what_stands_beside_the_token_types_is_left_out():
    """A `config`, or numbers of prompts, beside the token types was refused as a token type too many."""
    data = {3: {}, "config": {"max": 3, "num_active": "all"}, "target_n": 12} | model_data("base")
    assert left_out(parse_base(data)) == ["`base.pt` has 3, 'config', 'target_n' beside its token types: left out."]


def test_a_token_type_that_the_metadata_does_not_list():
    with refuses(
        "`base.pt` has the token types 'model', 'newline', 'asst', but its metadata lists 'model', 'newline'. "
        "Expected the same ones."
    ):
        parse_base(model_data("base") | {"asst": model_data("base")["model"], "config": {}})


def test_older_format():
    old = {"all_mean": torch.ones(8), "num_active": torch.ones(8), "sparsity": torch.ones(8)}
    with refuses(
        "`base.pt`: token type 'model' is in the older format without a control half: it has 'all_mean', 'num_active', "
        "'sparsity', but expected 'target_num_active', 'control_num_active' and so on. "
        "Collect it again on target and control prompts."
    ):
        parse_base({"model": old, "metadata": {"num_prompts": 8}})


def test_no_metadata():
    data = model_data("base")
    del data["metadata"]
    with refuses("`base.pt` has no `metadata`: expected a dict of model, SAE and prompt counts under that key."):
        parse_base(data)


def test_metadata_is_no_dict():
    with refuses("`base.pt`: `metadata` is 'x', but expected a dict."):
        parse_base(model_data("base") | {"metadata": "x"})


TEXT = "a string of at most 500 Unicode characters"
STRINGS = "different, non-empty strings of at most 500 Unicode characters"
FIELDS = {
    **dict.fromkeys(("source", "model_type", "model_ver"), TEXT),
    "sae_layer": "an integer from 0 to 10000",
    "sae_trainer": f"{TEXT} or an integer",
    **dict.fromkeys(("num_target_prompts", "num_control_prompts"), "an integer from 1 to 1000000"),
    "num_features": "an integer from 1 to 2147483647",
    "token_types": f"a list of {STRINGS}",
}


@pytest.mark.parametrize(("field", "expected"), FIELDS.items())
def test_a_field_of_the_metadata_is_missing_or_of_a_wrong_type(field, expected):
    data = model_data("base")
    metadata = data["metadata"]
    for value, as_shown in ((None, "None"), (True, "True"), (2.5, "2.5"), ({}, "a dict"), (torch.ones(1), "a Tensor")):
        data["metadata"] = metadata | {field: value}
        with refuses(f"`base.pt`: `{field}` in the metadata is {as_shown}, but expected {expected}."):
            parse_base(data)
    del data["metadata"][field]
    with refuses(f"`base.pt`: `metadata` has no `{field}`, but expected {expected}."):
        parse_base(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sae_layer", -1),
        ("sae_layer", 10_001),
        ("num_target_prompts", 0),
        ("num_target_prompts", 1_000_001),
        ("num_control_prompts", -3),
        ("num_features", 0),
        ("num_features", 2**31),
    ],
)
def test_a_field_of_the_metadata_is_out_of_range(field, value):
    data = model_data("base")
    data["metadata"][field] = value
    with refuses(f"`base.pt`: `{field}` in the metadata is {value}, but expected {FIELDS[field]}."):
        parse_base(data)


@pytest.mark.parametrize("field", ["sae_release", "sae_id", "neuronpedia_id"])
def test_an_optional_field_of_a_wrong_type(field):
    results = parse_base(model_data("base", **{field: 3}))
    assert getattr(results.base.metadata, field) is None
    said = f"`base.pt`: `{field}` in the metadata is 3, but expected {TEXT}. It is left out."
    assert left_out(results) == [said]


@pytest.mark.parametrize(
    ("token_types", "position", "as_shown"), [(["a", "a"], 1, "'a'"), ([""], 0, "''"), (["a", 3], 1, "3")]
)
def test_token_types_of_the_metadata_are_different_strings(token_types, position, as_shown):
    field = f"`token_types[{position}]`"
    with refuses(f"`base.pt`: {field} in the metadata is {as_shown}, but expected {STRINGS}."):
        parse_base(model_data("base") | {"metadata": model_data("base")["metadata"] | {"token_types": token_types}})


def test_too_many_token_types():
    many = [str(number) for number in range(1001)]
    with refuses("`base.pt`: `token_types` in the metadata has 1001 names, but expected at most 1000."):
        parse_pair({"token_types": many})


def test_no_token_types():
    with refuses(f"`base.pt`: `token_types` in the metadata is empty, but expected a list of {STRINGS}."):
        parse_pair({"token_types": []})


def test_long_text_of_strangers_is_cut():
    with refuses(f"`base.pt`: `sae_layer` in the metadata is '{'x' * 78}…, but expected an integer from 0 to 10000."):
        parse_pair({"sae_layer": "x" * 10_000})
    with refuses("`base.pt`: `sae_layer` in the metadata is a huge integer, but expected an integer from 0 to 10000."):
        parse_pair({"sae_layer": 10**100})


def test_token_types_that_differ_from_the_metadata():
    with refuses(
        "`base.pt` has the token types 'model', 'newline', but its metadata lists 'model', 'asst'. "
        "Expected the same ones."
    ):
        parse_base(model_data("base") | {"metadata": model_data("base", ("model", "asst"))["metadata"]})


def test_a_token_type_is_no_dict():
    with refuses("`base.pt`: token type 'newline' is a Tensor, but expected a dict of vectors."):
        parse_base(model_data("base") | {"newline": torch.ones(8)})


# Vectors

PLACE = "`base.pt`: token type 'newline', 'target_max'"


KINDS = {
    "is a list, but expected a tensor of 8 numbers": [1.0] * 8,
    "is 12, but expected a tensor of 8 numbers": 12,
    "has 2 dimensions, but expected 1: a number for each of 8 features": torch.ones(8, 1),
    "has 7 features, but `num_features` in the metadata is 8": torch.ones(7),
    **{
        f"is a tensor that is {kind}, but expected a dense tensor of real numbers": tensor
        for kind, tensor in {
            "without data (on the meta device)": torch.empty(8, device="meta"),
            "complex": torch.ones(8, dtype=torch.complex64),
            "of dtype float4_e2m1fn_x2": torch.zeros(8, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
        }.items()
    },
}
"""Why what is saved is no vector."""


@pytest.mark.parametrize("fault", KINDS)
def test_what_is_no_vector_is_left_out_and_the_others_are_shown(fault):
    """A vector of two dimensions, such as one by prompt, took the whole source away."""
    results = parse_base(with_vector("target_max", KINDS[fault]))
    assert left_out(results) == [f"{PLACE} {fault}. It is left out."]
    assert "target_max" not in results.vector_names
    assert set(results.base.vectors["newline"]) == set(results.chat.vectors["model"])
    assert len(results.vector_names) == 9


@pytest.mark.parametrize("fault", KINDS)
def test_counts_that_are_no_vector_are_refused(fault):
    with refuses(f"`base.pt`: token type 'newline', 'control_num_active' {fault}."):
        parse_base(with_vector("control_num_active", KINDS[fault]))


def test_a_vector_that_is_none_at_several_token_types_is_said_once():
    base = model_data("base")
    for token_type in TOKEN_TYPES:
        base[token_type]["target_n"] = 12
    said = "`base.pt`: token type 'model', 'target_n' is 12, but expected a tensor of 8 numbers (so at 2 token types). "
    assert left_out(parse_base(base)) == [f"{said}It is left out."]


def test_shares_of_prompts_come_from_the_counts_where_the_file_has_none():
    """A file with counts alone has something to show."""
    pair = []
    for model in ("base", "chat"):
        data = model_data(model)
        for token_type in TOKEN_TYPES:
            data[token_type] = {name: t for name, t in data[token_type].items() if name.endswith("_num_active")}
        pair.append(saved(data))
    results = parse_results(*pair)
    assert results.metrics == ("target_sparsity", "control_sparsity")
    assert left_out(results) == []
    expected = np.array(COUNTS["chat"]["target"]) / 9
    np.testing.assert_array_equal(results.chat.vectors["model"]["target_sparsity"], expected)
    results = parse_base(with_vector("target_sparsity", torch.ones(8, 2)))
    np.testing.assert_array_equal(
        results.base.vectors["model"]["target_sparsity"], np.array(COUNTS["base"]["target"]) / 8
    )
    assert left_out(results) == [
        "`base.pt`: token type 'newline', 'target_sparsity' has 2 dimensions, but expected 1: a number for each of "
        "8 features. It is left out: num_active / n is shown."
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantized_or_nested_vector():
    quantized = torch.quantize_per_tensor(torch.ones(8), 1.0, 0, torch.qint8)
    nested = torch.nested.nested_tensor([torch.ones(3), torch.ones(5)])
    for tensor, kind, cure in ((quantized, "quantized", " Store x.dequantize()."), (nested, "nested", "")):
        with refuses(f"{PLACE} is a tensor that is {kind}, but expected a dense tensor of real numbers.{cure}"):
            parse_base(with_vector("target_max", tensor))


def test_a_vector_that_claims_more_than_the_file_has():
    data = saved(with_vector("target_max", torch.ones(1).expand(10**12)))
    with refuses(
        f"{PLACE} claims 1000000000000 elements, 4000000000000 bytes, but the whole file has {len(data)}. "
        "Write it again with torch.save."
    ):
        parse_base(data)


def test_vectors_that_claim_too_much_together():
    base = model_data("base")
    base["model"] |= {f"target_{index}": torch.ones(1).expand(2000) for index in range(40)}
    data = saved(base)
    claimed = 2 * (8 * 4 * 8 + 2 * 8 * 8) + 40 * 8000
    with refuses(
        f"`base.pt`: its tensors claim {claimed} bytes together, more than 8 times the {len(data)} bytes of the file. "
        "Write each vector out with .clone() before torch.save."
    ):
        parse_base(data)


def test_vectors_that_are_missing():
    for prompts in ("target", "control"):
        base = model_data("base")
        del base["newline"][f"{prompts}_num_active"]
        with refuses(
            f"`base.pt`: token type 'newline' has no '{prompts}_num_active', "
            "but expected the number of prompts on which each feature is active."
        ):
            parse_base(base)


def test_a_vector_that_only_one_token_type_has():
    base = model_data("base")
    del base["model"]["target_max"]
    assert left_out(parse_base(base)) == [
        "`base.pt`: token type 'model' has no 'target_max', but token type 'newline' has. It is left out."
    ]


def test_a_vector_that_only_one_model_has():
    base = model_data("base")
    for token_type in TOKEN_TYPES:
        del base[token_type]["target_max"]
    results = parse_base(base)
    assert left_out(results) == ["`base.pt` has no 'target_max', but `chat.pt` has. It is left out."]
    assert "target_max" not in {*results.base.vectors["model"], *results.chat.vectors["newline"]}
    chat = model_data("chat")
    for token_type in TOKEN_TYPES:
        del chat[token_type]["control_max"]
    results = parse_results(GOOD["base"], saved(chat))
    assert left_out(results) == ["`chat.pt` has no 'control_max', but `base.pt` has. It is left out."]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_metric_that_is_not_finite_is_blank_there(value):
    """A mean over active prompts, or a ratio to control, took the whole source away where nothing is active."""
    tensor = torch.tensor([0, 1, 2, value, 4, value, 6, 7])
    results = parse_base(with_vector("target_max", tensor))
    np.testing.assert_array_equal(
        results.base.vectors["newline"]["target_max"], [0, 1, 2, np.nan, 4, np.nan, 6, 7], strict=False
    )
    assert left_out(results) == [
        "`base.pt`: 'target_max' is NaN, infinite or beyond 2^53 at these features: 2 of 8 at 'newline'. "
        "It is blank there."
    ]


def test_blanks_are_said_of_every_token_type_together():
    names = tuple("abcde")
    base, chat = model_data("base", names), model_data("chat", names)
    for index, token_type in enumerate(names):
        base[token_type]["target_all_std"] = torch.arange(8.0).masked_fill(torch.arange(8) <= index, torch.nan)
    assert left_out(parse_results(saved(base), saved(chat))) == [
        "`base.pt`: 'target_all_std' is NaN, infinite or beyond 2^53 at these features: 1 of 8 at 'a', 2 of 8 at 'b', "
        "3 of 8 at 'c' and 2 more token types. It is blank there."
    ]


def test_a_std_of_one_prompt():
    one = {"num_target_prompts": 1}
    base = model_data("base", ("model",), **one)
    base["model"] |= {
        "target_all_std": torch.full((8,), torch.nan), "target_num_active": torch.ones(8, dtype=torch.int64)
    }  # fmt: skip
    chat = {"model": base["model"], "metadata": base["metadata"] | {"model_ver": "chat"}}
    assert left_out(parse_results(saved(base), saved(chat)))[0] == (
        "`base.pt`: 'target_all_std' is NaN, infinite or beyond 2^53 at these features: 8 of 8 at 'model'. "
        "It is blank there. A standard deviation needs two prompts, and there is one."
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_largest_value(sign):
    """Up to 2^53 a float64 holds every integer; what is beyond is no activation."""
    most = sign * 2**53
    tensor = torch.tensor([0, 0, most, 0, 0, 0, 0, 0])
    read = parse_base(with_vector("target_max", tensor)).base.vectors["newline"]["target_max"]
    assert read.tolist() == [0, 0, most, 0, 0, 0, 0, 0]
    read = parse_base(with_vector("target_max", tensor + tensor.sign())).base.vectors["newline"]["target_max"]
    np.testing.assert_array_equal(read, [0, 0, np.nan, 0, 0, 0, 0, 0])


def test_counts_that_are_booleans():
    """`(a > 0).any(0)` instead of `.sum(0)` was read as 1 of 8 prompts."""
    with refuses(
        "`base.pt`: token type 'newline', 'target_num_active' holds booleans, but expected on how many of 8 prompts "
        "each feature is active. Count them with (a > 0).sum(0), not with .any(0)."
    ):
        parse_base(with_vector("target_num_active", torch.ones(8) > 0))


@pytest.mark.parametrize(
    ("value", "fault", "prompts", "n"),
    [
        (-1, "is negative", "target", 8),
        (-1, "is negative", "control", 7),
        (9, "is above the number of prompts", "target", 8),
        (8, "is above the number of prompts", "control", 7),
        (2.5, "is not a whole number", "target", 8),
        (0.25, "is not a whole number", "control", 7),
        (np.nan, "is NaN or infinite", "target", 8),
        (2**53 + 1, "is above the number of prompts", "target", 8),
    ],
)
def test_impossible_counts(value, fault, prompts, n):
    counts = torch.tensor([0, 1, value, 1, 1, value, value, 0])
    as_shown = float(value) if isinstance(value, float) else value
    with refuses(
        f"`base.pt`: token type 'newline', '{prompts}_num_active' {fault} at 3 of 8 features, "
        f"the first is feature 2 with {as_shown}. "
        f"Expected whole numbers from 0 to {n} (`num_{prompts}_prompts`)."
    ):
        parse_base(with_vector(f"{prompts}_num_active", counts))


# The pair


def test_different_token_types():
    chat = saved(model_data("chat", ("model", "asst")))
    with refuses(
        "`chat.pt` has the token types 'model', 'asst', but `base.pt` has 'model', 'newline'. "
        "Expected the same ones: collect both at the same positions."
    ):
        parse_results(GOOD["base"], chat)


def test_different_widths():
    with refuses("`chat.pt` has 16 features but `base.pt` has 8. Were they made with the same SAE?"):
        parse_results(GOOD["base"], saved(model_data("chat", num_features=16)))


@pytest.mark.parametrize(
    ("field", "base", "chat"),
    [("sae_layer", 20, 9), ("sae_trainer", "1", "2"), ("sae_release", "a", "b"), ("sae_id", "a", "b")],
)
def test_different_saes(field, base, chat):
    with refuses(f"`chat.pt` says {field} {chat!r} but `base.pt` says {base!r}. Were they made with the same SAE?"):
        parse_pair({field: base}, {field: chat})


@pytest.mark.parametrize(
    ("base", "chat"),
    [
        ("chat", "base"),
        ("Instruct", "base"),
        ("IT", "Base "),
        ("x", "Base"),
        ("gemma-2-9b-it", "gemma-2-9b-pt"),
        ("finetuned", "pretrained"),
    ],
)
def test_swapped_files(base, chat):
    with refuses(
        f"`base.pt` says model_ver {base!r}, `chat.pt` says {chat!r}. "
        "Expected 'base' and then 'chat'. Were the two files swapped?"
    ):
        parse_pair({"model_ver": base}, {"model_ver": chat})


@pytest.mark.parametrize(
    ("base", "chat", "words"),
    [
        ("base", "chat", {}),
        (" Base", "IT", {}),
        ("base", "finetuned", {"chat": "finetuned"}),
        ("chat", "finetuned", {"base": "chat", "chat": "finetuned"}),
        ("instruct", "chat", {"base": "instruct", "chat": "chat"}),
        ("google/gemma-2-9b", "google/gemma-2-9b-it", {"base": "google/gemma-2-9b", "chat": "google/gemma-2-9b-it"}),
        ("pretrained", "base", {"base": "pretrained", "chat": "base"}),
        ("v1", "v2", {"base": "v1", "chat": "v2"}),
        ("", "tuned", {"chat": "tuned"}),
        ("a\nb", "x" * 41, {"base": "a b", "chat": "x" * 39 + "…"}),
    ],
)
def test_the_pair_is_what_the_files_say(base, chat, words):
    """Two tuned models, `chat` against `finetuned`, were refused as swapped."""
    assert words_of_models(parse_pair({"model_ver": base}, {"model_ver": chat})) == words


def test_the_same_model_twice():
    with refuses(
        "`base.pt` says model_ver 'base', `chat.pt` says 'Base'. "
        "Expected a base and a chat model. Is it the same model twice?"
    ):
        parse_pair(chat={"model_ver": "Base"})


def test_the_same_file_twice():
    with refuses("`base.pt` and `chat.pt` are the same file. Expected one of the base and one of the chat model."):
        parse_results(GOOD["base"], GOOD["base"])


# Notes

COUNT_NOTES = [
    "`base.pt` has 8 target prompts, `chat.pt` has 9: each rate is a share of its own model's prompts.",
    "`base.pt` has 7 control prompts, `chat.pt` has 6: each rate is a share of its own model's prompts.",
]


def test_notes_on_prompt_counts_and_model_types():
    assert notes(parse_pair()) == COUNT_NOTES
    same = {"num_target_prompts": 9, "num_control_prompts": 7}
    base, chat = model_data("base", **same), model_data("chat", **same)
    for data in (base, chat):
        for token_type in TOKEN_TYPES:
            del data[token_type]["target_sparsity"], data[token_type]["control_sparsity"]
    assert notes(parse_results(saved(base), saved(chat))) == []
    different = notes(parse_pair(chat={"model_type": "llama"}))
    assert different == ["`base.pt` says model_type 'gemma', `chat.pt` says 'llama'.", *COUNT_NOTES]


def test_notes_on_sparsity_that_is_something_else():
    share = model_data("base")["newline"]["target_sparsity"].clone()
    share[2:4] += torch.tensor([0.25, 2e-4])
    assert notes(parse_base(with_vector("target_sparsity", share))) == [
        *COUNT_NOTES,
        "`base.pt`: token type 'newline', 'target_sparsity' is not num_active / n at 2 of 8 features, "
        "the first is feature 2 with 0.5 instead of 0.25.",
    ]


def test_notes_on_a_sparsity_beyond_half_precision():
    """70,000 as float16 is infinite, with a warning of numpy's."""
    share = torch.tensor([0.5, 70_000.0, 0, 0, 0, 0, 0, 0])
    assert (
        " 'target_sparsity' is not num_active / n at " in notes(parse_base(with_vector("target_sparsity", share)))[-1]
    )


def test_notes_on_sparsity_that_is_its_opposite():
    share = 1 - model_data("base")["newline"]["control_sparsity"]
    assert notes(parse_base(with_vector("control_sparsity", share))) == [
        *COUNT_NOTES,
        "`base.pt`: token type 'newline', 'control_sparsity' is 1 − num_active / n, "
        "the share of prompts on which the feature is NOT active.",
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_is_no_wrong_sparsity(dtype):
    share = model_data("base")["newline"]["control_sparsity"].to(dtype)
    assert notes(parse_base(with_vector("control_sparsity", share))) == COUNT_NOTES
