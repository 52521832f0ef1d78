"""File sync: record files into the data folder with all they have, or as facts only in the form that ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingest.recipes import recipe
from ingest.record_files import BAD_LINE, Tally, distinct_ids, import_files, parse_line, read_lines, read_pulls
from ingest.select import Selection
from ingest.session import Report, Session
from kernelwiki.errors import CorpusUnreadable, NotFound
from kernelwiki.reading.records import write_records


def sync_files(session: Session, files: Sequence[Path], dry_run: bool = False) -> Tally:
    """Bring the pull requests of `files` into the store. Raises CorpusUnreadable for a file that cannot be read; nothing is stored then."""
    tally = Tally()
    if dry_run:
        for _, raw in read_pulls(files, tally, session.advance):
            included = session.everything or _decision(raw).decision == "include"
            tally.kept += included
            tally.left_out += not included
        return tally
    report = Report("", "records")
    session.bring((raw for _, raw in read_pulls(files, tally)), report)
    tally.kept, tally.left_out = report.kept, report.left_out
    tally.rejected += report.rejected
    return tally


def write_facts(session: Session, files: Sequence[Path], out: Path, dry_run: bool) -> Tally:
    """Write the records that may ship of `files` to `out`: the same files and rules give the same bytes."""
    tally = Tally()
    found = distinct_ids(import_files(files, session.vocabulary, tally, session.advance))
    if not dry_run:
        try:
            write_records(out, found, {"policy": "ingest/policy.yaml", "extractor": "ingest/evidence.yaml"})
        except OSError as error:
            raise CorpusUnreadable(f"{out}: cannot be written ({error.strerror}). Give --out another folder.") from error
    return tally


def _decision(raw: Mapping[str, Any]) -> Selection:
    return recipe(raw["repo"]).policy.select(raw["repo"], raw["title"], [entry["path"] for entry in raw.get("files") or ()])


def explain_line(file: Path, number: int) -> dict[str, Any]:
    """What the policy says of pull request `number` in `file`. Raises NotFound and CorpusUnreadable."""
    for _, line in read_lines(file):
        try:
            raw = parse_line(line)
        except BAD_LINE:
            continue
        if raw["number"] == number:
            selection = _decision(raw)
            name = f"{raw['repo']}#{number}"
            return {"id": name, "decision": selection.decision, "score": selection.score, "reasons": list(selection.reasons)}
    raise NotFound(f"{file}: no pull request {number} in it.")
