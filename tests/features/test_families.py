"""q of a family, held to Benjamini and Hochberg's procedure written out and to scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from featurediff.features.families import q_values

PS = st.lists(st.one_of(st.floats(1e-9, 1), st.sampled_from([0.01, 0.02, 0.5, 1.0])), min_size=1, max_size=30)


def test_by_hand():
    """Ranks 1 to 4: 0.01 · 4, 0.03 · 4 / 2, then 0.04 · 4 / 3 takes the place of the larger 0.06, and 0.5."""
    q = q_values(np.array([0.5, 0.03, 0.01, 0.04]))
    assert q == pytest.approx([0.5, 0.16 / 3, 0.04, 0.16 / 3])


@given(PS)
def test_is_scipys(p):
    assert q_values(np.array(p)) == pytest.approx(false_discovery_control(p), rel=1e-12)


@given(PS, st.randoms(use_true_random=False))
def test_nan_is_outside_and_order_does_not_matter(p, random):
    """Features outside the family neither get a q nor change one."""
    mixed = [*p, np.nan, np.nan]
    places = list(range(len(mixed)))
    random.shuffle(places)
    q = np.empty(len(mixed))
    q[places] = q_values(np.array(mixed)[places])
    assert np.isnan(q[-2:]).all()
    assert q[:-2] == pytest.approx(q_values(np.array(p)), rel=1e-12)


def test_an_empty_family():
    assert q_values(np.array([])).shape == (0,)
    assert np.isnan(q_values(np.array([np.nan]))).all()
