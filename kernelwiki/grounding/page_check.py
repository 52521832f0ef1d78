"""Page check: every rule that one page must keep: form, tags, sources, citations, grounding, links, size."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.grounding.facts import FactLine, archs_in
from kernelwiki.grounding.problems import Problem
from kernelwiki.grounding.snippets import Snippet, check_form, snippets_of
from kernelwiki.grounding.sources import Library, playbook_lines
from kernelwiki.grounding.statements import Statement, statements_of, states_a_fact
from kernelwiki.grounding.support import lines_of, ungrounded
from kernelwiki.model import Page, Performance, Section, Source, SourceKind
from kernelwiki.reading.pages import KINDS, page_id, read_source, sections, split_front_matter, without_code
from kernelwiki.reading.references import references

MAX_WORDS = 1_800
# A pull request tells the code of one day; these words tell it of the reader's.
_UNDATED = re.compile(r"\b(?:currently|nowadays|today|at present|so far|as of now|up to now|recently|now(?! and then))\b", re.I)
MAX_SECTION = 8_000
MAX_LINE = 50_000  # longer than any file of the corpus
_MEASURED = re.compile(r"(\d[\d.,]*)\s?(?:[TGP]FLOPS?(?:/s)?|[TGM]B/s|µs|us|ms)\b|(\d[\d.]*)x (?:faster|slower)")
ARCH = re.compile(r"^(sm\d{2,3}|gfx[0-9a-f]{3,4})$")


class SourceForm(BaseModel):
    """One entry of `sources` in a page's front-matter."""

    model_config = ConfigDict(extra="forbid", strict=True)
    key: str = Field(pattern=r"^[\w.#/+-]+$")
    kind: SourceKind
    title: str = ""
    url: str = ""
    id: str = ""
    path: str = ""
    line: int | None = Field(default=None, gt=0)
    sha: str = ""
    facts: list[str] = []

    @model_validator(mode="after")
    def _complete(self) -> SourceForm:
        if self.kind == "doc" and not self.id and not (self.title and re.match(r"^https://\S+$", self.url)):
            raise ValueError("a doc source needs title and an https url, or the id of a document sheet")
        if self.kind in ("vocabulary", "playbook", "run") and not self.id:
            raise ValueError(f"a {self.kind} source needs an id")
        if self.kind in ("pr", "evidence") and not re.match(r"^(?:[\w.-]+/)?[\w.-]+#\d+$", self.id):
            raise ValueError("a pr or evidence source needs an id like cutlass#3021")
        if self.kind == "evidence" and not (self.path and self.line and re.match(r"^[0-9a-f]{40}$", self.sha)):
            raise ValueError("an evidence source needs path, line and a 40-digit sha")
        return self


class PerformanceForm(BaseModel):
    """One entry of `performance`: a measured number with everything that it depends on."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    gpu: str = Field(min_length=1)
    dtype: str = Field(min_length=1)
    shape: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    value: str = Field(min_length=1)
    source: str = Field(min_length=1)


class FrontMatter(BaseModel):
    """The front-matter of a page."""

    model_config = ConfigDict(extra="forbid", strict=True)
    title: str = Field(min_length=3, max_length=120)
    kind: Literal["hardware", "technique", "kernel", "pattern", "migration", "language", "contest", "rocm"]
    archs: list[str]
    tags: list[str] = Field(min_length=1)
    symptoms: list[str] = Field(min_length=1)
    sources: list[SourceForm] = Field(min_length=1)
    confidence: Literal["verified", "sourced", "inferred"]
    snippets: Literal["compiled", "ran", "none"]
    performance: list[PerformanceForm] = []


def check_page(path: Path, library: Library, pages: set[str]) -> list[Problem]:
    """Problems of one page. `pages` are the ids of all pages, for links."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [Problem("schema", page_id(path), str(error))]
    return check_page_text(path, text, library, pages)


def check_page_text(path: Path, text: str, library: Library, pages: set[str]) -> list[Problem]:
    """The same for `text`, which stands or would stand at `path`."""
    name = page_id(path)
    try:
        front, body = split_front_matter(text, path)
    except CorpusUnreadable as error:
        return [Problem("schema", name, str(error))]
    try:
        form = FrontMatter.model_validate(front)
    except ValidationError as error:
        return [Problem("schema", name, f"{'.'.join(map(str, item['loc']))}: {item['msg']}") for item in error.errors()]
    page = _page(name, form, body)
    problems = list(_check_form(page, path, library))
    for source in page.sources:
        problems += _check_source(name, source, library)
    problems += _check_reverts(page, body, library)
    problems += _check_titles(page, library)
    problems += _check_citations(page)
    problems += check_grounding(page, library)
    problems += _check_links(name, body, path, pages, library)
    problems += _check_size(page, body)
    return problems


def _page(name: str, form: FrontMatter, body: str) -> Page:
    return Page(
        id=name,
        title=form.title,
        kind=form.kind,
        archs=tuple(form.archs),
        tags=tuple(form.tags),
        symptoms=tuple(form.symptoms),
        sources=tuple(read_source(source.model_dump()) for source in form.sources),
        confidence=form.confidence,
        snippets=form.snippets,
        sections=tuple(sections(body)),
        performance=tuple(Performance(**row.model_dump()) for row in form.performance),
    )


def _check_form(page: Page, path: Path, library: Library) -> Iterator[Problem]:
    if page.kind != path.parent.name or page.kind not in KINDS:
        yield Problem("schema", page.id, f"kind {page.kind} stands in the folder {path.parent.name}")
    for arch in page.archs:
        if not ARCH.match(arch):
            yield Problem("schema", page.id, f"architecture {arch!r} is no sm or gfx name")
    if len(set(page.archs)) != len(page.archs):
        yield Problem("schema", page.id, "an architecture stands twice in archs")
    for tag in page.tags:
        if tag not in library.terms:
            yield Problem("tag", page.id, f"tag {tag!r} is not in the vocabulary")
    if len({source.key for source in page.sources}) != len(page.sources):
        yield Problem("source", page.id, "two sources have the same key")
    if not page.sections:
        yield Problem("schema", page.id, "a page needs at least one `## ` section")
    fences = snippets_of(page)
    if page.snippets != "none" and not any(fence.is_unit for fence in fences):
        yield Problem("snippet", page.id, f"snippets: {page.snippets}, but there is no cuda fence and no Python fence with arch=; say none")
    yield from _check_ran(page, fences, library)
    for fence in fences:
        yield from check_form(fence)


def _check_ran(page: Page, fences: list[Snippet], library: Library) -> Iterator[Problem]:
    """`snippets: ran` needs a recorded run of the text that stands there now, of every Python fence for sm_90a and of one CUDA fence.

    An installed copy without records has nothing to compare.
    """
    if page.snippets != "ran" or library.ran is None:
        return
    seen = library.ran.get(page.id)
    if seen is None:
        yield Problem("snippet", page.id, "snippets: ran, but no run is recorded in benchmarks/snippets/h200.yaml; say compiled")
    elif not seen <= {fence.digest for fence in fences} or not {fence.digest for fence in fences if fence.runs_on_hopper} <= seen:
        yield Problem("snippet", page.id, "snippets: ran, but the code has changed since; say compiled until it has run again")


def _check_source(name: str, source: Source, library: Library) -> Iterator[Problem]:
    try:
        missing = _missing(source, library)
    except CorpusUnreadable as error:
        missing = str(error)
    if missing:
        yield Problem("source", name, f"{source.key}: {missing}")
    record = library.records.get(source.id)
    if source.kind not in ("pr", "evidence") or record is None:
        return
    if not re.search(rf"(?<!\d){record.number}(?!\d)", source.key):
        yield Problem(
            "source", name, f"key {source.key} does not have the number of {source.id}: call it {record.short_repo.lower()}-{record.number}"
        )
    if source.kind == "evidence":
        if source.sha != record.merge_sha:
            yield Problem("source", name, f"{source.key}: {source.sha[:12]} is not the merge SHA of {source.id} ({record.merge_sha})")
        if source.path not in {file.path for file in record.files}:
            yield Problem("source", name, f"{source.key}: {source.id} does not change {source.path}")
        elif (source.line or 0) > MAX_LINE:
            yield Problem("source", name, f"{source.key}: no file has {source.line} lines")


def _check_reverts(page: Page, body: str, library: Library) -> Iterator[Problem]:
    """What a later pull request took back is told with that one beside it: else the page teaches what is no longer there."""
    cited = {source.id for source in page.sources if source.kind in ("pr", "evidence")}
    for name in sorted(cited & library.records.keys()):
        taken = library.reverted_by(library.records[name])
        if taken and not any(re.search(rf"{re.escape(later)}(?!\d)", body) for later in taken):
            yield Problem(
                "reverted", page.id, f"{name} was reverted by {' and '.join(taken)}: name that one in the text, or drop the source"
            )


def _check_titles(page: Page, library: Library) -> Iterator[Problem]:
    """A title in quotes is the pull request's own, letter by letter."""
    for part in page.sections:
        for statement in statements_of(part.text):
            if statement.kind == "title":
                name, _, title = statement.text.partition(": ")
                record = library.records.get(name)
                if record is not None and title != f'"{record.title}"':
                    yield Problem("title", f"{page.id}#{part.slug}", f'the title of {name} is "{record.title}", not {title}')


def _missing(source: Source, library: Library) -> str:
    """Why a source leads nowhere; empty when it does not."""
    if source.kind == "doc" and source.id and library.sheet(source.id) is None:
        return f"no document sheet corpus/sources/{source.id}.yaml"
    if source.kind in ("pr", "evidence") and source.id not in library.records:
        return f"{source.id} is not in the knowledge base"
    if source.kind == "vocabulary" and source.id not in library.terms:
        return f"{source.id} is not in the vocabulary"
    if source.kind == "playbook" and not playbook_lines(source.id):
        return f"{source.id} is no finding of ncu_skill/playbook.yaml and not `catalog`"
    if source.kind == "run" and library.run_file(source.id) is None:
        return f"no recorded result benchmarks/{source.id}.yaml"
    return ""


def _check_citations(page: Page) -> Iterator[Problem]:
    keys = {source.key: source for source in page.sources}
    used: set[str] = {row.source for row in page.performance}
    for part in page.sections:
        used |= set(part.citations)
        for key in part.citations:
            if key not in keys:
                yield Problem("source", f"{page.id}#{part.slug}", f"[^{key}] is cited but not among the sources")
        for claim in uncited_claims(part.text):
            yield Problem("citation", f"{page.id}#{part.slug}", f"no citation: {claim[:160]} | end the sentence with [^key]")
        for statement in statements_of(part.text):
            kinds = {keys[key].kind for key in statement.keys if key in keys}
            if statement.confidence == "verified" and not kinds & {"snippet", "run"}:
                yield Problem("citation", f"{page.id}#{part.slug}", f"verified needs a snippet or run source: {statement.text[:120]}")
            if statement.kind != "title" and kinds & {"pr", "evidence"} and (word := _UNDATED.search(statement.text)):
                told = f"{word.group()!r} ages: say what the pull request did, in the past tense: {statement.text[:120]}"
                yield Problem("undated", f"{page.id}#{part.slug}", told)
    for key in keys:
        if key not in used:
            yield Problem("source", page.id, f"source {key} is never cited")


def uncited_claims(text: str) -> list[str]:
    """Sentences of a section that need a citation and have none.

    Every sentence with a checkable token needs one, and every sentence that ends a paragraph, list item or row with tokens. Headings,
    table heads and lead-ins ending in a colon without such a token are exempt.
    """
    found = []
    for statement in statements_of(text):
        if statement.keys or statement.kind in ("heading", "header"):
            continue
        lead_in = statement.text.endswith(":") or statement.kind in ("row", "cell") or not statement.ends_block
        if states_a_fact(statement) or not lead_in:
            found.append(statement.text)
    return found


def check_grounding(page: Page, library: Library) -> Iterator[Problem]:
    """Problems of the page's facts: tokens of sentences, headings, title and symptoms that no cited source supports; archs nobody names."""
    code = "\n".join(fence.code for fence in snippets_of(page))
    lines: dict[str, list[FactLine]] = {}
    for source in page.sources:
        try:
            lines[source.key] = library.lines(source, code)
        except CorpusUnreadable:
            lines[source.key] = []
    tagged = [
        FactLine(f"tag {tag}", f"{term.name} {term.description} {' '.join(term.aliases)} {' '.join(term.identifiers)}", loose=True)
        for tag in page.tags
        if (term := library.terms.get(tag))
    ]
    numbers = [FactLine(f"performance {row.source}", " ".join(vars(row).values())) for row in page.performance]
    everything = [*(line for group in lines.values() for line in group), *tagged, *numbers]
    requests = {source.key: source.id for source in page.sources if source.kind in ("pr", "evidence")}
    for part in page.sections:
        for statement in _with_inherited_keys(part):
            if statement.kind == "title":
                continue
            cited = [*lines_of(statement.keys, lines), *(line for line in numbers if line.key.split(" ", 1)[1] in statement.keys)]
            asked = [requests[key] for key in statement.keys if key in requests]
            for item in ungrounded(statement.text, cited, asked, statement.context):
                yield Problem("grounding", f"{page.id}#{part.slug}", item.message)
    loosely = [replace(line, rival=False) for line in everything]
    for text in (page.title, *page.symptoms):
        for item in ungrounded(text, loosely, list(requests.values())):
            yield Problem("grounding", page.id, item.message)
    yield from _check_performance(page, lines)
    yield from _check_archs(page)


def _check_performance(page: Page, lines: Mapping[str, list[FactLine]]) -> Iterator[Problem]:
    """Measured numbers: each is grounded in its source, and each one in the text stands in the list with gpu, type and shape."""
    for row in page.performance:
        if row.source not in lines:
            yield Problem("performance", page.id, f"source {row.source} of {row.metric} {row.value} is not among the sources")
            continue
        for item in ungrounded(" ".join((row.gpu, row.dtype, row.shape, row.metric, row.value)), lines[row.source]):
            yield Problem("performance", page.id, item.message)
    listed = " ".join(row.value for row in page.performance)
    requests = {source.key for source in page.sources if source.kind in ("pr", "evidence", "run")}
    for part in page.sections:
        for statement in statements_of(part.text):
            for number in _measured(statement.text) if statement.kind != "title" and requests & set(statement.keys) else ():
                if number not in listed:
                    told = f"{number} is a measured number: give it gpu, dtype, shape, metric, value, source in `performance`, or drop it"
                    yield Problem("performance", f"{page.id}#{part.slug}", f"{told} | {statement.text[:160]}")


def _measured(text: str) -> list[str]:
    return [first or second for first, second in _MEASURED.findall(text)]


def _with_inherited_keys(part: Section) -> Iterator[Statement]:
    """Statements to compare with sources; headings and table heads are compared with everything that the section cites."""
    for statement in statements_of(part.text):
        if statement.keys:
            yield statement
        elif statement.kind in ("heading", "header"):
            yield Statement(statement.text, part.citations, kind=statement.kind)
    yield Statement(part.heading, part.citations, kind="heading")


def _check_archs(page: Page) -> Iterator[Problem]:
    snippets = archs_in(" ".join(fence.info for fence in snippets_of(page)))
    texts = [page.title, *(statement.text for part in page.sections for statement in statements_of(part.text) if statement.kind != "title")]
    named = Counter(arch for text in texts for arch in archs_in(text))
    for arch in page.archs:
        if not named[arch] and arch not in snippets:
            yield Problem(
                "arch", page.id, f"{arch} is in archs, but no sentence or snippet names it: say what holds there, or leave it out"
            )
    for arch in sorted(snippets - set(page.archs)):
        yield Problem("arch", page.id, f"a snippet is for {arch}, which is not in archs: add it")
    least = min((named[arch] for arch in page.archs if arch not in snippets), default=0)
    for arch in sorted(set(named) - set(page.archs) - snippets):
        if page.archs and named[arch] > max(least, 1):
            yield Problem("arch", page.id, f"{named[arch]} sentences name {arch}, more than an architecture of archs has: add it to archs")


def _check_links(name: str, body: str, path: Path, pages: set[str], library: Library) -> Iterator[Problem]:
    prose = without_code(body)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path.resolve()
        if target.startswith("https://"):
            continue
        if linked.suffix != ".md" or not linked.is_file() or linked.parent.parent != path.resolve().parent.parent:
            yield Problem("link", name, f"{target} leads nowhere")
        elif anchor and anchor not in {part.slug for part in sections(split_front_matter(linked.read_text(encoding="utf-8"), linked)[1])}:
            yield Problem("link", name, f"{target}: {page_id(linked)} has no section {anchor}")
    for paragraph in re.sub(r"\[\^[^\]]*\]", "", prose).split("\n"):
        for reference in dict.fromkeys(references(paragraph)):
            if reference.repo in library.repositories and not {reference.short, reference.full} & library.known:
                yield Problem("link", name, f"{reference.short} is not in the knowledge base")
    for page in set(re.findall(rf"(?<![\w/.])((?:{'|'.join(KINDS)})/[a-z0-9-]+)(?![\w/-]|\.\w)", re.sub(r"\]\([^)]*\)", "", prose))):
        if page not in pages:
            yield Problem("link", name, f"page {page} does not exist")


def _check_size(page: Page, body: str) -> Iterator[Problem]:
    words = len(re.findall(r"\S+", body))
    if words > MAX_WORDS:
        yield Problem("size", page.id, f"{words} words; at most {MAX_WORDS}")
    for part in page.sections:
        if len(part.text) > MAX_SECTION:
            yield Problem("size", f"{page.id}#{part.slug}", f"{len(part.text)} characters; at most {MAX_SECTION}")
