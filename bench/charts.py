"""What a chart weighs, as the browser gets it."""

from __future__ import annotations

import json
from dataclasses import dataclass

UNEXPLAINED = ("", "No explanation")


@dataclass(frozen=True)
class Weight:
    """A figure in JSON."""

    points: int
    """Features that are drawn."""

    size: int
    """Bytes."""

    explained: int
    """Bytes of it that are explanations."""

    @property
    def each(self) -> float:
        """Bytes a point, beside the explanations."""
        return (self.size - self.explained) / self.points


def weigh(figure: str) -> Weight:
    """Return what a figure weighs; what it says where there is no explanation is no explanation."""
    traces = [trace for trace in json.loads(figure)["data"] if "customdata" in trace]
    texts = [text for trace in traces for text in trace.get("text") or ()]
    explained = sum(len(json.dumps(text)) for text in texts if text not in UNEXPLAINED)
    return Weight(sum(_length(trace["x"]) for trace in traces), len(figure), explained)


def _length(packed: dict[str, str] | list[float]) -> int:
    """Return how many numbers an array has, packed by Plotly or not."""
    if isinstance(packed, list):
        return len(packed)
    return len(packed["bdata"].rstrip("=")) * 3 // 4 // int(packed["dtype"][1:])
