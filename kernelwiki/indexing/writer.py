"""The index writer: takes documents one by one and writes every array of an index, alone or after the rows of an older one."""

from __future__ import annotations

import io
import json
import shutil
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelwiki.indexing.columns import Entries, joined, read_entries, write_columns
from kernelwiki.indexing.documents import FIELDS, Document, document_texts
from kernelwiki.indexing.embed import Vectors
from kernelwiki.indexing.filters import day_number
from kernelwiki.indexing.lexical import LexicalWriter

Embed = Callable[[Sequence[str]], Vectors]
TEXTS_AT_ONCE = 2_048
_COPY_BYTES = 1 << 22
_INTEGERS = ("group", "is_page", "repo", "day", "term_rows", "term_columns", "terms_each", "owner")


class RowFile:
    """A `.npy` file of float32 rows that is written row block by row block."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb+")
        self._rows, self._width = 0, 0
        self._file.write(self._header())

    def _header(self) -> bytes:
        header = io.BytesIO()
        # numpy pads the header so that a shape may grow in place.
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (self._rows, self._width)})
        return header.getvalue()

    def append(self, rows: Vectors) -> None:
        """Add rows, shape (n, width); the first block decides the width."""
        self._width = rows.shape[1]
        self._rows += len(rows)
        for start in range(0, len(rows), 4_096):
            self._file.write(np.ascontiguousarray(rows[start : start + 4_096], dtype=np.float32).tobytes())

    def close(self) -> None:
        """Write the final shape."""
        header = self._header()
        self._file.seek(0)
        self._file.write(header)
        self._file.close()


class IndexWriter:
    """Writes the documents that it is given into `folder`, after those of the index in `base` when there is one.

    `archs` and `repos` are those of the base; new ones are added behind them. `embed` is None for an index without vectors.
    """

    def __init__(
        self,
        folder: Path,
        term_ids: Sequence[str],
        embed: Embed | None,
        base: Path | None = None,
        *,
        archs: Sequence[str] = (),
        repos: Sequence[str] = (),
    ) -> None:
        self._folder, self._base, self._embed = folder, base, embed
        self.before = len(np.load(base / "group.npy", mmap_mode="r")) if base else 0  # rows of the base
        self.ids: list[str] = []
        self.archs = {arch: number for number, arch in enumerate(archs)}
        self.repos = {repo: number for number, repo in enumerate(repos)}
        self._terms = {term_id: column for column, term_id in enumerate(term_ids)}
        self._lexical = LexicalWriter(folder, FIELDS, base)
        self._columns = {
            name: array("i") for name in ("group", "is_page", "repo", "day", "term_rows", "term_columns", "terms_each", "owner")
        }
        self._weights = array("f")
        self._archs: list[tuple[int, ...]] = []
        self._groups: dict[str, int] = {}
        self._offsets = array("q")
        self._stored = (folder / "documents.jsonl").open("wb")
        self._vectors = RowFile(folder / "vectors.npy") if embed else None
        self._texts: list[str] = []
        if base:
            self._start_from(base)

    def _start_from(self, base: Path) -> None:
        with (base / "documents.jsonl").open("rb") as stored:
            shutil.copyfileobj(stored, self._stored, _COPY_BYTES)
        if self._vectors:
            self._vectors.append(np.load(base / "vectors.npy", mmap_mode="r"))

    def add(self, document: Document, stored: Mapping[str, Any]) -> None:
        """One document and what a hit shows of it."""
        row, columns = len(self.ids), self._columns
        self.ids.append(document.id)
        self._offsets.append(self._stored.write(json.dumps(stored, ensure_ascii=False).encode("utf-8", "replace") + b"\n"))
        self._lexical.add(document.fields)
        columns["group"].append(self._groups.setdefault(document.group, len(self._groups)))
        columns["is_page"].append(document.kind == "page")
        columns["repo"].append(self.repos.setdefault(document.repo, len(self.repos)) if document.repo else -1)
        columns["day"].append(day_number(document.merged_at))
        self._archs.append(tuple(self.archs.setdefault(arch, len(self.archs)) for arch in document.archs))
        self._add_terms(row, document.terms)
        if self._embed:
            texts = document_texts(document)
            self._texts += texts
            columns["owner"].extend([row] * len(texts))
            if len(self._texts) >= TEXTS_AT_ONCE:
                self._flush()

    def _add_terms(self, row: int, weights: Mapping[str, float]) -> None:
        known = sorted((term_id for term_id in weights if term_id in self._terms), key=lambda term_id: (-weights[term_id], term_id))
        self._columns["terms_each"].append(len(known))
        for term_id in known:
            self._columns["term_rows"].append(row)
            self._columns["term_columns"].append(self._terms[term_id])
            self._weights.append(weights[term_id])

    def _flush(self) -> None:
        if self._embed and self._vectors and self._texts:
            self._vectors.append(self._embed(self._texts))
        self._texts = []

    def without_vectors(self) -> None:
        """Go on without vectors: those written so far are dropped."""
        self._embed, self._texts = None, []
        if self._vectors:
            self._vectors.close()
            (self._folder / "vectors.npy").unlink()
            self._vectors = None

    def finish(self, removed: Iterable[str] = (), progress: Callable[[str], None] | None = None) -> npt.NDArray[np.bool_]:
        """Write everything that is left; which rows are alive. Rows of the base whose id is in `removed`, or was added again, are dead."""
        self._flush()
        if self._vectors:
            self._vectors.close()
        self._stored.close()
        before = self.before
        alive = self._write_ids(set(removed) | set(self.ids), before)
        self._save("documents.offsets", self._all_offsets())
        for name in ("group", "is_page", "repo", "day"):
            self._save_column(name, before)
        self._write_archs(before)
        self._write_terms(before)
        if self._embed:
            owner = np.array(self._columns["owner"], dtype=np.int32) + np.int32(before)
            self._save("owner", np.concatenate([np.load(self._base / "owner.npy"), owner]) if self._base else owner)
        self._lexical.finish(progress)
        return alive

    def _save(self, name: str, values: npt.NDArray[Any]) -> None:
        np.save(self._folder / f"{name}.npy", values)

    def _write_ids(self, dead: set[str], before: int) -> npt.NDArray[np.bool_]:
        old = (self._base / "ids.txt").read_text(encoding="utf-8").split("\n") if self._base and before else []
        (self._folder / "ids.txt").write_text("\n".join([*old, *self.ids]), encoding="utf-8")
        alive = np.ones(before + len(self.ids), dtype=bool)
        if self._base:
            alive[:before] = np.load(self._base / "alive.npy")
            alive[[row for row, name in enumerate(old) if name in dead]] = False
        self._save("alive", alive)
        return alive

    def _all_offsets(self) -> npt.NDArray[np.int64]:
        ends = np.cumsum(np.array(self._offsets, dtype=np.int64))
        if not self._base:
            return np.concatenate([[0], ends]).astype(np.int64)
        old = np.load(self._base / "documents.offsets.npy")
        return np.concatenate([old, old[-1] + ends])

    def _save_column(self, name: str, before: int) -> None:
        values = np.array(self._columns[name], dtype=bool if name == "is_page" else np.int32)
        if self._base:
            old = np.load(self._base / f"{name}.npy")
            if name == "group" and before:
                values += int(old.max()) + 1
            values = np.concatenate([old, values])
        self._save(name, values)

    def _write_archs(self, before: int) -> None:
        """One bit an architecture, in the order of `archs`, eight to a byte."""
        bits = np.zeros((before + len(self.ids), len(self.archs)), dtype=bool)
        if self._base and before:
            old = np.unpackbits(np.load(self._base / "archs.npy"), axis=1)
            width = min(old.shape[1], bits.shape[1])
            bits[:before, :width] = old[:, :width]
        for row, numbers in enumerate(self._archs, before):
            bits[row, list(numbers)] = True
        self._save("archs", np.packbits(bits, axis=1))

    def _write_terms(self, before: int) -> None:
        """Documents of each term (columns) and terms of each document (rows, heaviest first)."""
        columns = np.array(self._columns["term_columns"], dtype=np.int32)
        order = np.argsort(columns, kind="stable")
        rows = np.array(self._columns["term_rows"], dtype=np.int32)[order] + np.int32(before)
        entries = Entries(np.bincount(columns, minlength=len(self._terms)), rows, np.array(self._weights, dtype=np.float32)[order])
        indptr = np.cumsum([0, *self._columns["terms_each"]]).astype(np.int64)
        if self._base:
            entries = joined(read_entries(term_paths(self._base)), entries)
            old = np.load(self._base / "document_terms.indptr.npy")
            indptr = np.concatenate([old, old[-1] + indptr[1:]])
            columns = np.concatenate([np.load(self._base / "document_terms.columns.npy"), columns])
        write_columns(term_paths(self._folder), entries)
        self._save("document_terms.indptr", indptr)
        self._save("document_terms.columns", columns)


def term_paths(folder: Path) -> dict[str, Path]:
    """The files of the documents of each term."""
    return {"indptr": folder / "terms.indptr.npy", "indices": folder / "terms.rows.npy", "data": folder / "terms.weights.npy"}
