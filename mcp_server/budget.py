"""Budget: the size an answer may have. Rows are left out from the end, and the exact call that goes on is part of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

ResponseFormat = Literal["concise", "detailed"]
CONCISE = 8_000
HARD_CAP = 32_000
Document = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One answer as structured data and as text that says the same."""

    data: Document
    text: str

    @property
    def size(self) -> int:
        """Characters of the longer of the two: clients show one or the other."""
        return max(len(compact_json(self.data)), len(self.text))


def compact_json(data: Any) -> str:
    """JSON as clients write structured content."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def limit_of(response_format: ResponseFormat) -> int:
    """Characters that an answer of this format may have."""
    return CONCISE if response_format == "concise" else HARD_CAP


def call(tool: str, **arguments: Any) -> str:
    """A tool call as a model writes it: the name and its JSON arguments; arguments without a value are left out."""
    given = {name: value for name, value in arguments.items() if value not in (None, "", ())}
    return f"{tool} {json.dumps(given, ensure_ascii=False)}"


def given_only(arguments: Document) -> Document:
    """Arguments that differ from the defaults: what a next call has to repeat."""
    defaults = {"kind": "any", "sort": "relevance", "response_format": "concise", "match": "*"}
    return {name: value for name, value in arguments.items() if value not in (None, "") and value != defaults.get(name)}


def fitted(rows: int, make: Callable[[int], Reply], limit: int) -> Reply:
    """The reply of as many of `rows` rows as fit into `limit` characters. `make(n)` builds the reply of the first n; n = 1 is the least."""
    reply = make(rows)
    if reply.size <= limit or rows <= 1:
        return reply
    low, high = 1, rows - 1
    while low < high:
        middle = (low + high + 1) // 2
        if make(middle).size <= limit:
            low = middle
        else:
            high = middle - 1
    return make(low)


def page(tool: str, arguments: Document, total: int, *, offset: int, shown: int, asked: int) -> Document:
    """`total`, and when rows are left `next_offset` and the `next` call; `cut` when fewer than `asked` rows fit the budget."""
    found: Document = {"total": total}
    if shown and offset + shown < total:
        found["next_offset"] = offset + shown
        found["next"] = call(tool, **{**arguments, "offset": offset + shown})
    if shown < min(asked, total - offset):
        found["cut"] = f"{shown} of {min(asked, total - offset)} rows fit the size limit"
    return found
