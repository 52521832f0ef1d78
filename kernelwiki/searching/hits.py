"""Hits: what a ranked row looks like to the reader: title, address, snippet, evidence for the query, honest label."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from kernelwiki.model import Evidence, Hit, Locator, Match, Record
from kernelwiki.reading.own_text import best_line
from kernelwiki.reading.records import record_from_json
from kernelwiki.reading.reverts import reverted_by
from kernelwiki.searching.query import Query, Ranked
from kernelwiki.searching.search import Searcher
from kernelwiki.searching.uses import CodeName
from kernelwiki.tokens import tokenize

MAX_EVIDENCE = 3
SNIPPET = 280
PAGE_URL = "kwiki://page/{id}"  # the address that the MCP server serves; `kwiki show ID` reads it


def make_hit(searcher: Searcher, query: Query, ranked: Ranked, place: int) -> Hit:
    """The hit at `place` of a ranking."""
    row, score = ranked.rows[place], round(ranked.scores[place], 4)
    uses = ranked.uses
    proven = uses is not None and set(query.tokens) <= set(tokenize(uses.text))
    match = "strong" if proven else cast(Match, searcher.label(ranked.features, row))
    data = searcher.document(row)
    if "page" in data:
        return page_hit(data, match, score, query, searcher)
    record = record_from_json(data)
    chosen = matching_evidence(record, query, searcher, uses)
    said = best_line(record, query.tokens) if uses is None else None
    places = [locator(record, item) for item in chosen]
    if said and said.path:
        text = _cut(said.text)
        places.insert(0, Locator(said.path, record.line_sha, record.blob_url(said.path, said.line), said.line, text))
    return Hit(
        id=record.id,
        kind="pr",
        title=record.title,
        url=record.url,
        match=match,
        score=score,
        snippet=_cut(f'{said.place}: "{said.text}"') if said else record_snippet(record, chosen),
        archs=record.archs,
        tags=tuple(searcher.terms_of(row)),
        evidence=tuple(places[:MAX_EVIDENCE]),
        repo=record.repo,
        number=record.number,
        merged_at=record.merged_at,
        reverted_by=reverted_by(record, searcher.reverts),
    )


def page_hit(data: Mapping[str, Any], match: Match, score: float, query: Query, searcher: Searcher) -> Hit:
    """A page, with its best section as snippet and the lines that this section cites as evidence."""
    evidence = []
    for record_id, path, line, sha in data["evidence"][:MAX_EVIDENCE]:
        row = searcher.row_of.get(record_id.lower())
        record = record_from_json(searcher.document(row)) if row is not None else None
        evidence.append(Locator(path, sha, record.blob_url(path, line) if record else "", line, record_id))
    return Hit(
        id=data["page"],
        kind="page",
        title=data["title"],
        url=PAGE_URL.format(id=data["page"]) + f"#{data['section']}",
        match=match,
        score=score,
        snippet=page_snippet(data["heading"], data["text"], query),
        archs=tuple(data["archs"]),
        tags=tuple(data["tags"]),
        evidence=tuple(evidence),
    )


def page_snippet(heading: str, text: str, query: Query) -> str:
    """The sentence of a section that shares most words with the query, under its heading."""
    wanted = set(query.tokens)
    sentences = [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]
    best = max(sentences, key=lambda part: len(wanted & set(tokenize(part))), default="")
    return _cut(f"{heading}: {best}")


def record_snippet(record: Record, evidence: list[Evidence]) -> str:
    """Our summary when there is one, else the facts: what is added where, how much changed."""
    if record.summary:
        return _cut(record.summary)
    added = [item for item in evidence if item.line]
    names = ", ".join(f"`{item.name}`" for item in added if item.kind != "hunk")
    where = f" in {added[0].path}" if added and added[0].path else ""
    additions = sum(file.additions or 0 for file in record.files)
    deletions = sum(file.deletions or 0 for file in record.files)
    size = f"{len(record.files)} file{'s' if len(record.files) != 1 else ''}, +{additions} -{deletions}"
    if names:
        return _cut(f"Adds {names}{where} ({size}).")
    main = max(record.files, key=lambda file: (file.additions or 0) + (file.deletions or 0), default=None)
    return _cut(f"Changes {main.path} ({size})." if main else size)


def matching_evidence(record: Record, query: Query, searcher: Searcher, uses: CodeName | None = None) -> list[Evidence]:
    """The evidence that speaks for this record: the name asked for, names that share words or terms with the query, telling kinds."""
    wanted, terms = set(query.tokens), set(query.terms)

    def value(item: Evidence) -> tuple[bool, float, bool, int]:
        asked = uses is not None and item.line is not None and uses.matches(item.name)
        shared = len(wanted & set(tokenize(item.name)))
        about = bool(terms & set(searcher.vocabulary.of_name(item.name)))
        return asked, shared + 1.5 * about, item.line is not None, -_KIND_ORDER.get(item.kind, len(_KIND_ORDER))

    located = [(value(item), item) for item in record.evidence if item.path and item.kind != "family"]
    located.sort(key=lambda pair: pair[0], reverse=True)
    ranked = [item for _, item in located]
    telling = [item for (asked, worth, *_), item in located if asked or worth > 0]
    places = {(item.path, item.line): item for item in reversed(telling or ranked)}
    return [item for item in (telling or ranked) if places[item.path, item.line] is item][:MAX_EVIDENCE]


_KIND_ORDER = {
    kind: place
    for place, kind in enumerate(
        ("instruction", "api", "template", "intrinsic", "function", "arch", "setting", "tile", "dtype", "symbol", "hunk")
    )
}


def locator(record: Record, item: Evidence) -> Locator:
    """Where a reader finds a piece of evidence."""
    path = item.path or ""
    return Locator(path, record.line_sha, record.blob_url(path, item.line), item.line, item.name)


def _cut(text: str) -> str:
    return text if len(text) <= SNIPPET else text[: SNIPPET - 1].rsplit(" ", 1)[0] + "…"
