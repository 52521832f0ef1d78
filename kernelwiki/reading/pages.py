"""Pages: hand-written markdown with front-matter, read into sections with their citations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from kernelwiki.errors import CorpusUnreadable, NotFound
from kernelwiki.model import Page, Performance, Section, Source
from kernelwiki.reading.sheets import find_sheet

KINDS = ("hardware", "technique", "kernel", "pattern", "migration", "language", "contest", "rocm")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.S)
_CODE = re.compile(r"^```.*?^```", re.S | re.M)
CITATION = re.compile(r"\[\^([\w.#/+-]+)\](?:\{(verified|sourced|inferred)\})?")  # groups: key, confidence
_MARKS = re.compile(rf"(?:{CITATION.pattern})+")


def slug(heading: str) -> str:
    """The anchor of a heading: lower case, words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def section_slug(page: Page, wanted: str) -> str:
    """The slug of the section that `wanted` names: its slug, its heading, or a beginning that only one has. Raises NotFound with all."""
    known = [part.slug for part in page.sections]
    begin = slug(wanted)
    matching = [begin] if begin in known else [name for name in known if begin and name.startswith(begin)]
    if len(matching) != 1:
        raise NotFound(f"{page.id} has no section {wanted!r}. Sections: {', '.join(known)}.", known)
    return matching[0]


def read_pages(folder: Path) -> list[Page]:
    """Every page below `folder` (`<kind>/<slug>.md`), by id."""
    return [read_page(path) for path in page_files(folder)]


def page_files(folder: Path) -> list[Path]:
    """The page files below `folder`, in the order of their ids."""
    return sorted(folder.glob("*/*.md"))


def page_id(path: Path) -> str:
    """`hardware/tcgen05` of `.../pages/hardware/tcgen05.md`."""
    return f"{path.parent.name}/{path.stem}"


def read_page(path: Path) -> Page:
    """One page; raises CorpusUnreadable naming the file and what is wrong with its front-matter."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusUnreadable(f"{path}: cannot be read as UTF-8 text ({error}).") from error
    front, body = split_front_matter(text, path)
    try:
        sources = tuple(read_source(row) for row in front["sources"])
        return Page(
            id=page_id(path),
            title=front["title"],
            kind=front["kind"],
            archs=tuple(front["archs"]),
            tags=tuple(front["tags"]),
            symptoms=tuple(front["symptoms"]),
            sources=sources,
            confidence=front["confidence"],
            snippets=front["snippets"],
            sections=tuple(sections(body)),
            performance=tuple(Performance(**{key: str(value) for key, value in row.items()}) for row in front.get("performance") or ()),
        )
    except (KeyError, TypeError) as error:
        raise CorpusUnreadable(f"{path}: front-matter is not valid ({error!r}). Run `kwiki check` for every problem.") from error


def with_documents(page: Page, folder: Path) -> Page:
    """The page with title and address of every document sheet that it cites; `folder` holds the sheets. Raises CorpusUnreadable."""
    sources = []
    for source in page.sources:
        sheet = find_sheet(folder, source.id) if source.kind == "doc" else None
        sources.append(replace(source, title=sheet.label, url=sheet.url) if sheet else source)
    return replace(page, sources=tuple(sources))


def read_source(row: Mapping[str, Any]) -> Source:
    """One entry of `sources`; raises TypeError for unknown keys."""
    return Source(**{**row, "facts": tuple(str(fact) for fact in row.get("facts") or ())})


def split_front_matter(text: str, path: Path) -> tuple[dict[str, Any], str]:
    """The YAML mapping between the first two `---` lines, and the markdown after it."""
    match = _FRONT_MATTER.match(text)
    if not match:
        raise CorpusUnreadable(f"{path}: no front-matter (the file must begin with a `---` line). See AGENTS.md.")
    try:
        front = yaml.load(match.group(1), Loader=_LOADER)
    except yaml.YAMLError as error:
        raise CorpusUnreadable(f"{path}: front-matter is not YAML ({error}).") from error
    if not isinstance(front, dict):
        raise CorpusUnreadable(f"{path}: front-matter must be a mapping. See AGENTS.md.")
    return front, text[match.end() :]


def sections(body: str) -> Iterator[Section]:
    """Sections of a page body: everything below each `##` heading, as markdown-it-py sees headings (not inside code)."""
    from markdown_it import MarkdownIt

    lines = body.splitlines()
    starts: list[tuple[int, int, str]] = []
    tokens = MarkdownIt("commonmark").parse(body)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h2" and token.map:
            starts.append((token.map[0], token.map[1], inline.content))
    ends = [start for start, _, _ in starts[1:]] + [len(lines)]
    for (_, begin, heading), end in zip(starts, ends, strict=False):
        text = "\n".join(lines[begin:end]).strip()
        yield Section(slug(heading), heading, text, tuple(dict.fromkeys(key for key, _ in CITATION.findall(text))))


def without_citations(text: str) -> str:
    """Section text as a reader sees it: citation marks dropped, but what we inferred ourselves or verified is said."""
    return _MARKS.sub(_shown_confidence, text)


def _shown_confidence(group: re.Match[str]) -> str:
    given = [mark for _, mark in CITATION.findall(group.group())]
    return " (inferred)" if "inferred" in given else " (verified)" if "verified" in given else ""


def without_code(text: str) -> str:
    """Section text without its code blocks."""
    return _CODE.sub("", text)


def prose(text: str) -> str:
    """Section text without code blocks and citation marks, for search."""
    return CITATION.sub("", _CODE.sub(" ", text))
