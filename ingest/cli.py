"""The `kwiki ingest` commands: parse, one call, one report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ingest.record_files import BAD_LINE, Tally, distinct_ids, import_files, parse_line, read_lines
from ingest.select import default_policy
from kernelwiki.errors import CorpusUnreadable
from kernelwiki.home import find_places
from kernelwiki.records import MANIFEST, read_manifest, read_records, write_records
from kernelwiki.vocabulary import Vocabulary, read_terms


@click.group()
def ingest() -> None:
    """Bring pull requests into the knowledge base."""


@ingest.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the records here instead of the data folder.")
@click.option("--dry-run", is_flag=True, help="Count, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def records(files: tuple[Path, ...], out: Path | None, dry_run: bool, as_json: bool) -> None:
    """Import FILES of merged pull requests (JSON lines, .gz or plain; X.diffs.jsonl.gz beside X.prs.jsonl.gz is used).

    Exit codes: 0 ok, 2 usage, 4 unreadable input (also when no line was a pull request).
    """
    from kernelwiki.progress import progress_bar

    places = find_places()
    vocabulary = Vocabulary.of(read_terms(places.vocabulary))
    tally = Tally()
    with progress_bar("Reading pull requests") as advance:
        imported = list(import_files(files, vocabulary, tally, advance))
    target = out or places.own_records
    if not dry_run:
        own = list(read_records(target)) if not out and (target / MANIFEST).is_file() else []
        shipped = {} if out else read_manifest(places.records)["files"]
        found = distinct_ids([*own, *imported], [entry["repo"] for entry in shipped.values()])
        try:
            write_records(target, found, {"policy": "ingest/policy.yaml", "extractor": "ingest/evidence.yaml"})
        except OSError as error:
            raise CorpusUnreadable(f"{target}: cannot be written ({error.strerror}). Set KWIKI_HOME or --out to another folder.") from error
    report = {
        "schema_version": 1,
        "read": tally.read,
        "kept": tally.kept,
        "left_out": tally.left_out,
        "rejected": tally.rejected,
        "written_to": None if dry_run else str(target),
    }
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        click.echo(f"{tally.read} read, {tally.kept} kept, {tally.left_out} left out by the policy, {len(tally.rejected)} rejected")
    for reason in tally.rejected[:20]:
        click.echo(f"rejected {reason}", err=True)
    if tally.read and tally.read == len(tally.rejected):
        sys.exit(CorpusUnreadable.exit_code)


@ingest.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("number", type=int)
def explain(file: Path, number: int) -> None:
    """Say why pull request NUMBER of FILE is kept or left out."""
    for _, line in read_lines(file):
        try:
            raw = parse_line(line)
        except BAD_LINE:
            continue
        if raw["number"] == number:
            paths = [entry["path"] for entry in raw.get("files") or ()]
            selection = default_policy().select(raw["repo"], raw["title"], paths)
            why = ", ".join(selection.reasons) or "no rule matches"
            click.echo(f"{raw['repo']}#{number} {selection.decision} (score {selection.score}): {why}")
            return
    click.echo(f"{file}: no pull request {number} in it.", err=True)
    sys.exit(3)
