"""GitHub run: one pass over one repository: what changed, what each pull request still needs, the journal and the store.

Order of writing: journal (each pull request as it comes) → records → left-out list → state with the cursor → journal cleared.
A run that finds a journal stores it first, so nothing that was fetched is fetched again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import takewhile
from pathlib import Path
from typing import Any

from ingest.client import Client, Refused, Response
from ingest.describe import Describer
from ingest.git_repo import GitRepo
from ingest.git_source import raw_files
from ingest.github_source import OddAnswer, discussion, files_and_patch, items, pages_in_all, raw_pull
from ingest.graphql import WORTH_IT, Batches, Details
from ingest.plan import make_plan
from ingest.record_files import BAD_LINE, check_pull
from ingest.select import Selection
from ingest.session import Report, Session, rules_fingerprint
from ingest.state import GitHubState, LeftOut, RepoFolder, RepoState
from ingest.store import Brief

OVERLAP = timedelta(minutes=5)
_DATE = "%Y-%m-%dT%H:%M:%SZ"
_OUTAGE = 3  # pull requests in a row that the server fails on: it is down, not they
_STORE_EVERY = 500


@dataclass(frozen=True)
class GitHubOptions:
    """What the user asked of a GitHub ingest. `limit` 0 means no limit; `clone` gives files and diffs without requests."""

    since: str = ""
    full: bool = False
    limit: int = 0
    dry_run: bool = False
    talk: bool = True
    clone: Path | None = None


@dataclass
class Sync:
    """One run for one repository."""

    session: Session
    client: Client
    report: Report
    options: GitHubOptions
    state: RepoState
    folder: RepoFolder
    describer: Describer
    clone: GitRepo | None
    aside: dict[int, LeftOut]
    batches: Batches
    pending: list[dict[str, Any]] = field(default_factory=list)
    details: dict[int, Details] = field(default_factory=dict)
    failing: int = 0
    mute: int = 0
    taken: int = 0

    @property
    def repo(self) -> str:
        return self.report.repo

    @property
    def github(self) -> GitHubState:
        return self.state.github

    def changed(self, first: Response) -> Iterator[Mapping[str, Any]]:
        """Merged pull requests that this run has to look at, newest change first; their details are asked for a page at a time."""
        for page in self._pages(first):
            rows = [item for item in page if not is_done(self, item)]
            self._prefetch(rows)
            yield from rows

    def _prefetch(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Ask for paths and discussion of a page's pull requests at once, where that saves requests."""
        rows = rows[: self.options.limit - self.taken] if self.options.limit else rows
        numbers = [item["number"] for item in rows if type(item.get("number")) is int and self._may_matter(item)]
        self.details = self.batches.details(self.repo, numbers) if self.options.talk and len(numbers) >= WORTH_IT else {}

    def _may_matter(self, item: Mapping[str, Any]) -> bool:
        """Whether the title leaves it open that the pull request is kept."""
        number, title = item["number"], str(item.get("title") or "")
        known = self.session.everything or self._known(number) is not None
        return known or self.describer.policy.best_possible(self.repo, title).decision == "include"

    def _pages(self, first: Response) -> Iterator[list[Mapping[str, Any]]]:
        """Merged pull requests of each page, down to what is known or older than asked for."""
        oldest = max(earlier(self.github.cursor), self.options.since)
        for page in self.client.pages("", first):
            rows = list(items(page))
            young = list(takewhile(lambda item: not (oldest and item.get("updated_at") and str(item["updated_at"]) < oldest), rows))
            yield [item for item in young if item.get("merged_at") and str(item["merged_at"]) >= self.options.since]
            if len(young) < len(rows):
                return

    def starts_over(self) -> bool:
        """Whether the cursor does not count: a full run, or one that reaches further back than the last."""
        return self.options.full or self.options.since < self.github.since

    def take(self, item: Mapping[str, Any]) -> None:
        """Fetch what one pull request needs and write it into the journal. A bad one is counted, a failing one noted for later."""
        number, updated = item.get("number"), str(item.get("updated_at") or "")
        try:
            entry = self._entry(raw_pull(item, self.repo), updated)
        except (OddAnswer, *BAD_LINE) as error:
            self.report.found += 1
            self.report.reject(f"{self.repo}#{number}", error)
            return
        except Refused as error:
            self.failing += error.status == 0 or error.status >= 500
            if self.failing >= _OUTAGE:
                raise
            entry = {"number": number, "updated_at": updated, "failed": str(error)}
        else:
            self.failing = 0
        self.folder.journal().append(entry)
        self._accept(entry)

    def _entry(self, raw: dict[str, Any], updated: str) -> dict[str, Any]:
        """The journal's line for one pull request: with all it needs, or why it is left out."""
        check_pull(raw)
        number = raw["number"]
        entry: dict[str, Any] = {"number": number, "updated_at": updated}
        known = self._known(number)
        if known is None and not self.session.everything:
            aside = self._left_out(raw)
            if aside:
                return {**entry, "left_out": {**asdict(aside), "reasons": list(aside.reasons)}}
        details = self.details.get(number)
        if known is None and details and details.paths is not None and not self.session.everything:
            selection = self.describer.policy.select(self.repo, raw["title"], details.paths)
            if selection.decision != "include":
                return {**entry, "left_out": _row(raw, selection)}
        if known is None or self.options.full or not _has_diff(known, raw):
            self._add_files(raw)
            paths = [str(file["path"]) for file in raw["files"]]
            selection = self.describer.policy.select(self.repo, raw["title"], paths)
            if known is None and selection.decision != "include" and not self.session.everything:
                return {**entry, "left_out": _row(raw, selection)}
        if self.options.talk:
            said = details.discussion if details else None
            entry |= self._add_discussion(raw) if said is None else {}
            raw["discussion"] = raw.get("discussion", []) if said is None else list(said)
        return {**entry, "raw": raw}

    def _known(self, number: int) -> Brief | None:
        """What is stored of a pull request, if it is."""
        return self.session.store.brief(self.repo, number)

    def _left_out(self, raw: dict[str, Any]) -> LeftOut | None:
        """Why a pull request needs no request: the same decision as before, or a title that no path can make up for."""
        before = self.aside.get(raw["number"])
        if before and (before.title, before.sha) == (raw["title"], _line_sha(raw)) and self.github.rules == rules_fingerprint():
            return before
        best = self.describer.policy.best_possible(self.repo, raw["title"])
        if best.decision == "include":
            return None
        return LeftOut(raw["number"], raw["title"], best.decision, best.score, (*best.reasons, "no path could include it"), _line_sha(raw))

    def _add_files(self, raw: dict[str, Any]) -> None:
        """Files and diff, from the clone when the merge commit is in it, else from GitHub."""
        if self.clone and self.clone.has(raw["merge_sha"]):
            files, raw["patch"] = raw_files(self.clone, raw["merge_sha"])
            raw["files"], raw["diff_sha"], raw["source"] = files, "", "github+git"
        else:
            raw["files"], raw["patch"] = files_and_patch(self.client, self.repo, raw["number"])

    def _add_discussion(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Comments by REST; when they cannot be read, the rest is kept and the number is noted for the next run."""
        if self.mute < _OUTAGE:
            try:
                raw["discussion"] = discussion(self.client, self.repo, raw["number"])
                self.mute = 0
                return {}
            except Refused as error:
                self.mute += 1
                if self.mute == _OUTAGE:
                    self.report.notes.append(f"comments cannot be read and are left out this time: {error}")
        return {"failed": "its comments could not be read"}

    def _accept(self, entry: Mapping[str, Any]) -> None:
        """Count one journal entry and store the batch when it is large."""
        number = str(entry.get("number"))
        self.taken += 1
        self.session.advance(1)
        if "failed" in entry:
            self.github.failed[number] = str(entry["failed"])
            if "raw" not in entry:
                return
        else:
            self.github.failed.pop(number, None)
        self.github.seen[number] = str(entry.get("updated_at") or "")
        if "left_out" in entry:
            row = entry["left_out"]
            self.aside[int(number)] = LeftOut(**{**row, "reasons": tuple(row["reasons"])})
            self.report.found += 1
            self.report.left_out += 1
        else:
            self.aside.pop(int(number), None)
            self.pending.append(entry["raw"])
        if len(self.pending) >= _STORE_EVERY:
            self.save()

    def save(self) -> None:
        """Bring what is pending into the store, then remember it; the journal has done its work.

        Of what was seen only what a later run will be shown again is kept: nothing older than the cursor less the overlap.
        """
        if self.pending:
            self.session.bring(self.pending, self.report, keep=True)
            self.pending = []
        if self.aside != self.folder.left_out():
            self.folder.write_left_out(self.aside)
        edge = earlier(self.github.cursor)
        self.github.seen = {number: updated for number, updated in self.github.seen.items() if updated >= edge}
        self.github.rules = rules_fingerprint()
        self.folder.write(self.state)
        self.folder.journal().clear()

    def say_plan(self, first: Response) -> None:
        """Tell the user what a first import will cost, before it does."""
        plan = make_plan(first, self.describer, pages_in_all(first), self.client.usage, talk=self.options.talk, clone=bool(self.clone))
        self.client.waiter.say(f"{self.repo}: {plan.line()}")

    def rename(self, name: str) -> None:
        """Go on under the name that the repository has now; the old name leads there."""
        old, old_folder, moved = self.repo, self.folder, self.session.folder(name)
        self.session.store.rename(old, name)
        old_folder.move_to(moved)
        old_folder.point_to(name)
        self.report.repo, self.state.repo, self.folder = name, name, moved
        self.describer = self.session.describer(name)

    def replay(self) -> None:
        """Store what an interrupted run had fetched."""
        journal = self.folder.journal()
        journal.mend()
        entries = list(journal.entries())
        for entry in entries:
            try:
                self._accept(entry)
            except (TypeError, ValueError, KeyError):
                continue
        if entries:
            self.report.notes.append(f"{len(entries)} pull requests that an interrupted run had fetched were stored first")
            self.save()
        self.taken = 0

    def finish(self, first: Response, fresh: bool) -> None:
        """Everything is stored: move the cursor."""
        dates = [str(item.get("updated_at") or "") for item in items(first)]
        cursor = max([self.github.cursor, *(date for date in dates if earlier(date))])
        self.github.since = self.options.since if fresh or not self.github.cursor else self.github.since
        self.github.cursor, self.github.etag, self.github.page = cursor, first.etag, digest(first)
        self.save()


def is_done(run: Sync, item: Mapping[str, Any]) -> bool:
    """Whether this very state of a pull request was processed before."""
    number, updated = item.get("number"), str(item.get("updated_at") or "")
    if not updated or type(number) is not int:
        return False
    if run.github.seen.get(str(number)) == updated:
        return True
    return updated < earlier(run.github.cursor) and (number in run.aside or run.session.store.brief(run.repo, number) is not None)


def _row(raw: Mapping[str, Any], selection: Selection) -> dict[str, Any]:
    """The left-out row of a pull request, as the journal holds it."""
    row = LeftOut(raw["number"], raw["title"], selection.decision, selection.score, selection.reasons, _line_sha(raw))
    return {**asdict(row), "reasons": list(row.reasons)}


def _has_diff(known: Brief, raw: Mapping[str, Any]) -> bool:
    """Whether the stored record has the files and lines of this very pull request head, or better ones from git."""
    return bool(known.files) and ("git" in known.sources or known.line_sha == _line_sha(raw))


def _line_sha(raw: Mapping[str, Any]) -> str:
    return str(raw.get("diff_sha") or raw["merge_sha"])


def earlier(moment: str) -> str:
    """`moment` less the overlap; empty for none or an unreadable one, which reads everything."""
    try:
        return (datetime.strptime(moment, _DATE).replace(tzinfo=timezone.utc) - OVERLAP).strftime(_DATE)
    except ValueError:
        return ""


def digest(response: Response) -> str:
    """A fingerprint of one page, for servers without ETags."""
    return hashlib.sha256(json.dumps(response.data, sort_keys=True).encode()).hexdigest()[:16]
