"""Stats: what the knowledge base holds, counted, with the cut-off date of each repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelwiki.coverage import coverage, coverage_text
from kernelwiki.home import find_places
from kernelwiki.reading.records import MANIFEST, read_manifest
from kernelwiki.wiki import Wiki

__all__ = ["coverage_report", "coverage_text", "stats"]


def coverage_report() -> dict[str, Any]:
    """What the corpus does not cover yet; needs no index."""
    return coverage(find_places())


def stats(wiki: Wiki) -> dict[str, Any]:
    """Counts of records, evidence, pages and terms, the cut-off per repository, and the index that answers."""
    repositories = [_repository(entry, "shipped") for entry in read_manifest(wiki.places.records)["files"].values()]
    if (wiki.places.own_records / MANIFEST).is_file():
        repositories += [_repository(entry, "own") for entry in _whole(read_manifest(wiki.places.own_records)["files"])]
    terms = wiki.terms()
    return {
        "records": wiki.info.records,
        "evidence": sum(repository["evidence"] for repository in repositories),
        "pages": wiki.info.pages,
        "terms": len(terms),
        "repositories": repositories,
        "index": {"version": wiki.info.version, "documents": wiki.info.documents, "embedder": wiki.info.embedder},
    }


def _whole(files: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a repository: own records stand in several files, each with a thousand numbers."""
    found: dict[str, dict[str, Any]] = {}
    for entry in files.values():
        known = found.setdefault(entry["repo"], {**entry, "records": 0, "evidence": 0})
        known["records"] += entry["records"]
        known["evidence"] += entry["evidence"]
        known["first_merged_at"] = min(known["first_merged_at"], entry["first_merged_at"])
        known["cut_off"] = max(known["cut_off"], entry["cut_off"])
    return list(found.values())


def _repository(entry: dict[str, Any], origin: str) -> dict[str, Any]:
    return {
        "repo": entry["repo"],
        "origin": origin,
        "records": entry["records"],
        "evidence": entry["evidence"],
        "first_merged_at": entry["first_merged_at"][:10],
        "cut_off": entry["cut_off"][:10],
    }
