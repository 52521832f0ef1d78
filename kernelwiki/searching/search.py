"""Search over one open index: understand the query, compute features, rank, group, label."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelwiki.errors import IndexUnusable, KernelWikiError
from kernelwiki.home import Places
from kernelwiki.indexing.documents import FIELDS, term_texts
from kernelwiki.indexing.embed import Embedder, make_embedder
from kernelwiki.indexing.filters import Filters, filter_mask
from kernelwiki.indexing.index import REVERTS, IndexInfo
from kernelwiki.indexing.lexical import LexicalIndex
from kernelwiki.indexing.vectors import VectorStore, nearest_rows, similarities
from kernelwiki.reading.references import Reference, references
from kernelwiki.reading.reverts import Revert, read_reverts
from kernelwiki.reading.vocabulary import Vocabulary, term_from_yaml
from kernelwiki.searching.query import Query, Ranked
from kernelwiki.searching.rank import Array, Ranking, default_ranking, weighted
from kernelwiki.searching.stored import StoredDocuments
from kernelwiki.searching.uses import CodeName, Sort, by_merge, using
from kernelwiki.tokens import query_tokens

MAX_QUERY = 10_000
DENSE_CANDIDATES = 1_000
WORD_CANDIDATES = 2_000
SAMPLE = 2_000
ANCHORED_COVERAGE = 0.5  # some document must hold half of the query's rarity before any hit is called strong
SOFT_TERMS = 20
SOFT_TEMPERATURE = 0.08  # a term 0.08 less similar than the best counts 1/e of it
FEEDBACK_DOCUMENTS = 10
FEEDBACK_CANDIDATES = 3_000
UNKNOWN_WORDS_NEED = 5.0  # standard deviations of similarity that a query without one known word must reach
FEEDBACK_TEMPERATURE = 2.0
MIDDLING_QUESTION = 0.25  # similarity of a page's nearest question at which it neither gains nor loses


class Searcher:
    """One open index. Reading only; threads may share it."""

    def __init__(
        self, folder: Path, info: IndexInfo, places: Places, store: VectorStore | None = None, ranking: Ranking | None = None
    ) -> None:
        self.folder, self.info, self._places = folder, info, places
        self._ranking = ranking or default_ranking()
        self._store = store
        self._notes: list[str] = [info.note] if info.note else []
        self._arrays: dict[str, Any] = {}
        self._lexical = LexicalIndex(folder, FIELDS, info.documents)
        self._documents = StoredDocuments(folder, self._array("documents.offsets"))

    def _array(self, name: str) -> Any:
        """A memory-mapped array of the index, as a plain view (numpy's memmap class makes every slice slow)."""
        if name not in self._arrays:
            self._arrays[name] = np.asarray(np.load(self.folder / f"{name}.npy", mmap_mode="r"))
        return self._arrays[name]

    @cached_property
    def ids(self) -> list[str]:
        """Document ids by row."""
        return (self.folder / "ids.txt").read_text(encoding="utf-8").split("\n") if self.info.documents else []

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Rows by lower-case document id; a page id leads to its first section."""
        alive = self._array("alive")
        rows = {name.lower(): row for row, name in enumerate(self.ids) if alive[row]}
        for row in map(int, np.flatnonzero(self._attributes["is_page"] & alive)):
            rows.setdefault(self.ids[row].split("#", 1)[0].lower(), row)
        return rows

    @cached_property
    def reverts(self) -> list[Revert]:
        """Pull requests that took others back."""
        return read_reverts(self.folder / REVERTS)

    def record_rows(self) -> list[int]:
        """Rows of the pull requests that are alive."""
        return [int(row) for row in np.flatnonzero(~self._attributes["is_page"] & self._array("alive"))]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        rows = json.loads((self.folder / "vocabulary.json").read_text(encoding="utf-8"))
        return Vocabulary.of(term_from_yaml(row) for row in rows)

    @cached_property
    def _terms(self) -> tuple[Any, Any, Any, dict[str, int]]:
        columns = {term_id: number for number, term_id in enumerate(self.vocabulary.terms)}
        return self._array("terms.indptr"), self._array("terms.rows"), self._array("terms.weights"), columns

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        return {name: self._array(name) for name in ("group", "is_page", "repo", "day", "archs")}

    @cached_property
    def matrix(self) -> Array:
        """Vectors, memory-mapped: of each document, followed by those of its questions."""
        matrix: Array = self._array("vectors")
        return matrix

    @cached_property
    def _owner(self) -> npt.NDArray[np.int32]:
        """Document row of each vector row."""
        owner: npt.NDArray[np.int32] = self._array("owner")
        return owner

    @cached_property
    def _own_vector(self) -> npt.NDArray[np.intp]:
        """Vector row of each document's own text, the first of its rows."""
        return np.flatnonzero(np.diff(self._owner, prepend=-1))

    @cached_property
    def _term_vectors(self) -> Array:
        """Vectors of the terms' definitions and symptom phrases."""
        vectors: Array = self._array("term_vectors")
        return vectors

    @cached_property
    def _term_starts(self) -> npt.NDArray[np.intp]:
        """Where the vectors of each term begin; every term has at least its definition."""
        counts = [len(term_texts(term)) for term in self.vocabulary.terms.values()]
        return np.cumsum([0, *counts[:-1]])

    @cached_property
    def _embedder(self) -> Embedder | None:
        if not self.info.dense:
            return None
        name = self.info.embedder
        prefix = "sentence-transformers:"
        try:
            return make_embedder(self._places.model, name.removeprefix(prefix) if name.startswith(prefix) else "")
        except KernelWikiError as error:
            self._notes.append(f"lexical answer only: {error}")
            return None

    def use_chroma(self, url: str | None) -> None:
        """Take nearest vectors from Chroma (the server at `url`, else the collection in the index folder).

        Raises IndexUnusable when the collection is not there or not complete.
        """
        from kernelwiki.indexing.vectors import ChromaStore, chroma_client, collection_name, open_collection

        info = self.info
        collection = open_collection(chroma_client(self.folder / "chroma", url), info.lineage, info.lineage_vectors)
        if collection is None:
            raise IndexUnusable(f"Chroma has no complete collection {collection_name(info.lineage)}. Run `kwiki index build`.")
        self._store = ChromaStore(collection, self.matrix, info.lineage_vectors, url or "embedded")

    @property
    def store_name(self) -> str:
        """Where nearest vectors come from: exact, embedded (Chroma) or the address of a Chroma server."""
        return self._store.name if self._store else "exact"

    # -- the query ---------------------------------------------------------------------------------------------------

    def understand(self, text: str) -> Query:
        """What a query asks for: its words, the vocabulary terms in it and near it, and its vector."""
        text = "".join(char if char.isprintable() else " " for char in text[:MAX_QUERY])
        tokens = query_tokens(text)
        named = self._with_fixes(self.vocabulary.in_text(text))
        vector = self._embed(text) if tokens else None
        return Query(
            text=text,
            tokens=tuple(tokens),
            columns=tuple(self._lexical.columns(tokens)),
            terms=named,
            soft_terms=self._near_terms(vector) if vector is not None else {},
            vector=vector,
        )

    def _with_fixes(self, found: Mapping[str, int]) -> dict[str, float]:
        """Named terms at full weight; the techniques that fix a named symptom at a lower one, best first."""
        weights = dict.fromkeys(found, 1.0)
        for term_id in found:
            term = self.vocabulary.terms[term_id]
            if term.kind in ("symptom", "profiler"):
                for place, technique in enumerate(term.techniques[:5]):
                    if technique in self.vocabulary.terms:
                        weights[technique] = max(weights.get(technique, 0.0), 0.35 * 0.8**place)
        return weights

    def _embed(self, text: str) -> Array | None:
        embedder = self._embedder
        if embedder is None:
            return None
        try:
            vector: Array = embedder.embed([text])[0]
            return vector
        except KernelWikiError as error:
            self._notes.append(f"lexical answer only: {error}")
            self.__dict__["_embedder"] = None
            return None

    def _near_terms(self, vector: Array) -> dict[str, float]:
        best = np.maximum.reduceat(similarities(self._term_vectors, vector), self._term_starts)
        top = np.argsort(-best, kind="stable")[:SOFT_TERMS]
        weights = np.exp((best[top] - best[top[0]]) / np.float32(SOFT_TEMPERATURE))
        ids = self._term_ids
        return {ids[int(number)]: float(weight) for number, weight in zip(top, weights, strict=True)}

    # -- ranking -----------------------------------------------------------------------------------------------------

    def features(self, query: Query) -> dict[str, Array]:
        """The features that need no vectors, of every document, shape (documents,) each. See `rank.FEATURES`."""
        words = np.float32(max(1, len(query.columns)))
        result: dict[str, Array] = {name: self._lexical.scores(name, query.columns) / words for name in FIELDS}
        result["coverage"] = self._lexical.coverage(query.columns)
        result["terms"] = self._term_scores(query.terms)
        return result

    def dense_features(self, query: Query, cosine: Array) -> dict[str, Array]:
        """The features that come from `cosine`, the similarity of every vector row to the query."""
        dense = cosine[self._own_vector]
        sample = dense[self._sample]
        questions = np.maximum(cosine, 0)
        questions[self._own_vector] = 0
        return {
            # In standard deviations from the corpus mean, so that weights hold for any embedder and corpus.
            "dense": (dense - np.float32(sample.mean())) / np.float32(float(sample.std()) or 1.0),
            "asked": np.maximum.reduceat(questions, self._own_vector) if len(questions) else questions,
            "soft_terms": self._term_scores(query.soft_terms),
        }

    @cached_property
    def _sample(self) -> npt.NDArray[np.intp]:
        """Documents that stand for the corpus when a mean similarity is needed."""
        return np.linspace(0, self.info.documents - 1, min(SAMPLE, self.info.documents)).astype(np.intp)

    def _cosines(self, query: Query, vector: Array, features: Mapping[str, Array], mask: npt.NDArray[np.bool_] | None) -> tuple[Array, Any]:
        """Similarity of every vector row, and the rows nearest to the query among `mask`.

        With Chroma only rows that can still matter are computed (nearest, best by words, the sample); others get the sample's mean.
        """
        vector_mask = None if mask is None else mask[self._owner]
        if self._store is None:
            cosine = similarities(self.matrix, vector)
            return cosine, nearest_rows(cosine, DENSE_CANDIDATES, vector_mask)
        near = self._store.nearest(vector, DENSE_CANDIDATES, vector_mask)
        words = weighted(self._ranking.lexical, features)
        known = np.zeros(self.info.documents, dtype=bool)
        known[np.argpartition(-words, min(WORD_CANDIDATES, len(words) - 1))[:WORD_CANDIDATES]] = True
        known[self._owner[near]], known[self._sample] = True, True
        rows = np.flatnonzero(known[self._owner])
        found = similarities(self.matrix[rows], vector)
        cosine = np.zeros(len(self.matrix), dtype=np.float32)
        cosine[rows] = found
        cosine[self._own_vector[~known]] = cosine[self._own_vector[self._sample]].mean()
        return cosine, near

    def _term_scores(self, weights: Mapping[str, float]) -> Array:
        """Σ weight · idf of the term · weight in the document, divided by Σ weight · idf: in [0, 1]."""
        indptr, rows, values, columns = self._terms
        total, norm = np.zeros(self.info.documents, dtype=np.float32), 0.0
        for term_id, weight in weights.items():
            column = columns[term_id]
            start, end = int(indptr[column]), int(indptr[column + 1])
            rarity = weight * float(np.log1p(self.info.documents / (1.0 + end - start)))
            norm += rarity
            total[rows[start:end]] += np.float32(rarity) * values[start:end]
        return total / np.float32(norm) if norm else total

    def mask(self, filters: Filters) -> npt.NDArray[np.bool_] | None:
        """Living documents that pass `filters`, or None when all do. Raises BadQuery for a value that no document has."""
        mask = filter_mask(filters, self.info, self.vocabulary, self._attributes, self._terms)
        if self.info.records + self.info.sections != self.info.documents:
            mask = self._array("alive") if mask is None else mask & self._array("alive")
        return self._using(CodeName(filters.uses), mask) if filters.uses else mask

    def _using(self, name: CodeName, mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
        """Pull requests of `mask` with the name in an added line: guessed by the words of their names, proven by what is stored."""
        columns = self._lexical.columns(name.words)
        rows = self._lexical.holding("names", columns) & ~self._attributes["is_page"]
        if mask is not None:
            rows &= mask
        found = np.zeros(self.info.documents, dtype=bool)
        if len(columns) == len(name.words):
            found[using(self._documents, np.flatnonzero(rows), name)] = True
        return found

    def rank(self, query: Query, filters: Filters, limit: int, offset: int = 0, sort: Sort = "relevance") -> Ranked:
        """Documents in order of relevance, one row a page, `limit` of them from `offset`; or pull requests by their merge.

        By merge, matches that would be labelled weak are left out, unless a name that they use was asked for.
        """
        mask = self.mask(filters)
        named = self._named_rows(query.text, mask)
        if not query.tokens:
            return Ranked((), (), {}, 0, tuple(self._notes))
        features = self.features(query)
        candidates = (features["coverage"] > 0) | (features["terms"] > 0)
        if query.vector is not None:
            cosine, near = self._cosines(query, query.vector, features, mask)
            features.update(self.dense_features(query, cosine))
            if query.columns or query.terms or float(features["dense"].max()) > UNKNOWN_WORDS_NEED:
                candidates[self._owner[near]] = True
        if mask is not None:
            candidates = mask if filters.uses else candidates & mask
        scores = self._scores(features, candidates)
        rows = np.flatnonzero(candidates)
        rows = rows[np.lexsort((rows, -scores[rows]))]
        _, first = np.unique(self._attributes["group"][rows], return_index=True)
        rows = rows[np.sort(first)]
        if named:
            rows = np.array([*named, *(row for row in rows if row not in set(named))], dtype=np.intp)
        if sort != "relevance":
            rows = rows[self._attributes["day"][rows] > 0]
            rows = rows if filters.uses else rows[self._ranking.likely(features, rows)]
            days = self._attributes["day"][rows]
            chosen = by_merge(self._documents, rows, days, newest=sort == "newest", offset=offset, limit=limit)
        else:
            chosen = rows[offset : offset + limit]
        return Ranked(
            rows=tuple(map(int, chosen)),
            scores=tuple(float(scores[row]) for row in chosen),
            features=features,
            total=len(rows),
            notes=tuple(dict.fromkeys(self._notes)),
            uses=CodeName(filters.uses) if filters.uses else None,
        )

    def _scores(self, features: dict[str, Array], candidates: npt.NDArray[np.bool_]) -> Array:
        """Final scores. With vectors in two passes: the centre of the first pass's best documents is one more feature of the second."""
        bonus = np.float32(self._ranking.page_bonus) * self._attributes["is_page"]
        if "dense" not in features:
            lexical: Array = weighted(self._ranking.lexical, features) + bonus
            return lexical
        first = weighted(self._ranking.first, features)
        features["feedback"] = self.feedback(first, np.flatnonzero(candidates))
        asked = np.float32(self._ranking.page_asked) * self._attributes["is_page"] * (features["asked"] - np.float32(MIDDLING_QUESTION))
        final: Array = weighted(self._ranking.final, features) + bonus + asked
        return final

    def feedback(self, first: Array, rows: npt.NDArray[np.intp]) -> Array:
        """Cosine similarity of the best `FEEDBACK_CANDIDATES` of `rows` to the weighted centre of the very best, 0 elsewhere."""
        result = np.zeros(self.info.documents, dtype=np.float32)
        if not len(rows):
            return result
        rows = rows[np.argsort(-first[rows], kind="stable")[:FEEDBACK_CANDIDATES]]
        best = rows[:FEEDBACK_DOCUMENTS]
        weights = np.exp((first[best] - first[best[0]]) / np.float32(FEEDBACK_TEMPERATURE))
        centre = (self.matrix[self._own_vector[best]] * weights[:, None]).sum(axis=0)
        result[rows] = similarities(self.matrix[self._own_vector[rows]], centre / np.float32(np.linalg.norm(centre) or 1.0))
        return result

    def _named_rows(self, text: str, mask: npt.NDArray[np.bool_] | None) -> list[int]:
        """Rows of the pull requests that the query names by id or address."""
        found = [self.row_of_reference(reference) for reference in references(text)]
        return list(dict.fromkeys(row for row in found if row is not None and (mask is None or mask[row])))

    def row_of_reference(self, reference: Reference) -> int | None:
        """Row of the pull request that is meant, or None. A given owner must be the record's own."""
        row = self.row_of.get(reference.full) if reference.owner else None
        if row is None:
            row = self.row_of.get(reference.short)
            if row is not None and reference.owner:
                repo = self.info.repos[int(self._attributes["repo"][row])]
                row = row if repo.lower() == f"{reference.owner}/{reference.repo}" else None
        return row

    def label(self, features: Mapping[str, Array], row: int) -> str:
        """strong, fair or weak by the estimated probability that the document answers the query (see `Ranking.certainty`).

        A document that shares no word and no vocabulary term with the query is a weak hit however near its vector is, and a query
        of which most words are unknown to the index and that names no term has no strong hits: similarity alone cannot tell.
        """
        if not features["coverage"][row] and not features["terms"][row]:
            return "weak"
        chance = self._ranking.chance({name: float(values[row]) for name, values in features.items()})
        anchored = bool(features["terms"].any()) or float(features["coverage"].max()) >= ANCHORED_COVERAGE
        return "strong" if chance >= self._ranking.strong and anchored else "fair" if chance >= self._ranking.fair else "weak"

    def document(self, row: int) -> dict[str, Any]:
        """The stored document of a row: a record, or {"page", "section"}."""
        return self._documents[row]

    def suggestions(self, query: Query) -> list[str]:
        """Words of the index and terms of the vocabulary near to a query that found nothing."""
        import difflib

        near: dict[str, None] = {}
        known = [term.name for term in self.vocabulary.terms.values()]
        for token in query.tokens[:4]:
            for word in (
                *difflib.get_close_matches(token, [name.lower() for name in known], n=2, cutoff=0.6),
                *self._lexical.near(token, 3),
            ):
                near.setdefault(word)
        return list(near)[:6]

    def terms_of(self, row: int) -> list[str]:
        """Vocabulary ids of a document, heaviest first."""
        start, end = (int(place) for place in self._array("document_terms.indptr")[row : row + 2])
        ids = self._term_ids
        return [ids[int(column)] for column in self._array("document_terms.columns")[start:end]]

    @cached_property
    def _term_ids(self) -> list[str]:
        return list(self.vocabulary.terms)
