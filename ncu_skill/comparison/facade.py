"""Facade of comparisons: two reports, or a series of them, to a JSON-ready document."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ncu_skill.comparison import changes as metric_changes
from ncu_skill.comparison import code, findings, pairing, speed
from ncu_skill.comparison.comparability import clock_cautions, comparability
from ncu_skill.comparison.model import Comparability, Interval, Pair, Side
from ncu_skill.errors import BadArgument, NotFound
from ncu_skill.facade import about
from ncu_skill.producer import redact_path
from ncu_skill.report import Report, open_report

SCHEMA_VERSION = 1
DEFAULT_TOP = 10
UNLIKE = 0.4
Document = dict[str, Any]
Source = Report | str | Path


def compare(
    base: Source,
    candidate: Source,
    *,
    kernel: str | None = None,
    base_kernel: str | None = None,
    candidate_kernel: str | None = None,
    base_launch: int | None = None,
    candidate_launch: int | None = None,
    top: int = DEFAULT_TOP,
    match: str | None = None,
    redact: bool = True,
) -> Document:
    """What changed between two reports, per pair of kernels, longest first.

    `kernel` filters both reports by a regular expression; `base_kernel` and `candidate_kernel` filter one; a launch number takes
    the launches like that one. `match` adds raw metrics by glob. Raises BadArgument, NotFound and UnreadableReport.
    """
    if top < 1:
        raise BadArgument("--top takes a number of at least 1")
    reports = _open(base), _open(candidate)
    left, right = (
        _sides(report, pattern or kernel, launch)
        for report, pattern, launch in zip(reports, (base_kernel, candidate_kernel), (base_launch, candidate_launch), strict=True)
    )
    pairs, lonely_left, lonely_right = pairing.pair(left, right)
    judged = comparability(*reports)
    document: Document = {
        "schema_version": SCHEMA_VERSION,
        "comparable": {"ok": judged.ok, "reasons": judged.reasons, "cautions": judged.cautions},
        "base": about(reports[0], redact=redact),
        "candidate": about(reports[1], redact=redact),
        "kernels": [_pair(item, judged, match, redact) for item in pairs[:top]],
        "unmatched": {
            "base": [_lonely(side, right) for side in lonely_left],
            "candidate": [_lonely(side, left) for side in lonely_right],
        },
        "pairs_left_out": max(0, len(pairs) - top),
    }
    document["total"] = _total(left, right, judged)
    return document


def _open(source: Source) -> Report:
    return source if isinstance(source, Report) else open_report(source)


def _sides(report: Report, pattern: str | None, launch: int | None) -> list[Side]:
    by_nvtx = "--nvtx" in report.producer.command_line
    found = pairing.sides(report, _chooser(pattern), by_nvtx=by_nvtx)
    if not found:
        names = sorted({kernel.name for kernel in report})
        raise NotFound(f"no kernel of {report.path.name} matches {pattern!r}; it holds: {', '.join(names[:5])}", names)
    if launch is None:
        return found
    report.kernel(launch)
    chosen = [side for side in found if launch in side.launches]
    if not chosen:
        raise NotFound(f"launch {launch} of {report.path.name} does not match {pattern!r}")
    return chosen


def _chooser(pattern: str | None) -> Callable[[str], bool]:
    if pattern is None:
        return lambda _: True
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise BadArgument(f"{pattern!r} is not a regular expression: {error}") from error
    return lambda name: wanted.search(name) is not None


def _pair(pair: Pair, judged: Comparability, match: str | None, redact: bool) -> Document:
    base, candidate = pair.base, pair.candidate
    found = speed.interval(base, candidate) if judged.ok else None
    listed = metric_changes.changes(pair)
    moved = findings.movement(pair)
    rows = code.lines(pair)
    document: Document = {
        "name": candidate.name,
        "base_name": base.name,
        "matched_by": pair.matched_by,
        "similarity": pair.similarity,
        "base_launch": base.median.launch,
        "candidate_launch": candidate.median.launch,
        "launches": {"base": len(base.launches), "candidate": len(candidate.launches)},
        "nvtx": {"base": list(base.nvtx), "candidate": list(candidate.nvtx)},
        "grid": {"base": list(base.grid), "candidate": list(candidate.grid)},
        "block": {"base": list(base.block), "candidate": list(candidate.block)},
        "duration_ns": {"base": base.duration_ns, "candidate": candidate.duration_ns, "speedup": found.speedup if found else None},
        "interval": _interval(found),
        "verdict": speed.verdict(found),
        "cautions": _unlike(pair) + clock_cautions(base.median, candidate.median) + _few(base, candidate),
        "findings": {"resolved": moved.resolved, "remaining": moved.remaining, "new": moved.new, "diminished": moved.diminished},
        "why": [_reason(change) for change in metric_changes.why(listed)],
        "identity": metric_changes.identity(pair) if judged.ok else [],
        "metrics": [_metric(change) for change in listed],
        "lines": [_line(row, redact) for row in rows if row.changed],
        "hot_lines": [_line(row, redact) for row in rows if not row.changed],
        "opcodes": [{"opcode": row.opcode, "base": row.base, "candidate": row.candidate} for row in code.opcodes(pair)],
    }
    if match is not None:
        document["raw_metrics"] = [_metric(change) for change in metric_changes.raw_changes(pair, _names(pair, match))]
    return document


def _names(pair: Pair, match: str) -> list[str]:
    import fnmatch

    return [name for name in pair.base.median.metric_names if fnmatch.fnmatchcase(name, match) and name in pair.candidate.median]


def _unlike(pair: Pair) -> list[str]:
    if pair.similarity >= UNLIKE:
        return []
    return [f"the two kernels have little in common (similarity {pair.similarity:.2f}): is this the pair you mean?"]


def _few(base: Side, candidate: Side) -> list[str]:
    few = [label for label, side in (("base", base), ("candidate", candidate)) if len(side.launches) < 3]
    return [f"{' and '.join(few)}: fewer than 3 launches, the scatter is taken from the shipped noise table"] if few else []


def _interval(found: Interval | None) -> Document | None:
    if found is None:
        return None
    return {"low": round(found.low, 4), "high": round(found.high, 4), "confidence": 0.95, "of": "a repetition of both measurements"}


def _metric(change: metric_changes.Change) -> Document:
    ratio = change.ratio
    return {
        "key": change.key,
        "metric": change.metric,
        "meaning": change.meaning,
        "step": change.step,
        "unit": change.unit,
        "base": change.base,
        "candidate": change.candidate,
        "change_pct": round(100 * (ratio - 1), 2) if ratio is not None and math.isfinite(ratio) else None,
        "direction": change.direction,
        "changed": change.changed,
        "better": change.better,
        "noise": round(change.noise, 4),
        "noise_unit": change.noise_unit,
    }


def _reason(change: metric_changes.Change) -> Document:
    return {
        "step": change.step,
        "key": change.key,
        "metric": change.metric,
        "meaning": change.meaning,
        "unit": change.unit,
        "base": change.base,
        "candidate": change.candidate,
        "better": change.better,
    }


def _line(row: code.LineChange, redact: bool) -> Document:
    place = row.candidate or row.base or ("", 0)
    return {
        "file": redact_path(place[0]) if redact else place[0],
        "line": place[1],
        "base_line": row.base[1] if row.base else None,
        "candidate_line": row.candidate[1] if row.candidate else None,
        "text": row.text,
        "matched_by": row.matched_by,
        "base_share_pct": round(100 * row.base_share, 1),
        "candidate_share_pct": round(100 * row.candidate_share, 1),
        "difference_points": round(100 * (row.candidate_share - row.base_share), 1),
        "sigma_points": round(100 * row.sigma, 2),
        "base_stall": row.base_stall,
        "candidate_stall": row.candidate_stall,
        "status": row.status,
        "changed": row.changed,
    }


def _lonely(side: Side, others: list[Side]) -> Document:
    into = pairing.fused_into(side, others)
    return {
        "name": side.name,
        "launch": side.median.launch,
        "launches": len(side.launches),
        "duration_ns": side.duration_ns,
        "maybe_fused_into": into.name if into else None,
    }


def _total(left: list[Side], right: list[Side], judged: Comparability) -> Document:
    """Median time of one launch of every kernel, added up: what fusing or splitting kernels changes."""
    before, after = (sum(side.duration_ns or 0.0 for side in sides) for sides in (left, right))
    return {"base_ns": before, "candidate_ns": after, "speedup": before / after if judged.ok and before and after else None}


def compare_series(reports: Sequence[Source], *, kernel: str | None = None, redact: bool = True) -> Document:
    """A table over several reports of one kernel: each against the first, the best marked. Pairs the longest kernel of the first report."""
    if len(reports) < 2:
        raise BadArgument("a series needs at least two reports")
    opened = [_open(report) for report in reports]
    first = _sides(opened[0], kernel, None)[0]
    rows: list[Document] = []
    for report in opened:
        rows.append(_entry(opened[0], first, report, kernel))
    known = [row for row in rows if row["comparable"]["ok"] and row["duration_ns"]]
    best = min(known, key=lambda row: float(row["duration_ns"])) if known else None
    for row in rows:
        row["best"] = row is best
    return {"schema_version": SCHEMA_VERSION, "kernel": first.name, "base": about(opened[0], redact=redact), "series": rows}


def _entry(start: Report, first: Side, report: Report, kernel: str | None) -> Document:
    pairs, _, _ = pairing.pair([first], _sides(report, kernel, None))
    judged = comparability(start, report)
    row: Document = {
        "report": report.path.name,
        "comparable": {"ok": judged.ok, "reasons": judged.reasons},
        "name": None,
        "duration_ns": None,
        "speedup": None,
        "interval": None,
        "verdict": "inconclusive",
        "findings": [],
        "metrics": {},
        "best": False,
    }
    if not pairs or pairs[0].similarity < UNLIKE:
        return row
    side = pairs[0].candidate
    found = speed.interval(first, side) if judged.ok else None
    facts = side.analysed[0][1]
    row.update(
        name=side.name,
        launch=side.median.launch,
        launches=len(side.launches),
        duration_ns=side.duration_ns,
        speedup=found.speedup if found else None,
        interval=_interval(found),
        verdict=speed.verdict(found) if report is not start else "same",
        findings=[finding.id for finding in findings.voted(side)],
        metrics={key: facts.get(key) for key in KEY_METRICS if facts.get(key) is not None},
    )
    return row


KEY_METRICS = (
    "dram_pct",
    "l2_pct",
    "l1_pct",
    "issue_pct",
    "tensor_pct",
    "occupancy_achieved_pct",
    "registers",
    "instructions",
    "dram_bytes",
)


def regressions(document: Document, percent: float) -> list[Document]:
    """Pairs whose verdict is slower and whose time grew by more than `percent`: noise alone does not fail a build."""
    limit = 1 / (1 + percent / 100)
    return [row for row in document["kernels"] if row["verdict"] == "slower" and row["duration_ns"]["speedup"] < limit]
