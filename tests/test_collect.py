"""`featurediff collect` against a slow reference: tiny models and SAEs, saved and loaded as real ones are."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from collecting import (
    FAMILIES,
    FEATURES,
    PROMPTS,
    Quiet,
    as_long,
    make_family,
    slow_activations,
    slow_statistics,
    sort_long,
    write_prompts,
)

from featurediff.collect.run import execute, plan
from featurediff.results import read_results


def collect(settings):
    return execute(plan(settings), Quiet())


def assert_same(folder, found, token_types):
    """Every statistic to 1e-5 and counts exactly; every activation."""
    results = read_results(folder)
    for (version, prompts), acts in found.items():
        assert 0.01 < (acts != 0).mean() < 0.7  # precondition: some features are active and some are not
        for index, token_type in enumerate(token_types):
            vectors = getattr(results, version).vectors[token_type]
            for name, expected in slow_statistics(acts[index]).items():
                tolerance = 0 if name == "num_active" else 1e-5
                np.testing.assert_allclose(vectors[f"{prompts}_{name}"], expected, rtol=tolerance, atol=tolerance)
    written = sort_long(pd.read_parquet(folder / "activations.parquet"))
    pd.testing.assert_frame_equal(written, as_long(found, token_types), check_dtype=False, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "architecture", "padding_side"),
    [
        ("gemma", "jumprelu", "left"),
        ("llama", "topk", "right"),
        ("qwen", "gated", "left"),
        ("gemma", "standard", "right"),
    ],
)
def test_equals_one_prompt_at_a_time(tmp_path, family, architecture, padding_side):
    settings = make_family(tmp_path, family, architecture, padding_side)
    found = slow_activations(settings, family, architecture)
    token_types = tuple(FAMILIES[family][1])
    for batch_size in (1, 3, 64):
        folder = collect(replace(settings, batch_size=batch_size, prompt_set=f"of_{batch_size}"))
        assert read_results(folder).token_types == token_types
        assert_same(folder, found, token_types)
