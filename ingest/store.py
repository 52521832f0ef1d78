"""Store: the records of a user's own knowledge base, in files of a thousand numbers each, changed as a whole or not at all.

Data files carry their content's hash in their name and are never changed. A commit writes the files that differ, then renames the
manifest: that is the moment of the change. A process killed before it leaves the old state, and the next commit clears what it left.
The bytes depend on the records alone, not on the order or number of commits that brought them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from ingest.describe import short_repo
from ingest.errors import StoreBusy
from kernelwiki.errors import CorpusUnreadable
from kernelwiki.home import Places
from kernelwiki.model import Record
from kernelwiki.reading.records import (
    MANIFEST,
    compress,
    dump_line,
    file_entry,
    read_manifest,
    read_record_file,
    record_from_json,
    write_atomically,
    write_manifest,
)

SHARD = 1_000
LEVEL = 6  # of gzip: own text is large and rewritten often
_STAGING = ".staging"
_OPEN_FILES = 64
_EXTRA = {"policy": "ingest/policy.yaml", "extractor": "ingest/evidence.yaml", "layout": "sharded"}

Merge = Callable[[Record, Record], Record]


@dataclass
class Changes:
    """What a commit did to the store."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0

    def __iadd__(self, other: Changes) -> Changes:
        self.added += other.added
        self.updated += other.updated
        self.unchanged += other.unchanged
        return self


@dataclass(frozen=True)
class Brief:
    """A stored record in short: whether it has files, where it comes from, and the commit its lines count in."""

    files: bool
    sources: tuple[str, ...]
    line_sha: str


@contextmanager
def one_writer(home: Path) -> Iterator[None]:
    """Only one ingest writes a data folder at a time. Raises StoreBusy, and CorpusUnreadable for a folder that cannot be written."""
    from filelock import FileLock, Timeout

    try:
        (home / "ingest").mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / "ingest" / "lock", timeout=0.0)
        with lock:
            yield
    except Timeout:
        raise StoreBusy(
            f"{home}: another `kwiki ingest` is running there. Wait for it; `kwiki ingest status` shows what it has done."
        ) from None
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise CorpusUnreadable(f"{home}: cannot be written ({error.strerror}). Set KWIKI_HOME to another folder.") from error


@dataclass
class Store:
    """The own records at `folder`. `taken` are repositories ("owner/name") whose short ids belong to shipped records."""

    folder: Path
    taken: frozenset[str] = frozenset()
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)
    _cache: dict[tuple[str, int], dict[int, Record]] = field(default_factory=dict)

    _briefs: dict[tuple[str, int], dict[int, Brief]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.folder / MANIFEST).is_file():
            self._files = dict(read_manifest(self.folder)["files"])

    @property
    def repositories(self) -> list[str]:
        """Repositories with records, sorted."""
        return sorted({entry["repo"] for entry in self._files.values()})

    def get(self, repo: str, number: int) -> Record | None:
        """The stored record, or None."""
        return self._shard(repo, number // SHARD).get(number)

    def brief(self, repo: str, number: int) -> Brief | None:
        """What must be known of a stored record before more of it is fetched, or None. Every shard is read once at most."""
        key = (repo, number // SHARD)
        if key not in self._briefs:
            rows = self._shard(*key).values()
            self._briefs[key] = {record.number: Brief(bool(record.files), record.sources, record.line_sha) for record in rows}
        return self._briefs[key].get(number)

    def numbers(self, repo: str) -> set[int]:
        """Numbers of the stored pull requests of one repository."""
        return {record.number for record in self.records(repo)}

    def records(self, repo: str) -> Iterator[Record]:
        """Records of one repository."""
        for name, entry in self._files.items():
            if entry["repo"] == repo:
                yield from read_record_file(self.folder / name, entry["sha256"])

    def upsert(self, records: Iterable[Record], combine: Merge) -> Changes:
        """Bring `records` in: new ones as they are, known ones as `combine(old, new)`. Bounded memory, one swap at the end."""
        staging = self.folder / _STAGING
        shutil.rmtree(staging, ignore_errors=True)
        self._cache.clear()
        self._briefs.clear()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            staging.mkdir()
            shards = _stage(staging, self._whole(records))
            files = {name: entry for name, entry in self._files.items() if "shard" in entry}
            changes = Changes()
            for (repo, shard), lines in sorted(shards.items()):
                changes += self._rewrite(files, repo, shard, _read_stage(lines), combine)
            self._swap(files)
        except OSError as error:
            reason = error.strerror or str(error)
            raise CorpusUnreadable(f"{self.folder}: cannot be written ({reason}). Set KWIKI_HOME or --out to another folder.") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return changes

    def rename(self, old: str, new: str) -> None:
        """Records of `old` become records of `new`: the repository has another name now. Addresses are GitHub's to redirect."""
        moved = [replace(record, repo=new, id=f"{short_repo(new)}#{record.number}") for record in self.records(old)]
        self._files = {name: entry for name, entry in self._files.items() if entry["repo"] != old}
        self.upsert(moved, lambda known, _: known)

    def _whole(self, records: Iterable[Record]) -> Iterator[Record]:
        """`records` with ids of their own, behind those of an older layout, which are brought over once."""
        owners = {short_repo(repo): repo for repo in [*self.repositories, *sorted(self.taken)]}
        for name, entry in self._files.items():
            if "shard" not in entry:
                yield from read_record_file(self.folder / name, entry["sha256"])
        for record in records:
            short = short_repo(record.repo)
            wanted = f"{short if owners.setdefault(short, record.repo) == record.repo else record.repo}#{record.number}"
            yield record if record.id == wanted else replace(record, id=wanted)

    def _rewrite(self, files: dict[str, dict[str, Any]], repo: str, shard: int, new: Iterable[Record], combine: Merge) -> Changes:
        """The shard with `new` in it, in `files`; a shard that stays as it is keeps its file."""
        name = next((name for name, entry in files.items() if (entry["repo"], entry["shard"]) == (repo, shard)), None)
        rows = {record.number: record for record in read_record_file(self.folder / name, files[name]["sha256"])} if name else {}
        before = dict(rows)
        for record in new:
            old = rows.get(record.number)
            rows[record.number] = combine(old, record) if old else record
        changed = sum(rows[number] != record for number, record in before.items())
        changes = Changes(added=len(rows) - len(before), updated=changed, unchanged=len(before) - changed)
        if rows != before:
            if name:
                del files[name]
            self._write(files, repo, shard, [rows[number] for number in sorted(rows)])
        return changes

    def _write(self, files: dict[str, dict[str, Any]], repo: str, shard: int, rows: list[Record]) -> None:
        data = compress("".join(dump_line(record) + "\n" for record in rows), LEVEL)
        name = f"{repo.replace('/', '__')}.{shard:04d}.{hashlib.sha256(data).hexdigest()[:16]}.jsonl.gz"
        if not (self.folder / name).is_file():
            write_atomically(self.folder / name, data)
        files[name] = {**file_entry(repo, rows, data), "shard": shard}

    def _swap(self, files: Mapping[str, dict[str, Any]]) -> None:
        """Make `files` the store, then remove what no manifest names any more."""
        ordered = {name: files[name] for name in sorted(files, key=lambda name: (files[name]["repo"].lower(), files[name]["shard"]))}
        write_manifest(self.folder, ordered, _EXTRA)
        self._files = ordered
        for path in self.folder.iterdir():
            if path.is_file() and path.name not in ordered and path.name != MANIFEST:
                path.unlink(missing_ok=True)

    def _shard(self, repo: str, shard: int) -> dict[int, Record]:
        key = (repo, shard)
        if key not in self._cache:
            if len(self._cache) >= 2:
                self._cache.pop(next(iter(self._cache)))
            names = [name for name, entry in self._files.items() if entry["repo"] == repo and entry.get("shard", shard) == shard]
            self._cache[key] = {
                record.number: record for name in names for record in read_record_file(self.folder / name, self._files[name]["sha256"])
            }
        return self._cache[key]


def open_store(places: Places) -> Store:
    """The store of the user's own records; shipped repositories keep their short ids."""
    taken: frozenset[str] = frozenset()
    with suppress(CorpusUnreadable):
        taken = frozenset(entry["repo"] for entry in read_manifest(places.records)["files"].values())
    return Store(places.own_records, taken)


def _stage(staging: Path, records: Iterable[Record]) -> dict[tuple[str, int], Path]:
    """One file of lines for each shard that `records` touch, so that memory holds one shard at a time."""
    paths: dict[tuple[str, int], Path] = {}
    opened: dict[tuple[str, int], TextIO] = {}
    try:
        for record in records:
            key = (record.repo, record.number // SHARD)
            file = opened.get(key)
            if file is None:
                if len(opened) >= _OPEN_FILES:
                    opened.pop(next(iter(opened))).close()
                paths.setdefault(key, staging / f"{len(paths)}.jsonl")
                file = opened[key] = paths[key].open("a", encoding="utf-8")
            file.write(dump_line(record) + "\n")
    finally:
        for file in opened.values():
            file.close()
    return paths


def _read_stage(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield record_from_json(json.loads(line))
