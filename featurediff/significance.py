"""
Counts of prompts → p-values, q-values and intervals.

A feature's evidence depends on its counts alone, so every test is computed once for each pair of counts that occurs.
All of it takes prompts for independent samples, which paraphrases of each other are not: see `CAVEAT`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from featurediff.labels import PROMPTS, VERSIONS, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from featurediff.sources.results import ModelResults, Results

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Discordant = Mapping[str, tuple[Counts, Counts]]

ALPHA = 0.05
"""The largest q that counts as significant where nobody says otherwise."""

CAVEAT = (
    "Every p and q takes the prompts for independent samples. Prompts that are paraphrases of each other are not: "
    "the evidence is then weaker than the numbers say."
)
"""What stands beside every p."""

_TIE = 1 + 1e-7
"""Tables this close in probability count as equally likely, as in R's `fisher.test`."""

_MOST_TABLES = 1 << 22
"""Among up to 2,000 prompts of each set all tables are computed at once: 32 MB."""

_Z = 1.959963984540054
"""The standard normal's 0.975 quantile."""


@dataclass(frozen=True, eq=False)
class Tested:
    """One test on one family of features, by the pair of counts that it depends on."""

    family: int
    """How many features were tested together: what q corrects for."""

    codes: Counts
    """The distinct pairs, each as one number, ascending; shape (pairs,)."""

    width: int
    """A pair's code is first × width + second."""

    p: Floats
    """p of each pair; shape (pairs,)."""

    q: Floats
    """Its Benjamini-Hochberg q, the same for every feature with this pair; shape (pairs,)."""

    def at(self, first: Counts, second: Counts) -> tuple[Floats, Floats]:
        """
        Look up p and q.

        Parameters
        ----------
        first, second : ndarray of shape (n,), int

        Returns
        -------
        tuple of two ndarrays of shape (n,), float64
            NaN for pairs outside the family.
        """
        codes = first.astype(np.int64) * self.width + second
        if not len(self.codes):
            return np.full(len(codes), np.nan), np.full(len(codes), np.nan)
        places = np.searchsorted(self.codes, codes).clip(max=len(self.codes) - 1)
        found = self.codes[places] == codes
        return np.where(found, self.p[places], np.nan), np.where(found, self.q[places], np.nan)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Every test of one source."""

    exclusive: Mapping[tuple[Version, str], Tested]
    """(version, token type) → target over control; pairs are (target_num_active, control_num_active)."""

    change: Mapping[str, Tested]
    """Token type → chat against base on the target prompts; pairs as `change_test` needs them."""

    discordant: Discordant | None
    """
    Token type → on how many target prompts each feature is active in base only, and in chat only, each of shape
    (num_features,); None where it is not known which prompts they are.
    """

    @property
    def change_test(self) -> Literal["fisher", "mcnemar"]:
        """The test behind `change`: McNemar's where the same prompts ran through both models and are known."""
        return "fisher" if self.discordant is None else "mcnemar"


def assess(results: Results, discordant: Discordant | None = None) -> Evidence:
    """
    Test every feature.

    Parameters
    ----------
    results : Results
        One source.
    discordant : mapping, optional
        Token type → counts of target prompts on which a feature is active in base only and in chat only, each of
        shape (num_features,); with them the change is tested on pairs.

    Returns
    -------
    Evidence
        Target over control: one-sided Fisher's exact test within each model and token type; its family is the features
        active on at least one prompt of either set. Change: two-sided, Fisher's exact test (1935) on base against
        chat, or McNemar's exact test on the discordant prompts; its family is the features active on at least one
        target prompt in either model. q after Benjamini and Hochberg (1995).
    """
    exclusive: dict[tuple[Version, str], Tested] = {}
    change: dict[str, Tested] = {}
    models: dict[Version, ModelResults] = {"base": results.base, "chat": results.chat}
    sizes = {v: (m.metadata.num_target_prompts, m.metadata.num_control_prompts) for v, m in models.items()}
    for token_type in results.token_types:
        whole = [m.vectors[token_type][f"{prompts}_num_active"] for m in models.values() for prompts in PROMPTS]
        active = np.flatnonzero(reduce(np.logical_or, whole))
        counts = [vector[active] for vector in whole]
        for version, (target, control) in zip(VERSIONS, (counts[:2], counts[2:]), strict=True):
            exclusive[version, token_type] = _test(
                target, control, (target > 0) | (control > 0), fisher, sizes[version]
            )
        base, chat = counts[0], counts[2]
        is_on_target = (base > 0) | (chat > 0)
        if discordant is None:
            n = sizes["base"][0], sizes["chat"][0]
            change[token_type] = _test(base, chat, is_on_target, fisher_two_sided, n)
        else:
            n = (min(sizes["base"][0], sizes["chat"][0]),) * 2
            base_only, chat_only = (vector[active] for vector in discordant[token_type])
            change[token_type] = _test(base_only, chat_only, is_on_target, mcnemar, n)
    return Evidence(exclusive, change, discordant)


def with_evidence(table: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """
    Return the feature table with its tests.

    Parameters
    ----------
    table : DataFrame
        All kept features, from `diff.feature_table`.
    evidence : Evidence
        Of the same source.

    Returns
    -------
    DataFrame
        With `exclusive_positions` (int16: at how many token types the feature is kept), `base_p`, `base_q`, `chat_p`,
        `chat_q`, `change_p`, `change_q` (float64, NaN where the feature is not of the family) and `change_test`
        (category) before the column `explanation`.
    """
    names = [f"{what}_{value}" for what in (*VERSIONS, "change") for value in "pq"]
    columns: dict[str, Floats] = {name: np.full(len(table), np.nan) for name in names}
    ids = table["feature_id"].to_numpy()
    for token_type, tested in evidence.change.items():
        here = np.flatnonzero(table["token_type"] == token_type)
        counts = {
            f"{version}_{prompts}": table[f"{version}_{prompts}_num_active"].to_numpy()[here]
            for version in VERSIONS
            for prompts in ("target", "control")
        }
        for version in VERSIONS:
            pair = counts[f"{version}_target"], counts[f"{version}_control"]
            columns[f"{version}_p"][here], columns[f"{version}_q"][here] = evidence.exclusive[version, token_type].at(
                *pair
            )
        if evidence.discordant is None:
            pair = counts["base_target"], counts["chat_target"]
        else:
            base_only, chat_only = evidence.discordant[token_type]
            pair = base_only[ids[here]], chat_only[ids[here]]
        columns["change_p"][here], columns["change_q"][here] = tested.at(*pair)
    _, which, positions = np.unique(ids, return_inverse=True, return_counts=True)
    tests = pd.Categorical.from_codes(np.zeros(len(table), dtype=np.int8), categories=pd.Index([evidence.change_test]))
    added = pd.DataFrame(
        {"exclusive_positions": positions[which].astype(np.int16), **columns, "change_test": tests}, index=table.index
    )
    at = table.columns.get_loc("explanation")
    return pd.concat([table.iloc[:, :at], added, table.iloc[:, at:]], axis="columns")


def evidence_q(table: pd.DataFrame) -> Floats:
    """
    Return what a row's significance is judged by.

    Parameters
    ----------
    table : DataFrame
        From `with_evidence`.

    Returns
    -------
    ndarray of shape (rows,), float64
        The smaller q of the models in which the feature is exclusive: a row is kept if it is exclusive in one model at
        least, and significant if that is so in one of them.
    """
    base, chat = (
        np.where(is_among(table["exclusivity"], ("both", version)), table[f"{version}_q"], np.inf)
        for version in VERSIONS
    )
    return np.fmin(base, chat)


def is_among(column: pd.Series, names: Collection[str]) -> NDArray[np.bool_]:
    """Return which rows of a categorical column are one of these; a look at its codes is enough."""
    cells = pd.Categorical(column)
    found: NDArray[np.bool_] = np.array([name in names for name in cells.categories], dtype=bool)[cells.codes]
    return found


def evidence_counts(table: pd.DataFrame, max_q: float = ALPHA) -> pd.DataFrame:
    """
    Count kept and significant features.

    Parameters
    ----------
    table : DataFrame
        Rows of the feature table, from `with_evidence`.
    max_q : float
        The largest `evidence_q` that counts as significant.

    Returns
    -------
    DataFrame with a row per (token_type, exclusivity), also where there is no feature
        `kept` and `significant`, int.
    """
    names = ["token_type", "exclusivity"]
    groups = pd.MultiIndex.from_product([table[name].cat.categories for name in names], names=names)
    counts = count_evidence(table, max_q).reshape(-1, 2)
    return pd.DataFrame(counts, columns=["kept", "significant"], index=groups)


def count_evidence(table: pd.DataFrame, max_q: float = ALPHA) -> NDArray[np.int64]:
    """Return `evidence_counts` by token type and exclusivity, kept and significant, of shape (token types, 3, 2)."""
    columns = [table[name].cat for name in ("token_type", "exclusivity")]
    shape = tuple(len(column.categories) for column in columns)
    group = np.ravel_multi_index([column.codes for column in columns], shape)
    significant = group[evidence_q(table) <= max_q]
    counts = [np.bincount(groups, minlength=shape[0] * shape[1]).reshape(shape) for groups in (group, significant)]
    return np.stack(counts, axis=-1)


def wilson(counts: Counts, n: int) -> tuple[Floats, Floats]:
    """
    Return the 95 % interval of a frequency.

    Parameters
    ----------
    counts : ndarray of any shape, int
        On how many prompts features are active.
    n : int
        Out of how many.

    Returns
    -------
    tuple of two ndarrays, float64
        Lower and upper end, shares within [0, 1]: Wilson's score interval (1927), without continuity correction.
    """
    share, z2 = counts / n, _Z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return np.where(counts == 0, 0.0, centre - half), np.where(counts == n, 1.0, centre + half)


def fisher(target: Counts, control: Counts, num_target: int, num_control: int) -> Floats:
    """
    Return Fisher's exact p that a feature is active more often on target than on control prompts, one-sided.

    Parameters
    ----------
    target, control : ndarray of shape (n,), int
        On how many prompts it is active.
    num_target, num_control : int
        Out of how many.

    Returns
    -------
    ndarray of shape (n,), float64
        The hypergeometric tail P(X >= target): from `tails`, or `scipy.stats.hypergeom` where those would be too many.
    """
    if (num_target + 1) * (num_control + 1) <= _MOST_TABLES:
        upper: Floats = tails(num_target, num_control)[2][target, control]
        return upper
    from scipy.stats import hypergeom

    tail: Floats = hypergeom.sf(target - 1, num_target + num_control, target + control, num_target)
    return tail


@lru_cache(maxsize=1)
def tails(num_first: int, num_second: int) -> tuple[Floats, Floats, Floats]:
    """
    Return the probability of every table with these numbers of prompts, given its margin, and its tails.

    Returns
    -------
    tuple of three ndarrays of shape (num_first + 1, num_second + 1), float64
        By how many prompts of each set a feature is active on: P(X = first), P(X <= first) and P(X >= first) of the
        hypergeometric distribution. Each tail is a sum from its far end: the smallest are as exact as the largest.
    """
    from scipy.special import gammaln

    log_factorial = gammaln(np.arange(1.0, num_first + num_second + 2))
    first, second = np.ogrid[: num_first + 1, : num_second + 1]
    chosen = [
        log_factorial[n] - log_factorial[k] - log_factorial[n - k]
        for n, k in ((num_first, first), (num_second, second))
    ]
    both = log_factorial[-1] - log_factorial - log_factorial[::-1]
    likely = np.exp(chosen[0] + chosen[1] - both[first + second])
    lower, upper = likely.copy(), likely.copy()
    for k in range(num_first):
        lower[k + 1, :-1] += lower[k, 1:]
        upper[-2 - k, 1:] += upper[-1 - k, :-1]
    return likely, lower, upper


def fisher_two_sided(base: Counts, chat: Counts, num_base: int, num_chat: int) -> Floats:
    """
    Return Fisher's exact p that a feature is active as often in base as in chat, two-sided.

    Parameters
    ----------
    base, chat : ndarray of shape (n,), int
        On how many prompts it is active.
    num_base, num_chat : int
        Out of how many.

    Returns
    -------
    ndarray of shape (n,), float64
        The probability of all tables with the same margins that are at most as likely, as in
        `scipy.stats.fisher_exact`. All tables, or where those would be too many all of a margin, are computed at once,
        a hundred times as fast as by `scipy.stats.hypergeom`, from scipy's log-gamma.
    """
    if (num_base + 1) * (num_chat + 1) <= _MOST_TABLES:
        return _two_tails(base, chat, num_base, num_chat)
    from scipy.special import gammaln

    log_factorial = gammaln(np.arange(1.0, num_base + num_chat + 2))
    total = base + chat
    p = np.empty(len(base))
    for margin in np.unique(total):
        lowest = max(0, margin - num_chat)
        k = np.arange(lowest, min(margin, num_base) + 1)
        cells = (k, num_base - k, margin - k, num_chat - margin + k)
        log = -sum(log_factorial[cell] for cell in cells)
        likely = np.exp(log - log.max())
        likely /= likely.sum()
        ascending = np.sort(likely)
        here = total == margin
        rank = np.searchsorted(ascending, likely[base[here] - lowest] * _TIE, side="right")
        p[here] = np.cumsum(ascending)[rank - 1]
    return p.clip(max=1.0)


def _two_tails(base: Counts, chat: Counts, num_base: int, num_chat: int) -> Floats:
    """Return `fisher_two_sided` from `tails`: those at most as likely are beyond one on each side of the mode."""
    likely, lower, upper = tails(num_base, num_chat)
    margin = base + chat
    limit = likely[base, chat] * _TIE
    mode = (margin + 1) * (num_base + 1) // (num_base + num_chat + 2)
    p = np.zeros(len(base))
    found = []
    for end, step, tail in ((margin - num_chat).clip(min=0) - 1, 1, lower), (margin.clip(max=num_base) + 1, -1, upper):
        inner, outer = mode + step, end  # no table beyond; all are, or there is none
        while (is_open := np.abs(outer - inner) > 1).any():
            middle = np.where(is_open, (inner + outer) // 2, base)
            is_beyond = likely[middle, margin - middle] <= limit
            inner = np.where(is_open & ~is_beyond, middle, inner)
            outer = np.where(is_open & is_beyond, middle, outer)
        k = np.where(outer == end, base, outer)
        p += np.where(outer == end, 0, tail[k, margin - k])
        found.append(outer)
    return np.where(found[0] >= found[1], 1, p).clip(max=1)


def mcnemar(base_only: Counts, chat_only: Counts, *_sizes: int) -> Floats:
    """
    Return McNemar's exact p that a feature is active in base as often as in chat on the same prompts, two-sided.

    Parameters
    ----------
    base_only, chat_only : ndarray of shape (n,), int
        On how many prompts it is active in one model and not in the other.

    Returns
    -------
    ndarray of shape (n,), float64
        The exact binomial test of the discordant prompts against one half; 1 where there are none.
    """
    from scipy.stats import binom

    p: Floats = 2 * binom.cdf(np.minimum(base_only, chat_only), base_only + chat_only, 0.5)
    return p.clip(max=1.0)


def _test(
    first: Counts,
    second: Counts,
    family: NDArray[np.bool_],
    test: Callable[[Counts, Counts, int, int], Floats],
    sizes: tuple[int, int],
) -> Tested:
    """Test the features of a family, each distinct pair once."""
    width = sizes[1] + 1
    codes, numbers = _distinct(first[family] * width + second[family], (sizes[0] + 1) * width)
    p = test(*np.divmod(codes, width), *sizes)
    order = np.argsort(p)
    family_size = int(numbers.sum())
    steps = p[order] * family_size / np.cumsum(numbers[order])
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate(steps[::-1])[::-1].clip(max=1)
    return Tested(family_size, codes, width, p, q)


def _distinct(codes: Counts, most: int) -> tuple[Counts, Counts]:
    """Return the codes below `most` that occur, ascending, and how often."""
    if most > _MOST_TABLES:
        return np.unique(codes, return_counts=True)
    numbers = np.bincount(codes)
    found = np.flatnonzero(numbers)
    return found, numbers[found]
