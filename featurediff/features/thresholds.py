"""From how many prompts on a feature counts as exclusive: as numbers of prompts, or as shares of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from featurediff.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_THRESHOLD = r"([0-9]{1,9}(?:\.[0-9]{0,10})?|\.[0-9]{1,10})\s*(%?)"


@dataclass(frozen=True)
class Threshold:
    """A number of prompts, or a share of them."""

    value: float
    """Prompts, or a share between 0 and 1."""

    share: bool = False
    """Whether `value` is a share of the model's own number of prompts."""

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """
        Read "3" as three prompts, and "7.5%" or "0.075" as a share of them.

        Raises
        ------
        DataError
            If the text is neither, or could be both, as "1.0".
        """
        if match := re.fullmatch(_THRESHOLD, text.strip()):
            number, percent = match.groups()
            share = bool(percent) or "." in number
            value = Decimal(number) / (100 if percent else 1)
            if value == 1 and share and not percent:
                msg = f"The threshold {text!r} may be one prompt or all of them. Write 1 or 100%."
                raise DataError(msg)
            if value <= 1 or not share:
                return cls(float(value), share)
        msg = f"A threshold is a count such as 3, or a share such as 7.5% or 0.075, but {text!r} was given."
        raise DataError(msg)

    def __str__(self) -> str:
        return f"{self.value:.10%}".rstrip("0%").rstrip(".") + "%" if self.share else f"{self.value:.15g}"

    def measure(self, counts: NDArray[np.int64], num_prompts: int) -> NDArray[np.int64] | NDArray[np.float64]:
        """Return what `value` is compared with: the counts of shape (num_features,), or counts / num_prompts."""
        return counts / num_prompts if self.share else counts


@dataclass(frozen=True)
class Thresholds:
    """When a feature counts as exclusive to the target prompts; the defaults are the published rule."""

    min_target: Threshold = Threshold(1)
    """Active on at least so many target prompts."""

    max_control: Threshold = Threshold(0)
    """Active on at most so many control prompts."""

    def __post_init__(self) -> None:
        if not self.min_target.value > 0:
            msg = (
                f"The least number of target prompts must be above 0, but is {self.min_target}: "
                "at 0, features that never fire would count as exclusive."
            )
            raise DataError(msg)
