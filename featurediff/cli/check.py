"""`featurediff check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from featurediff.charts.view import View
from featurediff.cli.options import SourceDir
from featurediff.cli.terminal import make_table, out, print_table, printable
from featurediff.features.evidence import ALPHA, CAVEAT, NOT_CORRECTED
from featurediff.features.evidence_columns import count_evidence
from featurediff.features.sae_fit import share_in_words
from featurediff.labels import SIDES
from featurediff.loading import load
from featurediff.sources.demo_features import is_planted
from featurediff.sources.notes import std_in_words
from featurediff.sources.results import is_synthetic
from featurediff.study import Study
from featurediff.wording import rounded

if TYPE_CHECKING:
    import pandas as pd


def check_source(source_dir: SourceDir) -> None:
    """Read a source, and say what is in it and what is odd about it."""
    study = load(source_dir)
    results, table = study.results, study.table()
    out.print(printable(study.finding(View(question="specific", labels=study.labels))))
    out.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_row("source", printable(study.origin.caption))
    facts.add_row("features", f"{results.num_features:,}")
    for model in (results.base, results.chat):
        meta = model.metadata
        said = f"{meta.model_ver}: {meta.num_target_prompts} target and {meta.num_control_prompts} control prompts"
        facts.add_row(printable(model.name), printable(said))
    facts.add_row("metrics", printable(", ".join(results.metrics) or "none"))
    if any(name.endswith("_all_std") for name in results.metrics):
        facts.add_row("all_std", printable(std_in_words(results)))
    facts.add_row("evidence", printable(study.sample()))
    inconsistent = (
        f"{n:,} at {name}" for name, n in table.groupby("token_type", observed=False)["inconsistent"].sum().items()
    )
    facts.add_row("inconsistent", printable(", ".join(inconsistent)))
    facts.add_row("explained", printable(_coverage(study, table)))
    facts.add_row("Neuronpedia", printable(study.pages.reason))
    facts.add_row("SAE", printable(study.reading_in_words(View(labels=study.labels))))
    print_table(facts)
    for title, found in (
        ("What each question finds, and how much of it would be there by chance", _questions(study)),
        ("The published rule: active on target prompts only", _exclusive(study, table)),
        ("The published rule against chance, and against its mirror: active on control prompts only", _chance(study)),
        ("How well the SAE reads both models: base · chat", _fit(study)),
    ):
        out.print(f"\n{title}")
        print_table(found)
    out.print()
    out.print(printable(f"{CAVEAT} {NOT_CORRECTED}"))
    for note in study.notes():
        out.print(printable(f"Note: {note}", "yellow"))


def _coverage(study: Study, table: pd.DataFrame) -> str:
    ids = table.drop_duplicates("feature_id")["explanation"]
    name = study.explanations.name if study.explanations else "no explanations file"
    return f"{ids.notna().sum():,} of {len(ids):,} kept features ({name})"


def _exclusive(study: Study, kept: pd.DataFrame) -> Table:
    """Return how many features the published rule keeps; of the demo also how many of the planted ones."""
    counts = count_evidence(kept).drop(index="neither", level="exclusivity")
    columns = ["position", "exclusive in", "kept", f"target over control: q at most {ALPHA}"]
    if is_synthetic(study.results):
        planted = count_evidence(kept[is_planted(kept["explanation"])]).loc[counts.index]
        counts = counts.assign(planted=planted["kept"], found=planted["significant"])
        columns += ["planted", "planted, q at most 0.05"]
    table = make_table(columns)
    for token_type, exclusivity, *numbers in counts.reset_index().itertuples(index=False):
        table.add_row(*map(printable, (token_type, exclusivity, *(f"{n:,}" for n in numbers))))
    table.add_row("all", "", *(f"{n:,}" for n in counts.sum()))
    return table


def _chance(study: Study) -> Table:
    """Return what the published rule keeps at each position, beside what chance would, and its mirror."""
    names = ["position", "kept", "by chance", f"q at most {ALPHA}", "by chance", "mirror"]
    table = make_table(names)
    for row in study.by_chance().reset_index().to_dict("records"):
        bound = "≥ " * row["is_least"]
        table.add_row(
            printable(row["token_type"]),
            f"{row['either_kept']:,.0f}",
            f"{bound}{row['either_expected']:,.1f}",
            f"{row['either_significant']:,.0f}",
            f"{bound}{row['either_significant_expected']:,.1f}",
            f"{row['either_mirror']:,.0f}",
        )
    return table


def _fit(study: Study) -> Table:
    """Return how well the SAE reads each model at each position, and how far apart the models' means are."""
    names = ["position", "prompts", "explained", "missed", "cosine", "norm", "L0", "apart", "features carry"]
    table = make_table(names)
    for row in study.sae_fit.table.reset_index().to_dict("records"):
        shares, numbers = (
            [" · ".join(write(row[f"{side}_{name}"]) for side in SIDES) for name in names]
            for write, names in (
                (share_in_words, ("variance_explained", "relative_error")),
                (rounded, ("cosine", "norm", "l0")),
            )
        )
        cells = [row["token_type"], row["prompt_set"], *shares, *numbers, rounded(row["norm"])]
        table.add_row(*map(printable, (*cells, share_in_words(row["share"]))))
    return table


def _questions(study: Study) -> Table:
    """Return what each question finds at each position, by direction, beside what chance would."""
    counts = study.counts_by_question()
    names = ["question", "position", "found", "up", "down", "unchanged", "by chance", "prompts", "groups", "test"]
    table = make_table(names)
    at_least = "≥ " * (study.pairs is None)
    for (question, token_type), rows in counts.groupby(["question", "token_type"], sort=False):
        found = dict(zip(rows["direction"], rows["found"], strict=True))
        whole = rows.iloc[0]
        chance = (
            "–" if np.isnan(whole["expected"]) else f"{at_least * (question == 'exclusive')}{whole['expected']:,.1f}"
        )
        cells = [f"{found[name]:,}" for name in ("all", "increase", "decrease", "none")]
        table.add_row(
            *map(printable, (question, token_type, *cells, chance, whole["n"], whole["groups"], whole["test"]))
        )
    return table
