"""The lexical index: BM25 scores per field, computed by bm25s at build time and read from memory-mapped arrays at query time.

Reading does not import bm25s: its import would cost a cold command as much as the whole search.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
K1, B = 1.2, 0.6
_ARRAYS = ("data", "indices", "indptr")


def token_key(token: str) -> int:
    """64-bit key of a token; the vocabulary is stored as a sorted array of keys."""
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest(), "little")


def build(folder: Path, fields: Mapping[str, Sequence[Sequence[str]]], progress: Callable[[str], None] | None = None) -> None:
    """Write the index of `fields` (name → tokens of every document, in one order of documents) into `folder`."""
    import bm25s

    tokens = sorted({token for documents in fields.values() for document in documents for token in document})
    keys = np.array([token_key(token) for token in tokens], dtype=np.uint64)
    order = np.argsort(keys)
    column = {tokens[int(place)]: rank for rank, place in enumerate(order)}
    np.save(folder / "tokens.npy", keys[order])
    (folder / "tokens.txt").write_text("\n".join(tokens[int(place)] for place in order), encoding="utf-8")
    frequency = np.zeros(len(tokens), dtype=np.int32)
    for name, documents in fields.items():
        ids = [[column[token] for token in document] for document in documents]
        if name != "path":
            for row in ids:
                frequency[list(set(row))] += 1
        scorer = bm25s.BM25(k1=K1, b=B, csc_backend="numpy", backend="numpy")
        scorer.index((ids, column), show_progress=False)
        for array in _ARRAYS:
            np.save(folder / f"{name}.{array}.npy", scorer.scores[array])
        if progress:
            progress(name)
    np.save(folder / "frequency.npy", frequency)


class LexicalIndex:
    """Memory-mapped BM25 scores of every field. Thread-safe: it only reads."""

    def __init__(self, folder: Path, fields: Sequence[str], documents: int) -> None:
        self._folder = folder
        self._documents = documents
        self._tokens: npt.NDArray[np.uint64] = np.asarray(np.load(folder / "tokens.npy", mmap_mode="r"))
        self._frequency: npt.NDArray[np.int32] = np.asarray(np.load(folder / "frequency.npy", mmap_mode="r"))
        self._fields: dict[str, tuple[Any, Any, Any]] = {}
        for name in fields:
            data, indices, indptr = (np.asarray(np.load(folder / f"{name}.{array}.npy", mmap_mode="r")) for array in _ARRAYS)
            self._fields[name] = data, indices, indptr

    def columns(self, tokens: Sequence[str]) -> list[int]:
        """Columns of the tokens that the index knows; others are left out."""
        if not tokens or not len(self._tokens):
            return []
        keys = np.array([token_key(token) for token in tokens], dtype=np.uint64)
        places = np.minimum(np.searchsorted(self._tokens, keys), len(self._tokens) - 1)
        return [int(place) for place, key in zip(places, keys, strict=True) if self._tokens[place] == key]

    def scores(self, field: str, columns: Sequence[int], weights: Sequence[float] | None = None) -> Scores:
        """BM25 of every document for the given columns, shape (documents,), float32."""
        data, indices, indptr = self._fields[field]
        total = np.zeros(self._documents, dtype=np.float32)
        for position, column in enumerate(columns):
            start, end = int(indptr[column]), int(indptr[column + 1])
            # A document occurs once in a column, so plain fancy-index addition is exact.
            total[indices[start:end]] += data[start:end] * np.float32(1.0 if weights is None else weights[position])
        return total

    def coverage(self, columns: Sequence[int]) -> npt.NDArray[np.float32]:
        """Share of the query's rarity that each document covers in any field: Σ idf of covered tokens / Σ idf, in [0, 1]."""
        idf = np.log(1.0 + (self._documents + 1) / (1.0 + self._frequency[list(columns)].astype(np.float32)))
        covered = np.zeros(self._documents, dtype=np.float32)
        for column, weight in zip(columns, idf, strict=True):
            hit = np.zeros(self._documents, dtype=bool)
            for _, indices, indptr in self._fields.values():
                hit[indices[int(indptr[column]) : int(indptr[column + 1])]] = True
            covered[hit] += weight
        total = float(idf.sum())
        return covered / np.float32(total) if total else covered

    def near(self, token: str, limit: int = 5) -> list[str]:
        """Tokens of the index that look like `token`, for suggestions after zero hits."""
        import difflib

        text = (self._folder / "tokens.txt").read_text(encoding="utf-8")
        start = re.escape(token[:2])
        candidates = re.findall(rf"^{start}[^\n]*$", text, re.M)
        return difflib.get_close_matches(token, candidates, n=limit, cutoff=0.7)
