"""Record files in: merged pull requests as JSON lines (the shape of `shared/prs`), with their diffs beside them."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ingest.describe import describe, short_repo
from ingest.evidence import default_extractor
from ingest.select import default_policy
from kernelwiki.errors import CorpusUnreadable
from kernelwiki.model import Record
from kernelwiki.reading.vocabulary import Vocabulary

_REQUIRED = ("repo", "number", "title", "url", "merged_at", "merge_sha")
REPOSITORY = re.compile(r"[A-Za-z0-9](?:[_-]?[A-Za-z0-9]){0,99}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_FORMS = {
    "repo": REPOSITORY,
    "url": re.compile(r"https?://[!-~]{1,500}"),
    "merged_at": re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:.]{5,20}(?:Z|[+-][0-9]{2}:?[0-9]{2})"),
    "merge_sha": re.compile(r"[0-9a-f]{40}"),
}
BAD_LINE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass
class Tally:
    """What an import did: pull requests read, kept, left out by the policy, and lines rejected with the reason."""

    read: int = 0
    kept: int = 0
    left_out: int = 0
    rejected: list[str] = field(default_factory=list)

    def reject(self, place: str, reason: object) -> None:
        """Count one line that cannot be used, with the reason as one harmless line."""
        self.rejected.append("".join(char if char.isprintable() else " " for char in f"{place}: {reason}")[:240])


def diffs_beside(path: Path) -> Path | None:
    """`X.diffs.jsonl.gz` beside `X.prs.jsonl.gz`, when it is there."""
    beside = path.with_name(path.name.replace(".prs.", ".diffs."))
    return beside if beside != path and beside.is_file() else None


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text file, gzip or plain, told apart by magic bytes; raises CorpusUnreadable naming the file."""
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        opener: Callable[..., Any] = gzip.open if packed else open
        with opener(path, "rt", encoding="utf-8", errors="replace") as file:
            yield from enumerate(file, 1)
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusUnreadable(f"{path}: cannot be read as JSON lines ({error}).") from error


def read_patches(path: Path | None) -> dict[tuple[str, int], str]:
    """Diff text by repository and pull request number."""
    patches: dict[tuple[str, int], str] = {}
    for _, line in read_lines(path) if path else ():
        try:
            row = json.loads(line)
            patches[str(row["repo"]), int(row["number"])] = str(row["patch"])
        except BAD_LINE:
            continue
    return patches


def parse_line(line: str) -> dict[str, Any]:
    """The pull request of one JSON line; raises ValueError (or one of its kin) that says what is wrong with it."""
    raw = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    check_pull(raw)
    return raw


def check_pull(raw: Mapping[str, Any]) -> None:
    """Raise ValueError (or one of its kin) that says why `raw` is not a pull request of the shape above."""
    missing = [key for key in _REQUIRED if not raw.get(key)]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    wrong = [key for key, form in _FORMS.items() if not isinstance(raw[key], str) or not form.fullmatch(raw[key])]
    if not isinstance(raw["title"], str) or not raw["title"].strip():
        wrong.append("title")
    if type(raw["number"]) is not int or not 0 < raw["number"] < 2**31:
        wrong.append("number")
    wrong += [key for key in ("body", "patch") if not isinstance(raw.get(key) or "", str)]
    wrong += [key for key in ("labels", "discussion", "files") if not isinstance(raw.get(key) or [], list)]
    if not all(_is_file(entry) for entry in raw.get("files") or ()):
        wrong.append("files")
    if raw.get("diff_sha") and not _FORMS["merge_sha"].fullmatch(str(raw["diff_sha"])):
        wrong.append("diff_sha")
    if wrong:
        raise ValueError(f"not a usable {', '.join(wrong)}")


def _is_file(entry: Mapping[str, Any]) -> bool:
    counts = (entry.get("additions"), entry.get("deletions"))
    return isinstance(entry["path"], str) and all(count is None or type(count) is int for count in counts)


def read_pulls(paths: Sequence[Path], tally: Tally, progress: Callable[[int], None] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, pull request with its diff under `patch`) of each usable line. A bad line is counted with its reason, nothing stops."""
    for path in paths:
        patches = read_patches(diffs_beside(path))
        for number, line in read_lines(path):
            tally.read += 1
            if progress:
                progress(1)
            place = f"{path.name}:{number}"
            try:
                raw = parse_line(line)
                raw.setdefault("patch", patches.get((raw["repo"], raw["number"]), ""))
            except BAD_LINE as error:
                tally.reject(place, error)
                continue
            yield place, raw


def import_files(
    paths: Sequence[Path], vocabulary: Vocabulary, tally: Tally, progress: Callable[[int], None] | None = None
) -> Iterable[Record]:
    """Records that may ship of the pull requests in `paths`: facts only."""
    policy, extractor = default_policy(), default_extractor()
    for place, raw in read_pulls(paths, tally, progress):
        try:
            record = describe(raw, str(raw["patch"] or ""), policy, extractor, vocabulary)
        except BAD_LINE as error:
            tally.reject(place, error)
            continue
        if record is None:
            tally.left_out += 1
        else:
            tally.kept += 1
            yield record


def distinct_ids(records: Iterable[Record], taken: Iterable[str] = ()) -> list[Record]:
    """`records` with `owner/name#n` as the id where another owner's repository of the same name has `name#n`; the last of equal ids wins.

    `taken` are repositories ("owner/name") that keep their short name.
    """
    owners = {short_repo(repo): repo for repo in taken}
    by_id: dict[str, Record] = {}
    for record in records:
        short = short_repo(record.repo)
        wanted = f"{short if owners.setdefault(short, record.repo) == record.repo else record.repo}#{record.number}"
        by_id[wanted] = record if record.id == wanted else replace(record, id=wanted)
    return list(by_id.values())
