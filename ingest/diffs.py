"""Diffs: added lines of a unified diff with the line number they have in the new file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_FILE = re.compile(r"^diff --git a/(.+) b/(.+)$")


@dataclass(frozen=True)
class AddedLine:
    """One added line: `line` is 1-based in the new file at the merge commit, `hunk` the range text `-a,b +c,d`."""

    path: str
    line: int
    text: str


def added_lines(patch: str) -> Iterator[AddedLine]:
    """Yield every added line of `patch` (a `git diff` text, possibly cut off at the end).

    Lines before the first `diff --git` header, binary hunks and `\\ No newline` marks are skipped.
    """
    path: str | None = None
    number: int | None = None
    for raw in patch.split("\n"):
        header = _FILE.match(raw)
        if header:
            path, number = header.group(2), None
            continue
        hunk = _HUNK.match(raw)
        if hunk:
            number = int(hunk.group(2))
            continue
        if path is None or number is None:
            continue
        if raw.startswith("+"):
            yield AddedLine(path, number, raw[1:])
            number += 1
        elif raw.startswith(" ") or raw == "":
            number += 1
