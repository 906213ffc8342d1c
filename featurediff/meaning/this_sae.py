"""Which rows of a table are of the SAE that a source reads: one file may explain several."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from featurediff.errors import DataError
from featurediff.meaning import folder_saes, registry
from featurediff.meaning.columns import plain
from featurediff.wording import listed, plural, quoted

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pandas as pd
    from numpy.typing import NDArray

_FOLDER = re.compile(r"(?P<model>[^/]+)_trainer(?P<trainer>[^/]+)_layer(?P<layer>[0-9]{1,9})(?![0-9])")
_SOURCE_ID = r"[0-9]{1,4}-[A-Za-z0-9][A-Za-z0-9._-]*"
_PAGE = re.compile(rf"(?:^|/)(?P<model>[A-Za-z0-9][A-Za-z0-9._-]*)/(?P<source_id>{_SOURCE_ID})(?:/|$)")
_LAYER = re.compile(r"(?:layer[-_ ]?|l)?(?P<layer>[0-9]{1,9})(?:\.0*)?", re.IGNORECASE)
_HOOK = re.compile(r"(?:layers|blocks|h)\.(?P<layer>[0-9]{1,9})\b")
_MODELS = ("base", "chat", "instruct", "it")
"""Words for one of the two models, which say nothing of the SAE."""

_MAKERS = re.compile(r"(?:neuronpedia|manual|by hand|human|claude|gpt|gemini|openai|llm|auto|delphi)", re.IGNORECASE)
"""Beginnings of a `source` that says who wrote a text."""

_LINKS = ("url", "link", "neuronpediaurl")


@dataclass(frozen=True)
class ThisSae:
    """What a source calls the SAE that it reads."""

    num_features: int
    """Width of the SAE."""

    models: tuple[str, ...]
    """The model's names: of the folder, of the files, on Neuronpedia."""

    trainers: tuple[str, ...]
    """The SAE's names within its layer."""

    layer: int
    """The layer that it reads."""

    page: str | None = None
    """Neuronpedia's `modelId/sourceId`; None where it is not known."""

    template: str | None = None
    """URL of a feature's page, with `{feature_id}` where the id goes."""

    names: tuple[str, ...] = ()
    """What else the SAE's folder and the source's files are called."""

    @property
    def folder(self) -> str:
        """What a folder of this SAE is called."""
        return f"{self.models[0]}_trainer{self.trainers[0]}_layer{self.layer}"

    def is_model(self, value: str) -> bool | None:
        """Tell whether a text names the SAE's model; None where that is not certain."""
        found = [folder_saes.is_model(value, model) for model in self.models]
        return True if True in found else None if None in found else False

    def is_of_models(self, values: list[str]) -> bool:
        """Tell whether texts name models that were read with an SAE, and not models that wrote explanations."""
        return all(
            plain(value) in _MODELS or folder_saes.models_on_neuronpedia(value) or self.is_model(value)
            for value in values
        )


class _Said(NamedTuple):
    """What one cell or several say of an SAE; None where they say nothing."""

    model: str | None = None
    layer: int | None = None
    trainer: str | None = None
    source_id: str | None = None
    """What follows the model in a Neuronpedia id, such as "20-gemmascope-res-131k"."""
    name: str | None = None
    """A name that means nothing to featurediff."""
    is_this: bool = False
    """Whether it is a name of the SAE itself."""


class _Verdict(NamedTuple):
    """Whether a row is of the SAE; nothing is true of a row that does not say."""

    other: bool = False
    """It says something that is not so of the SAE."""
    this: bool = False
    """It names the SAE."""
    agrees: bool = False
    """It says something that is so of the SAE, such as the layer."""
    open: tuple[str, ...] = ()
    """It says something that nothing can be compared with."""


def rows_of(sae: ThisSae, named: pd.DataFrame, name: str) -> tuple[NDArray[np.bool_], list[str]]:
    """
    Tell which rows of a table are of an SAE.

    Parameters
    ----------
    sae : ThisSae
        The SAE.
    named : DataFrame of n rows
        Texts that say of which SAE each row is, by the `columns.plain` names of `SAE_COLUMNS`; blank where a row does
        not say. Each column may be missing; `model` is there only where it says which model was read.
    name : str
        What the file is called in messages.

    Returns
    -------
    keep : ndarray of shape (n,), bool
        All rows, where no row is of another SAE. A row that does not say of which SAE it is, is kept only then.
    notes : list of str
        What is left out, and why.

    Raises
    ------
    DataError
        If no row can be told to be of this SAE, but rows are of others.
    """
    if not len(named) or not len(named.columns):
        return np.ones(len(named), dtype=bool), []
    cells = named.apply(_without_id)
    codes = cells.groupby(list(cells), sort=False).ngroup().to_numpy()
    kinds = cells.iloc[np.unique(codes, return_index=True)[1]].to_dict("records")
    verdicts = [_judge({str(column): str(cell) for column, cell in kind.items()}, sae) for kind in kinds]
    surely, unsure, others = _sorted(verdicts)
    if not others and not unsure:
        return np.ones(len(named), dtype=bool), []
    labels = [_label(kind) for kind in kinds]
    if not surely:
        msg = (
            f"`{name}` explains {listed(label for label in labels if label)}, and no row of it can be told to be of "
            f"the SAE of this source. Expected a `source` such as {quoted(sae.folder)}."
        )
        raise DataError(msg)
    counts = np.bincount(codes)
    notes = []
    if others:
        rows = plural(int(counts[others].sum()), "row")
        notes.append(f"`{name}` has {rows} of other SAEs ({listed(labels[at] for at in others)}): left out.")
    if unsure:
        rows = plural(int(counts[unsure].sum()), "row")
        notes.append(f"`{name}` has {rows} that cannot be told to be of the SAE of this source: left out.")
    return np.isin(codes, surely), notes


def _label(kind: dict[Hashable, str]) -> str:
    """Return what a row calls its SAE; its link only where it has no other name."""
    names = [
        f"{column} {cell}" if cell.isdigit() else cell for column, cell in kind.items() if cell and column not in _LINKS
    ]
    return " ".join(names) or next((cell for cell in kind.values() if cell), "")


def _sorted(verdicts: list[_Verdict]) -> tuple[list[int], list[int], list[int]]:
    """Return the places of those that are of the SAE, of those where that is unsure, and of those of others."""
    others = [at for at, said in enumerate(verdicts) if said.other]
    surely = [
        at for at, said in enumerate(verdicts) if not said.other and (said.this or (said.agrees and not said.open))
    ]
    unsure = [at for at, said in enumerate(verdicts) if said.open and at not in {*surely, *others}]
    silent = [at for at, said in enumerate(verdicts) if said == _Verdict()]
    if not surely and len({verdicts[at].open for at in unsure}) == 1:
        surely, unsure = unsure, []
    return (surely, sorted(unsure + silent), others) if others or unsure else (surely + silent, [], [])


def _without_id(cells: pd.Series[str]) -> pd.Series[str]:
    """Return links without the feature's id, so that few of them differ; other texts as they are."""
    cells = cells.str.strip()
    if cells.name not in _LINKS:
        return cells
    stems = cells.str.rstrip("0123456789")  # a tenth of the time of a pattern: 0.9 s for a million rows
    return stems.where(stems.str.endswith(("/", "=")), cells)


def _judge(row: dict[str, str], sae: ThisSae) -> _Verdict:
    """Compare what a row says with an SAE; cells that say a part each are taken together."""
    parts = _Said(
        model=row.get("modelid") or row.get("model") or None,
        trainer=row.get("trainer") or row.get("saetrainer") or None,
    )
    if parts.model and plain(parts.model) in _MODELS:
        parts = parts._replace(model=None)
    for column in ("layer", "saelayer", "hookname", "hookpoint"):
        parts = _with_layer(parts, row.get(column, ""))
    said = [parts, _of_registry(row, sae)]
    said += [_of_name(row.get(column, ""), sae) for column in ("source", "sae", "saefolder", "neuronpediaid")]
    said += [_of_link(row.get(column, ""), sae) for column in _LINKS]
    verdicts = [_compare(one, sae) for one in said]
    return _Verdict(
        other=any(verdict.other for verdict in verdicts),
        this=any(verdict.this for verdict in verdicts),
        agrees=any(verdict.agrees for verdict in verdicts),
        open=tuple(text for verdict in verdicts for text in verdict.open),
    )


def _with_layer(said: _Said, text: str) -> _Said:
    """Add what a layer, a hook, or the part of a Neuronpedia id that is called a layer there says."""
    if re.fullmatch(_SOURCE_ID, text):
        return said._replace(source_id=text)
    match = _LAYER.fullmatch(text) or _HOOK.search(text)
    return said._replace(layer=int(match["layer"])) if match else said


def _of_registry(row: dict[str, str], sae: ThisSae) -> _Said:
    """Read release and id of SAELens."""
    release, sae_id = row.get("saerelease") or row.get("release", ""), row.get("saeid", "")
    name = " ".join(filter(None, (release, sae_id)))
    if found := registry.table().get((release, sae_id)):
        model, _, source_id = found.neuronpedia_id.partition("/")
        return _Said(model=model, layer=found.layer, source_id=source_id, is_this=name in sae.names)
    layer = registry.facts_of_name(release, sae_id)["layer"]
    return _Said(layer=int(layer) if layer else None, name=name or None, is_this=name in sae.names)


def _of_name(text: str, sae: ThisSae) -> _Said:
    """Read a name: of a folder, on Neuronpedia, of a model."""
    if text in sae.names:
        return _Said(is_this=True)
    if match := _FOLDER.search(text):
        return _Said(match["model"], int(match["layer"]), match["trainer"])
    if match := _PAGE.search(text):
        return _Said(model=match["model"], source_id=match["source_id"])
    if re.fullmatch(_SOURCE_ID, text):
        return _Said(source_id=text)
    if text and (folder_saes.models_on_neuronpedia(text) or sae.is_model(text)):
        return _Said(model=text)
    return _Said(name=None if _MAKERS.match(text) else text or None)


def _of_link(text: str, sae: ThisSae) -> _Said:
    """Read a link to a feature's page, on Neuronpedia or elsewhere; it says nothing where it leads to none."""
    if sae.template and text.startswith(sae.template.partition("{")[0]):
        return _Said(is_this=True)
    try:
        parts = urlsplit(text)
        query = {plain(field): value for field, value in parse_qsl(parts.query)}
    except ValueError:
        return _Said()
    if match := _PAGE.search(parts.path):
        return _Said(model=match["model"], source_id=match["source_id"])
    said = _with_layer(_Said(), query.get("layer", ""))
    return said._replace(model=query.get("model") or query.get("modelid"), trainer=query.get("trainer"))


def _compare(said: _Said, sae: ThisSae) -> _Verdict:
    """Compare what was said with an SAE."""
    if said.is_this:
        return _Verdict(this=True)
    if said.source_id and sae.page:
        model, _, _ = sae.page.partition("/")
        is_page = registry.canonical(f"{said.model or model}/{said.source_id}") == sae.page
        return _Verdict(other=not is_page, this=is_page)
    layer = int(said.source_id.partition("-")[0]) if said.source_id else said.layer
    width = registry.width_of_page(f"{said.model or ''}/{said.source_id}") if said.source_id else None
    agrees = {
        "model": None if said.model is None else sae.is_model(said.model),
        "layer": None if layer is None else layer == sae.layer,
        "trainer": None if said.trainer is None else _is_trainer(said.trainer, said.model, sae),
        "width": None if width is None else registry.is_width(width, sae.num_features),
    }
    unread = (said.source_id, said.name, None if agrees["model"] else said.model)
    is_other = False in agrees.values()
    return _Verdict(
        other=is_other,
        this=not is_other and None not in (agrees["model"], agrees["layer"], agrees["trainer"]),
        agrees=True in agrees.values(),
        open=() if is_other else tuple(text for text in unread if text),
    )


def _is_trainer(trainer: str, model: str | None, sae: ThisSae) -> bool:
    """Tell whether a trainer is the SAE's, maybe in another spelling, or by its L0 instead of "canonical"."""
    if _spelt(trainer) in map(_spelt, sae.trainers):
        return True
    page, _ = folder_saes.id_of_folder(model or sae.models[0], trainer, sae.layer)
    return page is not None and page == sae.page


def _spelt(trainer: str) -> str:
    return re.sub(r"^trainer-", "", re.sub(r"[-_/\s]+", "-", trainer.strip().lower()))
