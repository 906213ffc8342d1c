"""How much of what differs between two models each SAE feature accounts for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from featurediff.collect.decoder import Decoder
    from featurediff.collect.shape import Shape

    Floats = NDArray[np.float64]

_WORD = pa.dictionary(pa.int8(), pa.string())

DIFFERENCE = pa.schema(
    [
        ("token_type", _WORD),
        ("prompt_set", _WORD),
        ("feature_id", pa.int32()),
        ("share", pa.float64()),
        ("cosine", pa.float64()),
    ]
)
"""`difference.parquet`: a row for each feature whose mean differs between the models, where their residuals differ."""


@dataclass(frozen=True, eq=False)
class Means:
    """What a model does on average over the prompts of a set."""

    residual: Floats
    """Mean residual stream; shape (token types, width)."""

    activations: Floats
    """Mean activations in the residual's units; shape (token types, features)."""


def compare(
    base: Means, chat: Means, decoder: Decoder, shape: Shape, prompts: str
) -> tuple[dict[str, dict[str, float | None]], pa.Table]:
    """
    Split the difference of two models' mean residuals among the features.

    With δ = chat − base of the mean residual, and w the direction that a feature adds to it, the feature's share is
    (chat − base of its mean activation) · (w · δ) / ‖δ‖². All shares, and that of what no feature carries, sum to 1.

    Parameters
    ----------
    base, chat : Means
        Of the same prompts.
    decoder : Decoder
        Of the SAE.
    shape : Shape
        Names of the positions, and how each is pooled.
    prompts : str
        "target" or "control".

    Returns
    -------
    said : dict
        Token type → `norm`, ‖δ‖, and `share`, the sum over features; None where δ is 0 or activations are maxima, which
        do not add up to the residual.
    table : Table
        Of `DIFFERENCE`: `share`, and `cosine`, of w and δ. Only features whose means differ, and none where the sum is
        None.
    """
    import torch

    apart = chat.residual - base.residual
    products, lengths = (part.numpy(force=True) for part in decoder.project(torch.from_numpy(apart)))
    said: dict[str, dict[str, float | None]] = {}
    tables = [DIFFERENCE.empty_table()]
    for index, (token_type, delta) in enumerate(zip(shape.token_types, apart, strict=True)):
        norm = float(np.linalg.norm(delta))
        said[token_type] = {"norm": norm, "share": None}
        if norm == 0 or shape.pooled[index] == "max":
            continue
        change = chat.activations[index] - base.activations[index]
        (moved,) = change.nonzero()
        along, length = products[index, moved], lengths[moved]
        shares = change[moved] * along / norm**2
        cosine = np.divide(along, length * norm, out=np.zeros_like(along), where=length > 0)
        said[token_type]["share"] = float(shares.sum())
        words = [
            pa.DictionaryArray.from_arrays(np.zeros(len(moved), dtype=np.int8), [word])
            for word in (token_type, prompts)
        ]
        tables.append(pa.table([*words, moved.astype(np.int32), shares, cosine], schema=DIFFERENCE))
    return said, pa.concat_tables(tables).unify_dictionaries()
