"""Show: one item, whole, as data or text; lists of items."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from kernelwiki.errors import BadQuery, NotFound
from kernelwiki.model import Page, Record
from kernelwiki.reading.pages import section_slug
from kernelwiki.reading.records import record_to_json
from kernelwiki.reading.references import references
from kernelwiki.render import clean, page_text, record_text
from kernelwiki.wiki import Wiki


@dataclass(frozen=True)
class PageItem:
    """A page, or one section of it."""

    page: Page
    section: str
    merged: Mapping[str, str] = field(default_factory=dict)  # date of each pull request that the page cites

    def data(self) -> dict[str, Any]:
        data = asdict(self.page)
        for row in data["sources"]:
            if row["id"] in self.merged:
                row["merged_at"] = self.merged[row["id"]]
        data["sections"] = [part for part in data["sections"] if not self.section or part["slug"] == self.section]
        return data

    def text(self, sources: bool) -> str:
        return page_text(self.page, self.section, sources, self.merged)


@dataclass(frozen=True)
class RecordItem:
    """A pull request's record."""

    record: Record
    reverted_by: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        data = record_to_json(self.record)
        data["files"] = [asdict(file) for file in self.record.files]
        data["evidence"] = [
            {key: value for key, value in asdict(item).items() if value is not None}
            | ({"url": self.record.blob_url(item.path, item.line)} if item.path else {})
            for item in self.record.evidence
        ]
        data["archs"] = list(self.record.archs)
        data["reverted_by"] = list(self.reverted_by)
        return data

    def text(self, sources: bool) -> str:
        return record_text(self.record, sources, self.reverted_by)


def show_item(wiki: Wiki, wanted: str, section: str = "") -> PageItem | RecordItem:
    """The page (also `page-id#section`) or record named `wanted`. Raises NotFound with the nearest ids."""
    name, _, anchor = wanted.strip().partition("#")
    if "/" in name and next(references(wanted), None) is None:
        page = wiki.page(name)
        named = section or anchor
        return PageItem(page, section_slug(page, named) if named else "", _merged(wiki, page))
    if section:
        raise BadQuery(f"--section {section}: only pages have sections, {wanted} is a pull request.")
    record = wiki.record(wanted)
    return RecordItem(record, wiki.reverted_by(record))


def _merged(wiki: Wiki, page: Page) -> dict[str, str]:
    """{pull request: day it merged} of those that a page cites and the corpus holds."""
    found = {}
    for name in dict.fromkeys(item.id for item in page.sources if item.kind in ("pr", "evidence")):
        with suppress(NotFound):
            found[name] = wiki.record(name).merged_at[:10]
    return found


def listing(wiki: Wiki, terms: bool = False, repo: str | None = None) -> list[dict[str, Any]]:
    """Pages; or the vocabulary; or one repository's pull requests, newest first. Each row has id and title."""
    if terms and repo is not None:
        raise BadQuery("--terms and --repo list different things: give one of them.")
    if terms:
        return [{"id": term.id, "title": term.name, "kind": term.kind} for term in wiki.terms()]
    if repo is None:
        pages = [wiki.page(page_id) for page_id in wiki.page_ids()]
        return [{"id": page.id, "title": page.title, "kind": page.kind} for page in pages]
    wanted = repo.lower()
    found = [record for record in wiki.records() if wanted in (record.repo.lower(), record.short_repo.lower())]
    if not found:
        names = sorted(name.rsplit("/", 1)[-1] for name in wiki.info.repos)
        raise NotFound(f"--repo {repo}: no such repository here. Valid: {', '.join(names)}.", names)
    found.sort(key=lambda record: record.merged_at, reverse=True)
    return [{"id": record.id, "title": clean(record.title), "merged_at": record.merged_at, "url": record.url} for record in found]


def stats_text(data: dict[str, Any]) -> str:
    """Statistics as a plain table."""
    rows = [f"{'repository':34} {'records':>8} {'evidence':>9}  cut-off"]
    rows += [f"{row['repo']:34} {row['records']:>8} {row['evidence']:>9}  {row['cut_off']}" for row in data["repositories"]]
    rows.append(f"{'all':34} {data['records']:>8} {data['evidence']:>9}")
    rows.append(f"{data['pages']} pages, {data['terms']} vocabulary terms, {data['index']['documents']} indexed documents")
    return "\n".join(rows)
