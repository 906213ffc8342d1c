import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from builders import make_explanations, make_source
from hypothesis import HealthCheck, settings

settings.register_profile("no test asks for a time", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no test asks for a time")

SAE_FOLDER = "gemma_trainer131k-l0-114_layer20"
"""Of an SAE that is wider than the sources here, so that its page is not linked."""

MAIN = sys.modules["__main__"]

LINKED = "qwen_trainer1_layer15"
LINKED_SAE = {"model_type": "qwen", "sae_trainer": "1", "sae_layer": 15}
PAGE = "https://www.neuronpedia.org/qwen2.5-7b-it/15-resid-post-aa/"
"""Of an SAE whose width the registry does not say: its folder, what its files say, and its page."""


@pytest.fixture(autouse=True)
def own_main(monkeypatch):
    """
    Give `__main__` back after each test.

    AppTest leaves the app's script there, which every process that a later test spawned then ran, and died of. That is
    so of an AppTest in a module's fixture too, which runs before this one.
    """
    monkeypatch.setitem(sys.modules, "__main__", MAIN)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keep what tests compute out of the user's cache folder; processes that tests start have it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATUREDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def source_dir(tmp_path):
    """One source in a results tree, without explanations."""
    return make_source(tmp_path / "results" / SAE_FOLDER / "personal_40")


@pytest.fixture
def linked_dir(tmp_path):
    """One source whose features have pages."""
    return make_source(tmp_path / "linked" / LINKED / "personal_40", **LINKED_SAE)


@pytest.fixture
def explanations_file(tmp_path, source_dir):  # noqa: ARG001  beside the results of source_dir
    """Explanations of the features of `source_dir`, where they are found."""
    return make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv")


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def download(monkeypatch):
    """Click a button: what it builds, by the end of the file's name, as Streamlit builds it."""
    from streamlit.runtime.media_file_manager import MediaFileManager

    builders = {}
    add = MediaFileManager.add_deferred

    def remember(manager, build, mimetype, coordinates, file_name=None, **more):
        builders[file_name] = build
        return add(manager, build, mimetype, coordinates, file_name, **more)

    monkeypatch.setattr(MediaFileManager, "add_deferred", remember)

    def click(ending):
        build = next(build for name, build in reversed(builders.items()) if name.endswith(ending))
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(build).result()

    return click
