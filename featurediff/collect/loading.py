"""A recipe → what does the work: models and SAE are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurediff.collect.encoder import Encoder
from featurediff.collect.models import describe_model
from featurediff.collect.responses import Writer
from featurediff.collect.saes import load_sae

if TYPE_CHECKING:
    from featurediff.collect.recipe import Recipe
    from featurediff.collect.saes import Sae


def load(recipe: Recipe, sae: Sae | None = None) -> Encoder | Writer:
    """Load the model, and the SAE where it is needed and not given."""
    model = describe_model(recipe.model, recipe.revision)
    if recipe.generate:
        return Writer(model, recipe)
    return Encoder(model, sae or load_sae(recipe.sae, recipe.layer), recipe)
