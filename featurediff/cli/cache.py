"""`featurediff cache`."""

from __future__ import annotations

from typing import Annotated

import typer

from featurediff.cli.terminal import make_table, print_table, printable


def show_cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete everything that is kept.")] = False,
) -> None:
    """Say what is kept on disk so that nothing is computed or fetched twice, and delete it if you want."""
    from featurediff.compare.evidence_cache import EvidenceCache
    from featurediff.meaning.neuronpedia_cache import answers_folder, find_answers

    evidence = EvidenceCache.of_user()
    if clear:
        evidence.clear()
        for file in find_answers():
            file.unlink(missing_ok=True)
    table = make_table(("what", "size", "folder"))
    size = sum(file.stat().st_size for file in find_answers())
    table.add_row("evidence of sources", _in_bytes(evidence.size()), printable(str(evidence.folder)))
    table.add_row("explanations from Neuronpedia", _in_bytes(size), printable(str(answers_folder())))
    print_table(table)


def _in_bytes(size: int) -> str:
    return f"{size / 1e3:,.0f} kB" if size < 1e6 else f"{size / 1e6:,.0f} MB"
