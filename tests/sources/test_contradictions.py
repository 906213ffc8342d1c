import numpy as np
import pytest
import torch
from builders import make_source, model_data
from corpus import saved
from tables import make_model

from featurediff import load
from featurediff.sources.contradictions import contradictions, divisor_of_std
from featurediff.sources.notes import notes, std_in_words
from featurediff.sources.result_files import parse_results
from featurediff.sources.results import Results
from featurediff.wording import number

N = 40


def statistics(acts, ddof=1, dtype=torch.float32):
    """The five vectors of activations of shape (prompts, features), as they are stored in a dtype."""
    acts = torch.tensor(acts, dtype=torch.float64)
    found = {
        "all_mean": acts.mean(0),
        "all_std": acts.std(0, correction=ddof),
        "max": acts.amax(0),
        "sparsity": (acts > 0).double().mean(0),
    }
    return {"num_active": (acts > 0).sum(0)} | {name: vector.to(dtype) for name, vector in found.items()}


def random_acts(seed, n=N, features=400):
    """Activations of features that are active on none to all of n prompts."""
    rng = np.random.default_rng(seed)
    share = rng.random(features) ** 3
    return np.where(rng.random((n, features)) < share, 0.5 + rng.gamma(2, 3, (n, features)), 0)


def make_pair(ddof=1, dtype=torch.float32, n=N, features=400):
    """A pair of files with the statistics of random activations."""
    files = []
    for seed, side in enumerate(("base", "chat")):
        sizes = {"num_target_prompts": n, "num_control_prompts": n}
        data = model_data(side, ("model",), features, **sizes)
        for prompts in ("target", "control"):
            found = statistics(random_acts(10 * seed + len(prompts), n, features), ddof, dtype)
            data["model"] |= {f"{prompts}_{name}": vector for name, vector in found.items()}
        files.append(saved(data))
    return parse_results(*files)


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [2, 12, 40, 1000])
def test_statistics_of_activations_do_not_contradict_each_other(dtype, n):
    """`*_sparsity` in bfloat16 was said not to be num_active / n: all of its numbers fit float16, which is finer."""
    assert notes(make_pair(1, dtype, n)) == []


@pytest.mark.parametrize(("k", "n"), [(3, 40), (4, 12), (1, 3), (39, 40), (301, 1000)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_shares_in_half_precision_are_those_of_the_counts(k, n, dtype):
    """Also where they were saved as float32 again."""
    for again in (dtype, torch.float32):
        share = torch.full((8,), k / n).to(dtype).to(again)
        files = []
        for side in ("base", "chat"):
            data = model_data(side, ("model",), num_target_prompts=n, num_control_prompts=n)
            names = {"num_active": torch.full((8,), k), "sparsity": share}
            data["model"] = {f"{prompts}_{name}": v for prompts in ("target", "control") for name, v in names.items()}
            files.append(saved(data))
        assert notes(parse_results(*files)) == []


def model(k, mean, std, most, n=10):
    """One file with statistics of a few features on target prompts; none on control prompts."""
    numbers = {"num_active": k, "all_mean": mean, "all_std": std, "max": most}
    vectors = {f"target_{name}": value for name, value in numbers.items() if value is not None}
    return make_model("base", {"model": vectors | {"control_num_active": [0] * len(k)}}, (n, n))


def of_target(*numbers, n=10):
    return contradictions(model(*numbers, n=n), "target")


FIRST = "`base.pt`, target prompts:"
SILENT = f"{FIRST} the feature is active on no prompt, but its statistics are above 0"
STD = f"{FIRST} the standard deviation is impossible for this count, mean and maximum"


def test_statistics_of_a_feature_that_is_active_nowhere():
    """A mean of 5 at 0 active prompts was shown without a word."""
    assert of_target([0, 0, 1], [0, 5, 1], [0, 5, 3.1622777], [0, 9, 10]) == [
        f"{SILENT} at 1 feature, the first is feature 1 at 'model' with 0 of 10 active, mean 5, std 5, max 9."
    ]
    assert of_target([0], [0], [0.5], [0]) == [
        f"{SILENT} at 1 feature, the first is feature 0 at 'model' with 0 of 10 active, mean 0, std 0.5, max 0."
    ]
    assert of_target([0, 0], None, None, [0, 2]) == [
        f"{SILENT} at 1 feature, the first is feature 1 at 'model' with 0 of 10 active, max 2."
    ]


def test_a_maximum_of_an_active_feature_is_above_zero():
    assert of_target([2], [1], [2.1], [0]) == [
        f"{FIRST} the feature is active, but its maximum is not above 0 at 1 feature, the first is feature 0 at "
        "'model' with 2 of 10 active, mean 1, std 2.1, max 0."
    ]


def test_a_mean_of_an_active_feature_is_not_zero():
    assert of_target([2], [0], [0], [5]) == [
        f"{FIRST} the feature is active, but its mean is 0 at 1 feature, the first is feature 0 at 'model' with "
        "2 of 10 active, mean 0, std 0, max 5."
    ]


def test_a_maximum_is_not_below_the_mean():
    assert of_target([10, 10], [5, 5], [0, 0], [5, 4]) == [
        f"{FIRST} the maximum is below the mean at 1 feature, the first is feature 1 at 'model' with 10 of 10 active, "
        "mean 5, std 0, max 4."
    ]


def test_a_mean_is_one_that_the_active_prompts_can_have():
    """Of counts that are 0 or 1 (`.any(0).long()`) nothing else tells that they are no counts."""
    assert of_target([1, 1], [1, 1], [3.1622777, 3.1622777], [10, 9]) == [
        f"{FIRST} the mean is larger than so few active prompts can make it at 1 feature, the first is feature 1 at "
        "'model' with 1 of 10 active, mean 1, std 3.162, max 9."
    ]


@pytest.mark.parametrize(
    ("k", "mean", "most", "least", "largest"),
    [
        # One of 10 active with 10: squares 100, variance 9, or 10 with n − 1.
        (1, 1, 10, 3, 10**0.5),
        # Two active, sum 10: squares from 50 (5 and 5) to at most 70 (of a sum of 10 and a maximum of 7).
        (2, 1, 7, 2, (6 / 0.9) ** 0.5),
        # All active: no deviation, or at most 0 and the maximum.
        (10, 4, 5, 0, (4 / 0.9) ** 0.5),
    ],
)
def test_a_standard_deviation_is_within_what_count_mean_and_maximum_allow(k, mean, most, least, largest):
    for std in (least, largest):
        assert of_target([k], [mean], [std], [most]) == []
    for std in (least - 0.05 * (least or 1), 1.05 * largest):
        assert of_target([k], [mean], [std], [most]) == [
            f"{STD} at 1 feature, the first is feature 0 at 'model' with {k} of 10 active, mean {mean}, "
            f"std {number(std, 4)}, max {most}."
        ]


def test_features_of_all_positions_are_counted_together():
    vectors = {"target_num_active": [0, 0, 0], "target_max": [0, 2, 3], "control_num_active": [0, 0, 0]}
    of_both = make_model("base", {"model": vectors, "newline": vectors}, (10, 10))
    assert contradictions(of_both, "target") == [
        f"{SILENT} at 4 features, the first is feature 1 at 'model' with 0 of 10 active, max 2."
    ]
    assert contradictions(of_both, "control") == []


def test_activations_below_zero_are_no_contradiction():
    """Of an SAE without a ReLU a mean says less: it may be 0, and deviations be larger."""
    rng = np.random.default_rng(0)
    found = statistics(rng.normal(size=(10, 50)))
    assert of_target(*(found[name].tolist() for name in ("num_active", "all_mean", "all_std", "max"))) == []


def test_blank_statistics_contradict_nothing():
    nothing = [np.nan, np.nan]
    assert of_target([0, 3], nothing, nothing, nothing) == []
    assert of_target([0, 3], [0, 1], nothing, nothing) == []


# n or n − 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("ddof", "divisor"), [(0, "n"), (1, "n − 1")])
@pytest.mark.parametrize("n", [2, 12, 40])
def test_what_a_standard_deviation_divides_by_is_read_off(dtype, ddof, divisor, n):
    results = make_pair(ddof, dtype, n)
    assert divisor_of_std(results.base, "target") == divisor
    assert std_in_words(results) == f"divides by {divisor}"


def test_a_divisor_that_cannot_be_told():
    for columns in (([0, 0], [0, 0], [0, 0], [0, 0]), ([5, 3], [1, 2], [1, 2], [2, 9]), ([1], [1], [3.08], [10])):
        assert divisor_of_std(model(*columns), "target") is None
    assert divisor_of_std(model([1], None, None, None), "target") is None
    assert divisor_of_std(model([1], [1], [np.nan], [10]), "target") is None
    results = Results(model([0], [0], [0], [0]), model([0], [0], [0], [0]))
    assert std_in_words(results) == "it cannot be told whether it divides by n or n − 1"


def test_a_standard_deviation_that_divides_by_n_is_said():
    """The standard error of a test takes n − 1 for granted."""
    said = "'target_all_std' and 'control_all_std' divide by n, where n − 1 is expected. Standard errors of tests on "
    assert notes(make_pair(0)) == [
        f"`{name}.pt`: {said}counts and means are up to 1 % too small." for name in ("base", "chat")
    ]


def test_divisors_that_differ():
    base, chat = make_pair(0).base, make_pair(1).chat
    assert std_in_words(Results(base, chat)) == (
        "divides by n in `base.pt` on target prompts, n in `base.pt` on control prompts, n − 1 in `chat.pt` on target "
        "prompts, n − 1 in `chat.pt` on control prompts"
    )


def test_a_source_of_the_builder_has_no_contradictions(tmp_path):
    study = load(make_source(tmp_path))
    assert len(study.notes()) == 2, "they are on the numbers of prompts"
    assert std_in_words(study.results) == "divides by n − 1"
