"""Diffs: added lines of a unified diff with the line numbers they have in the new file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kernelwiki.model import Hunk

_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? (\+(\d+)(?:,\d+)?) @@")
_LONGEST_LINE = 500  # a longer line is generated or minified
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


def hunks(patch: str, longest: int = 4_000) -> Iterator[Hunk]:
    """Every hunk of `patch` that changes a line, with its `@@` line, cut at `longest` characters and at the longest useful line.

    `line` is the first added line, or where the first deleted lines stood when nothing is added.
    """
    path: str | None = None
    old: str | None = None
    lines: list[str] = []
    numbers = [0, 0, 0]  # next line of the new file, first added line, first deleted line

    def finish() -> Iterator[Hunk]:
        if lines and path is not None and (numbers[1] or numbers[2]):
            yield Hunk(path, max(1, numbers[1] or numbers[2]), "\n".join(lines)[:longest])

    for raw in patch.split("\n"):
        hunk = _HUNK.match(raw)
        if raw.startswith("diff ") or hunk:
            yield from finish()
            lines = []
        if hunk:
            numbers = [int(hunk.group(2)), 0, 0]
            lines = [raw[:_LONGEST_LINE]]
        elif raw.startswith("diff "):
            header = _FILE.match(raw)
            path, old = header.group(2) if header else None, None
        elif not lines and raw.startswith("--- "):
            old = _new_path(raw[4:].replace("a/", "b/", 1))
        elif not lines and raw.startswith("+++ "):
            path = _new_path(raw[4:]) or old
        elif lines:
            sign = raw[:1]
            lines.append(raw[:_LONGEST_LINE])
            numbers[1] = numbers[1] or (numbers[0] if sign == "+" else 0)
            numbers[2] = numbers[2] or (numbers[0] if sign == "-" else 0)
            numbers[0] += sign in ("+", " ", "")
    yield from finish()


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
