"""GitHub sync: brings repositories up to date: plan, rename, failures of earlier runs, tokens; one error stops no other repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingest.client import Client, Refused, Response
from ingest.errors import IngestError, LimitReached, NotAllowed
from ingest.git_repo import GitRepo
from ingest.github_run import GitHubOptions, Sync, digest
from ingest.github_source import OddAnswer, first_page, items, one_pull, pages_in_all, repository
from ingest.graphql import Batches
from ingest.plan import Plan, make_plan
from ingest.recipes import recipe
from ingest.record_files import REPOSITORY
from ingest.session import Report, Session
from ingest.state import GitHubState
from kernelwiki.reading.records import write_atomically


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
        unchanged = first.status == 304 or bool(run.github.cursor and run.github.page == digest(first))
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


def _clone(path: Path | None) -> GitRepo | None:
    if path is None:
        return None
    repo = GitRepo(path)
    repo.check()
    return repo
