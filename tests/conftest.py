import pytest
from builders import make_explanations, make_source

SAE_FOLDER = "gemma_trainer131k-l0-114_layer20"


@pytest.fixture
def source_dir(tmp_path):
    """One source in a results tree, without explanations."""
    return make_source(tmp_path / "results" / SAE_FOLDER / "personal_40")


@pytest.fixture
def explanations_file(tmp_path, source_dir):  # noqa: ARG001  beside the results of source_dir
    """Explanations of the features of `source_dir`, where they are found."""
    return make_explanations(tmp_path / "explanations" / f"{SAE_FOLDER}.csv")
