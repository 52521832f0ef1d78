"""The builder: reads the corpus and the user's own records and makes an index of them, whole or grown from the one before."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from kernelwiki.errors import KernelWikiError
from kernelwiki.home import Places
from kernelwiki.indexing.documents import FIELDS, record_document, section_document, term_texts
from kernelwiki.indexing.embed import Embedder, VectorCache, Vectors, embed_cached, make_embedder
from kernelwiki.indexing.index import COMPLETE, REVERTS, IndexInfo, Progress, complete_indexes, corpus_version
from kernelwiki.indexing.writer import IndexWriter
from kernelwiki.model import Page, Record, Section
from kernelwiki.reading.pages import prose, read_pages
from kernelwiki.reading.questions import read_questions
from kernelwiki.reading.records import MANIFEST, dump_line, read_manifest, read_records, record_to_json
from kernelwiki.reading.reverts import Revert, read_reverts, revert_of, write_reverts
from kernelwiki.reading.summaries import read_summaries, with_summary
from kernelwiki.reading.vocabulary import Vocabulary, read_terms

OWN = "own.json"  # content hash of each of the user's own records, so that the next index takes only what changed
GROW_AT_LEAST, GROW_SHARE = 2_000, 0.2  # more new and dead rows than both of these: build from the beginning
_BUILDING = ".building-"


def make_index(places: Places, version: str, embedder_name: str, progress: Progress | None = None, grow: bool = True) -> IndexInfo:
    """Build the index of `version` beside the others and rename it into place. The caller holds the lock.

    With `grow` an index of the same corpus is taken over and only new, changed and removed own records are worked on.
    """
    started = time.monotonic()
    for leftover in places.indexes.glob(f"{_BUILDING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    beside = places.indexes / f"{_BUILDING}{version}-{os.getpid()}"
    beside.mkdir()
    try:
        builder = Builder(beside, places, version, embedder_name, progress or (lambda step, done, total: None))
        info = (builder.grown() if grow else None) or builder.whole()
        data = {**asdict(info), "built_seconds": round(time.monotonic() - started, 2)}
        (beside / COMPLETE).write_text(json.dumps(data, indent=1), encoding="utf-8")
        target = places.indexes / version
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    for folder, _ in complete_indexes(places)[2:]:
        shutil.rmtree(folder, ignore_errors=True)
    return IndexInfo(**data)


def own_records(places: Places) -> Iterator[Record]:
    """The user's own records, one by one."""
    if (places.own_records / MANIFEST).is_file():
        yield from read_records(places.own_records)


def content_hash(record: Record) -> str:
    """Changes whenever anything of a record does."""
    return hashlib.blake2b(dump_line(record).encode("utf-8", "replace"), digest_size=8).hexdigest()


class Builder:
    """One run of the builder: what it reads, the folder that it writes."""

    def __init__(self, beside: Path, places: Places, version: str, embedder_name: str, progress: Progress) -> None:
        self._beside, self._places, self._version, self._progress = beside, places, version, progress
        self._name = embedder_name
        self._corpus = corpus_version(places, embedder_name)
        self._terms = read_terms(places.vocabulary)
        self._term_ids = [term.id for term in self._terms]
        self._vocabulary = Vocabulary.of(self._terms)
        self._questions, self._summaries = read_questions(places.questions), read_summaries(places.summaries)
        self._reverts: list[Revert] = []
        self._embedder: Embedder | None = None
        self._cache = VectorCache(None)
        self._note = ""
        try:
            # A missing package or model must be said before the work, not after it.
            self._embedder, self._cache = make_embedder(places.model, embedder_name), VectorCache(places.vectors)
            self._term_vectors = self._embed([text for term in self._terms for text in term_texts(term)])
        except KernelWikiError as error:
            self._lexical_only(error)

    def _lexical_only(self, error: KernelWikiError) -> None:
        if self._name:
            raise error
        self._embedder, self._note = None, f"no vectors, answers are lexical only: {error}"

    def _embed(self, texts: Sequence[str]) -> Vectors:
        assert self._embedder is not None
        return embed_cached(self._embedder, self._cache, texts)

    def whole(self) -> IndexInfo:
        """An index of everything: the user's own records, the shipped ones that they do not replace, the pages."""
        pages = read_pages(self._places.pages)
        writer = IndexWriter(self._beside, self._term_ids, self._embed if self._embedder else None)
        total = _count(self._places.own_records) + _count(self._places.records)
        own: dict[str, str] = {}
        for record in own_records(self._places):
            own[record.id] = content_hash(record)
            self._add(writer, record, total)
        for record in read_records(self._places.records):
            if record.id not in own:
                self._add(writer, record, total)
        for page in pages:
            for section in page.sections:
                writer.add(section_document(page, section, self._vocabulary), section_json(page, section))
        return self._finish(writer, own, (), len(pages), None)

    def grown(self) -> IndexInfo | None:
        """The newest index of this corpus with what changed in the own records; None when there is none or too much changed."""
        base = next(((folder, info) for folder, info in complete_indexes(self._places) if info.corpus == self._corpus), None)
        if base is None or base[1].dense != (self._embedder is not None):
            return None
        folder, info = base
        before: dict[str, str] = json.loads((folder / OWN).read_text(encoding="utf-8"))
        now = {record.id: content_hash(record) for record in own_records(self._places)}
        changed = {name for name, digest in now.items() if before.get(name) != digest}
        removed = before.keys() - now.keys()
        dead = info.documents - info.records - info.sections
        if len(changed) + len(removed) + dead > max(GROW_AT_LEAST, int(GROW_SHARE * info.documents)):
            return None
        if removed and any(record.id in removed for record in read_records(self._places.records)):
            return None  # The shipped record that a removed one stood for must come back.
        writer = IndexWriter(
            self._beside, self._term_ids, self._embed if self._embedder else None, folder, archs=info.archs, repos=info.repos
        )
        gone = changed | removed
        self._reverts = [item for item in read_reverts(folder / REVERTS) if item.id not in gone]
        for record in own_records(self._places):
            if record.id in changed:
                self._add(writer, record, len(changed))
        return self._finish(writer, now, removed, info.pages, info)

    def _add(self, writer: IndexWriter, record: Record, total: int) -> None:
        record = with_summary(record, self._summaries)
        if revert := revert_of(record):
            self._reverts.append(revert)
        document = record_document(record, self._vocabulary, self._questions.get(record.id, ()))
        if len(writer.ids) % 500 == 0:
            self._progress("Indexing", len(writer.ids), total)
        try:
            writer.add(document, record_to_json(record))
        except KernelWikiError as error:
            self._lexical_only(error)
            writer.without_vectors()

    def _finish(self, writer: IndexWriter, own: Mapping[str, str], removed: Iterable[str], pages: int, base: IndexInfo | None) -> IndexInfo:
        alive = writer.finish(removed, lambda name: self._progress(f"Indexing {name}", FIELDS.index(name) + 1, len(FIELDS)))
        beside = self._beside
        (beside / OWN).write_text(json.dumps(own), encoding="utf-8")
        write_reverts(beside / REVERTS, self._reverts)
        terms = [{key: value for key, value in vars(term).items() if value} for term in self._terms]
        (beside / "vocabulary.json").write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
        if self._embedder:
            np.save(beside / "term_vectors.npy", self._term_vectors)
        is_page = np.load(beside / "is_page.npy")
        vectors = len(np.load(beside / "owner.npy", mmap_mode="r")) if self._embedder else 0
        return IndexInfo(
            version=self._version,
            corpus=self._corpus,
            lineage=base.lineage if base else self._version,
            lineage_vectors=base.lineage_vectors if base else vectors,
            documents=len(alive),
            records=int((alive & ~is_page).sum()),
            sections=int((alive & is_page).sum()),
            pages=pages,
            embedder=self._embedder.id if self._embedder else "",
            built_seconds=0.0,
            archs=tuple(writer.archs),
            repos=tuple(writer.repos),
            dense=self._embedder is not None,
            added=len(writer.ids) if base else 0,
            note=self._note,
        )


def _count(folder: Path) -> int:
    """Records that a folder's manifest counts, 0 without one."""
    return int(read_manifest(folder).get("records", 0)) if (folder / MANIFEST).is_file() else 0


def section_json(page: Page, section: Section) -> dict[str, Any]:
    """What a hit shows of a page section, so that a search reads no page file."""
    cited = [page.source(key) for key in section.citations]
    return {
        "page": page.id,
        "section": section.slug,
        "title": page.title,
        "archs": list(page.archs),
        "tags": list(page.tags),
        "heading": section.heading,
        "text": prose(section.text),
        "evidence": [[source.id, source.path, source.line, source.sha] for source in cited if source and source.kind == "evidence"],
    }
