"""
Results that keep only features that are active, and look as if they kept all.

Of a source of 131,072 features at two positions the server then keeps 2 MB instead of 25: a vector is 0 for 19 in 20
features. A vector is made whole again each time that it is asked for, which takes 0.1 ms, or 0.5 ms of a million
features. `tests/sources/test_sparse.py` holds each vector to what it was. To take it out, delete the calls of `sparse`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from featurediff.sources.results import ModelResults, Results


def sparse(results: Results) -> Results:
    """Return the same results with `SparseVectors`; what was read from the files can then be forgotten."""
    return replace(results, base=_sparse(results.base), chat=_sparse(results.chat))


def _sparse(model: ModelResults) -> ModelResults:
    return replace(model, vectors={name: SparseVectors(vectors) for name, vectors in model.vectors.items()})


class SparseVectors(Mapping[str, "NDArray[Any]"]):
    """The vectors of a token type: name → read-only array of shape (num_features,)."""

    def __init__(self, vectors: Mapping[str, NDArray[Any]]) -> None:
        self._size = max(map(len, vectors.values()), default=0)
        is_active = np.zeros(self._size, dtype=np.bool_)
        for vector in vectors.values():
            is_active |= vector != 0  # also of NaN
        self._ids = np.flatnonzero(is_active)
        self._values = {name: vector[self._ids] for name, vector in vectors.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        values = self._values[name]
        vector = np.zeros(self._size, dtype=values.dtype)
        vector[self._ids] = values
        vector.flags.writeable = False
        return vector

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
