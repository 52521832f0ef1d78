"""Check: every rule that the corpus must keep, and every place where it does not. Returns all problems, not the first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.home import Places
from kernelwiki.model import Record, Section, Source, Term
from kernelwiki.pages import KINDS, page_files, page_id, sections, split_front_matter
from kernelwiki.references import references

MAX_WORDS = 1_800
MAX_LINE = 50_000  # longer than any file of the corpus
ARCH = re.compile(r"^(sm\d{2,3}|gfx[0-9a-f]{3,4})$")
_HEADING_ONLY = re.compile(r"^(#+ |\||```|---|$)")


@dataclass(frozen=True)
class Problem:
    """One broken rule: the class of the defect, where it is, and what is wrong."""

    rule: str
    where: str
    message: str


class SourceForm(BaseModel):
    """One entry of `sources` in a page's front-matter."""

    model_config = ConfigDict(extra="forbid", strict=True)
    key: str = Field(pattern=r"^[\w.#/+-]+$")
    kind: Literal["doc", "pr", "evidence"]
    title: str = ""
    url: str = ""
    id: str = ""
    path: str = ""
    line: int | None = Field(default=None, gt=0)
    sha: str = ""

    @model_validator(mode="after")
    def _complete(self) -> SourceForm:
        if self.kind == "doc" and not (self.title and re.match(r"^https://\S+$", self.url)):
            raise ValueError("a doc source needs title and an https url")
        if self.kind != "doc" and not re.match(r"^(?:[\w.-]+/)?[\w.-]+#\d+$", self.id):
            raise ValueError("a pr or evidence source needs an id like cutlass#3021")
        if self.kind == "evidence" and not (self.path and self.line and re.match(r"^[0-9a-f]{40}$", self.sha)):
            raise ValueError("an evidence source needs path, line and a 40-digit sha")
        return self


class FrontMatter(BaseModel):
    """The front-matter of a page."""

    model_config = ConfigDict(extra="forbid", strict=True)
    title: str = Field(min_length=3, max_length=120)
    kind: Literal["hardware", "technique", "kernel", "pattern", "migration", "language", "contest", "bridge"]
    archs: list[str]
    tags: list[str] = Field(min_length=1)
    symptoms: list[str] = Field(min_length=1)
    sources: list[SourceForm] = Field(min_length=1)
    confidence: Literal["verified", "sourced", "inferred"]
    snippets: Literal["compiled", "ran", "none"]


def check_corpus(places: Places) -> list[Problem]:
    """Every problem of the corpus at `places`, in the order records, vocabulary, questions, pages."""
    problems: list[Problem] = []
    records: dict[str, Record] = {}
    problems += _check_records(places, records)
    terms, vocabulary_problems = _read_vocabulary(places.vocabulary)
    problems += vocabulary_problems
    problems += _check_questions(places, records)
    known_pages = {page_id(path) for path in page_files(places.pages)}
    for path in page_files(places.pages):
        problems += check_page(path, {term.id for term in terms}, records, known_pages)
    return problems


def _check_records(places: Places, records: dict[str, Record]) -> Iterator[Problem]:
    from kernelwiki.records import read_manifest, read_record_file

    try:
        files: Mapping[str, Any] = read_manifest(places.records)["files"]
    except CorpusUnreadable as error:
        yield Problem("records", str(places.records), str(error))
        return
    for name, entry in files.items():
        count = 0
        if "/" in name or "\\" in name:
            yield Problem("records", name, "a record file stands in the records folder itself")
            continue
        try:
            for record in read_record_file(places.records / name, entry["sha256"]):
                count += 1
                records[record.id] = record
                yield from check_record(record)
        except CorpusUnreadable as error:
            yield Problem("records", name, str(error))
            continue
        if count != entry.get("records"):
            yield Problem("records", name, f"the manifest says {entry.get('records')} records, the file has {count}")


def check_record(record: Record) -> Iterator[Problem]:
    """Problems of one record: identity, and evidence that no reader could find."""
    if record.id != f"{record.repo.rsplit('/', 1)[-1]}#{record.number}" and record.id != f"{record.repo}#{record.number}":
        yield Problem("schema", record.id, f"the id does not belong to {record.repo} #{record.number}")
    if not re.fullmatch(r"[0-9a-f]{40}", record.merge_sha):
        yield Problem("schema", record.id, f"merge_sha {record.merge_sha!r} is not a 40-digit SHA")
    if not re.match(r"^\d{4}-\d{2}-\d{2}T", record.merged_at):
        yield Problem("schema", record.id, f"merged_at {record.merged_at!r} is not an ISO date")
    changed = {file.path for file in record.files}
    for item in record.evidence:
        if item.kind == "family" and not item.path:
            yield Problem("evidence", record.id, f"family {item.name!r} has no file")
        if item.kind not in ("arch", "family") and (not item.path or not item.line):
            yield Problem("evidence", record.id, f"{item.kind} {item.name!r} has no file and line")
        elif item.path and item.path not in changed:
            yield Problem("evidence", record.id, f"{item.kind} {item.name!r} points to {item.path}, which the pull request does not change")
        if item.kind == "arch" and not ARCH.match(item.name):
            yield Problem("evidence", record.id, f"architecture {item.name!r} is no sm or gfx name")


def _read_vocabulary(folder: Path) -> tuple[list[Term], list[Problem]]:
    from kernelwiki.vocabulary import read_terms

    try:
        terms = read_terms(folder)
    except CorpusUnreadable as error:
        return [], [Problem("vocabulary", str(folder), str(error))]
    problems, seen = [], set()
    ids = {term.id for term in terms}
    for term in terms:
        if term.id in seen:
            problems.append(Problem("vocabulary", term.id, "the id is used twice"))
        seen.add(term.id)
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", term.id):
            problems.append(Problem("vocabulary", term.id, "an id is lower-case words joined by hyphens"))
        for name in ("techniques", "broader", "related", "archs"):
            missing = [value for value in getattr(term, name) if value not in ids]
            if missing:
                problems.append(Problem("vocabulary", term.id, f"{name} names unknown terms: {', '.join(missing)}"))
    return terms, problems


def _check_questions(places: Places, records: Mapping[str, Record]) -> Iterator[Problem]:
    from kernelwiki.questions import read_questions

    try:
        questions = read_questions(places.questions)
    except CorpusUnreadable as error:
        yield Problem("questions", str(places.questions), str(error))
        return
    for record_id in questions:
        if record_id not in records:
            yield Problem("questions", record_id, "a question belongs to a pull request that has no record")


def check_page(path: Path, tags: set[str], records: Mapping[str, Record], pages: set[str]) -> list[Problem]:
    """Problems of one page: schema, tags, sources, links, citations, size."""
    name = page_id(path)
    try:
        front, body = split_front_matter(path.read_text(encoding="utf-8"), path)
    except (CorpusUnreadable, OSError, UnicodeDecodeError) as error:
        return [Problem("schema", name, str(error))]
    try:
        form = FrontMatter.model_validate(front)
    except ValidationError as error:
        return [Problem("schema", name, f"{'.'.join(map(str, item['loc']))}: {item['msg']}") for item in error.errors()]
    problems = []
    if form.kind != path.parent.name or form.kind not in KINDS:
        problems.append(Problem("schema", name, f"kind {form.kind} stands in the folder {path.parent.name}"))
    problems += [Problem("schema", name, f"architecture {arch!r} is no sm or gfx name") for arch in form.archs if not ARCH.match(arch)]
    problems += [Problem("tag", name, f"tag {tag!r} is not in the vocabulary") for tag in form.tags if tag not in tags]
    sources = {source.key: Source(**source.model_dump()) for source in form.sources}
    if len(sources) != len(form.sources):
        problems.append(Problem("source", name, "two sources have the same key"))
    for source in sources.values():
        problems += _check_source(name, source, records)
    parts = list(sections(body))
    if not parts:
        problems.append(Problem("schema", name, "a page needs at least one `## ` section"))
    problems += _check_citations(name, parts, sources)
    problems += _check_links(name, body, path, pages, records)
    words = len(re.findall(r"\S+", body))
    if words > MAX_WORDS:
        problems.append(Problem("size", name, f"{words} words; at most {MAX_WORDS}"))
    return problems


def _check_source(name: str, source: Source, records: Mapping[str, Record]) -> Iterator[Problem]:
    if source.kind == "doc":
        return
    record = records.get(source.id)
    if record is None:
        yield Problem("source", name, f"{source.key}: {source.id} is not in the knowledge base")
        return
    if source.kind == "evidence":
        if source.sha != record.merge_sha:
            yield Problem("source", name, f"{source.key}: {source.sha[:12]} is not the merge SHA of {source.id}")
        changed = {file.path: file for file in record.files}
        if source.path not in changed:
            yield Problem("source", name, f"{source.key}: {source.id} does not change {source.path}")
        elif (source.line or 0) > MAX_LINE:
            yield Problem("source", name, f"{source.key}: no file has {source.line} lines")


def _check_citations(name: str, parts: Iterable[Section], sources: Mapping[str, Source]) -> Iterator[Problem]:
    used: set[str] = set()
    for part in parts:
        used |= set(part.citations)
        for key in part.citations:
            if key not in sources:
                yield Problem("source", f"{name}#{part.slug}", f"[^{key}] is cited but not among the sources")
        for claim in uncited_claims(part.text):
            yield Problem("citation", f"{name}#{part.slug}", f"no citation: {claim[:100]}")
    for key in sources:
        if key not in used:
            yield Problem("source", name, f"source {key} is never cited")


def uncited_claims(text: str) -> list[str]:
    """Paragraphs and list items of a section that end without a citation. Tables, code and lead-ins ending in a colon are exempt."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)", plain)
    claims = [" ".join(block.split()) for block in blocks]
    return [
        claim
        for claim in claims
        if claim and not _HEADING_ONLY.match(claim) and not claim.endswith(":") and not re.search(r"\[\^[^\]]+\][.\s)]*$", claim)
    ]


def _check_links(name: str, body: str, path: Path, pages: set[str], records: Mapping[str, Record]) -> Iterator[Problem]:
    prose = re.sub(r"^```.*?^```", "", body, flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path.resolve()
        if target.startswith("https://"):
            continue
        if linked.suffix != ".md" or not linked.is_file() or linked.parent.parent != path.resolve().parent.parent:
            yield Problem("link", name, f"{target} leads nowhere")
        elif anchor and anchor not in {part.slug for part in sections(split_front_matter(linked.read_text(encoding="utf-8"), linked)[1])}:
            yield Problem("link", name, f"{target}: {page_id(linked)} has no section {anchor}")
    repos = {record_id.split("#", 1)[0].rsplit("/", 1)[-1].lower() for record_id in records}
    known = {record_id.lower() for record_id in records}
    for reference in dict.fromkeys(references(re.sub(r"\[\^[^\]]*\]", "", prose))):
        if reference.repo in repos and not {reference.short, reference.full} & known:
            yield Problem("link", name, f"{reference.short} is not in the knowledge base")
    for page in set(re.findall(r"`((?:hardware|technique|kernel|pattern|migration|language)/[a-z0-9-]+)`", prose)):
        if page not in pages:
            yield Problem("link", name, f"page {page} does not exist")
