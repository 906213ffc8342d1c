"""The columns of explanation files: those of featurediff, of Neuronpedia and of others' tables."""

from __future__ import annotations

import re

ID_COLUMNS = ("feature_id", "feature", "feature_index", "latent", "latent_id", "latent_index", "index")
"""What a feature's id may be called, the first of them counts: a frame may have its own `index` too."""

TEXT_COLUMNS = ("claude_desc", "description", "explanation", "label", "text", "chat_desc")
"""What a text may be called; each fills what those before it leave blank."""

TYPE_COLUMNS = ("explanation_type", "typeName", "type")
"""How a text was made; of `type`, see `says_how`."""

MODEL_COLUMNS = ("explanation_model", "explanationModelName", "model")
"""Which model wrote it; of `model`, see `this_sae.ThisSae.is_model`."""

SAE_COLUMNS = (
    *("source", "sae", "sae_folder", "neuronpedia_id", "sae_release", "release", "sae_id"),
    *("modelId", "model", "layer", "sae_layer", "hook_name", "hook_point", "trainer", "sae_trainer"),
    *("url", "link", "neuronpedia_url"),
)
"""What says of which SAE a row is."""

_PLACES = ("source", "sae", "token", "token_type", "position", "exclusivity")
"""Where these stand, `type` is one of features, as `entity` or `chat_only`."""

_METHODS = re.compile(r"(?:oai|np|eleuther|delphi)\b|(?:oai|np|eleuther|delphi)_", re.IGNORECASE)
_OF_FEATURES = frozenset(
    (
        *("entity", "behavior", "behaviour", "semantic"),
        *("base", "chat", "both", "neither", "shared", "instruct", "baseonly", "chatonly", "ftonly", "tunedonly"),
    )
)


def plain(column: str) -> str:
    """Make the spellings of a column's name the same: `Feature ID`, `featureId` and `feature_id`."""
    return re.sub(r"[\s_-]", "", column).casefold()


def find(columns: list[str], wanted: tuple[str, ...]) -> list[str]:
    """
    Return those columns of a table that are called as one that is wanted, in the order of `wanted`.

    Of two spellings in one table, the exact one comes first.
    """
    return [
        column
        for name in wanted
        for column in sorted(columns, key=lambda column: column != name)
        if plain(column) == plain(name)
    ]


def says_how(columns: list[str], types: list[str]) -> bool:
    """
    Tell whether a column `type` says how texts were made, and not what kind of feature they explain.

    Parameters
    ----------
    columns : list of str
        All columns of the table.
    types : list of str
        What stands in `type`, each once.
    """
    if find(columns, _PLACES):
        return all(_METHODS.match(value) for value in types)
    return not types or not all(plain(value) in _OF_FEATURES for value in types)
