import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff.wording import decimals_for, in_column, number, p_text, percent, round_p, rounded, signed, visible


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0504, "0.0504"), (0.05, "0.05"), (0.04999, "0.05"), (0.0500001, "0.0500001"), (0.012, "0.012"),
        (0.01004, "0.01004"), (0.1004, "0.1004"), (0.996, "1"), (1.0, "1"), (0.000123, "0.00012"),
        (0.0000152, "0.000015"), (0.00001, "0.00001"), (0.000001, "0.000001"), (1.23e-7, "1.2e−7"), (1e-21, "1e−21"),
        (0.0, "0"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_p_by_hand(value, text):
    """0.0504 was written as 0.05, which is significant; an exponent had a hyphen for its minus sign."""
    assert p_text(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.05, 6, "0.05"), (-2.5, 4, "−2.5"), (1234567.0, 4, "1235000"), (0.00001, 6, "0.00001"), (-0.0, 6, "0"),
        (1.23e-7, 2, "1.2e−7"), (-1e-9, 6, "−1e−9"), (math.nan, 6, "–"), (-math.inf, 6, "−inf"),
    ],
)  # fmt: skip
def test_number_by_hand(value, digits, text):
    assert number(value, digits) == text


def test_cut_p_is_the_number_that_is_written():
    assert round_p(0.05044) == 0.0504
    assert round_p(1.23e-7) == 1.2e-7
    assert math.isnan(round_p(math.nan))


@given(st.floats(0, 1))
def test_p_never_crosses_a_line(value):
    for line in (0.1, 0.05, 0.01, 0.001):
        assert (round_p(value) <= line) == (value <= line)
    assert round_p(value) == pytest.approx(value, rel=0.051)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0"), (1, "100"), (0.004, "0.4"), (0.0004, "0.04"), (0.00004, "0.004"), (0.0051, "1"), (0.015, "2"),
        (0.5, "50"), (0.994, "99"), (0.996, "99.6"), (0.9996, "99.96"), (1 - 1e-6, "99.9999"), (1e-6, "0.0001"),
        (math.nan, "–"),
    ],
)  # fmt: skip
def test_percent_by_hand(share, text):
    """One prompt of 1,000,000 is not 0 %, and all but one are not 100 %."""
    assert percent(share) == text


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_percent_is_0_and_100_only_for_none_and_all(counts):
    count, n = counts
    text = percent(count / n)
    assert (float(text) == 0) == (count == 0)
    assert (float(text) == 100) == (count == n)
    assert abs(float(text) - 100 * count / n) <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("value", "factor", "text"),
    [
        (0.18055, 100, "+18.1"), (-0.18055, 100, "−18.1"), (0.0, 1, "+0"), (-0.0, 100, "+0"), (1234.0, 1, "+1230"),
        (-1.5e-7, 1, "−0.00000015"), (math.nan, 1, "–"), (-math.inf, 1, "−inf"), (math.inf, 1, "+inf"),
    ],
)  # fmt: skip
def test_signed_by_hand(value, factor, text):
    """Nothing is neither more nor less: −0 was written for the change of base and chat when they are swapped."""
    assert signed(value, factor) == text


@pytest.mark.parametrize(
    ("values", "plain", "with_signs"),
    [
        ([0.0, -0.0, 123.456, math.nan], ["0", "0", "123", "–"], ["+0", "+0", "+123", "–"]),
        ([-1.23456, 0.001], ["−1.23", "0.00"], ["−1.23", "+0.00"]),
        ([0.00123, math.inf], ["0.0012", "inf"], ["+0.0012", "+inf"]),
        ([12345.6], ["12346"], ["+12346"]),
        ([], [], []),
    ],
)
def test_a_column_has_one_number_of_decimals_and_one_minus_sign(values, plain, with_signs):
    decimals = decimals_for(values)
    assert in_column(values, decimals) == plain
    assert in_column(values, decimals, sign=True) == with_signs


@given(st.floats(-1e9, 1e9), st.integers(1, 6))
def test_a_rounded_number_has_no_exponent_and_keeps_its_digits(value, digits):
    text = rounded(value, digits)
    assert "e" not in text
    assert float(text.replace("−", "-")) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits), abs=1e-300)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("newline", "newline"), ("\n\n", r"\n\n"), ("a\tb", r"a\tb"), (" ", "' '"), ("", ""), ("模型", "模型"),
     ("\u202egnp", r"\u202egnp"), ("\ud800", r"\ud800"), ("two words", "two words")],
)  # fmt: skip
def test_names_can_be_seen(name, shown):
    assert visible(name) == shown
