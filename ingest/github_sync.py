"""GitHub sync: reads what changed since the last run, page by page, and stores it; every step survives being killed.

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
from ingest.errors import IngestError, LimitReached, NotAllowed
from ingest.git_repo import GitRepo
from ingest.git_source import raw_files
from ingest.github_source import OddAnswer, discussion, files_and_patch, first_page, items, one_pull, pages_in_all, raw_pull, repository
from ingest.graphql import WORTH_IT, Batches, Details
from ingest.plan import Plan, make_plan
from ingest.recipes import recipe
from ingest.record_files import BAD_LINE, REPOSITORY, check_pull
from ingest.select import Selection
from ingest.session import Report, Session, rules_fingerprint
from ingest.state import GitHubState, LeftOut, RepoFolder, RepoState
from ingest.store import Brief
from kernelwiki.records import write_atomically

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
            rows = [item for item in page if not _is_done(self, item)]
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
        oldest = max(_earlier(self.github.cursor), self.options.since)
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
        number, entry = raw["number"], {"number": raw["number"], "updated_at": updated}
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
            raw["discussion"] = discussion(self.client, self.repo, number) if said is None else list(said)
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

    def _accept(self, entry: Mapping[str, Any]) -> None:
        """Count one journal entry and store the batch when it is large."""
        number = str(entry.get("number"))
        self.taken += 1
        self.session.advance(1)
        if "failed" in entry:
            self.github.failed[number] = str(entry["failed"])
            return
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
        edge = _earlier(self.github.cursor)
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
        cursor = max([self.github.cursor, *(date for date in dates if _earlier(date))])
        self.github.since = self.options.since if fresh or not self.github.cursor else self.github.since
        self.github.cursor, self.github.etag, self.github.page = cursor, first.etag, _digest(first)
        self.save()


def sync_all(
    session: Session, client: Client, repos: Sequence[str], options: GitHubOptions
) -> tuple[list[Report], list[dict[str, Any]], IngestError | None]:
    """Every repository of `repos`: reports, plans, and the first error. A missing repository stops no other; a limit or a token does."""
    reports: list[Report] = []
    plans: list[dict[str, Any]] = []
    first: IngestError | None = None
    for repo in dict.fromkeys(repos):
        report = Report(repo, f"github:{client.base_url}")
        reports.append(report)
        try:
            plan = sync_github(session, client, report, options)
            plans += [{"repo": report.repo, **plan.json(), "line": f"{report.repo}: {plan.line()}"}] if plan else []
        except IngestError as error:
            first = first or error
            report.complete = False
            report.notes.append(str(error))
            if isinstance(error, (LimitReached, NotAllowed)):
                break
    if client.token and not options.dry_run:
        _remember_token(session, client, refused=isinstance(first, NotAllowed))
    return reports, plans, first


def _remember_token(session: Session, client: Client, refused: bool) -> None:
    """What the server said of the token, for `kwiki doctor`; of the token itself only the start of a hash."""
    said = {
        "token": hashlib.sha256(client.token.encode()).hexdigest()[:12],
        "base_url": client.base_url,
        "ok": not refused,
        "limit": client.usage.limit,
    }
    path = session.places.home / "ingest" / "token.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(said) + "\n").encode())


def sync_github(session: Session, client: Client, report: Report, options: GitHubOptions) -> Plan | None:
    """Bring the repository of `report` up to date from GitHub. With `dry_run` only a plan. Raises IngestError; what was fetched is kept."""
    repo = report.repo = session.folder(report.repo).pointer() or report.repo
    started = client.waiter.clock.now()
    if recipe(repo).note:
        report.notes.append(f"{repo}: {recipe(repo).note}")
    folder = session.folder(repo)
    state = folder.read(repo)
    if state.github.base_url not in ("", client.base_url):
        state.github = GitHubState()
    state.github.base_url = client.base_url
    clone = _clone(options.clone)
    run = Sync(session, client, report, options, state, folder, session.describer(repo), clone, folder.left_out(), Batches(client))
    before = client.usage.requests, client.usage.unchanged, client.waiter.waited
    try:
        if options.dry_run:
            first = first_page(client, repo)
            return make_plan(first, run.describer, pages_in_all(first), client.usage, talk=options.talk, clone=bool(clone))
        run.replay()
        _run(run)
    finally:
        report.requests = client.usage.requests - before[0]
        report.unchanged_requests = client.usage.unchanged - before[1]
        report.waited_seconds = client.waiter.waited - before[2]
        report.failed, report.cursor = len(state.github.failed), state.github.cursor
        report.seconds = client.waiter.clock.now() - started
    return None


def _run(run: Sync) -> None:
    fresh = run.starts_over()
    if fresh:
        run.github.cursor = run.github.etag = run.github.page = ""
        run.github.seen = {}
    earlier_failures = sorted(run.github.failed, key=int)
    first = first_page(run.client, run.repo, run.github.etag if run.github.cursor else "")
    try:
        unchanged = first.status == 304 or bool(run.github.cursor and run.github.page == _digest(first))
        if unchanged:
            run.report.notes.append("unchanged since the last run")
        else:
            _identify(run, first)
            if not run.github.cursor:
                run.say_plan(first)
            _take_all(run, first)
        _retry(run, earlier_failures)
    except BaseException:
        run.report.complete = False
        run.save()
        raise
    if run.report.complete and not unchanged:
        run.finish(first, fresh)
    elif run.taken:
        run.save()


def _take_all(run: Sync, first: Response) -> None:
    for item in run.changed(first):
        if run.options.limit and run.taken >= run.options.limit:
            run.report.complete = False
            run.report.notes.append(f"stopped at --limit {run.options.limit}: run the same command again to go on")
            return
        run.take(item)


def _is_done(run: Sync, item: Mapping[str, Any]) -> bool:
    """Whether this very state of a pull request was processed before."""
    number, updated = item.get("number"), str(item.get("updated_at") or "")
    if not updated or type(number) is not int:
        return False
    if run.github.seen.get(str(number)) == updated:
        return True
    return updated < _earlier(run.github.cursor) and (number in run.aside or run.session.store.brief(run.repo, number) is not None)


def _retry(run: Sync, numbers: list[str]) -> None:
    """Try again what an earlier run could not fetch."""
    for number in numbers:
        if number not in run.github.failed:
            continue
        try:
            item = one_pull(run.client, run.repo, int(number))
        except (Refused, OddAnswer) as error:
            run.github.failed[number] = str(error)
            continue
        if item.get("merged_at"):
            run.take(item)
        else:
            del run.github.failed[number]


def _identify(run: Sync, first: Response) -> None:
    """Compare the repository's id with the one remembered; follow a rename, refuse a stranger under a known name."""
    found_id, name = next((repository(item) for item in items(first)), (0, ""))
    if run.github.id and found_id and run.github.id != found_id:
        raise IngestError(
            f"{run.repo}: another repository has this name now (id {found_id}, it was {run.github.id}). Ingest the old one under its new "
            f"name, or remove {run.folder.path} to start over."
        )
    run.github.id = found_id or run.github.id
    if name and name != run.repo and REPOSITORY.fullmatch(name):
        if name.lower() != run.repo.lower():
            run.report.notes.append(f"{run.repo} is called {name} now: its records go by that name")
        run.rename(name)


def _row(raw: Mapping[str, Any], selection: Selection) -> dict[str, Any]:
    """The left-out row of a pull request, as the journal holds it."""
    row = LeftOut(raw["number"], raw["title"], selection.decision, selection.score, selection.reasons, _line_sha(raw))
    return {**asdict(row), "reasons": list(row.reasons)}


def _clone(path: Path | None) -> GitRepo | None:
    if path is None:
        return None
    repo = GitRepo(path)
    repo.check()
    return repo


def _has_diff(known: Brief, raw: Mapping[str, Any]) -> bool:
    """Whether the stored record has the files and lines of this very pull request head, or better ones from git."""
    return bool(known.files) and ("git" in known.sources or known.line_sha == _line_sha(raw))


def _line_sha(raw: Mapping[str, Any]) -> str:
    return str(raw.get("diff_sha") or raw["merge_sha"])


def _earlier(moment: str) -> str:
    """`moment` less the overlap; empty for none or an unreadable one, which reads everything."""
    try:
        return (datetime.strptime(moment, _DATE).replace(tzinfo=timezone.utc) - OVERLAP).strftime(_DATE)
    except ValueError:
        return ""


def _digest(response: Response) -> str:
    """A fingerprint of one page, for servers without ETags."""
    return hashlib.sha256(json.dumps(response.data, sort_keys=True).encode()).hexdigest()[:16]
