"""Does the SAE read both models: what the files say of it, in a table, in words, and where it asks for caution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from featurediff.errors import DataError
from featurediff.labels import PROMPTS, SIDES, Labels, Prompts
from featurediff.meaning.registry import nominal_l0
from featurediff.meaning.source_sae import names_of_sae
from featurediff.sources.fit import DIFFERENCE, FIT
from featurediff.sources.shares import Shares, read_shares
from featurediff.wording import number, percent, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from featurediff.sources.results import Results
    from featurediff.sources.tree import Source

LEAST = 0.5
"""The variance explained of chat below which the SAE may not describe it."""

LOST = 0.2
"""By how much it may lie below that of base."""

L0_CHANGE = 0.5
"""By which share of base's L0 that of chat may differ; below one active feature a prompt it says nothing."""

HARDLY_VARIES = 0.02
"""The share of the residual's power below which its variance says little: then the relative error speaks."""

_IN_WORDS = 2
"""Positions that one sentence names."""


@dataclass(frozen=True, eq=False)
class SaeFit:
    """How well an SAE reads both models of a source, and what its features carry of the difference between them."""

    table: pd.DataFrame
    """From `fit_table`."""

    shares: Shares | None
    """What each feature carries; None where no file says so."""

    nominal_l0: str | None
    """The L0 that the SAE's name says; None where it does not."""

    faults: tuple[str, ...]
    """What is wrong with what was left out, a sentence each."""

    def in_words(self, labels: Labels, token_types: Sequence[str] = (), prompts: Prompts = "target") -> str:
        """
        Say in a line how much of both models the SAE explains.

        Parameters
        ----------
        labels : Labels
            What models and prompt sets are called.
        token_types : sequence of str
            Positions to speak of; none for all. Of more than two, the one where chat is explained worst.
        prompts : {"target", "control"}
            On which prompts.
        """
        rows = cast("pd.DataFrame", self.table.xs(prompts, level="prompt_set")).loc[list(token_types) or slice(None)]
        chosen, which = rows, ""
        if len(rows) > _IN_WORDS:
            order = rows["chat_variance_explained"].fillna(1 - rows["chat_relative_error"])
            known = bool(order.notna().any())
            chosen = rows.loc[[order.idxmin() if known else rows.index[0]]]
            which = f", the {'worst' if known else 'first'} of {len(rows)} positions"
        named = f" (by name {self.nominal_l0})" if self.nominal_l0 else ""
        unrecorded = _is_unrecorded(chosen)
        parts: list[str] = []
        for (at, row), is_short in zip(chosen.iterrows(), unrecorded, strict=True):
            on = "" if parts and is_short else f"on {labels.of(prompts)} "
            said = _position_in_words(row, f"{on}at {at}{which}", labels, "" if parts else named)
            parts.append(said + self._tokens_in_words(str(at), labels))
        where = "" if unrecorded.all() else f" at {' and '.join(chosen.index[unrecorded])}"
        return " · ".join(parts) + (f"; SAE fit{where} unknown" if unrecorded.any() else "")

    def _tokens_in_words(self, token_type: str, labels: Labels) -> str:
        """Say how many tokens are read as one, as a maximum grows with them; nothing where it is one token."""
        phrases = []
        for prompts in PROMPTS:
            row = cast("pd.Series[float]", self.table.loc[(token_type, prompts)])
            base, chat = (float(row[f"{side}_tokens"]) for side in SIDES)
            if not math.isnan(base + chat):
                phrases.append(f"{number(base, 3)} and {number(chat, 3)} on {labels.of(prompts)}")
        return f"; tokens {', '.join(phrases)}" if phrases else ""

    def share_in_words(self, token_type: str, feature_id: int, labels: Labels) -> str | None:
        """Say what one feature carries of the difference at a position; None where that is not known."""
        phrases = []
        found = {prompts: self.shares[token_type, prompts] for prompts in PROMPTS} if self.shares else {}
        for prompts, at in found.items():
            share, cosine = (float(cell[0]) for cell in at.of(np.array([feature_id])))
            if not math.isnan(share):
                along = "" if math.isnan(cosine) else f" (cosine {cosine:.2f})".replace("-", "−")
                phrases.append(f"{share_in_words(share)}{along} on {labels.of(prompts)}")
        said = f"Share of what differs between {labels.base} and {labels.chat}: "
        return said + ", ".join(phrases) if phrases else None

    def notes(self) -> list[str]:
        """Say what was left out, and where the SAE may not describe chat: a sentence each."""
        return [*self.faults, *_warnings(self.table)]

    def add_to(self, table: pd.DataFrame) -> pd.DataFrame:
        """
        Return the feature table with each feature's share of the difference on target prompts.

        Parameters
        ----------
        table : DataFrame
            From `evidence_columns.with_evidence`.

        Returns
        -------
        DataFrame
            Before the column `explanation`: `share` and `share_cosine` (float64); NaN where the models do not differ,
            and for the cosine also where the feature's mean does not. Without shares, the table as it is.
        """
        if self.shares is None:
            return table
        ids = table["feature_id"].to_numpy()
        found = np.full((2, len(table)), np.nan)
        for (token_type, prompts), at in self.shares.items():
            if prompts == "target":
                here = np.flatnonzero(table["token_type"] == token_type)
                found[:, here] = at.of(ids[here])
        added = pd.DataFrame({"share": found[0], "share_cosine": found[1]}, index=table.index)
        place = table.columns.get_loc("explanation")
        return pd.concat([table.iloc[:, :place], added, table.iloc[:, place:]], axis="columns")


def read_sae_fit(results: Results, source: Source | None) -> SaeFit:
    """
    Collect what a source's files say of its SAE.

    Parameters
    ----------
    results : Results
        Both models' statistics, with the fit of their metadata.
    source : Source or None
        The folder, which may hold `difference.parquet`, and whose name counts before the metadata's; None for uploads.

    Returns
    -------
    SaeFit
        A `difference.parquet` that cannot be used is left out, and `faults` says why.
    """
    meta, shares = results.base.metadata, None
    faults = [fault for side in SIDES for fault in results.of(side).metadata.fit.faults]
    try:
        shares = read_shares(source.folder, results) if source else None
    except DataError as error:
        faults.append(f"{error} Shares of the difference are left out.")
    _, trainer, _ = names_of_sae(meta, source)
    l0 = nominal_l0(trainer, release=meta.sae_release, sae_id=meta.sae_id, page=meta.neuronpedia_id)
    return SaeFit(fit_table(results), shares, l0, tuple(faults))


def fit_table(results: Results) -> pd.DataFrame:
    """
    Say how well the SAE reads both models.

    Parameters
    ----------
    results : Results
        One source.

    Returns
    -------
    DataFrame with a row per (token_type, prompt_set)
        For base and for chat `…_variance_explained`, `…_relative_error`, `…_cosine` and `…_norm` as the file says (NaN
        where it does not), and `…_l0`: the mean number of active features, from the counts, so that it is always known;
        `…_tokens`, the mean number of tokens per prompt where several are read as one; then `norm`, the distance of the
        mean residuals, and `share`, how much of it the features account for.
        `hardly_varies` (bool): whether the prompts do in base or in chat, so that the variance explained says little.
    """
    rows = {
        (token_type, prompts): _row(results, token_type, prompts)
        for token_type in results.token_types
        for prompts in PROMPTS
    }
    index = pd.MultiIndex.from_tuples(rows, names=["token_type", "prompt_set"])
    return pd.DataFrame(list(rows.values()), index=index)


def _row(results: Results, token_type: str, prompts: Prompts) -> dict[str, float | bool]:
    row: dict[str, float | bool] = {}
    varies = []
    for side in SIDES:
        model = results.of(side)
        said = model.metadata.fit.fit.get((token_type, prompts), {})
        row |= {f"{side}_{name}": said.get(name, math.nan) for name in FIT}
        row[f"{side}_tokens"] = model.metadata.fit.tokens.get((token_type, prompts), {}).get("mean", math.nan)
        active = model.vectors[token_type][f"{prompts}_num_active"].sum()
        row[f"{side}_l0"] = float(active / model.metadata.num_prompts(prompts))
        varies.append(_variation(said.get("relative_error", math.nan), said.get("variance_explained", math.nan)))
    apart = results.chat.metadata.fit.difference.get((token_type, prompts), {})
    row |= {name: apart.get(name, math.nan) for name in DIFFERENCE}
    row["hardly_varies"] = min(varies) < HARDLY_VARIES
    return row


def _variation(relative_error: float, variance_explained: float) -> float:
    """Return the residual's variance as a share of its power; ∞ where that is not known, 0 where nothing varies."""
    if math.isnan(variance_explained):
        return math.inf if math.isnan(relative_error) else 0.0
    return relative_error / (1 - variance_explained) if variance_explained < 1 else math.inf


def _is_unrecorded(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Return at which positions no file says how well the SAE reads either model."""
    found: NDArray[np.bool_] = rows[[f"{side}_relative_error" for side in SIDES]].isna().all(axis="columns").to_numpy()
    return found


def _position_in_words(row: pd.Series, where: str, labels: Labels, named: str) -> str:
    l0 = "L0 " + " and ".join(f"{row[f'{side}_l0']:,.{0 if row[f'{side}_l0'] >= 100 else 1}f}" for side in SIDES)
    errors, explained = (
        [float(row[f"{side}_{name}"]) for side in SIDES] for name in ("relative_error", "variance_explained")
    )
    if all(math.isnan(error) for error in errors):
        return f"{l0} {where}{named}"
    if row["hardly_varies"]:
        return f"SAE misses {_both(errors, labels)} {where}, where the prompts hardly vary; {l0}{named}"
    return f"SAE explains {_both(explained, labels)} {where}; {l0}{named}"


def _both(shares: Sequence[float], labels: Labels) -> str:
    return " and ".join(
        f"{share_in_words(share)} of {labels.of(side)}" for side, share in zip(SIDES, shares, strict=True)
    )


def share_in_words(share: float) -> str:
    """Write a share that may lie below 0 in percent, such as "−3 %"; "–" for NaN."""
    if math.isnan(share):
        return "–"
    return f"{'−' * (share < 0)}{percent(abs(share))} %"


def _warnings(table: pd.DataFrame) -> list[str]:
    """Say where the SAE may not describe chat: a sentence for each position and prompt set."""
    found = []
    for key, row in table.iterrows():
        token_type, prompts = cast("tuple[str, Prompts]", key)
        where = f"At {quoted(token_type)} on {prompts} prompts the SAE"
        verb, name = ("misses", "relative_error") if row["hardly_varies"] else ("explains", "variance_explained")
        base, chat, base_l0, chat_l0 = (row[f"{side}_{of}"] for of in (name, "l0") for side in SIDES)
        is_bad = chat > 1 - LEAST or chat - base > LOST if row["hardly_varies"] else chat < LEAST or base - chat > LOST
        if is_bad:
            shares = f"{share_in_words(chat)} of chat and {share_in_words(base)} of base"
            found.append(f"{where} {verb} {shares}: it may not describe chat.")
        if max(base_l0, chat_l0) >= 1 and abs(chat_l0 - base_l0) > L0_CHANGE * base_l0:
            numbers = f"{number(chat_l0, 3)} in chat and {number(base_l0, 3)} in base"
            found.append(f"{where} has an L0 of {numbers}: it may not read both alike.")
    return found
