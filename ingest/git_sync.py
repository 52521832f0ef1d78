"""Git sync: brings a clone's merged pull requests into the store; a second run reads only the commits that are new."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.errors import IngestError
from ingest.git_repo import GitRepo
from ingest.git_source import History, Merged, merged, pulls
from ingest.recipes import recipe
from ingest.session import Report, Session, rules_fingerprint
from ingest.state import GitState


@dataclass(frozen=True)
class GitOptions:
    """What the user asked of a git ingest. `limit` 0 means no limit; `first_parent` None leaves it to the recipe."""

    since: str = ""
    branch: str = "HEAD"
    first_parent: bool | None = None
    limit: int = 0
    full: bool = False
    dry_run: bool = False


def sync_git(session: Session, path: Path, name: str, options: GitOptions) -> Report:
    """Bring the pull requests of the clone at `path` in as those of `name` ("owner/name"). Raises IngestError."""
    report = Report(name, f"git:{path}")
    rules = recipe(name)
    repo = GitRepo(path)
    repo.check()
    folder = session.folder(name)
    state = folder.read(name)
    wanted = _wanted(repo, options, rules.first_parent)
    after = "" if options.full else _after(repo, state.git, wanted)
    history = History()
    found = merged(repo, rules, wanted.head, history, after=after, since=options.since, first_parent=wanted.first_parent)
    report.notes += history.notes()
    if options.limit and len(found) > options.limit:
        found = sorted(sorted(found, key=lambda one: one.commit.date)[-options.limit :], key=lambda one: one.number)
        report.complete = False
    if options.dry_run:
        return _count(repo, found, history, session, report)
    describer = session.describer(name)
    known = session.store.numbers(name) if found else set()

    def is_wanted(raw: dict[str, Any]) -> bool:
        paths = [str(file["path"]) for file in raw["files"]]
        return session.everything or raw["number"] in known or describer.policy.select(name, raw["title"], paths).decision == "include"

    if found:
        session.bring(pulls(repo, found, name, history, wanted=is_wanted), report)
        report.notes = history.notes()
    if report.complete and state.git != wanted:
        state.git = wanted
        folder.write(state)
    report.cursor = wanted.head[:12]
    return report


def _wanted(repo: GitRepo, options: GitOptions, first_parent: bool) -> GitState:
    """The state after a complete run."""
    try:
        head = repo.head(options.branch)
    except IngestError:
        raise IngestError(f"{repo.path}: no branch or commit {options.branch!r} there. See `git branch --all` in it.") from None
    walk = first_parent if options.first_parent is None else options.first_parent
    return GitState(head, int(repo.text("rev-list", "--count", head)), options.since, walk, rules_fingerprint())


def _after(repo: GitRepo, last: GitState, wanted: GitState) -> str:
    """The commit up to which everything is known: the last head, unless history, range or rules are others now."""
    same = (last.since, last.first_parent, last.rules) == (wanted.since, wanted.first_parent, wanted.rules)
    if not last.head or not same or not repo.is_ancestor(last.head, wanted.head):
        return ""
    newer = int(repo.text("rev-list", "--count", f"{last.head}..{wanted.head}"))
    return last.head if last.commits + newer == wanted.commits else ""


def _count(repo: GitRepo, found: list[Merged], history: History, session: Session, report: Report) -> Report:
    """What a run would do, without doing it."""
    name = report.repo
    policy = session.describer(name).policy
    for raw in pulls(repo, found, name, history, wanted=lambda raw: False):
        report.found += 1
        included = session.everything or policy.select(name, raw["title"], [file["path"] for file in raw["files"]]).decision == "include"
        report.kept += included
        report.left_out += not included
    return report
