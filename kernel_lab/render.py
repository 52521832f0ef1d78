"""Render: answers of the facade as text for people. One function per kind of answer."""

from __future__ import annotations

import json
from typing import Any

MARKS = {"pass": "pass  ", "fail": "FAIL  ", "review": "REVIEW", "skip": "-     "}


def plain(found: dict[str, Any]) -> str:
    return "\n".join(
        f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in found.items() if key != "schema_version"
    )


def packed(found: dict[str, Any]) -> str:
    return f"{found['candidate']}  {found['name']}\n{len(found['sources'])} sources, kept in {found['path']}"


def status(found: dict[str, Any]) -> str:
    last = found["last_verdict"]
    lines = [
        f"{found['definition']} on {found['arch']} ({found['backend']}), policy {found['contract']['policy']}",
        f"contract   {found['contract']['sha256'][:12]}, {found['contract']['workloads']} workloads",
        f"ledger     {found['ledger']['entries']} entries, {'whole' if found['ledger']['ok'] else 'BROKEN'}",
        f"candidates {found['candidates']}",
        f"incumbent  {(found['incumbent'] or 'none')[:12]}",
        f"last       {last['candidate'][:12] + ' ' + last['verdict'] if last else 'no verdict yet'}",
        *(f"PROBLEM    {item['name']}: {item['why']}" for item in found["problems"]),
        f"next       {found['next']}",
    ]
    return "\n".join(lines)


def compiled(found: dict[str, Any]) -> str:
    paths = [name for name, used in found["paths"].items() if used]
    head = f"{'ok' if found['ok'] else 'FAILED'} at {found['stage']} for {found['arch']}" + (" (kept result)" if found["cached"] else "")
    facts = f"registers {found['registers']}, spills {found['spills']} B, shared {found['shared_bytes']} B, stack {found['stack_bytes']} B"
    lines = [head, facts, f"hardware paths: {', '.join(paths) or 'none of the named ones'}"]
    lines += [f"{row['file']}:{row['line']}: {row['severity']}: {row['text']}" for row in found["log"]]
    return "\n".join([*lines, *([found["note"]] if found["note"] else [])])


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'workload':<24} {'ms':>10} {'baseline':>10} {'vs_base':>8} {'vs_ref':>8} {'noise':>6} {'runs':>5}  status"]
    for row in rows:

        def cell(key: str, pattern: str, row: dict[str, Any] = row) -> str:
            return "-" if row.get(key) is None else format(row[key], pattern)

        lines.append(
            f"{row['uuid'][:24]:<24} {cell('latency_ms', '.4f'):>10} {cell('baseline_ms', '.4f'):>10} {cell('vs_baseline', '.3f'):>8} "
            f"{cell('vs_reference', '.3f'):>8} {cell('noise', '.1%'):>6} {row['runs']:>5}  {row['status']}"
        )
    return lines


def scored(found: dict[str, Any]) -> str:
    lines = [f"{found['candidate'][:12]} {found['name']}", *_table(found["workloads"])]
    if found["vs_baseline"]:
        ratio = found["vs_baseline"]
        lines.append(
            f"vs_baseline {ratio['value']:.3f}x (interval {ratio['low']:.3f} to {ratio['high']:.3f}), geometric mean; timer: {found['timer']}"  # noqa: E501
        )
    lines += [f"{gate['name']}: {gate['detail']}" for gate in found["problems"]]
    return "\n".join([*lines, "" if found["complete"] else "NOT COMPLETE: not every workload passed"]).rstrip()


def verdict(found: dict[str, Any]) -> str:
    lines = [f"{found['verdict'].upper()}  {found['candidate'][:12]} {found['name']}"]
    lines += [f"{MARKS[gate['outcome']]} {gate['name']:<17} {gate['detail']}" for gate in found["gates"]]
    lines += _table(found["workloads"]) if found["workloads"] else []
    return "\n".join([*lines, f"evidence: {found['evidence']}", f"next: {found['next']}"])


def promoted(found: dict[str, Any]) -> str:
    over = f", {found['vs_incumbent']:.3f}x over {found['replaces'][:12]}" if found["replaces"] else ""
    return f"{found['candidate'][:12]} is the incumbent: {found['vs_baseline']:.3f}x over the baseline{over}"


def history(found: dict[str, Any]) -> str:
    lines = []
    for row in found["candidates"]:
        ratio = f" {row['vs_baseline']:.3f}x" if row["vs_baseline"] else ""
        lines.append(f"{row['candidate'][:12]} {row['verdict'] or 'unjudged'}{ratio}{' promoted' if row['promoted'] else ''} {row['name']}")
        lines += [f"    failed: {', '.join(row['failed'])}"] if row["failed"] else []
        lines += [f"    lesson: {lesson}" for lesson in row["lessons"]] + [f"    note: {note}" for note in row["notes"]]
    return "\n".join(lines) or "nothing yet"


def audited(found: dict[str, Any]) -> str:
    lines = [f"{'whole' if found['ok'] else 'BROKEN'}: {found['entries']} entries, head {found['head'][:12] or '-'}"]
    lines += [f"entry {item['seq']}: {item['what']}: {item['why']}" for item in found["all"]]
    return "\n".join([*lines, *(f"note: {note}" for note in found["notes"])])


def doctored(found: dict[str, Any]) -> str:
    return "\n".join(
        f"{'ok  ' if item['ok'] else 'FAIL' if item['required'] else '-   '} {item['name']}: {item['detail']}" for item in found["checks"]
    )
