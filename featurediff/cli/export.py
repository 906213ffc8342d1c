"""`featurediff export`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurediff import export
from featurediff.charts.scale import Choice
from featurediff.charts.view import Kind, View, default_metric, nothing_kept
from featurediff.cli.ids import ids_of_option
from featurediff.cli.options import MaxControl, MinTarget, Offline, Template, check_outputs, read_thresholds
from featurediff.cli.terminal import err, find_and_tell, printable, show_progress
from featurediff.errors import DataError
from featurediff.features.evidence import ALPHA
from featurediff.features.filters import Consistency, Filters, blocking_filter, filter_table
from featurediff.features.listing import By, list_features
from featurediff.features.questions import Family, Question
from featurediff.features.ranked import rank, ranking_csv
from featurediff.files import kind_of, write_whole
from featurediff.labels import Labels
from featurediff.loading import load_source
from featurediff.sources.tree import Source, describe_source
from featurediff.study import Study
from featurediff.wording import plural

if TYPE_CHECKING:
    import pandas as pd

_ENDINGS = (".csv", ".html", ".parquet")


class Which(StrEnum):
    """An exclusivity, as typer can offer it in a list."""

    BOTH = "both"
    BASE = "base"
    CHAT = "chat"
    NEITHER = "neither"


@dataclass(frozen=True)
class Outputs:
    """Where to write what; for a results tree these are folders."""

    csv: Path | None
    """The table."""

    html: Path | None
    """The page."""

    parquet: Path | None
    """The table."""

    def below(self, name: str) -> Outputs:
        """Return the files of one source of a tree."""
        made = (folder and folder / f"{name}{ending}" for folder, ending in zip(self.paths, _ENDINGS, strict=True))
        return Outputs(*made)

    @property
    def paths(self) -> tuple[Path | None, Path | None, Path | None]:
        """All three, in the order of `_ENDINGS`."""
        return self.csv, self.html, self.parquet


@dataclass(frozen=True)
class Wanted:
    """What is wanted of each source, as the options say it."""

    view: View
    """But for the metric and the models' labels."""

    metric: str | None
    """None for the usual one of the source."""

    base_label: str | None
    """None for what the source's files call the base model."""

    chat_label: str | None
    """The same of the chat model."""

    explanations: Path | None
    """None for those found beside the source."""

    template: str | None
    """URL of a feature's page; None for the known one."""

    offline: bool
    """Whether plotly.js is inside a page."""


def export_sources(
    source_dir: Annotated[
        Path, typer.Argument(metavar="SOURCE_DIR", help="A folder with base.pt and chat.pt, or a tree of them.")
    ],
    question: Annotated[Question, typer.Option(help="Which features are kept.")] = "exclusive",
    alpha: Annotated[
        float, typer.Option(min=0, max=1, metavar="A", help="changed and specific keep features with q at most A.")
    ] = ALPHA,
    family: Annotated[Family, typer.Option(help="Correct q over each position, or over all positions.")] = "position",
    metric: Annotated[
        str | None,
        typer.Option(help="Which vector of the files the axes show; by default target_all_mean if they have it."),
    ] = None,
    explanations: Annotated[
        Path | None, typer.Option(help="CSV with feature_id and a text column, or a folder of delphi's.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table here (a folder, for a tree).")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the chart as a page here (a folder, for a tree).")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the table here (a folder, for a tree).")] = None,
    offline: Offline = True,
    token_type: Annotated[list[str] | None, typer.Option(help="Only this position; may be repeated.")] = None,
    exclusivity: Annotated[
        list[Which] | None, typer.Option(help="Only features exclusive in this model; may be repeated.")
    ] = None,
    consistency: Annotated[Consistency, typer.Option(help="Only consistent, or only inconsistent, features.")] = "all",
    min_target: MinTarget = "1",
    max_control: MaxControl = "0",
    min_value: Annotated[
        float | None, typer.Option(metavar="V", help="Only features where base or chat reaches V.")
    ] = None,
    max_q: Annotated[
        float | None,
        typer.Option(metavar="Q", min=0, max=1, help="Only features whose q for the question is at most Q."),
    ] = None,
    search: Annotated[str, typer.Option(help="Only features whose explanation contains this, or whose id it is.")] = "",
    ids: Annotated[str, typer.Option(metavar="1,2,3|FILE", help="Only these features; or those of a CSV.")] = "",
    chart: Annotated[Kind, typer.Option(help="What --html draws; with ranking, --csv is the ranking.")] = "scatter",
    by: Annotated[
        By, typer.Option(help="List a feature at each of its positions, or once, at its best; not in a ranking.")
    ] = "position",
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Increases and decreases in a ranking.")] = View.top,
    by_share: Annotated[
        bool, typer.Option("--by-share", help="Rank by the share of what differs between the models.")
    ] = False,
    scale: Annotated[Choice, typer.Option(help="Of both axes; auto is linear with --no-spread.")] = "auto",
    spread: Annotated[bool, typer.Option(help="Whether points that coincide get places of their own.")] = True,
    base_label: Annotated[str | None, typer.Option(help="By default Base, or what the files say.")] = None,
    chat_label: Annotated[str | None, typer.Option(help="By default Instruct, or what the files say.")] = None,
    target_label: Annotated[str, typer.Option()] = Labels.target,
    control_label: Annotated[str, typer.Option()] = Labels.control,
    neuronpedia_template: Template = None,
) -> None:
    """Write the features of one source, or of every source of a tree, as CSV, HTML or Parquet."""
    outputs = Outputs(csv, html, parquet)
    if not any(outputs.paths):
        msg = "Nothing to write: name at least one of --csv, --html and --parquet."
        raise DataError(msg)
    source = describe_source(source_dir)
    is_alone = len(source.missing) < 2
    if is_alone:
        check_outputs({"--csv": csv, "--html": html, "--parquet": parquet})
    view = View(
        thresholds=read_thresholds(min_target, max_control),
        filters=Filters(
            token_types=tuple(token_type or ()),
            exclusivity=tuple(which.value for which in exclusivity or ()),
            consistency=consistency,
            min_value=min_value,
            search=search,
            ids=ids_of_option(ids),
            max_q=max_q,
        ),
        labels=Labels(target=target_label, control=control_label),
        scale=scale,
        spread=spread,
        chart=chart,
        question=question,
        alpha=alpha,
        family=family,
        by=by,
        top=top,
        by_share=by_share,
    )
    wanted = Wanted(view, metric, base_label, chat_label, explanations, neuronpedia_template, offline)
    if is_alone or kind_of(source_dir) != "folder":
        _export(source, outputs, wanted)
    else:
        _export_tree(source_dir, outputs, wanted)


def _export_tree(results: Path, outputs: Outputs, wanted: Wanted) -> None:
    """Export every source of a tree; one that cannot be exported does not stop the others."""
    failed = 0
    with show_progress() as progress:
        for source in progress.track(find_and_tell(results), description="Exporting"):
            try:
                _export(source, outputs.below(source.name), wanted)
            except DataError as error:
                failed += 1
                err.print(printable(f"{source.name}: {error}", "red"))
    if failed:
        msg = f"{failed} of the sources could not be exported; the others are written."
        raise DataError(msg)


def _export(source: Source, outputs: Outputs, wanted: Wanted) -> None:
    """Load one source, and write what is wanted of it."""
    study = load_source(source, wanted.explanations, wanted.template)
    for note in study.explanation_notes():
        err.print(printable(f"Note: {note}", "yellow"))
    view, named = wanted.view, study.labels
    labels = replace(view.labels, base=wanted.base_label or named.base, chat=wanted.chat_label or named.chat)
    view = replace(view, labels=labels, metric=wanted.metric or default_metric(study.results))
    view.check(study.results)
    if view.by_share and study.sae_fit.shares is None:
        msg = f"`{source.folder}` has no usable difference.parquet, so that no share is known. Leave --by-share out."
        raise DataError(msg)
    _write(study, view, outputs, offline=wanted.offline)


def _write(study: Study, view: View, outputs: Outputs, *, offline: bool) -> None:
    kept = study.table_of(view)
    rows = filter_table(kept, view.filters, view.metric, view.question)
    if rows.empty:
        err.print(printable(f"Note: {export.title(study, view)}: {_why_empty(kept, view)}", "yellow"))
    table = list_features(rows, view.asked, view.by)
    written = dict.fromkeys(filter(None, outputs.paths), len(table))
    if outputs.csv and view.chart == "ranking":
        ranked = rank(rows, view.asked, study.origin, view.top, by_share=view.by_share)
        write_whole(outputs.csv, ranking_csv(ranked, view.asked))
        written[outputs.csv] = len(ranked)
    elif outputs.csv:
        write_whole(outputs.csv, export.csv_text(table, view.metric))
    if outputs.parquet:
        write_whole(outputs.parquet, export.parquet_bytes(table, view.metric))
    if outputs.html:
        provenance = export.provenance(study, view, len(rows), len(kept))
        drawing = study.draw(kept, view)
        lead = study.finding(view, kept)
        page = export.html_page(drawing, study.pages, provenance, export.title(study, view), offline=offline, lead=lead)
        write_whole(outputs.html, page)
        written[outputs.html] = len(rows)
    for path, number in written.items():
        err.print(printable(f"{path}: {plural(number, 'row')}"))


def _why_empty(kept: pd.DataFrame, view: View) -> str:
    if kept.empty:
        return f"{nothing_kept(view)}."
    return f"no feature is left by the filter on {blocking_filter(kept, view.filters, view.metric, view.question)}."
