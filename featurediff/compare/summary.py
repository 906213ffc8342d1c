"""Several sources beside each other: what a comparison keeps of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from featurediff.charts.view import DEFAULT_METRIC
from featurediff.features.evidence_columns import is_among, question_q
from featurediff.features.questions import EFFECTS, Asked, Question, effect_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from featurediff.compare.evidence import Evidence
    from featurediff.compare.same_sae import SaeNames
    from featurediff.labels import Prompts, Side
    from featurediff.meaning.pages import FeaturePages

PUBLISHED = Asked()
"""The question that needs no evidence."""


@dataclass(frozen=True, eq=False)
class Summary:
    """What a comparison needs of one source: no vectors, so that many fit into memory and travel between processes."""

    name: str
    """Of the source, as in its results tree."""

    model: str
    """The model, as the folder or else the files name it; like `trainer` and `layer`."""

    trainer: str
    """The SAE."""

    layer: int
    """The layer that it reads."""

    prompt_set: str
    """Empty where no folder says."""

    token_types: tuple[str, ...]
    """All positions, in the files' order."""

    sae: SaeNames
    """Which SAE it is."""

    pages: FeaturePages
    """Where features have their pages."""

    files: dict[str, str]
    """SHA-256 of every file that went in, by name."""

    is_synthetic: bool
    """Whether the demo made it."""

    num_prompts: Mapping[tuple[Side, Prompts], int]
    """Number of prompts of each model and prompt set."""

    marks: Mapping[Prompts, frozenset[str]]
    """What identifies the prompts, from `same_prompts.find_marks`."""

    active: pd.DataFrame
    """
    A row per token type and feature that is active on any prompt in either model, in the order of token types, then of
    ids: `feature_id` (int32), `token_type` and `exclusivity` (category; "neither" where the published rule does not
    keep it).
    """

    texts: pd.Series
    """Feature id → explanation, of those active features that have one."""

    left_out: tuple[str, ...] = ()
    """Which explanations are left out, and why: a sentence each."""

    evidence: Evidence | None = None
    """Of the rows of `active`; None until they are tested."""

    fit: pd.DataFrame | None = None
    """From `features.sae_fit.fit_table`: how well the SAE reads both models; None where that is not asked."""

    @property
    def label(self) -> str:
        """What a reader calls the SAE."""
        return f"{self.model} · SAE {self.trainer} · layer {self.layer}"

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The columns of `active`, and of `Evidence.table` where it is known."""
        if self.evidence is None:
            return self.active
        return pd.concat([self.active, self.evidence.table], axis="columns")

    def answers(self, question: Question, metric: str = DEFAULT_METRIC) -> bool:
        """Whether it is known which features a question keeps: until a source is tested, by the published rule only."""
        if self.evidence is None:
            return question == "exclusive"
        return self.evidence.is_tested(question, metric)

    def keeps(self, asked: Asked) -> NDArray[np.bool_]:
        """
        Tell which features a question keeps, as `features.table.feature_table` does.

        Parameters
        ----------
        asked : Asked
            A question that the source `answers`; any other keeps none.

        Returns
        -------
        ndarray of shape (rows of `active`,), bool
        """
        exclusive = ~is_among(self.active["exclusivity"], ("neither",))
        if asked.question == "exclusive":
            return exclusive
        if not self.answers(asked.question, asked.metric):
            return np.zeros(len(self.active), dtype=bool)
        if asked.question == "any":
            tested = [self.rows[f"{effect}_q"].to_numpy() <= asked.alpha for effect in EFFECTS]
            whole: NDArray[np.bool_] = np.logical_or.reduce([exclusive, *tested])
            return whole
        return self.q(asked) <= asked.alpha

    def q(self, asked: Asked) -> NDArray[np.float64]:
        """Return the q that a question goes by, see `question_q`; NaN until the source is tested."""
        if self.evidence is None:
            return np.full(len(self.active), np.nan)
        return question_q(self.rows, asked.question, asked.metric)

    def sign(self, asked: Asked) -> NDArray[np.int8]:
        """Return 1 where chat uses a feature more, −1 where less, and 0 where neither is known."""
        if self.evidence is None:
            return np.zeros(len(self.active), dtype=np.int8)
        return self.rows[f"{effect_of(asked.question, asked.metric)}_sign"].to_numpy()

    def at(self, token_type: str | None) -> NDArray[np.bool_]:
        """Return which rows of `active` are of a position; None for any."""
        if token_type is None:
            return np.ones(len(self.active), dtype=bool)
        return is_among(self.active["token_type"], (token_type,))

    def ids(
        self, asked: Asked = PUBLISHED, token_type: str | None = None, *, only_evidence: bool = False
    ) -> NDArray[np.int32]:
        """
        Return the features that a question keeps.

        Parameters
        ----------
        asked : Asked
            The question; by default the published rule.
        token_type : str, optional
            Only those kept at this position; by default at any.
        only_evidence : bool
            Only those whose q of the question is at most alpha, at that position.

        Returns
        -------
        ndarray of shape (n,), int32
            Feature ids, ascending, each once.
        """
        keep = self.keeps(asked) & self.at(token_type)
        if only_evidence:
            keep &= self.q(asked) <= asked.alpha
        return np.unique(self.active["feature_id"].to_numpy()[keep])

    def active_ids(self, token_type: str | None = None) -> NDArray[np.int32]:
        """Return the features that are active on any prompt, at a position or at any: ascending, each once."""
        return np.unique(self.active["feature_id"].to_numpy()[self.at(token_type)])


class Fault(NamedTuple):
    """A source that could not be read."""

    name: str
    """Of the source."""

    message: str
    """What is wrong with it."""
