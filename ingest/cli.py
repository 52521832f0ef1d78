"""The `kwiki ingest` commands: parse, one call, one report."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ingest.session import Report, Session

EPILOG = (
    "Exit codes: 0 ok (also nothing new), 1 the server asks for a longer wait than --max-wait, 2 usage, 3 no such repository or pull "
    "request, 4 unreadable input or server, 5 token missing or wrong, or another ingest running, 130 interrupt (what was fetched is kept)."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, write nothing.")
_everything = click.option("--all", "everything", is_flag=True, help="Keep every merged pull request, whatever the policy says.")
_limit = click.option("--limit", type=click.IntRange(0), default=0, help="At most this many pull requests in this run (0: no limit).")


class Day(click.ParamType):  # type: ignore[type-arg]
    """A date: 2025-06-30, 2025-06 or 2025."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            return ""
        for form in ("%Y-%m-%d", "%Y-%m", "%Y"):
            try:
                return datetime.strptime(str(value), form).strftime("%Y-%m-%d")
            except ValueError:
                continue
        return self.fail(f"{value!r} is no date. Valid are 2025-06-30, 2025-06 and 2025.", param, ctx)


class RepoName(click.ParamType):  # type: ignore[type-arg]
    """A repository: owner/name, or its address."""

    name = "owner/name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from ingest.record_files import REPOSITORY

        name = re.sub(r"^(?:https?://[^/]+/|git@[^:/]+:)|(?:\.git)?/?$", "", str(value).strip())
        if not REPOSITORY.fullmatch(name):
            self.fail(f"{value!r} is no repository. Give owner/name, for example flashinfer-ai/flashinfer.", param, ctx)
        return name


_since = click.option("--since", type=Day(), default="", help="Only what was merged on or after this date.")


@click.group(epilog=EPILOG)
def ingest() -> None:
    """Bring pull requests into the knowledge base: from clones, from GitHub, from record files."""


@ingest.command(epilog=EPILOG)
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--repo", required=True, type=RepoName(), help="Whose history it is.")
@_since
@click.option("--branch", default="HEAD", show_default=True, help="The branch whose merges count.")
@click.option("--first-parent/--whole-history", default=None, help="Only the main line (forks, monorepos), or every commit.")
@click.option("--full", is_flag=True, help="Read all commits again, not only the new ones.")
@_limit
@_everything
@_dry_run
@_json
def git(path: Path, repo: str, as_json: bool, everything: bool, **options: Any) -> None:
    """Read the merged pull requests of the clone or bare mirror at PATH; shallow and partial clones work too."""
    from ingest.git_sync import GitOptions, sync_git

    with _session(f"Reading {repo}", everything, options["dry_run"]) as (session, _):
        report = sync_git(session, path, repo, GitOptions(**options))
        _finish(session, [report], as_json, options["dry_run"])


@ingest.command(epilog=EPILOG)
@click.argument("repos", nargs=-1, required=True, type=RepoName())
@_since
@click.option("--base-url", default="", metavar="URL", help="Another server's interface, like https://ghe.example.com/api/v3.")
@click.option("--full", is_flag=True, help="Fetch everything again, not only what changed.")
@click.option("--max-wait", type=click.FloatRange(0), default=3700.0, show_default=True, help="Longest wait for a rate limit, in seconds.")
@click.option("--clone", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A clone that gives files and diffs for free.")
@click.option("--no-discussion", is_flag=True, help="Leave comments out: two requests less for each pull request.")
@_limit
@_everything
@_dry_run
@_json
def github(repos: tuple[str, ...], base_url: str, max_wait: float, as_json: bool, everything: bool, **options: Any) -> None:
    """Read the merged pull requests of REPOS from GitHub, the first time all, then what changed. The token is GITHUB_TOKEN."""
    from ingest.client import PUBLIC, Client
    from ingest.github_run import GitHubOptions
    from ingest.github_sync import sync_all
    from ingest.waits import Waiter

    options["talk"] = not options.pop("no_discussion")
    if options["clone"] and len(repos) > 1:
        raise click.UsageError("--clone belongs to one repository: give one.")
    with _session(f"Reading {', '.join(repos)}", everything, options["dry_run"]) as (session, say):
        client = Client(base_url or PUBLIC, os.environ.get("GITHUB_TOKEN", "").strip(), Waiter(max_wait, say=say))
        reports, plans, error = sync_all(session, client, repos, GitHubOptions(**options))
        _finish(session, reports, as_json, options["dry_run"], {"plans": plans} if options["dry_run"] else {})
    if error:
        raise error


@ingest.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write facts only, in the form that ships, to this folder.")
@_everything
@_dry_run
@_json
def records(files: tuple[Path, ...], out: Path | None, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Import FILES of merged pull requests (JSON lines, .gz or plain; X.diffs.jsonl.gz beside X.prs.jsonl.gz is used).

    Into the data folder with text and hunks, or with --out as facts only: identifiers, numbers, paths, lines.
    """
    from ingest.file_sync import sync_files, write_facts
    from kernelwiki.errors import CorpusUnreadable

    with _session("Reading pull requests", everything, dry_run or out is not None) as (session, _):
        tally = write_facts(session, files, out, dry_run) if out else sync_files(session, files, dry_run)
        target = None if dry_run else str(out or session.places.own_records)
    text = f"{tally.read} read, {tally.kept} kept, {tally.left_out} left out by the policy, {len(tally.rejected)} rejected"
    click.echo(json.dumps({"schema_version": 1, **vars(tally), "written_to": target}, ensure_ascii=False) if as_json else text)
    for reason in tally.rejected[:20]:
        click.echo(f"rejected {reason}", err=True)
    if tally.read and tally.read == len(tally.rejected):
        sys.exit(CorpusUnreadable.exit_code)


@ingest.command(epilog=EPILOG)
@_json
def status(as_json: bool) -> None:
    """Say for each repository how many records there are, how far it was read, and what failed."""
    from ingest.status import status as look
    from ingest.status import status_text
    from kernelwiki.home import find_places

    rows = look(find_places())
    click.echo(json.dumps({"schema_version": 1, "repositories": rows}, ensure_ascii=False) if as_json else status_text(rows))


@ingest.command(epilog=EPILOG)
@click.argument("target")
@click.argument("number", type=int, required=False)
@_json
def explain(target: str, number: int | None, as_json: bool) -> None:
    """Say why a pull request is kept or left out: TARGET is repo#n, or a record file with NUMBER."""
    from ingest.file_sync import explain_line
    from ingest.status import explain as look
    from ingest.status import explain_text
    from kernelwiki.home import find_places

    found = look(find_places(), target) if number is None else explain_line(Path(target), number)
    click.echo(json.dumps({"schema_version": 1, **found}, ensure_ascii=False) if as_json else explain_text(found))


@contextmanager
def _session(label: str, everything: bool, reads_only: bool) -> Iterator[tuple[Session, Callable[[str], None]]]:
    """An open session with a progress meter; the only writer of the data folder unless it only reads."""
    from contextlib import nullcontext

    from ingest.meter import Meter
    from ingest.session import Session
    from ingest.store import one_writer
    from kernelwiki.home import find_places

    places = find_places()
    with nullcontext() if reads_only else one_writer(places.home), Meter(label) as meter:
        yield Session.open(places, meter.advance, everything), meter.say


def _finish(session: Session, reports: list[Report], as_json: bool, dry_run: bool, extra: dict[str, Any] | None = None) -> None:
    """Remember and print what the runs did."""
    for report in reports:
        if not dry_run:
            moment = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            session.folder(report.repo).write_last_run({"at": moment, **report.json()})
        for note in report.notes:
            click.echo(f"note: {note}", err=True)
        for reason in report.rejected[:20]:
            click.echo(f"rejected {reason}", err=True)
    if as_json:
        document = {"schema_version": 1, "dry_run": dry_run, "repositories": [report.json() for report in reports], **(extra or {})}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo("\n".join([report.text() for report in reports] + [plan["line"] for plan in (extra or {}).get("plans", [])]))
