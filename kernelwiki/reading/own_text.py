"""Own text: what only a user's own records hold (description, discussion, diff hunks), and the line of it that answers a query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kernelwiki.model import Hunk, Record
from kernelwiki.tokens import tokenize

INDEXED = 200_000  # characters of a record's own text that are indexed and looked through
_LONGEST_LINE = 2_000
_RANGES = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class OwnLine:
    """One line of own text and where it stands: description, discussion, or diff with its path and 1-based line at the merge SHA."""

    place: str
    text: str
    path: str = ""
    line: int | None = None


def own_text(record: Record) -> str:
    """Everything of a record that no shipped record has, up to a length; empty for a shipped one."""
    parts = [record.body, " ".join(record.labels), *record.discussion, *(hunk.text for hunk in record.hunks)]
    return "\n".join(part for part in parts if part)[:INDEXED]


def own_lines(record: Record) -> Iterator[OwnLine]:
    """The lines of the own text, in the order of `own_text`."""
    yield from (OwnLine("description", line) for line in record.body.split("\n"))
    yield from (OwnLine("discussion", line) for comment in record.discussion for line in comment.split("\n"))
    for hunk in record.hunks:
        yield from _hunk_lines(hunk)


def _hunk_lines(hunk: Hunk) -> Iterator[OwnLine]:
    """Added and kept lines with their number in the new file; deleted ones stand where they were."""
    header, _, body = hunk.text.partition("\n")
    ranges = _RANGES.match(header)
    number = int(ranges.group(2)) if ranges else hunk.line
    for raw in body.split("\n"):
        yield OwnLine("diff", raw[1:], hunk.path, max(1, number))
        number += not raw.startswith("-")


def best_line(record: Record, tokens: tuple[str, ...]) -> OwnLine | None:
    """The line of own text that shares most words with `tokens`; None when none shares half of them."""
    wanted = set(tokens)
    best, most, read = None, (len(wanted) + 1) // 2 - 1, 0
    for line in own_lines(record):
        read += len(line.text)
        if read > INDEXED or not wanted:
            break
        shared = len(wanted & set(tokenize(line.text[:_LONGEST_LINE])))
        if shared > most:
            best, most = line, shared
    # Strangers wrote it: no control character of theirs reaches a terminal.
    return best and replace(best, text="".join(char if char.isprintable() else " " for char in best.text[:_LONGEST_LINE]).strip())
