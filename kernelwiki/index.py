"""The index: everything search needs, derived from the corpus, versioned by fingerprint, built beside the old one, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelwiki import lexical
from kernelwiki.documents import FIELDS, Document, record_document, section_document
from kernelwiki.embed import Embedder, OnnxEmbedder, SentenceTransformersEmbedder, VectorCache, embed_cached
from kernelwiki.errors import IndexBusy, IndexUnusable, KernelWikiError
from kernelwiki.home import Places
from kernelwiki.model import Page, Record, Section, Term
from kernelwiki.pages import prose, read_pages

INDEX_SCHEMA = "1"
COMPLETE = "index.json"
LOCK_SECONDS = 120.0
_BUILDING = ".building-"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class IndexInfo:
    """What `index.json` of a complete index says."""

    version: str
    documents: int
    records: int
    pages: int
    embedder: str
    built_seconds: float
    archs: tuple[str, ...]
    repos: tuple[str, ...]
    dense: bool
    note: str = ""


def wanted_version(places: Places, embedder: str = "") -> str:
    """The version that an index of the corpus as it is now has."""
    return places.fingerprint(INDEX_SCHEMA, embedder)


def read_info(folder: Path) -> IndexInfo | None:
    """The description of a complete index, or None when there is none in `folder`."""
    try:
        data = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        data["archs"], data["repos"] = tuple(data["archs"]), tuple(data["repos"])
        return IndexInfo(**data)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def complete_indexes(places: Places) -> list[tuple[Path, IndexInfo]]:
    """Complete indexes in the home, newest first."""
    found = []
    for folder in places.indexes.glob("*") if places.indexes.is_dir() else ():
        info = None if folder.name.startswith(".") else read_info(folder)
        if info:
            found.append((folder, info))
    return sorted(found, key=lambda entry: (entry[0] / COMPLETE).stat().st_mtime_ns, reverse=True)


def ensure_index(
    places: Places, embedder: str = "", wait: float = LOCK_SECONDS, progress: Progress | None = None
) -> tuple[Path, IndexInfo, str]:
    """The index of the corpus as it is now, built when it is not there: (folder, info, note for the user).

    While another process builds, an older complete index answers at once; without one this waits. Raises IndexBusy after `wait`
    seconds and IndexUnusable when the home cannot be written.
    """
    from filelock import FileLock, Timeout

    version = wanted_version(places, embedder)
    folder = places.indexes / version
    info = read_info(folder)
    if info:
        return folder, info, info.note
    older = complete_indexes(places)
    try:
        places.indexes.mkdir(parents=True, exist_ok=True)
        with FileLock(places.indexes / "lock", timeout=0.0 if older else wait):
            info = read_info(folder) or build_index(places, version, embedder, progress)
            return folder, info, info.note
    except Timeout:
        if older:
            return older[0][0], older[0][1], "another process is rebuilding the index: this answer is from the previous one"
        raise IndexBusy(
            f"{places.indexes}: another process has been building the index for {wait:.0f} s. Try again, or see `kwiki index status`."
        ) from None
    except OSError as error:
        if older:
            return older[0][0], older[0][1], f"the index cannot be rebuilt ({error.strerror}): this answer is from the previous one"
        raise cannot_write(places, error) from error


def cannot_write(places: Places, error: OSError) -> IndexUnusable:
    """The error for a home without room or permission."""
    reason = error.strerror or str(error)
    return IndexUnusable(
        f"{places.indexes}: the index cannot be written ({reason}). Free space there, or set KWIKI_HOME to a folder that you can write."
    )


def build_index(places: Places, version: str, embedder_name: str, progress: Progress | None = None) -> IndexInfo:
    """Build the index of `version` beside the others and rename it into place. The caller holds the lock."""
    started = time.monotonic()
    for leftover in places.indexes.glob(f"{_BUILDING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    beside = places.indexes / f"{_BUILDING}{version}-{os.getpid()}"
    beside.mkdir()
    try:
        parts = _write_parts(beside, places, embedder_name, progress or (lambda step, done, total: None))
        data = {"version": version, **parts, "built_seconds": round(time.monotonic() - started, 2)}
        (beside / COMPLETE).write_text(json.dumps(data, indent=1), encoding="utf-8")
        info = IndexInfo(**data)
        target = places.indexes / version
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    for folder, _ in complete_indexes(places)[2:]:
        shutil.rmtree(folder, ignore_errors=True)
    return info


def all_records(places: Places) -> dict[str, Record]:
    """Shipped records with the user's own over them, by id."""
    from kernelwiki.records import MANIFEST, read_records

    records = {record.id: record for record in read_records(places.records)}
    if (places.own_records / MANIFEST).is_file():
        records.update((record.id, record) for record in read_records(places.own_records))
    return records


def make_embedder(places: Places, name: str) -> Embedder:
    """The shipped embedder, or a sentence-transformers model when `name` is given."""
    return SentenceTransformersEmbedder(name) if name else OnnxEmbedder(places.model)


def term_texts(term: Term) -> list[str]:
    """What the embedder reads of a vocabulary term: its definition, then each symptom phrase."""
    return [f"{term.name}. {term.description}", *term.symptoms]


def _write_parts(beside: Path, places: Places, embedder_name: str, progress: Progress) -> dict[str, Any]:
    """Write every file of an index but its description, which is returned."""
    from kernelwiki.questions import read_questions
    from kernelwiki.records import record_to_json
    from kernelwiki.vocabulary import Vocabulary, read_terms

    if embedder_name:
        make_embedder(places, embedder_name)  # A missing package or model must be said before the work, not after it.
    terms = read_terms(places.vocabulary)
    vocabulary = Vocabulary.of(terms)
    records, pages, questions = all_records(places), read_pages(places.pages), read_questions(places.questions)
    documents = []
    for number, record in enumerate(records.values()):
        documents.append(record_document(record, vocabulary, questions.get(record.id, ())))
        if number % 500 == 0:
            progress("Reading records", number, len(records))
    documents += [section_document(page, section, vocabulary) for page in pages for section in page.sections]
    _write_lines(
        beside / "documents",
        [json.dumps(record_to_json(record), ensure_ascii=False) for record in records.values()]
        + [json.dumps(section_json(page, section), ensure_ascii=False) for page in pages for section in page.sections],
    )
    (beside / "ids.txt").write_text("\n".join(document.id for document in documents), encoding="utf-8")
    lexical.build(
        beside,
        {name: [document.fields[name] for document in documents] for name in FIELDS},
        lambda name: progress(f"Indexing {name}", FIELDS.index(name) + 1, len(FIELDS)),
    )
    term_ids = [term.id for term in terms]
    _write_terms(beside, [document.terms for document in documents], term_ids)
    (beside / "vocabulary.json").write_text(json.dumps([_term_json(term) for term in terms], ensure_ascii=False), encoding="utf-8")
    archs = tuple(sorted({arch for document in documents for arch in document.archs}))
    repos = tuple(sorted({document.repo for document in documents if document.repo}))
    _write_attributes(beside, documents, archs, repos)
    texts = embedding_texts(documents, terms)
    owner = [*range(len(documents)), *(row for row, document in enumerate(documents) for _ in document.questions)]
    np.save(beside / "owner.npy", np.array(owner, dtype=np.int32))
    name, dense, note = _write_vectors(beside, places, embedder_name, texts, progress)
    return {
        "documents": len(documents),
        "records": len(records),
        "pages": len(pages),
        "embedder": name,
        "archs": archs,
        "repos": repos,
        "dense": dense,
        "note": note,
    }


def _term_json(term: Term) -> dict[str, Any]:
    return {key: value for key, value in vars(term).items() if value}


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


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    """`<path>.jsonl` and the byte offset of each line, for random access."""
    encoded = [line.encode("utf-8") + b"\n" for line in lines]
    path.with_suffix(".jsonl").write_bytes(b"".join(encoded))
    np.save(path.with_suffix(".offsets.npy"), np.cumsum([0, *map(len, encoded)]).astype(np.int64))


def _write_terms(beside: Path, weights: Sequence[Any], term_ids: Sequence[str]) -> None:
    """Documents of each term as a compressed column matrix (indptr, rows, weights), and the terms of each document."""
    number = {term_id: column for column, term_id in enumerate(term_ids)}
    columns: list[list[tuple[int, float]]] = [[] for _ in term_ids]
    for row, found in enumerate(weights):
        for term_id, weight in found.items():
            if term_id in number:
                columns[number[term_id]].append((row, weight))
    np.save(beside / "terms.indptr.npy", np.cumsum([0, *map(len, columns)]).astype(np.int64))
    np.save(beside / "terms.rows.npy", np.array([row for column in columns for row, _ in column], dtype=np.int32))
    np.save(beside / "terms.weights.npy", np.array([weight for column in columns for _, weight in column], dtype=np.float32))
    heaviest = [
        sorted((term_id for term_id in found if term_id in number), key=lambda term_id: (-found[term_id], term_id)) for found in weights
    ]
    np.save(beside / "document_terms.indptr.npy", np.cumsum([0, *map(len, heaviest)]).astype(np.int64))
    np.save(beside / "document_terms.columns.npy", np.array([number[term_id] for ids in heaviest for term_id in ids], dtype=np.int32))


def _write_attributes(beside: Path, documents: Iterable[Any], archs: Sequence[str], repos: Sequence[str]) -> None:
    """What filters and the ranker need of each document, one array each."""
    rows = list(documents)
    groups = {group: number for number, group in enumerate(dict.fromkeys(document.group for document in rows))}
    repo_number = {repo: number for number, repo in enumerate(repos)}
    arrays: dict[str, npt.NDArray[Any]] = {
        "group": np.array([groups[document.group] for document in rows], dtype=np.int32),
        "is_page": np.array([document.kind == "page" for document in rows], dtype=bool),
        "repo": np.array([repo_number.get(document.repo, -1) for document in rows], dtype=np.int32),
        "day": np.array([day_number(document.merged_at) for document in rows], dtype=np.int32),
        # One bit an architecture, in the order of `archs`, eight to a byte.
        "archs": np.packbits([[arch in document.archs for arch in archs] for document in rows], axis=1),
    }
    for name, array in arrays.items():
        np.save(beside / f"{name}.npy", array)


def day_number(date: str) -> int:
    """Days since 1970 of an ISO date, 0 for none."""
    return int(np.datetime64(date[:10], "D").astype(int)) if date else 0


def _write_vectors(
    beside: Path, places: Places, embedder_name: str, texts: tuple[list[str], list[str], list[str]], progress: Progress
) -> tuple[str, bool, str]:
    """Vectors of documents, of their questions and of term phrases; (embedder id, whether there are any, why not)."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress("Embedding", done, sum(map(len, texts)))

    try:
        embedder = make_embedder(places, embedder_name)
        matrix = embed_cached(embedder, VectorCache(places.vectors), [text for part in texts for text in part], advance)
    except KernelWikiError as error:
        if embedder_name:
            raise
        return "", False, f"no vectors, answers are lexical only: {error}"
    split = len(texts[0]) + len(texts[1])
    np.save(beside / "vectors.npy", matrix[:split])
    np.save(beside / "term_vectors.npy", matrix[split:])
    return embedder.id, True, ""


def embedding_texts(documents: Sequence[Document], terms: Sequence[Term]) -> tuple[list[str], list[str], list[str]]:
    """Everything that the embedder reads at build time: documents, their questions, term phrases."""
    return (
        [document.embedding_text for document in documents],
        [question for document in documents for question in document.questions],
        [text for term in terms for text in term_texts(term)],
    )
