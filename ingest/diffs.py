"""Diffs: added lines of a unified diff with the line numbers they have in the new file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? (\+(\d+)(?:,\d+)?) @@")
_FILE = re.compile(r"^diff --git a/(.+) b/(.+)$")
_ESCAPE = re.compile(rb'\\([0-3][0-7]{2}|[abtnvfr"\\])')
_LETTERS = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r", b'"': b'"', b"\\": b"\\"}


@dataclass(frozen=True)
class AddedLine:
    """One added line: `line` is 1-based in the new file at the merge commit, `hunk` the range of its hunk there (`+12,9`)."""

    path: str
    line: int
    text: str
    hunk: str = field(default="", compare=False)


def added_lines(patch: str) -> Iterator[AddedLine]:
    """Yield every added line of `patch` (a `git diff` text, possibly cut off at the end).

    Lines before the first `diff --git` header, binary hunks and `\\ No newline` marks are skipped.
    """
    path: str | None = None
    number: int | None = None
    hunk_range = ""
    for raw in patch.split("\n"):
        if raw.startswith("diff "):
            header = _FILE.match(raw)
            path, number = header.group(2) if header else None, None
            continue
        if number is None and raw.startswith("+++ "):
            path = _new_path(raw[4:])
            continue
        hunk = _HUNK.match(raw)
        if hunk:
            hunk_range, number = hunk.group(1), int(hunk.group(2))
            continue
        if path is None or number is None:
            continue
        if raw.startswith("+"):
            yield AddedLine(path, number, raw[1:], hunk_range)
            number += 1
        elif raw.startswith(" ") or raw == "":
            number += 1


def _new_path(name: str) -> str | None:
    """The path of a `+++` line: without `b/`, git's quotes and the tab that it puts after a name with spaces; None for a deleted file."""
    name = name.rstrip("\t\r")
    if name == "/dev/null":
        return None
    if name.startswith('"') and name.endswith('"') and len(name) > 1:
        name = _ESCAPE.sub(_unescape, name[1:-1].encode("utf-8", "replace")).decode("utf-8", "replace")
    return name.removeprefix("b/")


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match.group(1)
    return _LETTERS[code] if code in _LETTERS else bytes([int(code, 8)])
