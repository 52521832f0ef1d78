"""Session: brings the pull requests of one source into the store: check, describe, decide, merge, count."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from ingest.describe import Describer
from ingest.evidence import default_extractor
from ingest.merge import merge
from ingest.recipes import recipe
from ingest.record_files import BAD_LINE, check_pull
from ingest.state import LeftOut, RepoFolder, repo_folder
from ingest.store import Changes, Store, open_store
from kernelwiki.home import Places
from kernelwiki.model import Record
from kernelwiki.reading.vocabulary import Vocabulary, read_terms

_RULE_FILES = ("policy.yaml", "evidence.yaml", "recipes.yaml", "claims.yaml", "redact.yaml")
MAX_REASONS = 1_000


@dataclass
class Report:
    """What one run did for one repository, for people and for `--json`."""

    repo: str
    source: str
    found: int = 0
    kept: int = 0
    left_out: int = 0
    rejected: list[str] = field(default_factory=list)
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    requests: int = 0
    unchanged_requests: int = 0
    waited_seconds: float = 0.0
    seconds: float = 0.0
    complete: bool = True
    cursor: str = ""
    notes: list[str] = field(default_factory=list)

    def reject(self, what: str, reason: object) -> None:
        """Count one pull request that cannot be used, with the reason as one harmless line."""
        line = "".join(char if char.isprintable() else " " for char in f"{what}: {reason}")[:240]
        self.rejected.append(line)

    def text(self) -> str:
        """The report as one line."""
        parts = [f"{self.repo}: {self.found} pull requests, {self.kept} kept ({self.added} new, {self.updated} changed)"]
        parts += [f"{self.left_out} left out by the policy", f"{len(self.rejected)} rejected"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.requests} requests ({self.unchanged_requests} unchanged)"] if self.requests else []
        return ", ".join([*parts, f"{self.seconds:.1f} s"]) + ("" if self.complete else ", not complete")

    def json(self) -> dict[str, Any]:
        data = {**vars(self), "rejected": self.rejected[:MAX_REASONS], "rejected_count": len(self.rejected)}
        return {**data, "waited_seconds": round(self.waited_seconds, 1), "seconds": round(self.seconds, 2)}


@cache
def rules_fingerprint() -> str:
    """16 hex digits that change when a rule of selection, evidence, claims or redaction does."""
    digest = hashlib.sha256()
    for name in _RULE_FILES:
        digest.update(resources.files("ingest").joinpath(name).read_bytes())
    return digest.hexdigest()[:16]


@dataclass
class Session:
    """The store and the rules, as one run needs them."""

    places: Places
    store: Store
    vocabulary: Vocabulary
    advance: Callable[[int], None] = lambda count: None
    everything: bool = False

    @classmethod
    def open(cls, places: Places, advance: Callable[[int], None] = lambda count: None, everything: bool = False) -> Session:
        return cls(places, open_store(places), Vocabulary.of(read_terms(places.vocabulary)), advance, everything)

    def folder(self, repo: str) -> RepoFolder:
        return repo_folder(self.places.home, repo)

    def describer(self, repo: str) -> Describer:
        """What describes pull requests of `repo`."""
        return Describer(recipe(repo).policy, default_extractor(), self.vocabulary)

    def bring(self, raws: Iterable[Mapping[str, Any]], report: Report, keep: bool = False) -> Changes:
        """Pull requests (the shape of `record_files`) into the store; counts go into `report`. One bad pull request stops nothing.

        With `keep` they were selected before: all are stored, and the caller counts and remembers what was left out.
        """
        started = time.monotonic()
        aside: dict[str, dict[int, LeftOut]] = {}
        kept: dict[str, set[int]] = {}
        changes = self.store.upsert(
            self._records(raws, report, aside, kept, keep),
            lambda old, new: merge(old, new, self.describer(old.repo)),
        )
        for repo in () if keep else {*aside, *kept}:
            self._remember(repo, aside.get(repo, {}), kept.get(repo, set()))
        report.added += changes.added
        report.updated += changes.updated
        report.unchanged = max(0, report.kept - report.added - report.updated)
        report.seconds += time.monotonic() - started
        return changes

    def _records(
        self, raws: Iterable[Mapping[str, Any]], report: Report, aside: dict[str, dict[int, LeftOut]], kept: dict[str, set[int]], keep: bool
    ) -> Iterator[Record]:
        known: dict[str, set[int]] = {}
        describers: dict[str, Describer] = {}
        for raw in raws:
            report.found += 1
            if not keep:
                self.advance(1)
            try:
                check_pull(raw)
                repo, number = raw["repo"], raw["number"]
                describer = describers.get(repo) or describers.setdefault(repo, self.describer(repo))
                if repo not in known:
                    known[repo] = set() if keep else self.store.numbers(repo)
                record = describer.identity(raw)
                selection = describer.select(record)
                if not (keep or selection.decision == "include" or self.everything or number in known[repo]):
                    report.left_out += 1
                    row = LeftOut(number, record.title, selection.decision, selection.score, selection.reasons, record.line_sha)
                    aside.setdefault(repo, {})[number] = row
                    continue
                record = describer.own(raw)
            except BAD_LINE as error:
                report.reject(f"{raw.get('repo', '?')}#{raw.get('number', '?')}" if isinstance(raw, Mapping) else "?", error)
                continue
            report.kept += 1
            kept.setdefault(repo, set()).add(number)
            yield record

    def _remember(self, repo: str, aside: Mapping[int, LeftOut], kept: set[int]) -> None:
        """Write down what was left out, and forget it of what is kept now."""
        folder = self.folder(repo)
        before = folder.left_out()
        rows = {number: row for number, row in {**before, **aside}.items() if number not in kept}
        if rows != before:
            folder.write_left_out(rows)
