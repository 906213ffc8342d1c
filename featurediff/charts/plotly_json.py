"""Charts on their way to Plotly: dicts, and JSON."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    from numpy.typing import NDArray

Drawing = dict[str, Any]
"""
A figure's `data`, a list of traces, and its `layout`, both as `plotly.graph_objects.Figure` takes them. To make that
object of it takes longer than all else of a chart, and the browser needs none.
"""


def to_json(drawing: Any) -> bytes:  # noqa: ANN401  also a part of a drawing
    """Return JSON in UTF-8, arrays of floats as Plotly packs them."""
    return orjson.dumps(drawing, _packed)


def _packed(array: NDArray[Any] | np.generic) -> object:
    """Return an array as Plotly packs it: floats as base64, others as a list; and a number of numpy's as Python's."""
    if isinstance(array, np.generic) or array.dtype not in (np.float32, np.float64):
        return array.tolist()
    packed = {
        "dtype": f"f{array.dtype.itemsize}",
        "bdata": orjson.Fragment(b'"%b"' % b64encode(np.ascontiguousarray(array).data)),
    }
    return packed if array.ndim == 1 else packed | {"shape": ", ".join(map(str, array.shape))}
