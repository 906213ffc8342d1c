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
    assert gc.get_freeze_count() <= kept, "once in ten minutes"


class Session:
    """Holds itself, as Streamlit's do."""

    def __init__(self):
        self.itself = self


@pytest.mark.usefixtures("_thawed")
def test_session_that_was_there_is_forgotten_later():
    """Who had opened the first source of a server stayed in its memory for ever, with all uploads."""
    session = Session()
    held = weakref.ref(session)
    keep_what_is_loaded()
    del session
    gc.collect()
    assert held() is not None, "it is not searched"
    keep_what_is_loaded.clear()  # as ten minutes do
    keep_what_is_loaded()
    assert held() is None


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
