"""Values of the knowledge base: records with evidence, vocabulary terms, pages with sections, hits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

Kind = Literal["page", "pr"]
Match = Literal["strong", "fair", "weak"]
SourceKind = Literal["doc", "pr", "evidence", "snippet", "vocabulary", "playbook", "run"]


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
class Hunk:
    """One hunk of a diff, own data only: `text` starts with its `@@` line and may be cut; `line` is the first changed line, 1-based.

    `line` counts in the file at the record's merge SHA; for a hunk that only deletes it is where the deleted lines stood.
    """

    path: str
    line: int
    text: str


@dataclass(frozen=True)
class Claim:
    """A performance number that a pull request's text states. It is reported, never verified by us.

    `value` is in `unit` (`x` for a ratio, `%` for a change); `said_in` is title, body:LINE or discussion:NUMBER, 1-based.
    """

    metric: str
    value: float
    unit: str
    said_in: str
    gpu: str = ""
    dtype: str = ""
    shape: str = ""
    status: str = "reported"


@dataclass(frozen=True)
class Record:
    """One merged pull request. `summary`, `symptoms`, `techniques` are ours and may be empty.

    `mentions` are vocabulary ids and `identifiers` code names that the description names. Shipped records hold facts only: `body`,
    `labels`, `discussion` (comments without their authors), `hunks`, `claims` and `sources` (git, github, records) exist only in a
    user's own data. `diff_sha` is the commit that lines count in when that is not the merge (GitHub's diffs end at the branch head).
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
    labels: tuple[str, ...] = ()
    discussion: tuple[str, ...] = ()
    hunks: tuple[Hunk, ...] = ()
    claims: tuple[Claim, ...] = ()
    sources: tuple[str, ...] = ()
    diff_sha: str = ""

    @property
    def short_repo(self) -> str:
        """The name in ids: `cutlass` of `cutlass#2472`."""
        return self.id.split("#", 1)[0]

    @property
    def archs(self) -> tuple[str, ...]:
        """Architectures with evidence, sorted."""
        return tuple(sorted({item.name for item in self.evidence if item.kind == "arch"}))

    @property
    def line_sha(self) -> str:
        """The commit in which the lines of evidence and hunks count."""
        return self.diff_sha or self.merge_sha

    def blob_url(self, path: str, line: int | None = None) -> str:
        """Address of a file (and line) at the commit that lines count in, on the server of the pull request."""
        server = self.url.split(f"/{self.repo}/", 1)[0] if f"/{self.repo}/pull" in self.url else "https://github.com"
        return f"{server}/{self.repo}/blob/{self.line_sha}/{quote(path)}" + (f"#L{line}" if line else "")


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
    """What a page cites under `key`; `kind` says what `id` names.

    doc: a document sheet · pr: a pull request · evidence: the line `path`:`line` of one at its merge SHA · snippet: this page's code ·
    vocabulary: a term · playbook: a finding, or `catalog` · run: a recorded result. `facts` are short statements of our own read off it.
    """

    key: str
    kind: SourceKind
    title: str = ""
    url: str = ""
    id: str = ""
    path: str = ""
    line: int | None = None
    sha: str = ""
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """What we read in one section of a document (`corpus/sources/<document>/<section>.yaml`): our own short statements."""

    id: str
    document: str
    title: str
    facts: tuple[str, ...]
    version: str = ""
    url: str = ""

    @property
    def label(self) -> str:
        """`PTX ISA 9.1, tcgen05.mma`."""
        return f"{' '.join(part for part in (self.document, self.version) if part)}, {self.title}"


@dataclass(frozen=True)
class Performance:
    """One measured number of a page, with everything that it depends on. `source` is a key of the page's sources."""

    gpu: str
    dtype: str
    shape: str
    metric: str
    value: str
    source: str


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
    performance: tuple[Performance, ...] = ()

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
    reverted_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a search returns: the hits of the page asked for, how many there are, and what the query was understood as."""

    query: str
    total: int
    hits: tuple[Hit, ...]
    terms: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
