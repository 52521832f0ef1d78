"""Summary check: every rule that the summaries of pull requests must keep: form, order, places of facts, grounding."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.grounding.facts import FactLine, archs_in, is_arch, items_of, tokens_of
from kernelwiki.grounding.page_check import ARCH
from kernelwiki.grounding.problems import Problem
from kernelwiki.grounding.sources import Library
from kernelwiki.grounding.support import ungrounded
from kernelwiki.model import Record, Source
from kernelwiki.reading.summaries import Summary, SummaryFact, read_summary_file, summary_files

MAX_SENTENCES = 3
ANCHORS = 2  # words or names that a summary shares at least with its pull request's own title, paths and evidence
ANCHORED = 0.3  # the least share of its words and names that it shares with them


def check_summaries(folder: Path, library: Library) -> Iterator[Problem]:
    """Problems of every summary below `folder`."""
    for path in summary_files(folder):
        yield from check_summary_file(path, library)


def check_summary_file(path: Path, library: Library) -> Iterator[Problem]:
    """Problems of one repository's summaries."""
    try:
        summaries = list(read_summary_file(path))
    except CorpusUnreadable as error:
        yield Problem("schema", f"summaries/{path.name}", str(error))
        return
    numbers = [summary.number for summary in summaries]
    for before, after in pairwise(numbers):
        if after <= before:
            yield Problem("summary", f"summaries/{path.name}", f"#{after} stands behind #{before}: sort by number, one line a pull request")
    for summary in summaries:
        if summary.id.split("#")[0].rsplit("/", 1)[-1] != path.stem:
            yield Problem("summary", summary.id, f"stands in {path.name}; its file is {summary.id.split('#')[0]}.jsonl")
        yield from check_summary(summary, library)


def check_summary(summary: Summary, library: Library) -> Iterator[Problem]:
    """Problems of one summary."""
    record = library.records.get(summary.id)
    if record is None:
        yield Problem("summary", summary.id, "is not in the knowledge base: drop the line or correct the id")
        return
    for technique in summary.techniques:
        if technique not in library.terms:
            yield Problem("tag", summary.id, f"technique {technique!r} is not in the vocabulary")
    if len(re.findall(r"[.!?](?=\s+[A-Z`]|$)", summary.summary)) > MAX_SENTENCES:
        yield Problem("summary", summary.id, f"more than {MAX_SENTENCES} sentences")
    yield from _check_places(summary, record)
    taken = library.reverted_by(record)
    if taken and "revert" not in summary.summary.lower():
        yield Problem("reverted", summary.id, f"was reverted by {' and '.join(taken)}: the summary must say so")
    own = library.lines(Source(key=record.id, kind="pr", id=record.id))
    told = [FactLine("facts", " ".join(fact.names)) for fact in summary.facts]
    yield from _check_anchor(summary, own)
    for text in (summary.summary, *summary.symptoms):
        for item in ungrounded(text, [*own, *told], [record.id, *taken]):
            yield Problem("grounding", summary.id, item.message)
    yield from _check_archs(summary, record, told)


def _check_archs(summary: Summary, record: Record, told: Sequence[FactLine]) -> Iterator[Problem]:
    """`archs` have evidence, and what the text names with evidence stands among them."""
    supported = archs_in(record.title).union(record.archs, *(line.archs for line in told))
    for arch in summary.archs:
        if not ARCH.match(arch) or arch not in supported:
            yield Problem("arch", summary.id, f"{arch} has no evidence: neither the record's evidence or title nor `facts` names it")
    named = {
        arch for text in (summary.summary, *summary.symptoms) for item in tokens_of(text) if is_arch(item) for arch in archs_in(item.text)
    }
    for arch in sorted((named & supported) - set(summary.archs)):
        yield Problem("arch", summary.id, f"the text names {arch}, which is not in archs: add it")


def _check_places(summary: Summary, record: Record) -> Iterator[Problem]:
    changed = {file.path for file in record.files}
    for fact in summary.facts:
        if fact.path and fact.path not in changed:
            yield Problem(
                "evidence",
                summary.id,
                f"facts at {fact.at}: the pull request does not change that path; valid: title, body, a changed path, path:line",
            )
        if fact.at == "title":
            for name in missing_names(fact, record.title):
                yield Problem("evidence", summary.id, f"{name!r} is not in the title {record.title!r}")


def missing_names(fact: SummaryFact, text: str) -> list[str]:
    """Names of a fact that `text` does not hold, compared without case."""
    low = " ".join(text.lower().split())
    return [name for name in fact.names if " ".join(name.lower().split()) not in low]


def _check_anchor(summary: Summary, own: Sequence[FactLine]) -> Iterator[Problem]:
    """A summary that shares hardly a word with its pull request probably belongs to another one."""
    items = [item for item in dict.fromkeys(items_of(summary.summary)) if item.kind not in ("pr", "break")]
    shared = sum(any(line.holds(item) for line in own) for item in items)
    if shared < min(ANCHORS, len(items)) or shared < ANCHORED * len(items):
        told = f"shares {shared} of its {len(items)} words and names with the title, paths and evidence of this pull request"
        yield Problem("summary", summary.id, f"{told}: is the id right? If so, use its own names")
