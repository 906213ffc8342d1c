"""A source's evidence as a comparison needs it: every q and which way each feature changed, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featurediff.compare.evidence_cache import EvidenceCache, evidence_key
from featurediff.features.evidence import assess_changes, assess_exclusive
from featurediff.features.questions import EFFECTS, Family, Question, effect_of
from featurediff.labels import PROMPTS, SIDES, Prompts
from featurediff.loading import load_source
from featurediff.sources.state import identify, in_state
from featurediff.sources.tree import Source
from featurediff.study import Study

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from featurediff.features.evidence import Changes, Exclusive

_Q = tuple(f"{name}_q" for name in (*SIDES, *EFFECTS))
_SIGN = tuple(f"{effect}_sign" for effect in EFFECTS)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the tests of a source say of each feature; no threshold, question or largest q went in."""

    table: pd.DataFrame
    """
    A row per token type and feature that is active on any prompt in either model, in the order of token types, then of
    ids: `base_q`, `chat_q` (target over control), and for each of `questions.EFFECTS` `…_q` (float64, NaN where it is
    not tested) and `…_sign` (int8: 1 where chat uses the feature more, −1 where it uses it less, 0 where neither is
    known).
    """

    tests: Mapping[str, str]
    """Effect → the test that its q comes from; "" where nothing is tested."""

    groups: Mapping[Prompts, int | None]
    """How many groups of prompts there are; None where the files name none."""

    is_paired: bool
    """Whether base and chat were compared prompt by prompt."""

    def is_tested(self, question: Question, metric: str) -> bool:
        """Whether a question has a test here; the published rule, which `any` includes, always has."""
        return question in ("exclusive", "any") or self.tests[effect_of(question, metric)] != ""


def evidence_of(study: Study, family: Family = "position") -> Evidence:
    """
    Return the evidence of a source that was loaded just now, from the cache on disk if it was computed before.

    Parameters
    ----------
    study : Study
        The source; nobody has asked for its pairs yet, so that they are read here.
    family : {"position", "source"}
        What q is corrected for together.

    Returns
    -------
    Evidence
        Kept on disk under the content of the files. It is not kept if a file changed while it was computed.
    """
    if study.source is None:
        return _assess(study, family)
    before = identify(study.source)
    key = evidence_key(study, family)
    cache = EvidenceCache.of_user()
    if key and (kept := cache.get(key)) is not None:
        return _from_arrow(kept)
    found = _assess(study, family)
    if key and identify(study.source) == before:
        cache.put(key, _to_arrow(found))
    return found


def read_evidence(identity: tuple[str, ...], source: Source, family: Family) -> Evidence:
    """
    Load a source, and return its evidence.

    Parameters
    ----------
    identity : tuple of str
        From `sources.state.identify`: the state of the files that is asked for.
    source, family : Source, Family
        What to test.

    Raises
    ------
    DataError
        If the files break the format, or are no longer in that state.
    """
    return in_state(identity, source, lambda: evidence_of(load_source(source), family))


def _assess(study: Study, family: Family) -> Evidence:
    """Test every feature."""
    pairs = study.pairs
    exclusive = assess_exclusive(study.results, pairs)
    changes = assess_changes(study.results, pairs, family)
    tests = {
        effect: next((t for name in changes.features if (t := changes.effects[effect, name].tested.test)), "")
        for effect in EFFECTS
    }
    groups = {prompts: pairs.num_groups(prompts) if pairs else None for prompts in PROMPTS}
    return Evidence(_table(exclusive, changes), tests, groups, pairs is not None)


def _table(exclusive: Exclusive, changes: Changes) -> pd.DataFrame:
    """Return the columns of `Evidence.table`."""
    names = list(changes.features)
    columns = {f"{v}_q": np.concatenate([exclusive.tested[v, name].q for name in names]) for v in SIDES}
    for effect in EFFECTS:
        at = [changes.effects[effect, name] for name in names]
        columns[f"{effect}_q"] = np.concatenate([tested.tested.q for tested in at])
        sign = np.sign(np.concatenate([tested.value for tested in at]))
        columns[f"{effect}_sign"] = np.nan_to_num(sign).astype(np.int8)
    return pd.DataFrame({name: columns[name] for name in (*_Q, *_SIGN)})


# ----------------------------------------------------------------------------
# On the disk.


def _to_arrow(evidence: Evidence) -> pa.Table:
    """Return evidence as a table whose schema says the rest."""
    import pyarrow as pa

    said = {f"test {effect}": test for effect, test in evidence.tests.items()}
    said |= {f"groups {prompts}": "" if n is None else str(n) for prompts, n in evidence.groups.items()}
    said["is_paired"] = str(evidence.is_paired)
    return pa.Table.from_pandas(evidence.table, preserve_index=False).replace_schema_metadata(said)


def _from_arrow(table: pa.Table) -> Evidence:
    said = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    groups = {prompts: int(said[f"groups {prompts}"]) if said[f"groups {prompts}"] else None for prompts in PROMPTS}
    tests = {effect: said[f"test {effect}"] for effect in EFFECTS}
    frame = table.replace_schema_metadata(None).to_pandas()
    return Evidence(frame, tests, groups, said["is_paired"] == "True")
