"""What a server keeps in memory."""

import gc
import weakref

import pytest
from builders import make_source
from conftest import SAE_FOLDER
from dashboard import open_app

from featurediff import load
from featurediff.app.memory import keep_what_is_loaded


@pytest.fixture
def _thawed():
    """Search everything again afterwards."""
    keep_what_is_loaded.clear()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_thawed")
def test_what_is_loaded_is_not_searched_for_garbage(monkeypatch, tmp_path):
    """With fifty people, each search stopped the server for 0.14 seconds."""
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path))
    make_source(tmp_path / SAE_FOLDER / "personal_40")
    before = gc.get_freeze_count()
    open_app()
    kept = gc.get_freeze_count()
    assert kept > before
    open_app()
    assert gc.get_freeze_count() <= kept, "once for a server"


def test_source_is_forgotten_without_a_search(tmp_path):
    """So what was kept from the search does not keep a source in memory that others have replaced."""
    study = load(make_source(tmp_path / SAE_FOLDER / "personal_40"))
    study.table()
    study.notes()
    held = [weakref.ref(study), weakref.ref(study.results)]
    gc.collect()
    gc.disable()
    try:
        del study
        assert [found() for found in held] == [None, None]
    finally:
        gc.enable()
