"""Summaries: what we wrote about pull requests, one JSON object a line, one file a repository (`corpus/summaries/<repo>.jsonl`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.model import Record


@dataclass(frozen=True)
class SummaryFact:
    """Names and numbers read at one place of a pull request: `title`, `body`, a changed path, or `path:line` at the merge SHA."""

    at: str
    names: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path of the place; empty for title and body."""
        if self.at in ("title", "body"):
            return ""
        head, _, tail = self.at.rpartition(":")
        return head if head and tail.isdigit() else self.at

    @property
    def line(self) -> int | None:
        tail = self.at.rpartition(":")[2]
        return int(tail) if self.path and tail.isdigit() else None


@dataclass(frozen=True)
class Summary:
    """One to three sentences of our own about a pull request, with the facts that ground them."""

    id: str
    summary: str
    symptoms: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    archs: tuple[str, ...] = ()
    facts: tuple[SummaryFact, ...] = ()

    @property
    def number(self) -> int:
        return int(self.id.rpartition("#")[2])


class FactForm(BaseModel):
    """One entry of `facts`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    at: str = Field(min_length=1)
    names: list[str] = Field(min_length=1)


class SummaryForm(BaseModel):
    """One line of a summaries file."""

    model_config = ConfigDict(extra="forbid", strict=True)
    id: str = Field(pattern=r"^(?:[\w.-]+/)?[\w.-]+#\d+$")
    summary: str = Field(min_length=20, max_length=600)
    symptoms: list[str] = []
    techniques: list[str] = []
    archs: list[str] = []
    facts: list[FactForm] = []


def summary_files(folder: Path) -> list[Path]:
    """The summary files of `folder`, by name."""
    return sorted(folder.glob("*.jsonl"))


def read_summary_file(path: Path) -> Iterator[Summary]:
    """Summaries of one file; raises CorpusUnreadable that names file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusUnreadable(f"{path}: cannot be read as UTF-8 text ({error}).") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise CorpusUnreadable(f"{path}:{number}: not a JSON object ({error}). See docs/pages.md.") from error
            yield parse_summary(row, f"{path}:{number}")


def parse_summary(row: Any, where: str) -> Summary:
    """One line as a summary; raises CorpusUnreadable that says where and why."""
    try:
        form = SummaryForm.model_validate(row)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise CorpusUnreadable(f"{where}: {reasons}. See docs/pages.md.") from error
    facts = tuple(SummaryFact(fact.at, tuple(fact.names)) for fact in form.facts)
    return Summary(form.id, form.summary, tuple(form.symptoms), tuple(form.techniques), tuple(form.archs), facts)


def read_summaries(folder: Path) -> dict[str, Summary]:
    """Every summary of a folder by pull request id; empty when there is no folder."""
    return {summary.id: summary for path in summary_files(folder) for summary in read_summary_file(path)}


def with_summary(record: Record, summaries: Mapping[str, Summary]) -> Record:
    """`record` with our summary, symptoms and techniques where there are some and it has none of its own."""
    ours = summaries.get(record.id)
    if ours is None or record.summary:
        return record
    return replace(record, summary=ours.summary, symptoms=ours.symptoms, techniques=ours.techniques)
