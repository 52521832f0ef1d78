"""Record files: pull requests as JSON lines, compressed, with a manifest that proves them.

The files are the truth; every index is derived from them. Written beside and renamed; the same records give the same bytes.
Shipped records are one file a repository. A user's own store (`ingest/store.py`) has one file for each thousand numbers, named by its
content, so that a new manifest is a new state and readers of the old one are never disturbed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.model import ChangedFile, Claim, Evidence, Hunk, Record

RECORDS_SCHEMA = 1
MANIFEST = "manifest.json"
_SWAPS = 20  # how often a reader may find that a writer was faster


def record_to_json(record: Record) -> dict[str, Any]:
    """The stored form of a record: empty fields are left out, files and evidence are short arrays."""
    data: dict[str, Any] = {
        "id": record.id,
        "repo": record.repo,
        "number": record.number,
        "title": record.title,
        "url": record.url,
        "merged_at": record.merged_at,
        "merge_sha": record.merge_sha,
        "files": [[file.path, file.additions, file.deletions] for file in record.files],
        "evidence": [[item.kind, item.name, item.path, item.line] for item in record.evidence],
        "mentions": list(record.mentions),
        "identifiers": list(record.identifiers),
        "selection": list(record.selection),
        "score": record.score,
        "summary": record.summary,
        "symptoms": list(record.symptoms),
        "techniques": list(record.techniques),
        "body": record.body,
        "labels": list(record.labels),
        "discussion": list(record.discussion),
        "hunks": [[hunk.path, hunk.line, hunk.text] for hunk in record.hunks],
        "claims": [{key: value for key, value in vars(claim).items() if value != ""} for claim in record.claims],
        "sources": list(record.sources),
        "diff_sha": record.diff_sha,
    }
    return {key: value for key, value in data.items() if value not in ("", [], None)}


def record_from_json(data: Mapping[str, Any]) -> Record:
    """Inverse of `record_to_json`; raises KeyError, TypeError or ValueError on a form that is not a record."""
    return Record(
        id=str(data["id"]),
        repo=str(data["repo"]),
        number=int(data["number"]),
        title=str(data["title"]),
        url=str(data["url"]),
        merged_at=str(data["merged_at"]),
        merge_sha=str(data["merge_sha"]),
        files=tuple(ChangedFile(*row) for row in data.get("files", ())),
        evidence=tuple(Evidence(*row) for row in data.get("evidence", ())),
        mentions=tuple(data.get("mentions", ())),
        identifiers=tuple(data.get("identifiers", ())),
        selection=tuple(data.get("selection", ())),
        score=int(data.get("score", 0)),
        summary=str(data.get("summary", "")),
        symptoms=tuple(data.get("symptoms", ())),
        techniques=tuple(data.get("techniques", ())),
        body=str(data.get("body", "")),
        labels=tuple(data.get("labels", ())),
        discussion=tuple(data.get("discussion", ())),
        hunks=tuple(Hunk(*row) for row in data.get("hunks", ())),
        claims=tuple(Claim(**row) for row in data.get("claims", ())),
        sources=tuple(data.get("sources", ())),
        diff_sha=str(data.get("diff_sha", "")),
    )


def dump_line(record: Record) -> str:
    """One record as the line that its file holds (no newline)."""
    return json.dumps(record_to_json(record), ensure_ascii=False, separators=(",", ":"))


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` beside `path` and rename it into place, so that no reader ever sees half a file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def compress(text: str, level: int = 9) -> bytes:
    """gzip without time and name, so that equal text gives equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0, compresslevel=level) as file:
        file.write(text.encode("utf-8"))
    return buffer.getvalue()


def write_records(folder: Path, records: Iterable[Record], extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write `<short repo>.jsonl.gz` files and the manifest into `folder`; returns the manifest.

    Records are ordered by number. `extra` adds keys to the manifest (where the records came from, the command).
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_repo: dict[str, dict[str, Record]] = {}
    for record in records:
        by_repo.setdefault(record.repo, {})[record.id] = record
    files: dict[str, Any] = {}
    for repo in sorted(by_repo, key=str.lower):
        rows = sorted(by_repo[repo].values(), key=lambda record: record.number)
        data = compress("".join(dump_line(record) + "\n" for record in rows))
        name = f"{repo.replace('/', '__')}.jsonl.gz"
        write_atomically(folder / name, data)
        files[name] = file_entry(repo, rows, data)
    return write_manifest(folder, files, extra)


def file_entry(repo: str, rows: Sequence[Record], data: bytes) -> dict[str, Any]:
    """What the manifest says of one file: `rows` of `repo`, whose bytes are `data`."""
    return {
        "repo": repo,
        "records": len(rows),
        "first_merged_at": min(record.merged_at for record in rows),
        "cut_off": max(record.merged_at for record in rows),
        "evidence": sum(len(record.evidence) for record in rows),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def write_manifest(folder: Path, files: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write the manifest of `files` into `folder` unless it is there already; returns it. With it the files become the store."""
    manifest = {"schema_version": RECORDS_SCHEMA, **(extra or {}), "files": dict(files)}
    manifest["records"] = sum(entry["records"] for entry in files.values())
    manifest["cut_off"] = max((entry["cut_off"] for entry in files.values()), default="")
    data = (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()
    path = folder / MANIFEST
    if not path.is_file() or path.read_bytes() != data:
        write_atomically(path, data)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a records folder; raises CorpusUnreadable when it is missing or no manifest."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CorpusUnreadable(f"{path}: no manifest here. Reinstall kernel-skills, or run `kwiki ingest records FILE`.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CorpusUnreadable(f"{path}: not a manifest ({error}). Reinstall kernel-skills or restore the file.") from error
    if not isinstance(manifest, dict) or manifest.get("schema_version") != RECORDS_SCHEMA or "files" not in manifest:
        raise CorpusUnreadable(f"{path}: schema_version must be {RECORDS_SCHEMA}. Install the matching kernel-skills version.")
    files = manifest["files"]
    if not isinstance(files, dict) or not all(isinstance(entry, dict) and isinstance(entry.get("sha256"), str) for entry in files.values()):
        raise CorpusUnreadable(f"{path}: `files` must name each record file with its sha256. Reinstall kernel-skills or ingest again.")
    return manifest


def read_records(folder: Path, verify: bool = True) -> Iterator[Record]:
    """Every record of a folder, file by file; `verify` compares each file with the manifest's sha256 first.

    All files are opened before the first record is given, so that a writer who swaps the manifest meanwhile changes nothing here.
    """
    with ExitStack() as stack:
        for path, entry, file in _open_files(folder, stack):
            yield from _parse(path, _checked(path, file.read(), entry["sha256"] if verify else None))


def _open_files(folder: Path, stack: ExitStack) -> list[tuple[Path, dict[str, Any], BinaryIO]]:
    """The files of one state of the store, opened; when a writer swapped it between manifest and files, of the next one."""
    manifest = read_manifest(folder)
    for _ in range(_SWAPS):
        try:
            return [(folder / name, entry, stack.enter_context((folder / name).open("rb"))) for name, entry in manifest["files"].items()]
        except FileNotFoundError:
            newer = read_manifest(folder)
            if newer == manifest:
                break
            manifest = newer
        except OSError as error:
            raise CorpusUnreadable(f"{error.filename}: cannot be read ({error.strerror}). Restore the file.") from error
    missing = next((name for name in manifest["files"] if not (folder / name).is_file()), MANIFEST)
    raise CorpusUnreadable(f"{folder / missing}: cannot be read (No such file). Reinstall kernel-skills or restore the file.")


def read_record_file(path: Path, sha256: str | None = None) -> Iterator[Record]:
    """Records of one `.jsonl.gz` file; raises CorpusUnreadable that names file and line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusUnreadable(f"{path}: cannot be read ({error.strerror}). Reinstall kernel-skills or restore the file.") from error
    yield from _parse(path, _checked(path, data, sha256))


def _checked(path: Path, data: bytes, sha256: str | None) -> bytes:
    """`data` of `path` when it has that sum."""
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise CorpusUnreadable(
            f"{path}: altered or truncated (sha256 differs from {MANIFEST}). Restore the file, or ingest it again and rewrite the manifest."
        )
    return data


def _parse(path: Path, data: bytes) -> Iterator[Record]:
    """Records of the compressed lines in `data`, unpacked as they are read."""
    number = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            for line in file:
                number += 1
                if line.strip():
                    yield record_from_json(json.loads(line.decode("utf-8")))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CorpusUnreadable(f"{path}: not a complete gzip file of UTF-8 lines ({error}).") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CorpusUnreadable(f"{path}:{number}: not a record ({error!r}).") from error
