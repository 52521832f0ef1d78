"""Query: a query as understood, and what ranking makes of it, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelwiki.searching.rank import Array
from kernelwiki.searching.uses import CodeName


@dataclass(frozen=True)
class Query:
    """A query as understood: index columns of its words, vocabulary terms with weights, and its vector (None without a model)."""

    text: str
    tokens: tuple[str, ...]
    columns: tuple[int, ...]
    terms: Mapping[str, float]
    soft_terms: Mapping[str, float]
    vector: Array | None


@dataclass(frozen=True)
class Ranked:
    """Rows in order with their scores; `total` counts documents (pages once) that match at all; `uses` is a name that all of them hold."""

    rows: tuple[int, ...]
    scores: tuple[float, ...]
    features: Mapping[str, Array]
    total: int
    notes: tuple[str, ...] = ()
    uses: CodeName | None = None
