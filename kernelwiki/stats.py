"""Stats: what the knowledge base holds, counted, with the cut-off date of each repository."""

from __future__ import annotations

from typing import Any

from kernelwiki.records import MANIFEST, read_manifest
from kernelwiki.wiki import Wiki


def stats(wiki: Wiki) -> dict[str, Any]:
    """Counts of records, evidence, pages and terms, the cut-off per repository, and the index that answers."""
    repositories = [_repository(entry, "shipped") for entry in read_manifest(wiki.places.records)["files"].values()]
    if (wiki.places.own_records / MANIFEST).is_file():
        repositories += [_repository(entry, "own") for entry in read_manifest(wiki.places.own_records)["files"].values()]
    terms = wiki.terms()
    return {
        "records": wiki.info.records,
        "evidence": sum(repository["evidence"] for repository in repositories),
        "pages": wiki.info.pages,
        "terms": len(terms),
        "repositories": repositories,
        "index": {"version": wiki.info.version, "documents": wiki.info.documents, "embedder": wiki.info.embedder},
    }


def _repository(entry: dict[str, Any], origin: str) -> dict[str, Any]:
    return {
        "repo": entry["repo"],
        "origin": origin,
        "records": entry["records"],
        "evidence": entry["evidence"],
        "first_merged_at": entry["first_merged_at"][:10],
        "cut_off": entry["cut_off"][:10],
    }
