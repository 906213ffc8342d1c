import collections
import contextlib
import io
import os
import re
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from builders import NUM_FEATURES, TOKEN_TYPES, make_source, model_data
from conftest import SAE_FOLDER
from corpus import ACTIVATIONS, EXPLANATIONS, LEFT_OUT, PARTLY, RAN, SOURCES, STARS, rewritten, saved

from featurediff import cli, load
from featurediff.app.dashboard.stars import parse_stars
from featurediff.charts.view import Kind, View, default_metric
from featurediff.errors import DataError
from featurediff.export import csv_text
from featurediff.features.questions import QUESTIONS, effect_of
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.sources.activations import find_activations
from featurediff.sources.pairs import read_pairs
from featurediff.sources.pt_zip import MAX_ENTRIES
from featurediff.sources.result_files import parse_results


def check(message, says):
    """Hold a message to what it must name, in this order."""
    assert re.match(r"`[^`]+`", message), "it names a file first"
    assert re.search(".*".join(map(re.escape, says)), message, re.DOTALL), message
    assert len(message) < 1000
    assert message.isprintable()


# What is refused


def test_corpus_is_large_and_every_case_names_something():
    cases = [bad.says for group in (SOURCES, LEFT_OUT) for bad in group.values()]
    cases += [says for group in (EXPLANATIONS, STARS, ACTIVATIONS) for _, says in group.values()]
    assert len(SOURCES) >= 200
    assert len(LEFT_OUT) >= 60
    assert len(cases) >= 300
    assert all(says and all(says) for says in cases)


@pytest.mark.parametrize("name", SOURCES)
def test_bad_source_is_refused_by_name_and_runs_nothing(tmp_path, monkeypatch, capsys, name):
    folder = make_source(tmp_path / "a source")
    SOURCES[name].write(folder)
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    with pytest.raises(DataError) as caught:
        load(folder)
    assert time.monotonic() - started < 10, "that is a hang"
    check(str(caught.value), SOURCES[name].says)
    assert not list(tmp_path.rglob(RAN))
    monkeypatch.setattr(sys, "argv", ["featurediff", "export", str(folder), "--csv", str(tmp_path / "t.csv")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.strip() == str(caught.value)
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_cannot_be_used_is_left_out_by_name_and_the_counts_are_kept(tmp_path, monkeypatch, name):
    """NaN in one metric, or a vector of two dimensions, took the whole source away."""
    folder = make_source(tmp_path / "a source")
    plain = load(folder).table()
    LEFT_OUT[name].write(folder)
    study = load(folder)
    said = [note for note in study.notes() if re.search(".*".join(map(re.escape, LEFT_OUT[name].says)), note)]
    assert len(said) == 1, study.notes()
    check(said[0], LEFT_OUT[name].says)
    table = study.table()
    counts = ["feature_id", "exclusivity", "inconsistent", "base_target_num_active", "chat_control_num_active"]
    pd.testing.assert_frame_equal(table[counts], plain[counts])
    assert table["sparsity_change_q"].equals(plain["sparsity_change_q"])
    assert not np.isinf(table.select_dtypes("number").to_numpy(dtype=np.float64)).any()
    for metric in {default_metric(study.results), "target_max", "target_all_mean"} & set(study.results.metrics):
        for question in QUESTIONS:
            view = View(metric, question=question, alpha=1)
            kept = study.table_of(view)
            assert study.finding(view, kept)
            for chart in get_args(Kind):
                is_tested = len(kept[f"{effect_of(question, metric)}_test"].cat.categories) > 0
                with (
                    contextlib.nullcontext()
                    if is_tested or chart != "volcano"
                    else pytest.raises(DataError, match=r"There is no volcano of .*cannot be tested")
                ):
                    study.draw(kept, replace(view, chart=chart))
    for command in (["export", folder, "--csv", tmp_path / "t.csv", "--html", tmp_path / "t.html"], ["check", folder]):
        monkeypatch.setattr(sys, "argv", ["featurediff", *map(str, command)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert not stopped.value.code


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_bad_explanations_are_refused_by_name(name):
    data, says = EXPLANATIONS[name]
    with pytest.raises(DataError) as caught:
        parse_explanations(data, "e.csv")
    check(str(caught.value), says)


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_bad_explanations_never_take_the_statistics_away(tmp_path, name):
    """The whole source was refused, and `compare` went on without it."""
    tree = tmp_path / "results" / SAE_FOLDER
    folder = make_source(tree / "personal_40")
    plain = load(folder)
    (tmp_path / "explanations").mkdir()
    file = tmp_path / "explanations" / f"{SAE_FOLDER}.csv"
    file.write_bytes(EXPLANATIONS[name][0])
    study = load(folder)
    assert study.explanations is None
    assert study.unexplained in study.notes()
    check(study.unexplained.replace(file.name, "e.csv"), EXPLANATIONS[name][1])
    assert study.unexplained.endswith(" So features are shown without explanations.")
    pd.testing.assert_frame_equal(study.table(), plain.table())


@pytest.mark.parametrize("name", PARTLY)
def test_explanations_that_break_off_are_read_up_to_there(name):
    data, says = PARTLY[name]
    found = parse_explanations(data, "e.csv")
    (note,) = found.left_out
    check(note, says)
    assert found.texts.to_dict().items() <= {1: "one", 2: "two"}.items()


@pytest.mark.parametrize("name", STARS)
def test_bad_stars_are_refused_by_name(name):
    data, says = STARS[name]
    with pytest.raises(DataError) as caught:
        parse_stars(data, "s.csv")
    check(str(caught.value), says)


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    """A source whose prompts can be paired."""
    return load(make_source(tmp_path_factory.mktemp("paired"), num_target_prompts=9, num_control_prompts=7))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bad_activations_are_refused_by_name_and_the_change_is_tested_without(paired, name):
    data, says = ACTIVATIONS[name]
    (paired.source.folder / "activations.parquet").write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_pairs(find_activations(paired.source.folder), paired.results)
    check(str(caught.value), says)
    study = load(paired.source.folder)
    assert study.changes().effects["sparsity_change", "model"].tested.test == "fisher"
    assert f"{caught.value} The tests use counts and means alone, which are weaker." in study.notes()


# What broke once


def refused(tmp_path, name):
    folder = make_source(tmp_path)
    SOURCES[name].write(folder)
    with pytest.raises(DataError):
        load(folder)


def test_memory_of_the_process_is_no_vector(tmp_path):
    """`torch.FloatTensor(8)` is allowed by weights_only: a vector was whatever stood in memory, other at each load."""
    refused(tmp_path, "holds torch.FloatTensor")


def test_pickle_allocates_nothing_by_itself():
    """A kilobyte of pickle took 10 GB: `bytearray(10**10)`, or a vector with one element of memory made float64."""
    names = ("bytearray", "torch._utils._rebuild_device_tensor_from_cpu_tensor", "torch.storage.UntypedStorage")
    code = (
        "import resource, sys, tempfile, corpus, builders, featurediff\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "for name in sys.argv[1:]:\n"
        "    folder = builders.make_source(tempfile.mkdtemp())\n"
        "    corpus.SOURCES[f'holds {name}'].write(folder)\n"
        "    try:\n"
        "        featurediff.load(folder)\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
    )
    path = os.pathsep.join(map(str, (Path(__file__).parents[1], Path(__file__).parents[2])))
    run = [sys.executable, "-c", code, *names]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": path})
    lines = done.stdout.splitlines()
    assert all(f"{name}', which is not run" in line for name, line in zip(names, lines, strict=True)), done.stdout


def test_pickle_that_unfolds_is_no_hang(tmp_path):
    """Sixty tuples, each twice in the next, as a key: its hash would have taken until the sun is cold."""
    refused(tmp_path, "tuples that take years to hash")


def test_archive_has_one_directory(tmp_path):
    """Torch read the directory that the archive's end names, zipfile the one before the end: what was checked was not
    what was loaded, so compressed and damaged entries came through.
    """
    refused(tmp_path, "two directories")


def with_more_entries(count):
    """Return a file with empty entries more, as torch's own writer puts them together."""
    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    with zipfile.ZipFile(io.BytesIO(ODD["plain"])) as archive:
        for name in (name for name in archive.namelist() if not name.endswith(("/version", "/.data/serialization_id"))):
            writer.write_record(name.partition("/")[2], archive.read(name), archive.getinfo(name).file_size)
    for number in range(count):
        writer.write_record(f"data/more{number}", b"", 0)
    writer.write_end_of_file()
    return buffer.getvalue()


def test_archive_of_very_many_entries_is_read():
    """
    From 65,536 entries on their number has no room in an archive's last record: reading it was a struct.error.

    100 positions with 1,002 vectors each have so many.
    """
    odd, plain = (parse_results(data, CHAT).base for data in (with_more_entries(2**16), ODD["plain"]))
    np.testing.assert_array_equal(odd.vectors["model"]["target_max"], plain.vectors["model"]["target_max"])


def test_number_of_entries_has_an_end():
    """zipfile makes an object of each entry before anything can be asked: 20 MB of them took 400 MB."""
    message = "`base.pt` has 131,073 archive entries, but expected at most 131,072: one for each vector."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        parse_results(b"PK\x03\x04" + b"PK\x01\x02" * (MAX_ENTRIES + 1), CHAT)


def test_entry_without_a_name(tmp_path):
    """Asking zipfile whether such an entry is a folder was an IndexError."""
    refused(tmp_path, "an entry without a name")


def test_number_of_prompts_has_an_end(tmp_path):
    """10^100 prompts were a TypeError, and 10^12 a hang: the exact tests hold a number for each prompt."""
    refused(tmp_path, "num_target_prompts is huge")
    refused(tmp_path, "num_control_prompts is large")
    study = load(make_source(tmp_path, num_target_prompts=1_000_000, num_control_prompts=1_000_000))
    assert study.table()[["sparsity_change_p", "all_mean_change_p"]].notna().all(axis=None)


def test_half_a_character_is_no_name(tmp_path):
    """A name that UTF-8 cannot hold got in, and then no page or CSV of that source could be written."""
    refused(tmp_path, "model_type is half a character")
    LEFT_OUT[r"a vector called 'target_\ud800'"].write(make_source(tmp_path))
    assert csv_text(load(tmp_path).table(), "target_max").encode()


def test_integers_do_not_wrap(tmp_path):
    """2^64 − 1 in a uint64 vector was read as −1, and a difference of large int64 values had the wrong sign."""
    for name in ("18446744073709551615 in torch.uint64", "-9223372036854775808 in torch.int64"):
        LEFT_OUT[name].write(make_source(tmp_path))
        read = load(tmp_path).results.base.vectors["newline"]["target_max"]
        np.testing.assert_array_equal(read, [0, 1, np.nan, 1, 1, 1, 1, 1])
    refused(tmp_path, "target count 18446744073709551615 in torch.uint64")


def test_differences_are_finite(tmp_path):
    """The difference of 3·10^38 and −3·10^38 is infinite, and so was a range of the chart."""
    LEFT_OUT["-3e+38 in torch.float32"].write(make_source(tmp_path))
    read = load(tmp_path).results.base.vectors["newline"]["target_max"]
    np.testing.assert_array_equal(read, [0, 1, np.nan, 1, 1, 1, 1, 1])


def test_column_that_is_there_twice():
    """`feature_id, feature_id` was an AttributeError."""
    with pytest.raises(DataError):
        parse_explanations(*EXPLANATIONS["a column twice"][:1], "e.csv")


# What is right, and odd


def odd_files():
    """Files that say the same as `model_data("base")`, in other ways."""
    good = model_data("base")
    yield "plain", saved(good)
    yield "rewritten by zipfile", rewritten()
    buffer = io.BytesIO(rewritten())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("archive/../../etc/passwd", b"x")
        archive.writestr("archive/notes – ü.txt", b"\xff" * 100)
    yield "more entries", buffer.getvalue()
    yield "ordered dicts", saved(collections.OrderedDict((k, collections.OrderedDict(v)) for k, v in good.items()))
    more = {"shape": torch.Size([1]), "device": torch.device("cpu"), "dtype": torch.float16, "set": {1}, "deep": [[{}]]}
    yield "more metadata", saved(good | {"metadata": good["metadata"] | more})
    extra = {"prompts": ["<b>"], "all_mean": torch.full((3,), torch.nan), 7: None, "mask": torch.ones(2, 2) > 0}
    yield "other keys", saved({k: v if k == "metadata" else v | extra for k, v in good.items()})
    yield "another order", saved({k: dict(reversed(good[k].items())) for k in ("metadata", "newline", "model")})
    for dtype in (torch.float64, torch.uint8, torch.int32):
        counts = {
            name: {k: t.to(dtype) if k.endswith("num_active") else t for k, t in good[name].items()}
            for name in TOKEN_TYPES
        }
        yield f"counts in {dtype}", saved(good | counts)
    for name in TOKEN_TYPES:
        stacked = torch.stack([t.to(torch.float64) for t in good[name].values()], dim=1)
        good = good | {name: dict(zip(good[name], stacked.unbind(1), strict=True))}
    yield "columns of one array", saved(good)
    yield "parameters", saved({
        k: v if k == "metadata" else {n: torch.nn.Parameter(t) for n, t in v.items()} for k, v in good.items()
    })  # fmt: skip


ODD = dict(odd_files())
CHAT = saved(model_data("chat"))


@pytest.mark.parametrize("name", ODD)
def test_odd_file_is_read_as_the_plain_one(name):
    plain, odd = (parse_results(data, CHAT) for data in (ODD["plain"], ODD[name]))
    assert odd.base.metadata == plain.base.metadata
    assert set(odd.base.vectors) == set(plain.base.vectors)
    for token_type, vectors in plain.base.vectors.items():
        assert set(odd.base.vectors[token_type]) == set(vectors)
        for vector, array in vectors.items():
            np.testing.assert_array_equal(odd.base.vectors[token_type][vector], array)


NAMES = (
    "two words",
    "naïve – 模型",
    "\u202egnp.exe",
    "a\nb",
    "<script>",
    "=1+1",
    "'",
    "%s{feature_id}",
    "\U0001f600" * 20,
)


@pytest.mark.parametrize("name", NAMES)
def test_name_may_be_anything(tmp_path, name):
    """Of a folder, a token type, a vector and the model, all the way to a page and a table."""
    folder = tmp_path / "results" / f"{name}_trainer{name}_layer3" / name
    for side in ("base", "chat"):
        data = model_data(side, (name, "model"), model_type=name, sae_trainer=name, source=name)
        for token_type in (name, "model"):
            data[token_type][f"target_{name}"] = torch.arange(float(NUM_FEATURES))
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(data, folder / f"{side}.pt")
    study = load(folder)
    assert study.results.token_types == (name, "model")
    table = study.table()
    assert set(table["token_type"]) == {name, "model"}
    np.testing.assert_array_equal(table[f"base_target_{name}"], table["feature_id"])
    assert study.scatter(f"target_{name}").data
    back = pd.read_csv(io.StringIO(csv_text(table, f"target_{name}")), dtype={"token_type": "str"})
    assert set(back["token_type"]) == {"'=1+1" if name == "=1+1" else name, "model"}


def test_file_of_the_other_order_of_bytes():
    """A machine may write numbers the other way round: they are the same numbers."""
    width = [t.element_size() for token_type in TOKEN_TYPES for t in model_data("base")[token_type].values()]

    def swapped(name, content):
        if name.startswith("archive/data/"):
            return np.frombuffer(content, dtype=f"u{width[int(name.rpartition('/')[2])]}").byteswap().tobytes()
        return b"big" if name == "archive/byteorder" else content

    plain, odd = (parse_results(data, CHAT).base.vectors for data in (ODD["plain"], rewritten(swapped)))
    for token_type in TOKEN_TYPES:
        for vector, array in plain[token_type].items():
            np.testing.assert_array_equal(odd[token_type][vector], array)
