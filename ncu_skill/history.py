"""History: the reports of a folder in the order they were made, what each measured and found, kept in one small file beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ncu_skill.comparison import findings, pairing, speed
from ncu_skill.comparison.facade import KEY_METRICS
from ncu_skill.comparison.model import Interval, Side
from ncu_skill.errors import BadArgument, NotFound, UnreadableReport
from ncu_skill.report import Report, open_report

SCHEMA_VERSION = 1
FILE = "ncu-history.json"
ENDINGS = (".ncu-rep", ".ncu-repz")
KERNELS_KEPT = 5
SETTINGS = ("device", "compute_capability", "ncu_version", "clock_control", "cache_control", "replay_mode")
Document = dict[str, Any]


def track(folder: str | Path, *, kernel: str | None = None, write: bool = True) -> Document:
    """The trajectory of one kernel over the folder's reports: time with verdict against the one before, findings, key metrics.

    New reports are added to `ncu-history.json` in the folder (not with `write=False`); entries stay when a report is deleted. Without
    `kernel` (a regular expression) it is the longest kernel of the newest report.
    """
    home = Path(folder)
    if not home.is_dir():
        raise NotFound(f"{folder} is not a folder; give the folder that holds the .ncu-rep files")
    known = _load(home / FILE)
    added, unreadable = _add(home, known)
    if write and added:
        _save(home / FILE, known)
    entries = sorted(known.values(), key=lambda entry: (entry["created_unix"], entry["report"]))
    if not entries:
        raise NotFound(f"{folder} holds no .ncu-rep file; collect one with: ncu-skill collect")
    rows = list(_rows(entries, _name(entries, kernel)))
    _judge(rows)
    return {
        "schema_version": SCHEMA_VERSION,
        "path": str(home / FILE),
        "added": added,
        "unreadable": unreadable,
        "kernel": rows[-1]["name"] if rows else None,
        "series": rows,
    }


def _load(path: Path) -> dict[str, Document]:
    """{sha256 of the report: entry}"""
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        entries = {str(entry["sha256"]): entry for entry in stored["reports"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableReport(f"{path} is damaged ({error}); delete it, it is made again from the reports") from error
    return entries


def _save(path: Path, entries: dict[str, Document]) -> None:
    from filelock import FileLock

    with FileLock(path.with_name(f".{path.name}.lock")):
        merged = {**_load(path), **entries}
        rows = sorted(merged.values(), key=lambda entry: (entry["created_unix"], entry["report"]))
        beside = path.with_name(f".{path.name}.part")
        beside.write_text(json.dumps({"schema_version": SCHEMA_VERSION, "reports": rows}, indent=1) + "\n", encoding="utf-8")
        beside.replace(path)


def _add(home: Path, known: dict[str, Document]) -> tuple[list[str], list[str]]:
    """Read the reports that are not known yet; (names added, what could not be read)."""
    added, unreadable = [], []
    for path in sorted(path for path in home.iterdir() if path.suffix in ENDINGS and path.is_file()):
        digest = _digest(path)
        if digest not in known:
            try:
                known[digest] = _entry(open_report(path), digest)
                added.append(path.name)
            except UnreadableReport as error:
                unreadable.append(f"{path.name}: {error}")
    return added, unreadable


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            found.update(part)
    return found.hexdigest()


def _entry(report: Report, digest: str) -> Document:
    producer, device = report.producer, report.kernel(0).device
    return {
        "sha256": digest,
        "report": report.path.name,
        "created_unix": producer.created_unix,
        "device": device.name,
        "compute_capability": device.compute_capability,
        "ncu_version": producer.ncu_version.split(" ", maxsplit=1)[0],
        "clock_control": producer.clock_control,
        "cache_control": producer.cache_control,
        "replay_mode": producer.replay_mode,
        "kernels": [_kernel(side) for side in pairing.sides(report, lambda _: True, by_nvtx=False)[:KERNELS_KEPT]],
    }


def _kernel(side: Side) -> Document:
    facts = side.analysed[0][1]
    return {
        "name": side.name,
        "grid": list(side.grid),
        "block": list(side.block),
        "durations_ns": side.durations_ns,
        "findings": [finding.id for finding in findings.voted(side)],
        "metrics": {key: facts.get(key) for key in KEY_METRICS if facts.get(key) is not None},
    }


def _name(entries: list[Document], pattern: str | None) -> Any:
    """A test for the kernels to show: the expression, or the function of the newest report's longest kernel."""
    import re

    if pattern is None:
        kernels = entries[-1]["kernels"]
        wanted = pairing.base_name(kernels[0]["name"]) if kernels else ""
        return lambda name: pairing.base_name(name) == wanted
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise BadArgument(f"{pattern!r} is not a regular expression: {error}") from error
    if not any(expression.search(kernel["name"]) for entry in entries for kernel in entry["kernels"]):
        names = sorted({kernel["name"] for entry in entries for kernel in entry["kernels"]})
        raise NotFound(f"no kernel matches {pattern!r}; the history holds: {', '.join(names[:5])}", names)
    return expression.search


def _rows(entries: list[Document], chosen: Any) -> Iterator[Document]:
    """One row per report: its longest kernel that is chosen. A report without one is left out."""
    for entry in entries:
        kernel = next((kernel for kernel in entry["kernels"] if chosen(kernel["name"])), None)
        if kernel is not None:
            yield {**{key: entry[key] for key in ("report", "created_unix", *SETTINGS)}, **kernel}


def _judge(rows: list[Document]) -> None:
    """Add duration, speedup against the row before and the first comparable one, verdict, findings gone and come, and the best mark."""
    for index, row in enumerate(rows):
        durations = row["durations_ns"]
        row["duration_ns"] = sorted(durations)[len(durations) // 2] if durations else None
        alike = [other for other in rows[:index] if all(other[key] == row[key] for key in SETTINGS) and other["durations_ns"]]
        before = alike[-1] if alike else None
        found = speed.of_durations(before["durations_ns"], durations) if before else None
        first = speed.of_durations(alike[0]["durations_ns"], durations) if alike else None
        row["against"] = before["report"] if before else None
        row["speedup"], row["interval"] = (found.speedup, _interval(found)) if found else (None, None)
        row["speedup_since_first"] = first.speedup if first else None
        row["verdict"] = speed.verdict(found) if found else None
        earlier = before["findings"] if before else row["findings"]
        row["resolved"] = [name for name in earlier if name not in row["findings"]]
        row["new"] = [name for name in row["findings"] if name not in earlier]
        row["best"] = False
    known = [row for row in rows if row["duration_ns"] and all(row[key] == rows[-1][key] for key in SETTINGS)]
    if known:
        min(known, key=lambda row: float(row["duration_ns"]))["best"] = True


def _interval(found: Interval) -> Document:
    return {"low": round(found.low, 4), "high": round(found.high, 4), "confidence": 0.95}
