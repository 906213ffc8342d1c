"""The usual positions are told apart by people who see red and green alike."""

from itertools import combinations

import numpy as np
import pytest

from featurediff.charts.style import KNOWN_COLOURS

# Machado, Oliveira and Fernandes (2009), table 1, severity 1; of linear RGB.
SEEN = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "all colours": np.eye(3),
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
WHITE = [0.95047, 1.0, 1.08883]
FAR = 30
"""In CIELAB (CIE 1976); 2.3 is what can just be noticed."""


def lab(colour, seen):
    """L*, a* and b* of "#rrggbb"."""
    shares = np.array(list(bytes.fromhex(colour[1:]))) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(TO_XYZ @ np.clip(np.array(seen) @ linear, 0.001, 1) / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_the_usual_positions_are_told_apart(seen):
    """“model” and “endheader” were one colour to people who see no red."""
    for one, other in combinations(KNOWN_COLOURS.values(), 2):
        assert np.linalg.norm(lab(one, seen) - lab(other, seen)) > FAR
