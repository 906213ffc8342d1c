"""What is kept of files that cannot be used, and that it is no more than words."""

import gc
import io
import weakref
from types import SimpleNamespace

import pytest
from builders import make_source
from conftest import SAE_FOLDER
from dashboard import open_app, said

from featurediff.app.dashboard import opened
from featurediff.app.refusals import Refusal, accept, try_to
from featurediff.app.uploads import check_size
from featurediff.errors import DataError
from featurediff.files import read_whole


class Large:
    """Something large that a reader holds when it fails."""


def test_refusal_keeps_nothing_alive():
    """A stored error held its traceback, and so the rows that had been read: 60 MB of stars left 3.5 GB in use."""
    held = []

    def read():
        large = Large()
        held.append(weakref.ref(large))
        msg = "broken"
        raise DataError(msg)

    found = try_to(read)
    gc.collect()
    assert found == Refusal("broken")
    assert held[0]() is None
    with pytest.raises(DataError, match=r"^broken$"):
        accept(found)


def test_what_was_read_is_kept_as_it_is():
    large = Large()
    assert accept(try_to(lambda: large)) is large


def test_file_that_the_system_cannot_read_is_tried_again(tmp_path):
    """Nothing about the file changes when its disk is back."""
    with pytest.raises(DataError, match="cannot be found"):
        try_to(lambda: read_whole(tmp_path / "none"))


def test_broken_source_is_read_once(monkeypatch, tmp_path):
    """It was read anew at each rerun, up to 13 s each time; once it is replaced, it is read again."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    folder = make_source(tmp_path / "results" / SAE_FOLDER / "personal_40")
    whole = (folder / "chat.pt").read_bytes()
    (folder / "chat.pt").write_bytes(whole[:-100])
    reads = []

    def counted(source, explanations):
        reads.append(source.name)
        return real(source, explanations)

    real = opened.read
    monkeypatch.setattr(opened, "read", counted)
    opened.read_study.clear()
    at = open_app()
    for _ in range(3):
        assert "`chat.pt` is cut short or damaged" in said(at)
        at.run()
    assert len(reads) == 1
    (folder / "chat.pt").write_bytes(whole)
    at.run()
    assert not at.exception
    assert "is cut short" not in said(at)
    assert len(reads) == 2


def test_upload_has_a_largest_size():
    file = SimpleNamespace(name="e.csv", size=32 * 2**20)
    check_size(file, 32)
    file.size += 1
    with pytest.raises(DataError) as caught:
        check_size(file, 32)
    assert str(caught.value) == "`e.csv` has 33,554,433 bytes, but expected at most 33,554,432 (32 MB)."


def test_large_upload_of_explanations_is_refused_before_its_bytes_are_copied(tmp_path):
    folder = make_source(tmp_path / "one")
    files = [io.BytesIO((folder / name).read_bytes()) for name in ("base.pt", "chat.pt")]
    for file, name in zip(files, ("base.pt", "chat.pt"), strict=True):
        file.name = name
    texts = SimpleNamespace(name="e.csv", size=40 * 2**20)
    found = opened.parse_study.__wrapped__(("a", "b", "c"), [*files, texts])
    assert found.explanations is None
    message = "`e.csv` has 41,943,040 bytes, but expected at most 33,554,432 (32 MB)."
    assert any(message in note for note in found.notes())
