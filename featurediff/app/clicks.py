"""What a browser tells of a point of a chart that was clicked or caught."""

from __future__ import annotations

from typing import Any


def numbers_of(customdata: Any) -> list[Any]:  # noqa: ANN401  depending on how it was sent
    """Return a point's own data as a list, be it sent as a list, as a dict whose keys are places, or as one value."""
    if isinstance(customdata, dict):
        return list(customdata.values())
    return customdata if isinstance(customdata, list) else [customdata]
