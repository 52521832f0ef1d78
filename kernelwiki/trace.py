"""Trace: the chain from an id to pull request, merge SHA, file, line and address, link by link."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwiki.model import Evidence, Page, Record, Source
from kernelwiki.reading.pages import section_slug
from kernelwiki.wiki import Wiki


@dataclass(frozen=True)
class Link:
    """One link of a chain: what it is, its id or name, and where it can be opened. `line` is 1-based at `sha`."""

    kind: str
    name: str
    url: str = ""
    path: str = ""
    line: int | None = None
    sha: str = ""


def trace(wiki: Wiki, wanted: str) -> list[Link]:
    """The chain of a page, section or pull request. Raises NotFound."""
    name, _, section = wanted.strip().partition("#")
    if "/" in name and (wiki.places.pages / f"{name.lower()}.md").is_file():
        return _page_chain(wiki, wiki.page(name), section)
    return _record_chain(wiki.record(wanted))


def _record_chain(record: Record) -> list[Link]:
    commit = f"https://github.com/{record.repo}/commit/{record.merge_sha}"
    links = [
        Link("pull request", record.id, record.url, sha=record.merge_sha),
        Link("merge commit", record.merge_sha, commit, sha=record.merge_sha),
    ]
    links += [_evidence_link(record, item) for item in record.evidence]
    places = {(link.path, link.line) for link in links}
    links += [
        Link("hunk", hunk.path, record.blob_url(hunk.path, hunk.line), hunk.path, hunk.line, record.line_sha)
        for hunk in record.hunks
        if (hunk.path, hunk.line) not in places
    ]
    named = {link.path for link in links}
    return links + [
        Link("changed file", file.path, record.blob_url(file.path), file.path, None, record.line_sha)
        for file in record.files
        if file.path not in named
    ]


def _evidence_link(record: Record, item: Evidence) -> Link:
    if item.path is None:
        return Link(item.kind, item.name, record.url)
    return Link(item.kind, item.name, record.blob_url(item.path, item.line), item.path, item.line, record.line_sha)


def _page_chain(wiki: Wiki, page: Page, section: str) -> list[Link]:
    slug = section_slug(page, section) if section else ""
    links = [Link("page", page.id)]
    wanted = {key for part in page.sections if not slug or part.slug == slug for key in part.citations}
    return links + [_source_link(wiki, page, source) for source in page.sources if source.key in wanted]


_PLAIN_LINKS = {"snippet": "code of this page", "vocabulary": "term", "playbook": "finding", "run": "recorded run"}


def _source_link(wiki: Wiki, page: Page, source: Source) -> Link:
    if source.kind == "doc":
        return Link("document", source.title, source.url)
    if source.kind in _PLAIN_LINKS:
        return Link(_PLAIN_LINKS[source.kind], source.id or f"{page.id}#code")
    record = wiki.record(source.id)
    if source.kind == "pr":
        return Link("pull request", record.id, record.url, sha=record.merge_sha)
    return Link("evidence", record.id, record.blob_url(source.path, source.line), source.path, source.line, source.sha)
