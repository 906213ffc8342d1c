"""Colours "#rrggbb": how light they are, and with an opacity."""

from __future__ import annotations


def luminance(colour: str) -> float:
    """Return the relative luminance of "#rrggbb", as WCAG 2.2 defines it: 0 for black, 1 for white."""
    shares = [channel / 255 for channel in bytes.fromhex(colour[1:])]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def see_through(colour: str, opacity: float) -> str:
    """Return a colour "#rrggbb" with an opacity, as CSS writes it."""
    red, green, blue = bytes.fromhex(colour[1:])
    return f"rgba({red}, {green}, {blue}, {opacity:g})"
