import re

import pytest

from featurediff.errors import DataError
from featurediff.features.one_feature import statistics
from featurediff.labels import Labels
from featurediff.sources.result_files import read_results

LABELS = Labels("Pre", "Post", "Introspective", "Plain")


@pytest.fixture
def results(source_dir):
    return read_results(source_dir)


def test_feature_by_hand(results):
    """Feature 2 at model fires on 4 of 8 target prompts in base, on 6 of 9 target and 3 of 6 control ones in chat."""
    shown = statistics(results, 2, LABELS)
    assert shown.index.name == "statistic"
    assert list(shown.columns) == ["model · Pre", "model · Post", "newline · Pre", "newline · Post"]
    vectors = results.vector_names
    rows = dict(zip(vectors, shown.to_numpy().tolist(), strict=True))
    assert list(shown.index) == [LABELS.statistic(name) for name in vectors]
    assert rows == {
        "target_all_mean": ["1.25", "101.2", "401.2", "0"],
        "target_all_std": ["1.342", "76.9", "743.4", "0"],
        "target_max": ["2.714", "172.4", "1654", "0"],
        "target_num_active": ["4/8", "6/9", "2/8", "0/9"],
        "target_sparsity": ["0.5", "0.6667", "0.25", "0"],
        "control_all_mean": ["0", "301.2", "0", "0"],
        "control_all_std": ["0", "330.8", "0", "0"],
        "control_max": ["0", "637.9", "0", "0"],
        "control_num_active": ["0/7", "3/6", "0/7", "0/6"],
        "control_sparsity": ["0", "0.5", "0", "0"],
    }


def test_feature_of_models_with_one_label(results):
    """With the same label on both models chat's columns replaced base's."""
    shown = statistics(results, 2, Labels("M", "M"))
    assert list(shown.columns) == ["model · M (base)", "model · M (chat)", "newline · M (base)", "newline · M (chat)"]
    assert shown.to_numpy().tolist() == statistics(results, 2, Labels()).to_numpy().tolist()


@pytest.mark.parametrize("feature_id", [-1, 8, 10**12])
def test_feature_that_there_is_not(results, feature_id):
    """Feature −1 was shown with the numbers of the last one, and 8 of 8 ended in an IndexError."""
    message = f"There is no feature {feature_id} in the SAE. Its features run from 0 to 7."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        statistics(results, feature_id, Labels())
