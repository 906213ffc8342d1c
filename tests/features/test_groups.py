"""One value for each group of prompts."""

import numpy as np
import pytest
from limited import under_limit

from featurediff.features.groups import group_means, group_sums

VALUES = np.array([[1.0, 10.0], [2.0, 20.0], [6.0, 40.0], [8.0, 80.0]])


def test_means_and_sums_by_hand():
    groups = np.array(["b", "a", "b", "b"])
    assert group_sums(VALUES, groups).tolist() == [[2, 20], [15, 130]]
    assert group_means(VALUES, groups) == pytest.approx(np.array([[2, 20], [5, 130 / 3]]))


@pytest.mark.parametrize("groups", [None, np.array([3, 1, 0, 2])])
def test_groups_of_one_are_no_groups(groups):
    """Not even the order of prompts changes, so that the same signs meet the same prompts."""
    assert group_means(VALUES, groups) is VALUES
    assert group_sums(VALUES, groups) is VALUES


def sum_of_pairs(prompts):
    """Add up over groups of two."""
    return group_sums(np.ones((prompts, 3)), np.arange(prompts) // 2).sum()


def test_groups_take_no_memory():
    """Which prompt is in which group stood in a matrix: 20,000 prompts took 1.6 GB."""
    assert under_limit(sum_of_pairs, 20_000, megabytes=300).said == "60000.0"
