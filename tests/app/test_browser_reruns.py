"""A pick runs only its part of the page: not so where the files are no longer those that are shown."""

import pytest
import torch
from builders import make_source, model_data
from conftest import SAE_FOLDER

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=2)]  # a busy machine may outlast a wait


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("tree") / "results" / SAE_FOLDER / "personal_40")


@pytest.fixture(scope="module")
def server(serve, folder):
    return serve("--results", str(folder.parents[2]))


def test_pick_after_a_file_was_replaced_reads_it(screen, folder):
    make_source(folder)
    screen.open()
    first = screen.rows()[0]
    screen.pick_row(0)
    screen.expect_detail(first)
    assert screen.count() == 12
    data = model_data("chat")
    data["model"]["target_num_active"] = torch.zeros(8, dtype=torch.int64)
    make_source(folder, chat=data)
    screen.pick_row(1)
    screen.settle()
    assert screen.count() == 10
    assert len(screen.rows()) == screen.count()
