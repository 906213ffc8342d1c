"""Results that keep only what is active are the same results."""

import numpy as np
import pytest
from builders import make_source

from featurediff.loading import load
from featurediff.sources.sparse import SparseVectors, sparse

VECTORS = {
    "target_num_active": np.array([0, 3, 0, 0, 1], dtype=np.int64),
    "target_max": np.array([0, 1.5, np.nan, 0, -2], dtype=np.float32),
}


def test_vectors_are_what_they_were():
    found = SparseVectors(VECTORS)
    assert list(found) == list(VECTORS)
    assert len(found) == 2
    for name, vector in VECTORS.items():
        np.testing.assert_array_equal(found[name], vector)
        assert found[name].dtype == vector.dtype
        with pytest.raises(ValueError, match="read-only"):
            found[name][0] = 1
    assert "target_all_std" not in found


def test_a_study_says_the_same(tmp_path):
    results = load(make_source(tmp_path / "demo_trainer16k_layer12" / "some_40")).results
    kept = sparse(results)
    for side in ("base", "chat"):
        for token_type, vectors in results.of(side).vectors.items():
            for name, vector in vectors.items():
                np.testing.assert_array_equal(kept.of(side).vectors[token_type][name], vector)


def test_no_vectors_are_none():
    assert dict(SparseVectors({})) == {}
