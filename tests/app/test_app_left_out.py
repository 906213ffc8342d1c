"""The dashboard on files of which something cannot be used."""

import pytest
import torch
from builders import TOKEN_TYPES, make_source, model_data
from corpus import LEFT_OUT
from dashboard import open_app

CASES = (
    "all_mean is NaN everywhere",
    "no all_mean",
    "max is NaN everywhere",
    "nan in torch.float32",
    "of counts alone",
)


def write(folder, name):
    make_source(folder)
    if name == "of counts alone":
        for side in ("base", "chat"):
            data = model_data(side)
            for token_type in TOKEN_TYPES:
                data[token_type] = {k: v for k, v in data[token_type].items() if k.endswith("_num_active")}
            torch.save(data, folder / f"{side}.pt")
    else:
        LEFT_OUT[name].write(folder)


@pytest.mark.parametrize("chart", ["scatter", "volcano", "ranking"])
@pytest.mark.parametrize("name", CASES)
def test_dashboard_opens_on_a_source_of_which_something_is_left_out(tmp_path, monkeypatch, name, chart):
    """A NaN in one metric took the whole source away."""
    write(tmp_path / "results" / "gemma_trainer131k-l0-114_layer20" / "p", name)
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "results"))
    metric = {} if "max" not in name else {"metric": "target_max"}
    at = open_app(chart=chart, open="7", **metric)
    assert not at.exception
    assert not at.error
    assert at.get("plotly_chart")


def test_position_of_line_breaks_is_shown_as_escapes(tmp_path, monkeypatch):
    r"""A position called `\n\n` was refused."""
    make_source(tmp_path / "results" / "gemma_trainer131k-l0-114_layer20" / "p", token_types=("\n\n", "model"))
    monkeypatch.setenv("FEATUREDIFF_RESULTS", str(tmp_path / "results"))
    at = open_app(feature="0@\n\n")
    assert not at.exception
    assert any(r"Feature 0 at \\n\\n" in said.value for said in at.markdown)
