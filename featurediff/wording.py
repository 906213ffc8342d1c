"""Words and numbers for messages and tables; what strangers wrote is shortened before it enters a message."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAME = 500
"""Characters of a name in a file, such as a token type: it may stand in every row of a table."""

_MAX_LENGTH = 80
_MAX_LISTED = 5


def quoted(value: object) -> str:
    """Write a value as in Python source, cut at 80 characters; of anything but a scalar only the type is named."""
    if isinstance(value, int) and value.bit_length() > 256:
        return "a huge integer"
    if not isinstance(value, str | int | float | bytes | None):
        return f"a {type(value).__name__[:_MAX_LENGTH]}"
    text = repr(value[:_MAX_LENGTH] if isinstance(value, str | bytes) else value)
    is_whole = len(text) <= _MAX_LENGTH and not (isinstance(value, str | bytes) and len(value) > _MAX_LENGTH)
    return text if is_whole else f"{text[: _MAX_LENGTH - 1]}…"


def listed(values: Iterable[object]) -> str:
    """List at most five values, shortened, and say how many more there are; "none" for no value."""
    parts = [quoted(value) for value in values]
    more = len(parts) - _MAX_LISTED
    return ", ".join(parts[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "") or "none"


def is_name(value: object) -> TypeGuard[str]:
    """Tell a string of at most `MAX_NAME` characters, all of which UTF-8 can hold; half a surrogate pair it cannot."""
    return isinstance(value, str) and len(value) <= MAX_NAME and value == value.encode(errors="replace").decode()


def legible(text: str) -> str:
    """Return a text that UTF-8 can hold: what it cannot, as some names of files have, stands as escapes."""
    return text.encode(errors="backslashreplace").decode()


def visible(name: str) -> str:
    r"""Return a name, such as a token type, so that it can be seen: a line break as `\n`, blanks alone in quotes."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)
    return shown if shown.strip() or not shown else repr(shown)


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: "1 feature", "2000 features"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun, and with commas, as on the screen: "1 feature", "2,000 features"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


_LINES = (0.1, 0.05, 0.01, 0.001)
"""Usual thresholds: a number above one of them is never rounded down to it."""


def number(value: float, digits: int = 6) -> str:
    """
    Write a number with so many digits at most; "–" for NaN.

    Below 0.000001 it has an exponent, as in the hover text of charts: 1.2e−7.
    """
    if not math.isfinite(value):
        return "–" if math.isnan(value) else f"{value}".replace("-", "−")
    return _as_on_the_screen(f"{value + 0.0:.{digits}g}")


def p_text(value: float) -> str:
    """Write a p or q as `number` does: with two digits, or with more to keep it on its side of 0.05 and the like."""
    return "–" if math.isnan(value) else _p_text(value)


def round_p(value: float) -> float:
    """Return a p or q rounded as `p_text` writes it; NaN stays."""
    return value if math.isnan(value) else float(_p_digits(value))


@lru_cache(maxsize=2**14)  # counts give few different values, and a table has thousands of cells
def _p_text(value: float) -> str:
    return _as_on_the_screen(_p_digits(value))


def _p_digits(value: float) -> str:
    for digits in range(2, 18):
        text = f"{value:.{digits}g}"
        if all((float(text) <= line) == (value <= line) for line in _LINES):
            break
    return text


def _as_on_the_screen(text: str) -> str:
    """Return a number, given as Python writes it, without an exponent unless it is tiny, and with minus signs."""
    mantissa, _, exponent = text.partition("e")
    is_tiny = exponent and int(exponent) < -6
    return (f"{mantissa}e{int(exponent)}" if is_tiny else format(Decimal(text), "f")).replace("-", "−")


def percent(share: float) -> str:
    """Write a share in percent without its sign: whole, and with digits where it would else read 0 or 100."""
    value = 100 * share
    if math.isnan(value):
        return "–"
    for digits in range(17):
        text = f"{value:.{digits}f}"
        if (float(text) == 0) == (value == 0) and (float(text) == 100) == (value == 100):
            return text
    return repr(value)


def decimals_for(values: Iterable[float]) -> int:
    """Return how many decimals show the largest of some values with three digits; at most 4."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0)
    return min(max(2 - math.floor(math.log10(largest)), 0), 4) if largest else 0


def in_column(values: Iterable[float], decimals: int, *, sign: bool = False) -> list[str]:
    """Write numbers with so many decimals, as in a column, and with their sign where that is wanted; "–" for NaN."""
    numbers = [value + 0.0 for value in values]  # no −0
    if not numbers:
        return []
    form = f"%{'+' if sign else ''}.{decimals}f"
    text = "\n".join([form] * len(numbers)) % tuple(numbers)  # a third of the time of one by one
    return text.replace("+nan", "–").replace("nan", "–").replace("-", "−").split("\n")


def rounded(value: float, digits: int = 3, *, sign: bool = False) -> str:
    """Write a number with so many digits, without exponent, and with its sign where that is wanted; "–" for NaN."""
    if math.isnan(value):
        return "–"
    text = f"{value + 0.0:.{digits}g}"
    text = (format(Decimal(text), "f") if math.isfinite(value) else text).replace("-", "−")
    return f"+{text}" if sign and not text.startswith("−") else text


def signed(value: float, factor: float = 1) -> str:
    """Write an effect, times a factor, to three digits with its sign, +0 for none; "–" for NaN."""
    return rounded(factor * value, sign=True)
