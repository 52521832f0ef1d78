"""Hits: what a ranked row looks like to the reader: title, address, snippet, evidence for the query, honest label."""

from __future__ import annotations

import re
from typing import cast

from kernelwiki.home import Places
from kernelwiki.model import Evidence, Hit, Locator, Match, Page, Record, Section
from kernelwiki.pages import prose, read_page
from kernelwiki.records import record_from_json
from kernelwiki.search import Query, Ranked, Searcher
from kernelwiki.tokens import tokenize

MAX_EVIDENCE = 3
SNIPPET = 280
PAGE_URL = "https://github.com/kernel-skills/kernel-skills/blob/main/corpus/pages/{id}.md"


def make_hit(searcher: Searcher, places: Places, query: Query, ranked: Ranked, place: int) -> Hit:
    """The hit at `place` of a ranking."""
    row, score = ranked.rows[place], round(ranked.scores[place], 4)
    match = cast(Match, searcher.label(ranked.features, row))
    data = searcher.document(row)
    if "page" in data:
        return page_hit(read_page(places.pages / f"{data['page']}.md"), data["section"], match, score, query)
    record = record_from_json(data)
    chosen = matching_evidence(record, query, searcher)
    return Hit(
        id=record.id,
        kind="pr",
        title=record.title,
        url=record.url,
        match=match,
        score=score,
        snippet=record_snippet(record, chosen),
        archs=record.archs,
        tags=tuple(searcher.terms_of(row)),
        evidence=tuple(locator(record, item) for item in chosen),
        repo=record.repo,
        number=record.number,
        merged_at=record.merged_at,
    )


def page_hit(page: Page, section_slug: str, match: Match, score: float, query: Query) -> Hit:
    """A page, with its best section as snippet and the citations of that section as evidence."""
    section = next((part for part in page.sections if part.slug == section_slug), page.sections[0])
    cited = [page.source(key) for key in section.citations]
    evidence = tuple(
        Locator(source.path, source.sha, f"https://github.com/{source.id.split('#')[0]}", source.line, source.title or None)
        for source in cited
        if source and source.kind == "evidence"
    )
    return Hit(
        id=page.id,
        kind="page",
        title=page.title,
        url=PAGE_URL.format(id=page.id) + f"#{section.slug}",
        match=match,
        score=score,
        snippet=page_snippet(section, query),
        archs=page.archs,
        tags=page.tags,
        evidence=evidence[:MAX_EVIDENCE],
    )


def page_snippet(section: Section, query: Query) -> str:
    """The sentence of the section that shares most words with the query, under its heading."""
    wanted = set(query.tokens)
    sentences = [text.strip() for text in re.split(r"(?<=[.!?])\s+|\n+", prose(section.text)) if text.strip()]
    best = max(sentences, key=lambda text: len(wanted & set(tokenize(text))), default="")
    return _cut(f"{section.heading}: {best}")


def record_snippet(record: Record, evidence: list[Evidence]) -> str:
    """Our summary when there is one, else the facts: what is added where, how much changed."""
    if record.summary:
        return _cut(record.summary)
    added = [item for item in evidence if item.line]
    names = ", ".join(f"`{item.name}`" for item in added)
    where = f" in {added[0].path}" if added and added[0].path else ""
    additions = sum(file.additions or 0 for file in record.files)
    deletions = sum(file.deletions or 0 for file in record.files)
    size = f"{len(record.files)} file{'s' if len(record.files) != 1 else ''}, +{additions} -{deletions}"
    if names:
        return _cut(f"Adds {names}{where} ({size}).")
    main = max(record.files, key=lambda file: (file.additions or 0) + (file.deletions or 0), default=None)
    return _cut(f"Changes {main.path} ({size})." if main else size)


def matching_evidence(record: Record, query: Query, searcher: Searcher) -> list[Evidence]:
    """The evidence that speaks for this record: names that share words or terms with the query, then the most telling kinds."""
    wanted, terms = set(query.tokens), set(query.terms)

    def value(item: Evidence) -> tuple[float, bool, int]:
        shared = len(wanted & set(tokenize(item.name)))
        about = bool(terms & set(searcher.vocabulary.of_name(item.name)))
        return shared + 1.5 * about, item.line is not None, -_KIND_ORDER.get(item.kind, 9)

    located = [item for item in record.evidence if item.path]
    ranked = sorted(located, key=value, reverse=True)
    telling = [item for item in ranked if value(item)[0] > 0]
    return (telling or ranked)[:MAX_EVIDENCE]


_KIND_ORDER = {
    kind: place
    for place, kind in enumerate(("instruction", "api", "template", "intrinsic", "function", "arch", "setting", "tile", "dtype", "symbol"))
}


def locator(record: Record, item: Evidence) -> Locator:
    """Where a reader finds a piece of evidence."""
    path = item.path or ""
    return Locator(path, record.merge_sha, record.blob_url(path, item.line), item.line, item.name)


def _cut(text: str) -> str:
    return text if len(text) <= SNIPPET else text[: SNIPPET - 1].rsplit(" ", 1)[0] + "…"
