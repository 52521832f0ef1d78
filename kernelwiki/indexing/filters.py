"""Filters: which documents a search may return, and clear errors for values that no document has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelwiki.errors import BadQuery
from kernelwiki.indexing.index import IndexInfo
from kernelwiki.reading.vocabulary import Vocabulary

# Documents of each term as a compressed column matrix (indptr, rows, weights) and the column of each term.
TermMatrix = tuple[Any, Any, Any, dict[str, int]]


@dataclass(frozen=True)
class Filters:
    """What a hit must be. Empty means anything."""

    kind: str = "any"
    repos: tuple[str, ...] = ()
    archs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    since: str = ""
    uses: str = ""  # a code name in an added line: proven on stored documents, by the search itself


def filter_mask(
    filters: Filters, info: IndexInfo, vocabulary: Vocabulary, attributes: Mapping[str, Any], terms: TermMatrix
) -> npt.NDArray[np.bool_] | None:
    """Documents that pass `filters`, or None when all do. Raises BadQuery for a value that no document has."""
    parts: list[Any] = []
    if filters.kind != "any":
        parts.append(attributes["is_page"] if filters.kind == "page" else ~attributes["is_page"])
    if filters.repos:
        parts.append(np.isin(attributes["repo"], [number for name in filters.repos for number in _repo_numbers(info, name)]))
    if filters.archs:
        wanted = np.zeros(len(info.archs), dtype=bool)
        wanted[[_arch_number(info, vocabulary, name) for name in filters.archs]] = True
        parts.append((attributes["archs"] & np.packbits(wanted)).any(axis=1))
    if filters.since:
        parts.append(attributes["day"] >= _since(filters.since))
    for tag in filters.tags:
        parts.append(_tag_mask(info, vocabulary, terms, tag))
    return np.logical_and.reduce(parts) if parts else None


def _repo_numbers(info: IndexInfo, name: str) -> list[int]:
    wanted = name.lower()
    found = [number for number, repo in enumerate(info.repos) if wanted in (repo.lower(), repo.rsplit("/", 1)[-1].lower())]
    if not found:
        raise BadQuery(
            f"--repo {name}: no such repository here. Valid: {', '.join(repo.rsplit('/', 1)[-1] for repo in sorted(info.repos))}."
        )
    return found


def _arch_number(info: IndexInfo, vocabulary: Vocabulary, name: str) -> int:
    wanted = re.sub(r"[^a-z0-9]", "", name.lower())
    wanted = re.sub(r"^(sm\d+)[af]$", r"\1", wanted)
    candidates = [wanted, *(term_id for term_id in vocabulary.in_text(name) if vocabulary.terms[term_id].kind == "arch")]
    for candidate in candidates:
        if candidate in info.archs:
            return info.archs.index(candidate)
    raise BadQuery(f"--arch {name}: no such architecture here. Valid: {', '.join(sorted(info.archs))}, or a product name such as B200.")


def _tag_mask(info: IndexInfo, vocabulary: Vocabulary, terms: TermMatrix, tag: str) -> npt.NDArray[np.bool_]:
    indptr, rows, _, columns = terms
    ids = [tag] if tag in columns else list(vocabulary.in_text(tag))
    if not ids:
        import difflib

        near = difflib.get_close_matches(tag.lower(), list(columns), n=5, cutoff=0.4)
        raise BadQuery(f"--tag {tag}: no such term. Nearest: {', '.join(near) or 'none'}. `kwiki list --terms` shows all.")
    mask = np.zeros(info.documents, dtype=bool)
    for term_id in ids:
        mask[rows[int(indptr[columns[term_id]]) : int(indptr[columns[term_id] + 1])]] = True
    return mask


def day_number(date: str) -> int:
    """Days since 1970 of an ISO date, 0 for none."""
    return int(np.datetime64(date[:10], "D").astype(int)) if date else 0


def _since(text: str) -> int:
    """Day number of a date given as year, month or day."""
    try:
        if not re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", text):
            raise ValueError(text)
        return day_number(str(np.datetime64(text, "D")))
    except (TypeError, ValueError):
        raise BadQuery(f"--since {text}: not a date. Valid: 2025-06-30, 2025-06 or 2025.") from None
