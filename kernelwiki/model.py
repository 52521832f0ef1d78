"""Values of the knowledge base: records with evidence, vocabulary terms, pages with sections, hits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

Kind = Literal["page", "pr"]
Match = Literal["strong", "fair", "weak"]


@dataclass(frozen=True)
class ChangedFile:
    """One changed path of a pull request with added and deleted lines (None for a binary file)."""

    path: str
    additions: int | None
    deletions: int | None


@dataclass(frozen=True)
class Evidence:
    """A fact found in a pull request: `name` of `kind`, in an added line (path and line), a path, or the title.

    `line` is 1-based in the file at the record's merge SHA. Without `line` the path itself is the evidence; without `path` the title is.
    """

    kind: str
    name: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Record:
    """One merged pull request: facts only. `summary`, `symptoms`, `techniques` are ours and may be empty.

    `mentions` are vocabulary ids and `identifiers` code names that the description names. `body` exists only in a user's own data.
    """

    id: str
    repo: str
    number: int
    title: str
    url: str
    merged_at: str
    merge_sha: str
    files: tuple[ChangedFile, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    mentions: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    selection: tuple[str, ...] = ()
    score: int = 0
    summary: str = ""
    symptoms: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    body: str = ""

    @property
    def short_repo(self) -> str:
        """The name in ids: `cutlass` of `cutlass#2472`."""
        return self.id.split("#", 1)[0]

    @property
    def archs(self) -> tuple[str, ...]:
        """Architectures with evidence, sorted."""
        return tuple(sorted({item.name for item in self.evidence if item.kind == "arch"}))

    def blob_url(self, path: str, line: int | None = None) -> str:
        """Address of a file (and line) at the merge SHA."""
        return f"https://github.com/{self.repo}/blob/{self.merge_sha}/{quote(path)}" + (f"#L{line}" if line else "")


@dataclass(frozen=True)
class Term:
    """One entry of the controlled vocabulary (`corpus/vocabulary/*.yaml`)."""

    id: str
    name: str
    kind: str
    description: str
    aliases: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    symptoms: tuple[str, ...] = ()
    archs: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    broader: tuple[str, ...] = ()
    related: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """What a page cites under `key`: an official document (url), a pull request (id), or a line of one (path, line, sha)."""

    key: str
    kind: Literal["doc", "pr", "evidence"]
    title: str = ""
    url: str = ""
    id: str = ""
    path: str = ""
    line: int | None = None
    sha: str = ""


@dataclass(frozen=True)
class Section:
    """A second-level heading of a page and the markdown below it, with the citation keys used in it."""

    slug: str
    heading: str
    text: str
    citations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """One hand-written page: front-matter and sections. `id` is `kind/slug`."""

    id: str
    title: str
    kind: str
    archs: tuple[str, ...]
    tags: tuple[str, ...]
    symptoms: tuple[str, ...]
    sources: tuple[Source, ...]
    confidence: str
    snippets: str
    sections: tuple[Section, ...]

    def source(self, key: str) -> Source | None:
        return next((source for source in self.sources if source.key == key), None)


@dataclass(frozen=True)
class Locator:
    """Evidence as a hit shows it: path and line at a SHA, with the address to open."""

    path: str
    sha: str
    url: str
    line: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class Hit:
    """One search result. `score` orders hits of one answer and means nothing across answers; `match` says how sure we are."""

    id: str
    kind: Kind
    title: str
    url: str
    match: Match
    score: float
    snippet: str
    archs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    evidence: tuple[Locator, ...] = ()
    repo: str | None = None
    number: int | None = None
    merged_at: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a search returns: the hits of the page asked for, how many there are, and what the query was understood as."""

    query: str
    total: int
    hits: tuple[Hit, ...]
    terms: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
