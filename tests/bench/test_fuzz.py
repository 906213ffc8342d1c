"""A fixed slice of what `make fuzz` does, and that it would notice."""

import os
import time

import fuzzing
import pytest
from builders import model_data
from corpus import saved
from fuzz import Readers


@pytest.mark.parametrize("kind", fuzzing.KINDS)
@pytest.mark.parametrize("slice_", range(5))
def test_spoilt_file_is_refused_or_read_right(tmp_path, kind, slice_):
    outcomes = [
        fuzzing.outcome(kind, fuzzing.spoilt(kind, 1, number), tmp_path)
        for number in range(30 * slice_, 30 * slice_ + 30)
    ]
    assert set(outcomes) == {"refused", "right"}


@pytest.mark.parametrize("kind", fuzzing.KINDS)
def test_seeds_are_read_right(tmp_path, kind):
    assert {fuzzing.outcome(kind, seed, tmp_path) for seed in fuzzing.KINDS[kind].seeds()} == {"right"}


@pytest.mark.parametrize("kind", fuzzing.KINDS)
def test_same_number_is_the_same_file(kind):
    assert fuzzing.spoilt(kind, 1, 3) == fuzzing.spoilt(kind, 1, 3)
    assert len({fuzzing.spoilt(kind, 1, number) for number in range(40)}) > 35


def other_values(_data):
    data = model_data("base")
    data["newline"]["target_max"][3] += 1
    return saved(data)


@pytest.mark.parametrize(
    ("kind", "reader", "changed"),
    [
        ("base.pt", "parse_results", other_values),
        ("explanations.csv", "parse_explanations", lambda data: data.replace(b"last", b"lost")),
        ("stars.csv", "parse_stars", lambda data: data + b"more,4,\n"),
    ],
)
def test_wrong_result_is_noticed(tmp_path, monkeypatch, kind, reader, changed):
    """A reader that reads another file than the one it is given."""
    real = getattr(fuzzing, reader)
    monkeypatch.setattr(fuzzing, reader, lambda data, *rest: real(changed(data), *rest))
    with pytest.raises(AssertionError):
        fuzzing.KINDS[kind].check(fuzzing.KINDS[kind].seeds()[0], tmp_path)


def behave(kind, _seed, _number):
    """A reader that does what no reader should."""
    if kind == "hangs":
        time.sleep(60)
    if kind == "dies":
        os.abort()
    if kind == "takes memory":
        return "right", str(len(bytearray(4 * 10**9)))
    return kind, ""


def test_reader_that_hangs_dies_or_takes_memory_is_a_fault():
    readers = Readers(behave, seconds=2)
    try:
        assert readers.ask("right", 0, 0)[:2] == ("right", "")
        assert readers.ask("hangs", 0, 0)[:2] == ("fault", "over 2 seconds")
        assert readers.ask("dies", 0, 0)[:2] == ("fault", "the process died, exit code -6")
        assert readers.ask("takes memory", 0, 0).outcome == "fault"
        assert readers.ask("refused", 0, 0)[:2] == ("refused", "")
    finally:
        readers.close()
