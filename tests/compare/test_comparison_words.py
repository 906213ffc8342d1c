"""What the comparison says beside its charts."""

from dataclasses import replace

import pytest
from builders import make_source

from featurediff.compare.reading import read
from featurediff.compare.words import how_to_read, unequal_prompts, what_is_kept, what_is_shared
from featurediff.features.evidence import CAVEAT
from featurediff.features.questions import Asked
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.labels import PROMPTS, SIDES, Labels
from featurediff.sources.tree import describe_source

LABELS = Labels("Pre", "Post", "Self", "Plain")
SHARES = Thresholds(Threshold(0.1, True), Threshold(0.05, True))


@pytest.mark.parametrize(
    ("question", "metric", "expected"),
    [
        (
            "exclusive",
            "target_all_mean",
            "features that are active on at least 1 of a model’s Self prompts and on at most 0 of its Plain prompts",
        ),
        (
            "changed",
            "target_all_mean",
            "features whose mean activation changed from Pre to Post on Self prompts (q at most 0.1)",
        ),
        (
            "specific",
            "target_sparsity",
            "features whose activation frequency changed from Pre to Post on Self prompts otherwise than on Plain "
            "prompts (q at most 0.1)",
        ),
        (
            "any",
            "target_all_mean",
            "features that are kept by the published rule, or whose mean activation or activation frequency changed "
            "(q at most 0.1); nothing corrects for asking several questions",
        ),
    ],
)
def test_what_is_kept(question, metric, expected):
    assert what_is_kept(Asked(question, metric, 0.1), Thresholds(), LABELS) == expected


def test_how_to_read_the_charts():
    """“Evidence” of the published rule is that of target over control, not that of a change."""
    assert how_to_read(Asked("exclusive")) == (
        "Pale or dotted: kept. Solid: those of them with evidence, that is q at most 0.05 "
        "for target over control in a model in "
        f"which the feature is exclusive. {CAVEAT}"
    )
    assert how_to_read(Asked("any")) == (
        "Pale or dotted: kept. Solid: those of them with evidence, that is q at most 0.05 "
        f"of any of the tests. {CAVEAT}"
    )
    tested = f"The share is of the features that were tested at the position. {CAVEAT}"
    assert how_to_read(Asked("changed")) == how_to_read(Asked("specific")) == tested


@pytest.mark.parametrize(
    ("shown", "asked", "expected"),
    [
        ("changed", "changed", "Features that changed on Self at any position (q at most 0.05)."),
        ("specific", "specific", "Features that changed on Self more than on Plain at any position (q at most 0.05)."),
        (
            "changed",
            "exclusive",
            "Features that changed on Self at any position (q at most 0.05); of those that the published rule keeps, "
            "many are there by chance.",
        ),
        (
            "exclusive",
            "any",
            "Features that the published rule keeps at any position, as not every source has tests of base and chat on "
            "the same prompts (activations.parquet).",
        ),
    ],
)
def test_what_an_overlap_is_of(shown, asked, expected):
    assert what_is_shared(Asked(shown), Asked(asked), LABELS) == expected


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return read(describe_source(make_source(tmp_path_factory.mktemp("s") / "a")), family=None)


def sized(source, **sizes):
    numbers = {(side, prompts): 40 for side in SIDES for prompts in PROMPTS}
    return replace(source, num_prompts=numbers | {tuple(key.split("_")): n for key, n in sizes.items()})


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([{}, {"base_control": 10, "chat_control": 10}], "Self: 40; Plain: 10, 40"),
        ([{"chat_target": 32}], "Self: 32, 40; Plain: 40"),
        ([{"base_target": n} for n in range(30, 37)], "Self: 30, 31, 32, 33, 34 and more, up to 40; Plain: 40"),
    ],
)
def test_unequal_numbers_of_prompts_are_said(source, sizes, said):
    """40 against 10 control prompts makes features exclusive by itself."""
    sources = [sized(source, **some) for some in sizes]
    assert unequal_prompts(sources, Thresholds(), LABELS) == (
        f"Numbers of prompts differ ({said}), and the published rule goes by counts: fewer control prompts, or more "
        "target prompts, make more features exclusive by themselves. Thresholds that are shares of the prompts, such "
        "as at least 10 % and at most 5 %, compare more fairly."
    )
    assert unequal_prompts(sources, SHARES, LABELS) == ""
    no_control = replace(SHARES, max_control=Threshold(0, True))
    assert unequal_prompts(sources, no_control, LABELS) != "", "0 % of few is not 0 % of many"


def test_equal_numbers_of_prompts_are_nothing_to_say(source):
    assert unequal_prompts([sized(source)] * 2, Thresholds(), LABELS) == ""
    assert unequal_prompts([sized(source, chat_control=33)], Thresholds(), LABELS) == "", "nor are almost equal ones"
