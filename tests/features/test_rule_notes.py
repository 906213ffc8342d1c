"""Numbers of prompts that decide what the published rule keeps are said, with numbers."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurediff.features.rule_notes import rule_notes
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.sources.origin import Origin

SHARES = (
    "Thresholds as shares, such as --min-target 0.05 --max-control 0.02, depend less on numbers of prompts; the "
    "questions `changed` and `specific` do not go by this rule."
)
MANY = (
    "1,000 control prompts are many for the published rule: a feature that fires on 1 % of control prompts passes “on "
    "no control prompt” with probability 0.000043; with 40 control prompts it would be 0.67. So the rule hides "
    "features; with shares it would be 0.999."
)


def notes(base_target, base_control, chat_target, chat_control, thresholds=None):
    sizes = dict(
        zip(
            [(side, prompts) for side in ("base", "chat") for prompts in ("target", "control")],
            (base_target, base_control, chat_target, chat_control),
            strict=True,
        )
    )
    return rule_notes(Origin("gemma", 20, "x", "", ("model",), sizes), thresholds or Thresholds())


@pytest.mark.parametrize(
    "sizes", [(40, 37, 40, 37), (40, 40, 40, 40), (8, 7, 9, 6), (10, 7, 10, 7), (2, 2, 2, 2), (40, 33, 40, 37)]
)
def test_usual_numbers_have_no_notes(sizes):
    assert notes(*sizes) == []


@pytest.mark.parametrize("sizes", [(1000, 1000, 1000, 1000), (40, 1000, 40, 1000)])
def test_many_control_prompts_empty_the_rule(sizes):
    """0.99^1,000 = 0.000043 and 0.99^40 = 0.669; P(at most 20 of 1,000 at 1 %) = 0.9985."""
    assert notes(*sizes) == [MANY, SHARES]


def test_few_control_prompts_invent_features():
    """(1 − 0.95^40) · 0.95^10 = 0.522 and (1 − 0.95^40) · 0.95^40 = 0.112; P(2 of 40 or more) · 0.95^10 = 0.360."""
    assert notes(40, 10, 40, 10) == [
        "40 target prompts against 10 control prompts (base and chat): a feature that fires on 5 % of both is "
        "exclusive with probability 0.52; with 40 of each it would be 0.11. So the rule invents features; with shares "
        "it would be 0.36.",
        SHARES,
    ]


def test_each_model_has_its_own_numbers():
    """0.99^100 = 0.366; 0.871 · 0.95^40 = 0.112 and 0.871 · 0.95^100 = 0.0052."""
    assert notes(40, 40, 40, 100) == [
        "40 target prompts against 100 control prompts (chat): a feature that fires on 1 % of control prompts passes "
        "“on no control prompt” with probability 0.37; with 40 of each it would be 0.67. So the rule hides features; "
        "with shares it would be 0.92.",
        "40 control prompts in base and 100 in chat: a feature that fires on 5 % of the prompts of both models alike "
        "is exclusive with probability 0.11 in base and 0.0052 in chat. So the rule invents differences between the "
        "models; with shares it would be 0.077 and 0.071.",
        SHARES,
    ]
    both = notes(40, 40, 100, 100)
    assert len(both) == 2
    assert both[0].startswith("40 target prompts in base and 100 in chat, 40 control prompts in base and 100 in chat: ")


def test_thresholds_are_those_in_force():
    """Of 1,000 prompts at 1 %, at most 3 fire with probability 0.0101."""
    three = Thresholds(max_control=Threshold(3))
    assert notes(1000, 1000, 1000, 1000, three)[0] == (
        "1,000 control prompts are many for the published rule: a feature that fires on 1 % of control prompts passes "
        "“on at most 3 of them” with probability 0.01; with 40 control prompts it would be 0.999. So the rule hides "
        "features; with shares it would be 0.999."
    )
    twenty = Thresholds(max_control=Threshold(20))
    assert notes(1000, 1000, 1000, 1000, twenty) == []
    shares = Thresholds(Threshold(0.05, share=True), Threshold(0.02, share=True))
    assert notes(40, 1000, 10, 40, shares) == []
    assert notes(40, 10, 40, 10, Thresholds(max_control=Threshold(0.02, share=True)))[0].endswith("would be 0.36.")


@settings(deadline=None)
@given(*[st.integers(1, 2000)] * 4, st.integers(1, 5), st.integers(0, 5))
def test_every_number_is_one_of_prompts_or_a_probability(base_target, base_control, chat_target, chat_control, k, j):
    sizes = (base_target, base_control, chat_target, chat_control)
    said = notes(*sizes, Thresholds(Threshold(k), Threshold(j)))
    for note in said[:-1]:
        for number in re.findall(r"(?:probability|be|and) ([\d.e-]+?)(?=[;.,]? |[.,;]?$)", note):
            assert 0 <= float(number) <= 1 or int(number) in sizes
    again = notes(chat_target, chat_control, base_target, base_control, Thresholds(Threshold(k), Threshold(j)))
    assert len(again) == len(said)


def test_probabilities_are_those_of_simulated_features():
    """Of a million features that fire on 5 % of 40 target and of 10 control prompts, so many are exclusive."""
    rng = np.random.default_rng(1)
    target, control = rng.binomial(40, 0.05, 1_000_000), rng.binomial(10, 0.05, 1_000_000)
    assert ((target > 0) & (control == 0)).mean() == pytest.approx(0.5215, abs=0.003)
    assert "probability 0.52;" in notes(40, 10, 40, 10)[0]
