"""Scores the comparison on own pairs and on equal launches: findings resolved, coverage of the interval, false verdicts; prints markdown.

Usage: python benchmarks/ncu/diff_score.py PAIRS_FOLDER SHAPES_FOLDER > benchmarks/ncu/DIFF.md
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import noise as replicates
import yaml

from ncu_skill.comparison import code, findings, speed
from ncu_skill.comparison import noise as table
from ncu_skill.comparison.changes import changes
from ncu_skill.comparison.model import Pair, Side

HERE = Path(__file__).parent
KINDS = ("one run", "two runs")
HEADER = (
    "# Comparison on own pairs and on equal launches",
    "",
    "Command: `python benchmarks/ncu/diff_score.py PAIRS SHAPES` on the unpacked `tests/ncu_skill/reports/{pairs,shapes}.tar.xz`",
    "(one H200, ncu 2025.3.1, clocks not locked). The shipped noise table comes from these launches; the last two lines of the list judge",
    "each half of the cases with a table that the other half gave.",
    "",
)


@dataclass
class Score:
    """One defect with its twin: what was said of it."""

    case: str
    planted: list[str]
    speedup: float
    low: float
    high: float
    verdict: str
    resolved: list[str]
    remaining: list[str]
    repeated: list[tuple[float, bool]] = field(default_factory=list)
    unprofiled: float | None = None
    shares_bound: bool = False

    @property
    def right(self) -> bool:
        return any(name in self.resolved for name in self.planted)


@dataclass
class Equal:
    """Two sides of the same program: the verdict, changed lines, changed metrics."""

    case: str
    kind: str
    verdict: str
    lines: int
    metrics: list[str]
    speedup: float


def pairs(runs: dict[str, dict[str, Side]], unprofiled: dict[str, list[float]]) -> list[Score]:
    """Every labelled twin with its defect; one launch's interval is tested on the others, that of all on the other run."""
    labels = yaml.safe_load((HERE / "pairs" / "labels.yaml").read_text(encoding="utf-8"))
    everywhere = {case: side for report, rows in runs.items() if report != "again" for case, side in rows.items()}
    again = runs.get("again", {})
    found = []
    for twin, label in labels.items():
        base = label.get("fixes")
        if base in everywhere and twin in everywhere:
            row = _score(base, labels[base]["finding"], Pair(everywhere[base], everywhere[twin], "label"))
            row.shares_bound = bool(label.get("shares_bound"))
            if base in again and twin in again:
                other = (again[base].duration_ns or 0.0) / (again[twin].duration_ns or 1.0)
                row.repeated.append((other, row.low <= other <= row.high))
            if base in unprofiled and twin in unprofiled:
                row.unprofiled = unprofiled[base][0] / unprofiled[twin][0]
            found.append(row)
    return found


def _score(base: str, planted: list[str], pair: Pair) -> Score:
    interval = speed.interval(pair.base, pair.candidate)
    assert interval is not None
    moved = findings.movement(pair)
    row = Score(base, planted, interval.speedup, interval.low, interval.high, speed.verdict(interval), moved.resolved, moved.remaining)
    launches = pair.base.durations_ns, pair.candidate.durations_ns
    for index in range(min(map(len, launches))):
        rest = [statistics.median(values[:index] + values[index + 1 :]) for values in launches]
        single = speed.of_durations([launches[0][index]], [launches[1][index]])
        assert single is not None
        row.repeated.append((rest[0] / rest[1], single.low <= rest[0] / rest[1] <= single.high))
    return row


def equals(runs: dict[str, dict[str, Side]]) -> list[Equal]:
    """Single launches of one run against each other, and all launches of a case in two runs."""
    found = []
    for rows in runs.values():
        for case, side in rows.items():
            found += [_equal(case, "one run", Side([a]), Side([b])) for a, b in combinations(side.kernels, 2)]
    for first, second in combinations(runs.values(), 2):
        found += [_equal(case, "two runs", first[case], second[case]) for case in first.keys() & second.keys()]
    return found


def _equal(case: str, kind: str, a: Side, b: Side) -> Equal:
    pair = Pair(a, b, "label")
    interval = speed.interval(a, b)
    changed = [change.key for change in changes(pair) if change.changed]
    lines = sum(line.changed for line in code.lines(pair))
    return Equal(case, kind, speed.verdict(interval), lines, changed, interval.speedup if interval else 1.0)


def report(scores: list[Score], same: list[Equal], held_out: list[Equal]) -> str:
    repeated = [inside for row in scores for _, inside in row.repeated]
    counted = [row for row in scores if not row.shares_bound]
    missed = ", ".join(row.case for row in counted if not row.right)
    shared = ", ".join(row.case for row in scores if row.shares_bound)
    rows = [
        *HEADER,
        f"* planted finding resolved: {sum(row.right for row in counted)} of {len(counted)}" + (f" (not: {missed})" if missed else ""),
    ]
    rows[-1] += f"; not counted, because twin and defect sit at the same roof: {shared}" if shared else ""
    rows.append(f"* speedup of other launches or another run inside the stated interval: {sum(repeated)} of {len(repeated)}")
    rows += [_equal_line(same, kind, kind) for kind in KINDS]
    rows += [_equal_line(held_out, kind, f"{kind}, noise table from the other half of the cases") for kind in KINDS]
    rows += ["", "| pair | verdict | speedup | interval | repeated | without profiler | resolved | remaining |", "| --- " * 8 + "|"]
    for row in scores:
        bare = f"{row.unprofiled:.2f}" if row.unprofiled else ""
        inside = f"{sum(good for _, good in row.repeated)} of {len(row.repeated)}"
        mark = "" if row.right else " **planted one not**"
        rows.append(
            f"| {row.case} | {row.verdict} | {row.speedup:.3f} | {row.low:.3f} to {row.high:.3f} | {inside} | {bare} "
            f"| {', '.join(row.resolved)}{mark} | {', '.join(row.remaining)} |"
        )
    often = Counter(key for row in same for key in row.metrics).most_common(12)
    rows += ["", "Metrics called changed between equal launches: " + (", ".join(f"{key} {count}" for key, count in often) or "none") + "."]
    wrong = [f"{row.case} ({row.kind}, {row.speedup:.3f}x {row.verdict})" for row in same + held_out if row.verdict in {"faster", "slower"}]
    rows.append(f"False verdicts: {', '.join(wrong) or 'none'}.")
    return "\n".join(rows)


def _equal_line(same: list[Equal], kind: str, label: str) -> str:
    mine = [row for row in same if row.kind == kind]
    verdicts = Counter(row.verdict for row in mine)
    good, metrics = verdicts["same"] + verdicts["inconclusive"], sum(len(row.metrics) for row in mine) / max(1, len(mine))
    text = f"* equal launches, {label}: {good} of {len(mine)} same or inconclusive ({verdicts['same']} same)"
    return text + f", {sum(row.lines for row in mine)} lines called changed, {metrics:.2f} metrics called changed a pair"


def load(folders: list[Path]) -> tuple[list[Score], list[Equal]]:
    scores: list[Score] = []
    same: list[Equal] = []
    for folder in folders:
        runs = replicates.runs(folder)
        if (folder / "index.json").is_file():
            index: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            scores += pairs(runs, index["unprofiled_ns"])
        same += equals(runs)
    return scores, same


def held_out(folders: list[Path]) -> list[Equal]:
    """Equal launches of each half of the cases, judged with a noise table that the other half gave."""
    found: list[Equal] = []
    shipped = table.TABLE
    with tempfile.TemporaryDirectory() as folder:
        for half in (0, 1):
            table.TABLE = Path(folder) / f"{half}.json"
            made = replicates.noise_table(replicates.gather(folders, partial(_in_half, 1 - half)))
            table.TABLE.write_text(json.dumps(made), encoding="utf-8")
            table.table.cache_clear()
            for reports in folders:
                found += equals(replicates.runs(reports, partial(_in_half, half)))
    table.TABLE = shipped
    table.table.cache_clear()
    return found


def _in_half(half: int, name: str) -> bool:
    return zlib.crc32(name.removesuffix("_fixed").encode()) & 1 == half


if __name__ == "__main__":
    given = [Path(item) for item in sys.argv[1:]]
    print(report(*load(given), held_out(given)))
