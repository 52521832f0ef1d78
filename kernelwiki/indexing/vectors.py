"""Vector stores: which vectors are nearest to a query. Exactly over a memory-mapped file, or from a Chroma collection."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from kernelwiki.errors import BadQuery, IndexUnusable, MissingDependency
from kernelwiki.indexing.embed import Vectors

Mask = npt.NDArray[np.bool_]
CHROMA_BATCH = 2_000
_BLOCK = 32_768


class VectorStore(Protocol):
    """Something that finds the vector rows nearest to a query without scanning them all."""

    name: str

    def nearest(self, vector: Vectors, count: int, mask: Mask | None) -> npt.NDArray[np.intp]:
        """Rows of the `count` most similar vectors among `mask`, best first."""
        ...


def similarities(matrix: Vectors, vector: Vectors) -> Vectors:
    """Dot product of every row with `vector`, in blocks so that a memory-mapped matrix is read once and not copied.

    By einsum and not by `@`: numpy's loop is as fast as BLAS on two threads here (both wait for memory), and on a busy machine, where the
    threads of BLAS wait for each other, it stays at 1 ms while those took 30 to 70.
    """
    result: Vectors = np.empty(len(matrix), dtype=np.float32)
    for start in range(0, len(matrix), _BLOCK):
        np.einsum("ij,j->i", matrix[start : start + _BLOCK], vector, out=result[start : start + _BLOCK])
    return result


def nearest_rows(scores: Vectors, count: int, mask: Mask | None) -> npt.NDArray[np.intp]:
    """Rows of the `count` greatest `scores` among `mask`, best first, ties by row."""
    if mask is not None:
        scores = np.where(mask, scores, np.float32(-2))
        count = min(count, int(mask.sum()))
    count = min(count, len(scores))
    if not count:
        return np.zeros(0, dtype=np.intp)
    top = np.argpartition(-scores, count - 1)[:count]
    return top[np.lexsort((top, -scores[top]))]


class ChromaStore:
    """A Chroma collection, embedded in the index folder or on a server, of the first `rows` rows of `matrix`; later rows are scanned."""

    def __init__(self, collection: Any, matrix: Vectors, rows: int, name: str) -> None:
        self._collection, self._matrix, self._rows = collection, matrix, rows
        self.name = name

    def nearest(self, vector: Vectors, count: int, mask: Mask | None) -> npt.NDArray[np.intp]:
        if mask is not None:
            # Chroma's metadata filters cost 30-300 ms; the exact scan with a mask costs a few.
            return nearest_rows(similarities(self._matrix, vector), count, mask)
        answer = self._collection.query(query_embeddings=[vector.tolist()], n_results=min(count, self._rows), include=[])
        found = np.array([int(row) for row in answer["ids"][0]], dtype=np.intp)
        if self._rows == len(self._matrix):
            return found
        rows = np.concatenate([found, np.arange(self._rows, len(self._matrix))])
        return rows[nearest_rows(similarities(self._matrix[rows], vector), count, None)]


def collection_name(version: str) -> str:
    """The Chroma collection of one index version."""
    return f"kernel-skills-{version}"


def chroma_client(folder: Path | None, url: str | None) -> Any:
    """A Chroma client: of the server at `url`, else embedded in `folder`. Telemetry is off."""
    os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
    try:
        import chromadb
        from chromadb.config import Settings
    except ImportError as error:
        raise MissingDependency(f"{error}. Run `pip install kernel-skills` again: chromadb belongs to it.") from error
    settings = Settings(anonymized_telemetry=False)
    if not url:
        return chromadb.PersistentClient(path=str(folder), settings=settings)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadQuery(f"KWIKI_CHROMA_URL={url!r}: must look like http://host:8000.")
    try:
        return chromadb.HttpClient(
            host=parts.hostname,
            port=parts.port or (443 if parts.scheme == "https" else 8000),
            ssl=parts.scheme == "https",
            settings=settings,
        )
    except ValueError as error:
        raise IndexUnusable(
            f"KWIKI_CHROMA_URL={url}: no Chroma server answers there ({error}). Start it with `chroma run`, or unset the variable."
        ) from error


def fill(client: Any, version: str, matrix: Vectors, ids: Sequence[str], progress: Callable[[int], None] | None = None) -> None:
    """Write all vectors into the collection of `version` (replacing a half-written one). Row numbers are the ids."""
    name = collection_name(version)
    if name in {collection.name for collection in client.list_collections()}:
        client.delete_collection(name)
    collection = client.create_collection(
        name, embedding_function=None, configuration={"hnsw": {"space": "cosine", "ef_search": 400, "max_neighbors": 24}}
    )
    for start in range(0, len(matrix), CHROMA_BATCH):
        rows = range(start, min(start + CHROMA_BATCH, len(matrix)))
        collection.add(
            ids=[str(row) for row in rows],
            embeddings=np.asarray(matrix[start : start + CHROMA_BATCH]),
            metadatas=[{"id": ids[row]} for row in rows],
        )
        if progress:
            progress(len(rows))


def open_collection(client: Any, version: str, documents: int) -> Any | None:
    """The complete collection of `version`, or None when it is absent or half-written."""
    name = collection_name(version)
    if name not in {collection.name for collection in client.list_collections()}:
        return None
    collection = client.get_collection(name, embedding_function=None)
    return collection if collection.count() == documents else None
