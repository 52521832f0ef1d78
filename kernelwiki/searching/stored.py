"""Stored: the documents of an index as they were written, one line of JSON each, read through a memory map."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any


class StoredDocuments:
    """Documents by row. Thread-safe: it only reads."""

    def __init__(self, folder: Path, offsets: Any) -> None:
        self._path, self._offsets = folder / "documents.jsonl", offsets

    @cached_property
    def _bytes(self) -> mmap:
        with self._path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)

    def raw(self, row: int) -> bytes:
        """The JSON of a row."""
        return self._bytes[int(self._offsets[row]) : int(self._offsets[row + 1])]

    def __getitem__(self, row: int) -> dict[str, Any]:
        """A record, or {"page", "section", …}."""
        data: dict[str, Any] = json.loads(self.raw(row))
        return data

    def holding(self, rows: Iterable[int], piece: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        """Those of `rows` whose JSON holds `piece` (lower case, in any case of letters), with their documents."""
        for row in map(int, rows):
            raw = self.raw(row)
            if piece in raw.lower():
                yield row, json.loads(raw)
