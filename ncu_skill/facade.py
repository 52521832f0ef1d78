"""Facade: one function per verb (diagnose, summary, hotspots, metrics), each from a report to a plain JSON-ready document."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ncu_skill import analyses
from ncu_skill.diagnosis import Evidence, Finding, not_collected, playbook
from ncu_skill.diagnosis import diagnose as diagnose_kernel
from ncu_skill.errors import BadArgument, MissingDependency, NotFound
from ncu_skill.facts import Facts, catalog
from ncu_skill.producer import redact_path
from ncu_skill.report import Kernel, Report, open_report
from ncu_skill.samples import Samples

SCHEMA_VERSION = 1
DEFAULT_TOP = 5
BOUND_UNITS = {
    "dram_pct": "dram",
    "l2_pct": "l2",
    "l1_pct": "l1",
    "fma_pct": "fma",
    "alu_pct": "integer",
    "fp64_pct": "fp64",
    "xu_pct": "sfu",
    "tensor_pct": "tensor",
}
BOUND_AT = 60.0
Document = dict[str, Any]


class Group:
    """Launches of the same kernel, grid and block. `launch` is the one of median duration."""

    def __init__(
        self, name: str, grid: tuple[int, int, int], block: tuple[int, int, int], launches: Sequence[tuple[float, int]] = ()
    ) -> None:
        self.name, self.grid, self.block = name, grid, block
        self.launches = list(launches)

    @property
    def total_ns(self) -> float:
        return sum(duration for duration, _ in self.launches)

    @property
    def launch(self) -> int:
        return sorted(self.launches)[len(self.launches) // 2][1]


def groups(report: Report, pattern: str | None = None) -> list[Group]:
    """Launches grouped by kernel, grid and block, longest total first."""
    wanted = _pattern(pattern)
    found: dict[tuple[str, tuple[int, int, int], tuple[int, int, int]], Group] = {}
    for kernel in report:
        name = kernel.name
        if wanted and not wanted.search(name):
            continue
        key = (name, kernel.grid, kernel.block)
        found.setdefault(key, Group(*key)).launches.append((kernel.duration_ns or 0.0, kernel.launch))
    if not found:
        names = _nearest_first(pattern or "", {kernel.name for kernel in report})
        raise NotFound(f"no kernel of the report matches {pattern!r}; it holds: {', '.join(names[:5])}", names)
    return sorted(found.values(), key=lambda group: -group.total_ns)


def _nearest_first(pattern: str, names: Iterable[str]) -> list[str]:
    """Names of kernels, those most like `pattern` first; parameters do not count."""
    from difflib import SequenceMatcher

    def likeness(name: str) -> float:
        return SequenceMatcher(None, pattern[:200].lower(), name.split("(", 1)[0][-200:].lower()).ratio()

    return sorted(names, key=lambda name: (-likeness(name), name))


def _pattern(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern) if pattern else None
    except re.error as error:
        raise BadArgument(f"{pattern!r} is not a regular expression: {error}") from error


def _open(report: Report | str | Path) -> Report:
    return report if isinstance(report, Report) else open_report(report)


def diagnose(
    report: Report | str | Path,
    *,
    kernel: str | None = None,
    launch: int | None = None,
    max_findings: int = 5,
    top: int = DEFAULT_TOP,
    redact: bool = True,
) -> Document:
    """Ranked findings per kernel group (or for one launch); the shape is in references and the JSON schema of the contract."""
    report = _open(report)
    if max_findings < 1 or top < 1:
        raise BadArgument("--max-findings and --top take a number of at least 1")
    chosen = _chosen(report, kernel, launch, top)
    total = sum(group.total_ns for group in chosen[0]) or 1.0
    document: Document = {"schema_version": SCHEMA_VERSION, "report": about(report, redact=redact), "kernels": []}
    for group in chosen[1]:
        one = report.kernel(group.launch if launch is None else launch)
        row = _diagnosed(one, max_findings, redact)
        row["launches"] = len(group.launches)
        row["time_share_pct"] = round(100 * group.total_ns / total, 1)
        document["kernels"].append(row)
    document["report"]["kernels_left_out"] = len(chosen[0]) - len(chosen[1])
    return document


def _chosen(report: Report, kernel: str | None, launch: int | None, top: int) -> tuple[list[Group], list[Group]]:
    if launch is not None:
        one = report.kernel(launch)
        group = Group(one.name, one.grid, one.block, [(one.duration_ns or 0.0, launch)])
        return [group], [group]
    everything = groups(report, kernel)
    return everything, everything[:top]


def _diagnosed(kernel: Kernel, limit: int, redact: bool) -> Document:
    facts, samples = analyses.run(kernel)
    findings = diagnose_kernel(kernel, facts, samples, limit)
    row = identity(kernel)
    row["bound"] = bound(facts)
    row["findings"] = [finding_document(finding, redact) for finding in findings]
    row["not_collected"] = not_collected(kernel, facts)
    return row


def bound(facts: Facts) -> str:
    """The unit nearest its roof when it is above 60 %, else latency; unknown without speed-of-light facts."""
    levels = {name: facts.number(unit) for unit, name in BOUND_UNITS.items() if unit in facts}
    if not levels:
        return "unknown"
    name = max(levels, key=lambda unit: levels[unit])
    if name == "l2" and levels.get("dram", 0.0) >= 0.6 * levels["l2"]:
        name = "dram"
    return name if max(levels.values()) >= BOUND_AT else "latency"


def identity(kernel: Kernel) -> Document:
    return {
        "launch": kernel.launch,
        "name": kernel.name,
        "workload": kernel.workload,
        "duration_ns": kernel.duration_ns,
        "grid": list(kernel.grid),
        "block": list(kernel.block),
    }


def finding_document(finding: Finding, redact: bool) -> Document:
    """One finding in the contract's shape."""
    return {
        "id": finding.id,
        "title": finding.title,
        "rank": finding.rank,
        "confidence": finding.confidence,
        "evidence": [
            {key: value for key, value in item._asdict().items() if value != ""} | {"unit": item.unit} for item in finding.evidence
        ],
        "estimated_speedup": {"low": finding.speedup_low, "high": finding.speedup_high},
        "locations": [
            {
                "file": redact_path(place.file) if redact else place.file,
                "line": place.line,
                "pc": place.pc,
                "opcode": place.opcode,
                "share_pct": place.share_pct,
                "role": place.role,
            }
            for place in finding.locations
        ],
        "fixes": [{"text": fix.text, "wiki": list(fix.wiki)} for fix in finding.fixes],
        "symptoms": list(finding.symptoms),
        "falsifier": finding.falsifier,
    }


def _evidence(item: Evidence) -> Document:
    """One fact behind a finding; a threshold only where there is one."""
    return {key: value for key, value in item._asdict().items() if value != "" or key == "unit"}


def about(report: Report, *, redact: bool = True) -> Document:
    """Producer facts of the report, redacted unless asked otherwise."""
    producer = report.producer if redact else report.producer_unredacted()
    device = report.kernel(0).device
    document = producer._asdict()
    document.update(device=device.name, compute_capability=device.compute_capability, chip=device.chip, sm_count=device.sm_count)
    document["launches"] = len(report)
    document["sets"], document["sections"] = list(producer.sets), list(producer.sections)
    if not producer.host:
        document.pop("host")
    return document


def summary(report: Report | str | Path, *, kernel: str | None = None, redact: bool = True) -> Document:
    """One line per group of launches: count, time, share, and whether it only prepares data."""
    report = _open(report)
    found = groups(report, kernel)
    total = sum(group.total_ns for group in found) or 1.0
    rows = []
    for group in found:
        one = report.kernel(group.launch)
        facts, _ = analyses.quick(one)
        row = identity(one)
        row.update(
            launches=len(group.launches),
            total_ns=group.total_ns,
            time_share_pct=round(100 * group.total_ns / total, 1),
            bound=bound(facts),
            prepares_data=bool(facts.number("prepares_data")),
            dram_pct=facts.get("dram_pct"),
            compute_pct=facts.get("compute_pct"),
            occupancy_pct=facts.get("occupancy_achieved_pct"),
        )
        rows.append(row)
    return {"schema_version": SCHEMA_VERSION, "report": about(report, redact=redact), "groups": rows, "notes": _notes(rows)}


def _notes(rows: list[Document]) -> list[str]:
    notes = []
    if rows and all(row["prepares_data"] for row in rows):
        notes.append("every kernel in this report only prepares data: the wrong kernel was profiled; use ncu -k regex:NAME --launch-skip N")
    elif rows and any(row["prepares_data"] and row["launch"] == 0 for row in rows):
        notes.append("the first launch only prepares data; look at the others")
    return notes


def hotspots(
    report: Report | str | Path,
    *,
    kernel: str | None = None,
    launch: int | None = None,
    limit: int = 10,
    source_root: Path | None = None,
    redact: bool = True,
    sass: bool = False,
) -> Document:
    """The lines where warps wait: share with interval, stall reasons, producers of awaited values, counts; `sass` adds the instructions.

    `placement` says where all samples fall: attributed + in_cubin_without_source + out_of_cubin = total.
    """
    from ncu_skill.source_view import SourceView

    report = _open(report)
    if limit < 1:
        raise BadArgument("--limit takes a number of at least 1")
    one = report.kernel(launch if launch is not None else groups(report, kernel)[0].launch)
    samples = Samples(one)
    view = SourceView(one, samples, source_root=source_root, redact=redact)
    document = {"schema_version": SCHEMA_VERSION, "kernel": identity(one), "samples": int(samples.total)}
    document |= {"placement": view.placement, "functions": view.functions(), "lines": list(view.rows(limit))}
    if sass:
        document["sass"] = view.sass()
    document["not_collected"] = [] if samples.total else ["SourceCounters"]
    return document


def analyse(
    report: Report | str | Path, *, kernel: str | None = None, launch: int | None = None, only: str | None = None, redact: bool = True
) -> Document:
    """The tables behind the diagnosis of one launch: roofline, occupancy, balance, memory, tensor, patterns (or the one named `only`)."""
    from ncu_skill import details

    report = _open(report)
    if only is not None and only not in details.TABLES:
        raise BadArgument(f"there is no table {only!r}; tables: {', '.join(details.TABLES)}")
    one = report.kernel(launch if launch is not None else groups(report, kernel)[0].launch)
    facts, samples = analyses.run(one)
    chosen = {only: details.TABLES[only]} if only else details.TABLES
    tables: Document = {name: table(one, facts, samples) for name, table in chosen.items()}
    patterns: list[Document] = tables.get("patterns", [])
    for row in patterns:
        row["file"] = redact_path(row["file"]) if redact else row["file"]
    return {"schema_version": SCHEMA_VERSION, "kernel": identity(one), "tables": tables}


def metrics(
    report: Report | str | Path,
    *,
    match: str = "*",
    kernel: str | None = None,
    launch: int | None = None,
    limit: int = 200,
    offset: int = 0,
) -> Document:
    """Metrics of one launch whose name matches a glob, with value, unit and number of instances."""
    report = _open(report)
    one = report.kernel(launch if launch is not None else groups(report, kernel)[0].launch)
    names = [name for name in one.metric_names if fnmatch.fnmatchcase(name, match)]
    try:
        units, note = (one.units if names else {}), ""
    except MissingDependency as error:
        units, note = {entry.metrics[0]: entry.unit for entry in catalog().values()}, str(error)
    rows = [
        {"name": name, "value": one.value(name), "unit": units.get(name, ""), "instances": len(one.instances(name)[0])}
        for name in names[offset : offset + limit]
    ]
    return {"schema_version": SCHEMA_VERSION, "kernel": identity(one), "total": len(names), "metrics": rows, "note": note}


def rules(identifier: str | None = None) -> Document:
    """The playbook: all entries, or one by finding id."""
    book = playbook()
    if identifier is not None and identifier not in book:
        raise NotFound(f"there is no rule {identifier!r}; rules: {', '.join(sorted(book))}", sorted(book))
    chosen = [book[identifier]] if identifier else list(book.values())
    rows = []
    for play in chosen:
        row = play._asdict()
        row["fixes"] = [fix._asdict() for fix in play.fixes]
        row["relieves"], row["explains"] = sorted(play.relieves), sorted(play.explains)
        rows.append(row)
    return {"schema_version": SCHEMA_VERSION, "rules": rows}
