"""How well a colour is seen on another, as WCAG 2.2 defines it."""

from __future__ import annotations

BACKGROUNDS = ("#ffffff", "#12171d")
"""What charts stand on: an exported page and the app’s light theme, and its dark theme."""

LEAST_OF_MARKS = 3.0
"""Of a mark or a border (success criterion 1.4.11)."""

LEAST_OF_TEXT = 4.5
"""Of a text (success criterion 1.4.3)."""


def channels(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of "#rrggbb", 0 to 255."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def luminance(colour: str) -> float:
    """Return the relative luminance of "#rrggbb": 0 for black, 1 for white."""
    shares = [channel / 255 for channel in channels(colour)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours "#rrggbb": 1 for the same, 21 for black on white."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def blend(colour: str, background: str, opacity: float) -> str:
    """Return the colour that is seen where one lies on another with an opacity of 0 to 1."""
    both = zip(channels(colour), channels(background), strict=True)
    return "#" + "".join(f"{round(over * opacity + under * (1 - opacity)):02x}" for over, under in both)


def see_through(colour: str, opacity: float) -> str:
    """Return a colour "#rrggbb" with an opacity, as CSS writes it."""
    red, green, blue = channels(colour)
    return f"rgba({red}, {green}, {blue}, {opacity:g})"
