"""Wiki: the knowledge base as one object. Commands, the MCP server and programs use it and nothing below it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kernelwiki.errors import BadQuery, IndexUnusable, NotFound
from kernelwiki.home import Places, find_places, temporary_home
from kernelwiki.indexing.filters import Filters
from kernelwiki.indexing.index import IndexInfo, Progress, ensure_index, read_info, wanted_version
from kernelwiki.model import Answer, Hit, Page, Record, Term
from kernelwiki.reading.pages import read_page, with_documents
from kernelwiki.reading.references import references
from kernelwiki.reading.reverts import reverted_by
from kernelwiki.searching.hits import make_hit
from kernelwiki.searching.search import Searcher
from kernelwiki.searching.uses import SORTS, Sort

CHECK_SECONDS = 1.0
MAX_LIMIT = 5_000
STORES = ("auto", "exact", "chroma")


class Wiki:
    """An open knowledge base. Thread-safe; reopens by itself when another process has built a newer index.

    `store` chooses where nearest vectors come from: `exact` scans the memory-mapped file, `chroma` asks Chroma (embedded, or the
    server of `KWIKI_CHROMA_URL`), `auto` takes the server when one is set and else the exact scan, which was faster than embedded
    Chroma at 15,000 and at 200,000 records (benchmarks/SPEED.md).
    """

    def __init__(self, places: Places, searcher: Searcher, store: str, embedder: str, note: str) -> None:
        self.places = places
        self._searcher = searcher
        self._store = store
        self._embedder = embedder
        self._note = note
        self._checked = time.monotonic()
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        home: Path | str | None = None,
        *,
        store: str = "auto",
        embedder: str | None = None,
        progress: Progress | None = None,
    ) -> Wiki:
        """Open the knowledge base at `home` (default: `KWIKI_HOME` or the user's data folder), building its index once.

        Raises IndexUnusable, IndexBusy or CorpusUnreadable when there is nothing to search.
        """
        if store not in STORES:
            raise BadQuery(f"store {store!r}: valid are {', '.join(STORES)}.")
        places = find_places(home)
        name = embedder if embedder is not None else os.environ.get("KWIKI_EMBEDDER", "")
        try:
            folder, info, note = ensure_index(places, name, progress=progress)
        except IndexUnusable as error:
            if home is not None or os.access(places.home if places.home.exists() else places.home.parent, os.W_OK):
                raise
            places = Places(places.corpus, temporary_home())
            folder, info, note = ensure_index(places, name, progress=progress)
            note = f"{error} Using {places.home} this time."
        return cls(places, _searcher(folder, info, places, store), store, name, note)

    @property
    def info(self) -> IndexInfo:
        """The index that answers now."""
        return self._searcher.info

    def search(
        self,
        query: str,
        *,
        kind: str = "any",
        repo: str | Sequence[str] = (),
        arch: str | Sequence[str] = (),
        tag: str | Sequence[str] = (),
        since: str = "",
        uses: str = "",
        sort: Sort = "relevance",
        limit: int = 8,
        offset: int = 0,
    ) -> list[Hit]:
        """Hits in order. See `answer` for what the arguments mean, and for totals, suggestions and notes."""
        found = self.answer(query, kind=kind, repo=repo, arch=arch, tag=tag, since=since, uses=uses, sort=sort, limit=limit, offset=offset)
        return list(found.hits)

    def answer(
        self,
        query: str,
        *,
        kind: str = "any",
        repo: str | Sequence[str] = (),
        arch: str | Sequence[str] = (),
        tag: str | Sequence[str] = (),
        since: str = "",
        uses: str = "",
        sort: Sort = "relevance",
        limit: int = 8,
        offset: int = 0,
    ) -> Answer:
        """A search with its total, the terms it was understood as, suggestions when nothing matched, and notes.

        `kind` is page, pr or any; `repo`, `arch` and `tag` take one value or several (any of the repositories and architectures, all
        of the tags); `since` is a date; `uses` keeps pull requests with an added line that holds this code name (see `CodeName`), and
        the query may then be empty. `sort` oldest or newest orders pull requests by their merge, without weak matches.
        Raises BadQuery for a value that is not valid.
        """
        if not isinstance(query, str):
            raise TypeError(f"query must be text, not {type(query).__name__}")
        if kind not in ("any", "page", "pr"):
            raise BadQuery(f"--kind {kind}: valid are page, pr and any.")
        if limit < 0 or offset < 0 or limit > MAX_LIMIT:
            raise BadQuery(f"--limit {limit} --offset {offset}: limit must be 0 to {MAX_LIMIT}, offset at least 0.")
        if sort not in SORTS:
            raise BadQuery(f"--sort {sort}: valid are {', '.join(SORTS)}.")
        searcher = self._current()
        filters = Filters(kind, _several(repo), _several(arch), _several(tag), since, uses)
        understood = searcher.understand(query or uses)
        ranked = searcher.rank(understood, filters, limit, offset, sort)
        hits = tuple(make_hit(searcher, understood, ranked, place) for place in range(len(ranked.rows)))
        notes = [self._note] if self._note else []
        if not understood.tokens:
            notes.append("the query has no words: type what you look for, for example `kwiki search tcgen05`")
        if uses and not ranked.total:
            notes.append(f"no pull request here has an added line named {uses!r}; `*` stands for anything: *{uses.strip('*')}*")
        return Answer(
            query=query or uses,
            total=ranked.total,
            hits=hits,
            terms=tuple(understood.terms),
            suggestions=tuple(searcher.suggestions(understood)) if not ranked.total and understood.tokens else (),
            notes=tuple(dict.fromkeys([*notes, *ranked.notes])),
        )

    def record(self, record_id: str) -> Record:
        """A pull request's record; raises NotFound with the nearest ids."""
        from kernelwiki.reading.records import record_from_json

        searcher = self._current()
        reference = next(references(record_id), None)
        row = searcher.row_of_reference(reference) if reference else None
        if row is None:
            raise self.not_found(record_id)
        return record_from_json(searcher.document(row))

    def reverted_by(self, record: Record) -> tuple[str, ...]:
        """Ids of the pull requests that took `record` back; see `reading.reverts`."""
        return reverted_by(record, self._current().reverts)

    def page(self, page_id: str) -> Page:
        """A page; raises NotFound with the nearest ids."""
        name = page_id.split("#", 1)[0].strip().lower()
        path = self.places.pages / f"{name}.md"
        if name.count("/") != 1 or ".." in name or not path.is_file():
            raise self.not_found(page_id)
        return with_documents(read_page(path), self.places.sources)

    def not_found(self, wanted: str) -> NotFound:
        """The error for an id that names nothing, with ids near to it."""
        import difflib

        searcher = self._current()
        reference = next(references(wanted), None)
        text = reference.short if reference else wanted.strip().lower()[:200]
        names = list(searcher.row_of)
        if "#" in text and not text.startswith("#") and "/" not in text:
            repo = text.split("#", 1)[0]
            names = [name for name in names if name.startswith(f"{repo}#")] or names
        near = difflib.get_close_matches(text, names, n=5, cutoff=0.5)
        shown = [searcher.ids[searcher.row_of[name]] for name in near]
        hint = f" Nearest: {', '.join(shown)}." if shown else ""
        return NotFound(f'{wanted}: no such page or pull request.{hint} Try `kwiki search "{wanted[:60]}"` or `kwiki list`.', shown)

    def page_ids(self) -> list[str]:
        """Ids of all pages."""
        from kernelwiki.reading.pages import page_files, page_id

        return [page_id(path) for path in page_files(self.places.pages)]

    def terms(self) -> list[Term]:
        """The vocabulary."""
        return list(self._current().vocabulary.terms.values())

    def records(self) -> Iterator[Record]:
        """Every record of the index, shipped and own."""
        from kernelwiki.reading.records import record_from_json

        searcher = self._current()
        for row in searcher.record_rows():
            yield record_from_json(searcher.document(row))

    def _current(self) -> Searcher:
        """The open index; the newer one when another process has finished building it."""
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return self._searcher
        with self._lock:
            self._checked = now
            version = wanted_version(self.places, self._embedder)
            folder = self.places.indexes / version
            if version != self._searcher.info.version:
                info = read_info(folder)
                if info:
                    self._searcher = _searcher(folder, info, self.places, self._store)
            return self._searcher


def _searcher(folder: Path, info: IndexInfo, places: Places, store: str) -> Searcher:
    searcher = Searcher(folder, info, places)
    url = os.environ.get("KWIKI_CHROMA_URL")
    if info.dense and (store == "chroma" or (store == "auto" and url)):
        searcher.use_chroma(url)
    return searcher


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) and value else tuple(value)
