"""
Extract the Neuronpedia page of every SAE in the SAELens registry into a small, clean table.

    python scripts/extract_registry.py sae_lens-6.54.12-py3-none-any.whl featurediff/meaning/neuronpedia.tsv

The registry is `pretrained_saes.yaml` inside the sae-lens wheel. It is kept by hand and has faults, so an id is trusted
only where layer, width, L0 and trainer number say the same in the SAE's name and in the id. Weights that also have a
canonical name get the canonical page under every name that they have.
"""

import argparse
import csv
import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import yaml  # type: ignore[import-untyped,unused-ignore]

from featurediff.meaning.registry import disagreements, facts_of_name, facts_of_page, first_group

# The residual stream after gpt2-small's last block, filed under the index that follows it.
INTENTIONAL = {("gpt2-small-res-jb", "blocks.11.hook_resid_post", "gpt2-small/12-res-jb")}


class Entry(NamedTuple):
    """One SAE of the registry."""

    release: str
    sae_id: str
    weights: tuple[str, str]
    """Repository and path: two names with the same weights are the same SAE."""
    l0: int | None
    claimed: str | None
    """The Neuronpedia id that the registry gives, right or wrong."""


def faults(entry: Entry) -> list[str]:
    """List the facts on which an SAE's name and the page claimed for it disagree."""
    if entry.claimed is None or (entry.release, entry.sae_id, entry.claimed) in INTENTIONAL:
        return []
    pairs = disagreements(facts_of_name(entry.release, entry.sae_id), facts_of_page(entry.claimed))
    return [f"{fact} {name} ≠ {page}" for fact, name, page in pairs]


def read_registry(path: Path) -> tuple[str, list[Entry]]:
    """Return the SAELens version ("unknown" for a bare YAML file) and all SAEs of its registry."""
    version, text = "unknown", ""
    if path.suffix == ".whl":
        version = path.name.split("-")[1]
        with zipfile.ZipFile(path) as wheel:
            text = wheel.read("sae_lens/pretrained_saes.yaml").decode()
    else:
        text = path.read_text(encoding="utf-8")
    entries = []
    for release, fields in yaml.safe_load(text).items():
        for sae in fields["saes"]:
            weights = (fields["repo_id"], str(sae["path"]))
            l0 = sae.get("l0") or first_group(r"average_l0_([0-9]+)$", weights[1])
            entries.append(Entry(release, sae["id"], weights, round(float(l0)) if l0 else None, sae.get("neuronpedia")))
    return version, entries


def link(entries: list[Entry]) -> tuple[list[tuple[str, ...]], Counter[str]]:
    """Return the clean rows (release, sae_id, layer, width, l0, neuronpedia_id), and how many SAEs went which way."""
    canonical: dict[tuple[str, str], str] = {}
    own: dict[tuple[str, str], str] = {}
    counts = Counter[str]()
    for entry in entries:
        wrong = faults(entry)
        if wrong:
            print(f"not trusted: {entry.release} {entry.sae_id} → {entry.claimed} ({', '.join(wrong)})")
        elif entry.claimed:
            pages = canonical if entry.release.endswith("-canonical") else own
            pages[entry.weights] = entry.claimed
    rows = []
    for entry in entries:
        page = canonical.get(entry.weights) or own.get(entry.weights)
        if page is None:
            counts["dropped: its only page is not trusted" if entry.claimed else "dropped: no page"] += 1
            continue
        if page == entry.claimed:
            counts["kept: its own page"] += 1
        elif entry.claimed:
            counts["kept: the canonical page of the same weights instead of its own"] += 1
        else:
            counts["kept: no page of its own, but the same weights have one"] += 1
        layer, width = facts_of_name(entry.release, entry.sae_id)["layer"] or "", facts_of_page(page)["width"] or ""
        rows.append((entry.release, entry.sae_id, layer, width, str(entry.l0 or ""), page))
    return sorted(rows), counts


def main() -> None:
    """Write the table and print what was kept and dropped, and why."""
    parser = argparse.ArgumentParser(description="Extract Neuronpedia ids from the SAELens registry.")
    parser.add_argument("registry", type=Path, help="sae-lens wheel, or pretrained_saes.yaml")
    parser.add_argument("out", type=Path, help="TSV to write")
    args = parser.parse_args()
    version, entries = read_registry(args.registry)
    rows, counts = link(entries)
    with args.out.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# From the registry of SAELens {version}, MIT licence: see LICENSE-sae-lens.\n")
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("release", "sae_id", "layer", "width", "l0", "neuronpedia_id"))
        writer.writerows(rows)
    for reason, number in sorted(counts.items()):
        print(f"{number:6} {reason}")
    print(f"{len(rows):6} rows written to {args.out}")


if __name__ == "__main__":
    main()
