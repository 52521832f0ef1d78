"""Documents: the searchable units (one a pull request, one a page section) with their fields, terms and embedding text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelwiki.model import Page, Record, Section, Term
from kernelwiki.reading.own_text import own_text
from kernelwiki.reading.pages import prose
from kernelwiki.reading.vocabulary import Vocabulary
from kernelwiki.tokens import tokenize

FIELDS = ("title", "path", "names", "text", "questions")
_INDEXED_PATHS = 80
_TERM_PATHS = 24
_TEXT_TERMS = 8
_TEXT_NAMES = 10

# How much a term counts by where it was found.
TERM_WEIGHTS = {"written": 1.0, "title": 1.0, "name": 0.5, "path": 0.5, "mention": 0.5}
# Kinds that say where, not what: no words of the diff.
_PLACES = frozenset({"family", "hunk"})
_QUIET_KINDS = _PLACES | {"arch", "dtype", "tile"}


@dataclass(frozen=True)
class Document:
    """One searchable unit. `id` is a record id or `page-id#section`; `group` the id that a hit carries."""

    id: str
    group: str
    kind: str
    title: str
    fields: Mapping[str, tuple[str, ...]]
    terms: Mapping[str, float]
    embedding_text: str
    questions: tuple[str, ...] = ()
    repo: str = ""
    merged_at: str = ""
    archs: tuple[str, ...] = ()


def record_terms(record: Record, vocabulary: Vocabulary) -> dict[str, float]:
    """Vocabulary ids of a record with the weight of the best place they were found in."""
    weights: dict[str, float] = {}

    def add(ids: Sequence[str] | Mapping[str, int], place: str) -> None:
        for term_id in ids:
            weights[term_id] = max(weights.get(term_id, 0.0), TERM_WEIGHTS[place])

    add(record.techniques, "written")
    add(vocabulary.in_text(record.summary), "written")
    add(vocabulary.in_text(record.title), "title")
    add([term_id for term_id in record.mentions if term_id in vocabulary.terms], "mention")
    for item in record.evidence:
        add(vocabulary.of_name(item.name), "name")
        if item.kind == "arch" and item.name in vocabulary.terms:
            add([item.name], "name")
    for path in main_paths(record)[:_TERM_PATHS]:
        add(vocabulary.of_path(path), "path")
    return weights


def main_paths(record: Record) -> list[str]:
    """Changed paths, most changed first, tests and documents last."""

    def rank(index: int) -> tuple[bool, int, int]:
        file = record.files[index]
        aside = bool(re.search(r"(^|/)(tests?|docs?|benchmarks?|\.github)/|\.(md|rst|txt)$", file.path))
        return aside, -((file.additions or 0) + (file.deletions or 0)), index

    return [record.files[index].path for index in sorted(range(len(record.files)), key=rank)]


def _readable_path(path: str) -> str:
    """`layers fused moe fused moe` of `vllm/model_executor/layers/fused_moe/fused_moe.py`: what a path says in words."""
    parts = path.split("/")[-3:]
    return re.sub(r"\.\w+$", "", " ".join(parts)).replace("_", " ")


def record_embedding_text(record: Record, terms: Mapping[str, float], vocabulary: Vocabulary) -> str:
    """What the embedder reads of a record: title, what we wrote, best terms, main paths, rarest names."""
    best = sorted((term_id for term_id in terms), key=lambda term_id: (-terms[term_id], term_id))[:_TEXT_TERMS]
    names = [item.name for item in record.evidence if item.kind not in _QUIET_KINDS][:_TEXT_NAMES]
    parts = [
        record.title,
        record.summary,
        " ".join(record.symptoms),
        record.short_repo,
        ", ".join(vocabulary.terms[term_id].name for term_id in best),
        " ".join(_readable_path(path) for path in main_paths(record)[:4]),
        " ".join([*record.identifiers[:6], *names]),
    ]
    return " | ".join(part for part in parts if part)


def record_document(record: Record, vocabulary: Vocabulary, questions: Sequence[str] = ()) -> Document:
    """The document of one pull request; `questions` are ours, ones that it answers (`corpus/questions`)."""
    terms = record_terms(record, vocabulary)
    paths = main_paths(record)
    texts = {
        "title": record.title,
        "path": " ".join(paths[:_INDEXED_PATHS]),
        "names": " ".join(item.name for item in record.evidence if item.kind not in _PLACES),
        "text": " ".join([record.summary, *record.symptoms, *record.identifiers, *record.mentions, own_text(record)]),
        "questions": " ".join(questions),
    }
    return Document(
        id=record.id,
        group=record.id,
        kind="pr",
        title=record.title,
        fields={name: tuple(tokenize(text)) for name, text in texts.items()},
        terms=terms,
        embedding_text=record_embedding_text(record, terms, vocabulary),
        questions=tuple(questions),
        repo=record.repo,
        merged_at=record.merged_at,
        archs=record.archs,
    )


def section_document(page: Page, section: Section, vocabulary: Vocabulary) -> Document:
    """The document of one page section. The first section also carries the page's symptoms."""
    text = prose(section.text)
    first = page.sections[0].slug == section.slug
    lead = " ".join(page.symptoms) if first else ""
    terms = dict.fromkeys(page.tags, TERM_WEIGHTS["written"])
    for term_id in vocabulary.in_text(f"{page.title} {section.heading}"):
        terms.setdefault(term_id, TERM_WEIGHTS["title"])
    for term_id in vocabulary.in_text(text):
        terms.setdefault(term_id, TERM_WEIGHTS["mention"])
    texts = {"title": f"{page.title} {section.heading}", "path": page.id, "names": section.text, "text": text, "questions": lead}
    return Document(
        id=f"{page.id}#{section.slug}",
        group=page.id,
        kind="page",
        title=page.title,
        fields={name: tuple(tokenize(value)) for name, value in texts.items()},
        terms=terms,
        embedding_text=" | ".join(part for part in (page.title, section.heading, lead, text[:600]) if part),
        questions=page.symptoms if first else (),
        archs=page.archs,
    )


def document_texts(document: Document) -> list[str]:
    """What the embedder reads of a document: its text, then each question."""
    return [document.embedding_text, *document.questions]


def term_texts(term: Term) -> list[str]:
    """What the embedder reads of a vocabulary term: its definition, then each symptom phrase."""
    return [f"{term.name}. {term.description}", *term.symptoms]
