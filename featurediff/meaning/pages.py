"""The Neuronpedia pages of an SAE's features; no link rather than a wrong one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import numpy as np
import pandas as pd

from featurediff.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pandas.api.extensions import ExtensionArray

HOST = "https://www.neuronpedia.org"
FIELD = "{feature_id}"
_EXAMPLE = f"{HOST}/gemma-2-9b/20-gemmascope-res-131k/{FIELD}"

# Explanation, plots, activations and link are shown; testing and steering would have Neuronpedia run the model.
_EMBED = {"embed": "true", "embedtest": "false", "embedsteer": "false"}
MOST_LISTED = 50


@dataclass(frozen=True)
class FeaturePages:
    """The Neuronpedia pages of one SAE, or why it has none."""

    template: str | None
    """URL of a feature's page, with `{feature_id}` where the id goes; None if there is no known page."""

    reason: str
    """How the page was found, or why there is none: one or two sentences of plain text."""

    source: str | None = None
    """Neuronpedia's `modelId/sourceId` of the SAE; None for a user's template and where there is no page."""

    @property
    def describes(self) -> str | None:
        """Which model the page is about, a sentence of plain text; None where that is not known."""
        if self.source is None:
            return None
        model = self.source.partition("/")[0]
        return (
            f"The page, its examples and its explanation describe the feature on {model}, "
            "the model that the SAE was trained on."
        )

    def embed_url(self, feature_id: int) -> str | None:
        """
        Return the page of one feature in the form that fits a pane of the dashboard; None where there is no page.

        What a user's template has in its query is kept.
        """
        url = self.url(feature_id)
        if url is None:
            return None
        parts = urlsplit(url)
        said = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        more = urlencode({name: value for name, value in _EMBED.items() if name not in said})
        return parts._replace(query="&".join(filter(None, (parts.query, more)))).geturl()

    def url(self, feature_id: int) -> str | None:
        """Return the page of one feature, or None where there is none."""
        return None if self.template is None else self.template.replace(FIELD, str(int(feature_id)))

    def urls(self, feature_ids: NDArray[np.int32]) -> ExtensionArray:
        """
        Return the page of each feature.

        Parameters
        ----------
        feature_ids : ndarray of shape (n,), int32

        Returns
        -------
        pandas array of shape (n,), dtype str
            All missing where the SAE has no page. An array and not a Series, so that it is assigned to a frame by
            position, whatever the frame's index.
        """
        if self.template is None:
            return pd.array(np.full(len(feature_ids), None), dtype="str")
        before, _, after = self.template.partition(FIELD)
        digits = pd.Series(feature_ids).astype("str")
        return (before + digits + after).array


def user_page(template: str) -> FeaturePages:
    """
    Return the pages of a user's own template.

    Raises
    ------
    DataError
        If the template is not a URL with `{feature_id}` exactly once.
    """
    fault = None
    if template.count(FIELD) != 1:
        fault = f"holds {FIELD} {template.count(FIELD)} times instead of once"
    elif re.search(r"[{}]", template.replace(FIELD, "")):
        fault = f"holds braces other than {FIELD}"
    elif re.search(r'[\s\x00-\x1f\x7f"<>\\^`|]', template):
        fault = "holds a character that a URL cannot hold"
    elif not re.match(r"(?i:https?)://[^/?#{]+[/?#]", template):
        fault = "does not start with http:// or https:// and a host"
    elif not _is_url(template):
        fault = "has a host that cannot be read"
    if fault:
        msg = f"The Neuronpedia template {template!r} {fault}. Give one like {_EXAMPLE}."
        raise DataError(msg)
    return FeaturePages(template, "The template given by the user.")


def _is_url(template: str) -> bool:
    try:
        urlsplit(template)
    except ValueError:
        return False
    return True


def quick_list_url(pages: FeaturePages, feature_ids: Sequence[int], name: str) -> str | None:
    """
    Return a link that shows features of one SAE as a list on Neuronpedia; nothing is stored there.

    Parameters
    ----------
    pages : FeaturePages
        Of the SAE.
    feature_ids : sequence of int, 1 to 50
        All of them of this SAE: with one unknown id, Neuronpedia shows an error instead of the list.
    name : str
        The list's title, not blank.

    Returns
    -------
    str or None
        About 6,000 characters for 50 features. None where `pages.source` is not known.

    Raises
    ------
    DataError
        If there are no features or more than 50, or the name is blank.
    """
    if pages.source is None:
        return None
    if not 1 <= len(feature_ids) <= MOST_LISTED:
        msg = f"A Neuronpedia quick list takes 1 to {MOST_LISTED} features, but got {len(feature_ids)}."
        raise DataError(msg)
    if not name.strip():
        msg = "A Neuronpedia quick list needs a name, but it is blank."
        raise DataError(msg)
    model, _, source = pages.source.partition("/")
    features = [{"modelId": model, "layer": source, "index": str(int(feature_id))} for feature_id in feature_ids]
    query = {"name": name, "features": json.dumps(features, separators=(",", ":"))}
    return f"{HOST}/quick-list/?{urlencode(query, quote_via=quote, errors='replace')}"
