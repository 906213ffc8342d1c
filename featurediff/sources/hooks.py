"""Names of hook points → what was read there, in words."""

from __future__ import annotations

import re
from typing import NamedTuple

WORDS = {
    "resid_pre": "residual stream before layer {}",
    "resid_mid": "residual stream between attention and MLP of layer {}",
    "resid_post": "residual stream after layer {}",
    "resid": "residual stream at layer {}",
    "mlp_in": "MLP input of layer {}",
    "mlp_out": "MLP output of layer {}",
    "attn_out": "attention output of layer {}",
    "z": "attention head outputs of layer {}",
    "transcoder": "MLP transcoder of layer {}",
}
"""What an SAE reads → how it is said; each has the layer in it."""

_SYNONYMS = {
    "attention_out": "attn_out",
    "self_attn": "attn_out",
    "attn": "attn_out",
    "attention": "attn_out",
    "mlp": "mlp_out",
    "feed_forward": "mlp_out",
    "": "resid_post",
}
_SITES = "resid_pre|resid_mid|resid_post|mlp_in|mlp_out|attn_out|attention_out"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # TransformerLens: blocks.20.hook_resid_post, blocks.5.attn.hook_z, and what SAELens appends
        rf"blocks\.(?P<layer>[0-9]+)\.(?:attn\.)?hook_(?P<site>{_SITES}|z)(?:[_.:].*)?",
        # dictionary_learning: resid_post_layer_11, and the same after a prefix
        rf"(?:.*[/_.])?(?P<site>{_SITES})_layer_(?P<layer>[0-9]+)(?:[_/].*)?",
        # transformers, where a block's name means its output: model.layers.16, transformer.h.16.mlp
        r"(?:[A-Za-z_]\w*\.)*(?:layers|h|blocks|block)\.(?P<layer>[0-9]+)(?:\.(?P<site>mlp|feed_forward|self_attn|attn|attention))?",
    )
)


class Place(NamedTuple):
    """Where a model is read."""

    site: str
    """A key of `WORDS`."""

    layer: int
    """From 0."""

    def __str__(self) -> str:
        return WORDS[self.site].format(self.layer)


def place_of(hook_name: str) -> Place | None:
    """Return what a hook's name means, or None where it is not known."""
    for pattern in _PATTERNS:
        if (match := pattern.fullmatch(hook_name)) and len(match["layer"]) < 10:
            site = match["site"] or ""
            return Place(_SYNONYMS.get(site, site), int(match["layer"]))
    return None
