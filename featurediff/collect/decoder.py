"""The decoder of an SAE, used for the few features that are active."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn.functional import cosine_similarity, embedding_bag

_AT_A_TIME = 4096
"""Decoder rows that are made float64 at a time."""

_RECONSTRUCTS = ("standard", "jumprelu", "gated", "topk", "abstopk", "matching_pursuit")
"""Architectures whose decoder gives back what the encoder read; a transcoder's gives something else."""


class Active(NamedTuple):
    """The active features of some tokens, in the order of tokens."""

    rows: torch.Tensor
    """Which token; shape (active,), int64, like the next one."""

    features: torch.Tensor
    """Which feature."""

    activations: torch.Tensor
    """How active; shape (active,), float32, none of them 0."""


class Decoder:
    """
    What an SAE makes of its active features: b + Σ activation · direction, then what undoes a scaling of the input.

    A dense decode costs as much as the encoding; of 131,072 features some 100 are active on a token, so that this costs
    a thousandth. `test_decodes_as_sae_lens` holds it to `sae_lens.SAE.decode`.

    Parameters
    ----------
    module : sae_lens.SAE
        The SAE; it may be moved to another device later.
    """

    def __init__(self, module: Any) -> None:  # noqa: ANN401  sae_lens is imported late
        self._sae = module
        # Architectures whose activations are those of a decoder with directions of length 1.
        self._is_rescaled = getattr(module.cfg, "rescale_acts_by_decoder_norm", False)
        is_tied = module.cfg.architecture() == "matching_pursuit"
        self._has_bias = module.cfg.apply_b_dec_to_input or not is_tied

    @classmethod
    def of(cls, module: Any) -> Decoder | None:  # noqa: ANN401  as above
        """Return the decoder of an SAE, or None where it gives back something else than what was read."""
        return cls(module) if module.cfg.architecture() in _RECONSTRUCTS else None

    @property
    def scales_tokens(self) -> bool:
        """Whether the SAE scales each token by a factor of its own."""
        return self._sae.cfg.normalize_activations in ("layer_norm", "constant_norm_rescale")

    def scale(self) -> torch.Tensor:
        """Return the factor that takes each token of the last `encode` back to its own units; shape (tokens, 1)."""
        is_norm = self._sae.cfg.normalize_activations == "layer_norm"
        scale: torch.Tensor = self._sae.ln_std if is_norm else 1 / self._sae.x_norm_coeff
        return scale

    def decode(self, active: Active, tokens: int) -> torch.Tensor:
        """Return what the last `encode` is decoded to; shape (tokens, width), float32."""
        weights = active.activations
        if self._is_rescaled:
            weights = weights / self._sae.W_dec.norm(dim=-1)[active.features]
        counts = torch.bincount(active.rows, minlength=tokens)
        decoded = embedding_bag(
            active.features, self._sae.W_dec, counts.cumsum(0) - counts, mode="sum", per_sample_weights=weights
        )
        if self._has_bias:
            decoded = decoded + self._sae.b_dec
        if self.scales_tokens:
            decoded = decoded * self.scale()
        return decoded + self._sae.ln_mu if self._sae.cfg.normalize_activations == "layer_norm" else decoded

    def project(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Multiply the direction of every feature with some vectors.

        Parameters
        ----------
        vectors : Tensor of shape (vectors, width), float64

        Returns
        -------
        products : Tensor of shape (vectors, features), float64
            Of direction and vector; a direction is what an activation of 1 adds to the decoded token.
        norms : Tensor of shape (features,), float64
            Lengths of the directions.
        """
        weights = self._sae.W_dec
        vectors = vectors.to(weights.device)
        products, norms = [], []
        for start in range(0, len(weights), _AT_A_TIME):
            rows = weights[start : start + _AT_A_TIME].to(torch.float64)
            norms.append(rows.norm(dim=-1))
            products.append(vectors @ rows.T)
        product, norm = torch.cat(products, dim=-1), torch.cat(norms)
        if self._is_rescaled:
            return torch.where(norm > 0, product / norm, 0), (norm > 0).to(torch.float64)
        return product, norm


def measure(residual: torch.Tensor, decoded: torch.Tensor, active: Active) -> torch.Tensor:
    """
    Say how far apart tokens and what they are decoded to are.

    Returns
    -------
    Tensor of shape (tokens, 5), float64
        ‖h − ĥ‖², ‖h‖², the cosine of h and ĥ (0 where one of them is 0), ‖h‖, and the number of active features.
    """
    exact, found = residual.to(torch.float64), decoded.to(torch.float64)
    power = exact.square().sum(dim=-1)
    cosine = cosine_similarity(exact, found, dim=-1, eps=1e-30)
    counts = torch.bincount(active.rows, minlength=len(residual))
    return torch.stack([(exact - found).square().sum(dim=-1), power, cosine, power.sqrt(), counts], dim=-1)
