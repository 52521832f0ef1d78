"""The lexical index: BM25 scores per field, computed at build time and read from memory-mapped arrays at query time.

Token streams go through files, so building holds one field at a time. An index can grow: new documents are scored with the statistics of
all, old ones keep the scores that they have.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelwiki.indexing.columns import Entries, Integers, count_pairs, joined, read_entries, widened, write_columns

Scores = npt.NDArray[np.float32]
K1, B = 1.2, 0.6
UNCOUNTED = "path"  # a path repeats what title and names say: it does not make a word more frequent
_ARRAYS = ("data", "indices", "indptr")
_STATISTICS = "lexical.json"


def token_key(token: str) -> int:
    """64-bit key of a token; the vocabulary is stored as a sorted array of keys."""
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest(), "little")


def bm25(times: Any, frequency: Any, documents: int, lengths: Any, mean_length: float) -> Scores:
    """BM25 of a term that occurs `times` in a document of `lengths` words and in `frequency` of `documents` (Robertson; Lucene's idf).

    ln(1 + (N - df + 0.5) / (df + 0.5)) * tf / (tf + k1 * (1 - b + b * length / mean length))
    """
    share = K1 * (1 - B + B / (mean_length or 1.0) * lengths) + times
    return np.asarray(np.log1p((documents - frequency + 0.5) / (frequency + 0.5)) * times / share, dtype=np.float32)


def _paths(folder: Path, field: str) -> dict[str, Path]:
    return {name: folder / f"{field}.{name}.npy" for name in _ARRAYS}


class LexicalWriter:
    """Takes documents one by one, then writes their index into `folder`, after those of the index in `base` when there is one."""

    def __init__(self, folder: Path, fields: Sequence[str], base: Path | None = None) -> None:
        self._folder, self._base = folder, base
        self._numbers: dict[str, int] = {}
        self._lengths = {name: array("i") for name in fields}
        self._streams = {name: (folder / f"{name}.stream").open("wb") for name in fields}

    def add(self, fields: Mapping[str, Sequence[str]]) -> None:
        """The tokens of one document, by field."""
        numbers = self._numbers
        for name, stream in self._streams.items():
            tokens = fields[name]
            stream.write(array("i", [numbers.setdefault(token, len(numbers)) for token in tokens]).tobytes())
            self._lengths[name].append(len(tokens))

    def finish(self, progress: Callable[[str], None] | None = None) -> None:
        """Write the index; the streams are removed."""
        places, old_places, width = self._write_tokens()
        statistics = self._base_statistics()
        frequency = np.zeros(width, dtype=np.int64)
        for name, stream in self._streams.items():
            stream.close()
            entries, length = self._entries(name, places, old_places, width, statistics.get(name, [0, 0]))
            write_columns(_paths(self._folder, name), entries)
            statistics[name] = length
            if name != UNCOUNTED:
                frequency += entries.counts
            Path(stream.name).unlink()
            if progress:
                progress(name)
        np.save(self._folder / "frequency.npy", frequency.astype(np.int32))
        (self._folder / _STATISTICS).write_text(json.dumps(statistics), encoding="utf-8")

    def _base_statistics(self) -> dict[str, list[int]]:
        """Documents and words by field of the index that this one grows from."""
        if self._base is None:
            return {}
        statistics: dict[str, list[int]] = json.loads((self._base / _STATISTICS).read_text(encoding="utf-8"))
        return statistics

    def _write_tokens(self) -> tuple[Integers, Integers, int]:
        """Write all tokens in the order of their keys; the columns of ours and of the base's tokens, and how many there are."""
        tokens = list(self._numbers)
        keys = np.array([token_key(token) for token in tokens], dtype=np.uint64)
        old_keys, old_tokens = np.zeros(0, dtype=np.uint64), []
        if self._base is not None:
            old_keys = np.load(self._base / "tokens.npy")
            old_tokens = (self._base / "tokens.txt").read_text(encoding="utf-8").split("\n") if len(old_keys) else []
        union = np.union1d(keys, old_keys)
        places, old_places = np.searchsorted(union, keys), np.searchsorted(union, old_keys)
        texts = np.empty(len(union), dtype=object)
        texts[places], texts[old_places] = tokens, old_tokens
        np.save(self._folder / "tokens.npy", union)
        (self._folder / "tokens.txt").write_text("\n".join(texts), encoding="utf-8")
        return places, old_places, len(union)

    def _entries(self, name: str, places: Integers, old_places: Integers, width: int, before: Sequence[int]) -> tuple[Entries, list[int]]:
        """The scored entries of a field, and its number of documents and words. `before` are those of the base."""
        lengths = np.array(self._lengths[name], dtype=np.int32)
        pairs = (places * len(lengths))[np.fromfile(self._folder / f"{name}.stream", dtype=np.int32)]
        pairs += np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        documents, words = before[0] + len(lengths), before[1] + len(pairs)
        counts, rows, times = count_pairs(pairs, len(lengths), width)
        del pairs  # the largest array of a build
        old = widened(read_entries(_paths(self._base, name)), old_places, width) if self._base else None
        frequency = counts + old.counts if old else counts
        values = bm25(
            times.astype(np.float32),
            np.repeat(frequency.astype(np.float32), counts),
            documents,
            lengths.astype(np.float32)[rows],
            words / max(1, documents),
        )
        new = Entries(counts, rows + np.int32(before[0]), values)
        return joined(old, new) if old else new, [documents, words]


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

    def holding(self, field: str, columns: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Documents that have every one of the columns in `field`, shape (documents,); all of them for no column."""
        _, indices, indptr = self._fields[field]
        every = np.ones(self._documents, dtype=bool)
        for column in columns:
            hit = np.zeros(self._documents, dtype=bool)
            hit[indices[int(indptr[column]) : int(indptr[column + 1])]] = True
            every &= hit
        return every

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
