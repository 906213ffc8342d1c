"""`featurediff list`, `demo` and `check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from featurediff.cli.options import ResultsDir, SourceDir
from featurediff.cli.terminal import out, print_table, printable
from featurediff.features.evidence import ALPHA, CAVEAT, evidence_counts
from featurediff.labels import SIDES
from featurediff.sources.demo import is_planted
from featurediff.sources.results import is_synthetic
from featurediff.sources.tree import find_sources
from featurediff.study import Study, load

if TYPE_CHECKING:
    import pandas as pd


def list_sources(
    results: ResultsDir,
) -> None:
    """List the sources of a results tree."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("source", "model", "SAE", "layer", "prompts", "explanations", "missing"):
        table.add_column(name, overflow="fold")
    for source in find_sources(results):
        layer = "–" if source.layer is None else str(source.layer)
        explanations = source.explanations.name if source.explanations else "–"
        cells = (source.name, source.model or "–", source.trainer or "–", layer, source.prompt_set or "–", explanations)
        table.add_row(*map(printable, (*cells, ", ".join(source.missing))))
    print_table(table)


def make_demo(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="A folder to write results/ and explanations/ into.")],
    features: Annotated[int, typer.Option(help="Width of the SAE.")] = 16_384,
    prompts: Annotated[int, typer.Option(help="Target prompts; control prompts are three fewer.")] = 40,
    seed: Annotated[int, typer.Option(help="Another seed makes other numbers.")] = 0,
    layers: Annotated[int, typer.Option(help="More than one, to compare; the middle one has three prompt sets.")] = 1,
) -> None:
    """Write a synthetic source with planted features, or several to compare."""
    from featurediff.sources import demo

    for made in demo.make_demos(layers, features, prompts, seed):
        out.print(printable(str(made.write(folder))))


def check_source(source_dir: SourceDir) -> None:
    """Read a source, and say what is in it and what is odd about it."""
    study = load(source_dir)
    results, table = study.results, study.table()
    facts = Table.grid(padding=(0, 2))
    facts.add_row("source", printable(study.origin.caption))
    facts.add_row("features", f"{results.num_features:,}")
    for model in (results.base, results.chat):
        meta = model.metadata
        said = f"{meta.model_ver}: {meta.num_target_prompts} target and {meta.num_control_prompts} control prompts"
        facts.add_row(printable(model.name), printable(said))
    facts.add_row("metrics", printable(", ".join(results.metrics)))
    for side in SIDES:
        families = (f"{study.evidence.exclusive[side, name].family:,} at {name}" for name in results.token_types)
        facts.add_row(f"tested in {side}", printable(", ".join(families)))
    inconsistent = (
        f"{n:,} at {name}" for name, n in table.groupby("token_type", observed=False)["inconsistent"].sum().items()
    )
    facts.add_row("inconsistent", printable(", ".join(inconsistent)))
    facts.add_row("explained", printable(_coverage(study, table)))
    facts.add_row("Neuronpedia", printable(study.pages.reason))
    print_table(facts)
    out.print()
    print_table(_evidence(study, table))
    out.print(printable(CAVEAT))
    for note in study.notes():
        out.print(printable(f"Note: {note}", "yellow"))


def _coverage(study: Study, table: pd.DataFrame) -> str:
    ids = table.drop_duplicates("feature_id")["explanation"]
    name = study.explanations.name if study.explanations else "no explanations file"
    return f"{ids.notna().sum():,} of {len(ids):,} kept features ({name})"


def _evidence(study: Study, kept: pd.DataFrame) -> Table:
    """Return how many features are kept and significant; of the demo also how many of the planted ones are found."""
    counts = evidence_counts(kept)
    columns = ["position", "exclusive in", "kept", f"significant (q at most {ALPHA})"]
    if is_synthetic(study.results):
        planted = evidence_counts(kept[is_planted(kept["explanation"])])
        counts = counts.assign(planted=planted["kept"], found=planted["significant"])
        columns += ["planted", "planted and significant"]
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for token_type, exclusivity, *numbers in counts.reset_index().itertuples(index=False):
        table.add_row(*map(printable, (token_type, exclusivity, *(f"{n:,}" for n in numbers))))
    table.add_row("all", "", *(f"{n:,}" for n in counts.sum()))
    return table
