"""Reverts: whether a later pull request took one back, read from the titles of those that say so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from kernelwiki.model import Record

# `Revert "Faster copy (#12)"`, `[Bugfix] Revert "..."`, `Reverts PR 12`; a title that only mentions the word names nothing below.
_TITLE = re.compile(r"^\W*(?:\[[^\]]*\]\s*)*reverts?\b(?P<rest>.*)$", re.I)
_NUMBER = re.compile(r"#(\d+)|\bPR\s+(\d+)|(?<=\d)\s*&\s*(\d+)", re.I)
_QUOTED = re.compile(r"[\"“`'](?P<title>.+?)[\"”`']?\s*$")
_SHORT = 20  # letters that a title cut off by "…" must have to name one
_DAYS = 90  # a title alone (no number) names the pull request of that title only if it is this young


@dataclass(frozen=True)
class Revert:
    """A pull request whose title says that it takes another one back."""

    id: str
    repo: str
    number: int
    title: str
    merged_at: str

    @cached_property
    def _rest(self) -> str:
        match = _TITLE.match(self.title)
        return match["rest"] if match else ""

    @cached_property
    def numbers(self) -> frozenset[int]:
        """Numbers that the title names."""
        return frozenset(int(number) for found in _NUMBER.findall(self._rest) for number in found if number)

    @cached_property
    def quoted(self) -> str:
        """The title that the title quotes, empty when a number or nothing names the pull request."""
        match = _QUOTED.search(self._rest)
        return _plain(match["title"]) if match and not self.numbers else ""

    def takes_back(self, record: Record) -> bool:
        """Whether `record` is what this reverts: its number, or its whole title and merged at most 90 days earlier."""
        if record.repo != self.repo or record.number >= self.number:
            return False
        if self.numbers:
            return record.number in self.numbers
        title, begin = _plain(record.title), self.quoted.removesuffix("…")
        same = title.startswith(begin) if begin != self.quoted and len(begin) >= _SHORT else title == self.quoted
        return bool(self.quoted) and same and _days(record.merged_at, self.merged_at) <= _DAYS


def revert_of(record: Record) -> Revert | None:
    """`record` as a revert, None when its title does not begin with that word."""
    if not _TITLE.match(record.title):
        return None
    return Revert(record.id, record.repo, record.number, record.title, record.merged_at)


def read_reverts(path: Path) -> list[Revert]:
    """The reverts that a file of `write_reverts` holds."""
    return [Revert(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def write_reverts(path: Path, reverts: Iterable[Revert]) -> None:
    """Write `reverts` as one JSON list."""
    path.write_text(json.dumps([asdict(item) for item in reverts], ensure_ascii=False), encoding="utf-8")


def reverted_by(record: Record, reverts: Iterable[Revert]) -> tuple[str, ...]:
    """Ids of the pull requests that took `record` back, by number."""
    return tuple(item.id for item in sorted(reverts, key=lambda item: item.number) if item.takes_back(record))


def _plain(title: str) -> str:
    return " ".join(re.sub(r"\(#\d+\)\s*$", "", title).lower().split())


def _days(before: str, after: str) -> int:
    return (date.fromisoformat(after[:10]) - date.fromisoformat(before[:10])).days
