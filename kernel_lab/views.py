"""Views: files for people and other tools, written anew from the ledger: candidates.jsonl (lineage), benchmark.csv, docs/lineage.md."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass
from typing import Any

from kernel_lab.files import canonical, write_whole
from kernel_lab.ledger import Entry
from kernel_lab.workspace import Workspace


@dataclass(frozen=True)
class State:
    """What the ledger says now, under the contract that is bound now."""

    candidates: tuple[str, ...]
    incumbent: str | None
    passed: str | None
    last: dict[str, Any] | None

    @classmethod
    def of(cls, entries: list[Entry], contract: str | None) -> State:
        seen = dict.fromkeys(str(entry.body["candidate"]) for entry in entries if "candidate" in entry.body)
        incumbent = passed = None
        last = None
        for entry in entries:
            if entry.kind == "promote" and entry.body["contract"] == contract:
                incumbent = str(entry.body["candidate"])
            if entry.kind == "verdict" and entry.body["contract"] == contract:
                last = {
                    "candidate": entry.body["candidate"],
                    "verdict": entry.body["verdict"],
                    "entry": entry.seq,
                    "failed": entry.body["failed"],
                }
                passed = str(entry.body["candidate"]) if entry.body["verdict"] == "pass" else passed
        return cls(tuple(seen), incumbent, passed, last)


def history(entries: list[Entry]) -> list[dict[str, Any]]:
    """One row per candidate, in the order of first appearance."""
    rows: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if "candidate" not in entry.body:
            continue
        blank = {
            "candidate": entry.body["candidate"],
            "name": "",
            "parents": [],
            "verdict": None,
            "failed": [],
            "vs_baseline": None,
            "promoted": False,
            "notes": [],
            "lessons": [],
            "first_seen": _day(entry.time_s),
        }
        row = rows.setdefault(str(entry.body["candidate"]), blank)
        row["name"] = entry.body.get("name") or row["name"]
        if entry.kind == "verdict":
            row.update(
                verdict=entry.body["verdict"], failed=entry.body["failed"], vs_baseline=(entry.body.get("vs_baseline") or {}).get("value")
            )
        elif entry.kind == "promote":
            row["promoted"] = True
        elif entry.kind == "record":
            row["notes"] += [entry.body["note"]] if entry.body["note"] else []
            row["lessons"] += [entry.body["lesson"]] if entry.body["lesson"] else []
            row["parents"] += [entry.body["parent"]] if entry.body.get("parent") and entry.body["parent"] not in row["parents"] else []
    return list(rows.values())


def _day(time_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))


def write_views(workspace: Workspace) -> None:
    """Write every view anew. They hold nothing that the ledger does not."""
    entries, _ = workspace.ledger.read()
    rows = history(entries)
    write_whole(workspace.root / "candidates.jsonl", b"".join(canonical(row) + b"\n" for row in rows))
    write_whole(workspace.root / "benchmark.csv", _benchmark(entries).encode())
    write_whole(workspace.root / "docs" / "lineage.md", _lineage(rows).encode())
    (workspace.root / "profile").mkdir(exist_ok=True)
    workspace.runs.mkdir(exist_ok=True)


def _benchmark(entries: list[Entry]) -> str:
    """One line per score or verdict and workload."""
    out = io.StringIO()
    keys = ["entry", "kind", "candidate", "workload", "latency_ms", "baseline_ms", "vs_baseline", "vs_reference", "status"]
    table = csv.DictWriter(out, keys, lineterminator="\n")
    table.writeheader()
    for entry in entries:
        if entry.kind in ("score", "verdict"):
            for row in entry.body.get("rows", []):
                table.writerow(
                    {
                        "entry": entry.seq,
                        "kind": entry.kind,
                        "candidate": entry.body["candidate"],
                        **{key: row.get(key) for key in keys[3:]},
                    }
                )
    return out.getvalue()


def _lineage(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Lineage",
        "Written from the ledger by `kernel-lab log`; edits are lost.",
        "",
        "| candidate | parents | verdict | vs baseline | lesson |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        parents = ", ".join(parent[:12] for parent in row["parents"]) or "-"
        ratio = f"{row['vs_baseline']:.3f}x" if row["vs_baseline"] else "-"
        lesson = _cell("; ".join(row["lessons"])) or "-"
        mark = " (promoted)" if row["promoted"] else ""
        lines.append(f"| {row['candidate'][:12]} {_cell(row['name'])}{mark} | {parents} | {row['verdict'] or '-'} | {ratio} | {lesson} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text of a candidate's writer in a table cell: data, so no markup of its own."""
    return "".join(char for char in text.replace("|", "/").replace("`", "'").replace("<", "(").replace("\n", " ") if char.isprintable())[
        :200
    ]
