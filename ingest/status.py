"""Status: what each repository's ingest has brought, how far it is, what failed; and why one pull request is in or out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from ingest.state import RepoFolder, repo_folders
from ingest.store import open_store
from kernelwiki.errors import BadQuery, CorpusUnreadable, NotFound
from kernelwiki.home import Places
from kernelwiki.model import Record
from kernelwiki.reading.records import MANIFEST, read_manifest, read_record_file

_ID = re.compile(r"((?:[\w.-]+/)?[\w.-]+)#(\d{1,9})")


def status(places: Places) -> list[dict[str, Any]]:
    """One row a repository that has own records or was ever read, by name."""
    counted = _counted(places)
    folders = {_name(folder): folder for folder in repo_folders(places.home) if not folder.pointer()}
    return [_row(name, counted.get(name, {}), folders.get(name)) for name in sorted({*counted, *folders} - {""}, key=str.lower)]


def _name(folder: RepoFolder) -> str:
    return folder.read("").repo or str(folder.last_run().get("repo", "")) or folder.path.name.replace("__", "/", 1)


def _counted(places: Places) -> dict[str, dict[str, Any]]:
    """Records and cut-off of own repositories, from the manifest."""
    rows: dict[str, dict[str, Any]] = {}
    if (places.own_records / MANIFEST).is_file():
        for entry in read_manifest(places.own_records)["files"].values():
            row = rows.setdefault(entry["repo"], {"records": 0, "cut_off": ""})
            row["records"] += entry["records"]
            row["cut_off"] = max(row["cut_off"], entry["cut_off"])
    return rows


def _row(name: str, counted: Mapping[str, Any], folder: RepoFolder | None) -> dict[str, Any]:
    row = {"repo": name, "records": counted.get("records", 0), "cut_off": counted.get("cut_off", "")}
    if folder is None:
        return row
    state, last = folder.read(name), folder.last_run()
    return {
        **row,
        "left_out": len(folder.left_out()),
        "cursor": state.github.cursor or state.git.head[:12],
        "failed": state.github.failed,
        "waiting": sum(1 for _ in folder.journal().entries()),
        "last_run": last.get("at", ""),
        "last_source": last.get("source", ""),
        "last_complete": last.get("complete", True),
        "rejected": last.get("rejected_count", 0),
    }


def status_text(rows: list[dict[str, Any]]) -> str:
    """The rows for people."""
    if not rows:
        return "nothing ingested yet: `kwiki ingest github owner/name`, `kwiki ingest git PATH --repo owner/name`"
    return "\n".join(_line(row) for row in rows)


def _line(row: Mapping[str, Any]) -> str:
    parts = [f"{row['repo']}: {row['records']} records"]
    parts += [f"until {row['cut_off'][:10]}"] if row["cut_off"] else []
    parts += [f"{row['left_out']} left out"] if row.get("left_out") else []
    parts += [f"last run {row['last_run']} ({row['last_source']})"] if row.get("last_run") else []
    parts += [f"cursor {row['cursor']}"] if row.get("cursor") else []
    parts += ["not complete: run it again to go on"] if not row.get("last_complete", True) else []
    parts += [f"{row['waiting']} fetched and not yet stored"] if row.get("waiting") else []
    parts += (
        [f"{len(row['failed'])} failed, tried again next time: {', '.join(sorted(row['failed'], key=int)[:5])}"]
        if row.get("failed")
        else []
    )
    parts += [f"{row['rejected']} rejected"] if row.get("rejected") else []
    return ", ".join(parts)


def explain(places: Places, wanted: str) -> dict[str, Any]:
    """Why the pull request `wanted` ("repo#n") is kept or left out. Raises NotFound and BadQuery."""
    match = _ID.fullmatch(wanted.strip())
    if not match:
        raise BadQuery(f"{wanted}: give a pull request like vllm#23696 or owner/name#7, or a record file and a number.")
    name, number = match.group(1), int(match.group(2))
    for origin, repo, record in _stored(places, name, number):
        return {
            "id": record.id,
            "decision": "include",
            "score": record.score,
            "reasons": list(record.selection),
            **_about(origin, repo, record),
        }
    for folder in repo_folders(places.home):
        repo = _name(folder)
        row = folder.left_out().get(number) if _is_named(repo, name) else None
        if row:
            return {
                "id": f"{repo}#{number}",
                "decision": row.decision,
                "score": row.score,
                "reasons": list(row.reasons),
                "title": row.title,
            }
        failure = folder.read(repo).github.failed.get(str(number)) if _is_named(repo, name) else None
        if failure:
            return {"id": f"{repo}#{number}", "decision": "failed", "score": 0, "reasons": [failure]}
    raise NotFound(
        f"{wanted}: neither kept nor left out here. It may not be merged, or never was read: `kwiki ingest github owner/name`; "
        "for a record file: `kwiki ingest explain FILE NUMBER`."
    )


def explain_text(found: Mapping[str, Any]) -> str:
    """The explanation as one line and what is known beside it."""
    why = ", ".join(found["reasons"]) or "no rule matches"
    line = f"{found['id']} {found['decision']} (score {found['score']}): {why}"
    return f"{line}\n{json.dumps(found['has'])}" if "has" in found else line


def _stored(places: Places, name: str, number: int) -> Iterator[tuple[str, str, Record]]:
    """Own and shipped records of that number in repositories of that name."""
    store = open_store(places)
    for repo in store.repositories:
        own = store.get(repo, number) if _is_named(repo, name) else None
        if own:
            yield "own", repo, own
    with suppress(CorpusUnreadable):
        for file, entry in read_manifest(places.records)["files"].items():
            if _is_named(entry["repo"], name):
                yield from (("shipped", entry["repo"], row) for row in read_record_file(places.records / file) if row.number == number)


def _is_named(repo: str, name: str) -> bool:
    return name.lower() in (repo.lower(), repo.lower().rsplit("/", 1)[-1])


def _about(origin: str, repo: str, record: Record) -> dict[str, Any]:
    counts = {key: len(getattr(record, key)) for key in ("files", "evidence", "hunks", "claims", "discussion")}
    return {"title": record.title, "repo": repo, "has": {"origin": origin, "sources": list(record.sources), **counts}}
