"""Record files in: merged pull requests as JSON lines (the shape of `shared/prs`), with their diffs beside them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.describe import describe
from ingest.evidence import default_extractor
from ingest.select import default_policy
from kernelwiki.errors import CorpusUnreadable
from kernelwiki.model import Record
from kernelwiki.vocabulary import Vocabulary

_REQUIRED = ("repo", "number", "title", "url", "merged_at", "merge_sha")


@dataclass
class Tally:
    """What an import did: pull requests read, kept, left out by the policy, and lines rejected with the reason."""

    read: int = 0
    kept: int = 0
    left_out: int = 0
    rejected: list[str] = field(default_factory=list)


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


def read_patches(path: Path | None) -> dict[int, str]:
    """Diff text by pull request number."""
    patches: dict[int, str] = {}
    for _, line in read_lines(path) if path else ():
        try:
            row = json.loads(line)
            patches[int(row["number"])] = str(row["patch"])
        except (ValueError, KeyError, TypeError):
            continue
    return patches


def import_files(
    paths: Sequence[Path], vocabulary: Vocabulary, tally: Tally, progress: Callable[[int], None] | None = None
) -> Iterable[Record]:
    """Records of the pull requests in `paths`. A bad line is counted with its reason and never stops the run."""
    policy, extractor = default_policy(), default_extractor()
    for path in paths:
        patches = read_patches(diffs_beside(path))
        for number, line in read_lines(path):
            tally.read += 1
            if progress:
                progress(1)
            try:
                raw = json.loads(line)
                missing = [key for key in _REQUIRED if not raw.get(key)]
                if missing:
                    raise ValueError(f"lacks {', '.join(missing)}")
                record = describe(raw, patches.get(int(raw["number"]), ""), policy, extractor, vocabulary)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                tally.rejected.append(f"{path.name}:{number}: {error}")
                continue
            if record is None:
                tally.left_out += 1
            else:
                tally.kept += 1
                yield record
