"""How well a colour is seen on another, as WCAG 2.2 defines it, and what the charts and pages promise."""

from featurediff.charts.colour import luminance

BACKGROUNDS = ("#ffffff", "#12171d")
"""What charts stand on: an exported page and the app’s light theme, and its dark theme."""

LEAST_OF_MARKS = 3.0
"""Of a mark or a border (success criterion 1.4.11)."""

LEAST_OF_TEXT = 4.5
"""Of a text (success criterion 1.4.3)."""


def contrast(one, other):
    """Return the contrast ratio of two colours "#rrggbb": 1 for the same, 21 for black on white."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def blend(colour, background, opacity):
    """Return the colour that is seen where one lies on another with an opacity of 0 to 1."""
    both = zip(bytes.fromhex(colour[1:]), bytes.fromhex(background[1:]), strict=True)
    return "#" + "".join(f"{round(over * opacity + under * (1 - opacity)):02x}" for over, under in both)
