"""Columns: a compressed column matrix on disk (for each column its rows, ascending, and their values) that can grow by rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Entries:
    """Non-zero entries sorted by column, then row: `counts` per column, and for each entry its row and value."""

    counts: Integers
    rows: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]


def count_pairs(pairs: Integers, height: int, width: int) -> tuple[Integers, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """How often each value of `pairs` (column * height + row) occurs; `pairs` is sorted in place.

    Returns the entries per column, shape (width,), and for each entry, by column and row, its row and its number of occurrences.
    """
    pairs.sort()
    differs = np.ones(len(pairs), dtype=bool)
    np.not_equal(pairs[1:], pairs[:-1], out=differs[1:])
    times = np.diff(np.flatnonzero(differs), append=len(pairs)).astype(np.int32)
    distinct = pairs[differs]
    rows = (distinct % max(1, height)).astype(np.int32)
    distinct //= max(1, height)
    return np.bincount(distinct, minlength=width), rows, times


def write_columns(paths: Mapping[str, Path], entries: Entries) -> None:
    """Write `entries` as three arrays: `indptr` (where each column starts), `indices` (rows), `data` (values)."""
    np.save(paths["indptr"], np.concatenate([[0], np.cumsum(entries.counts)]).astype(np.int64))
    np.save(paths["indices"], entries.rows)
    np.save(paths["data"], entries.values)


def read_entries(paths: Mapping[str, Path]) -> Entries:
    """Inverse of `write_columns`, memory-mapped."""
    indptr, indices, data = (np.load(paths[name], mmap_mode="r") for name in ("indptr", "indices", "data"))
    return Entries(np.diff(indptr), indices, data)


def widened(entries: Entries, places: Integers, width: int) -> Entries:
    """`entries` with column i moved to column `places[i]` of `width`; `places` is ascending, so the entries stay in order."""
    counts = np.zeros(width, dtype=np.int64)
    counts[places] = entries.counts
    return Entries(counts, entries.rows, entries.values)


def joined(first: Entries, second: Entries) -> Entries:
    """Both as one; the columns are the same and every row of `second` is greater than every row of `first`."""
    counts = first.counts + second.counts
    starts = np.cumsum(counts) - counts
    rows = np.empty(int(counts.sum()), dtype=np.int32)
    values = np.empty(len(rows), dtype=np.float32)
    for part, begin in ((first, starts), (second, starts + first.counts)):
        # Where each entry goes: the start of its column in the whole plus its place within its own column.
        target = np.repeat(begin - (np.cumsum(part.counts) - part.counts), part.counts) + np.arange(len(part.rows))
        rows[target], values[target] = part.rows, part.values
    return Entries(counts, rows, values)
