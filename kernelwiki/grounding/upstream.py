"""Upstream: the text of pull requests (`shared/prs`), read to prove that the facts we wrote about them stand there. Never shipped."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.grounding.facts import Item, tokens_of
from kernelwiki.grounding.problems import Problem
from kernelwiki.model import Page, Record
from kernelwiki.reading.summaries import Summary

NEAR_LINES = 3
_OTHER = {
    "bf16": ("bfloat16",),
    "fp16": ("float16", "half"),
    "fp8": ("float8", "e4m3", "e5m2"),
    "fp32": ("float32",),
    "fp4": ("float4", "e2m1"),
}
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$")


@dataclass(frozen=True)
class PullRequestText:
    """What upstream says: title, description, changed paths and the diff of kernel files (cut at about 12 kB)."""

    title: str
    body: str
    paths: tuple[str, ...]
    patch: str

    @cached_property
    def lines(self) -> Mapping[str, Mapping[int, str]]:
        """Text by path and line (new side; a deleted line counts at the place where it stood)."""
        return _patch_lines(self.patch)

    @cached_property
    def everything(self) -> str:
        return "\n".join([self.title, self.body, *self.paths, self.patch])

    def near(self, path: str, line: int) -> str:
        """The lines of a path within three of `line`; empty when the diff does not show them."""
        rows = self.lines.get(path, {})
        return "\n".join(rows[number] for number in range(line - NEAR_LINES, line + NEAR_LINES + 1) if number in rows)

    def of_path(self, path: str) -> str:
        return "\n".join([path, *self.lines.get(path, {}).values()])


def _patch_lines(patch: str) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    rows: dict[int, str] = {}
    number = 0
    for text in patch.split("\n"):
        if text.startswith("diff --git "):
            rows = found.setdefault(text.rpartition(" b/")[2], {})
            number = 0
        elif match := _HUNK.match(text):
            number = int(match.group(1))
            rows[number - 1] = match.group(2)
        elif number and text[:1] in ("+", " "):
            rows[number] = f"{rows.get(number, '')} {text[1:]}"
            number += 1
        elif number and text[:1] == "-":
            rows[number] = f"{rows.get(number, '')} {text[1:]}"
    return found


def read_upstream(folder: Path, records: Iterable[Record]) -> dict[str, PullRequestText]:
    """The text of the given pull requests, by id, from `<repo>.prs.jsonl.gz` and `<repo>.diffs.jsonl.gz` of `folder`."""
    wanted: dict[str, dict[int, str]] = {}
    for record in records:
        wanted.setdefault(record.repo.rsplit("/", 1)[-1], {})[record.number] = record.id
    found: dict[str, PullRequestText] = {}
    for repo, numbers in wanted.items():
        patches = {int(row["number"]): str(row.get("patch", "")) for row in _rows(folder / f"{repo}.diffs.jsonl.gz", numbers)}
        for row in _rows(folder / f"{repo}.prs.jsonl.gz", numbers):
            paths = tuple(str(file["path"]) for file in row.get("files", ()))
            number = int(row["number"])
            found[numbers[number]] = PullRequestText(str(row["title"]), str(row.get("body") or ""), paths, patches.get(number, ""))
    return found


_NUMBER = re.compile(r'"number": ?(\d+)')


def _rows(path: Path, numbers: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                match = _NUMBER.search(line[:400])
                if match and int(match.group(1)) in numbers:
                    yield json.loads(line)
    except (OSError, EOFError, ValueError) as error:
        raise CorpusUnreadable(f"{path}: not a complete file of pull requests ({error}).") from error


def unproven(fact: str, text: str) -> list[str]:
    """Names and numbers of a fact that `text` does not hold (compared without case, separators of names as written)."""
    low = text.lower()
    return [item.text for item in tokens_of(fact) if not _is_in(item, low) and not any(other in low for other in _OTHER.get(item.form, ()))]


def _is_in(item: Item, low: str) -> bool:
    written = item.text.lower().strip("`.:")
    if item.kind == "pr":
        return re.search(rf"(?:#|/pull/){item.form.rpartition('#')[2]}(?!\d)", low) is not None
    if item.kind == "number":
        digits = {item.form, written.lstrip("+-±~"), re.sub(r"[^\d.].*$", "", written.lstrip("+-±~").replace(",", ""))}
        return any(re.search(rf"(?<![\d.]){re.escape(text)}(?!\d)", low.replace(",", "")) for text in digits if text)
    if written in low:
        return True
    pieces = [piece for piece in re.split(r"\.|::|->", item.form) if piece]
    if len(pieces) > 1 and all(piece in low for piece in pieces):
        return True
    return re.sub(r"[_-]", "", written) in re.sub(r"[_-]", "", low)


def check_upstream(pages: Iterable[Page], summaries: Iterable[Summary], records: Mapping[str, Record], folder: Path) -> Iterator[Problem]:
    """Facts of pages and summaries that the pull requests in `folder` do not hold at the place named."""
    pages, summaries = list(pages), list(summaries)
    named = {source.id for page in pages for source in page.sources if source.kind in ("pr", "evidence") and source.facts}
    named |= {summary.id for summary in summaries}
    texts = read_upstream(folder, [records[name] for name in sorted(named) if name in records])
    for page in pages:
        yield from _check_page(page, texts)
    for summary in summaries:
        yield from _check_summary(summary, texts)


def _check_page(page: Page, texts: Mapping[str, PullRequestText]) -> Iterator[Problem]:
    for source in page.sources:
        text = texts.get(source.id)
        if text is None or source.kind not in ("pr", "evidence"):
            continue
        place = text.near(source.path, source.line or 0) if source.kind == "evidence" else text.everything
        where = f"{source.path}:{source.line}" if source.kind == "evidence" else "title, description, paths and diff"
        for fact in source.facts:
            for name in unproven(fact, place):
                yield Problem("upstream", page.id, f"{source.key}: {name!r} of {fact[:80]!r} is not in {source.id} at {where}")


def _check_summary(summary: Summary, texts: Mapping[str, PullRequestText]) -> Iterator[Problem]:
    text = texts.get(summary.id)
    if text is None:
        return
    for fact in summary.facts:
        if fact.at == "title":
            place = text.title
        elif fact.at == "body":
            place = text.body
        else:
            place = text.near(fact.path, fact.line) if fact.line else text.of_path(fact.path)
        for name in fact.names:
            missing = unproven(name, place) or ([] if name.lower() in place.lower() or tokens_of(name) else [name])
            for item in missing:
                yield Problem("upstream", summary.id, f"{item!r} is not at {fact.at}")
