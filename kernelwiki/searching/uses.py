"""Uses: which pull requests have an added line that holds a code name, and the order of their merges.

A record keeps the telling names of a diff with file and line, not every word of it: the first use here is the first one recorded.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kernelwiki.errors import BadQuery
from kernelwiki.searching.stored import StoredDocuments
from kernelwiki.tokens import tokenize

Sort = Literal["relevance", "oldest", "newest"]
SORTS = ("relevance", "oldest", "newest")
Rows = npt.NDArray[np.intp]
MAX_NAME = 200
_PLACES = ("family", "hunk")  # kinds of evidence that are no names of code


@dataclass(frozen=True)
class CodeName:
    """A name as somebody types it: `tcgen05.mma` means itself and what it begins (`tcgen05.mma.sp`), `*` stands for anything.

    Case does not count. Raises BadQuery for a name without a letter or digit, or a very long one.
    """

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > MAX_NAME or not re.search(r"[^\W_]", self.text):
            raise BadQuery(f"--uses {self.text[:60]!r}: not a code name. Valid: tcgen05.mma, cp.async.bulk, setmaxnreg, *_sm100_*.")

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pieces = ".*".join(re.escape(piece) for piece in self.text.split("*"))
        return re.compile(rf"{pieces}(?:(?:\.|::|<|\().*)?", re.IGNORECASE | re.DOTALL)

    def matches(self, name: str) -> bool:
        """Whether `name` is meant."""
        return self._pattern.fullmatch(name) is not None

    @property
    def words(self) -> list[str]:
        """Tokens that a document with the name has; none when a wildcard may cut through a word."""
        return [] if "*" in self.text else [token for token in dict.fromkeys(tokenize(self.text)) if "." not in token]

    @property
    def piece(self) -> bytes:
        """The longest literal part as a stored document holds it, in lower case."""
        return json.dumps(max(self.text.lower().split("*"), key=len), ensure_ascii=False)[1:-1].encode()


def using(documents: StoredDocuments, rows: Rows, name: CodeName) -> list[int]:
    """Those of `rows` (pull requests) with a name in an added line that is meant."""
    return [row for row, data in documents.holding(rows, name.piece) if any(_adds(item, name) for item in data.get("evidence", ()))]


def _adds(item: list[Any], name: CodeName) -> bool:
    """Whether a stored piece of evidence (kind, name, path, line) is the name in an added line."""
    return len(item) > 3 and item[3] is not None and item[0] not in _PLACES and name.matches(item[1])


def by_merge(documents: StoredDocuments, rows: Rows, days: Any, *, newest: bool, offset: int, limit: int) -> Rows:
    """`limit` of the pull requests `rows` from `offset` on in order of merge; `days` (day numbers) belong to `rows`.

    Where days are equal, the time of the merge in the records decides.
    """
    order = np.argsort(-days if newest else days, kind="stable")
    window = days[order][offset : offset + limit]
    if not len(window):
        return rows[:0]
    low, high = sorted((int(window[0]), int(window[-1])))
    inside = order[(days[order] >= low) & (days[order] <= high)]
    before = int(np.count_nonzero(days > high if newest else days < low))
    exact = sorted(map(int, rows[inside]), key=lambda row: str(documents[row]["merged_at"]), reverse=newest)
    return np.array(exact[offset - before : offset - before + limit], dtype=np.intp)
