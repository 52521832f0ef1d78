"""Record files: pull requests as JSON lines, compressed, one file a repository, with a manifest that proves them.

The files are the truth; every index is derived from them. Written beside and renamed; the same records give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.model import ChangedFile, Evidence, Record

RECORDS_SCHEMA = 1
MANIFEST = "manifest.json"


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


def compress(text: str) -> bytes:
    """gzip without time and name, so that equal text gives equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0, compresslevel=9) as file:
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
        files[name] = {
            "repo": repo,
            "records": len(rows),
            "first_merged_at": min(record.merged_at for record in rows),
            "cut_off": max(record.merged_at for record in rows),
            "evidence": sum(len(record.evidence) for record in rows),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    manifest = {"schema_version": RECORDS_SCHEMA, **(extra or {}), "files": files}
    manifest["records"] = sum(entry["records"] for entry in files.values())
    manifest["cut_off"] = max((entry["cut_off"] for entry in files.values()), default="")
    write_atomically(folder / MANIFEST, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
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
    """Every record of a folder, file by file; `verify` compares each file with the manifest's sha256 first."""
    for name, entry in read_manifest(folder)["files"].items():
        yield from read_record_file(folder / name, entry["sha256"] if verify else None)


def read_record_file(path: Path, sha256: str | None = None) -> Iterator[Record]:
    """Records of one `.jsonl.gz` file; raises CorpusUnreadable that names file and line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusUnreadable(f"{path}: cannot be read ({error.strerror}). Reinstall kernel-skills or restore the file.") from error
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise CorpusUnreadable(
            f"{path}: altered or truncated (sha256 differs from {MANIFEST}). Restore the file, or ingest it again and rewrite the manifest."
        )
    try:
        text = gzip.decompress(data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CorpusUnreadable(f"{path}: not a complete gzip file of UTF-8 lines ({error}).") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line:
            try:
                yield record_from_json(json.loads(line))
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                raise CorpusUnreadable(f"{path}:{number}: not a record ({error!r}).") from error
